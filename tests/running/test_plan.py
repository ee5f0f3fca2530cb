"""A plan says what a run then does, and does none of it."""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from click.testing import CliRunner
from local_hub import Hub
from tiny_runs import Broken, Error, Together, sae_folder, texts_file

import saeval
from saeval.cli.app import app
from saeval.errors import DataError, NotApplicable, UsageError
from saeval.running.plan import plan as planning
from saeval.running.plan.plan import Plan, plan

CORE = {"core": {"context": tiny_models.CONTEXT}}


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a tiny model."""
    return str(tiny_models.build("gpt2", tmp_path_factory.mktemp("gpt2")))


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An empty cache, empty counters, and a working folder of its own."""
    for counter in (Error.prepared, Error.scored, Broken.scored):
        counter.clear()
    monkeypatch.setattr(Broken, "raises", None)
    monkeypatch.setenv("SAEVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    yield
    Error.scored.clear()


def _states(made: Plan) -> list[str]:
    return [planned.state for planned in made.results]


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _texts(folder: Path, count: int = 400) -> str:
    texts = [" ".join(f"w{(7 * i + j * j) % 60}" for j in range(20)) for i in range(count)]
    return str(texts_file(folder, texts))


# What is there, and what is not -------------------------------------------------------------------


def test_what_was_run_is_found(gpt2: str, tmp_path: Path) -> None:
    """After a run, a plan finds every result under the very key it has."""
    folders = [sae_folder(tmp_path / name, i) for i, name in enumerate("ab")]
    asked: dict[str, Any] = {"model": gpt2, "seeds": [0, 3]}
    before = plan(folders, Error(), **asked)
    assert _states(before) == ["compute"] * 4
    results = saeval.evaluate(folders, Error(), **asked)
    after = plan(folders, Error(), **asked)
    assert _states(after) == ["found"] * 4
    for made in (before, after):
        assert [each.result_id for each in made.results] == [each.result_id for each in results]
        assert [(each.sae, each.seed) for each in made.results] == [
            (each.sae, each.seed) for each in results
        ]
    assert (after.forecast.found, after.forecast.compute) == (4, 0)
    assert set(after.forecast.seconds) <= {"load", "model"}
    assert after.forecast.results_bytes == 0
    assert _states(plan(folders, Error(), force=True, **asked)) == ["compute"] * 4


def test_a_changed_file_is_computed_again(gpt2: str, tmp_path: Path) -> None:
    """A text or an SAE that changed under its name is not found."""
    folder, texts = sae_folder(tmp_path / "a"), _texts(tmp_path, 12)
    saeval.evaluate(folder, Error(texts=texts), model=gpt2)
    assert _states(plan(folder, Error(texts=texts), model=gpt2)) == ["found"]
    _texts(tmp_path, 11)
    assert _states(plan(folder, Error(texts=texts), model=gpt2)) == ["compute"]
    _texts(tmp_path, 12)
    sae_folder(tmp_path / "a", 5)
    assert _states(plan(folder, Error(texts=texts), model=gpt2)) == ["compute"]


def test_texts_and_arrays_in_memory(gpt2: str, tmp_path: Path) -> None:
    """Data that came in memory is planned under the key that a run gives it."""
    folder = sae_folder(tmp_path / "a")
    for data, model in ((["w1 w2 w3", "w4 w5"], gpt2), (np.eye(16, dtype=np.float32), None)):
        assert _states(plan(folder, Error(), model=model, data=data)) == ["compute"]
        saeval.evaluate(folder, Error(), model=model, data=data)
        assert _states(plan(folder, Error(), model=model, data=data)) == ["found"]


def test_nothing_is_written(gpt2: str, tmp_path: Path) -> None:
    """A plan leaves no result, no activations and no other file."""
    folder = sae_folder(tmp_path / "a")
    before = sorted(tmp_path.rglob("*"))
    made = plan([folder], [Error(), "core"], model=gpt2, data=["w1 w2"], config=CORE)
    assert _states(made) == ["compute"] * 2
    assert sorted(tmp_path.rglob("*")) == before


def test_what_would_fail_says_why(gpt2: str, tmp_path: Path) -> None:
    """Damaged files and a failed check are told; the sum is then at least what the others take."""
    (tmp_path / "bad").mkdir()
    folders = [tmp_path / "bad", sae_folder(tmp_path / "a"), sae_folder(tmp_path / "w", width=8)]
    made = plan(folders, Error(), model=gpt2)
    assert "Time: at least" in made.text()
    bad, good, wide = made.results
    assert (bad.state, good.state, wide.state) == ("fails", "compute", "compute")
    assert "bad" in str(bad.reason)
    assert good.reason is None
    assert wide.seconds is None
    assert "d_in 8" in str(wide.reason)


def test_sets(gpt2: str, tmp_path: Path) -> None:
    """A task on sets is planned for a set, and not applicable without one."""
    text = "saes:\n"
    for i in range(2):
        sae_folder(tmp_path / f"s{i}", i, model=gpt2)
        text += f"  - {{id: t/s{i}, source: 'file://s{i}'}}\n"
    text += "sets:\n  t/seeds: {kind: seeds, members: ['t/s*']}\n"
    (tmp_path / "registry.yaml").write_text(text)
    first, second, group = plan("t/seeds", [Error(), Together()]).results
    assert (first.sae, first.set, second.sae) == ("t/s0", "t/seeds", "t/s1")
    assert (group.sae, group.set, group.state) == (None, "t/seeds", "compute")
    saeval.evaluate("t/seeds", [Error(), Together()])
    assert _states(plan("t/seeds", [Error(), Together()])) == ["found"] * 3
    assert _states(plan("t/s0", Together())) == ["not applicable"]


# What it would take -------------------------------------------------------------------------------


def test_figures_hold(gpt2: str, tmp_path: Path) -> None:
    """Disk is predicted within a factor 2; time and memory are positive and finite."""
    folder, texts = sae_folder(tmp_path / "a"), _texts(tmp_path)
    asked: dict[str, Any] = {"model": gpt2, "data": texts, "config": CORE, "batch_size": 1}
    made = plan(folder, "core", **asked)
    (planned,) = made.results
    assert (planned.state, planned.basis, planned.reason) == ("compute", "rehearsed", None)
    assert planned.seconds is not None
    assert 0 < planned.seconds < math.inf
    figures = made.forecast
    assert planned.seconds < figures.total_seconds < math.inf
    assert figures.memory_bytes > 1e7
    assert figures.unpredicted == 0
    results = saeval.evaluate(folder, "core", **asked)
    assert not results.failed
    for predicted, real in (
        (figures.cache_bytes, _bytes_below(tmp_path / "cache")),
        (figures.results_bytes, _bytes_below(tmp_path / "results")),
    ):
        assert 0.5 < predicted / real < 2


def test_equal_work_is_predicted_from_its_record(
    gpt2: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An SAE of the same shape costs what the last one did; no model is loaded to say so."""
    results = saeval.evaluate(sae_folder(tmp_path / "a"), Error(), model=gpt2)
    phases = results[0].provenance["phases"]
    monkeypatch.setattr("saeval.running.source_kinds.transformer.load_model", None)
    made = plan(sae_folder(tmp_path / "b", 1), Error(), model=gpt2)
    (planned,) = made.results
    assert (planned.state, planned.basis) == ("compute", "recorded")
    spent = sum(phases[name]["seconds"] for name in ("score", "summarise", "preflight"))
    assert planned.seconds == pytest.approx(spent)
    assert made.forecast.seconds["model"] >= phases["model"]["seconds"]
    peak = max(phase["peak_rss_mb"] for phase in phases.values())
    assert made.forecast.memory_bytes >= 1e6 * peak
    assert "recorded times" in made.forecast.method


def test_an_sae_of_another_shape_is_rehearsed(gpt2: str, tmp_path: Path) -> None:
    """A record of other work is no prediction."""
    saeval.evaluate(sae_folder(tmp_path / "a"), Error(), model=gpt2)
    for task in (Error(scale=2.0), Error(limit=3)):
        assert plan(sae_folder(tmp_path / "b", 1), task, model=gpt2).results[0].basis == "rehearsed"


def test_time_is_bounded(gpt2: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once rehearsals took their time, what is left is not predicted."""
    monkeypatch.setattr(planning, "REHEARSAL_SECONDS", 0.0)
    made = plan(sae_folder(tmp_path / "a"), Error(), model=gpt2)
    assert _states(made) == ["compute"]
    assert made.results[0].seconds is None
    assert "rehearsals took more than 0 s" in str(made.results[0].reason)
    assert made.forecast.unpredicted == 1
    assert "Time, memory and disk: unknown." in made.text()


def test_what_only_preparing_tells_is_unknown(
    gpt2: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a task cannot prepare here, its time is unknown, not guessed; its key still is."""

    def prepare(*_: Any) -> None:
        raise DataError("No such data here.")

    monkeypatch.setattr(Error, "prepare", prepare)
    (planned,) = plan(sae_folder(tmp_path / "a"), Error(), model=gpt2).results
    assert (planned.state, planned.seconds) == ("compute", None)
    assert planned.reason == "unknown until prepared: No such data here."
    assert planned.result_id


def test_a_task_that_does_not_apply(
    gpt2: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task's refusal is told before the run."""
    monkeypatch.setattr(Broken, "raises", NotApplicable("It only reads music."))
    (planned,) = plan(sae_folder(tmp_path / "a"), Broken(), model=gpt2).results
    assert planned.reason == "not applicable: It only reads music."


# Downloads ----------------------------------------------------------------------------------------


def test_downloads_without_network(gpt2: str, tmp_path: Path) -> None:
    """What the cache lacks is listed with an unknown size, and its results are unknown."""
    folders = ["hf://org/repo/sae", sae_folder(tmp_path / "a", model="org/model")]
    made = plan(folders, Error())
    assert _states(made) == ["unknown"] * 2
    assert [(one.what, one.bytes) for one in made.downloads] == [
        ("hf://org/repo/sae", None),
        ("org/model", None),
    ]
    assert made.forecast.download_bytes is None
    assert (made.forecast.unknown, made.forecast.compute) == (2, 0)
    assert "Time, memory and disk: unknown.\nDownloads: unknown." in made.text()
    assert made.forecast.row()["seconds"] is None
    first = plan(["hf://org/repo/sae", str(folders[1])], Error(), model=gpt2)
    assert _states(first) == ["unknown", "compute"]


def test_the_hub_is_asked_for_sizes_only(hub: Hub, gpt2: str) -> None:
    """Sizes come from the hub's listing; no file is fetched and nothing is pinned."""
    made = plan("hf://org/repo/sae", Error(), model=gpt2)
    wanted = [hub.files[name] for name in ("sae/cfg.json", "sae/deep/weights.bin")]
    assert [one.bytes for one in made.downloads] == [sum(map(len, wanted))]
    assert made.forecast.download_bytes == sum(map(len, wanted))
    assert not [one for one in hub.requests if "/resolve/" in one]
    missing = plan("hf://org/repo/none", Error(), model=gpt2)
    assert _states(missing) == ["fails"]
    assert "no 'none'" in str(missing.results[0].reason)


def test_a_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A wrong path of a model is wrong usage, as in a run."""
    with pytest.raises(UsageError, match="no folder"):
        plan(sae_folder(tmp_path / "a"), Error(), model="./none")


# The command --------------------------------------------------------------------------------------


def test_command(gpt2: str, tmp_path: Path) -> None:
    """Text for people, one JSON object a line for programs, 2 for wrong usage."""
    asked = ["plan", "--sae", str(sae_folder(tmp_path / "a")), "--tasks", "core", "--model", gpt2]
    asked += ["--data", _texts(tmp_path), "--set", f"core.context={tiny_models.CONTEXT}"]
    shown = CliRunner().invoke(app, asked)
    assert shown.exit_code == 0
    assert "1 to compute, 0 found." in shown.output
    assert "Method: 1 result by trying the task on one batch" in shown.output
    lines = CliRunner().invoke(app, [*asked, "--json"]).stdout.splitlines()
    result, figures = map(json.loads, lines)
    assert (result["kind"], result["state"], result["task"]) == ("result", "compute", "core")
    assert figures["kind"] == "forecast"
    assert figures["seconds"] > 0
    assert set(figures["phases"]) >= {"load", "model", "prepare", "score"}
    assert CliRunner().invoke(app, [*asked, "--limit", "0"]).exit_code == 2
    assert CliRunner().invoke(app, ["plan", "--tasks", "core"]).exit_code == 2
    assert not (tmp_path / "results").exists()


def test_help_is_light() -> None:
    """Asking how to plan imports no torch."""
    script = """
import sys
from click.testing import CliRunner
from saeval.cli.app import app
done = CliRunner().invoke(app, ["plan", "--help"])
assert done.exit_code == 0 and "--tasks" in done.output
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)
