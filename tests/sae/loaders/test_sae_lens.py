"""SAELens folders load as SAELens computes them, or are refused with the reason."""

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from saeval.errors import LoadError
from saeval.sae import origin_of
from saeval.sae.loaders import load_folder
from saeval.sae.loaders.sae_lens import load

Write = Callable[..., Path]
Agrees = Callable[..., None]
AFFINE = ("W_enc", "b_enc", "W_dec", "b_dec")


def config(**more: Any) -> dict[str, Any]:
    """A configuration of version 6."""
    return {
        "d_in": 6,
        "d_sae": 16,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            "sae_lens_version": "6.54.12",
            "model_name": "tiny",
            "hook_name": "blocks.1.hook_resid_post",
            "context_size": 64,
            "prepend_bos": True,
        },
        "architecture": "standard",
    } | more


def old_config(**more: Any) -> dict[str, Any]:
    """A flat configuration of 2024."""
    return {
        "model_name": "gpt2-small",
        "hook_point": "blocks.1.hook_resid_pre",
        "hook_point_layer": 1,
        "hook_point_head_index": None,
        "dataset_path": "some/text",
        "context_size": 128,
        "use_cached_activations": False,
        "cached_activations_path": "activations/here",
        "d_in": 6,
        "d_sae": 16,
        "expansion_factor": 4,
        "b_dec_init_method": "geometric_median",
        "l1_coefficient": 8e-5,
        "lp_norm": 1.0,
        "lr_warm_up_steps": 5000,
        "dead_feature_threshold": 1e-8,
        "normalize_sae_decoder": True,
        "noise_scale": 0.1,
        "dtype": "torch.float32",
        "run_name": "run",
    } | more


def folder_of(write: Write, path: Path, cfg: Any, tensors: dict[str, Any]) -> Path:
    """An SAELens folder."""
    return write(path, {"cfg.json": cfg, "sae_weights.safetensors": tensors})


def arrays(tiny: SimpleNamespace, *names: str) -> dict[str, np.ndarray]:
    """Some of the weights."""
    return {name: getattr(tiny, name) for name in names}


def relu(pre: np.ndarray) -> np.ndarray:
    """The positive part."""
    return np.maximum(pre, 0)


def top(pre: np.ndarray, k: int) -> np.ndarray:
    """Entries among the k largest of each row."""
    kth = np.sort(pre, 1)[:, -k][:, None]
    return np.where(pre >= kth, pre, 0)


def wide(tiny: SimpleNamespace) -> SimpleNamespace:
    """The weights in float64."""
    return SimpleNamespace(**{key: value.astype(np.float64) for key, value in vars(tiny).items()})


@pytest.mark.parametrize("case", ["sl_standard", "sl_topk", "sl_jumprelu", "sl_gated"])
def test_reproduces_the_library(fixtures_dir: Path, agrees: Agrees, case: str) -> None:
    """What SAELens wrote and computed itself comes out again."""
    folder = fixtures_dir / "loaders" / case
    expected = load_file(folder / "expected.safetensors")
    sae = load_folder(folder)
    agrees(sae, expected["x"], expected["f"], expected["x_hat"])
    assert origin_of(sae).read_site == "blocks.5.hook_resid_post"
    assert origin_of(sae).prepend_bos is True


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize("architecture", ["standard", "jumprelu", "gated", "topk", "abstopk"])
def test_every_architecture(
    tiny: SimpleNamespace,
    write: Write,
    agrees: Agrees,
    tmp_path: Path,
    architecture: str,
    *,
    subtract: bool,
) -> None:
    """Each architecture computes its formula, with and without subtraction of b_dec."""
    names = {
        "jumprelu": (*AFFINE, "threshold"),
        "gated": ("W_enc", "b_gate", "b_mag", "r_mag", "W_dec", "b_dec"),
    }.get(architecture, AFFINE)
    more = {"k": 3, "rescale_acts_by_decoder_norm": False} if "topk" in architecture else {}
    cfg = config(architecture=architecture, apply_b_dec_to_input=subtract, **more)
    sae = load_folder(folder_of(write, tmp_path, cfg, arrays(tiny, *names)))
    w = wide(tiny)
    z = w.x - w.b_dec * subtract
    pre = z @ w.W_enc + w.b_enc
    order = np.argsort(-np.abs(pre), 1)[:, :3]
    signed = np.zeros_like(pre)
    np.put_along_axis(signed, order, np.take_along_axis(pre, order, 1), 1)
    f = {
        "standard": relu(pre),
        "jumprelu": relu(pre) * (pre > w.threshold),
        "gated": (z @ w.W_enc + w.b_gate > 0) * relu(z @ (w.W_enc * np.exp(w.r_mag)) + w.b_mag),
        "topk": relu(top(pre, 3)),
        "abstopk": signed,
    }[architecture]
    agrees(sae, tiny.x, f, f @ w.W_dec + w.b_dec)


