"""The pipeline: what is computed, what is found again, and what survives when something breaks."""

import gc
import shutil
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import tiny_runs
import torch
from tiny_runs import Broken, Error, Together, sae_folder, texts_file, topk

import saeval
from saeval.config.configuration import from_mapping, read_configuration
from saeval.errors import LoadError, NotApplicable, PreflightError, RegistryError, UsageError
from saeval.models import LoadedModel, load_model
from saeval.registry.hashes import file_sha256
from saeval.results.reading import read_results
from saeval.results.results import Results
from saeval.results.score import COLUMNS
from saeval.running.named_saes import find_saes
from saeval.running.progress import ProgressStep
from saeval.running.run import run_configuration
from saeval.running.source_kinds import transformer

CORE = {"core": {"context": tiny_models.CONTEXT}}


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny model."""
    return tiny_models.build("gpt2", tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Empty counters, and a working folder of its own."""
    for counter in (Error.prepared, Error.scored, Broken.scored):
        counter.clear()
    monkeypatch.setattr(Broken, "raises", None)
    monkeypatch.chdir(tmp_path)
    yield
    Error.scored.clear()


def _ids(results: Results) -> list[str]:
    return [result.result_id for result in results]


def test_rows_have_the_fixed_columns(gpt2: Path, tmp_path: Path) -> None:
    """Scores, their rows and the data frame have the fixed columns, a value has an interval."""
    results = saeval.evaluate(sae_folder(tmp_path / "a"), Error(), model=str(gpt2), seeds=[0, 3])
    assert not results.failed
    assert [score.seed for score in results.scores] == [0, 3]
    score = results.scores[0]
    assert tuple(score.row()) == COLUMNS
    assert tuple(results.to_pandas().columns) == (*COLUMNS, "anchored")
    assert score.value is not None
    assert score.ci_low is not None
    assert score.ci_high is not None
    assert score.ci_low < score.value < score.ci_high
    assert (score.n, score.unit_of_n, score.status) == (len(tiny_runs.TEXTS), "text", "scored")
    assert (score.sae, score.task, score.metric) == ("a", "error", "error")


