"""The identity of an SAE by content: a hash of all that decides what it computes."""

import hashlib
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saeval.sae.protocol import DENSE_BYTES, SAE
from saeval.sae.site import Origin


def content_hash(sae: SAE) -> str:
    """SHA-256 of all that decides what an SAE computes: tensors, their dtypes, and configuration.

    Names, paths and devices do not enter. For an object that is not saeval's own, all its
    attributes enter, and its answers to the probe when it was wrapped. Those answers are exact on
    one machine only: elsewhere the hash may differ, and then the SAE is evaluated again.
    """
    digest = hashlib.sha256()
    _feed(digest, sae, ancestors=set())
    return digest.hexdigest()


def _feed(digest: Any, value: Any, ancestors: set[int]) -> None:
    """Add one value to the digest, each kind under a tag of its own."""
    if isinstance(value, Tensor):
        digest.update(f"tensor {value.dtype} {tuple(value.shape)};".encode())
        _feed_bytes(digest, value)
    elif isinstance(value, np.ndarray):
        digest.update(f"array {value.dtype} {value.shape};".encode() + value.tobytes())
    elif value is None or isinstance(value, bool | int | float | str | bytes | torch.dtype):
        digest.update(f"{type(value).__name__} {value!r};".encode())
    elif isinstance(value, Origin):
        # Only centring bears on the computation; the rest of an origin is for the record.
        digest.update(f"centred {value.centred};".encode())
    elif not isinstance(value, torch.device) and id(value) not in ancestors:
        # `ancestors` are the values that contain this one, so that a cycle of references ends.
        digest.update(f"{type(value).__qualname__} (".encode())
        for name, part in _parts(value):
            digest.update(f"{name!r}=".encode())
            _feed(digest, part, ancestors | {id(value)})
        digest.update(b");")


def _parts(value: Any) -> list[tuple[Any, Any]]:
    """Names and values that a compound value consists of, in an order that is always the same."""
    if is_dataclass(value) and not isinstance(value, type):
        return [(item.name, getattr(value, item.name)) for item in fields(value)]
    if isinstance(value, Mapping):
        return sorted(value.items(), key=lambda item: repr(item[0]))
    if isinstance(value, AbstractSet):
        return [(repr(item), None) for item in sorted(value, key=repr)]
    if isinstance(value, Sequence):
        return list(enumerate(value))
    if callable(value) and hasattr(value, "__qualname__"):
        return [(value.__qualname__, None)]
    return sorted(getattr(value, "__dict__", {}).items())


def _feed_bytes(digest: Any, tensor: Tensor) -> None:
    """A tensor's bytes, some rows at a time, wherever it lies and however it is strided."""
    rows = tensor.detach().reshape(tensor.shape[0] if tensor.ndim else 1, -1)
    step = max(1, DENSE_BYTES // max(1, rows.shape[1] * rows.element_size()))
    for part in torch.split(rows, step):
        digest.update(part.cpu().contiguous().view(torch.uint8).numpy())
