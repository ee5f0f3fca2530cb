"""The workflow for pull requests: it may little, and its own script does what it says."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forgery
import pytest
import yaml
from click.testing import CliRunner

from saeval.cli.app import app

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


@dataclass(frozen=True)
class Outcome:
    """What the script called, and how it ended."""

    calls: list[list[str]]
    """Arguments of `saeval`, which is a recorder here."""
    code: int


def _script(checkout: Path, steps: list[dict[str, Any]], author: str) -> Outcome:
    """Commit the proposal, and run the script of the workflow on it, with a recorder for saeval."""
    _git(checkout, "add", "-A", "-f")
    _git(checkout, "commit", "-q", "-m", "Proposal")
    (step,) = (s for s in steps if s.get("working-directory") == "proposed")
    scratch = checkout.with_name(f"{checkout.name}-scratch")
    scratch.mkdir(exist_ok=True)
    recorder = scratch / "saeval"
    recorder.write_text('#!/bin/sh\nprintf "%s\\0" "$@" "" >> "$RUNNER_TEMP/calls"\nexit "$CODE"\n')
    recorder.chmod(0o755)
    path = f"{scratch}{os.pathsep}{os.environ['PATH']}"
    code = 0
    for answer in ("0", "1"):
        (scratch / "calls").unlink(missing_ok=True)
        environment = {"AUTHOR": author, "RUNNER_TEMP": str(scratch), "PATH": path, "CODE": answer}
        command = ["bash", "-c", step["run"]]
        done = subprocess.run(command, cwd=checkout, env={**os.environ, **environment}, check=False)
        # It ends as saeval does, or fails by itself.
        assert done.returncode != 0 or answer == "0"
        code = code or (done.returncode if answer == "0" else 0)
    text = (scratch / "calls").read_text() if (scratch / "calls").exists() else ""
    calls = [call.split("\0") for call in text.split("\0\0") if call]
    return Outcome(calls, code)


def _accepts(outcome: Outcome, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """What saeval itself says to the calls that were recorded."""
    monkeypatch.chdir(checkout)
    codes = [CliRunner().invoke(app, call).exit_code for call in outcome.calls]
    return outcome.code == 0 and bool(codes) and not any(codes)


@pytest.mark.parametrize("author, accepted", [("ann", True), ("eve", False), ("", True)])
def test_its_script_checks_what_changed(
    board: Path,
    tmp_path: Path,
    steps: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    author: str,
    accepted: bool,  # noqa: FBT001
) -> None:
    """The changed bundle alone: accepted from its owner and from maintainers (no author)."""
    checkout, _ = _merge(board, tmp_path / "a")
    outcome = _script(checkout, steps, author)
    (call,) = outcome.calls
    assert call[:2] == ["validate", "leaderboards/submissions/ann/try"]
    assert ("--author" in call) == bool(author)
    assert _accepts(outcome, checkout, monkeypatch) == accepted


@pytest.mark.parametrize("author", ["ann", ""])
@pytest.mark.parametrize("kind", ["edited", "beside", "removed", "odd name", "link", "an SAE"])
def test_its_script_refuses(
    board: Path,
    tmp_path: Path,
    steps: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    author: str,
) -> None:
    """An edited bundle, a file beside bundles, a bundle taken away, odd names, a link, an SAE."""
    checkout, bundle = _merge(board, tmp_path / "a")
    if kind == "edited":
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
    elif kind == "an SAE":
        (bundle / "submission.json").unlink()
        (bundle / "cfg.json").write_text("{}")
    else:
        shutil.rmtree(bundle)
        bundle.symlink_to("/etc")
    outcome = _script(checkout, steps, author)
    assert not _accepts(outcome, checkout, monkeypatch)
    assert not list(checkout.rglob("owned"))
