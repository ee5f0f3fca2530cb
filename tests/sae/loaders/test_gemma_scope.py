"""Gemma Scope folders load as published, of the first release and of the second."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from saeval.errors import LoadError
from saeval.registry.entries import Entry
from saeval.sae import origin_of
from saeval.sae.loaders import load_folder

Write = Callable[..., Path]
Agrees = Callable[..., None]

NAMES = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")


def arrays(tiny: SimpleNamespace, **more: Any) -> dict[str, np.ndarray]:
    """The tensors of the first release."""
    return {name: getattr(tiny, name) for name in NAMES} | more


def lower(tiny: SimpleNamespace, **more: Any) -> dict[str, np.ndarray]:
    """The tensors of the second release."""
    return {name.replace("W_", "w_"): getattr(tiny, name) for name in NAMES} | more


def acts(tiny: SimpleNamespace) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, acts and the reconstruction, in float64."""
    w = SimpleNamespace(**{key: value.astype(np.float64) for key, value in vars(tiny).items()})
    pre = w.x @ w.W_enc + w.b_enc
    f = np.maximum(pre, 0) * (pre > w.threshold)
    return w.x, f, f @ w.W_dec + w.b_dec


def test_reproduces_the_reference(fixtures_dir: Path, agrees: Agrees) -> None:
    """What SAELens computes of a params.npz comes out, equality at the threshold included."""
    folder = fixtures_dir / "loaders" / "gemma_scope"
    expected = load_file(folder / "expected.safetensors")
    agrees(load_folder(folder), expected["x"], expected["f"], expected["x_hat"])


@pytest.mark.parametrize("release", ["npz", "npz in lower case", "safetensors"])
def test_both_releases(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path, release: str
) -> None:
    """JumpReLU without subtraction of b_dec, whichever file holds it."""
    content = arrays(tiny) if release == "npz" else lower(tiny)
    suffix = "safetensors" if release == "safetensors" else "npz"
    folder = write(tmp_path, {f"params.{suffix}": content})
    _, f, x_hat = acts(tiny)
    agrees(load_folder(folder), tiny.x, f, x_hat)


def test_affine_skip(tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path) -> None:
    """The skip multiplies x from the right as it lies in the file."""
    content = lower(tiny, affine_skip_connection=tiny.W_skip)
    folder = write(tmp_path, {"params.safetensors": content})
    x, f, x_hat = acts(tiny)
    agrees(load_folder(folder), tiny.x, f, x_hat + x @ tiny.W_skip.astype(np.float64))


def test_embedding_saes_are_rescaled(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path
) -> None:
    """W_enc is divided by sqrt(d_in) and W_dec multiplied, for SAEs of embeddings only."""
    folder = write(
        tmp_path / "embedding" / "width_4k" / "average_l0_6", {"params.npz": arrays(tiny)}
    )
    root = np.sqrt(6)
    tiny.W_enc, tiny.W_dec = tiny.W_enc / root, tiny.W_dec * root
    _, f, x_hat = acts(tiny)
    agrees(load_folder(folder), tiny.x, f, x_hat)


