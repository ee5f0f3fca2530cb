"""What a run does where little is said: its tasks, its texts, and how many latents it asks for."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from click.testing import CliRunner
from tiny_runs import Error, sae_folder, texts_file, topk

import saeval
from saeval.cli.app import app
from saeval.config.options import DEFAULT_TASKS
from saeval.config.plugins import TASKS, find
from saeval.models import load_model
from saeval.results.results import Results
from saeval.running.default_tasks import default_tasks
from saeval.running.named_saes import find_saes
from saeval.running.opening import Opening
from saeval.running.plan.plan import plan
from saeval.running.sources import Sources
from saeval.sae.architectures.relu import ReLU
from saeval.sae.loaders import saeval_format

LANGUAGE = ["core", "probing", "absorption"]


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a tiny model."""
    return str(tiny_models.build("gpt2", tmp_path_factory.mktemp("gpt2")))


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A working folder of its own."""
    monkeypatch.chdir(tmp_path)
    yield
    Error.scored.clear()


@pytest.mark.parametrize(
    "model, tasks",
    [
        ("lab://world/model", LANGUAGE),
        ("lab/world", LANGUAGE),
        ("EleutherAI/pythia-160m", LANGUAGE),
        (None, LANGUAGE),
        ("lab://synthetic/base", ["core", "synthetic"]),
        ("lab/synthetic/base@3", ["core", "synthetic"]),
        ("lab://othello/model", ["core"]),
    ],
)
def test_tasks_by_what_an_sae_reads(model: str | None, tasks: list[str], tmp_path: Path) -> None:
    """Whether the SAE's files or the user name the model, the same tasks run on it."""
    named = find_saes(sae_folder(tmp_path / "a", model=model))
    silent = find_saes(sae_folder(tmp_path / "b"))
    assert default_tasks(named, Sources(Opening())) == tasks
    assert default_tasks(silent, Sources(Opening(model=model))) == tasks
    assert default_tasks(named, Sources(Opening(array=np.zeros((3, 16), np.float32)))) == ["core"]


def test_default_tasks_of_several_saes() -> None:
    """Each task that some SAE is scored on by default, once; the registry says what each reads."""
    subjects = find_saes(["lab/world/topk-16", "lab/synthetic/base/topk-16"])
    assert default_tasks(subjects, Sources(Opening())) == [*LANGUAGE, "synthetic"]


def test_default_tasks_are_there_and_in_the_help() -> None:
    """Every default task is installed, and --help says which run on what."""
    assert {name for names in DEFAULT_TASKS.values() for name in names} <= set(find(TASKS))
    shown = " ".join(CliRunner().invoke(app, ["run", "--help"]).output.split())
    for kind, names in DEFAULT_TASKS.items():
        assert f"{','.join(names)} for {kind}" in shown


def test_a_run_without_tasks(tmp_path: Path) -> None:
    """`saeval run --sae X` needs no --tasks, nor do evaluate and plan."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(40, 16)).astype(np.float32))
    folder = sae_folder(tmp_path / "a")
    done = CliRunner().invoke(app, ["run", "--sae", str(folder), "--data", "x.npy", "--json"])
    assert done.exit_code == 0, done.output
    assert {json.loads(line)["task"] for line in done.stdout.splitlines()} == {"core"}
    results = saeval.evaluate(folder, data=tmp_path / "x.npy")
    assert [result.task for result in results] == ["core"]
    assert [each.state for each in plan(folder, data=tmp_path / "x.npy").results] == ["found"]


def test_python_m_saeval() -> None:
    """`python -m saeval` is the command, and as quick."""
    command = [sys.executable, "-m", "saeval", "run", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--tasks" in done.stdout


# validate -----------------------------------------------------------------------------------------


def _validated(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code, and the checks by name."""
    done = CliRunner().invoke(app, ["validate", *arguments, "--json"])
    (row,) = [json.loads(line) for line in done.stdout.splitlines()]
    return done.exit_code, {check["name"]: check for check in row["preflight"]}


