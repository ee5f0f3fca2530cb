"""saeval's own format gives back every architecture bit for bit, and refuses what it cannot."""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from saeval.errors import LoadError, UsageError
from saeval.sae import Origin, content_hash, encode_codes, origin_of
from saeval.sae.architectures import ARCHITECTURES
from saeval.sae.architectures.checks import tensor_fields
from saeval.sae.architectures.random import random_topk
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
from saeval.sae.architectures.wrapped import wrap
from saeval.sae.loaders import detect, load_folder
from saeval.sae.loaders.saeval_format import save

SHAPES = {"W_enc": (4, 8), "W_dec": (8, 4), "b_dec": (4,), "W_skip": (4, 4)}
PARAMETERS: dict[str, dict[str, Any]] = {
    "abstopk": {"k": 2},
    "batchtopk": {"threshold": 0.5, "subtract_b_dec": False},
    "gated": {"transform": LayerNorm(1e-6)},
    "groupmax": {"k": 2},
    "hierarchical_topk": {"k": 2, "max_k": 4},
    "itda": {"k": 2},
    "jumprelu": {"transform": Scale(0.25)},
    "matching_pursuit": {"max_steps": 3, "residual_norm": 0.125, "stop_on_repeat": False},
    "matryoshka": {"threshold": 0.5, "prefixes": (2, 8)},
    "neurons": {"k": 2},
    "pca": {"k": 2, "transform": Centre()},
    "relu": {"transform": ConstantNorm()},
    "topk": {"k": 2},
    "weighted_topk": {"k": 2},
}


def example(name: str) -> Any:
    """A small SAE of an architecture."""
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    origin = Origin(loader="saeval", architecture=name, model="org/m", metadata={"seed": 3})
    kind: Any = ARCHITECTURES[name]
    tensors = {
        one: torch.randn(SHAPES.get(one, (8,)), generator=generator) for one in tensor_fields(kind)
    }
    if name == "transcoder":
        inner = replace(example("topk"), transform=InputOnly(LayerNorm()), subtract_b_dec=False)
        return kind(replace(inner, origin=Origin(architecture="topk")), **tensors, origin=origin)
    return kind(**tensors, **PARAMETERS[name], origin=origin)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_comes_back(tmp_path: Path, name: str) -> None:
    """Saved and loaded, an SAE has the same content, the same origin, and the same acts."""
    sae = example(name)
    save(sae, tmp_path)
    assert detect(tmp_path) == "saeval"
    loaded = load_folder(tmp_path)
    assert content_hash(loaded) == content_hash(sae)
    assert origin_of(loaded) == sae.origin
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(encode_codes(loaded, x).dense(), encode_codes(sae, x).dense())


def test_a_transcoder_without_skip(tmp_path: Path) -> None:
    """A tensor that may be absent stays absent."""
    sae = replace(example("transcoder"), W_skip=None)
    save(sae, tmp_path)
    loaded: Any = load_folder(tmp_path)
    assert loaded.W_skip is None
    assert content_hash(loaded) == content_hash(sae)


@pytest.mark.parametrize(
    "transform",
    [
        Identity(),
        LayerNorm(1e-4),
        RMSNorm(1e-3),
        ConstantNorm(),
        Scale(3.5),
        Centre(),
        InputOnly(Scale(2.0)),
    ],
)
def test_every_transform_comes_back(tmp_path: Path, transform: Transform) -> None:
    """Transforms keep their constants, also one within another."""
    save(replace(example("relu"), transform=transform), tmp_path)
    loaded: Any = load_folder(tmp_path)
    assert loaded.transform == transform


