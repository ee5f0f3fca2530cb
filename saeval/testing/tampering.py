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
class SpoiltFile:
    """A file with a fault, and the harm of reading it."""

    fault: str
    """The fault as the end of "The folder loads although": `file.json has ...`."""
    harm: str
    """The harm if the file is read nevertheless, and what to do."""


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def spoil(path: Path, name: str, mark: Path) -> Iterator[SpoiltFile]:
    """Spoil a file in one way after another. It is restored before each, and at the end.

    Args:
        path: Path of the file.
        name: Its name in failures.
        mark: A file that code in a pickle would create.
    """
    original = path.read_bytes()
    try:
        yield from _shorten(path, name, original)
        if path.suffix in CONFIGURATIONS:
            yield from _add_keys(path, name, original)
            return
        yield from _plant_code(path, name, mark)
        path.write_bytes(original)
        yield from _change_tensors(path, name)
    finally:
        path.write_bytes(original)


def _shorten(path: Path, name: str, original: bytes) -> Iterator[SpoiltFile]:
    harm = (
        "A download that broke off would be scored. Turn what reading raises into a LoadError "
        "that names the file."
    )
    for length in (0, len(original) // 2, max(0, len(original) - 3)):
        path.write_bytes(original[:length])
        yield SpoiltFile(f"'{name}' ends after {length} of {len(original)} bytes", harm)
    path.write_bytes(original)


def _add_keys(path: Path, name: str, original: bytes) -> Iterator[SpoiltFile]:
    """Add a key to every object of a file, since any of them may configure the arithmetic."""
    content = yaml.safe_load(original)  # reads JSON too
    if isinstance(content, dict):
        path.write_text(json.dumps(_with_unknown_key(content)), encoding="utf-8")
        yield SpoiltFile(
            f"'{name}' has the unknown key '{UNKNOWN_KEY}', which sounds like arithmetic",
            "The SAE would compute something else than its author's code. Refuse what is not "
            "understood, for instance with saeval.sae.loaders.config.remaining.",
        )


def _with_unknown_key(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {**{name: _with_unknown_key(inner) for name, inner in value.items()}, UNKNOWN_KEY: 2.0}


def _plant_code(path: Path, name: str, mark: Path) -> Iterator[SpoiltFile]:
    harm = "Whoever scores an SAE must not run its author's code. Read with weights_only=True."
    path.write_bytes(pickle.dumps({UNKNOWN_TENSOR: Payload(mark)}))
    yield SpoiltFile(f"'{name}' is a pickle that holds code", harm)
    if path.suffix in TORCH_FILES:
        torch.save({UNKNOWN_TENSOR: Payload(mark)}, path)
        yield SpoiltFile(f"'{name}' is a torch file that holds code", harm)
    if path.suffix == ".npz":
        np.savez(path, allow_pickle=True, **{UNKNOWN_TENSOR: np.array([Payload(mark)], object)})
        yield SpoiltFile(f"'{name}' is an npz that holds code", harm)


def _change_tensors(path: Path, name: str) -> Iterator[SpoiltFile]:
    """Add a tensor, and make one not finite, in a file that holds tensors by name."""
    content = _read_tensors(path)
    if content is None:
        return
    tensors, write = content
    write({**tensors, UNKNOWN_TENSOR: torch.ones(3)})
    yield SpoiltFile(
        f"'{name}' has a tensor '{UNKNOWN_TENSOR}' of no meaning",
        "To leave it out might change what the SAE computes. Take the tensors with "
        "saeval.sae.loaders.tensors.exactly.",
    )
    for key, value in tensors.items():
        if isinstance(value, Tensor) and value.is_floating_point() and value.numel() > 1:
            bad = value.clone()
            bad.view(-1)[1] = torch.nan
            write({**tensors, key: bad})
            yield SpoiltFile(
                f"'{key}' in '{name}' holds a NaN",
                "Every score of it would fail later, and less clearly. Take the tensors with "
                "saeval.sae.loaders.tensors.exactly.",
            )
            return


def _read_tensors(path: Path) -> tuple[dict[str, Any], Callable[[dict[str, Any]], object]] | None:
    """Tensors by name, and a function that writes others instead; None for other content."""
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