@pytest.mark.parametrize("name", ["layer_norm", "constant_norm_rescale"])
def test_normalisations_are_undone_without_state(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path, name: str
) -> None:
    """Per-token normalisations act on the input and are undone from the input, not from memory."""
    cfg = config(normalize_activations=name)
    sae = load_folder(folder_of(write, tmp_path, cfg, arrays(tiny, *AFFINE)))
    w = wide(tiny)
    if name == "layer_norm":
        mean, std = w.x.mean(1, keepdims=True), w.x.std(1, ddof=1, keepdims=True)
        z, undo = (w.x - mean) / (std + 1e-5), lambda y: y * std + mean
    else:
        norm = np.linalg.norm(w.x, axis=1, keepdims=True)
        z, undo = w.x * np.sqrt(6) / np.where(norm > 0, norm, 1), lambda y: y * norm / np.sqrt(6)
    f = relu((z - w.b_dec) @ w.W_enc + w.b_enc)
    agrees(sae, tiny.x, f, undo(f @ w.W_dec + w.b_dec))
    x = torch.from_numpy(tiny.x)
    acts = sae.encode(x)
    sae.encode(x * 5 + 1)
    assert torch.equal(sae.decode(acts, x), sae.decode(sae.encode(x), x))


@pytest.mark.parametrize("place", ["config", "checkpoint"])
def test_a_known_input_scale_is_folded(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path, place: str
) -> None:
    """Where the factor is known, W_enc, W_dec and b_dec hold it, biases and thresholds do not."""
    s = 0.37
    cfg = config(normalize_activations="expected_average_only_in", architecture="jumprelu")
    if place == "config":
        cfg["norm_scaling_factor"] = s
    else:
        write(tmp_path, {"activation_scaler.json": {"scaling_factor": s, "has_whitening": False}})
    folder = folder_of(write, tmp_path, cfg, arrays(tiny, *AFFINE, "threshold"))
    w = wide(tiny)
    pre = (w.x - w.b_dec / s) @ (w.W_enc * s) + w.b_enc
    f = relu(pre) * (pre > w.threshold)
    agrees(load_folder(folder), tiny.x, f, f @ (w.W_dec / s) + w.b_dec / s)


@pytest.mark.parametrize("said", ["expected_average_only_in", True])
def test_an_unknown_input_scale_is_recorded(
    tiny: SimpleNamespace,
    write: Write,
    agrees: Agrees,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    said: Any,
) -> None:
    """Where the factor is not known, weights stay as SAELens leaves them; the origin says so."""
    cfg = config(normalize_activations=said)
    with caplog.at_level(logging.WARNING):
        sae = load_folder(folder_of(write, tmp_path, cfg, arrays(tiny, *AFFINE)))
    w = wide(tiny)
    f = relu((w.x - w.b_dec) @ w.W_enc + w.b_enc)
    agrees(sae, tiny.x, f, f @ w.W_dec + w.b_dec)
    assert origin_of(sae).metadata["input_scale_folded"] is False
    assert origin_of(sae).metadata["expected_norm"] == pytest.approx(6**0.5)
    assert "activation scale check" in caplog.text


@pytest.mark.parametrize("architecture", ["topk", "abstopk"])
def test_rescaling_by_decoder_norm(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path, architecture: str
) -> None:
    """Latents compete by pre times decoder norm, and the norm is divided out in decoding."""
    cfg = config(architecture=architecture, k=3, rescale_acts_by_decoder_norm=True)
    sae = load_folder(folder_of(write, tmp_path, cfg, arrays(tiny, *AFFINE)))
    w = wide(tiny)
    norm = np.linalg.norm(w.W_dec, axis=1)
    pre = ((w.x - w.b_dec) @ w.W_enc + w.b_enc) * norm
    chosen = np.abs(pre) >= np.sort(np.abs(pre), 1)[:, -3][:, None]
    f = relu(top(pre, 3)) if architecture == "topk" else pre * chosen
    agrees(sae, tiny.x, f, (f / norm) @ w.W_dec + w.b_dec)


