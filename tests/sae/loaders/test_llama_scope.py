"""Llama Scope folders load with their input scale folded, in both layouts."""

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from saeval.errors import LoadError
from saeval.sae import origin_of
from saeval.sae.loaders import load_folder

Write = Callable[..., Path]
Agrees = Callable[..., None]

NORM = "dataset_average_activation_norm"


def config(**more: Any) -> dict[str, Any]:
    """A hyperparams.json as published."""
    return {
        "hook_point_in": "blocks.5.hook_resid_post",
        "hook_point_out": "blocks.5.hook_resid_post",
        "d_model": 6,
        "expansion_factor": 3,
        "d_sae": 16,
        "use_decoder_bias": True,
        "use_glu_encoder": False,
        "act_fn": "jumprelu",
        "jump_relu_threshold": 0.4,
        "apply_decoder_bias_to_pre_encoder": False,
        "norm_activation": "dataset-wise",
        "decoder_exactly_fixed_norm": False,
        "sparsity_include_decoder_norm": True,
        "init_decoder_norm": 0.5,
        "top_k": 50,
        "k_warmup_steps": 100,
        "use_batch_norm_mse": True,
        NORM: {"in": 4.0, "out": 4.0},
    } | more


def tensors(tiny: SimpleNamespace, **more: Any) -> dict[str, Any]:
    """The tensors of both layouts."""
    return {
        "encoder.weight": tiny.W_enc.T,
        "encoder.bias": tiny.b_enc,
        "decoder.weight": tiny.W_dec.T,
        "decoder.bias": tiny.b_dec,
    } | more


def older(write: Write, path: Path, cfg: Any, content: Any) -> Path:
    """A folder of the first release."""
    return write(path, {"hyperparams.json": cfg, "checkpoints/final.safetensors": content})


def newer(write: Write, path: Path, cfg: Any, content: Any) -> Path:
    """A folder of the R1 release."""
    return write(path, {"config.json": cfg, "sae_weights.safetensors": content})


def expected(
    tiny: SimpleNamespace, threshold: Any, s: float, out: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Acts and reconstruction: inputs times s, outputs divided by it."""
    w = SimpleNamespace(**{key: value.astype(np.float64) for key, value in vars(tiny).items()})
    pre = s * w.x @ w.W_enc + w.b_enc
    f = np.maximum(pre, 0) * (pre > threshold)
    return f, (f @ w.W_dec + w.b_dec) / (out or s)


def test_first_release(tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path) -> None:
    """One threshold for all latents, times s = sqrt(d_model) / average norm; weights hold s."""
    s = np.sqrt(6) / 4
    sae = load_folder(older(write, tmp_path, config(), tensors(tiny)))
    agrees(sae, tiny.x, *expected(tiny, 0.4 * s, s))
    assert origin_of(sae).read_site == "blocks.5.hook_resid_post"
    assert origin_of(sae).metadata["input_scale"] == pytest.approx(s)


def test_without_normalisation(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path
) -> None:
    """Weights made for inference hold raw activations already."""
    sae = load_folder(older(write, tmp_path, config(norm_activation="inference"), tensors(tiny)))
    agrees(sae, tiny.x, *expected(tiny, 0.4, 1.0))


def test_between_two_sites(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path
) -> None:
    """Where it predicts another site, the output has that site's scale."""
    cfg = config(hook_point_out="blocks.5.hook_mlp_out") | {NORM: {"in": 4.0, "out": 2.0}}
    sae = load_folder(older(write, tmp_path, cfg, tensors(tiny)))
    agrees(sae, tiny.x, *expected(tiny, 0.4 * np.sqrt(6) / 4, np.sqrt(6) / 4, np.sqrt(6) / 2))
    assert origin_of(sae).write_site == "blocks.5.hook_mlp_out"


@pytest.mark.parametrize("named", ["in", "blocks.5.hook_resid_post"])
def test_successor(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path, named: str
) -> None:
    """A threshold a latent, as its logarithm; average norms lie among the tensors."""
    cfg = {key: value for key, value in config().items() if key not in (NORM, "d_sae")}
    cfg |= {"expansion_factor": 16 / 6, "sae_type": "sae"}
    del cfg["jump_relu_threshold"]
    content = tensors(tiny, log_jumprelu_threshold=np.log(tiny.threshold))
    norm = {f"{NORM}.{named}": np.array(4.0, np.float32)}
    sae = load_folder(newer(write, tmp_path, cfg, content | norm))
    agrees(sae, tiny.x, *expected(tiny, tiny.threshold, np.sqrt(6) / 4))


def test_an_unknown_scale_is_recorded(
    tiny: SimpleNamespace,
    write: Write,
    agrees: Agrees,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Without an average norm weights stay as they are, and both log and origin say so."""
    cfg = {key: value for key, value in config().items() if key != NORM}
    content = tensors(tiny, log_jumprelu_threshold=np.log(tiny.threshold))
    with caplog.at_level(logging.WARNING):
        sae = load_folder(newer(write, tmp_path, cfg, content))
    agrees(sae, tiny.x, *expected(tiny, tiny.threshold, 1.0))
    assert origin_of(sae).metadata["input_scale_folded"] is False
    assert "activation scale check" in caplog.text


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"act_fn": "topk"}, "act_fn.*'topk'"),
    ({"act_fn": None}, "act_fn"),
    ({"sae_type": "clt"}, "sae_type.*'clt'"),
    ({"norm_activation": "token-wise"}, "norm_activation.*'token-wise'"),
    ({"use_glu_encoder": True}, "use_glu_encoder"),
    ({"use_decoder_bias": False}, "use_decoder_bias"),
    ({"jump_relu_threshold": None}, "jump_relu_threshold"),
    ({NORM: {"in": 4.0, "out": 2.0}}, "one site cannot have"),
    ({NORM: {"in": -4.0, "out": -4.0}}, "one site cannot have"),
    ({NORM: 4.0}, "as an object"),
    ({"d_model": 7}, "d_model = 7"),
    ({"d_sae": 17}, "d_sae .*= 17"),
    ({"output_bias_scale": 2.0}, "output_bias_scale"),
]


@pytest.mark.parametrize("more, reason", REFUSED)
def test_what_is_not_understood_is_refused(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, more: dict[str, Any], reason: str
) -> None:
    """A configuration that saeval cannot follow to the last bit is an error with the reason."""
    with pytest.raises(LoadError, match=reason):
        load_folder(older(write, tmp_path, config(**more), tensors(tiny)))


def test_successor_needs_its_thresholds(
    tiny: SimpleNamespace, write: Write, tmp_path: Path
) -> None:
    """Without thresholds a jumprelu is nothing."""
    with pytest.raises(LoadError, match="lacks 'log_jumprelu_threshold'"):
        load_folder(newer(write, tmp_path, config(), tensors(tiny)))
