"""The lab's models go by name wherever a model is named, and core reads the lab's own text."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from saeval_tasks.core import Core

from saeval import lab
from saeval.activations import model_source
from saeval.cli.app import app
from saeval.cli.catalogue import Places, list_models
from saeval.cli.descriptions import find_records
from saeval.errors import ModelError, UsageError
from saeval.lab import description
from saeval.lab.worlds import WORLDS
from saeval.models import load_model
from saeval.registry.lab_manifest import ManifestRow
from saeval.running.preflight.checks import Claims, check_model
from saeval.sae import SAE
from saeval.sae.architectures.random import random_topk


def test_a_lab_model_loads_by_either_name() -> None:
    """`lab/world` and `lab://world/model` are one model, and its figures are at hand."""
    short, long = load_model("lab/world"), load_model("lab://world/model")
    assert short.identity == long.identity
    assert short.name == "lab/world"
    assert "layers.1" in lab.describe("world")


def test_a_lab_sae_belongs_to_its_model_by_either_name() -> None:
    """No warning where the same model is named in short; another of the lab's is not the same."""
    source = model_source(load_model("lab/world"), "layers.1")
    named = ("lab://world/model", "lab/world", "lab/world/model", "lab://othello/model")
    found = [check_model(Claims(model=name), source)[0].status for name in named]
    assert found == ["ok", "ok", "ok", "warning"]


def test_an_unknown_lab_model_is_refused_with_the_nearest() -> None:
    """A misspelled part of the lab is named, and so is what it might have been."""
    with pytest.raises(ModelError, match="world"):
        load_model("lab/wrld")


def test_core_reads_the_labs_text_on_the_labs_model() -> None:
    """Without data of the user, core takes the lab's documents and scores a random SAE there."""
    source = model_source(load_model("lab/world"), "layers.1")
    task = Core(rows=8, ce_rows=4)
    prepared = task.prepare(source, 0)
    assert prepared.facts["data"] == "lab/world"
    null: SAE = random_topk(torch.zeros(source.widths.d_in), 256, 16, 0)
    scores = {each.metric: each for each in task.score(null, prepared, source, 0)}
    assert {"fvu", "ce_loss_score"} <= scores.keys()


def _row(name: str, **figures: object) -> ManifestRow:
    return ManifestRow(name, f"What {name} is.", "0" * 64, 1_500_000, {"seed": 3}, figures)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab of a model measured at two sites, two SAEs, one of them again from another seed."""
    rows = [
        _row(
            "toy/model",
            site="layers.1",
            top1=0.98765,
            probe={"layers.0": 0.5, "layers.1": 0.25},
            gate={"layers.0/a": {"target": 1.0}, "layers.1/a": {"target": 0.125}},
            answers={"a": {"all": 0.75, "taught": 1.0}, "b": {"all": 0.625, "taught": 1.0}},
            loss={name: {"gap": number} for number, name in enumerate(("all", *"abcdef"))},
        ),
        _row("toy/pca", l0=16.0, fvu=0.5),
        _row("toy/topk-16", l0=16.0, fvu=0.123456),
        _row("toy/topk-16-s1", l0=16.0, fvu=0.13),
        _row("toy/topk-4", l0=4.0, fvu=0.3),
    ]
    monkeypatch.setattr(description, "read_rows", lambda: {row.name: row for row in rows})


@pytest.mark.usefixtures("toy")
def test_a_part_is_described_at_its_site() -> None:
    """Figures by site are the SAEs' site's, long tables their sums; seeds are only counted."""
    (found,) = find_records("lab/toy")
    assert found["what"] == "What toy/model is."
    assert found["licence"] == "Apache-2.0"
    assert found["figures"] == {"top1": 0.9877, "probe": 0.25}
    assert found["gate"] == [{"of": "a", "target": 0.125}]
    assert found["answers"] == {"a": 0.75, "b": 0.625}
    assert found["loss"] == {"gap": 0}
    assert [(row["id"], row["fvu"]) for row in found["SAEs"]] == [
        ("lab/toy/topk-4", 0.3),
        ("lab/toy/topk-16", 0.1235),
        ("lab/toy/pca", 0.5),
    ]
    assert found["in all"] == "6.00 MB, with 1 SAE of other seeds"


def test_further_saes_are_counted_as_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints are spoken of only where there are some."""
    rows = [_row(f"toy/topk-4{end}", l0=4.0) for end in ("", "-s1", "-s2")]
    monkeypatch.setattr(description, "read_rows", lambda: {row.name: row for row in rows})
    assert find_records("lab/toy")[0]["in all"] == "4.50 MB, with 2 SAEs of other seeds"
    rows.append(_row("toy/topk-4-at-25", l0=4.0))
    assert find_records("lab/toy")[0]["in all"].endswith("3 SAEs of other seeds and checkpoints")