def test_half_precision(tmp_path: Path) -> None:
    """Stored in float16, weights are read as float32 holding the rounded values."""
    sae = example("topk")
    save(sae, tmp_path, torch.float16)
    assert load_file(tmp_path / "saeval.safetensors")["W_enc"].dtype == torch.float16
    loaded: Any = load_folder(tmp_path)
    assert loaded.W_enc.dtype == torch.float32
    assert torch.equal(loaded.W_enc, sae.W_enc.half().float())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_eight_bits(tmp_path: Path, name: str) -> None:
    """In int8 each number of a matrix is off by at most half its latent's scale; saved twice, none.

    Vectors are those of float16, bit for bit.
    """
    sae = example(name)
    save(sae, tmp_path, torch.int8)
    loaded: Any = load_folder(tmp_path)
    for item in (item for item in fields(sae) if isinstance(getattr(sae, item.name), torch.Tensor)):
        before, after = getattr(sae, item.name), getattr(loaded, item.name)
        if before.ndim == 1 or item.name == "W_skip":
            assert torch.equal(after, before.half().float()), item.name
            continue
        over = 0 if item.name == "W_enc" else 1
        half_scale = before.abs().amax(over, keepdim=True) / 127 / 2
        assert ((after - before).abs() <= half_scale * 1.0001).all(), item.name
    save(loaded, tmp_path / "again", torch.int8)
    assert content_hash(load_folder(tmp_path / "again")) == content_hash(loaded)


def test_scales_that_fit_no_matrix_are_refused(tmp_path: Path) -> None:
    """Scales without their matrix, beside one that is no int8, or of another shape."""
    save(example("topk"), tmp_path, torch.int8)
    path = tmp_path / "saeval.safetensors"
    tensors = load_file(path)
    wrong = {
        "no matrix of 8-bit": {"W_other.scale": tensors["W_dec.scale"].clone()},
        "8-bit integers beside": {"W_dec": tensors["W_dec"].float()},
        "not one scale for each": {"W_dec.scale": tensors["W_dec.scale"][:3].contiguous()},
    }
    for reason, change in wrong.items():
        save_file({**tensors, **change}, path)
        with pytest.raises(LoadError, match=reason):
            load_folder(tmp_path)


def test_what_does_not_fit_is_not_saved(tmp_path: Path) -> None:
    """Weights beyond float16, and architectures of others, are errors and leave no files."""
    sae = example("topk")
    with pytest.raises(UsageError, match=r"'W_dec' does not fit torch\.float16"):
        save(replace(sae, W_dec=sae.W_dec * 1e6), tmp_path / "a", torch.float16)
    with pytest.raises(UsageError, match="Wrapped cannot be saved"):
        save(wrap(sae), tmp_path / "b")
    assert not list(tmp_path.iterdir())


def test_a_null_is_saved_as_what_it_is(tmp_path: Path) -> None:
    """The random null is a topk, and its origin says how it was drawn."""
    sae = random_topk(torch.zeros(4), 8, 2, seed=5)
    save(sae, tmp_path)
    assert origin_of(load_folder(tmp_path)).metadata == {"null": "random", "seed": 5}


