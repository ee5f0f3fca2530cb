"""SAE files of any known format, recognised by content, to one SAE in memory."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from saeval.config import plugins
from saeval.errors import LoadError
from saeval.registry.entries import Entry
from saeval.sae import SAE, d_out
from saeval.sae.architectures import ARCHITECTURES, Transcoder, moved

MAX_NAMES = 8
"""Names that an error lists at most."""


def detect(folder: Path) -> str:
    """Name of the one loader that recognises a folder (or a single file).

    Raises:
        LoadError: if the folder is missing or empty, or no loader or several recognise it.
    """
    return detect_source(folder)[0]


def detect_source(folder: Path) -> tuple[str, Path]:
    """Name of the loader, and the path to give it: a folder, or a file that is a whole SAE.

    Raises:
        LoadError: as `detect`.
    """
    _check_exists(folder)
    loaders = _import_loaders(frozenset(plugins.find(plugins.LOADERS).values()))
    source = _source_path(folder, loaders)
    names = _matching(source, loaders)
    if len(names) == 1:
        return names[0], source
    if names:
        raise LoadError(
            f"{folder} can be read as {' or as '.join(names)}: "
            f"{'; '.join(loaders[name].FORMAT for name in names)}. Name the loader, or leave the "
            "files of one format only."
        )
    formats = "\n".join(f"  {name}: {module.FORMAT}" for name, module in loaders.items())
    raise LoadError(
        f"{folder} is no SAE of a known format. It holds {_contents(folder)}; looked for\n"
        f"{formats}{_nested_saes(folder, loaders)}"
    )


def load_folder(
    folder: Path,
    *,
    loader: str | None = None,
    entry: Entry | None = None,
    device: str = "cpu",
    dtype: torch.dtype | None = None,
) -> SAE:
    """The SAE in a folder, its weights in float32 or `dtype`, on `device`.

    Args:
        folder: The folder with its files.
        loader: Name of the loader; None: the entry's, or whichever recognises the files.
        entry: Its registry entry. The entry's model, sites, BOS policy and centring, as far as
            it states them, override those of the files.
        device: Device of the tensors.
        dtype: Type in which it computes; None: float32.

    Raises:
        LoadError: if the files cannot be read as an SAE.
        UsageError: if there is no such loader.
    """
    _check_exists(folder)
    name = loader or (entry.loader if entry else None)
    if name is None:
        name, folder = detect_source(folder)
    else:
        folder = _source_path(folder, {name: plugins.load_loader(name)})
    sae: Any = plugins.load_loader(name).load(folder, entry)
    if type(sae) in ARCHITECTURES.values() and type(sae) is not Transcoder:
        _check_square(sae, folder)
    if entry is not None:
        overrides = {
            "model": entry.model,
            "read_site": entry.site,
            "write_site": entry.write_site,
            "prepend_bos": entry.prepend_bos,
            "centred": entry.centred,
        }
        overrides = {key: value for key, value in overrides.items() if value is not None}
        sae = replace(sae, origin=replace(sae.origin, **overrides))
    if dtype is None and torch.device(device).type == "cpu":
        return sae
    return moved(sae, device=device, dtype=dtype)


def _check_square(sae: SAE, folder: Path) -> None:
    if sae.d_in != d_out(sae):
        raise LoadError(
            f"{folder} reads activations of width {sae.d_in}, but W_dec has shape "
            f"{list(sae.W_dec.shape)}: it reconstructs {d_out(sae)}, which only a transcoder may."
        )


@cache
def _import_loaders(plugs: frozenset[plugins.Plugin]) -> Mapping[str, ModuleType]:  # noqa: ARG001
    """The installed loaders by name. They are imported and checked once for each set of plugins."""
    return plugins.loaders()


def _matching(folder: Path, loaders: Mapping[str, ModuleType]) -> list[str]:
    return [name for name, module in loaders.items() if module.matches(folder)]


def _source_path(path: Path, loaders: Mapping[str, ModuleType]) -> Path:
    """A file that is a whole SAE, or a folder; for one file of several, the folder of them all."""
    if not path.is_file() or _matching(path, loaders):
        return path
    for folder in (path.parent, path.parent.parent):
        if any(path.name in loaders[name].FORMAT for name in _matching(folder, loaders)):
            return folder
    return path


def _check_exists(folder: Path) -> None:
    if not folder.exists():
        raise LoadError(f"{folder} does not exist. Give a folder or file of an SAE.")
    if folder.is_dir() and not any(folder.iterdir()):
        raise LoadError(f"{folder} is empty. Give a folder with an SAE's files.")


def _contents(folder: Path) -> str:
    if folder.is_file():
        return "one file"
    return _shorten_names([path.name + "/" * path.is_dir() for path in sorted(folder.iterdir())])


def _nested_saes(folder: Path, loaders: Mapping[str, ModuleType]) -> str:
    """A line that names SAEs one or two levels below: the folder may be a whole release."""
    if folder.is_file():
        return ""
    subfolders = [
        path for pattern in ("*", "*/*") for path in sorted(folder.glob(pattern)) if path.is_dir()
    ]
    saes = [str(path.relative_to(folder)) for path in subfolders if _matching(path, loaders)]
    return f"\nIt holds {len(saes)} SAEs: choose one of {_shorten_names(saes)}." if saes else ""


def _shorten_names(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more
