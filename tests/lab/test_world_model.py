"""The world's model: what is committed is what was measured, and the builder makes it again."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from saeval import lab
from saeval.errors import DataError, UsageError
from saeval.lab import build, parts
from saeval.lab.__main__ import main
from saeval.lab.world import World, gate, measure, part
from saeval.lab.world.model import ModelShape, new_model
from saeval.registry import lab_manifest as manifest

WORLD = World()
ROW = manifest.read_rows()[part.NAME]


def test_the_committed_model_is_the_measured_one() -> None:
    """The folder's content has the manifest's hash."""
    assert manifest.is_whole(ROW)
    assert lab.path(part.NAME) == manifest.WEIGHTS / part.NAME
    assert ROW.size < 4e6


def test_its_figures_are_what_the_lab_needs() -> None:
    """Loss near the entropy, answers neither lost nor saturated, probes above .95 at the site."""
    figures = ROW.figures
    site = figures["site"]
    assert 20e6 <= ROW.recipe["tokens"] <= 40e6
    assert figures["loss"]["all"]["gap"] < 0.15
    assert all(0.85 <= a["all"] <= 0.97 for a in figures["answers"].values())
    assert figures["first_letter_f1"][site] > 0.95
    for name in ("gender", "profession", "category", "topic", "language"):
        assert figures["probe_auc"][name][site] > 0.95


def test_the_site_is_the_deepest_that_passes_the_gate() -> None:
    """At the site every domain can be erased alone; deeper some domain survives."""
    found = {}
    for key, value in ROW.figures["gate"].items():
        found.setdefault(key.split("/")[0], []).append(value)
    passing = [
        layer
        for layer, values in found.items()
        if all(v["target"] < 0.5 and v["others"] > 0.95 for v in values)
    ]
    assert ROW.figures["site"] == max(passing)


def test_the_committed_model_knows_its_world() -> None:
    """Measured again on a few fresh documents and questions: it predicts and it answers."""
    net = part.load_model(lab.path(part.NAME))
    fits = measure.losses_by_genre(WORLD, net, WORLD.documents(60, seed=77, split="test"))
    assert abs(fits["all"].gap) < 0.15
    asked = [q for q in WORLD.mcq("planets", 60, seed=77) if q.fact.taught]
    assert measure.answers_right(WORLD, net, asked).mean() > 0.9
    layer = int(ROW.figures["site"].split(".")[1])
    edit = gate.token_oracle(WORLD, net, layer, "planets", asked)
    assert measure.answers_right(WORLD, net, asked, layer=layer, edit=edit).mean() < 0.6


def test_the_committed_tokenizer_is_the_worlds() -> None:
    """The files give the same ids as the generator."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(lab.path(part.NAME))
    for d in WORLD.documents(20, seed=1):
        assert tuple(tokenizer(d.text, add_special_tokens=False)["input_ids"]) == d.ids


def test_building_a_thousandth(tmp_path: Path) -> None:
    """The builder trains, rounds, measures and records; asked again it finds all of it there."""
    site = build.BuildSettings(
        tmp_path / "weights", tmp_path / "manifest.json", tmp_path / "state", share=0.001
    )
    chosen = [p for p in parts.PARTS if p.name == part.NAME]
    assert build.build(chosen, site) == [part.NAME]
    row = manifest.read_rows(site.manifest)[part.NAME]
    assert manifest.is_whole(row, site.weights)
    assert row.figures["loss"]["all"]["loss"] < np.log(len(WORLD.vocabulary.tokens))
    assert not (site.checkpoints / part.NAME).exists()
    assert build.build(chosen, site) == []
    weights = site.weights / part.NAME / "config.json"
    weights.write_text("{}")
    assert not manifest.is_whole(row, site.weights)


def test_the_oracle_touches_the_domains_tokens_alone() -> None:
    """Edited outputs are one vector at the domain's own tokens and untouched elsewhere."""
    net = new_model(WORLD, ModelShape(layers=2, d_model=16, heads=2), seed=0).eval()
    asked = WORLD.mcq("rites", 5, seed=0)
    ids = torch.from_numpy(measure.text_rows(WORLD, [q.prompt for q in asked]))
    edit = gate.token_oracle(WORLD, net, 1, "rites", asked)
    x = torch.randn(*ids.shape, 16)
    y = edit(x, ids)
    own = {WORLD.vocabulary.ids[w] for w in WORLD.truth.domains[2].words}
    hit = torch.tensor([[i in own for i in row] for row in ids.tolist()])
    assert torch.equal(x[~hit], y[~hit])
    assert len(y[hit].unique(dim=0)) == 1


