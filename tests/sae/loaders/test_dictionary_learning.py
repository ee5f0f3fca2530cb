"""dictionary_learning folders load as that library computes them, or are refused."""

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

CASES = ["dl_autoencoder", "dl_topk", "dl_batchtopk", "dl_matryoshka", "dl_jumprelu", "dl_gated"]
LINEAR = ["StandardTrainer", "StandardTrainerAprilUpdate", "PAnnealTrainer"]


def config(trainer: str, **more: Any) -> dict[str, Any]:
    """A config.json as the library writes it."""
    return {
        "trainer": {
            "trainer_class": trainer,
            "activation_dim": 6,
            "dict_size": 16,
            "lr": 1e-3,
            "warmup_steps": 1000,
            "threshold_beta": 0.999,
            "threshold_start_step": 1000,
            "top_k_aux": 3,
            "layer": 1,
            "lm_name": "org/model",
            "submodule_name": "resid_post_layer_1",
        }
        | more,
        "buffer": {"io": "out", "ctx_len": 128, "d_submodule": 6},
    }


def linear(tiny: SimpleNamespace, bias: str, **more: Any) -> dict[str, Any]:
    """State of the classes that keep two torch Linears."""
    return {
        "encoder.weight": tiny.W_enc.T,
        "encoder.bias": tiny.b_enc,
        "decoder.weight": tiny.W_dec.T,
        bias: tiny.b_dec,
    } | more


def gated(tiny: SimpleNamespace) -> dict[str, Any]:
    """State of a GatedAutoEncoder."""
    return {
        "encoder.weight": tiny.W_enc.T,
        "r_mag": tiny.r_mag,
        "gate_bias": tiny.b_gate,
        "mag_bias": tiny.b_mag,
        "decoder.weight": tiny.W_dec.T,
        "decoder_bias": tiny.b_dec,
    }


def plain(tiny: SimpleNamespace, **more: Any) -> dict[str, Any]:
    """State of the classes that keep W_enc and W_dec."""
    return {name: getattr(tiny, name) for name in ("W_enc", "b_enc", "W_dec", "b_dec")} | more


def batch_state(tiny: SimpleNamespace, threshold: float = 0.7) -> dict[str, Any]:
    """State of a BatchTopKSAE."""
    return linear(tiny, "b_dec", k=K3, threshold=scalar(threshold))


def scalar(value: float) -> np.ndarray:
    """A float32 array without extent."""
    return np.array(value, np.float32)


K3 = np.array(3, np.int32)
GROUPS = np.array([4, 4, 8])


def relu(pre: np.ndarray) -> np.ndarray:
    """The positive part."""
    return np.maximum(pre, 0)


def wide(tiny: SimpleNamespace) -> SimpleNamespace:
    """The weights in float64."""
    return SimpleNamespace(**{key: value.astype(np.float64) for key, value in vars(tiny).items()})


def folder_of(write: Write, path: Path, cfg: Any, state: Any) -> Path:
    """A folder of this library."""
    return write(path, {"config.json": cfg, "ae.pt": state})


@pytest.mark.parametrize("case", CASES)
def test_reproduces_the_library(fixtures_dir: Path, agrees: Agrees, case: str) -> None:
    """What dictionary_learning wrote and computed itself comes out again."""
    folder = fixtures_dir / "loaders" / case
    expected = load_file(folder / "expected.safetensors")
    agrees(load_folder(folder), expected["x"], expected["f"], expected["x_hat"])


@pytest.mark.parametrize("trainer", LINEAR)
def test_autoencoder_has_its_decoder_normalised(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path, trainer: str
) -> None:
    """Latents are scaled by their decoder norms, dead ones of norm 0 stay silent."""
    tiny.W_dec[5] = 0
    folder = folder_of(write, tmp_path, config(trainer), linear(tiny, "bias"))
    w = wide(tiny)
    f = relu((w.x - w.b_dec) @ w.W_enc + w.b_enc)
    norm = np.linalg.norm(w.W_dec, axis=1)
    sae = load_folder(folder)
    agrees(sae, tiny.x, f * norm, f @ w.W_dec + w.b_dec)
    origin = origin_of(sae)
    assert (origin.model, origin.context_size) == ("org/model", 128)
    assert origin.read_site == "blocks.1.hook_resid_post"


def test_a_normalised_decoder_is_left_alone(
    tiny: SimpleNamespace, write: Write, tmp_path: Path
) -> None:
    """Norms of 1 within rounding change no bit of the weights."""
    tiny.W_dec /= np.linalg.norm(tiny.W_dec, axis=1, keepdims=True)
    folder = folder_of(write, tmp_path, config("StandardTrainer"), linear(tiny, "bias"))
    assert np.array_equal(load_folder(folder).W_dec.numpy(), tiny.W_dec)


