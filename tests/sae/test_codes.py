"""Sites, sparse codes, and what every SAE can do through the functions beside them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from saeval.errors import UsageError
from saeval.sae import (
    SAE,
    Codes,
    Origin,
    Site,
    content,
    content_hash,
    d_out,
    decode_codes,
    encode_codes,
    origin_of,
    protocol,
)
from saeval.sae.architectures import ARCHITECTURES, JumpReLU, TopK, Transcoder, moved
from saeval.sae.architectures.transforms import InputOnly, LayerNorm, Scale
from saeval.sae.architectures.wrapped import wrap


def acts(tokens: int = 7, d_sae: int = 5) -> Tensor:
    """Sparse acts of either sign, a row of zeros among them."""
    generator = torch.Generator().manual_seed(tokens + d_sae)
    dense = torch.randn(tokens, d_sae, generator=generator)
    dense = dense * (dense.abs() > 0.7)
    dense[1:2] = 0
    return dense


@dataclass(frozen=True, eq=False)
class Plain:
    """An SAE of somebody else's, with the bare protocol."""

    W_dec: Tensor
    d_in: int = 3
    d_sae: int = 5
    seen: list[int] = field(default_factory=list)

    def encode(self, x: Tensor) -> Tensor:
        """Keep what is above 0.3."""
        self.seen.append(len(x))
        h = x @ self.W_dec.T
        return h * (h > 0.3)

    def decode(self, acts: Tensor, x: Tensor) -> Tensor:
        """Linear, plus the first entry of x, to see that x arrives beside its acts."""
        return acts @ self.W_dec + x[:, :1]


def topk(**more: Any) -> TopK:
    """A small TopK."""
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(shape, generator=generator) for shape in ((4, 8), (8,), (8, 4), (4,))]
    return TopK(*weights, k=3, **more)


def test_sites_are_parsed_and_written() -> None:
    """A bare path is a module's output, and anything but in and out is refused."""
    assert Site.parse("h.2") == Site("h.2", "out")
    assert str(Site.parse("h.2.mlp:in")) == "h.2.mlp:in"
    for text in ("", ":out", "h.2:up", "h.2:"):
        with pytest.raises(UsageError, match="is not a site"):
            Site.parse(text)


@pytest.mark.parametrize("tokens, d_sae", [(7, 5), (1, 1), (0, 5), (3, 1)])
def test_codes_hold_what_dense_acts_hold(tokens: int, d_sae: int) -> None:
    """From dense and back nothing changes, and no entry is 0."""
    dense = acts(tokens, d_sae)
    codes = Codes.from_dense(dense)
    assert torch.equal(codes.dense(), dense)
    assert bool((codes.value != 0).all())
    assert codes.tokens == tokens
    assert torch.equal(codes.l0, (dense != 0).sum(1))
    assert torch.equal(torch.stack([codes.token, codes.index], 1), dense.nonzero())


def test_codes_are_cut_and_joined() -> None:
    """Batches of tokens, put together again, are the whole."""
    dense = acts(9)
    codes = Codes.from_dense(dense)
    assert torch.equal(codes.rows(2, 6).dense(), dense[2:6])
    parts = [codes.rows(start, stop) for start, stop in ((0, 3), (3, 3), (3, 9))]
    joined = Codes.join(parts)
    assert torch.equal(joined.dense(), dense)
    assert torch.equal(joined.offsets, codes.offsets)
    assert Codes.join([codes]) is codes


def test_codes_of_a_mask() -> None:
    """Only what the mask says is kept."""
    dense = acts() + 1.5
    mask = dense > 1.5
    assert torch.equal(Codes.from_mask(mask, dense).dense(), dense * mask)


def test_codes_times_a_decoder() -> None:
    """The sparse product is the dense one."""
    dense, W_dec = acts(), torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    found = Codes.from_dense(dense).matmul(W_dec)
    assert torch.allclose(found, dense @ W_dec, atol=1e-6)


@pytest.mark.parametrize("tokens", [0, 1, 11])
def test_objects_are_served_in_bounded_batches(
    monkeypatch: pytest.MonkeyPatch, tokens: int
) -> None:
    """An SAE with the bare protocol is encoded and decoded in batches, each beside its own x."""
    monkeypatch.setattr(protocol, "DENSE_BYTES", 4 * 5 * 4)
    generator = torch.Generator().manual_seed(2)
    plain = Plain(torch.randn(5, 3, generator=generator))
    x = torch.randn(tokens, 3, generator=generator)
    codes = encode_codes(plain, x)
    assert max(plain.seen) <= 4
    dense = plain.encode(x)
    assert torch.allclose(codes.dense(), dense, atol=1e-6)
    assert torch.allclose(decode_codes(plain, codes, x), plain.decode(dense, x), atol=1e-6)
    assert d_out(plain) == 3
    assert isinstance(plain, SAE)
    assert origin_of(plain) == Origin()


def test_an_own_method_is_preferred() -> None:
    """An architecture with sparse methods is asked for them."""
    sae = topk()
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(3))
    codes = encode_codes(sae, x)
    assert torch.equal(codes.dense(), sae.encode_codes(x).dense())
    assert torch.allclose(decode_codes(sae, codes, x), sae.decode(codes.dense(), x), atol=1e-6)


