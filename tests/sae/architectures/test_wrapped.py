"""Any object with encode and decode becomes an SAE, unless its answers show that it is none."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from saeval.errors import LoadError
from saeval.sae import Origin, decode_codes, encode_codes
from saeval.sae.architectures.wrapped import wrap


class Coder(nn.Module):
    """A torch module with two Linears and no W_dec."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.activation_dim = 4
        self.encoder, self.decoder = nn.Linear(4, 9), nn.Linear(9, 4)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)

    def encode(self, x: Tensor) -> Tensor:
        """Relu of a Linear."""
        return torch.relu(self.encoder(x))

    def decode(self, acts: Tensor) -> Tensor:
        """A Linear."""
        return self.decoder(acts)


def inputs(d_in: int = 4) -> Tensor:
    """Some activations."""
    return torch.randn(12, d_in, generator=torch.Generator().manual_seed(5))


def with_methods(encode: Callable[..., Any], decode: Callable[..., Any], **more: Any) -> Any:
    """An object of these methods."""
    return SimpleNamespace(encode=encode, decode=decode, **{"d_in": 4} | more)


W = torch.randn(9, 4, generator=torch.Generator().manual_seed(1))


def encode(x: Tensor) -> Tensor:
    """relu(x W')."""
    return torch.relu(x @ W.T)


def decode(acts: Tensor) -> Tensor:
    """Acts times W, plus 1."""
    return acts @ W + 1


def test_a_torch_module() -> None:
    """A module is served, its decoder's directions recovered by decoding."""
    module = Coder()
    sae = wrap(module)
    x = inputs()
    with torch.no_grad():
        assert torch.equal(sae.encode(x), module.encode(x))
        assert torch.equal(
            sae.decode(sae.encode(x), x), module(x) if False else module.decode(module.encode(x))
        )
    assert (sae.d_in, sae.d_sae) == (4, 9)
    assert torch.allclose(sae.W_dec, module.decoder.weight.T, atol=1e-5)


def test_an_object_with_x_in_decode() -> None:
    """decode(acts, x) gets the x that its acts came from."""
    sae = wrap(with_methods(encode, lambda acts, x: acts @ W + x, W_dec=W))
    x = inputs()
    assert torch.allclose(sae.decode(sae.encode(x), x), encode(x) @ W + x)
    codes = encode_codes(sae, x)
    assert torch.allclose(decode_codes(sae, codes, x), encode(x) @ W + x, atol=1e-5)


def test_an_optional_parameter_is_not_x() -> None:
    """A second parameter with a default keeps it, unless it is called x."""
    kept = wrap(with_methods(encode, lambda acts, normalize=False: acts @ W + bool(normalize)))
    x = inputs()
    assert torch.allclose(kept.decode(encode(x), x), encode(x) @ W)
    fed = wrap(with_methods(encode, lambda acts, x=None: acts @ W + (x is None), W_dec=W))
    assert torch.allclose(fed.decode(encode(x), x), encode(x) @ W)


def test_half_precision_objects() -> None:
    """An object in bfloat16 is fed bfloat16 and answers in the asker's dtype."""
    sae = wrap(Coder().to(torch.bfloat16))
    with torch.no_grad():
        assert sae.encode(inputs()).dtype == torch.float32
    assert sae.W_dec.dtype == torch.float32


def test_numpy_answers() -> None:
    """An object that computes in numpy is served."""
    sae = wrap(with_methods(lambda x: encode(x).numpy(), lambda acts: decode(acts).numpy()))
    assert torch.equal(sae.encode(inputs()), encode(inputs()))


@pytest.mark.parametrize(
    "more",
    [
        {"d_in": 4},
        {"activation_dim": 4},
        {"cfg": SimpleNamespace(d_in=4)},
        {"cfg": {"act_size": 4}},
        {"W_enc": torch.zeros(4, 9)},
        {"W_dec": W},
    ],
)
def test_the_input_width_is_found(more: dict[str, Any]) -> None:
    """Every usual way to tell the width is understood."""
    assert wrap(SimpleNamespace(encode=encode, decode=decode, **more)).d_in == 4
    assert wrap(SimpleNamespace(encode=encode, decode=decode), d_in=4).d_in == 4


def test_the_origin_is_read() -> None:
    """Model, site and BOS policy are read from a configuration, SAEBench's or SAELens'."""
    metadata = SimpleNamespace(hook_name="blocks.3.hook_resid_post", context_size=64)
    cfg = SimpleNamespace(model_name="org/m", prepend_bos=True, metadata=metadata)
    origin = wrap(with_methods(encode, decode, cfg=cfg)).origin
    assert (origin.model, origin.read_site) == ("org/m", "blocks.3.hook_resid_post")
    assert (origin.prepend_bos, origin.context_size) == (True, 64)
    own = Origin(model="org/n", centred=True)
    assert wrap(with_methods(encode, decode, origin=own)).origin is own


def test_objects_may_name_several_sites() -> None:
    """A list or a text with commas is read as the names of all sites, at either end."""
    for sites in (["layers.0", "layers.1"], ("layers.0", "layers.1"), "layers.0,layers.1"):
        origin = wrap(with_methods(encode, decode, read_site=sites, write_site="layers.2")).origin
        assert origin.read_sites == ("layers.0", "layers.1")
        assert origin.write_sites == ("layers.2",)
    assert wrap(with_methods(encode, decode, read_site="a,b")).origin.write_sites == ("a", "b")


