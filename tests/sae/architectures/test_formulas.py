"""Every architecture computes its formula, densely and sparsely, against plain numpy in float64."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from saeval.errors import LoadError
from saeval.sae import SAE, Codes, decode_codes, encode_codes
from saeval.sae.architectures import (
    ARCHITECTURES,
    ITDA,
    PCA,
    AbsTopK,
    BatchTopK,
    Gated,
    GroupMax,
    HierarchicalTopK,
    JumpReLU,
    MatchingPursuit,
    Matryoshka,
    Neurons,
    ReLU,
    TopK,
    Transcoder,
    WeightedTopK,
    build,
)
from saeval.sae.architectures.transforms import InputOnly, LayerNorm, Scale

D_IN, D_SAE = 6, 32


@pytest.fixture
def w() -> SimpleNamespace:
    """Weights and inputs as float32 numpy arrays, with a zero row and a row of large values."""
    rng = np.random.default_rng(11)

    def draw(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    x = draw(40, D_IN)
    x[3], x[8] = 0, x[8] * 1000
    unit = draw(D_SAE, D_IN)
    return SimpleNamespace(
        x=x,
        W_enc=draw(D_IN, D_SAE),
        b_enc=draw(D_SAE, scale=0.3),
        W_dec=draw(D_SAE, D_IN),
        b_dec=draw(D_IN, scale=0.5),
        threshold=draw(D_SAE, scale=0.5),
        b_gate=draw(D_SAE, scale=0.3),
        b_mag=draw(D_SAE, scale=0.3),
        r_mag=draw(D_SAE, scale=0.3),
        atoms=unit / np.linalg.norm(unit, axis=1, keepdims=True),
    )


def tensors(w: SimpleNamespace, *names: str) -> dict[str, Any]:
    """Some of the weights as tensors."""
    return {name: torch.from_numpy(getattr(w, name)) for name in names}


def affine(w: SimpleNamespace) -> dict[str, Any]:
    """The weights that most architectures have."""
    return tensors(w, "W_enc", "b_enc", "W_dec", "b_dec")


def wide(w: SimpleNamespace) -> SimpleNamespace:
    """The weights in float64."""
    return SimpleNamespace(**{key: value.astype(np.float64) for key, value in vars(w).items()})


def preactivations(w: SimpleNamespace) -> np.ndarray:
    """(x - b_dec) W_enc + b_enc."""
    v = wide(w)
    return (v.x - v.b_dec) @ v.W_enc + v.b_enc


def top(scores: np.ndarray, k: int) -> np.ndarray:
    """Whether an entry is among the k largest of its row."""
    return scores >= np.sort(scores, 1)[:, -k][:, None]


def agree(sae: SAE, w: SimpleNamespace, f: np.ndarray, x_hat: np.ndarray | None = None) -> None:
    """Acts and reconstructions, dense and sparse, are those given, to 1e-5 of each row."""
    x = torch.from_numpy(w.x)
    acts, codes = sae.encode(x), encode_codes(sae, x)
    expected = f @ w.W_dec.astype(np.float64) + w.b_dec if x_hat is None else x_hat
    for found in (acts, codes.dense()):
        assert np.array_equal(found.numpy() != 0, f != 0)
        close(found.numpy(), f)
    for found in (sae.decode(acts, x), decode_codes(sae, codes, x)):
        close(found.numpy(), expected)
    assert isinstance(codes, Codes)
    assert isinstance(sae, SAE)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    """Within 1e-5 of each row's largest value."""
    scale = np.abs(expected).max(1, keepdims=True)
    assert np.isfinite(found).all()
    assert (np.abs(found - expected) <= 1e-5 * scale + 1e-12).all()


def test_relu(w: SimpleNamespace) -> None:
    """relu(pre)."""
    agree(ReLU(**affine(w)), w, np.maximum(preactivations(w), 0))


def test_jumprelu(w: SimpleNamespace) -> None:
    """relu(pre) above the threshold of each latent; one below 0 has no effect."""
    assert (w.threshold < 0).any()
    pre = preactivations(w)
    f = np.maximum(pre, 0) * (pre > w.threshold)
    agree(JumpReLU(**affine(w), **tensors(w, "threshold")), w, f)


def test_thresholds_are_strict() -> None:
    """At the threshold itself a latent is silent, one unit in the last place above it is not."""
    one = torch.ones(1)
    weights: dict[str, Any] = {
        "W_enc": torch.eye(1),
        "b_enc": 0 * one,
        "W_dec": torch.eye(1),
        "b_dec": 0 * one,
    }
    x = torch.tensor([[0.7], [np.nextafter(np.float32(0.7), np.float32(1))], [0.0]])
    for sae in (
        JumpReLU(**weights, threshold=x[0]),
        BatchTopK(**weights, threshold=float(x[0])),
        Matryoshka(**weights, threshold=float(x[0]), prefixes=(1,)),
    ):
        assert (sae.encode(x) != 0).tolist() == [[False], [True], [False]]
        assert sae.encode_codes(x).l0.tolist() == [0, 1, 0]


