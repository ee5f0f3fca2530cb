"""What SAEs declare: every built-in architecture, and objects that declare nothing, or all."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_runs import topk

from saeval.errors import UsageError
from saeval.sae import Origin, Traits, encode_codes, traits_of, with_k
from saeval.sae.architectures import ARCHITECTURES
from saeval.sae.architectures.abstopk import AbsTopK
from saeval.sae.architectures.hierarchical_topk import HierarchicalTopK
from saeval.sae.architectures.itda import ITDA
from saeval.sae.architectures.matching_pursuit import MatchingPursuit
from saeval.sae.architectures.neurons import Neurons
from saeval.sae.architectures.pca import PCA
from saeval.sae.architectures.relu import ReLU
from saeval.sae.architectures.topk import TopK
from saeval.sae.architectures.transcoder import Transcoder
from saeval.sae.architectures.weighted_topk import WeightedTopK
from saeval.sae.architectures.wrapped import wrap
from saeval.sae.traits import extra_inputs

GENERATOR = torch.Generator().manual_seed(0)
W = torch.nn.functional.normalize(torch.randn(12, 6, generator=GENERATOR), dim=1)
X = torch.randn(20, 6, generator=GENERATOR)
AFFINE: dict[str, Any] = {
    "W_enc": W.T.contiguous(),
    "b_enc": torch.ones(12),
    "W_dec": W,
    "b_dec": torch.zeros(6),
}
TAKING = {
    "topk": TopK(**AFFINE, k=4),
    "abstopk": AbsTopK(**AFFINE, k=4),
    "weighted_topk": WeightedTopK(**AFFINE, weight=torch.ones(12), k=4),
    "hierarchical_topk": HierarchicalTopK(**AFFINE, k=4, max_k=6),
    "itda": ITDA(W, torch.zeros(6), k=4),
    "matching_pursuit": MatchingPursuit(W, torch.zeros(6), max_steps=4),
    "pca": PCA(torch.eye(6), torch.zeros(6), k=4),
    "neurons": Neurons(torch.zeros(6), k=4),
    "transcoder": Transcoder(TopK(**AFFINE, k=4)),
}


@pytest.mark.parametrize("name", sorted(TAKING))
def test_with_k_answers_with_so_many_latents(name: str) -> None:
    """For k below, at and above its own; what it answers at its own k is what it answered."""
    sae = TAKING[name]
    assert traits_of(sae).takes_k
    for k in (1, 3, 4, 5):
        other = with_k(sae, k)
        l0 = encode_codes(other, X).l0
        assert type(other) is type(sae)
        assert l0.max() <= k
        assert float(l0.double().mean()) > 0.6 * k
    assert torch.equal(with_k(sae, 4).encode(X), sae.encode(X))
    assert torch.equal(with_k(with_k(sae, 1), 4).encode(X), sae.encode(X))
    if name != "matching_pursuit":  # which stops by itself
        with pytest.raises(UsageError, match="k is 99"):
            with_k(sae, 99)


def test_only_architectures_with_a_k_of_their_own_take_one() -> None:
    """All others say so, a transcoder by what it holds."""
    declared = {name for name, kind in ARCHITECTURES.items() if getattr(kind, "takes_k", False)}
    assert declared == set(TAKING)
    for sae in (ReLU(**AFFINE), Transcoder(ReLU(**AFFINE))):
        assert not traits_of(sae).takes_k
        with pytest.raises(UsageError, match="does not take a number of latents"):
            with_k(sae, 2)


def test_what_declares_nothing_is_ordinary() -> None:
    """Any object at all, and every built-in SAE but for its sign, k and site."""
    assert traits_of(object()) == Traits()
    assert traits_of(SimpleNamespace(origin="somewhere")) == Traits()
    traits = traits_of(topk(read_site="layers.1"))
    assert traits == Traits(takes_k=True, read_sites=("layers.1",), write_sites=("layers.1",))
    assert not traits.several_sites


def test_several_sites_are_those_of_the_origin() -> None:
    """At either end; without write sites they are the read sites."""
    for read, write, several in (
        ("a,b", None, True), ("a", "a,b", True), ("a , b", "c", True), ("a", "b", False),
    ):  # fmt: skip
        traits = traits_of(SimpleNamespace(origin=Origin(read_site=read, write_site=write)))
        assert traits.several_sites == several
        assert traits.write_sites == (tuple((write or read).split(",")))


class Needy:
    """Needs ids and gradients, and takes a k."""

    d_in, signed, needs_tokens, needs_gradient, takes_k = 6, False, True, True, True

    def __init__(self, k: int = 12) -> None:
        self.k, self.W_dec = k, W

    def encode(self, x: torch.Tensor, *, tokens: torch.Tensor, gradient: torch.Tensor):  # noqa: ANN201
        """Gradients along the directions, larger for larger ids; the k largest by size."""
        acts = (gradient * x) @ W.T * (1 + tokens[:, None])
        return acts * (acts.abs() >= acts.abs().topk(self.k)[0][:, -1:])

    def decode(self, acts: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Directions times acts."""
        return acts @ W + 0 * x

    def with_k(self, k: int) -> "Needy":
        """With another k."""
        return Needy(k)


def test_an_object_gets_what_it_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrapped, it answers as itself in any number of parts; negative acts are seen to be signed."""
    sae = wrap(Needy())
    assert traits_of(sae) == Traits(
        signed=True, needs_gradient=True, needs_tokens=True, takes_k=True
    )
    given = {"tokens": torch.arange(20) % 5, "gradient": torch.randn(20, 6, generator=GENERATOR)}
    expected = Needy().encode(X, **given)
    assert torch.allclose(encode_codes(sae, X, given).dense(), expected)
    monkeypatch.setattr("saeval.sae.protocol.DENSE_BYTES", 4 * 12 * 7)
    assert torch.allclose(encode_codes(sae, X, given).dense(), expected)
    few = with_k(sae, 2)
    assert encode_codes(few, X, given).l0.tolist() == [2] * 20
    assert traits_of(few) == traits_of(sae)


def test_what_is_needed_and_not_there_is_named() -> None:
    """Nothing else is handed over, whatever there is."""
    assert extra_inputs(Traits(), tokens=X, gradient=X) == {}
    assert list(extra_inputs(Traits(needs_tokens=True), tokens=X, gradient=X)) == ["tokens"]
    with pytest.raises(UsageError, match="needs tokens and gradient beside x"):
        extra_inputs(Traits(needs_tokens=True, needs_gradient=True))
