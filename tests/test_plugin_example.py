"""The example package of docs/plugin, installed as users would, is found, loads and scores."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

DOCS = Path(__file__).parents[1] / "docs"
BUILT = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")

LOAD_AND_SCORE = """
import json
from pathlib import Path
import numpy as np
import torch
from saeval.config import plugins
from saeval.activations import array_source
from saeval.config.plugin_docs import describe_loaders, describe_tasks
from saeval.errors import LoadError
from saeval.evidence import Missing, summarise
from saeval.sae.loaders import detect, load_folder

sae, refused = load_folder(Path("random")), ""
x = torch.from_numpy(np.load("x.npy"))
acts = sae.encode(x)
np.savez("coded.npz", acts=acts, y=sae.decode(acts, x))
try:
    load_folder(Path("more"))
except LoadError as error:
    refused = str(error)

task, source, scores = plugins.load_task("strongest")(), array_source("planted.npy"), {}
prepared = task.prepare(source, 0)
for name in ("planted", "silent"):
    for one in task.score(load_folder(Path(name)), prepared, source, 0):
        gone = isinstance(one, Missing)
        scores[f"{name} {one.metric}"] = one.reason if gone else summarise(one).value
print(json.dumps({
    "loader": str(plugins.find(plugins.LOADERS)["tied"]),
    "task": str(plugins.find(plugins.TASKS)["strongest"]),
    "broken": [one.broken for one in [*describe_loaders(), *describe_tasks()] if one.broken],
    "detected": detect(Path("random")),
    "refused": refused,
    "scores": scores,
    "inputs": [list(one.inputs("gpt2")) for one in (task, type(task)(texts="mine.txt"))],
}))
"""

READ_SENTENCES = """
import json
from pathlib import Path
import torch
from saeval.config import plugins
from saeval.activations import Store, model_source
from saeval.evidence import summarise
from saeval.sae.loaders import load_folder
from saeval.models import load_model
import tiny_models

model = load_model(str(tiny_models.build("gpt2", Path("model"))))
source = model_source(model, model.resolve("layers.1"), store=Store(Path("store")))
sae, task = load_folder(Path("wide")), plugins.load_task("strongest")()
prepared = task.prepare(source, 0)
first = summarise(next(iter(task.score(sae, prepared, source, 0))))

rows = prepared.rows
x = torch.cat([batch.x_tokens for batch in source.batches(rows)])
acts = sae.encode(x)
alone = torch.zeros_like(acts).scatter(1, acts.argmax(1, keepdim=True), acts.amax(1, keepdim=True))
left = (x - sae.decode(alone, x)).double().square().sum() / (x - x.mean(0)).double().square().sum()
print(json.dumps({"n": first.n, "value": first.value, "dense": 1 - left.item()}))
"""

COMMAND = "from saeval.cli.app import main; main()"


def _run(site: Path, cwd: Path, *command: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{Path(__file__).parent}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder that the example is installed into, from a copy, so that docs/ stays clean."""
    work = tmp_path_factory.mktemp("example")
    copy = shutil.copytree(DOCS / "plugin", work / "plugin", ignore=BUILT)
    pip = ("-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation")
    _run(work, work, *pip, "--target", work / "site", copy)
    return work / "site"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SAEs in the example's format: a random one, a planted one, a silent one, a wrong one."""
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    arrays = {
        "dictionary": rng.normal(size=(24, 6)).astype(np.float32),
        "bias": rng.normal(size=24).astype(np.float32),
        "centre": rng.normal(size=6).astype(np.float32),
        "k": 5,
    }
    _save(folder / "random", **arrays)
    _save(folder / "more", **arrays, scale=np.ones(6))
    axes = {"dictionary": np.eye(2), "centre": np.zeros(2), "k": 2}
    _save(folder / "planted", **axes, bias=np.zeros(2))
    _save(folder / "silent", **axes, bias=np.full(2, -9.0))
    wide = {"dictionary": rng.normal(size=(32, 16)), "bias": np.zeros(32), "centre": np.zeros(16)}
    _save(folder / "wide", **wide, k=4)
    np.save(folder / "x.npy", rng.normal(size=(40, 6)).astype(np.float32))
    np.save(folder / "planted.npy", np.array([[3, 1], [1, 3], [2, 0], [0, 2]], np.float32))
    return folder


def _save(folder: Path, **arrays: Any) -> None:
    folder.mkdir()
    np.savez(folder / "tied.npz", **arrays)


@pytest.fixture(scope="module")
def report(site: Path, files: Path) -> dict[str, Any]:
    """What a process that can import the installed example reports."""
    return json.loads(_run(site, files, "-c", LOAD_AND_SCORE))


