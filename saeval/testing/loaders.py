"""What every loader must satisfy, checked on a folder of its format: `check_loader`."""

import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from saeval.config import plugins
from saeval.config.plugins import Plugin, check_loader_module, load_loader
from saeval.errors import LoadError
from saeval.sae import SAE
from saeval.testing.other_formats import write_formats
from saeval.testing.sae_checks import LoaderTrial, check_dtype, check_outputs, check_sae
from saeval.testing.tampering import spoil


def check_loader(
    loader: str | ModuleType, folder: str | Path, *, outputs: Mapping[str, Any] | None = None
) -> None:
    """Check all that saeval assumes of a loader. Call it in a test of your own.

    It must recognise its own format and no other, give an SAE that encodes and decodes
    token by token in any dtype as its library does, and refuse folders that are incomplete,
    damaged, or hold unknown keys, unused tensors or code, with an error of one line.

    Args:
        loader: Name of an installed loader, or its module.
        folder: Files of one SAE in its format, and no others. It is copied, not changed.
        outputs: Outputs of the library that wrote the files: arrays `x` [tokens, d_in], and `acts`
            [tokens, d_sae] or `x_hat` [tokens, d_out] or both. Only these prove that the numbers
            are right.

    Raises:
        AssertionError: saying what is wrong, why that matters, and what to do.
        UsageError: if the module is no loader.
        LoadError: if the folder as it is does not load.
    """
    module = load_loader(loader) if isinstance(loader, str) else loader
    name = loader if isinstance(loader, str) else module.__name__
    check_loader_module(Plugin(name, name, "this test"), module)
    with tempfile.TemporaryDirectory(prefix="saeval-testing-") as work:
        copy = Path(work) / "copy" / Path(folder).name  # a loader may read the folder's name
        shutil.copytree(folder, copy)
        trial = LoaderTrial(module, name, copy)
        _check_recognition(trial, Path(work))
        sae = _load_sae(trial)
        check_sae(trial, sae)
        check_dtype(trial, sae)
        if outputs is not None:
            check_outputs(trial, sae, outputs)
        _check_refusals(trial, Path(work))


def _check_recognition(trial: LoaderTrial, work: Path) -> None:
    """`matches` answers True for its own format only, and a bool for any folder."""
    if _call_matches(trial, trial.folder) is not True:
        raise trial.fail(
            "`matches` does not recognise the folder, so that --sae FOLDER would not find the "
            "loader. Look for what FORMAT promises."
        )
    formats = {name: module.__name__ for name, module in plugins.loaders().items()}
    for loader_name, folders in write_formats(work / "others").items():
        for folder in folders if formats.get(loader_name) != trial.loader.__name__ else ():
            if _call_matches(trial, folder):
                raise trial.fail(
                    f"`matches` also says yes to a folder of {loader_name}, so that saeval could "
                    f"read neither ({', '.join(sorted(_file_names(folder)))}). Ask for as much as "
                    "tells your format from others."
                )
    for loader_name, module in plugins.loaders().items():
        if module.__name__ != trial.loader.__name__ and module.matches(trial.folder):
            raise trial.fail(
                f"the folder is also one of {loader_name} ({module.FORMAT}), and saeval refuses to "
                "choose. Write a file that tells the two apart."
            )
    empty, junk = work / "empty", work / "junk"
    empty.mkdir()
    shutil.copytree(trial.folder, junk)
    for path in _files(junk):
        path.write_text("<!DOCTYPE html>")
    for folder in (work / "nowhere", empty, junk):
        _call_matches(trial, folder)


def _call_matches(trial: LoaderTrial, folder: Path) -> bool:
    try:
        answer = trial.loader.matches(folder)
    except Exception as error:
        raise trial.fail(
            f"`matches` raises {type(error).__name__} on a folder with "
            f"{', '.join(sorted(_file_names(folder))) or 'nothing'}: {error}. It is asked about "
            "every folder that any user names; answer False to what is not yours."
        ) from error
    if not isinstance(answer, bool):
        raise trial.fail(f"`matches` answers {answer!r:.60}. Answer True or False.")
    return answer


def _load_sae(trial: LoaderTrial) -> SAE:
    """The SAE of the unchanged folder."""
    try:
        sae = trial.loader.load(trial.folder, None)
    except LoadError:
        raise
    except Exception as error:
        raise trial.fail(
            f"`load` raises {type(error).__name__} on a good folder: {error}. Load it, or raise "
            "LoadError with the path, what is wrong, and what to do."
        ) from error
    for member in ("d_in", "d_sae", "W_dec", "encode", "decode", "origin"):
        if not hasattr(sae, member):
            raise trial.fail(
                f"`load` gives a {type(sae).__name__} without '{member}', which every task may ask "
                "for. Return an architecture of saeval's, or a frozen dataclass with all of "
                "saeval.SAE and a field `origin: Origin`."
            )
    return sae


def _check_refusals(trial: LoaderTrial, work: Path) -> None:
    """The loader refuses every file that it needs if the file is missing, cut, altered or code."""
    mark = work / "code-was-run"
    needed = [path for path in _files(trial.folder) if _is_needed(trial, path)]
    if not needed:
        raise trial.fail(
            "`load` needs none of the files in the folder: it loads without any of them. Read the "
            "weights from the folder that is given."
        )
    for path in needed:
        for spoilt in spoil(path, str(path.relative_to(trial.folder)), mark):
            with suppress(
                Exception
            ):  # its answers were checked before; here only running code matters
                trial.loader.matches(trial.folder)
            refused = _is_refused(trial, spoilt.fault)
            if mark.exists():
                raise trial.fail(f"code was run: {spoilt.fault}. {spoilt.harm}")
            if not refused:
                raise trial.fail(f"the folder loads although {spoilt.fault}. {spoilt.harm}")


def _is_needed(trial: LoaderTrial, path: Path) -> bool:
    """Whether the loader refuses the folder without this file, in one line."""
    aside = trial.folder.parent / "aside"
    path.rename(aside)
    try:
        return _is_refused(trial, f"'{path.relative_to(trial.folder)}' is missing")
    finally:
        aside.rename(path)


def _is_refused(trial: LoaderTrial, fault: str) -> bool:
    """Whether the folder is refused, by a LoadError of one line."""
    try:
        trial.loader.load(trial.folder, None)
    except LoadError as error:
        if "\n" in str(error).strip() or not str(error).strip():
            raise trial.fail(
                f"where {fault}, LoadError says {str(error)!r:.80}, which is not one line. Say "
                "with the path what is wrong and what to do."
            ) from error
        return True
    except Exception as error:
        raise trial.fail(
            f"where {fault}, `load` raises {type(error).__name__}: {error}. A run of many SAEs "
            "would show a traceback; raise LoadError with the path, what is wrong, and what to do."
        ) from error
    return False


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _file_names(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in _files(folder)] if folder.is_dir() else []
