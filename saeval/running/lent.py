"""Networks and SAEs in the caller's memory: lent for a run, and restored after it."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from saeval.models import LoadedModel
from saeval.sae.architectures.wrapped import Wrapped

_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
)


@contextmanager
def lent(model: Any, saes: Any = ()) -> Iterator[None]:
    """Context in which the caller's objects may be used; it restores them and the random state.

    Within it no weight requires a gradient, and a network is in evaluation mode. An SAE keeps the
    mode that it is in: one in training mode may be refused, and the caller should learn of that.

    Args:
        model: As `saeval.evaluate` takes it: a name, a LoadedModel, or (network, tokenizer).
        saes: As `saeval.evaluate` takes them: one, a sequence, or a mapping. Names are skipped.
    """
    network = _network_of(model)
    modules = [module for module in (network, *_modules_of(saes)) if module is not None]
    restorers = [_module_state(module) for module in modules] + [_random_state()]
    try:
        if network is not None:
            network.eval()
        for module in modules:
            module.requires_grad_(requires_grad=False)
        yield
    finally:
        for restore in restorers:
            restore()


def _network_of(model: Any) -> nn.Module | None:
    if isinstance(model, LoadedModel):
        return model.net
    if isinstance(model, tuple) and model and isinstance(model[0], nn.Module):
        return model[0]
    return None


def _modules_of(saes: Any) -> Iterator[nn.Module]:
    """Yield the SAEs that are torch modules, and the modules in the attributes of other SAEs."""
    if isinstance(saes, Mapping):
        saes = list(saes.values())
    elif isinstance(saes, str) or not isinstance(saes, Sequence):
        saes = [saes]
    for sae in saes:
        inner = sae.foreign.inner if isinstance(sae, Wrapped) else sae
        parts = [inner, *getattr(inner, "__dict__", {}).values()]
        if isinstance(inner, nn.Module):
            parts = [inner]
        yield from (part for part in parts if isinstance(part, nn.Module))


def _module_state(module: nn.Module) -> Callable[[], None]:
    """A function that restores modes, gradient flags, buffers and hooks of a module's parts."""
    modes = [(part, part.training) for part in module.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    hooks = [
        (table, dict(table))
        for part in module.modules()
        for name in _HOOKS
        if (table := getattr(part, name, None)) is not None
    ]
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]

    def restore_state() -> None:
        for part, is_training in modes:
            part.training = is_training
        for parameter, requires_grad in flags:
            parameter.requires_grad_(requires_grad)
        for table, entries in hooks:
            if dict(table) != entries:
                table.clear()
                table.update(entries)
        with torch.no_grad():
            for buffer, value in buffers:
                # Writing in place raises a buffer's version, which autograd checks: a buffer that
                # did not change is left alone.
                if not torch.equal(buffer, value):
                    buffer.copy_(value)

    return restore_state


def _random_state() -> Callable[[], None]:
    """A function that restores the global random generators of torch, numpy and Python."""
    torch_state, python_state = torch.get_rng_state(), random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002  the caller's may be the global one
    has_cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
    cuda_states = torch.cuda.get_rng_state_all() if has_cuda else []

    def restore_state() -> None:
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
        if cuda_states:
            torch.cuda.set_rng_state_all(cuda_states)

    return restore_state