def test_both_plugins_are_found(report: dict[str, Any]) -> None:
    """Loader and task are listed with the package that brings them, and can be described."""
    assert report["loader"] == "'tied' (saeval_example.tied, from saeval-example 1.0)"
    assert report["task"].endswith("(saeval_example.strongest:Strongest, from saeval-example 1.0)")
    assert report["broken"] == []


def test_loader_does_what_the_format_says(report: dict[str, Any], files: Path) -> None:
    """The folder is recognised, and encode and decode equal the format's formula in numpy."""
    assert report["detected"] == "tied"
    file, x = np.load(files / "random" / "tied.npz"), np.load(files / "x.npy")
    pre = (x - file["centre"]) @ file["dictionary"].T + file["bias"]
    kept = pre >= np.sort(pre, axis=1)[:, [-5]]
    acts = np.where(kept, np.maximum(pre, 0), 0)
    coded = np.load(files / "coded.npz")
    assert (acts != 0).any(1).all()
    np.testing.assert_allclose(coded["acts"], acts, atol=1e-5)
    np.testing.assert_allclose(coded["y"], acts @ file["dictionary"] + file["centre"], atol=1e-5)


def test_loader_refuses_what_it_does_not_understand(report: dict[str, Any]) -> None:
    """An array that the format does not have is an error that names it."""
    assert "'scale', which has no meaning" in report["refused"]


def test_task_scores_a_planted_sae(report: dict[str, Any]) -> None:
    """Of the vectors 3,1 1,3 2,0 0,2 the larger parts explain 8 of 10 and are 10 of 12."""
    scores = report["scores"]
    assert scores["planted strongest_explained_variance"] == pytest.approx(0.8, abs=1e-9)
    assert scores["planted strongest_share"] == pytest.approx(10 / 12, abs=1e-9)


def test_command_line_scores_it_too(site: Path, files: Path) -> None:
    """`saeval run` with the task's and the folder's names gives the same two values."""
    run = ("run", "--sae", "planted", "--data", "planted.npy", "--tasks", "strongest", "--json")
    rows = [json.loads(line) for line in _run(site, files, "-c", COMMAND, *run).splitlines()]
    assert {row["metric"]: row["value"] for row in rows} == {
        "strongest_explained_variance": pytest.approx(0.8, abs=1e-9),
        "strongest_share": pytest.approx(10 / 12, abs=1e-9),
    }
    assert {(row["status"], row["n"], row["unit_of_n"]) for row in rows} == {("scored", 4, "row")}


def test_metrics_of_the_example_are_described(site: Path, files: Path) -> None:
    """`describe` knows the task's metrics and each by name, read from the installed source."""
    (task,) = _run(site, files, "-c", COMMAND, "describe", "strongest", "--json").splitlines()
    names = [metric["name"] for metric in json.loads(task)["metrics"]]
    assert names == ["strongest_explained_variance", "strongest_share"]
    (metric,) = _run(site, files, "-c", COMMAND, "describe", names[0], "--json").splitlines()
    found = json.loads(metric)
    assert (found["unit"], found["better"], found["ceiling"]) == ("fraction", "higher", 1)
    assert "strongest.py:strongest (line " in found["computed_in"][0]


def test_task_reads_its_own_sentences(site: Path, files: Path) -> None:
    """On a model the eight sentences are the units, and the score is that of dense arithmetic."""
    found = json.loads(_run(site, files, "-c", READ_SENTENCES))
    assert found["n"] == 8
    assert found["value"] == pytest.approx(found["dense"], rel=1e-5)


def test_task_says_why_it_has_no_score(report: dict[str, Any]) -> None:
    """An SAE that never fires explains less than the mean does, and has no share at all."""
    scores = report["scores"]
    assert scores["silent strongest_explained_variance"] == pytest.approx(1 - 28 / 10)
    assert scores["silent strongest_share"] == "No latent is active on these rows."


def test_own_data_enters_the_identity(report: dict[str, Any]) -> None:
    """The sentences of the package count among the inputs where they are read, and only there."""
    assert report["inputs"] == [["sentences"], []]


def test_page_quotes_the_package() -> None:
    """Every piece of code in docs/plugins.md that is no file of its own stands in the package."""
    sources = [*(DOCS / "plugin" / "saeval_example").glob("*.py"), DOCS / "plugin/pyproject.toml"]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    page = (DOCS / "plugins.md").read_text(encoding="utf-8")
    quoted = re.findall(r"```(?:python|toml)\n(.*?)```", page, re.DOTALL)
    assert len(quoted) >= 5
    pieces = [piece for piece in quoted if not re.match(r"# \w+\.py\n", piece)]
    assert len(quoted) - 4 <= len(pieces) < len(quoted)  # those are run by test_documents
    assert not [piece for piece in pieces if piece not in code]