@pytest.mark.parametrize("trainer", ["StandardTrainer", "StandardTrainerNew", None])
def test_autoencoder_new_subtracts_nothing(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path, trainer: str | None
) -> None:
    """The decoder's own bias is added, and never taken off the input; the class decides."""
    cfg = config("", trainer_class=trainer, dict_class="AutoEncoderNew")
    folder = folder_of(write, tmp_path, cfg, linear(tiny, "decoder.bias"))
    w = wide(tiny)
    f = relu(w.x @ w.W_enc + w.b_enc)
    agrees(load_folder(folder), tiny.x, f, f @ w.W_dec + w.b_dec)


@pytest.mark.parametrize("threshold", [None, -1.0, 0.7])
def test_topk_ignores_its_threshold(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path, threshold: float | None
) -> None:
    """A TopK keeps its k largest whether its threshold is absent, unset or set."""
    more = {} if threshold is None else {"threshold": scalar(threshold)}
    state = linear(tiny, "b_dec", k=K3, **more)
    folder = folder_of(write, tmp_path, config("TopKTrainer", k=3), state)
    w = wide(tiny)
    pre = relu((w.x - w.b_dec) @ w.W_enc + w.b_enc)
    f = np.where(pre >= np.sort(pre, 1)[:, -3][:, None], pre, 0)
    agrees(load_folder(folder), tiny.x, f, f @ w.W_dec + w.b_dec)


@pytest.mark.parametrize("matryoshka", [True, False])
def test_batchtopk_uses_its_threshold(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path, *, matryoshka: bool
) -> None:
    """Latents above the one threshold act, and only those; nested groups change nothing."""
    state, trainer = batch_state(tiny), "BatchTopKTrainer"
    if matryoshka:
        state = plain(tiny, k=K3, threshold=scalar(0.7), group_sizes=GROUPS)
        trainer = "MatryoshkaBatchTopKTrainer"
    folder = folder_of(write, tmp_path, config(trainer, k=3), state)
    w = wide(tiny)
    pre = (w.x - w.b_dec) @ w.W_enc + w.b_enc
    f = pre * (pre > np.float32(0.7))
    sae: Any = load_folder(folder)
    agrees(sae, tiny.x, f, f @ w.W_dec + w.b_dec)
    if matryoshka:
        assert sae.prefixes == (4, 8, 16)


def test_jumprelu_subtracts_nothing(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path
) -> None:
    """A threshold a latent, and b_dec only in decoding."""
    folder = folder_of(
        write, tmp_path, config("JumpReluTrainer"), plain(tiny, threshold=tiny.threshold)
    )
    w = wide(tiny)
    pre = w.x @ w.W_enc + w.b_enc
    f = relu(pre) * (pre > w.threshold)
    agrees(load_folder(folder), tiny.x, f, f @ w.W_dec + w.b_dec)


@pytest.mark.parametrize("trainer", ["GatedSAETrainer", "GatedAnnealTrainer"])
def test_gated(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path, trainer: str
) -> None:
    """One encoder, gated by one bias and rescaled with another."""
    w = wide(tiny)
    h = (w.x - w.b_dec) @ w.W_enc
    f = (h + w.b_gate > 0) * relu(np.exp(w.r_mag) * h + w.b_mag)
    folder = folder_of(write, tmp_path, config(trainer), gated(tiny))
    agrees(load_folder(folder), tiny.x, f, f @ w.W_dec + w.b_dec)


STATES: dict[str, Callable[[SimpleNamespace], dict[str, Any]]] = {
    "StandardTrainer": lambda tiny: linear(tiny, "bias"),
    "TopKTrainer": lambda tiny: linear(tiny, "b_dec", k=K3, threshold=scalar(-1)),
    "BatchTopKTrainer": batch_state,
    "MatryoshkaBatchTopKTrainer": lambda tiny: plain(
        tiny, k=K3, threshold=scalar(0.7), group_sizes=GROUPS
    ),
    "JumpReluTrainer": lambda tiny: plain(tiny, threshold=tiny.threshold),
    "GatedSAETrainer": gated,
}
"""A state dict of every trainer."""
SCALED = ("bias", "threshold")
"""What biases and thresholds have in their names, or are: b_enc, b_dec."""


