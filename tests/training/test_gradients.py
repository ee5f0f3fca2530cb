"""Gradients written by hand are those that automatic differentiation finds."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor

from saeval.training import METHODS, Method, Recipe, Transcoder
from saeval.training.auxk import AUX_COEFFICIENT
from saeval.training.method import Setup, State

TOKENS, D_IN, D_OUT, D_SAE, K = 48, 7, 5, 12, 3


def _case(method: Method, *, reads_what_it_writes: bool) -> tuple[Setup, State]:
    """A setup and a state past its start, with weights away from their special initial values."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(TOKENS, D_IN, generator=generator)
    y = x if reads_what_it_writes else torch.randn(TOKENS, D_OUT, generator=generator)
    setup = Setup(Recipe(D_SAE, K), x, y)
    state = method.start(setup)
    for weight in state.weights.values():
        weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.2)
    state.share = 0.999
    return setup, state


def _check(setup: Setup, method: Method, state: State, loss: Callable[..., Tensor]) -> None:
    """The step's gradients equal those of a loss of weights, state and activations."""
    weights = {name: w.clone().requires_grad_() for name, w in state.weights.items()}
    value = loss(weights, deepcopy(state), setup.x, setup.y)
    expected = torch.autograd.grad(value, list(weights.values()))
    found = method.step(state, setup.x, setup.y).gradients
    assert set(found) == set(weights)
    for name, gradient in zip(weights, expected, strict=True):
        assert torch.allclose(found[name], gradient, atol=1e-5), name


def _pre(w: dict[str, Tensor], state: State, x: Tensor) -> Tensor:
    return (x - w["b_dec"] if state.subtract_b_dec else x) @ w["W_enc"] + w["b_enc"]


def _error(w: dict[str, Tensor], acts: Tensor, y: Tensor) -> Tensor:
    return acts @ w["W_dec"] + w["b_dec"] - y


def _kept(pre: Tensor, size: Tensor, k: int) -> Tensor:
    index = size.topk(k, dim=1).indices
    return torch.zeros_like(pre).scatter(1, index, pre.gather(1, index))


def _squared(error: Tensor) -> Tensor:
    return error.square().sum() / len(error)


def _topk(w: dict[str, Tensor], state: State, x: Tensor, y: Tensor) -> Tensor:
    pre = _pre(w, state, x)
    return _squared(_error(w, _kept(pre, pre, K).relu(), y))


def _abstopk(w: dict[str, Tensor], state: State, x: Tensor, y: Tensor) -> Tensor:
    pre = _pre(w, state, x)
    return _squared(_error(w, _kept(pre, pre.abs(), K), y))


def _abstopk_with_dead(w: dict[str, Tensor], state: State, x: Tensor, y: Tensor) -> Tensor:
    """AuxK sees b_dec, the error, and its own normaliser as constants."""
    pre = _pre(w, state, x)
    error = _error(w, _kept(pre, pre.abs(), K), y)
    dead_pre = ((x - w["b_dec"].detach()) @ w["W_enc"] + w["b_enc"])[:, state.dead]
    revived = _kept(dead_pre, dead_pre.abs(), D_IN // 2) @ w["W_dec"][state.dead]
    missing = error.detach().square().mean()
    return _squared(error) + AUX_COEFFICIENT * _squared(revived + error.detach()) / missing


def _hierarchical(w: dict[str, Tensor], state: State, x: Tensor, y: Tensor) -> Tensor:
    pre = _pre(w, state, x)
    parts = [_squared(_error(w, _kept(pre, pre, j).relu(), y)) for j in range(1, K + 1)]
    return torch.stack(parts).mean()


def _penalised(w: dict[str, Tensor], state: State, x: Tensor, y: Tensor, power: float) -> Tensor:
    acts = _pre(w, state, x).relu()
    l0 = float((acts > 0).sum()) / len(x)
    coefficient = state.memory["controller"].coefficient(l0, state.share)
    penalty = (acts + state.memory.get("softening", 0)).pow(power).sum() / len(x)
    return _squared(_error(w, acts, y)) + coefficient * penalty


def _p_anneal(w: dict[str, Tensor], state: State, x: Tensor, y: Tensor) -> Tensor:
    # 0.1, where p ends; whatever is constant in softened zeros has no gradient.
    return _penalised(w, state, x, y, 0.1)


def _skipping(w: dict[str, Tensor], state: State, x: Tensor, y: Tensor) -> Tensor:
    return _penalised(w, state, x, y - x @ w["W_skip"], 1.0)


@pytest.mark.parametrize(
    "name, loss",
    [
        ("topk", _topk),
        ("abstopk", _abstopk),
        ("hierarchical-topk", _hierarchical),
        ("p-anneal", _p_anneal),
        ("frozen-decoder", _topk),
        ("frozen-encoder", _topk),
        ("soft-frozen", _topk),
        ("permuted-decoder", _topk),
    ],
)
@pytest.mark.parametrize("reads_what_it_writes", [True, False])
def test_gradients(name: str, loss: Any, reads_what_it_writes: bool) -> None:  # noqa: FBT001
    """Of each method's own loss, for SAEs as for transcoders."""
    method: Any = METHODS[name]()
    setup, state = _case(method, reads_what_it_writes=reads_what_it_writes)
    if "p" in state.memory:
        state.memory["p"] = method.exponent(state.share)
    _check(setup, method, state, loss)


def test_gradients_through_dead_latents() -> None:
    """AuxK of an SAE with signs brings back latents on whichever side they are."""
    method: Any = METHODS["abstopk"]()
    setup, state = _case(method, reads_what_it_writes=True)
    state.dead[::2] = True
    _check(setup, method, state, _abstopk_with_dead)


def test_gradients_of_a_skip_connection() -> None:
    """It learns from the prediction's error, together with the latents."""
    method = Transcoder(skip=True)
    setup, state = _case(method, reads_what_it_writes=False)
    state.weights["W_skip"] += 0.1
    _check(setup, method, state, _skipping)


def test_the_penalty_does_not_jump_when_p_falls() -> None:
    """On the batch at which p falls, coefficient times penalty stays what it was."""
    method: Any = METHODS["p-anneal"]()
    setup, state = _case(method, reads_what_it_writes=True)
    acts = _pre(state.weights, state, setup.x).relu()
    soft = acts[acts > 0] + state.memory["softening"]
    before = deepcopy(state.memory["controller"])
    state.memory["p"] = 0.55
    method.step(state, setup.x, setup.y)
    after = state.memory["controller"]
    l0 = float((acts > 0).sum()) / len(acts)
    before.coefficient(l0, state.share)
    ratio = after.coefficient(l0, state.share) / before.coefficient(l0, state.share)
    assert ratio == pytest.approx(float(soft.pow(0.55).sum() / soft.pow(0.1).sum()), rel=1e-4)
