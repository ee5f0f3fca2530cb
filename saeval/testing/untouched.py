"""Is an SAE unchanged? Its numbers, gradients and mode, before and after its use."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from saeval.sae import SAE, content_hash


@contextmanager
def untouched(sae: SAE, fail: Callable[[str], Exception]) -> Iterator[None]:
    """Check that this block leaves the SAE and torch's global settings unchanged.

    Args:
        sae: A built-in architecture, or a wrapped module.
        fail: Makes an exception from a message.
    """
    state, switches = _state(sae), _switches()
    yield
    state_after = _state(sae)
    for name, value in state.items():
        if state_after[name] != value:
            raise fail(
                f"`score` leaves the SAE with other {name}: the tasks after it would score "
                "something else, and a user's own object is changed. Work on a copy."
            )
    if _switches() != switches:
        raise fail(
            f"`score` leaves torch's {switches} as {_switches()}: what runs after it would "
            "compute otherwise. Use `with torch.no_grad()` and the like around your own code."
        )


def _state(sae: SAE) -> dict[str, Any]:
    module = getattr(getattr(sae, "foreign", None), "inner", None)
    tensors = dict(_tensors(module if module is not None else sae))
    return {
        "requires_grad": {name: value.requires_grad for name, value in tensors.items()},
        "gradients": {name for name, value in tensors.items() if _has_gradient(value)},
        "mode (train or eval)": getattr(module, "training", None),
        # Last: another mode also changes a module's content hash, and "mode" is the clearer name.
        "numbers": (content_hash(sae), [value.dtype for value in tensors.values()]),
    }


def _tensors(holder: Any) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(holder, torch.nn.Module):
        yield from holder.named_parameters()
        return
    for name, value in vars(holder).items():
        if isinstance(value, torch.Tensor):
            yield name, value


def _has_gradient(tensor: torch.Tensor) -> bool:
    return tensor.is_leaf and tensor.grad is not None


def _switches() -> tuple[Any, ...]:
    """Global settings of torch: default dtype, and whether gradients are on."""
    return torch.get_default_dtype(), torch.is_grad_enabled()
