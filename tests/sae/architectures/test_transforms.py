"""Transforms are the formulas they claim, and undo what they do from the input alone."""

import numpy as np
import pytest
import torch
from torch import Tensor

from saeval.errors import LoadError
from saeval.sae.architectures.transforms import (
    TRANSFORMS,
    Centre,
    ConstantNorm,
    Identity,
    InputOnly,
    LayerNorm,
    RMSNorm,
    Scale,
    Transform,
)

ALL = [Identity(), LayerNorm(), ConstantNorm(), RMSNorm(), Scale(0.3), Centre()]


def inputs() -> Tensor:
    """Ordinary rows, a zero row, a constant row and a huge row."""
    x = torch.randn(8, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[1], x[3], x[5] = 0, 2.5, x[5] * 1e4
    return x


@pytest.mark.parametrize("transform", ALL)
def test_undo_inverts_apply(transform: Transform) -> None:
    """What is applied and undone with the same x comes back, up to the eps of a layer norm."""
    x = inputs()
    back = transform.undo(transform.apply(x), x)
    assert torch.allclose(back, x, rtol=1e-4, atol=1e-12)
    assert isinstance(transform, Transform)


@pytest.mark.parametrize("transform", ALL)
def test_nothing_is_remembered(transform: Transform) -> None:
    """Another batch between apply and undo changes nothing."""
    x, x_hat = inputs(), inputs().flip(0)
    before = transform.undo(x_hat, x)
    transform.apply(x * 3 + 1)
    assert torch.equal(transform.undo(x_hat, x), before)


def test_layer_norm_formula() -> None:
    """Unbiased deviation, eps outside the root, and no eps on the way back."""
    x = inputs().numpy()
    mean, std = x.mean(1, keepdims=True), x.std(1, ddof=1, keepdims=True)
    found = LayerNorm(1e-2).apply(torch.from_numpy(x))
    assert np.allclose(found, (x - mean) / (std + 1e-2))
    y = np.ones_like(x)
    assert np.allclose(LayerNorm(1e-2).undo(torch.from_numpy(y), torch.from_numpy(x)), std + mean)


def test_constant_norm_formula() -> None:
    """Every token gets norm sqrt(d_in), but a zero token stays zero and is finite."""
    norm = ConstantNorm().apply(inputs()).norm(dim=1)
    expected = torch.full((8,), 6**0.5, dtype=torch.float64)
    expected[1] = 0
    assert torch.allclose(norm, expected)
    assert torch.equal(ConstantNorm().undo(torch.ones(8, 6), inputs().float())[1], torch.zeros(6))


def test_rms_norm_formula() -> None:
    """The root of the mean square, eps within it; x itself tells how to get back."""
    x = inputs().numpy()
    root = np.sqrt((x**2).mean(1, keepdims=True) + 1e-2)
    assert np.allclose(RMSNorm(1e-2).apply(torch.from_numpy(x)), x / root)
    back = RMSNorm(1e-2).undo(torch.ones(8, 6, dtype=torch.float64), torch.from_numpy(x))
    assert np.allclose(back, root)


def test_centring_takes_the_mean_of_each_token() -> None:
    """Each token's own mean goes, whatever the others are."""
    assert torch.allclose(Centre().apply(inputs()).sum(1), torch.zeros(8, dtype=torch.float64))


def test_input_only_is_not_undone() -> None:
    """A transcoder's output stays as it is decoded."""
    x, y = inputs(), inputs()[:, :3]
    transform = InputOnly(LayerNorm())
    assert torch.equal(transform.apply(x), LayerNorm().apply(x))
    assert transform.undo(y, x) is y


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_no_scale_without_inverse(factor: float) -> None:
    """A scale that cannot be undone is refused."""
    with pytest.raises(LoadError, match="must be above 0"):
        Scale(factor)


def test_every_transform_has_a_name() -> None:
    """Whatever an SAE may hold can be stored by name."""
    assert {type(one) for one in ALL} | {InputOnly} == set(TRANSFORMS.values())