PLACES = {
    "models--google--gemma-scope-2b-pt-res/snapshots/abc/layer_5/width_16k/average_l0_8": (
        "google/gemma-2-2b",
        "blocks.5.hook_resid_post",
        None,
    ),
    "gemma-scope-9b-it-att-canonical/layer_20/width_16k/canonical": (
        "google/gemma-2-9b-it",
        "blocks.20.attn.hook_z",
        None,
    ),
    "gemma-scope-2b-pt-mlp/layer_3/width_16k/average_l0_8": (
        "google/gemma-2-2b",
        "blocks.3.hook_mlp_out",
        None,
    ),
    "gemma-scope-2b-pt-transcoders/layer_0/width_16k/average_l0_76": (
        "google/gemma-2-2b",
        "blocks.0.hook_resid_mid",
        "blocks.0.hook_mlp_out",
    ),
    "gemma-scope-2-4b-it/attn_out/layer_7_width_16k_l0_big": (
        "google/gemma-3-4b-it",
        "blocks.7.attn.hook_z",
        None,
    ),
    "gemma-scope-2-12b-pt/mlp_out_all/layer_7_width_16k_l0_big": (
        "google/gemma-3-12b-pt",
        "blocks.7.hook_mlp_out",
        None,
    ),
    "gemma-scope-2-270m-pt/transcoder_all/layer_3_width_16k_l0_big": (
        "google/gemma-3-270m",
        "blocks.3.mlp.hook_in",
        "blocks.3.hook_mlp_out",
    ),
    "gemma-scope-2-1b-pt/resid_post_all/layer_12_width_16k_l0_small": (
        "google/gemma-3-1b-pt",
        "blocks.12.hook_resid_post",
        None,
    ),
    "layer_5/width_16k/average_l0_8": (None, None, None),
}
"""Folders, and the model, read site and write site that their names tell."""


@pytest.mark.parametrize("place", PLACES)
def test_names_tell_model_and_site(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, place: str
) -> None:
    """Repository and folder say what the file does not; silence stays silence."""
    origin = origin_of(load_folder(write(tmp_path / place, {"params.npz": arrays(tiny)})))
    assert (origin.model, origin.read_site, origin.write_site) == PLACES[place]


def test_an_entry_tells_the_repository(tiny: SimpleNamespace, write: Write, tmp_path: Path) -> None:
    """Where the folder's name is lost, a registry entry's source says the same, and overrides."""
    source = "hf://google/gemma-scope-2b-pt-res/layer_7/width_16k/average_l0_8"
    entry = Entry(id="a", source=source, loader="gemma_scope", prepend_bos=True)
    folder = write(tmp_path, {"params.npz": arrays(tiny)})
    origin = origin_of(load_folder(folder, entry=entry))
    assert (origin.model, origin.read_site) == ("google/gemma-2-2b", "blocks.7.hook_resid_post")
    assert origin.prepend_bos is True
    moved = Entry(id="a", source=source, site="layers.1", model="org/other", centred=True)
    origin = origin_of(load_folder(folder, entry=moved))
    assert (origin.model, origin.read_site, origin.centred) == ("org/other", "layers.1", True)


def successor(**more: Any) -> dict[str, Any]:
    """A config.json of the second release."""
    return {
        "hf_hook_point_in": "model.layers.5.pre_feedforward_layernorm.output",
        "hf_hook_point_out": "model.layers.5.post_feedforward_layernorm.output",
        "width": 16,
        "model_name": "google/gemma-3-1b-pt",
        "architecture": "jump_relu",
        "l0": 20,
        "affine_connection": True,
        "type": "transcoder",
    } | more


def test_the_second_release_says_its_sites(
    tiny: SimpleNamespace, write: Write, tmp_path: Path
) -> None:
    """Its configuration names modules of the Hugging Face model, in and out."""
    content = lower(tiny, affine_skip_connection=tiny.W_skip)
    files = {"config.json": successor(), "params.safetensors": content}
    origin = origin_of(load_folder(write(tmp_path, files)))
    assert origin.read_site == "layers.5.pre_feedforward_layernorm:out"
    assert origin.write_site == "layers.5.post_feedforward_layernorm:out"
    assert origin.model == "google/gemma-3-1b-pt"


@pytest.mark.parametrize(
    "more, reason",
    [
        ({"type": "clt"}, "type 'clt': a cross-layer transcoder.*not supported"),
        ({"type": "crosscoder"}, "type 'crosscoder'.*not supported"),
        ({"type": "lorsa"}, "type.*'lorsa'"),
        ({"architecture": "topk"}, "architecture.*'topk'"),
        ({"width": 17}, "width = 17"),
        ({"affine_connection": True}, "lacks 'affine_skip_connection'"),
        ({"input_norm": "rms"}, "input_norm"),
    ],
)
def test_other_kinds_are_refused(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, more: dict[str, Any], reason: str
) -> None:
    """What the second release has besides SAEs and transcoders is not read as one."""
    files = {
        "config.json": successor(affine_connection=False) | more,
        "params.safetensors": lower(tiny),
    }
    with pytest.raises(LoadError, match=reason):
        load_folder(write(tmp_path, files))


