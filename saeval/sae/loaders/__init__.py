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

LISTED = 8
"""Names that an error lists at most."""


def detect(folder: Path) -> str:
    """Name of the one loader that recognises a folder (or a single file).

    Raises:
        LoadError: if the folder is missing or empty, or none or several recognise it.
    """
    return recognised(folder)[0]


def recognised(folder: Path) -> tuple[str, Path]:
    """The loader, and what it is to be given: a folder, or a file where that is a whole SAE.

    Raises:
        LoadError: as `detect`.
    """
    _check_there(folder)
    known = _known(frozenset(plugins.find(plugins.LOADERS).values()))
    place = _place(folder, known)
    found = _matching(place, known)
    if len(found) == 1:
        return found[0], place
    if found:
        raise LoadError(
            f"{folder} can be read as {' or as '.join(found)}: "
            f"{'; '.join(known[name].FORMAT for name in found)}. Name the loader, or leave the "
            "files of one format only."
        )
    looked_for = "\n".join(f"  {name}: {module.FORMAT}" for name, module in known.items())
    raise LoadError(
        f"{folder} is no SAE of a known format. It holds {_contents(folder)}; looked for\n"
        f"{looked_for}{_beneath(folder, known)}"
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
        folder: Where its files lie.
        loader: Name of the loader; None: the entry's, or whichever recognises the files.
        entry: What a registry says about it. Its model, sites, BOS policy and centring, as far
            as it gives them, override what the files say.
        device: Where the tensors go.
        dtype: In which it computes; None: float32.

    Raises:
        LoadError: if the files cannot be read as an SAE.
        UsageError: if there is no such loader.
    """
    _check_there(folder)
    name = loader or (entry.loader if entry else None)
    if name is None:
        name, folder = recognised(folder)
    else:
        folder = _place(folder, {name: plugins.load_loader(name)})
    sae: Any = plugins.load_loader(name).load(folder, entry)
    if type(sae) in ARCHITECTURES.values() and type(sae) is not Transcoder:
        _check_square(sae, folder)
    if entry is not None:
        told = {
            "model": entry.model,
            "read_site": entry.site,
            "write_site": entry.write_site,
            "prepend_bos": entry.prepend_bos,
            "centred": entry.centred,
        }
        known = {key: value for key, value in told.items() if value is not None}
        sae = replace(sae, origin=replace(sae.origin, **known))
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
def _known(installed: frozenset[plugins.Plugin]) -> Mapping[str, ModuleType]:  # noqa: ARG001
    """The loaders that are installed, imported and checked once for as long as these are they."""
    return plugins.loaders()


def _matching(folder: Path, known: Mapping[str, ModuleType]) -> list[str]:
    return [name for name, module in known.items() if module.matches(folder)]


def _place(path: Path, known: Mapping[str, ModuleType]) -> Path:
    """A file that is a whole SAE, or a folder; for one file of several, the folder they lie in."""
    if not path.is_file() or _matching(path, known):
        return path
    for folder in (path.parent, path.parent.parent):
        if any(path.name in known[name].FORMAT for name in _matching(folder, known)):
            return folder
    return path


def _check_there(folder: Path) -> None:
    if not folder.exists():
        raise LoadError(f"{folder} does not exist. Give a folder or file of an SAE.")
    if folder.is_dir() and not any(folder.iterdir()):
        raise LoadError(f"{folder} is empty. Give a folder with an SAE's files.")


def _contents(folder: Path) -> str:
    if folder.is_file():
        return "one file"
    return _listed([one.name + "/" * one.is_dir() for one in sorted(folder.iterdir())])


def _beneath(folder: Path, known: Mapping[str, ModuleType]) -> str:
    """Which folders one or two levels below are SAEs: a release, not one SAE of it."""
    if folder.is_file():
        return ""
    below = [
        one for pattern in ("*", "*/*") for one in sorted(folder.glob(pattern)) if one.is_dir()
    ]
    saes = [str(one.relative_to(folder)) for one in below if _matching(one, known)]
    return f"\nIt holds {len(saes)} SAEs: choose one of {_listed(saes)}." if saes else ""


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
