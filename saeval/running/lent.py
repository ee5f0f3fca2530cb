"""Networks and SAEs that live in the caller's memory: lent for a run, handed back as they were."""

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
    """Work with objects of the caller's, and leave them and the random state as they were.

    Meanwhile no weight takes a gradient, and a network is in evaluation mode. An SAE is scored in
    the mode that it is in: one in training mode may be refused, which the caller should hear of.

    Args:
        model: As `saeval.evaluate` takes it: a name, a LoadedModel, or (network, tokenizer).
        saes: As it takes them: one, a sequence, or a mapping; names among them are no objects.
    """
    network = _network(model)
    modules = [module for module in (network, *_modules_of(saes)) if module is not None]
    restore = [_module_state(module) for module in modules] + [_random_state()]
    try:
        if network is not None:
            network.eval()
        for module in modules:
            module.requires_grad_(requires_grad=False)
        yield
    finally:
        for put_back in restore:
            put_back()


def _network(model: Any) -> nn.Module | None:
    if isinstance(model, LoadedModel):
        return model.net
    if isinstance(model, tuple) and model and isinstance(model[0], nn.Module):
        return model[0]
    return None


def _modules_of(saes: Any) -> Iterator[nn.Module]:
    """The torch modules among SAEs, and those that an SAE of another kind holds."""
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
    """What puts back modes, gradients' flags, buffers and hooks of a module and all within it."""
    modes = [(part, part.training) for part in module.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    hooks = [
        (table, dict(table))
        for part in module.modules()
        for name in _HOOKS
        if (table := getattr(part, name, None)) is not None
    ]
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]

    def put_back() -> None:
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
                if not torch.equal(buffer, value):  # in place even where nothing changed would
                    buffer.copy_(value)  # raise a buffer's version, which autograd watches

    return put_back


def _random_state() -> Callable[[], None]:
    """What puts back the global random generators of torch, numpy and Python."""
    of_torch, of_python = torch.get_rng_state(), random.getstate()
    of_numpy = np.random.get_state()  # noqa: NPY002  the caller's may be the global one
    has_cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
    of_cuda = torch.cuda.get_rng_state_all() if has_cuda else []

    def put_back() -> None:
        torch.set_rng_state(of_torch)
        np.random.set_state(of_numpy)  # noqa: NPY002
        random.setstate(of_python)
        if of_cuda:
            torch.cuda.set_rng_state_all(of_cuda)

    return put_back