def test_a_world_says_what_it_is() -> None:
    """Also one without SAEs is described by its parameters; the misspelled get the nearest."""
    (found,) = find_records("lab/synthetic/dense")
    assert (found["about"], found["world"]["l0"]) == (WORLDS["dense"].about, 24.0)
    assert "SAEs" not in found
    assert find_records("lab://synthetic/rare@17")[0]["world"]["seed"] == 17
    listed = [row["id"] for row in find_records("lab/synthetic")[0]["worlds"]]
    assert listed == [f"lab/synthetic/{name}" for name in WORLDS]
    with pytest.raises(UsageError, match="'lab/synthetic/dense'"):
        find_records("lab/synthetic/dens")


def test_a_world_is_listed_among_models(tmp_path: Path) -> None:
    """Where SAEs read it, with its family, its width and what it holds; others stay unknown."""
    rows = {row["id"]: row for row in list_models(Places(tmp_path))}
    world = rows["lab://synthetic/base"]
    assert (world["family"], world["d_model"], world["layers"]) == ("synthetic", 128, None)
    assert world["notes"].startswith("256 known features in 128 dimensions.")
    assert world["saes"] > 0


@pytest.mark.usefixtures("toy")
def test_one_model_or_sae_is_described_in_full() -> None:
    """All sites and parts of a model; recipe and figures of an SAE; unknown names are refused."""
    (model,) = find_records("lab/toy/model")
    assert model["probe"] == {"layers.0": 0.5, "layers.1": 0.25}
    assert len(model["loss"]) == 7
    (sae,) = find_records("lab/toy/topk-16")
    assert sae["recipe"] == {"seed": 3}
    assert sae["figures"] == {"l0": 16.0, "fvu": 0.1235}
    done = CliRunner().invoke(app, ["describe", "lab/tyo"])
    assert (done.exit_code, "'lab/toy'" in done.stderr) == (2, True)


def test_the_lab_that_ships_is_described_on_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it is, how well it is trained and its licence, in the lines that a terminal has."""
    monkeypatch.setenv("COLUMNS", "120")
    for part in ("lab/world", "lab/othello"):
        lines = CliRunner().invoke(app, ["describe", part]).stdout.splitlines()
        assert len(lines) <= 48
        said = " ".join(" ".join(lines).split())
        assert "what: GPT-NeoX" in said
        assert "licence: Apache-2.0" in lines
        assert any("sha256" in line for line in lines)
    lines = CliRunner().invoke(app, ["describe", "lab/world", "--json"]).stdout.splitlines()
    assert json.loads(lines[0])["loss"]["gap"] < 0.15


def test_an_entry_of_the_lab_has_its_figures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An SAE that a registry lists from the lab is described with entry, recipe and figures."""
    source = "lab://world/model"  # any row of the manifest does
    text = f"saes:\n  - {{id: mine/one, source: '{source}', site: layers.1}}\n"
    (tmp_path / "registry.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    (found,) = find_records("mine/one")
    assert (found["SAE"], found["site"]) == ("mine/one", "layers.1")
    assert found["recipe"]["tokens"] == 20_480_000
    assert len(found["gate"]) == 18
