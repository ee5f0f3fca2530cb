"""circuit-tracer's transcoders compute what it computes, a layer's and those across layers."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from saeval.errors import LoadError
from saeval.sae import origin_of
from saeval.sae.loaders import across_layers, load_folder

Write = Callable[..., Path]
Agrees = Callable[..., None]

CONFIG = {
    "model_kind": "transcoder_set",
    "model_name": "org/m",
    "feature_input_hook": "mlp.hook_in",
    "feature_output_hook": "hook_mlp_out",
    "scan": "org/transcoders",
}


def tensors(tiny: SimpleNamespace, **more: Any) -> dict[str, Any]:
    """A layer's file: W_enc lies as [latents, width]."""
    return {
        "W_enc": tiny.W_enc.T,
        "b_enc": tiny.b_enc,
        "W_dec": tiny.W_dec,
        "b_dec": tiny.b_dec,
    } | more


def wide(tiny: SimpleNamespace) -> SimpleNamespace:
    """The weights in float64."""
    return SimpleNamespace(**{key: value.astype(np.float64) for key, value in vars(tiny).items()})


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("activation", ["relu", "topk", "jumprelu"])
def test_a_layer(
    tiny: SimpleNamespace,
    write: Write,
    agrees: Agrees,
    tmp_path: Path,
    activation: str,
    *,
    skip: bool,
) -> None:
    """Without subtraction of b_dec, skipping by x W_skip transposed, at the hooks it names."""
    more: dict[str, Any] = {"W_skip": tiny.W_skip} if skip else {}
    cfg: dict[str, Any] = {**CONFIG, "activation": activation}
    if activation == "topk":
        cfg["k"] = 3
    if activation == "jumprelu":
        more["activation_function.threshold"] = tiny.threshold
    folder = write(tmp_path, {"config.yaml": cfg, "layer_3.safetensors": tensors(tiny, **more)})
    w = wide(tiny)
    pre = w.x @ w.W_enc + w.b_enc
    kept = {
        "relu": pre > 0,
        "topk": (pre >= np.sort(pre, 1)[:, -3][:, None]) & (pre > 0),
        "jumprelu": pre > w.threshold,
    }[activation]
    f = pre * kept
    y = f @ w.W_dec + w.b_dec + (w.x @ w.W_skip.T if skip else 0)
    sae = load_folder(folder)
    agrees(sae, tiny.x, f, y)
    assert origin_of(sae).read_site == "blocks.3.mlp.hook_in"
    assert origin_of(sae).write_site == "blocks.3.hook_mlp_out"
    assert origin_of(sae).model == "org/m"


def test_one_layer_of_several(tiny: SimpleNamespace, write: Write, tmp_path: Path) -> None:
    """A folder of layers is refused with their names, and a layer's file is a transcoder."""
    cfg = CONFIG | {"activation": "relu"}
    files = {f"layer_{n}.safetensors": tensors(tiny) for n in range(3)}
    folder = write(tmp_path, {"config.yaml": cfg, **files})
    with pytest.raises(LoadError, match=r"holds 3 SAEs.*layer_1\.safetensors"):
        load_folder(folder)
    sae = load_folder(folder / "layer_1.safetensors")
    assert origin_of(sae).read_site == "blocks.1.mlp.hook_in"


REFUSED: dict[str, tuple[dict[str, Any] | None, dict[str, Any], str]] = {
    "no configuration": (None, {}, "which tells the activation"),
    "no k": ({"activation": "topk"}, {}, "neither it nor layer_3.safetensors gives k"),
    "two ks": ({"activation": "topk", "k": 3}, {"k": np.array(4)}, "'k' twice, as 3 and as 4"),
    "no thresholds": ({"activation": "jumprelu"}, {}, "lacks 'activation_function.threshold'"),
    "thresholds of a relu": (
        {"activation": "relu"},
        {"activation_function.threshold": np.ones(16, np.float32)},
        "'activation' twice",
    ),
    "thresholds below 0": (
        {"activation": "jumprelu"},
        {"activation_function.threshold": -np.ones(16, np.float32)},
        "negative thresholds",
    ),
    "another activation": ({"activation": "gelu"}, {}, "'activation' to 'gelu'"),
    "another kind": ({"model_kind": "crosscoder", "activation": "relu"}, {}, "model_kind"),
}


@pytest.mark.parametrize("cfg, more, reason", REFUSED.values(), ids=REFUSED)
def test_what_is_not_understood_is_refused(
    tiny: SimpleNamespace,
    write: Write,
    tmp_path: Path,
    cfg: dict[str, Any] | None,
    more: dict[str, Any],
    reason: str,
) -> None:
    """What does not tell the activation, or tells two, is an error with the reason."""
    files: dict[str, Any] = {"layer_3.safetensors": tensors(tiny, **more)}
    if cfg is not None:
        files["config.yaml"] = CONFIG | cfg
    with pytest.raises(LoadError, match=reason):
        load_folder(write(tmp_path, files))


# Across layers ------------------------------------------------------------------------------------

L, WIDTH, LATENTS = 3, 4, 5