def test_a_rerun_loads_no_model_and_runs_no_task(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal inputs are answered from what is there, by files alone."""
    folder = sae_folder(tmp_path / "a")
    first = saeval.evaluate(folder, Error(), model=str(gpt2))
    monkeypatch.setattr(transformer, "load_model", None)
    Error.scored.clear()
    steps: list[ProgressStep] = []
    again = saeval.evaluate(folder, Error(), model=str(gpt2), progress=steps.append)
    assert again.scores == first.scores
    assert not Error.scored
    told = [step.what for step in steps if step.seconds is None]
    assert told == ["begin", "load", "model", "found", "end"]


def test_names_paths_device_and_batch_size_do_not_matter(gpt2: Path, tmp_path: Path) -> None:
    """Moved files and another batch size find the old result, under the new name."""
    first = saeval.evaluate(sae_folder(tmp_path / "a"), Error(), model=str(gpt2))
    shutil.move(tmp_path / "a", tmp_path / "b")
    model = shutil.copytree(gpt2, tmp_path / "model")
    again = saeval.evaluate(
        tmp_path / "b", Error(), model=model, batch_size=1, device="cpu", site="layers.1"
    )
    assert _ids(again) == _ids(first)
    assert again.scores[0].sae == "b"
    assert len(Error.scored) == 1


def test_every_input_is_in_the_key(gpt2: Path, tmp_path: Path) -> None:
    """A change of any input, file contents included, is never answered from an old result."""
    folder, texts = sae_folder(tmp_path / "a"), texts_file(tmp_path)
    plain: dict[str, Any] = {
        "saes": folder,
        "tasks": Error(texts=str(texts)),
        "model": str(gpt2),
        "site": "layers.1",
    }

    def key(**changed: Any) -> str:
        return saeval.evaluate(**{**plain, **changed})[0].result_id

    keys = [
        key(),
        key(saes=sae_folder(tmp_path / "c", 1)),
        key(tasks=Error(texts=str(texts), scale=2.0)),
        key(seeds=[1]),
        key(site="layers.0"),
        key(dtype="bfloat16"),
        key(limit=5),
        key(compat="saebench"),
    ]
    texts_file(tmp_path, tiny_runs.TEXTS[:7])
    keys.append(key())
    model = shutil.copytree(gpt2, tmp_path / "model")
    tokenizer = (model / "tokenizer.json").read_text().replace('"w5": 9', '"v5": 9')
    (model / "tokenizer.json").write_text(tokenizer)
    keys.append(key(model=model))
    net = load_model(str(gpt2)).net
    with torch.no_grad():
        next(net.parameters()).mul_(1.5)
    net.save_pretrained(model)
    shutil.copy(gpt2 / "tokenizer.json", model)
    keys.append(key(model=model))
    assert len(set(keys)) == len(keys)
    assert len(Error.scored) == len(keys)


def test_a_raised_version_and_inputs_of_its_own_are_in_the_key(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task of a new version, or one that finds other data by itself, is scored again."""
    folder = sae_folder(tmp_path / "a")
    keys = [saeval.evaluate(folder, Error(), model=str(gpt2))[0].result_id]
    monkeypatch.setattr(Error, "version", 2)
    keys.append(saeval.evaluate(folder, Error(), model=str(gpt2))[0].result_id)
    monkeypatch.setattr(Error, "inputs", lambda *_: {"corpus": "other"}, raising=False)
    keys.append(saeval.evaluate(folder, Error(), model=str(gpt2))[0].result_id)
    assert len(set(keys)) == 3
    assert len(Error.scored) == 3


def test_a_task_is_asked_for_its_inputs_once_a_model(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hears what the model is called, so that data it would not read there changes nothing."""
    asked: list[str | None] = []
    monkeypatch.setattr(Error, "inputs", lambda _, model: asked.append(model), raising=False)
    folders = [sae_folder(tmp_path / name, seed) for seed, name in enumerate("ab")]
    for _ in range(2):
        saeval.evaluate(folders, Error(), model=str(gpt2))
    assert asked == [str(gpt2)] * 2


def test_force_computes_again(gpt2: Path, tmp_path: Path) -> None:
    """force=True scores what is there once more, to the same numbers under the same id."""
    folder = sae_folder(tmp_path / "a")
    first = saeval.evaluate(folder, Error(), model=str(gpt2))
    again = saeval.evaluate(folder, Error(), model=str(gpt2), force=True)
    assert again.scores == first.scores
    assert len(Error.scored) == 2


def test_a_forced_run_that_fails_leaves_the_good_result(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Scored or not applicable, what is on disk stays byte for byte; the failure is told."""
    folder = sae_folder(tmp_path / "a")
    for number, before in enumerate((None, NotApplicable("Not for such SAEs."))):
        root = tmp_path / f"r{number}"
        monkeypatch.setattr(Broken, "raises", before)
        first = saeval.evaluate(folder, Broken(), model=str(gpt2), output_path=root)
        there = _files(root)
        for error in (MemoryError("full"), PreflightError("It does not belong here.")):
            monkeypatch.setattr(Broken, "raises", error)
            caplog.clear()
            options = {"model": str(gpt2), "output_path": root}
            forced = saeval.evaluate(folder, Broken(), force=True, **options)
            assert (forced[0].status, forced.failed) == ("failed", True)
            assert str(error) in str(forced[0].reason)
            assert "The earlier result is left in" in caplog.text
            assert _files(root) == there
            assert read_results(root)[0].scores == first[0].scores
        again = saeval.evaluate(folder, Broken(), model=str(gpt2), output_path=root)
        assert again[0].status == first[0].status


def test_a_result_answers_to_every_name_it_was_asked_for(gpt2: Path, tmp_path: Path) -> None:
    """Equal members of a set, one SAE alone, in a set and as an object: all are read back."""
    for name, seed in (("s0", 0), ("s1", 0), ("s2", 1)):
        sae_folder(tmp_path / name, seed, model=str(gpt2))
    (tmp_path / "registry.yaml").write_text(
        "saes:\n"
        "  - {id: mine/s0, source: 'file://s0'}\n"
        "  - {id: mine/s1, source: 'file://s1'}\n"
        "  - {id: mine/s2, source: 'file://s2'}\n"
        "sets:\n"
        "  mine/seeds: {kind: seeds, members: ['mine/s*']}\n"
        "  mine/again: {kind: members, members: ['mine/s*']}\n"
    )
    asked: set[tuple[Any, ...]] = set()
    for request in ("mine/seeds", "mine/again", "mine/s1", "./s2", {"mine": topk(1)}):
        tasks = [Error(), Together()]
        results = saeval.evaluate(request, tasks, model=str(gpt2), site="layers.1")
        asked |= {(r.task, r.sae, r.set) for r in results if r.result_id}
        stored = saeval.load_results("results")
        assert {(r.task, r.sae, r.set) for r in stored} == asked
        assert len(stored) == len(asked)
    assert len(Error.scored) == 2
    by_name = {(r.task, r.sae, r.set): r for r in stored}
    for result in results:
        if result.result_id:
            assert by_name[result.task, result.sae, result.set] == result
    seeds = [r for r in stored if r.set == "mine/seeds" and r.task == "error"]
    assert sorted(str(r.sae) for r in seeds) == ["mine/s0", "mine/s1", "mine/s2"]
    assert all(r.run["saes"] == [r.sae] for r in seeds)


def test_how_a_path_is_typed_names_nothing(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every spelling of an SAE's and a model's folder is one SAE, one model and one name."""
    work = tmp_path / "work"
    sae = sae_folder(work / "saes" / "a", model=str(shutil.copytree(gpt2, work / "gpt2")))
    monkeypatch.setenv("HOME", str(work))
    monkeypatch.chdir(work)
    (work / "link").symlink_to(sae)
    (work / "models").symlink_to(work)
    spellings = ["saes/a", "./saes/a", "saes/../saes/a", "saes/a/", str(sae), "~/saes/a", sae]
    spellings += ["link", Path("saes/a"), "saes/a/saeval.json", "saes/[a]"]
    assert [named_sae.label for named_sae in find_saes(spellings)] == ["a"]
    models = ["gpt2", "./gpt2", str(work / "gpt2"), "~/gpt2", "models/gpt2/", "saes/../gpt2", None]
    for spelling in spellings:
        saeval.evaluate(spelling, Error(), output_path="r")
    (result,) = read_results("r")
    assert (result.sae, len(Error.scored)) == ("a", 1)
    for number, model in enumerate(models):
        saeval.evaluate("saes/a", Error(), model=model, output_path=f"r{number}")
        (result,) = read_results(f"r{number}")
        checks = {check["name"]: check["status"] for check in result.provenance["preflight"]}
        assert checks["model"] == "ok"
    monkeypatch.chdir(work / "saes")
    assert [named_sae.label for named_sae in find_saes(["a", "../link", "."])] == ["a", "saes"]


def test_folders_of_one_name_are_told_apart_by_their_parents(tmp_path: Path) -> None:
    """As many parents as it takes, whatever the order; what has a name of its own keeps it."""
    paths = ["x/seed0/sae", "x/seed1/sae", "y/seed1/sae", "lone", "mine"]
    for number, path in enumerate(paths):
        sae_folder(tmp_path / path, number)
    (tmp_path / "registry.yaml").write_text("saes: [{id: mine, source: 'file://lone'}]\n")

    def labels(*saes: Any) -> list[str]:
        return [named_sae.label for named_sae in find_saes(list(saes))]

    assert labels("x/seed0/sae") == labels("./x/seed0/sae") == ["sae"]
    assert labels(*paths[:2], "lone") == ["seed0/sae", "seed1/sae", "lone"]
    assert labels(*paths[:3]) == ["seed0/sae", "x/seed1/sae", "y/seed1/sae"]
    assert labels(*reversed(paths[:3])) == ["y/seed1/sae", "x/seed1/sae", "seed0/sae"]
    assert labels("mine", "./mine", "lone") == ["mine", f"{tmp_path.name}/mine", "lone"]
    assert labels("./mine") == ["mine"]
    mapped = find_saes({"a": "lone", "b": "./lone", "sae": tmp_path / "mine"})
    assert [named_sae.label for named_sae in mapped] == ["a", "b", "sae"]


def test_a_glob_over_folders(gpt2: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every SAE that it matches, in natural order; files of other kinds do not matter."""
    for number in (10, 2, 1):
        sae_folder(tmp_path / "run" / f"step{number}", number)
    (tmp_path / "run" / "notes.txt").write_text("not an SAE")
    sae_folder(tmp_path / "run" / ".hidden")
    for pattern in ("run/*", "./run/*", str(tmp_path / "run" / "step*"), "ru*/step[0-9]*"):
        results = saeval.evaluate(pattern, Error(), model=str(gpt2))
        assert [result.sae for result in results] == ["step1", "step2", "step10"]
        assert not results.failed
        assert {result.set for result in results} == {None}
    (tmp_path / "run" / "logs").mkdir()
    (tmp_path / "run" / "logs" / "log.txt").write_text("no SAE")
    with pytest.raises(UsageError, match=r"'run/\*' matches a folder that is no SAE: .*/run/logs"):
        find_saes("run/*")
    with pytest.raises(UsageError, match="matches 1 files, none of which is an SAE"):
        find_saes("run/*.txt")
    with pytest.raises(UsageError, match="No registry id matches 'walk/"):
        find_saes("walk/*")
    (tmp_path / "registry.yaml").write_text(
        "saes: [{id: run/listed, source: 'file://run/step1'}]\n"
    )
    assert [named_sae.label for named_sae in find_saes("run/*")] == ["run/listed"]
    assert "matches registry ids and also 5 of the folders and files here" in caplog.text


def test_failures_stay_where_they_are(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that breaks is a failed row with its trace; others are scored, a rerun retries it."""
    monkeypatch.setattr(Broken, "raises", ZeroDivisionError("a mistake"))
    folder = sae_folder(tmp_path / "a")
    results = saeval.evaluate(folder, [Broken(), Error()], model=str(gpt2))
    assert [result.status for result in results] == ["failed", "scored"]
    assert results.failed
    assert results.scores[0].reason == "ZeroDivisionError: a mistake"
    assert results.scores[0].value is None
    (trace,) = tmp_path.glob("results/*/*.traceback.txt")
    assert "raise self.raises" in trace.read_text()
    monkeypatch.setattr(Broken, "raises", None)
    again = saeval.evaluate(folder, [Broken(), Error()], model=str(gpt2))
    assert [result.status for result in again] == ["scored", "scored"]
    assert _ids(again) == _ids(results)
    assert len(Error.scored) == 1
    assert not trace.exists()


def test_not_applicable_is_an_outcome(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NotApplicable gives a row with its reason, which is no failure and is not tried again."""
    monkeypatch.setattr(Broken, "raises", NotApplicable("Not for such SAEs."))
    folder = sae_folder(tmp_path / "a")
    results = saeval.evaluate(folder, Broken(), model=str(gpt2))
    assert not results.failed
    assert (results[0].status, results[0].reason) == ("not_applicable", "Not for such SAEs.")
    monkeypatch.setattr(Broken, "raises", None)
    assert saeval.evaluate(folder, Broken(), model=str(gpt2))[0].status == "not_applicable"


def test_one_damaged_sae_does_not_stop_the_others(gpt2: Path, tmp_path: Path) -> None:
    """An SAE that cannot be loaded is a failed row in its place among the others."""
    damaged = sae_folder(tmp_path / "b")
    (damaged / "saeval.safetensors").write_bytes(b"nothing")
    saes = [sae_folder(tmp_path / "a"), damaged, sae_folder(tmp_path / "c", 1)]
    results = saeval.evaluate(saes, Error(), model=str(gpt2))
    assert [result.status for result in results] == ["scored", "failed", "scored"]
    assert [result.sae for result in results] == ["a", "b", "c"]


def test_an_interrupt_keeps_what_is_finished(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an interrupt at the second SAE, the first is kept and only the second is computed."""
    monkeypatch.setattr(Broken, "raises", KeyboardInterrupt())
    saes = [sae_folder(tmp_path / "a"), sae_folder(tmp_path / "b", 1)]
    with pytest.raises(KeyboardInterrupt):
        saeval.evaluate(saes, Broken(at=1), model=str(gpt2))
    assert len(read_results("results")) == 1
    monkeypatch.setattr(Broken, "raises", None)
    steps: list[ProgressStep] = []
    saeval.evaluate(saes, Broken(at=1), model=str(gpt2), progress=steps.append)
    assert [s.what for s in steps if s.what in ("found", "computed")] == ["found", "computed"]


def test_the_model_reads_each_text_once(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three SAEs and two seeds cost one pass over the texts."""
    read: list[int] = []
    run_to, clean = LoadedModel.run_to, LoadedModel.clean

    def counted(method: Any) -> Any:
        def count(self: Any, places: Any, ids: Any, attention: Any) -> Any:
            # A row of two tokens is how sublayers are told apart, once a model.
            read.append(len(ids) if ids.shape[1] > 2 else 0)
            return method(self, places, ids, attention)

        return count

    monkeypatch.setattr(LoadedModel, "run_to", counted(run_to))
    monkeypatch.setattr(LoadedModel, "clean", counted(clean))
    monkeypatch.setenv("SAEVAL_CACHE", str(tmp_path / "cache"))
    saes = [sae_folder(tmp_path / name, seed) for seed, name in enumerate("abc")]
    results = saeval.evaluate(saes, Error(), model=str(gpt2), seeds=[0, 1])
    assert not results.failed
    assert sum(read) == len(tiny_runs.TEXTS)
    assert Error.prepared == [0, 1]


def test_an_sae_is_dropped_once_it_is_scored(gpt2: Path, tmp_path: Path) -> None:
    """When the last SAE is scored, the others are out of memory."""
    saes = [sae_folder(tmp_path / name, seed) for seed, name in enumerate("ab")]
    alive: list[int] = []
    seen: list[weakref.ref[Any]] = []

    def look(step: ProgressStep) -> None:
        if Error.scored:
            seen.append(weakref.ref(Error.scored.pop()))
        if step.what == "score" and step.seconds is None and step.sae == "b":
            gc.collect()
            alive.append(sum(one() is not None for one in seen))

    saeval.evaluate(saes, Error(), model=str(gpt2), progress=look)
    assert alive == [0]


def test_a_result_names_the_run_that_repeats_it(gpt2: Path, tmp_path: Path) -> None:
    """The configuration in a result file, run again, finds that very result."""
    texts = texts_file(tmp_path)
    folder = sae_folder(tmp_path / "a")
    shutil.copytree(gpt2, tmp_path / "model")
    first = saeval.evaluate(folder, "core", model="model", data=texts, limit=6, config=CORE)
    assert not first.failed
    chosen = from_mapping(first[0].run)
    assert chosen.tasks == {"core": {**CORE["core"], "texts": "./texts.txt", "limit": 6}}
    again = saeval.evaluate(
        list(chosen.saes), list(chosen.tasks), model=chosen.model, config=chosen.tasks
    )
    assert _ids(again) == _ids(first)


def _files(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.endswith(".traceback.txt")
    }


def _repeated(root: Path, **changed: Any) -> Results:
    """The run of the only result under a root, as `--config` reads it."""
    (file,) = root.glob("*/*/result.json")
    return run_configuration(from_mapping({**read_configuration(file), **changed}))


@pytest.mark.parametrize("typed", ["relative", "absolute"])
def test_a_result_is_repeated_from_another_folder(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    """However SAE, model and texts were typed, --config finds them: elsewhere, and once moved."""
    work = tmp_path / "work"
    sae_folder(work / "saes" / "a")
    texts_file(work)
    shutil.copytree(gpt2, work / "model")
    monkeypatch.chdir(work)
    base = str(work) if typed == "absolute" else "."
    first = saeval.evaluate(
        f"{base}/saes/a",
        "core",
        model=f"{base}/model",
        data=f"{base}/texts.txt",
        config=CORE,
        output_path=f"{base}/out/r",
    )
    assert (first[0].sae, first[0].status) == ("a", "scored")
    run = first[0].run
    assert (run["saes"], run["model"], run["output_path"]) == (["./saes/a"], "./model", "./out/r")
    shutil.move(work, tmp_path / "moved")
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    again = _repeated(tmp_path / "moved" / "out" / "r")
    assert (_ids(again), again[0].sae) == (_ids(first), "a")
    assert len(read_results(tmp_path / "moved" / "out" / "r")) == 1
    assert list((tmp_path / "else").iterdir()) == []


def test_an_sae_of_a_folders_registry_is_repeated_from_another(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result names the registry that only its working folder had, and no other."""
    sae_folder(tmp_path / "a")
    (tmp_path / "registry.yaml").write_text(
        "saes:\n  - {id: my/a, source: 'file://a'}\n"
        "sets:\n  my/all: {kind: members, members: [my/a]}\n"
    )
    shutil.copytree(gpt2, tmp_path / "model")
    options = {"model": "./model", "data": texts_file(tmp_path), "output_path": tmp_path / "r"}
    first = saeval.evaluate("my/a", "core", config=CORE, **options)
    assert first[0].run["registry"] == "./registry.yaml"
    other = {**options, "output_path": tmp_path / "s"}
    assert saeval.evaluate("./a", "core", config=CORE, **other)[0].run["registry"] is None
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    again = _repeated(tmp_path / "r")
    assert (_ids(again), again[0].sae) == (_ids(first), "my/a")
    options = {**options, "model": str(gpt2)}
    with pytest.raises(UsageError, match="'my/a'"):
        saeval.evaluate("my/a", "core", **options)
    with pytest.raises(RegistryError, match="Cannot read the registry 'none"):
        saeval.evaluate("my/a", "core", registry="none.yaml", **options)


def test_results_hold_no_absolute_path(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is given by absolute path, scored or failed, no result file says where it lay."""
    home, work = tmp_path / "home dir", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    model = shutil.copytree(gpt2, home / "models" / "gpt2")
    saes = [
        sae_folder(home / "saes" / "a", model=str(model)),
        sae_folder(work / "b", 1, model=str(gpt2)),
        sae_folder(home / "wide", width=24),
    ]
    texts = texts_file(home)
    np.save(home / "x.npy", np.ones((40, tiny_runs.WIDTH), np.float32) + np.eye(40, 16))
    monkeypatch.setattr(Broken, "raises", OSError(f"no room at {home}/x and '{tmp_path}/y z'"))
    root = tmp_path / "out"
    outcomes = [
        saeval.evaluate(
            saes, [Broken(), "core"], data=data, model=given, output_path=root, config=CORE
        )
        for data, given in ((texts, str(model)), (home / "x.npy", None))
    ]
    outcomes.append(
        saeval.evaluate(
            {"x": saes[0], "y": saes[0]}, "core", data=texts, output_path=root, config=CORE
        )
    )
    statuses = {result.status for results in outcomes for result in results}
    assert statuses == {"scored", "failed"}
    files = _files(root)
    assert any(name.endswith(".parquet") for name in files)
    assert any("/alias-" in name for name in files)
    for name, content in files.items():
        for path in (tmp_path, home, work, gpt2, Path.home(), Path(saeval.__file__).parents[1]):
            assert str(path).encode() not in content, name


def test_what_lay_elsewhere_is_named_by_content_and_asked_for(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without absolute paths, a repetition says what it needs, and by which option."""
    elsewhere, work = tmp_path / "elsewhere", tmp_path / "work"
    sae, texts = sae_folder(elsewhere / "a"), elsewhere / "texts.txt"
    texts_file(elsewhere)
    work.mkdir()
    monkeypatch.chdir(work)
    first = saeval.evaluate(sae, "core", model=str(gpt2), data=texts, config=CORE)
    run, about = first[0].run, first[0].provenance
    assert run["saes"] == [f"elsewhere: a (content {about['saes'][0]['hash'][:20]})"]
    model = about["source"]["model"].removeprefix("local:")[:20]
    assert run["model"] == f"elsewhere: {gpt2.name} (content {model})"
    settings = run["tasks"]["core"]
    assert settings["texts"] == f"elsewhere: texts.txt (content {file_sha256(texts)[:20]})"
    given: dict[str, Any] = {}
    for key, value, says in (
        ("saes", [str(sae)], "SAE of that run lay outside .*--sae PATH"),
        ("model", str(gpt2), "model of that run lay outside .*--model PATH"),
        ("tasks", {"core": {**settings, "texts": str(texts)}}, r"--set core\.texts=PATH"),
    ):
        with pytest.raises(UsageError, match=says):
            _repeated(work / "results", **given)
        given[key] = value
    assert _ids(_repeated(work / "results", **given)) == _ids(first)


def test_what_was_in_memory_cannot_be_named(gpt2: Path, tmp_path: Path) -> None:
    """The configuration of a result from objects says which they were, and is refused with that."""
    folder, loaded = sae_folder(tmp_path / "a"), load_model(str(gpt2))
    vectors = np.random.default_rng(0).normal(size=(40, tiny_runs.WIDTH)).astype(np.float32)
    runs = {
        r"SAE of that run \(mine\)": saeval.evaluate(
            {"mine": topk()}, "core", model=str(gpt2), site="layers.1", config=CORE
        ),
        "model of that run": saeval.evaluate(
            folder, "core", model=(loaded.net, loaded.tokenizer), config=CORE
        ),
        "data of that run": saeval.evaluate(folder, "core", data=vectors),
    }
    for says, results in runs.items():
        with pytest.raises(UsageError, match=f"{says}.*was an object in memory"):
            run_configuration(from_mapping(results[0].run))


def test_provenance_says_what_was_scored_with_what(gpt2: Path, tmp_path: Path) -> None:
    """A result file holds hashes, versions, data, preflight, and time and memory of each phase."""
    result = saeval.evaluate(sae_folder(tmp_path / "a"), Error(), model=str(gpt2))[0]
    record = result.provenance
    assert record["saes"][0]["hash"] == record["key"]["saes"][0]
    assert record["source"]["model"].startswith("local:")
    assert record["source"]["site"] == "transformer.h.1:out"
    assert set(record["phases"]) >= {"load", "model", "prepare", "preflight", "score"}
    assert record["phases"]["score"]["tokens"] == 8 * len(tiny_runs.TEXTS)
    assert record["data"]["digest"]
    assert {"width", "scale"} <= {check["name"] for check in record["preflight"]}
    assert {"saeval", "packages", "device", "dtype", "created"} <= set(record)


def test_objects_as_saes(gpt2: Path) -> None:
    """Any object with encode and decode is scored, under its name or one made of its content."""

    class Mine:
        d_in = tiny_runs.WIDTH

        def encode(self, x: torch.Tensor) -> torch.Tensor:
            return x.relu()

        def decode(self, acts: torch.Tensor) -> torch.Tensor:
            return acts

    options: dict[str, Any] = {"model": str(gpt2), "site": "layers.1"}
    named = saeval.evaluate({"mine": Mine()}, Error(), **options)
    assert named[0].sae == "mine"
    plain = saeval.evaluate(Mine(), Error(), **options)
    assert str(plain[0].sae).startswith("Mine-")
    assert _ids(plain) == _ids(named)
    own = saeval.evaluate([topk(), topk(1)], Error(), **options)
    assert len({result.sae for result in own}) == 2
    with pytest.raises(UsageError, match="no method 'encode'"):
        saeval.evaluate([3], Error(), **options)


class OnlyMethods:
    """An object with two methods, which says nothing of its width."""

    def __init__(self, value: float = 1.0) -> None:
        self.value = value

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Both signs of every input."""
        return torch.cat([x, -x], 1).relu() * self.value

    def decode(self, acts: torch.Tensor) -> torch.Tensor:
        """The input."""
        return acts[:, : tiny_runs.WIDTH] - acts[:, tiny_runs.WIDTH :]


def test_an_object_that_tells_no_width_is_as_wide_as_its_site(gpt2: Path) -> None:
    """Two methods are enough for evaluate, which knows the site; load_sae asks for d_in."""
    result = saeval.evaluate({"mine": OnlyMethods()}, Error(), model=str(gpt2), site="layers.1")[0]
    assert result.status == "scored", result.reason
    assert result.provenance["saes"][0]["d_in"] == tiny_runs.WIDTH
    with pytest.raises(LoadError, match="Give it an attribute d_in"):
        saeval.load_sae(OnlyMethods())


def test_one_bad_object_does_not_stop_the_others(gpt2: Path) -> None:
    """Objects that answer NaN are failed rows with the reason, each under a name of its own."""
    options: dict[str, Any] = {"model": str(gpt2), "site": "layers.1"}
    results = saeval.evaluate({"a": topk(), "b": OnlyMethods(torch.nan)}, Error(), **options)
    assert [(r.sae, r.status) for r in results] == [("a", "scored"), ("b", "failed")]
    assert "not finite" in str(results[1].reason)
    both = saeval.evaluate([OnlyMethods(torch.nan), OnlyMethods(torch.inf)], Error(), **options)
    assert [r.sae for r in both] == ["OnlyMethods-1", "OnlyMethods-2"]
    assert all("not finite" in str(result.reason) for result in both)


def test_a_single_seed_is_a_number(gpt2: Path, tmp_path: Path) -> None:
    """seeds=1 means the seed 1."""
    results = saeval.evaluate(sae_folder(tmp_path / "a"), Error(), model=str(gpt2), seeds=1)
    assert [result.seed for result in results] == [1]


def test_models_in_memory(gpt2: Path, tmp_path: Path) -> None:
    """A LoadedModel, and a network with its tokenizer, serve as well as a folder does."""
    folder, loaded = sae_folder(tmp_path / "a"), load_model(str(gpt2))
    values = [
        saeval.evaluate(folder, Error(), model=model).scores[0].value
        for model in (str(gpt2), loaded, (loaded.net, loaded.tokenizer))
    ]
    assert values[0] == values[1] == values[2]
    with pytest.raises(UsageError, match="is no model"):
        saeval.evaluate(folder, Error(), model=3)


def test_stored_activations_in_the_place_of_a_model(tmp_path: Path) -> None:
    """A file, an array and a tensor of vectors give one and the same result."""
    vectors = np.random.default_rng(0).normal(size=(40, tiny_runs.WIDTH)).astype(np.float32)
    np.save(tmp_path / "x.npy", vectors)
    folder = sae_folder(tmp_path / "a")
    data = (tmp_path / "x.npy", vectors, torch.from_numpy(vectors))
    results = [saeval.evaluate(folder, Error(), data=one) for one in data]
    assert len({_ids(one)[0] for one in results}) == 1
    assert results[0].scores[0].n == 40
    assert results[0][0].run["data"] == "./x.npy"
    with pytest.raises(UsageError, match="not both"):
        saeval.evaluate(folder, Error(), data=vectors, model="m")


def test_texts_in_memory_are_kept_beside_the_results(gpt2: Path, tmp_path: Path) -> None:
    """A list of texts becomes a file that the result names, so that it can be repeated."""
    folder = sae_folder(tmp_path / "a")
    texts = list(tiny_runs.TEXTS[:5])
    result = saeval.evaluate(folder, "core", model=str(gpt2), data=texts, config=CORE)[0]
    assert result.status == "scored", result.reason
    kept = Path(result.run["tasks"]["core"]["texts"])
    assert len(kept.read_text().splitlines()) == 5
    assert next(score.n for score in result.scores if score.metric == "fvu") == 5


def test_sets_are_scored_together(gpt2: Path, tmp_path: Path) -> None:
    """A group task scores a set once, under the set's name; members keep it in their rows."""
    for seed in range(2):
        sae_folder(tmp_path / f"seed{seed}", seed, model=str(gpt2))
    (tmp_path / "registry.yaml").write_text(
        "saes:\n"
        "  - {id: mine/s0, source: 'file://seed0'}\n"
        "  - {id: mine/s1, source: 'file://seed1'}\n"
        "sets:\n"
        "  mine/seeds: {kind: seeds, members: ['mine/s*']}\n"
    )
    results = saeval.evaluate("mine/seeds", [Error(), Together()])
    assert [(r.sae, r.set, r.task) for r in results] == [
        ("mine/s0", "mine/seeds", "error"),
        ("mine/s1", "mine/seeds", "error"),
        (None, "mine/seeds", "together"),
    ]
    assert not results.failed
    apart = float((topk(1).W_dec - topk(0).W_dec).norm())
    assert results.scores[-1].value == pytest.approx(apart, rel=1e-5)
    assert _ids(saeval.evaluate("mine/seeds", Together())) == _ids(results[2:])
    alone = saeval.evaluate("mine/s0", Together())
    assert alone[0].status == "not_applicable"


def test_load_sae(tmp_path: Path) -> None:
    """load_sae reads a folder in float32, wraps an object, and refuses several SAEs at once."""
    folder = sae_folder(tmp_path / "a")
    sae = saeval.load_sae(folder)
    assert torch.equal(sae.W_dec, topk().W_dec)
    assert saeval.load_sae(str(folder), dtype=torch.float64).W_dec.dtype == torch.float64
    assert isinstance(sae, saeval.SAE)
    assert saeval.load_sae(folder, dtype="bfloat16").W_dec.dtype == torch.bfloat16
    with pytest.raises(UsageError, match="'int8' is no dtype"):
        saeval.load_sae(folder, dtype="int8")
    with pytest.raises(UsageError, match="no device 'abacus'"):
        saeval.load_sae(folder, device="abacus")
    (tmp_path / "registry.yaml").write_text(
        "saes:\n  - {id: m/a, source: 'file://a'}\n  - {id: m/b, source: 'file://a'}\n"
    )
    with pytest.raises(UsageError, match="names 2 SAEs"):
        saeval.load_sae("m/*")
    (folder / "saeval.json").write_text("{")
    with pytest.raises(LoadError):
        saeval.load_sae(folder)


@pytest.mark.parametrize(
    "options, says",
    [
        ({"tasks": "cor"}, "No task is called 'cor'. Did you mean 'core'"),
        ({"tasks": []}, "No task to run"),
        ({"tasks": [Error(), Error()]}, "Each task runs once"),
        ({"tasks": [3]}, "is no task"),
        ({"tasks": "core", "config": {"core": {"ce_row": 1}}}, "Did you mean 'ce_rows'"),
        ({"tasks": "core", "config": {"other": {}}}, "the task 'other', which is not run"),
        ({"saes": []}, "No SAE was named"),
        ({"saes": "lab/nothing"}, "is called 'lab/nothing'"),
        ({"device": "tpu"}, "'device' must be one of auto"),
        ({"dtype": "int8"}, "'dtype' must be one of float32"),
        ({"seeds": [-1]}, "'seeds' must be at least 0, not -1"),
    ],
)
def test_requests_that_are_off(options: dict[str, Any], says: str, tmp_path: Path) -> None:
    """A wrong request is a UsageError before anything is loaded."""
    given = {"saes": tmp_path / "nowhere", "tasks": Error(), "model": "m", **options}
    if "saes" not in options:
        given["saes"] = sae_folder(tmp_path / "a")
    with pytest.raises(UsageError) as caught:
        saeval.evaluate(**given)
    assert says in str(caught.value)


def test_where_an_sae_belongs_must_be_known(gpt2: Path, tmp_path: Path) -> None:
    """An SAE that names no model, or no site, needs --model or --site."""
    with pytest.raises(UsageError, match=r"name no model\. Give one with --model"):
        saeval.evaluate(sae_folder(tmp_path / "a"), Error())
    nameless = sae_folder(tmp_path / "b", read_site=None)
    with pytest.raises(UsageError, match=r"name no site\. Give one with --site"):
        saeval.evaluate(nameless, Error(), model=str(gpt2))
    own = sae_folder(tmp_path / "c", model=str(gpt2))
    assert not saeval.evaluate(own, Error()).failed


def test_models_are_opened_one_after_the_other(gpt2: Path, tmp_path: Path) -> None:
    """SAEs of two models, mixed, load each model once and come back in the order asked for."""
    other = tiny_models.build("gpt_neox", tmp_path / "neox")
    registry = [
        f"  - {{id: m/{i}, source: 'file://s{i}', model: '{model}', site: layers.1}}\n"
        for i, model in enumerate([gpt2, other, gpt2, other])
    ]
    for i in range(4):
        sae_folder(tmp_path / f"s{i}", i)
    (tmp_path / "registry.yaml").write_text("saes:\n" + "".join(registry))
    loaded: list[str] = []
    load = transformer.load_model

    def counted(name: str, **options: Any) -> LoadedModel:
        loaded.append(name)
        return load(name, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transformer, "load_model", counted)
        results = saeval.evaluate("m/*", Error())
    assert [result.sae for result in results] == ["m/0", "m/1", "m/2", "m/3"]
    assert sorted(loaded) == sorted([str(gpt2), str(other)])
    assert replace(results[0], run={}).status == "scored"