def test_validate_reads_the_model_that_the_sae_names(gpt2: str, tmp_path: Path) -> None:
    """Without --model, an SAE is checked against its own, on activations."""
    code, checks = _validated(str(sae_folder(tmp_path / "a", model=gpt2)))
    assert code == 0
    assert checks["model"]["status"] == "ok"
    assert checks["scale"]["observed"].startswith("mean norm")
    code, checks = _validated(str(sae_folder(tmp_path / "b", model=gpt2, width=8)))
    assert (code, checks["width"]["status"]) == (1, "error")


def test_a_model_out_of_reach_is_no_fault_of_the_sae(tmp_path: Path) -> None:
    """If the model that an SAE names cannot be had, that is told, and nothing else is checked."""
    code, checks = _validated(str(sae_folder(tmp_path / "a", model="org/gone")))
    assert code == 0
    assert (checks["model"]["status"], list(checks)) == ("unknown", ["model"])
    assert "org/gone" in checks["model"]["message"]
    given = CliRunner().invoke(app, ["validate", str(tmp_path / "a"), "--model", "org/gone"])
    assert given.exit_code == 2


def test_validate_reads_real_texts(gpt2: str, tmp_path: Path) -> None:
    """--data names texts; for a model of the lab, its own are read, on which its SAEs are good."""
    folder = sae_folder(tmp_path / "a", model=gpt2)
    observed = {
        _validated(str(folder), *more)[1]["scale"]["observed"]
        for more in ((), ("--data", str(texts_file(tmp_path))))
    }
    assert len(observed) == 2
    code, checks = _validated("lab/world/topk-16")
    assert code == 0
    assert {check["status"] for check in checks.values()} <= {"ok", "unknown"}
    assert float(checks["scale"]["observed"].split("fvu ")[1].split(",")[0]) < 0.5


# --k ----------------------------------------------------------------------------------------------


def _evaluated(gpt2: str, sae: Any, **options: Any) -> Results:
    return saeval.evaluate(sae, Error(), model=gpt2, site="layers.1", **options)


def test_an_sae_is_asked_for_k_latents(gpt2: str, tmp_path: Path) -> None:
    """--k scores the SAE that answers with so many latents, as if it had been trained to."""
    folder = sae_folder(tmp_path / "a")
    results = {k: _evaluated(gpt2, folder, k=k)[0] for k in (None, 2, 4, 9)}
    assert all(result.status == "scored" for result in results.values())
    for k, result in results.items():
        sae = topk().with_k(k or 4)
        assert result.result_id == _evaluated(gpt2, {"mine": sae})[0].result_id
    assert results[None].result_id == results[4].result_id
    assert len({result.result_id for result in results.values()}) == 3
    assert results[9].run["k"] == 9


def test_an_sae_that_takes_no_k_fails_alone(gpt2: str, tmp_path: Path) -> None:
    """One that has no such number is a failed row of one line; the others are scored."""
    plain = topk()
    relu = ReLU(plain.W_enc, plain.b_enc, plain.W_dec, plain.b_dec, subtract_b_dec=False)
    saeval_format.save(relu, tmp_path / "b")
    saes = [sae_folder(tmp_path / "a"), tmp_path / "b"]
    results = _evaluated(gpt2, saes, k=2)
    assert [result.status for result in results] == ["scored", "failed"]
    reason = str(results[1].reason)
    assert reason.startswith("--k 2: ReLU does not take a number of latents.")
    assert "\n" not in reason
    states = plan(saes, Error(), model=gpt2, site="layers.1", k=3).results
    assert [each.state for each in states] == ["compute", "fails"]


def test_published_figures_are_of_another_k(gpt2: str, tmp_path: Path) -> None:
    """An l0 that an entry promises is not held against an SAE that is asked for another."""
    sae_folder(tmp_path / "a")
    (tmp_path / "registry.yaml").write_text(
        f"saes:\n  - {{id: m/a, source: 'file://a', model: '{gpt2}', site: layers.1, "
        "expected: {l0: 4}}\n"
    )
    assert saeval.evaluate("m/a", Error(), k=1)[0].status == "scored"
    assert saeval.evaluate("m/a", Error())[0].status == "scored"


def test_a_given_model_wins(gpt2: str, tmp_path: Path) -> None:
    """A model in memory decides the default tasks too."""
    subjects = find_saes(sae_folder(tmp_path / "a", model="lab://synthetic/base"))
    assert default_tasks(subjects, Sources(Opening(model=load_model(gpt2)))) == LANGUAGE