def across(*, thresholds: bool = False) -> dict[str, Any]:
    """Files of a cross-layer transcoder of three layers."""
    rng = np.random.default_rng(2)

    def draw(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    files: dict[str, Any] = {
        "config.yaml": CONFIG | {"model_kind": "cross_layer_transcoder"},
    }
    for layer in range(L):
        encoder = {
            f"W_enc_{layer}": draw(LATENTS, WIDTH),
            f"b_enc_{layer}": draw(LATENTS),
            f"b_dec_{layer}": draw(WIDTH),
        }
        if thresholds:
            encoder[f"threshold_{layer}"] = np.abs(draw(LATENTS))
        files[f"W_enc_{layer}.safetensors"] = encoder
        decoder = {f"W_dec_{layer}": draw(LATENTS, L - layer, WIDTH)}
        files[f"W_dec_{layer}.safetensors"] = decoder
    return files


def by_hand(files: dict[str, Any], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Acts and outputs, sites side by side, by y_t = b_dec_t + sum over l <= t f_l W_dec_l[t-l]."""
    acts, outputs = [], []
    for layer in range(L):
        part = {
            key: value.astype(np.float64)
            for key, value in files[f"W_enc_{layer}.safetensors"].items()
        }
        pre = x[:, layer * WIDTH : (layer + 1) * WIDTH] @ part[f"W_enc_{layer}"].T
        pre = pre + part[f"b_enc_{layer}"]
        acts.append(pre * (pre > part.get(f"threshold_{layer}", 0)))
        y = part[f"b_dec_{layer}"] + np.zeros((len(x), WIDTH))
        for before in range(layer + 1):
            W_dec = files[f"W_dec_{before}.safetensors"][f"W_dec_{before}"].astype(np.float64)
            y = y + acts[before] @ W_dec[:, layer - before]
        outputs.append(y)
    return np.concatenate(acts, 1), np.concatenate(outputs, 1)


@pytest.mark.parametrize("thresholds", [True, False])
def test_across_layers(write: Write, agrees: Agrees, tmp_path: Path, *, thresholds: bool) -> None:
    """Each site gets what latents of its own layer and of all earlier ones write at it."""
    files = across(thresholds=thresholds)
    x = np.random.default_rng(4).standard_normal((9, L * WIDTH)).astype(np.float32)
    f, y = by_hand(files, x)
    sae = load_folder(write(tmp_path, files))
    agrees(sae, x, f, y)
    assert origin_of(sae).read_site == ",".join(f"blocks.{n}.mlp.hook_in" for n in range(L))
    assert origin_of(sae).write_site == ",".join(f"blocks.{n}.hook_mlp_out" for n in range(L))
    assert load_folder(tmp_path / "W_enc_1.safetensors").d_sae == L * LATENTS


def test_a_decoder_summed_over_layers_is_another(write: Write, tmp_path: Path) -> None:
    """A latent of the first layer writes at every site what stands there, not their sum."""
    files = across()
    sae = load_folder(write(tmp_path, files))
    W_dec = files["W_dec_0.safetensors"]["W_dec_0"]
    assert np.array_equal(sae.W_dec[:LATENTS].numpy(), W_dec.reshape(LATENTS, -1))
    later = sae.W_dec[-LATENTS:].numpy()
    assert not later[:, : 2 * WIDTH].any()


def without(name: str) -> Callable[[dict[str, Any]], object]:
    """Takes a file away."""
    return lambda files: files.pop(name)


FAULTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a layer is missing": (without("W_enc_1.safetensors"), "encoders of layers 0, 2.*All from 0"),
    "the first is missing": (without("W_enc_0.safetensors"), "encoders of layers 1, 2"),
    "a decoder is missing": (without("W_dec_2.safetensors"), "W_dec_2"),
    "a decoder of too few layers": (
        lambda files: files["W_dec_0.safetensors"].update(
            W_dec_0=np.ones((LATENTS, L - 1, WIDTH), np.float32)
        ),
        r"shape \[5, 2, 4\], but \[5, 3, 4\]",
    ),
    "thresholds of one layer": (
        lambda files: files["W_enc_1.safetensors"].update(threshold_1=np.ones(5, np.float32)),
        "differ in shape or kind",
    ),
    "another kind": (
        lambda files: files["config.yaml"].update(model_kind="transcoder_set"),
        "model_kind",
    ),
}


@pytest.mark.parametrize("spoil, reason", FAULTS.values(), ids=FAULTS)
def test_half_a_transcoder_is_refused(
    write: Write, tmp_path: Path, spoil: Callable[[dict[str, Any]], object], reason: str
) -> None:
    """Layers are needed from the first on, each with all that it writes."""
    files = across()
    spoil(files)
    with pytest.raises(LoadError, match=reason):
        load_folder(write(tmp_path, files))


def test_what_is_too_large_is_refused_unread(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size is told from the first file's head, before any weights are read."""
    monkeypatch.setattr(across_layers, "LARGEST", 300)
    folder = write(tmp_path, across())
    (folder / "W_dec_0.safetensors").write_bytes(b"")
    with pytest.raises(LoadError, match="it has 360 numbers, more than the 300"):
        load_folder(folder)
