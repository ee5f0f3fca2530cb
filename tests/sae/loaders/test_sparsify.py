"""sparsify folders load as that library computes them, or are refused."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from saeval.errors import LoadError
from saeval.sae import origin_of
from saeval.sae.loaders import load_folder

Write = Callable[..., Path]
Agrees = Callable[..., None]


def config(**more: Any) -> dict[str, Any]:
    """A cfg.json as the library writes it."""
    return {
        "activation": "topk",
        "expansion_factor": 32,
        "normalize_decoder": True,
        "num_latents": 16,
        "k": 4,
        "multi_topk": True,
        "skip_connection": False,
        "transcode": False,
        "d_in": 6,
    } | more


def folder_of(write: Write, path: Path, tiny: SimpleNamespace, cfg: Any, **more: Any) -> Path:
    """A folder of this library, W_dec as [latents, width]."""
    tensors = {
        "encoder.weight": tiny.W_enc.T,
        "encoder.bias": tiny.b_enc,
        "W_dec": tiny.W_dec,
        "b_dec": tiny.b_dec,
    }
    return write(path, {"cfg.json": cfg, "sae.safetensors": tensors | more})


def chosen(pre: np.ndarray, activation: str) -> np.ndarray:
    """Acts by the library's two activations, k 4."""
    pre = np.maximum(pre, 0)
    f = np.zeros_like(pre)
    index = np.argsort(-pre, 1)[:, :4]
    if activation == "groupmax":
        index = pre.reshape(len(pre), 4, 4).argmax(2) + np.arange(4) * 4
    np.put_along_axis(f, index, np.take_along_axis(pre, index, 1), 1)
    return f


def test_reproduces_the_library(fixtures_dir: Path, agrees: Agrees) -> None:
    """What sparsify wrote and computed itself comes out again; num_latents is 0 there."""
    folder = fixtures_dir / "loaders" / "sparsify_topk"
    expected = load_file(folder / "expected.safetensors")
    agrees(load_folder(folder), expected["x"], expected["f"], expected["x_hat"])


@pytest.mark.parametrize("activation", ["topk", "groupmax"])
@pytest.mark.parametrize("form", ["", "skip", "transcode", "transcode and skip"])
def test_every_form(
    tiny: SimpleNamespace,
    write: Write,
    agrees: Agrees,
    tmp_path: Path,
    activation: str,
    form: str,
) -> None:
    """Both activations; b_dec is subtracted unless it transcodes; a skip reads raw x."""
    transcode, skip = "transcode" in form, "skip" in form
    cfg = config(activation=activation, transcode=transcode, skip_connection=skip)
    more = {"W_skip": tiny.W_skip} if skip else {}
    folder = folder_of(write, tmp_path / "layers.1.mlp", tiny, cfg, **more)
    write(tmp_path, {"config.json": {"model": "org/model", "ctx_len": 256}})
    w = SimpleNamespace(**{key: value.astype(np.float64) for key, value in vars(tiny).items()})
    z = w.x if transcode else w.x - w.b_dec
    f = chosen(z @ w.W_enc + w.b_enc, activation)
    sae = load_folder(folder)
    agrees(sae, tiny.x, f, f @ w.W_dec + w.b_dec + (w.x @ w.W_skip.T if skip else 0))
    origin = origin_of(sae)
    assert (origin.model, origin.context_size) == ("org/model", 256)
    sites = ("layers.1.mlp:in", "layers.1.mlp:out") if transcode else ("layers.1.mlp", None)
    assert (origin.read_site, origin.write_site) == sites


@pytest.mark.parametrize("latents", [0, None])
def test_width_by_expansion(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, latents: int | None
) -> None:
    """num_latents 0, or none, stands for expansion_factor times d_in."""
    cut = {
        "encoder.weight": tiny.W_enc.T[:12],
        "encoder.bias": tiny.b_enc[:12],
        "W_dec": tiny.W_dec[:12],
    }
    cfg = config(num_latents=latents, expansion_factor=2)
    assert load_folder(folder_of(write, tmp_path, tiny, cfg, **cut)).d_sae == 12


def test_older_files(tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path) -> None:
    """Before `activation` there was topk only, with a switch that keeps signs."""
    cfg = {"expansion_factor": 1, "num_latents": 16, "k": 4, "signed": True, "d_in": 6}
    w = SimpleNamespace(**{key: value.astype(np.float64) for key, value in vars(tiny).items()})
    pre = (w.x - w.b_dec) @ w.W_enc + w.b_enc
    f = np.where(np.abs(pre) >= np.sort(np.abs(pre), 1)[:, -4][:, None], pre, 0)
    folder = folder_of(write, tmp_path, tiny, cfg)
    agrees(load_folder(folder), tiny.x, f, f @ w.W_dec + w.b_dec)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"activation": "relu"}, "activation.*'relu'"),
    ({"activation": "groupmax", "k": 3}, "3 groups"),
    ({"activation": "groupmax", "signed": True}, "only a topk"),
    ({"k": 0}, "k is 0"),
    ({"k": 17}, "k is 17"),
    ({"k": None}, "'k'"),
    ({"num_latents": 15}, "num_latents"),
    ({"num_latents": 0}, "num_latents.* = 192"),
    ({"d_in": 5}, "d_in = 5"),
    ({"skip_connection": True}, "lacks 'W_skip'"),
    ({"embed_skip": True}, "embed_skip"),
    ({"gram_lookup": True}, "gram_lookup"),
    ({"transcode": "yes"}, "transcode"),
]


@pytest.mark.parametrize("more, reason", REFUSED)
def test_what_is_not_understood_is_refused(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, more: dict[str, Any], reason: str
) -> None:
    """A configuration that saeval cannot follow to the last bit is an error with the reason."""
    with pytest.raises(LoadError, match=reason):
        load_folder(folder_of(write, tmp_path, tiny, config(**more)))


def test_a_skip_that_is_denied_is_refused(
    tiny: SimpleNamespace, write: Write, tmp_path: Path
) -> None:
    """A tensor of no meaning is not passed over."""
    with pytest.raises(LoadError, match="'W_skip', which has no meaning"):
        load_folder(folder_of(write, tmp_path, tiny, config(), W_skip=tiny.W_skip))


def test_a_release_is_not_one_sae(tiny: SimpleNamespace, write: Write, tmp_path: Path) -> None:
    """A folder of hookpoints lists those that can be chosen."""
    for name in ("layers.0", "layers.1"):
        folder_of(write, tmp_path / name, tiny, config())
    with pytest.raises(LoadError, match=r"2 SAEs: choose one of layers\.0, layers\.1"):
        load_folder(tmp_path)