def test_old_flat_configuration(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path
) -> None:
    """A configuration of 2024 is a ReLU, with its sites under their older names."""
    sae = load_folder(folder_of(write, tmp_path, old_config(), arrays(tiny, *AFFINE)))
    w = wide(tiny)
    f = relu((w.x - w.b_dec) @ w.W_enc + w.b_enc)
    agrees(sae, tiny.x, f, f @ w.W_dec + w.b_dec)
    assert (origin_of(sae).model, origin_of(sae).read_site) == (
        "gpt2-small",
        "blocks.1.hook_resid_pre",
    )
    assert (origin_of(sae).context_size, origin_of(sae).prepend_bos) == (128, None)
    assert origin_of(sae).centred is False
    assert origin_of(sae).metadata["l1_coefficient"] == 8e-5


@pytest.mark.parametrize("key", ["activation_fn_str", "activation_fn"])
def test_old_topk_by_its_activation(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path, key: str
) -> None:
    """A 'standard' SAE whose activation is topk with a k is a TopK, not a ReLU."""
    cfg = old_config(**{key: "topk", "activation_fn_kwargs": {"k": 3}, "architecture": "standard"})
    sae = load_folder(folder_of(write, tmp_path, cfg, arrays(tiny, *AFFINE)))
    w = wide(tiny)
    f = relu(top((w.x - w.b_dec) @ w.W_enc + w.b_enc, 3))
    agrees(sae, tiny.x, f, f @ w.W_dec + w.b_dec)
    assert origin_of(sae).architecture == "topk"


@pytest.mark.parametrize("name", ["scaling_factor", "finetuning_scaling_factor"])
def test_finetuned_factor(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path, name: str
) -> None:
    """A factor a latent applies in decoding; one of ones is ignored whatever the flag says."""
    factor = np.linspace(0.5, 2, 16).astype(np.float32)
    cfg = old_config(finetuning_scaling_factor=True)
    folder = folder_of(write, tmp_path / "a", cfg, arrays(tiny, *AFFINE) | {name: factor})
    w = wide(tiny)
    f = relu((w.x - w.b_dec) @ w.W_enc + w.b_enc)
    agrees(load_folder(folder), tiny.x, f, (f * factor.astype(np.float64)) @ w.W_dec + w.b_dec)
    ones = arrays(tiny, *AFFINE) | {name: np.ones(16, np.float32)}
    folder = folder_of(write, tmp_path / "b", old_config(), ones)
    agrees(load_folder(folder), tiny.x, f, f @ w.W_dec + w.b_dec)


@pytest.mark.parametrize("kind", ["", "skip_", "jumprelu_", "jumprelu_skip_"])
@pytest.mark.parametrize("normalisation", ["none", "layer_norm"])
def test_transcoders(
    tiny: SimpleNamespace,
    write: Write,
    agrees: Agrees,
    tmp_path: Path,
    normalisation: str,
    kind: str,
) -> None:
    """All four transcoders: b_dec is the output's, the skip reads raw x, nothing is undone."""
    jump, skip = "jumprelu" in kind, "skip" in kind
    rng = np.random.default_rng(3)
    out = {
        "W_dec": rng.standard_normal((16, 5)).astype(np.float32),
        "b_dec": rng.standard_normal(5).astype(np.float32),
    }
    if skip:
        out["W_skip"] = rng.standard_normal((5, 6)).astype(np.float32)
    tensors = arrays(tiny, "W_enc", "b_enc", *["threshold"] * jump) | out
    cfg = config(
        architecture=f"{kind}transcoder",
        d_out=5,
        apply_b_dec_to_input=False,
        normalize_activations=normalisation,
    )
    cfg["metadata"]["hook_name_out"] = "blocks.1.hook_mlp_out"
    sae = load_folder(folder_of(write, tmp_path, cfg, tensors))
    w = wide(tiny)
    mean, std = w.x.mean(1, keepdims=True), w.x.std(1, ddof=1, keepdims=True)
    z = w.x if normalisation == "none" else (w.x - mean) / (std + 1e-5)
    pre = z @ w.W_enc + w.b_enc
    f = relu(pre) * (pre > w.threshold if jump else True)
    y = f @ out["W_dec"].astype(np.float64) + out["b_dec"]
    agrees(sae, tiny.x, f, y + w.x @ out["W_skip"].T.astype(np.float64) if skip else y)
    assert origin_of(sae).write_site == "blocks.1.hook_mlp_out"