@pytest.mark.parametrize(
    "changed",
    [
        {"W_enc": torch.ones(4, 8)},
        {"b_enc": torch.full((8,), 0.1)},
        {"W_dec": torch.ones(8, 4)},
        {"subtract_b_dec": False},
        {"transform": LayerNorm()},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_null_that_its_seed_does_not_give_is_not_saved(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    """Whatever differs would be lost with the seed alone, so it is refused and named."""
    null = random_topk(torch.zeros(4), 8, 2, seed=5)
    with pytest.raises(UsageError, match=f"{next(iter(changed))} would be lost"):
        save(replace(null, **changed), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seed", [None, "5", -1, 2**63, True])
def test_a_null_must_name_its_seed(tmp_path: Path, seed: object) -> None:
    """What is called random names the whole number that it was drawn from."""
    null = random_topk(torch.zeros(4), 8, 2, seed=5)
    metadata = {"null": "random"} if seed is None else {"null": "random", "seed": seed}
    with pytest.raises(UsageError, match="must name the seed"):
        save(replace(null, origin=replace(null.origin, metadata=metadata)), tmp_path)
    with pytest.raises(UsageError, match="architecture ReLU would be lost"):
        save(replace(example("relu"), origin=null.origin), tmp_path)


@pytest.mark.parametrize(
    "changed, stated, reason",
    [
        ({"seed": 2**70}, 8, "'seed' as .* below 2"),
        ({"d_sae": 10**13}, None, "'d_sae' as 10000000000000, .* Lower it"),
        ({"d_sae": 10**30}, None, "'d_sae' as 1000"),
        ({"d_sae": 10**9}, 8, "d_sae = 8"),
        ({"k": 9}, 8, "'k' as 9, but has only 8 latents"),
        ({"k": 10**30}, 8, "'k' as 1000"),
    ],
)
def test_a_null_out_of_range_is_refused(
    tmp_path: Path, changed: dict[str, int], stated: int | None, reason: str
) -> None:
    """Numbers that cannot be drawn from are errors with the reason, before anything is drawn."""
    save(random_topk(torch.zeros(4), 8, 2, seed=5), tmp_path)
    path = tmp_path / "saeval.json"
    config = json.loads(path.read_text())
    config["sae"].update(changed)
    config["d_sae"] = stated
    path.write_text(json.dumps(config))
    with pytest.raises(LoadError, match=reason):
        load_folder(tmp_path)


def test_a_null_of_a_matrix_is_refused(tmp_path: Path) -> None:
    """The mean of a null is a vector, whatever its file holds."""
    save(random_topk(torch.zeros(4), 8, 2, seed=5), tmp_path)
    save_file({"b_dec": torch.zeros(2, 2)}, tmp_path / "saeval.safetensors")
    with pytest.raises(LoadError, match=r"shape \[2, 2\]"):
        load_folder(tmp_path)


Edit = Callable[[dict[str, Any]], Any]
REFUSED: dict[str, tuple[Edit, str]] = {
    "another format": (lambda c: c.update(format="other"), "format 'other'"),
    "a later version": (lambda c: c.update(version=2), "version 2"),
    "an unknown key": (lambda c: c.update(scale=2), "'scale', which has no meaning"),
    "no description": (lambda c: c.pop("sae"), "'sae' as an object"),
    "no origin": (lambda c: c.pop("origin"), "'origin' as an object"),
    "another width": (lambda c: c.update(d_in=5), "d_in = 5"),
    "other latents": (lambda c: c.update(d_sae=9), "d_sae = 9"),
    "an unknown architecture": (
        lambda c: c["sae"].update(architecture="wavelet"),
        "architecture 'wavelet'",
    ),
    "another architecture": (lambda c: c["sae"].update(architecture="gated"), "lacks 'b_gate'"),
    "an unknown parameter": (lambda c: c["sae"].update(slope=1), "'slope', which has no meaning"),
    "a missing parameter": (lambda c: c["sae"].pop("k"), "lacks 'k'"),
    "a parameter as text": (lambda c: c["sae"].update(k="2"), "'k' as '2'"),
    "a parameter as a list": (lambda c: c["sae"].update(k=[2]), "'k' is .2,"),
    "a flag as a number": (lambda c: c["sae"].update(subtract_b_dec=1), "'subtract_b_dec' as 1"),
    "k out of range": (lambda c: c["sae"].update(k=9), "k is 9"),
    "an unknown transform": (
        lambda c: c["sae"].update(transform={"name": "whiten"}),
        "transform.*'whiten'",
    ),
    "a transform without constant": (
        lambda c: c["sae"].update(transform={"name": "scale"}),
        "exactly the constants",
    ),
    "a transform of text": (
        lambda c: c["sae"].update(transform={"name": "scale", "factor": "2"}),
        "exactly the constants",
    ),
    "a scale of nothing": (
        lambda c: c["sae"].update(transform={"name": "scale", "factor": 0}),
        "scaled by 0",
    ),
    "an unknown origin": (lambda c: c["origin"].update(author="me"), "'author', which has no"),
    "a wrong origin": (lambda c: c["origin"].update(model=3), "'model' of its origin as 3"),
}


@pytest.mark.parametrize("edit, reason", REFUSED.values(), ids=REFUSED)
def test_what_is_not_understood_is_refused(tmp_path: Path, edit: Edit, reason: str) -> None:
    """Every slip in saeval.json is an error with the reason."""
    save(example("topk"), tmp_path)
    path = tmp_path / "saeval.json"
    config = json.loads(path.read_text())
    edit(config)
    path.write_text(json.dumps(config))
    with pytest.raises(LoadError, match=reason):
        load_folder(tmp_path)


def test_thresholds_must_be_numbers(tmp_path: Path) -> None:
    """NaN, which Python writes though JSON has none, is no threshold, nor anything else."""
    save(example("batchtopk"), tmp_path)
    path = tmp_path / "saeval.json"
    path.write_text(path.read_text().replace("0.5", "NaN"))
    with pytest.raises(LoadError, match="NaN"):
        load_folder(tmp_path)


def test_a_foreign_tensor_is_refused(tmp_path: Path) -> None:
    """A tensor that the architecture has no use for is not passed over."""
    save(example("topk"), tmp_path)
    path = tmp_path / "saeval.safetensors"
    save_file(load_file(path) | {"gate": torch.ones(8)}, path)
    with pytest.raises(LoadError, match="'gate', which has no meaning"):
        load_folder(tmp_path)


def table(title: str) -> dict[str, list[str]]:
    """Rows of a table in docs/format.md by the name in their first cell."""
    text = (Path(__file__).parents[3] / "docs" / "format.md").read_text(encoding="utf-8")
    section = text.split(f"### {title}\n")[1].split("\n#")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip(" `"): [cell.strip() for cell in row[1:]] for row in rows}


def test_the_documentation_names_every_architecture() -> None:
    """The table of docs/format.md has exactly the tensors and parameters that are read."""
    rows = table("Architectures")
    assert rows.keys() == ARCHITECTURES.keys()
    for name, kind in ARCHITECTURES.items():
        tensors, parameters = rows[name][0].split(), rows[name][1].split()
        assert {one for one in tensors if one != "inner.*"} == set(tensor_fields(kind)), name
        told = {one.name for one in fields(kind)} - set(tensor_fields(kind))
        assert set(parameters) == told - {"origin", "transform", "subtract_b_dec"}, name


def test_the_documentation_names_every_transform() -> None:
    """Likewise the table of transforms and their constants."""
    rows = table("Transforms")
    assert rows.keys() == TRANSFORMS.keys()
    for name, kind in TRANSFORMS.items():
        assert set(rows[name][0].split()) == {one.name for one in fields(kind)}, name


def test_the_documented_example_loads(tmp_path: Path) -> None:
    """The configuration shown in docs/format.md is one that saeval reads."""
    text = (Path(__file__).parents[3] / "docs" / "format.md").read_text(encoding="utf-8")
    shown = text.split("```json\n")[1].split("```")[0]
    null = random_topk(torch.zeros(128), 1024, 32, seed=0)
    save(replace(null, origin=Origin(loader="saeval", architecture="topk")), tmp_path)
    (tmp_path / "saeval.json").write_text(shown)
    sae: Any = load_folder(tmp_path)
    assert (sae.k, sae.transform) == (32, LayerNorm())
    assert sae.origin.read_site == "layers.8"


def test_the_documented_null_loads(tmp_path: Path) -> None:
    """The object shown for a random null is one that saeval reads, and draws as the page says."""
    text = (Path(__file__).parents[3] / "docs" / "format.md").read_text(encoding="utf-8")
    inner = text.split("### Random nulls")[1].split("`{")[1].split("}`")[0]
    shown = json.loads(f"{{{inner}}}")
    config = {"format": "saeval", "version": 1, "sae": shown, "origin": {}}
    (tmp_path / "saeval.json").write_text(json.dumps(config))
    save_file({"b_dec": torch.ones(8)}, tmp_path / "saeval.safetensors")
    sae: Any = load_folder(tmp_path)
    drawn = torch.randn(1024, 8, generator=torch.Generator().manual_seed(shown["seed"]))
    assert torch.allclose(sae.W_dec, drawn / drawn.norm(dim=1, keepdim=True))
    assert torch.equal(sae.W_enc, sae.W_dec.T)
    assert (sae.k, sae.b_dec.tolist(), sae.b_enc.any().item()) == (shown["k"], [1.0] * 8, False)
    assert (sae.origin.metadata["null"], sae.origin.metadata["seed"]) == ("random", 0)