def test_an_object_that_differentiates_is_let() -> None:
    """It switches gradients on for itself; without, the error says so."""

    def by_gradient(x: Tensor) -> Tensor:
        start = torch.zeros(len(x), 9, requires_grad=True)
        (start @ W * x).sum().backward()
        assert start.grad is not None
        return torch.relu(start.grad)

    assert wrap(with_methods(torch.enable_grad()(by_gradient), decode)).d_sae == 9
    with pytest.raises(LoadError, match=r"torch\.enable_grad"):
        wrap(with_methods(by_gradient, decode))


class Stateful:
    """Remembers in encode what decode uses, as some libraries do."""

    d_in = 4

    def encode(self, x: Tensor) -> Tensor:
        """Remember a scale a token."""
        self.scale = x.norm(dim=1, keepdim=True)
        return encode(x / self.scale)

    def decode(self, acts: Tensor) -> Tensor:
        """Use the scale."""
        return decode(acts) * self.scale


class Forgetful(Stateful):
    """Forgets it after one use."""

    def decode(self, acts: Tensor) -> Tensor:
        """Use the scale once."""
        y = super().decode(acts)
        del self.scale
        return y


def batch_topk(x: Tensor) -> Tensor:
    """Keep as many as there are tokens in the batch, of all of them."""
    acts = encode(x)
    return acts * (acts >= acts.flatten().topk(len(x)).values[-1])


REFUSED: dict[str, tuple[Any, str]] = {
    "no encode": (SimpleNamespace(decode=decode, d_in=4), "no method 'encode'"),
    "no decode": (SimpleNamespace(encode=encode, d_in=4), "no method 'decode'"),
    "no width": (SimpleNamespace(encode=encode, decode=decode), "does not tell the width"),
    "a tuple": (with_methods(lambda x: (encode(x), 1), decode), "encode must be a tensor.*tuple"),
    "nothing": (with_methods(encode, lambda _acts: None), "decode must be a tensor.*NoneType"),
    "an exception": (with_methods(encode, lambda acts: acts @ W.T), "cannot decode 8 tokens"),
    "too few rows": (with_methods(lambda x: encode(x)[1:], decode), r"encode.*answers \[7, 9\]"),
    "too few axes": (with_methods(encode, lambda acts: acts.sum(1)), r"decode.*answers \[8\]"),
    "infinite acts": (with_methods(lambda x: encode(x) / 0, decode), "not finite"),
    "batch top-k": (with_methods(batch_topk, decode), "changes with the tokens beside it"),
    "memory": (Stateful(), "decode 1? ?.*remember nothing|cannot decode"),
    "short memory": (Forgetful(), "cannot decode|remember nothing"),
    "W_dec turned": (with_methods(encode, decode, W_dec=W.T), r"W_dec of.*\[4, 9\]"),
    "W_dec as text": (with_methods(encode, decode, W_dec="W"), "W_dec must be a tensor"),
    "a curved decode": (with_methods(encode, lambda acts: decode(acts) ** 2), "not affine"),
    "a decode of x": (with_methods(encode, lambda acts, x: decode(acts) + x), "depends on x"),
}


@pytest.mark.parametrize("inner, reason", REFUSED.values(), ids=REFUSED)
def test_what_is_no_sae_is_refused(inner: Any, reason: str) -> None:
    """An object whose answers cannot be an SAE's is refused with what to change."""
    with pytest.raises(LoadError, match=reason):
        wrap(inner)


class Dropping(Coder):
    """Drops inputs in training, as dropout does."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def encode(self, x: Tensor) -> Tensor:
        """Relu of a Linear of what is not dropped."""
        return super().encode(self.dropout(x))


class BatchInTraining(Coder):
    """Keeps what is above a batch's mean in training, and those over a threshold otherwise."""

    def encode(self, x: Tensor) -> Tensor:
        """One of the two."""
        acts = super().encode(x)
        threshold = acts.mean(0) if self.training else 0.5
        return acts * (acts >= threshold)


@pytest.mark.parametrize("kind", [Dropping, BatchInTraining])
def test_training_mode_is_told(kind: type[Coder]) -> None:
    """A module that answers as in training is told so, and is served after eval()."""
    module = kind()
    with pytest.raises(LoadError, match=r"is in training mode.*Call its eval\(\)"):
        wrap(module)
    assert wrap(module.eval()).d_sae == 9


def test_a_part_in_training_mode_is_told() -> None:
    """The part that was left in training mode is named."""
    module = Dropping().eval()
    module.dropout.train()
    with pytest.raises(LoadError, match=r"training mode \(its part 'dropout'\)"):
        wrap(module)


def test_directions_are_recovered_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few one-hot acts are held at a time, the same directions come out."""
    whole = wrap(with_methods(encode, decode)).W_dec
    monkeypatch.setattr("saeval.sae.architectures.wrapped.IDENTITY_BYTES", 4 * 9 * 2)
    parts = wrap(with_methods(encode, decode)).W_dec
    assert torch.allclose(parts, whole, atol=1e-6)
    assert np.allclose(parts, W, atol=1e-5)