@pytest.mark.parametrize("subtract", [True, False])
def test_matching_pursuit(
    tiny: SimpleNamespace,
    write: Write,
    agrees: Agrees,
    tmp_path: Path,
    *,
    subtract: bool,
) -> None:
    """Atoms are taken one by one until the residual is small or no new one comes."""
    unit = tiny.W_dec / np.linalg.norm(tiny.W_dec, axis=1, keepdims=True)
    cfg = config(
        architecture="matching_pursuit", residual_threshold=0.5, apply_b_dec_to_input=subtract
    )
    folder = folder_of(write, tmp_path, cfg, {"W_dec": unit, "b_dec": tiny.b_dec})
    atoms, bias = unit.astype(np.float64), tiny.b_dec.astype(np.float64) * subtract
    f = np.zeros((12, 16))
    for row, r in enumerate(tiny.x.astype(np.float64) - bias):
        for _ in range(6):
            scores = relu(atoms @ r)
            best = scores.argmax()
            known = f[row, best] != 0 or scores[best] == 0
            f[row, best] += scores[best]
            r = r - scores[best] * atoms[best]  # noqa: PLW2901, the residual
            if known or np.linalg.norm(r) < 0.5:
                break
    agrees(load_folder(folder), tiny.x, f, f @ atoms + bias)


def test_centring_is_told(tiny: SimpleNamespace, write: Write, tmp_path: Path) -> None:
    """Only an explicit center_writing_weights makes an SAE one of centred activations."""
    for index, (said, expected) in enumerate(
        [({"center_writing_weights": True}, True), ({"center_writing_weights": False}, False)]
    ):
        cfg = old_config(model_from_pretrained_kwargs=said)
        folder = folder_of(write, tmp_path / str(index), cfg, arrays(tiny, *AFFINE))
        assert origin_of(load_folder(folder)).centred is expected
    cfg = config()
    cfg["metadata"]["model_from_pretrained_kwargs"] = {"center_writing_weights": True}
    folder = folder_of(write, tmp_path / "new", cfg, arrays(tiny, *AFFINE))
    assert origin_of(load_folder(folder)).centred is True


def test_hook_z_is_read_flat(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path
) -> None:
    """Heads come flattened in saeval, so that hook_z changes no number; it is recorded."""
    cfg = config(reshape_activations="hook_z")
    cfg["metadata"]["hook_name"] = "blocks.1.attn.hook_z"
    sae = load_folder(folder_of(write, tmp_path, cfg, arrays(tiny, *AFFINE)))
    w = wide(tiny)
    f = relu((w.x - w.b_dec) @ w.W_enc + w.b_enc)
    agrees(sae, tiny.x, f, f @ w.W_dec + w.b_dec)
    assert origin_of(sae).metadata["reshape_activations"] == "hook_z"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"architecture": "crosscoder"}, "'crosscoder'.*does not know"),
    ({"architecture": "temporal"}, "earlier tokens"),
    ({"architecture": "batchtopk", "k": 3}, "lacks 'topk_threshold'"),
    ({"architecture": "matryoshka_batchtopk", "k": 3}, "lacks 'topk_threshold'"),
    ({"architecture": "topk", "k": 3, "activation_fn_kwargs": {"k": 4}}, "'?k'?.*3.*4"),
    ({"hook_name": "blocks.1.hook_mlp_out"}, "hook_name.*blocks.1.hook_mlp_out"),
    ({"context_size": 65}, "context_size.*65"),
    ({"hook_head_index": "one"}, "hook_head_index"),
    ({"hook_head_index": -1}, "hook_head_index"),
    ({"activation_fn": "relu", "activation_fn_str": "topk"}, "activation_fn"),
    ({"hook_point": "blocks.2.hook_mlp_out", "hook_name": "blocks.1.hook_mlp_out"}, "hook_name"),
    ({"activation_fn": "tanh-relu"}, "never read as relu"),
    ({"activation_fn": "topk"}, "no k"),
    ({"activation_fn": "topk", "activation_fn_kwargs": {"k": 3, "signed": True}}, "signed"),
    ({"activation_fn_kwargs": {"slope": 0.1}}, "slope"),
    ({"normalize_activations": "batch_norm"}, "normalize_activations.*'batch_norm'"),
    ({"reshape_activations": "heads"}, "reshape_activations"),
    ({"apply_b_dec_to_input": 1}, "apply_b_dec_to_input"),
    ({"architecture": "topk"}, "no k"),
    ({"architecture": "topk", "k": 0}, "k is 0"),
    ({"architecture": "topk", "k": 17}, "k is 17"),
    ({"architecture": "topk", "k": 2.5}, "'k' as a whole number"),
    ({"architecture": "jumprelu"}, "lacks 'threshold'"),
    ({"architecture": "gated"}, "lacks 'b_gate'"),
    ({"rescale_acts_by_decoder_norm": True}, "rescale_acts_by_decoder_norm.*refused"),
    ({"k": 3}, "'k' to 3.*refused"),
    ({"input_bias_scale": 2.0}, "input_bias_scale"),
    ({"d_in": 7}, "d_in = 7"),
    ({"d_sae": 15}, "d_sae = 15"),
    ({"architecture": "transcoder", "d_out": 6}, "apply_b_dec_to_input"),
    ({"metadata": "none"}, "metadata"),
]


