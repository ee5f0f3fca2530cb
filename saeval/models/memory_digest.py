"""Identity of a network in memory: its configuration and the bytes of all its weights."""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from saeval.errors import ModelError


def network_digest(net: nn.Module) -> str:
    """sha256 of a network's configuration and state, whatever its weights' types.

    Quantised layers may keep packed integers, and state that is no tensor.

    Raises:
        ModelError: if a weight is not in memory, or its bytes cannot be had.
    """
    digest = hashlib.sha256(str(getattr(net, "config", "")).encode())
    for name, value in sorted(net.state_dict().items()):
        try:
            _feed(digest, name, value)
        except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
            raise ModelError(
                f"The weights '{name}' ({type(value).__name__}) have no bytes to identify the "
                f"network by: {' '.join(str(error).split()):.200}. Load it whole into memory, or "
                "name the model's folder or id instead."
            ) from error
    return digest.hexdigest()


def _feed(digest: Any, name: str, value: Any) -> None:
    """Add one entry of a state to a digest."""
    if isinstance(value, Tensor):
        if value.is_meta:
            raise ValueError("they are on the device 'meta', so not in memory")
        # A quantised parameter is a class of its own, whose methods may convert it on the way.
        plain = value.detach().as_subclass(Tensor).cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)};".encode())
        digest.update(plain.view(-1).view(torch.uint8).numpy())
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            _feed(digest, f"{name}.{key}", value[key])
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            _feed(digest, f"{name}.{number}", item)
    elif value is None or isinstance(value, str | bytes | bool | int | float | torch.dtype):
        digest.update(f"{name} {value!r};".encode())
    else:
        raise TypeError(f"a {type(value).__name__} is no tensor")