def test_two_files_are_one_too_many(tiny: SimpleNamespace, write: Write, tmp_path: Path) -> None:
    """Which of two weight files counts is not guessed; an idle scaling factor is passed over."""
    idle = arrays(tiny, scaling_factor=np.ones(16, np.float32))
    folder = write(tmp_path, {"params.npz": idle})
    assert load_folder(folder).d_sae == 16
    write(folder, {"params.safetensors": lower(tiny)})
    with pytest.raises(LoadError, match="holds both"):
        load_folder(folder)
    (folder / "params.safetensors").unlink()
    write(folder, {"params.npz": arrays(tiny, scaling_factor=np.full(16, 2, np.float32))})
    with pytest.raises(LoadError, match="'scaling_factor', which has no meaning"):
        load_folder(folder)


def test_transcoders_of_the_first_release(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path
) -> None:
    """They encode the norm's value before its gain: the stream before it over its own RMS."""
    place = tmp_path / "gemma-scope-2b-pt-transcoders" / "layer_3" / "width_16k" / "average_l0_8"
    sae = load_folder(write(place, {"params.npz": arrays(tiny)}))
    x = tiny.x.copy()
    wide_x = x.astype(np.float64)
    tiny.x = wide_x / np.sqrt((wide_x**2).mean(1, keepdims=True) + 1e-6)
    _, f, x_hat = acts(tiny)
    agrees(sae, x, f, x_hat)


@pytest.mark.parametrize("prefix", ["model.", "model.language_model.", "language_model.model.", ""])
def test_hooks_do_not_depend_on_the_wrapper(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, prefix: str
) -> None:
    """A hook is the same place whether the text model stands alone or within one that sees."""
    config = successor(type="sae", affine_connection=False, hf_hook_point_out=None)
    config["hf_hook_point_in"] = f"{prefix}layers.5.self_attn.o_proj.input"
    files = {"config.json": config, "params.safetensors": lower(tiny)}
    origin = origin_of(load_folder(write(tmp_path, files)))
    assert (origin.read_site, origin.write_site) == ("layers.5.self_attn.o_proj:in", None)


@pytest.mark.parametrize(
    "said, model",
    [
        ("gemma-v3-270m-pt", "google/gemma-3-270m"),
        ("gemma-v3-270m-it", "google/gemma-3-270m-it"),
        ("gemma-v3-4b-pt", "google/gemma-3-4b-pt"),
        ("gemma-3-27b-it", "google/gemma-3-27b-it"),
        ("google/gemma-v3-1b-it", "google/gemma-3-1b-it"),
        ("google/gemma-3-12b-pt", "google/gemma-3-12b-pt"),
    ],
)
def test_models_named_without_an_organisation(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, said: str, model: str
) -> None:
    """What the configuration calls the model is brought to its hub id."""
    files = {
        "config.json": successor(affine_connection=False, model_name=said),
        "params.safetensors": lower(tiny),
    }
    assert origin_of(load_folder(write(tmp_path, files))).model == model


@pytest.mark.parametrize("kind", ["clt", "crosscoder"])
def test_folders_of_other_kinds_are_refused_by_name(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, kind: str
) -> None:
    """Without a configuration the folder's name tells what it is."""
    place = tmp_path / "gemma-scope-2-1b-pt" / f"{kind}_all" / "width_16k_l0_big"
    with pytest.raises(LoadError, match=f"type '{kind}'.*not supported"):
        load_folder(write(place, {"params.safetensors": lower(tiny)}))