def test_the_gate_picks_the_deepest_and_refuses_where_none_passes() -> None:
    """Both conditions count, for every domain."""

    def at(layer: int, target: float, others: float) -> gate.Erasure:
        return gate.Erasure(layer, "rites", target, others)

    assert gate.deepest_site([at(0, 0.2, 1.0), at(1, 0.3, 1.0), at(2, 0.3, 0.9)]) == 1
    with pytest.raises(DataError):
        gate.deepest_site([at(0, 0.6, 1.0)])


def test_parts_are_built_after_their_needs(tmp_path: Path) -> None:
    """A part is built with what it needs, in order, and an unknown one is refused by name."""
    done: list[str] = []

    def make(name: str):  # noqa: ANN202  # a local factory
        def run(site: build.BuildSettings) -> list[manifest.ManifestRow]:
            (site.weights / name).mkdir(parents=True)
            (site.weights / name / "w").write_text(name)
            done.append(name)
            return [manifest.make_row(name, "", {}, {}, weights=site.weights)]

        return run

    a, b, c = (
        build.Part(n, make(n), outputs=(n,), minutes=0, needs=needs)
        for n, needs in (("a", ()), ("b", ("a",)), ("c", ()))
    )
    site = build.BuildSettings(tmp_path / "w", tmp_path / "m.json", tmp_path / "s")
    assert build.build([a, b, c], site, only="b") == ["a", "b"]
    assert build.build([a, b, c], site) == ["c"]
    assert done == ["a", "b", "c"]
    with pytest.raises(UsageError, match=r"no part 'd'\. Known: a, b, c\.$"):
        build.build([a, b, c], site, only="d")


def test_an_unknown_part_is_answered_with_the_nearest() -> None:
    """Of the many parts of the lab an error names three at most."""
    with pytest.raises(UsageError, match="Did you mean 'world/topk-16'") as caught:
        build.build(parts.PARTS, build.BuildSettings(), only="world/topk-61")
    assert str(caught.value).count("/topk") <= 4


@pytest.mark.parametrize("stop", [DataError("no more"), KeyboardInterrupt()])
def test_what_stands_is_listed_however_a_build_ends(
    monkeypatch: pytest.MonkeyPatch, stop: BaseException
) -> None:
    """A build that fails or is stopped midway leaves a registry of what it built before."""
    listed: list[bool] = []

    def fail(*_: object) -> None:
        raise stop

    monkeypatch.setattr("saeval.lab.build.build", fail)
    monkeypatch.setattr("saeval.lab.zoo.listing.write_listing", lambda: listed.append(True))
    if isinstance(stop, DataError):
        assert main(["build"]) == 2
    else:
        with pytest.raises(KeyboardInterrupt):
            main(["build"])
    assert listed == [True]


def test_a_damaged_manifest_is_an_error(tmp_path: Path) -> None:
    """Unknown fields and broken JSON are refused with the file's name."""
    path = tmp_path / "manifest.json"
    for content in ("[", json.dumps([{"name": "x", "nonsense": 1}])):
        path.write_text(content)
        with pytest.raises(DataError, match="manifest"):
            manifest.read_rows(path)


def test_lookups_are_light_and_say_what_the_lab_is() -> None:
    """Names, description and text come without torch, and unknown names are refused."""
    code = (
        "import sys; from saeval import lab; print(lab.describe('world')); lab.text(documents=3);"
        "lab.text('othello', documents=3);"
        "assert not {'torch', 'pandas', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Apache-2.0" in done.stdout
    assert ROW.sha256 in done.stdout
    with pytest.raises(UsageError, match="world"):
        lab.describe("wurld")
    with pytest.raises(UsageError, match="reads no text"):
        lab.text("synthetic")
    assert not set(lab.text(documents=30)) & set(lab.text(documents=30, seed=1))