@pytest.mark.parametrize("more, reason", REFUSED)
def test_what_is_not_understood_is_refused(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, more: dict[str, Any], reason: str
) -> None:
    """A configuration that saeval cannot follow to the last bit is an error with the reason."""
    folder = folder_of(write, tmp_path, config(**more), arrays(tiny, *AFFINE))
    with pytest.raises(LoadError, match=reason):
        load_folder(folder)


@pytest.mark.parametrize("value", [None, False, "none", {}])
def test_what_is_switched_off_is_not_refused(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, value: Any
) -> None:
    """An unknown key that looks arithmetic passes while it is off."""
    folder = folder_of(write, tmp_path, config(output_scale=value), arrays(tiny, *AFFINE))
    assert load(folder).d_sae == 16


def test_a_denied_factor_is_refused(tiny: SimpleNamespace, write: Write, tmp_path: Path) -> None:
    """A factor that does something while the configuration denies it is an error."""
    tensors = arrays(tiny, *AFFINE) | {"scaling_factor": np.full(16, 2, np.float32)}
    with pytest.raises(LoadError, match="finetuning_scaling_factor to False"):
        load_folder(folder_of(write, tmp_path, old_config(), tensors))


def test_whitened_checkpoints_are_refused(
    tiny: SimpleNamespace, write: Write, tmp_path: Path
) -> None:
    """Whitening is no scale, and is not passed over."""
    cfg = config(normalize_activations="expected_average_only_in")
    folder = folder_of(write, tmp_path, cfg, arrays(tiny, *AFFINE))
    write(folder, {"activation_scaler.json": {"scaling_factor": None, "has_whitening": True}})
    with pytest.raises(LoadError, match="whitened"):
        load_folder(folder)


TRAINING_ONLY = {
    "jumprelu_tanh_scale": 4.0,
    "jumprelu_init_threshold": 0.01,
    "jumprelu_bandwidth": 0.05,
    "jumprelu_sparsity_loss_mode": "tanh",
    "l0_coefficient": 1.0,
    "l0_warm_up_steps": 100,
    "pre_act_loss_coefficient": 3e-6,
    "decoder_init_norm": 0.1,
    "noise_scale": 0.5,
    "l1_coefficient": 1.0,
    "lp_norm": 1.0,
    "mse_loss_normalization": None,
    "normalize_sae_decoder": True,
    "scale_sparsity_penalty_by_decoder_norm": True,
    "use_ghost_grads": False,
    "aux_loss_coefficient": 0.03,
    "topk_threshold_lr": 0.01,
    "matryoshka_widths": [4, 16],
    "use_sparse_activations": True,
}
"""Keys of training checkpoints, as SAELens writes them, with values that are switched on."""