def test_batchtopk(w: SimpleNamespace) -> None:
    """Pre above one threshold for all."""
    pre = preactivations(w)
    agree(BatchTopK(**affine(w), threshold=0.75), w, pre * (pre > 0.75))


def test_matryoshka(w: SimpleNamespace) -> None:
    """BatchTopK whose prefixes reconstruct on their own."""
    pre = preactivations(w)
    f = pre * (pre > 0.75)
    sae = Matryoshka(**affine(w), threshold=0.75, prefixes=(4, 12, 32))
    agree(sae, w, f)
    x = torch.from_numpy(w.x)
    for size in sae.prefixes:
        expected = f[:, :size] @ w.W_dec[:size].astype(np.float64) + w.b_dec
        close(sae.decode_prefix(sae.encode(x), x, size).numpy(), expected)
    with pytest.raises(LoadError, match=r"5 is no prefix.*\[4, 12, 32\]"):
        sae.decode_prefix(sae.encode(x), x, 5)


def test_gated(w: SimpleNamespace) -> None:
    """A gate and a magnitude from one product."""
    v = wide(w)
    h = (v.x - v.b_dec) @ v.W_enc
    f = (h + v.b_gate > 0) * np.maximum(np.exp(v.r_mag) * h + v.b_mag, 0)
    weights = tensors(w, "W_enc", "b_gate", "b_mag", "r_mag", "W_dec", "b_dec")
    agree(Gated(**weights), w, f)


@pytest.mark.parametrize("k", [1, 4, 32])
def test_topk(w: SimpleNamespace, k: int) -> None:
    """The k largest, as far as they are positive."""
    pre = preactivations(w)
    agree(TopK(**affine(w), k=k), w, np.maximum(pre, 0) * top(pre, k))


def test_topk_keeps_fewer_than_k(w: SimpleNamespace) -> None:
    """A token with fewer than k positive latents has fewer than k active ones."""
    w.b_enc -= 2
    sae = TopK(**affine(w), k=20)
    assert int(sae.encode_codes(torch.from_numpy(w.x)).l0.min()) < 20


@pytest.mark.parametrize("k", [1, 4, 32])
def test_weighted_topk(w: SimpleNamespace, k: int) -> None:
    """The k with the largest pre times weight, as far as they are positive; acts are pre."""
    pre, weight = preactivations(w), np.linspace(0.1, 3, D_SAE)
    scores = pre * weight
    sae = WeightedTopK(**affine(w), weight=torch.from_numpy(weight).float(), k=k)
    agree(sae, w, pre * (top(scores, k) & (scores > 0)))


@pytest.mark.parametrize("k", [1, 4, 32])
def test_abstopk(w: SimpleNamespace, k: int) -> None:
    """The k largest by magnitude, with their sign."""
    pre = preactivations(w)
    sae = AbsTopK(**affine(w), k=k)
    agree(sae, w, pre * top(np.abs(pre), k))
    assert sae.signed


@pytest.mark.parametrize("k", [1, 4, 16, 32])
def test_groupmax(w: SimpleNamespace, k: int) -> None:
    """The largest of each of k contiguous groups, if it is positive."""
    pre = np.maximum(preactivations(w), 0)
    groups = pre.reshape(40, k, -1)
    f = (groups * (groups == groups.max(2, keepdims=True))).reshape(40, D_SAE)
    agree(GroupMax(**affine(w), k=k), w, f)


def test_hierarchical_topk(w: SimpleNamespace) -> None:
    """A TopK at any k up to its largest."""
    sae = HierarchicalTopK(**affine(w), k=4, max_k=8)
    pre = preactivations(w)
    for k in (1, 4, 8):
        agree(sae.with_k(k), w, np.maximum(pre, 0) * top(pre, k))
    for k in (0, 9):
        with pytest.raises(
            LoadError, match=f"k is {k}, but this SAE was trained for k from 1 to 8"
        ):
            sae.with_k(k)


def pursue(x: np.ndarray, atoms: np.ndarray, steps: int, *, signed: bool) -> np.ndarray:
    """Matching pursuit of one token, step by step."""
    f, r = np.zeros(len(atoms)), x.copy()
    for _ in range(steps):
        scores = atoms @ r
        best = np.abs(scores).argmax() if signed else scores.argmax()
        amount = scores[best] if signed else max(scores[best], 0)
        f[best] += amount
        r -= amount * atoms[best]
    return f


