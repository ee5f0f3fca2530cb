"""Reading JSON and tensor files that may be damaged or hostile: whole and plain, or an error."""

import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from saeval.config.strict_json import LARGEST_BYTES, parse_json
from saeval.config.strict_yaml import parse_yaml
from saeval.errors import LoadError

_CODE = re.compile(r"(?:GLOBAL|function|class) ([\w.]+)")
"""How torch names what its restricted unpickler would not call."""
_REASON = re.compile(r"WeightsUnpickler error(?:: *| +)(\S.*)")
"""Where the reason stands in torch's advice on restricted unpickling."""
_PICKLE = b"\x80"
"""First byte of a pickle that stands by itself, of protocol 2 or later."""
LISTED = 8
"""Names that an error lists at most."""
SCANNED_BYTES = 2**20
"""How much of a torch file is searched for names before it is read."""


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Every loader's configuration enters here.

    Raises:
        LoadError: if there is none, or it names a key twice, or holds what is no JSON.
    """
    text = _text(path)
    try:
        content = parse_json(text)
    except ValueError as error:
        raise LoadError(
            f"{path} is no JSON: {error}. The file is damaged, was edited by mistake, or something "
            "else was saved there."
        ) from error
    if not isinstance(content, dict):
        raise LoadError(f"{path} must hold a JSON object, but holds a {type(content).__name__}.")
    return content


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, as strict as `read_json`.

    Raises:
        LoadError: as `read_json`.
    """
    try:
        content = parse_yaml(_text(path))
    except ValueError as error:
        raise LoadError(
            f"{path} is no YAML: {error}. The file is damaged or was edited."
        ) from error
    if not isinstance(content, dict):
        raise LoadError(f"{path} must hold a mapping, but holds a {type(content).__name__}.")
    return content


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise LoadError(f"{path} is larger than {LARGEST_BYTES:,} bytes: no configuration is.")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise LoadError(f"{path} is no JSON or YAML: it is not UTF-8 text ({error}).") from error


def peek_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file, None if it cannot be read as one. For recognising formats."""
    try:
        return read_json(path)
    except LoadError:
        return None


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file, by name.

    Raises:
        LoadError: if the file is missing, truncated or no safetensors.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no mapping
    except (OSError, SafetensorError, ValueError) as error:
        raise LoadError(_damaged(path, "safetensors", error)) from error


def read_npz(path: Path) -> dict[str, Tensor]:
    """Every array of an npz file, by name. Pickled objects in it are never read.

    Raises:
        LoadError: if the file is missing, truncated, no npz, or holds objects.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: torch.from_numpy(np.array(file[name])) for name in file.files}
    except Exception as error:  # a damaged archive fails in whatever part of numpy meets it
        raise LoadError(_damaged(path, "npz", error)) from error


def read_torch(path: Path) -> Mapping[str, Any]:
    """What `torch.save` wrote, as long as it is a mapping of tensors and plain values.

    Pickled code is never executed: torch's restricted unpickler refuses it.

    Raises:
        LoadError: if the file is missing, truncated, holds code, or holds no mapping.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch thinks of old pickles, errors say below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged archive fails in whatever part of torch meets it
        code = _CODE.search(str(error))
        if code:
            raise LoadError(
                f"{path} holds code ('{code[1]}') and not only tensors. It was not run. Save a "
                "plain state dict instead: torch.save(module.state_dict(), path)."
            ) from error
        if _is_bare_pickle(path):
            raise LoadError(
                f"{path} is a bare pickle, not a zip archive as torch.save writes since torch 1.6, "
                "and does not hold only tensors. It may hold code, and was not run. Save "
                "module.state_dict() with torch.save of torch 1.6 or later, or as safetensors."
            ) from error
        raise LoadError(_damaged(path, "torch", error)) from error
    if not isinstance(content, Mapping):
        raise LoadError(
            f"{path} must hold a state dict, but holds a {type(content).__name__}. Save "
            "module.state_dict()."
        )
    return content


def one_file(place: Path, fits: Callable[[Path], bool]) -> Path:
    """The file itself, or the one file in a folder that fits.

    Raises:
        LoadError: if several do, with their names, or none does.
    """
    if place.is_file():
        return place
    found = sorted(path for path in place.iterdir() if path.is_file() and fits(path))
    if len(found) == 1:
        return found[0]
    if not found:
        raise LoadError(
            f"{place} holds no file of this format, or one so truncated or damaged that nothing "
            "shows its format."
        )
    names = ", ".join(path.name for path in found[:LISTED])
    more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
    raise LoadError(
        f"{place} holds {len(found)} SAEs, one a file: {names}{more}. Name one of them, such as "
        f"{found[0]}."
    )


def mentions(path: Path, *names: str) -> bool:
    """Whether the first part of a torch file holds all these names. Nothing is unpickled."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                pickles = [name for name in archive.namelist() if name.endswith("data.pkl")]
                with archive.open(pickles[0]) as file:
                    content = file.read(SCANNED_BYTES)
        else:
            with path.open("rb") as file:
                content = file.read(SCANNED_BYTES)
    except (OSError, IndexError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return False
    return all(name.encode() in content for name in names)


def _is_bare_pickle(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(1) == _PICKLE


def _damaged(path: Path, kind: str, error: Exception) -> str:
    if not path.is_file():
        return f"{path} does not exist. The folder is incomplete: fetch or copy it again."
    found = _REASON.search(str(error))
    lines = str(error).strip().splitlines() or [type(error).__name__]
    reason = (found[1] if found else lines[0].partition(". In PyTorch")[0]).strip().rstrip(".")
    return (
        f"{path} ({path.stat().st_size:,} bytes) cannot be read as {kind}: {reason}. It is "
        "truncated or damaged: fetch or copy it again."
    )