@pytest.mark.parametrize("key", TRAINING_ONLY)
def test_keys_of_training_change_nothing(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path, key: str
) -> None:
    """A training checkpoint loads, and computes what it would without its training's keys."""
    cfg = config(architecture="jumprelu", **{key: TRAINING_ONLY[key]})
    sae = load_folder(folder_of(write, tmp_path, cfg, arrays(tiny, *AFFINE, "threshold")))
    w = wide(tiny)
    pre = (w.x - w.b_dec) @ w.W_enc + w.b_enc
    f = relu(pre) * (pre > w.threshold)
    agrees(sae, tiny.x, f, f @ w.W_dec + w.b_dec)


def test_keys_that_the_library_says_are_of_training(
    tiny: SimpleNamespace, write: Write, tmp_path: Path
) -> None:
    """Whatever SAELens lists as training's own passes, but with the value it is listed with."""
    details = {"encoder_norm_scale": 2.0}
    cfg = config(encoder_norm_scale=2.0)
    cfg["metadata"]["training_architecture_details"] = details
    assert load_folder(folder_of(write, tmp_path / "a", cfg, arrays(tiny, *AFFINE))).d_sae == 16
    cfg["encoder_norm_scale"] = 3.0
    with pytest.raises(LoadError, match="encoder_norm_scale"):
        load_folder(folder_of(write, tmp_path / "b", cfg, arrays(tiny, *AFFINE)))


def test_thresholds_of_a_checkpoint_are_logarithms(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path
) -> None:
    """Training keeps the logarithm of a JumpReLU's thresholds; one file has one of the two."""
    cfg = config(architecture="jumprelu", jumprelu_tanh_scale=4.0)
    content = arrays(tiny, *AFFINE) | {"log_threshold": np.log(tiny.threshold)}
    sae = load_folder(folder_of(write, tmp_path / "a", cfg, content))
    w = wide(tiny)
    pre = (w.x - w.b_dec) @ w.W_enc + w.b_enc
    f = relu(pre) * (pre > w.threshold)
    agrees(sae, tiny.x, f, f @ w.W_dec + w.b_dec)
    both = content | arrays(tiny, "threshold")
    with pytest.raises(LoadError, match="threshold"):
        load_folder(folder_of(write, tmp_path / "b", cfg, both))


@pytest.mark.parametrize("by_norm", [True, False])
@pytest.mark.parametrize("architecture", ["batchtopk", "matryoshka_batchtopk"])
def test_checkpoints_of_batchtopk_become_what_they_are_used_as(
    tiny: SimpleNamespace,
    write: Write,
    agrees: Agrees,
    tmp_path: Path,
    architecture: str,
    *,
    by_norm: bool,
) -> None:
    """The average threshold of training takes the place of the batch, as in SAELens' own export."""
    cfg = config(architecture=architecture, k=3, rescale_acts_by_decoder_norm=by_norm)
    content = arrays(tiny, *AFFINE) | {"topk_threshold": np.array(0.4, np.float32)}
    sae = load_folder(folder_of(write, tmp_path / "a", cfg, content))
    w = wide(tiny)
    norm = np.linalg.norm(w.W_dec, axis=1) if by_norm else np.ones(16)
    f = relu(((w.x - w.b_dec) @ w.W_enc + w.b_enc) * norm)
    f = f * (f > np.float32(0.4))
    agrees(sae, tiny.x, f, (f / norm) @ w.W_dec + w.b_dec)
    content["topk_threshold"] = np.array(0, np.float32)
    with pytest.raises(LoadError, match="topk_threshold"):
        load_folder(folder_of(write, tmp_path / "b", cfg, content))


@pytest.mark.parametrize("place", ["flat", "metadata"])
def test_one_head_of_a_hook(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, place: str
) -> None:
    """An SAE of one attention head says which, in its site."""
    said = {"hook_name": "blocks.1.attn.hook_z", "hook_head_index": 3}
    cfg = config()
    if place == "flat":
        cfg = old_config(hook_point="blocks.1.attn.hook_z", hook_point_head_index=3)
    else:
        cfg["metadata"] |= said
    sae = load_folder(folder_of(write, tmp_path, cfg, arrays(tiny, *AFFINE)))
    assert origin_of(sae).read_site == "blocks.1.attn.hook_z[3]"
