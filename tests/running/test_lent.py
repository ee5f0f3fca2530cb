"""What lives in the caller's memory is as it was after a call, be it that the call failed."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from tiny_runs import WIDTH, Broken, Error, sae_folder, texts_file
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

import saeval
from saeval.models import LoadedModel, load_model
from saeval.running.lent import lent
from saeval.running.plan.plan import plan


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A working folder of its own."""
    monkeypatch.chdir(tmp_path)
    yield
    Error.scored.clear()


@pytest.fixture
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A network in the middle of its training, one weight frozen on purpose; and its tokenizer."""
    folder = tiny_models.build("gpt2", tmp_path_factory.mktemp("gpt2"))
    net: Any = AutoModelForCausalLM.from_pretrained(folder).train()
    net.transformer.wte.weight.requires_grad_(requires_grad=False)
    net.transformer.h[0].eval()
    net.transformer.h[1].register_forward_hook(lambda *_: None)
    return net, AutoTokenizer.from_pretrained(folder)


class Module(nn.Module):
    """An SAE of somebody's, with parameters that are trained and a buffer that training moves."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.d_in = WIDTH
        self.W_enc = nn.Parameter(torch.randn(WIDTH, 24, generator=generator))
        self.W_dec = nn.Parameter(torch.randn(24, WIDTH, generator=generator))
        self.norms = nn.BatchNorm1d(24)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Latents of x."""
        return torch.relu(self.norms(x @ self.W_enc))

    def decode(self, acts: torch.Tensor) -> torch.Tensor:
        """Reconstruction of x."""
        return acts @ self.W_dec


def _state(module: nn.Module) -> dict[str, Any]:
    """All of a module that a stranger could change."""
    return {
        "modes": [part.training for part in module.modules()],
        "flags": [parameter.requires_grad for parameter in module.parameters()],
        "grads": [parameter.grad is None for parameter in module.parameters()],
        "hooks": [
            [list(getattr(part, name)) for name in ("_forward_hooks", "_forward_pre_hooks")]
            for part in module.modules()
        ],
        "tensors": {
            name: (value.dtype, value.device, value.detach().clone().numpy().tobytes())
            for name, value in module.state_dict().items()
        },
        "objects": [id(parameter) for parameter in module.parameters()],
    }


def _random_state() -> tuple[Any, ...]:
    return (
        torch.get_rng_state().numpy().tobytes(),
        np.random.get_state()[1].tobytes(),  # noqa: NPY002  # type: ignore[union-attr]
    )  # Python's own is drawn from by the type checks of these tests: see the last test


CALLS: dict[str, Callable[[Any, Path], Any]] = {
    "evaluate": lambda model, folder: saeval.evaluate(
        sae_folder(folder / "a"), Error(), model=model, site="layers.1"
    ),
    "core": lambda model, folder: saeval.evaluate(
        sae_folder(folder / "a"),
        "core",
        model=model,
        site="layers.1",
        config={"core": {"texts": str(texts_file(folder)), "overflow": "truncate", "context": 16}},
    ),
    "a failing task": lambda model, folder: saeval.evaluate(
        sae_folder(folder / "a"), Broken(), model=model, site="layers.1"
    ),
    "a bad site": lambda model, folder: saeval.evaluate(
        sae_folder(folder / "a"), Error(), model=model, site="layers.99"
    ),
    "plan": lambda model, folder: plan(
        sae_folder(folder / "a"), Error(), model=model, site="layers.1"
    ),
    "train_sae": lambda model, _: saeval.train_sae(
        "topk",
        model=model,
        site="layers.1",
        data=["the cat sat on the mat, and the dog ran after it"] * 200,
        d_sae=32,
        k=4,
        tokens=2_000,
        batch_size=256,
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_network_is_handed_back_as_it_was(
    call: str, pair: tuple[Any, Any], tmp_path: Path
) -> None:
    """Modes, flags, hooks, weights and random states are the same; training goes on."""
    net, tokenizer = pair
    before, dice = _state(net), _random_state()
    try:
        CALLS[call]((net, tokenizer), tmp_path)
    except saeval.errors.SaevalError:
        assert call == "a bad site"
    assert _state(net) == before
    assert _random_state() == dice
    ids = torch.tensor([tokenizer("the cat sat").input_ids])
    net(ids, labels=ids).loss.backward()


def test_a_network_is_scored_in_evaluation_mode(pair: tuple[Any, Any], tmp_path: Path) -> None:
    """The scores are those of the same network after `eval()`: no dropout enters them."""
    net, tokenizer = pair
    net.config.resid_pdrop = net.config.embd_pdrop = 0.5
    for part in net.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.5
    in_training = CALLS["core"]((net, tokenizer), tmp_path)
    net.eval()
    at_rest = saeval.evaluate(
        tmp_path / "a",
        "core",
        model=(net, tokenizer),
        site="layers.1",
        config={
            "core": {"texts": str(tmp_path / "texts.txt"), "overflow": "truncate", "context": 16}
        },
        force=True,
        output_path="again",
    )
    values = [[score.value for score in results[0].scores] for results in (in_training, at_rest)]
    assert values[0] == values[1]
    assert in_training[0].status == "scored", in_training[0].reason
    assert any(value is not None for value in values[0])


def test_a_loaded_model_is_handed_back_too(tmp_path: Path) -> None:
    """It may be trained on like any other."""
    model: LoadedModel = load_model(str(tiny_models.build("gpt2", tmp_path / "gpt2")))
    model.net.train().requires_grad_(requires_grad=True)
    before = _state(model.net)
    CALLS["evaluate"](model, tmp_path)
    assert _state(model.net) == before


@pytest.mark.parametrize("is_training", [False, True])
def test_an_sae_is_handed_back_as_it_was(pair: tuple[Any, Any], *, is_training: bool) -> None:
    """A module's buffers too, though it was asked in training mode, which the user is told."""
    sae = Module().train(is_training)
    before = _state(sae)
    result = saeval.evaluate({"mine": sae}, Error(), model=pair, site="layers.1")[0]
    assert _state(sae) == before
    if is_training:
        assert "is in training mode" in str(result.reason)
    else:
        assert result.status == "scored", result.reason


def test_the_random_generators_go_on_from_where_they_were() -> None:
    """Also if what is drawn meanwhile ends in an error."""
    dice = (random.getstate(), *_random_state())
    with pytest.raises(ZeroDivisionError), lent(None):
        _draw_and_fail()
    assert (random.getstate(), *_random_state()) == dice


def _draw_and_fail() -> None:
    _ = random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002
    raise ZeroDivisionError