def test_hash_depends_on_content_only() -> None:
    """Equal content has an equal hash, whatever its origin, layout, or other objects it shares."""
    sae = topk()
    same = replace(
        sae,
        W_enc=sae.W_enc.T.contiguous().T,
        origin=Origin(loader="other", model="org/m", read_site="h.1", metadata={"path": "/a"}),
    )
    assert content_hash(sae) == content_hash(topk()) == content_hash(same)
    assert len(content_hash(sae)) == 64


def nudged(tensor: Tensor) -> Tensor:
    """The same but for one bit or so of the last entry."""
    changed = tensor.clone()
    changed.view(-1)[-1] = torch.nextafter(changed.view(-1)[-1], torch.tensor(9e9))
    return changed


@pytest.mark.parametrize("name", ["W_enc", "b_enc", "W_dec", "b_dec"])
def test_hash_sees_every_tensor(name: str) -> None:
    """The least change of any tensor changes the hash."""
    sae = topk()
    assert content_hash(replace(sae, **{name: nudged(getattr(sae, name))})) != content_hash(sae)


@pytest.mark.parametrize(
    "changes",
    [
        {"k": 4},
        {"subtract_b_dec": False},
        {"transform": LayerNorm()},
        {"transform": LayerNorm(1e-6)},
        {"transform": Scale(2.0)},
        {"transform": InputOnly(LayerNorm())},
        {"origin": Origin(centred=True)},
    ],
)
def test_hash_sees_every_parameter(changes: dict[str, Any]) -> None:
    """Parameters, transforms and centring enter the hash, each differently from the others."""
    others = [topk(), topk(transform=Scale(2.5)), topk(transform=LayerNorm(1e-7))]
    changed = content_hash(replace(topk(), **changes))
    assert changed not in [content_hash(one) for one in others]


def test_hash_sees_the_architecture_and_dtype() -> None:
    """The same weights under another activation, or in another dtype, are another SAE."""
    sae = topk()
    weights = (sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec)
    found = {
        content_hash(sae),
        content_hash(ARCHITECTURES["relu"](*weights)),
        content_hash(ARCHITECTURES["abstopk"](*weights, k=3)),
        content_hash(moved(sae, dtype=torch.float64)),
        content_hash(moved(sae, dtype=torch.bfloat16)),
    }
    assert len(found) == 5


def test_hash_of_compositions() -> None:
    """What lies within a transcoder enters its hash, and a skip, too."""
    sae = topk(subtract_b_dec=False)
    composed = Transcoder(sae)
    found = {
        content_hash(composed),
        content_hash(Transcoder(replace(sae, k=2))),
        content_hash(Transcoder(sae, torch.zeros(4, 4))),
        content_hash(sae),
    }
    assert len(found) == 4


class Foreign:
    """An object with a setting, an array, and behaviour that can be changed."""

    def __init__(self, power: float = 1.0, rule: Callable[[Tensor], Tensor] = torch.relu) -> None:
        self.d_in, self.power, self.rule = 3, power, rule
        self.weights = np.arange(15.0).reshape(5, 3) / 10
        self.itself = self

    def encode(self, x: Tensor) -> Tensor:
        """Some rule of a power of products."""
        h = x @ torch.from_numpy(self.weights).float().T
        return self.rule(h).abs() ** self.power

    def decode(self, acts: Tensor) -> Tensor:
        """Linear."""
        return acts @ torch.from_numpy(self.weights).float()


def test_hash_of_objects() -> None:
    """Settings, arrays and behaviour of a foreign object enter its hash; identity does not."""
    base = content_hash(wrap(Foreign()))
    assert base == content_hash(wrap(Foreign()))
    other = Foreign()
    other.weights[0, 0] += 1e-3
    assert content_hash(wrap(other)) != base
    assert content_hash(wrap(Foreign(power=2.0))) != base
    assert content_hash(wrap(Foreign(rule=torch.tanh))) != base


def test_hash_reads_large_tensors_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few bytes are read at a time, the hash is the same."""
    whole = content_hash(topk())
    monkeypatch.setattr(content, "DENSE_BYTES", 8)
    assert content_hash(topk()) == whole


def test_moved_casts_tensors_only() -> None:
    """Casting reaches every tensor, also within a transcoder, and leaves parameters alone."""
    generator = torch.Generator().manual_seed(1)
    inner = JumpReLU(
        *[torch.randn(shape, generator=generator) for shape in ((4, 8), (8,), (8, 4), (4,), (8,))],
        subtract_b_dec=False,
    )
    sae = moved(Transcoder(inner, torch.eye(4)), dtype=torch.float64)
    assert sae.W_skip.dtype == sae.inner.threshold.dtype == torch.float64
    x = torch.randn(5, 4, generator=generator)
    expected = Transcoder(inner, torch.eye(4))
    found = sae.decode(sae.encode(x), x)
    assert torch.allclose(found.float(), expected.decode(expected.encode(x), x), atol=1e-5)
    assert moved(topk(), dtype=torch.float64).k == 3