def test_itda(w: SimpleNamespace) -> None:
    """K signed steps over the atoms; an atom may be taken again."""
    v = wide(w)
    f = np.stack([pursue(row, v.atoms, 3, signed=True) for row in v.x - v.b_dec])
    sae = ITDA(torch.from_numpy(w.atoms), torch.from_numpy(w.b_dec), k=3)
    agree(sae, w, f, f @ v.atoms + v.b_dec)
    assert sae.signed
    assert torch.equal(sae.W_enc, sae.W_dec.T)


def test_itda_recovers_planted_atoms() -> None:
    """Sums of k orthonormal atoms of either sign are found exactly."""
    atoms = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(0))).Q
    planted = torch.zeros(5, 8)
    for row in range(5):
        planted[row, row], planted[row, (row + 3) % 8] = 2.0, -1.5
    sae = ITDA(atoms, torch.zeros(8), k=2)
    assert torch.allclose(sae.encode(planted @ atoms), planted, atol=1e-5)


@pytest.mark.parametrize("stop", [True, False])
def test_matching_pursuit(w: SimpleNamespace, *, stop: bool) -> None:
    """Positive steps up to a number; stopping at a repeated atom only shortens that."""
    v = wide(w)
    f = np.stack([pursue(row, v.atoms, 3, signed=False) for row in v.x - v.b_dec])
    sae = MatchingPursuit(
        torch.from_numpy(w.atoms), torch.from_numpy(w.b_dec), 3, stop_on_repeat=stop
    )
    if not stop:
        agree(sae, w, f, f @ v.atoms + v.b_dec)
    repeats = (f != 0).sum(1) < 3
    assert repeats.any()
    found = sae.encode(torch.from_numpy(w.x)).numpy()
    assert np.allclose(found[~repeats], f[~repeats], rtol=1e-4, atol=1e-3)


def test_matching_pursuit_stops_at_a_small_residual() -> None:
    """A token whose residual is small enough takes no further atom."""
    sae = MatchingPursuit(torch.eye(3), torch.zeros(3), 3, residual_norm=1.5)
    acts = sae.encode(torch.tensor([[4.0, 1.0, 0.5], [4.0, 2.0, 1.0], [0.0, 0.0, 0.0]]))
    assert acts.tolist() == [[4, 0, 0], [4, 2, 0], [0, 0, 0]]


def test_neurons(w: SimpleNamespace) -> None:
    """The largest entries of x less the mean, put back where they were."""
    v = wide(w)
    z = v.x - v.b_dec
    f = z * top(np.abs(z), 2)
    sae = Neurons(torch.from_numpy(w.b_dec), k=2)
    agree(sae, w, f, f + v.b_dec)
    assert torch.equal(sae.W_dec, torch.eye(D_IN))
    assert torch.equal(sae.W_enc, torch.eye(D_IN))


def test_pca_architecture(w: SimpleNamespace) -> None:
    """The largest scores along orthonormal directions, with their sign."""
    basis = np.linalg.qr(wide(w).W_enc[:, :D_IN])[0]
    sae = PCA(torch.from_numpy(basis.astype(np.float32)), torch.from_numpy(w.b_dec), k=2)
    v = wide(w)
    scores = (v.x - v.b_dec) @ basis.T
    f = scores * top(np.abs(scores), 2)
    agree(sae, w, f, f @ basis + v.b_dec)


def test_without_subtraction(w: SimpleNamespace) -> None:
    """b_dec stays out of the encoder where it is not subtracted."""
    v = wide(w)
    agree(ReLU(**affine(w), subtract_b_dec=False), w, np.maximum(v.x @ v.W_enc + v.b_enc, 0))


@pytest.mark.parametrize("name", ["relu", "topk", "gated", "itda", "matching_pursuit", "pca"])
def test_transforms_surround_everything(w: SimpleNamespace, name: str) -> None:
    """With a transform, an SAE does to transformed x what it does to x without, and undoes it."""
    weights = {
        "relu": affine(w),
        "topk": affine(w) | {"k": 4},
        "gated": tensors(w, "W_enc", "b_gate", "b_mag", "r_mag", "W_dec", "b_dec"),
        "pca": {"W_dec": torch.eye(D_IN), **tensors(w, "b_dec"), "k": 2},
    }.get(name, {"W_dec": torch.from_numpy(w.atoms), **tensors(w, "b_dec")})
    weights |= {"itda": {"k": 3}, "matching_pursuit": {"max_steps": 3}}.get(name, {})
    plain: Any = build(ARCHITECTURES[name], **weights)
    x, norm = torch.from_numpy(w.x), LayerNorm()
    sae = replace(plain, transform=norm)
    acts = sae.encode(x)
    assert torch.equal(acts, plain.encode(norm.apply(x)))
    expected = norm.undo(plain.decode(acts, norm.apply(x)), x)
    assert torch.allclose(sae.decode(acts, x), expected)
    assert torch.allclose(sae.decode_codes(sae.encode_codes(x), x), expected, atol=1e-3)


