"""The workflow for pull requests: it may little, and its own script does what it says."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import forgery
import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github/workflows/submissions.yml"


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    """The workflow as YAML gives it; its key `on` is the boolean True there."""
    return yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    """Steps of its only job."""
    (job,) = workflow["jobs"].values()
    return job["steps"]


def test_it_may_only_read_and_trusts_no_proposal(
    workflow: dict[Any, Any], steps: list[dict[str, Any]]
) -> None:
    """pull_request, read access, no secret, no credentials kept, and code of the base alone."""
    assert set(workflow[True]) == {"pull_request"}
    assert workflow[True]["pull_request"]["paths"] == ["leaderboards/submissions/**"]
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in WORKFLOW.read_text(encoding="utf-8")
    trusted, proposed = (s["with"] for s in steps if "checkout" in s.get("uses", ""))
    assert trusted["ref"] == "${{ github.event.pull_request.base.sha }}"
    assert trusted["persist-credentials"] is proposed["persist-credentials"] is False
    (install,) = (step["run"] for step in steps if "pip install" in step.get("run", ""))
    assert install.split()[-1] == "./trusted"
    for step in steps:  # what GitHub tells of a proposal never becomes part of a script
        assert "${{" not in step.get("run", "")


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle on a board."""
    return forgery.make_board(tmp_path_factory.mktemp("board"))


def _git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


def _merge(board: Path, folder: Path) -> tuple[Path, Path]:
    """A checkout as GitHub makes it: the merge of a proposal; and the proposed bundle."""
    bundle = forgery.copy(board, folder)
    checkout = folder
    held = folder.with_name(f"{folder.name}-held")
    shutil.move(bundle, held)
    _git(checkout, "init", "-q", "-b", "main")
    _git(checkout, "add", "-A")
    _git(checkout, "commit", "-q", "-m", "Base")
    shutil.move(held, bundle)
    return checkout, bundle


def _check(
    checkout: Path, steps: list[dict[str, Any]], author: str
) -> subprocess.CompletedProcess[str]:
    """Commit the proposal, and run the script of the workflow on it."""
    _git(checkout, "add", "-A", "-f")
    _git(checkout, "commit", "-q", "-m", "Proposal")
    (step,) = (s for s in steps if s.get("working-directory") == "proposed")
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    scratch = checkout.with_name(f"{checkout.name}-scratch")
    scratch.mkdir(exist_ok=True)
    environment = {**os.environ, "AUTHOR": author, "RUNNER_TEMP": str(scratch), "PATH": programs}
    return subprocess.run(
        ["bash", "-c", step["run"]],
        cwd=checkout,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )


def test_its_script_accepts_an_honest_proposal(
    board: Path, tmp_path: Path, steps: list[dict[str, Any]]
) -> None:
    """By its owner; by another author it is refused, by a maintainer accepted."""
    checkout, _ = _merge(board, tmp_path / "a")
    done = _check(checkout, steps, "ann")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is accepted: recomputed." in done.stdout
    for number, (author, code) in enumerate((("eve", 1), ("", 0))):
        checkout, _ = _merge(board, tmp_path / f"b{number}")
        done = _check(checkout, steps, author)
        assert done.returncode == code, done.stdout + done.stderr
    assert "'eve' proposes it" not in done.stdout


@pytest.mark.parametrize("kind", ["edited", "beside", "removed", "odd name", "link"])
def test_its_script_refuses(
    board: Path, tmp_path: Path, steps: list[dict[str, Any]], kind: str
) -> None:
    """An edited bundle, a file beside bundles, a bundle taken away, odd names, a link."""
    checkout, bundle = _merge(board, tmp_path / "a")
    if kind == "edited":
        forgery.edit(bundle / "submission.json", lambda m: m.update(description="x"))
        forgery.edit(
            forgery.result(bundle) / "result.json",
            lambda r: forgery.score(r, "fvu").update(value=0.0),
        )
    elif kind == "beside":
        (bundle.parents[1] / "run.py").write_text("print(1)")
    elif kind == "removed":
        _git(checkout, "add", "-A")
        _git(checkout, "commit", "-q", "-m", "Accepted before")
        shutil.rmtree(bundle)
    elif kind == "odd name":
        odd = bundle.parent / "a\n$(touch owned)"
        odd.mkdir()
        (odd / "submission.json").write_text("{}")
    else:
        shutil.rmtree(bundle)
        bundle.symlink_to("/etc")
    for author in ("ann", ""):
        done = _check(checkout, steps, author)
        assert done.returncode != 0, done.stdout
        _git(checkout, "reset", "-q", "--soft", "HEAD^")
    assert not list(checkout.rglob("owned"))
