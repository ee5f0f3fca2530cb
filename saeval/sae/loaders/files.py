"""Reading JSON and tensor files that may be damaged or hostile: all plain data, or an error."""

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

_CODE_NAME = re.compile(r"(?:GLOBAL|function|class) ([\w.]+)")
"""Name of the function or class that torch's restricted unpickler refused to call."""
_REASON = re.compile(r"WeightsUnpickler error(?:: *| +)(\S.*)")
"""Where torch's long advice on restricted unpickling states the reason."""
_PICKLE = b"\x80"
"""First byte of a pickle that stands by itself, of protocol 2 or later."""
MAX_NAMES = 8
"""Names that an error lists at most."""
SCANNED_BYTES = 2**20
"""Bytes at the start of a torch file that are searched for names of tensors."""


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Every loader's configuration enters here.

    Raises:
        LoadError: if the file is missing, is no JSON object, or has a key twice.
    """
    text = _read_text(path)
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
        content = parse_yaml(_read_text(path))
    except ValueError as error:
        raise LoadError(
            f"{path} is no YAML: {error}. The file is damaged or was edited."
        ) from error
    if not isinstance(content, dict):
        raise LoadError(f"{path} must hold a mapping, but holds a {type(content).__name__}.")
    return content


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise LoadError(f"{path} is larger than {LARGEST_BYTES:,} bytes: no configuration is.")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise LoadError(f"{path} is no JSON or YAML: it is not UTF-8 text ({error}).") from error


def peek_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file, None if it cannot be read as one. Used to recognise formats."""
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
        raise LoadError(_damage_message(path, "safetensors", error)) from error


def read_npz(path: Path) -> dict[str, Tensor]:
    """Every array of an npz file, by name. Pickled objects in it are never read.

    Raises:
        LoadError: if the file is missing, truncated, no npz, or holds objects.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: torch.from_numpy(np.array(file[name])) for name in file.files}
    except Exception as error:  # a damaged archive fails in whatever part of numpy meets it
        raise LoadError(_damage_message(path, "npz", error)) from error


def read_torch(path: Path) -> Mapping[str, Any]:
    """The mapping of tensors and plain values that `torch.save` wrote.

    Pickled code is never executed: torch's restricted unpickler refuses it.

    Raises:
        LoadError: if the file is missing, truncated, holds code, or holds no mapping.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of old pickles; errors below say more
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged archive fails in whatever part of torch meets it
        code = _CODE_NAME.search(str(error))
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
        raise LoadError(_damage_message(path, "torch", error)) from error
    if not isinstance(content, Mapping):
        raise LoadError(
            f"{path} must hold a state dict, but holds a {type(content).__name__}. Save "
            "module.state_dict()."
        )
    return content


def one_file(path: Path, fits: Callable[[Path], bool]) -> Path:
    """The file itself, or the one file in a folder that fits.

    Raises:
        LoadError: if several files fit, with their names, or none does.
    """
    if path.is_file():
        return path
    files = sorted(file for file in path.iterdir() if file.is_file() and fits(file))
    if len(files) == 1:
        return files[0]
    if not files:
        raise LoadError(
            f"{path} holds no file of this format, or one so truncated or damaged that nothing "
            "shows its format."
        )
    names = ", ".join(file.name for file in files[:MAX_NAMES])
    more = f" and {len(files) - MAX_NAMES} more" if len(files) > MAX_NAMES else ""
    raise LoadError(
        f"{path} holds {len(files)} SAEs, one a file: {names}{more}. Name one of them, such as "
        f"{files[0]}."
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


def _damage_message(path: Path, kind: str, error: Exception) -> str:
    if not path.is_file():
        return f"{path} does not exist. The folder is incomplete: fetch or copy it again."
    match = _REASON.search(str(error))
    lines = str(error).strip().splitlines() or [type(error).__name__]
    reason = (match[1] if match else lines[0].partition(". In PyTorch")[0]).strip().rstrip(".")
    return (
        f"{path} ({path.stat().st_size:,} bytes) cannot be read as {kind}: {reason}. It is "
        "truncated or damaged: fetch or copy it again."
    )