@pytest.mark.parametrize("skip", [True, False])
def test_transcoder(w: SimpleNamespace, *, skip: bool) -> None:
    """Another width out, a skip of raw x, and no transform undone."""
    rng = np.random.default_rng(0)
    W_dec, b_dec, W_skip = (
        rng.standard_normal(shape).astype(np.float32) for shape in ((D_SAE, 3), (3,), (D_IN, 3))
    )
    inner = ReLU(
        **tensors(w, "W_enc", "b_enc"),
        W_dec=torch.from_numpy(W_dec),
        b_dec=torch.from_numpy(b_dec),
        subtract_b_dec=False,
        transform=InputOnly(Scale(2.0)),
    )
    v = wide(w)
    f = np.maximum(2 * v.x @ v.W_enc + v.b_enc, 0)
    y = f @ W_dec.astype(np.float64) + b_dec
    sae = Transcoder(inner, torch.from_numpy(W_skip) if skip else None)
    agree(sae, w, f, y + v.x @ W_skip.astype(np.float64) if skip else y)
    assert (sae.d_in, sae.d_sae, list(sae.W_dec.shape)) == (D_IN, D_SAE, [D_SAE, 3])
    assert not sae.signed


def test_gradients_pass(w: SimpleNamespace) -> None:
    """Where a task asks for gradients, encode and decode of affine architectures give them."""
    for sae in (
        ReLU(**affine(w)),
        TopK(**affine(w), k=4),
        JumpReLU(**affine(w), **tensors(w, "threshold")),
    ):
        x = torch.from_numpy(w.x).clone().requires_grad_()
        sae.decode(sae.encode(x), x).sum().backward()
        assert x.grad is not None
        assert bool((x.grad != 0).any())


MISFITS = {
    "k of nothing": (TopK, {"k": 0}, "k is 0"),
    "k beyond the latents": (AbsTopK, {"k": 33}, "k is 33"),
    "k that divides nothing": (GroupMax, {"k": 5}, "5 groups"),
    "a threshold never set": (BatchTopK, {"threshold": -1.0}, "never set"),
    "no threshold": (BatchTopK, {"threshold": float("nan")}, "never set"),
    "falling prefixes": (Matryoshka, {"threshold": 1.0, "prefixes": (8, 4, 32)}, "must rise"),
    "prefixes of less": (Matryoshka, {"threshold": 1.0, "prefixes": (8, 16)}, "must rise"),
    "no prefixes": (Matryoshka, {"threshold": 1.0, "prefixes": ()}, "must rise"),
    "a flag as k": (TopK, {"k": True}, "k. is True"),
    "k as text": (TopK, {"k": "3"}, "'k' is '3'"),
    "a vector short": (ReLU, {"b_enc": torch.zeros(31)}, r"b_enc.*\[31\].*\[32\]"),
    "a matrix turned": (ReLU, {"W_dec": torch.zeros(6, 32)}, r"W_dec.*\[6, 32\].*\[32, d_out\]"),
    "a vector too many": (ReLU, {"b_dec": torch.zeros(1, 6)}, r"b_dec.*\[1, 6\]"),
    "whole numbers": (ReLU, {"b_dec": torch.zeros(6, dtype=torch.int64)}, "floating point"),
    "another width out": (
        ReLU,
        {"W_dec": torch.zeros(32, 3), "b_dec": torch.zeros(3), "subtract_b_dec": True},
        "cannot be subtracted",
    ),
}


@pytest.mark.parametrize("kind, more, reason", MISFITS.values(), ids=MISFITS)
def test_what_does_not_fit_is_refused(
    w: SimpleNamespace, kind: Any, more: dict[str, Any], reason: str
) -> None:
    """Shapes, types and ranges are checked when an architecture is made."""
    with pytest.raises(LoadError, match=reason):
        build(kind, **affine(w) | more)


def test_pursuits_refuse_nonsense(w: SimpleNamespace) -> None:
    """No steps, or a residual norm below 0 or of NaN, are errors."""
    atoms = {"W_dec": torch.from_numpy(w.atoms), **tensors(w, "b_dec")}
    for more in ({"max_steps": 0}, {"max_steps": 1, "residual_norm": -1.0}):
        with pytest.raises(LoadError, match="at least"):
            build(MatchingPursuit, **atoms, **more)
    with pytest.raises(LoadError, match="at least"):
        build(MatchingPursuit, **atoms, max_steps=1, residual_norm=float("nan"))


def test_a_skip_must_fit(w: SimpleNamespace) -> None:
    """A skip of another shape than from input to output is refused."""
    with pytest.raises(LoadError, match=r"W_skip.*\[6, 5\].*\[6, 6\]"):
        build(Transcoder, inner=ReLU(**affine(w)), W_skip=torch.zeros(6, 5))