@pytest.mark.parametrize("trainer", STATES)
def test_interrupted_runs_have_their_biases_scaled(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, trainer: str
) -> None:
    """An interrupted run's file equals a finished one's, whose biases were scaled on saving."""
    factor, unscaled = 2.5, STATES[trainer](tiny)
    scaled = {
        name: np.asarray(value * np.float32(factor))
        if any(part in name for part in SCALED) or name.startswith("b_")
        else value
        for name, value in unscaled.items()
    }
    backup = {
        "step": 10,
        "ae": unscaled,
        "optimizer": {"state": {0: {"exp_avg": tiny.b_enc}}, "param_groups": [{"lr": 1e-3}]},
        "config": {"lr": 1e-3},
        "norm_factor": factor,
    }
    finished: Any = load_folder(folder_of(write, tmp_path / "a", config(trainer), scaled))
    interrupted: Any = load_folder(folder_of(write, tmp_path / "b", config(trainer), backup))
    for name in vars(finished).keys() - {"origin", "k", "prefixes", "subtract_b_dec", "transform"}:
        found, expected = getattr(interrupted, name), getattr(finished, name)
        assert np.allclose(found, expected, rtol=1e-6), name


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("FancyTrainer", {}, "'FancyTrainer'.*Known are"),
    ("CrossCoderTrainer", {}, "'CrossCoderTrainer'"),
    ("", {"trainer_class": None, "dict_class": "CrossCoder"}, "trainer None"),
    ("StandardTrainer", {"dict_class": "GatedAutoEncoder"}, "dict_class 'GatedAutoEncoder'"),
    ("StandardTrainer", {"dict_class": "IdentityDict"}, "dict_class 'IdentityDict'"),
    ("StandardTrainer", {"activation_dim": 7}, "activation_dim = 7"),
    ("StandardTrainer", {"dict_size": 17}, "dict_size = 17"),
    ("StandardTrainer", {"input_transform": "whiten"}, "input_transform"),
    ("TopKTrainer", {"k": 4}, "k is 3"),
    ("MatryoshkaBatchTopKTrainer", {"group_sizes": [8, 8]}, r"\[8, 8\]"),
]


@pytest.mark.parametrize("trainer, more, reason", REFUSED)
def test_what_is_not_understood_is_refused(
    tiny: SimpleNamespace,
    write: Write,
    tmp_path: Path,
    trainer: str,
    more: dict[str, Any],
    reason: str,
) -> None:
    """Unknown trainers and classes, and contradictions, are errors with the reason."""
    state = STATES.get(trainer, STATES["StandardTrainer"])(tiny)
    with pytest.raises(LoadError, match=reason):
        load_folder(folder_of(write, tmp_path, config(trainer, **more), state))


def without(state: dict[str, Any], name: str) -> dict[str, Any]:
    """The state less one tensor."""
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize("trainer", ["BatchTopKTrainer", "MatryoshkaBatchTopKTrainer"])
@pytest.mark.parametrize("threshold", [None, -1.0])
def test_batchtopk_needs_its_threshold(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, trainer: str, threshold: float | None
) -> None:
    """Without a threshold, or with one never set, latents would depend on the batch."""
    state = STATES[trainer](tiny)
    state = without(state, "threshold") if threshold is None else state | {"threshold": scalar(-1)}
    with pytest.raises(LoadError, match=r"no threshold|never set"):
        load_folder(folder_of(write, tmp_path, config(trainer), state))


def test_groups_must_fill_the_dictionary(
    tiny: SimpleNamespace, write: Write, tmp_path: Path
) -> None:
    """Groups that do not add up to d_sae are no Matryoshka's."""
    state = STATES["MatryoshkaBatchTopKTrainer"](tiny) | {"group_sizes": np.array([4, 4])}
    with pytest.raises(LoadError, match="must rise and end at d_sae"):
        load_folder(folder_of(write, tmp_path, config("MatryoshkaBatchTopKTrainer"), state))


@pytest.mark.parametrize(
    "backup, reason",
    [
        ({"ae": 3}, "'ae'.*must be a state dict"),
        ({}, "lacks 'norm_factor'"),
        ({"norm_factor": -1.0}, "above 0"),
        ({"norm_factor": "big"}, "'norm_factor' as a number"),
    ],
)
def test_interrupted_runs_that_say_too_little(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, backup: dict[str, Any], reason: str
) -> None:
    """An interrupted run's biases are not guessed."""
    content = {"step": 10, "ae": linear(tiny, "bias")} | backup
    with pytest.raises(LoadError, match=reason):
        load_folder(folder_of(write, tmp_path, config("StandardTrainer"), content))


def test_a_dictionary_between_two_sites_is_refused(
    tiny: SimpleNamespace, write: Write, tmp_path: Path
) -> None:
    """One trained from a module's input to its output is not taken for an autoencoder."""
    cfg = config("StandardTrainer") | {"buffer": {"io": "in_and_out"}}
    with pytest.raises(LoadError, match="different sites"):
        load_folder(folder_of(write, tmp_path, cfg, linear(tiny, "bias")))


def test_without_a_trainer_nothing_is_known(
    tiny: SimpleNamespace, write: Write, tmp_path: Path
) -> None:
    """A configuration without trainer, and a folder without configuration, say what is missing."""
    with pytest.raises(LoadError, match="no 'trainer' object"):
        load_folder(folder_of(write, tmp_path / "a", {"buffer": {}}, linear(tiny, "bias")))
    with pytest.raises(LoadError, match=r"config\.json cannot be read"):
        load_folder(write(tmp_path / "b", {"ae.pt": linear(tiny, "bias")}))
