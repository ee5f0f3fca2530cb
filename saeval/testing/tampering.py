"""Ways to spoil a file of an SAE, each of which a loader must refuse."""

import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

UNKNOWN_KEY = "decoder_norm_scale"
"""A configuration key that no format has and that sounds like arithmetic."""
UNKNOWN_TENSOR = "b_unknown"
CONFIGURATIONS = (".json", ".yaml", ".yml")
TORCH_FILES = (".pt", ".pth", ".bin", ".ckpt")


@dataclass(frozen=True)
class Spoilt:
    """A file that was made wrong, and why nobody should read it."""

    what: str
    """`file.json has ...`, as a failure goes on from "loads although"."""
    why: str
    """What harm is done where it is read all the same, and what to do."""


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def spoil(path: Path, name: str, mark: Path) -> Iterator[Spoilt]:
    """Spoil a file in one way after the other; it is whole again before each, and in the end.

    Args:
        path: Of the file.
        name: What to call it.
        mark: A file that code in a pickle would create.
    """
    whole = path.read_bytes()
    try:
        yield from _cut(path, name, whole)
        if path.suffix in CONFIGURATIONS:
            yield from _more_keys(path, name, whole)
            return
        yield from _with_code(path, name, mark)
        path.write_bytes(whole)
        yield from _other_tensors(path, name)
    finally:
        path.write_bytes(whole)


def _cut(path: Path, name: str, whole: bytes) -> Iterator[Spoilt]:
    why = (
        "A download that broke off would be scored. Turn what reading raises into a LoadError "
        "that names the file."
    )
    for kept in (0, len(whole) // 2, max(0, len(whole) - 3)):
        path.write_bytes(whole[:kept])
        yield Spoilt(f"'{name}' ends after {kept} of {len(whole)} bytes", why)
    path.write_bytes(whole)


def _more_keys(path: Path, name: str, whole: bytes) -> Iterator[Spoilt]:
    """One key more in every object, since only some are the configuration of the arithmetic."""
    content = yaml.safe_load(whole)  # which JSON is, too
    if isinstance(content, dict):
        path.write_text(json.dumps(_planted(content)), encoding="utf-8")
        yield Spoilt(
            f"'{name}' has the unknown key '{UNKNOWN_KEY}', which sounds like arithmetic",
            "The SAE would compute something else than its author's code. Refuse what is not "
            "understood, for instance with saeval.sae.loaders.config.remaining.",
        )


def _planted(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {**{name: _planted(inner) for name, inner in value.items()}, UNKNOWN_KEY: 2.0}


def _with_code(path: Path, name: str, mark: Path) -> Iterator[Spoilt]:
    why = "Whoever scores an SAE must not run its author's code. Read with weights_only=True."
    path.write_bytes(pickle.dumps({UNKNOWN_TENSOR: Payload(mark)}))
    yield Spoilt(f"'{name}' is a pickle that holds code", why)
    if path.suffix in TORCH_FILES:
        torch.save({UNKNOWN_TENSOR: Payload(mark)}, path)
        yield Spoilt(f"'{name}' is a torch file that holds code", why)
    if path.suffix == ".npz":
        np.savez(path, allow_pickle=True, **{UNKNOWN_TENSOR: np.array([Payload(mark)], object)})
        yield Spoilt(f"'{name}' is an npz that holds code", why)


def _other_tensors(path: Path, name: str) -> Iterator[Spoilt]:
    """One tensor more, and one that is not finite, where the file holds tensors by name."""
    found = _read(path)
    if found is None:
        return
    tensors, write = found
    write({**tensors, UNKNOWN_TENSOR: torch.ones(3)})
    yield Spoilt(
        f"'{name}' has a tensor '{UNKNOWN_TENSOR}' of no meaning",
        "To leave it out might change what the SAE computes. Take the tensors with "
        "saeval.sae.loaders.tensors.exactly.",
    )
    for key, value in tensors.items():
        if isinstance(value, Tensor) and value.is_floating_point() and value.numel() > 1:
            bad = value.clone()
            bad.view(-1)[1] = torch.nan
            write({**tensors, key: bad})
            yield Spoilt(
                f"'{key}' in '{name}' holds a NaN",
                "Every score of it would fail later, and less clearly. Take the tensors with "
                "saeval.sae.loaders.tensors.exactly.",
            )
            return


def _read(path: Path) -> tuple[dict[str, Any], Callable[[dict[str, Any]], object]] | None:
    """Tensors by name, and what writes others in their place; None for other content."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path), lambda tensors: save_file(tensors, path)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: torch.from_numpy(file[name]) for name in file.files}
            return arrays, lambda tensors: np.savez(
                path, **{name: value.numpy() for name, value in tensors.items()}
            )
        if path.suffix in TORCH_FILES:
            content = torch.load(path, weights_only=True)
            if isinstance(content, dict):
                return content, lambda tensors: torch.save(tensors, path)
    except (OSError, ValueError, TypeError, SafetensorError, pickle.UnpicklingError):
        return None
    return None
