"""Tiny files in every format, written by plain numpy code from what is documented of each."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from saeval.sae import SAE, decode_codes, encode_codes

D_IN, D_SAE = 6, 16


@pytest.fixture
def tiny() -> SimpleNamespace:
    """Weights of one small SAE and inputs for it, as float32 numpy arrays."""
    rng = np.random.default_rng(7)

    def draw(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    x = draw(12, D_IN)
    x[2], x[5], x[7] = 0, 1.5, x[7] * 300
    return SimpleNamespace(
        x=x,
        W_enc=draw(D_IN, D_SAE),
        b_enc=draw(D_SAE, scale=0.3),
        W_dec=draw(D_SAE, D_IN),
        b_dec=draw(D_IN, scale=0.5),
        threshold=np.abs(draw(D_SAE)),
        b_gate=draw(D_SAE, scale=0.3),
        b_mag=draw(D_SAE, scale=0.3),
        r_mag=draw(D_SAE, scale=0.3),
        W_skip=draw(D_IN, D_IN),
    )


@pytest.fixture
def write() -> Callable[..., Path]:
    """Writes a folder from file names and contents: a mapping of arrays, or JSON."""

    def make(folder: Path, files: Mapping[str, Any]) -> Path:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith((".json", ".yaml")):  # JSON is YAML
                path.write_text(content if isinstance(content, str) else json.dumps(content))
            elif name.endswith(".safetensors"):
                save_file({key: np.ascontiguousarray(one) for key, one in content.items()}, path)
            elif name.endswith(".npz"):
                np.savez(path, **content)
            else:
                torch.save(as_tensors(content), path)
        return folder

    return make


def as_tensors(content: Any) -> Any:
    """The same with tensors for arrays, however deep."""
    if isinstance(content, np.ndarray):
        return torch.from_numpy(content.copy())
    if isinstance(content, Mapping):
        return {key: as_tensors(value) for key, value in content.items()}
    return content


@pytest.fixture
def agrees() -> Callable[[SAE, Any, Any, Any], None]:
    """Checks acts and reconstructions, dense and sparse, row by row to 1e-5 with equal support."""

    def check(sae: SAE, x: Any, f: Any, x_hat: Any) -> None:
        x = torch.as_tensor(x)
        codes = encode_codes(sae, x)
        for acts in (sae.encode(x), codes.dense()):
            assert np.array_equal(acts.numpy() != 0, np.asarray(f) != 0)
            _close(acts.numpy(), np.asarray(f))
        for y in (sae.decode(sae.encode(x), x), decode_codes(sae, codes, x)):
            _close(y.numpy(), np.asarray(x_hat))

    return check


def _close(found: np.ndarray, expected: np.ndarray) -> None:
    scale = np.abs(expected).max(1, keepdims=True)
    assert np.abs(found - expected).max() > -1  # not NaN
    assert (np.abs(found - expected) <= 1e-5 * scale + 1e-12).all()
