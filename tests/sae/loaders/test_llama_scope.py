"""Llama Scope folders load with their input scale folded, in both layouts."""

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

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


def wide(tiny: SimpleNamespace) -> SimpleNamespace:
    """The same in float64, with the norms of the decoder's rows."""
    w = SimpleNamespace(**{key: value.astype(np.float64) for key, value in vars(tiny).items()})
    w.norm = np.linalg.norm(w.W_dec, axis=1)
    return w


def expected(
    tiny: SimpleNamespace,
    threshold: Any,
    s: float,
    out: float | None = None,
    *,
    by_norm: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Acts and reconstruction: inputs times s, outputs divided by it; pre |W_dec| is compared."""
    w = wide(tiny)
    pre = s * w.x @ w.W_enc + w.b_enc
    f = np.maximum(pre, 0) * (pre * (w.norm if by_norm else 1) > threshold)
    return f, (f @ w.W_dec + w.b_dec) / (out or s)


def inference(
    tiny: SimpleNamespace, threshold: float, s: float, out: float, *, by_norm: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Which latents act, and the reconstruction, by the steps of the first release's library.

    Weights are folded for raw activations, then the decoder is brought to unit norm if scores
    include it, and the threshold is applied to what comes out.
    """
    w = wide(tiny)
    W_enc, b_enc, W_dec, b_dec = w.W_enc, w.b_enc / s, w.W_dec * s / out, w.b_dec / out
    norm = np.linalg.norm(W_dec, axis=1) if by_norm else np.ones(16)
    pre = w.x @ (W_enc * norm) + b_enc * norm
    f = pre * (pre > threshold)
    return f != 0, f @ (W_dec / norm[:, None]) + b_dec


def test_first_release(tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path) -> None:
    """One threshold for all latents, times s = sqrt(d_model) / average norm, over |W_dec|."""
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


@pytest.mark.parametrize("by_norm", [True, False])
@pytest.mark.parametrize("out", [4.0, 2.0])
def test_one_threshold_is_the_librarys(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, out: float, *, by_norm: bool
) -> None:
    """Active latents and reconstructions are those of the library's own steps."""
    cfg = config(sparsity_include_decoder_norm=by_norm) | {NORM: {"in": 4.0, "out": out}}
    if out != 4:
        cfg["hook_point_out"] = "blocks.5.hook_mlp_out"
    sae = load_folder(older(write, tmp_path, cfg, tensors(tiny)))
    x = torch.from_numpy(tiny.x)
    acts = sae.encode(x)
    active, y = inference(tiny, 0.4, 6**0.5 / 4, 6**0.5 / out, by_norm=by_norm)
    assert np.array_equal(acts.numpy() != 0, active)
    assert np.allclose(sae.decode(acts, x).numpy(), y, rtol=1e-5, atol=1e-5)
    assert origin_of(sae).write_site == (None if out == 4 else "blocks.5.hook_mlp_out")


def test_a_decoder_of_norm_0_never_acts(
    tiny: SimpleNamespace, write: Write, tmp_path: Path
) -> None:
    """A latent that writes nothing scores 0, which no threshold lets through."""
    tiny.W_dec[3] = 0
    tiny.b_enc[3] = 1e6
    sae = load_folder(older(write, tmp_path, config(), tensors(tiny)))
    assert not bool(sae.encode(torch.from_numpy(tiny.x))[:, 3].any())


@pytest.mark.parametrize("names", ["older", "newer"])
@pytest.mark.parametrize("by_norm", [True, False])
@pytest.mark.parametrize("act_fn", ["relu", "topk", "jumprelu", "JumpReLU"])
def test_successors_of_every_activation(  # noqa: PLR0913, three things vary
    tiny: SimpleNamespace,
    write: Write,
    agrees: Agrees,
    tmp_path: Path,
    act_fn: str,
    names: str,
    *,
    by_norm: bool,
) -> None:
    """relu, topk and jumprelu, the scores with decoder norms or without, acts in units of pre."""
    cfg = successor_config(act_fn=act_fn, top_k=3, sparsity_include_decoder_norm=by_norm)
    content = successor_tensors(tiny, names, thresholds=act_fn.lower() == "jumprelu")
    sae = load_folder(newer(write, tmp_path, cfg, content))
    s, w = 6**0.5 / 4, wide(tiny)
    pre = s * w.x @ w.W_enc + w.b_enc
    scores = np.maximum(pre * (w.norm if by_norm else 1), 0)
    kept = {
        "relu": scores > 0,
        "topk": (scores >= np.sort(scores, 1)[:, -3][:, None]) & (scores > 0),
        "jumprelu": scores > w.threshold,
    }[act_fn.lower()]
    f = pre * kept
    agrees(sae, tiny.x, f, (f @ w.W_dec + w.b_dec) / s)


def successor_config(**more: Any) -> dict[str, Any]:
    """A config.json of a successor."""
    gone = ("d_sae", "jump_relu_threshold", "apply_decoder_bias_to_pre_encoder", NORM)
    cfg = {key: value for key, value in config().items() if key not in gone}
    return cfg | {"expansion_factor": 16 / 6, "sae_type": "sae", NORM: {"in": 4.0}} | more


def successor_tensors(
    tiny: SimpleNamespace, names: str, *, thresholds: bool = True
) -> dict[str, Any]:
    """Tensors under the older names or the newer, with thresholds as logarithms."""
    if names == "older":
        content, theta = tensors(tiny), "log_jumprelu_threshold"
    else:
        content = {"W_E": tiny.W_enc, "b_E": tiny.b_enc, "W_D": tiny.W_dec, "b_D": tiny.b_dec}
        theta = "activation_function.log_jumprelu_threshold"
    return content | ({theta: np.log(tiny.threshold)} if thresholds else {})


def test_token_wise_normalisation(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path
) -> None:
    """Each token is brought to norm sqrt(d_model) and back; a transcoder could not be."""
    cfg = successor_config(norm_activation="token-wise")
    sae = load_folder(newer(write, tmp_path, cfg, successor_tensors(tiny, "newer")))
    w = wide(tiny)
    norm = np.linalg.norm(w.x, axis=1, keepdims=True)
    pre = w.x * np.sqrt(6) / np.where(norm > 0, norm, 1) @ w.W_enc + w.b_enc
    f = pre * (pre * w.norm > w.threshold)
    agrees(sae, tiny.x, f, (f @ w.W_dec + w.b_dec) * norm / np.sqrt(6))
    cfg["hook_point_out"] = "blocks.5.hook_mlp_out"
    with pytest.raises(LoadError, match="a norm that its input does not tell"):
        load_folder(newer(write, tmp_path, cfg, successor_tensors(tiny, "newer")))


def test_without_a_decoder_bias(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path
) -> None:
    """use_decoder_bias false means no bias, which must then not be there."""
    content = successor_tensors(tiny, "newer")
    del content["b_D"]
    cfg = successor_config(use_decoder_bias=False)
    sae = load_folder(newer(write, tmp_path, cfg, content))
    tiny.b_dec = np.zeros_like(tiny.b_dec)
    agrees(sae, tiny.x, *expected(tiny, tiny.threshold, 6**0.5 / 4))


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
@pytest.mark.parametrize("place", ["sae_weights", "checkpoints/pruned", "checkpoints/final"])
def test_weights_lie_where_the_library_looks(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, place: str, suffix: str
) -> None:
    """Every place and both kinds of file are read; in a .pt the state dict lies under `sae`."""
    content: dict[str, Any] = successor_tensors(tiny, "newer")
    if suffix == "pt":
        content = {"sae": content, "version": "0.1"}
    folder = write(tmp_path, {"config.json": successor_config(), f"{place}.{suffix}": content})
    (folder / "lm_config.json").write_text('{"model_name": "Qwen/Qwen3-1.7B"}')
    sae = load_folder(folder)
    assert sae.d_sae == 16
    assert origin_of(sae).model == "Qwen/Qwen3-1.7B"


def test_a_transcoder_before_the_gain(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path
) -> None:
    """One that reads ln2.hook_normalized reads the stream before the norm, and divides itself."""
    cfg = config(
        hook_point_in="blocks.5.ln2.hook_normalized", hook_point_out="blocks.5.hook_mlp_out"
    ) | {NORM: {"in": 4.0, "out": 2.0}}
    sae = load_folder(older(write, tmp_path, cfg, tensors(tiny)))
    assert origin_of(sae).read_site == "blocks.5.hook_resid_mid"
    x = tiny.x
    wide_x = x.astype(np.float64)
    tiny.x = wide_x / np.sqrt((wide_x**2).mean(1, keepdims=True) + 1e-5)
    s, out = 6**0.5 / 4, 6**0.5 / 2
    agrees(sae, x, *expected(tiny, 0.4 * out, s, out))


@pytest.mark.parametrize("kind", ["clt", "crosscoder", "lorsa", "mixcoder", "molt"])
def test_other_dictionaries_are_refused_by_name(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, kind: str
) -> None:
    """What the library writes besides is told by name, even where it names no single hook."""
    content = successor_tensors(tiny, "newer")
    cfg = {"sae_type": kind, "d_model": 6, "hook_points_in": ["a", "b"]}
    with pytest.raises(LoadError, match=f"sae_type '{kind}'.*not supported"):
        load_folder(newer(write, tmp_path, cfg, content))


@pytest.mark.parametrize("act_fn", ["batchtopk", "layertopk", "batchlayertopk"])
def test_what_depends_on_the_batch_is_refused(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, act_fn: str
) -> None:
    """Latents that compete with other tokens' have no value of their own."""
    content = successor_tensors(tiny, "newer", thresholds=False)
    with pytest.raises(LoadError, match=f"'{act_fn}', whose latents depend on the whole batch"):
        load_folder(newer(write, tmp_path, successor_config(act_fn=act_fn), content))


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
    ({"act_fn": "topk"}, "k is 50"),
    ({"act_fn": "gelu"}, "act_fn.*'gelu'"),
    ({"act_fn": None}, "act_fn"),
    ({"sae_type": "clt"}, "sae_type.*'clt'"),
    ({"norm_activation": "batch-wise"}, "average norm of each batch"),
    ({"norm_activation": "rms"}, "norm_activation.*'rms'"),
    ({"use_glu_encoder": True}, "use_glu_encoder"),
    ({"use_decoder_bias": False}, "'decoder.bias', which has no meaning"),
    ({"sparsity_include_decoder_norm": 1}, "sparsity_include_decoder_norm"),
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
