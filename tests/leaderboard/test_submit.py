"""From results to a bundle in its place, or on a branch of a clone; nothing else changes."""

import json
import logging
import shutil
import subprocess
from pathlib import Path

import forgery
import pytest
from click.testing import CliRunner, Result

from saeval.cli.app import app
from saeval.leaderboard.bundles.check import check_bundle
from saeval.leaderboard.submissions import read_submissions


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle on a board; the results it was made of lie in `mine` above."""
    return forgery.make_board(tmp_path_factory.mktemp("board"))


@pytest.fixture
def mine(board: Path) -> Path:
    """Results to submit."""
    return board.parents[3] / "mine"


def submit(*arguments: object) -> Result:
    """What the command prints and answers."""
    return CliRunner().invoke(app, ["submit", *map(str, arguments), "--owner", "ann"])


def test_submit_writes_a_bundle_that_validate_accepts(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below the current folder; a second one needs another name, or --replace."""
    monkeypatch.chdir(tmp_path)
    done = submit(mine, "--name", "one", "--description", "It <b>is</b> good.")
    assert done.exit_code == 0, done.output
    bundle = tmp_path / "leaderboards/submissions/ann/one"
    assert {path.name for path in bundle.iterdir()} == {"submission.json", "results"}
    manifest = forgery.read(bundle / "submission.json")
    assert (manifest["schema"], manifest["owner"], manifest["name"]) == (1, "ann", "one")
    assert manifest["description"] == "It <b>is</b> good."
    (sae,) = manifest["saes"]
    assert sae["name"] == "lab/synthetic/base/topk-8"
    assert len(sae["hash"]) == 64
    assert CliRunner().invoke(app, ["validate", str(bundle)]).exit_code == 0
    assert submit(mine, "--name", "one").exit_code == 1
    assert submit(mine, "--name", "one", "--replace").exit_code == 0
    assert {path.name for path in bundle.parent.iterdir()} == {"one"}


def test_nothing_of_the_submitters_machine_enters(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file has the path of a folder here, even where a result names one."""
    monkeypatch.chdir(tmp_path)
    assert submit(mine, "--name", "one").exit_code == 0
    for path in (tmp_path / "leaderboards").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for private in (str(tmp_path), str(mine.parent), str(Path.home()) + "/"):
                assert private.encode() not in content, path
    copied = tmp_path / "copied"
    shutil.copytree(mine, copied)
    for path in copied.rglob("result.json"):
        forgery.edit(path, lambda r: r["run"].update(data=str(tmp_path / "texts.txt")))
    done = submit(copied, "--name", "two")
    assert done.exit_code == 1
    assert "has a path of this machine" in done.output


def test_what_would_be_refused_is_not_written(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Edited results, odd names and empty folders, each with the reason; nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    copied = tmp_path / "copied"
    shutil.copytree(mine, copied)
    for path in copied.rglob("core-*/result.json"):
        forgery.edit(path, lambda r: forgery.score(r, "fvu").update(value=0.0))
    done = submit(copied, "--name", "one")
    assert done.exit_code == 1
    assert "would be refused, so it was not written. scores: " in done.output
    assert "value is 0.0" in done.output
    for name in ("../up", "A", "con", "a b", "<b>"):
        assert submit(mine, "--name", name).exit_code == 2, name
    (tmp_path / "empty").mkdir()
    assert submit(tmp_path / "empty", "--name", "one").exit_code == 2
    assert {path.name for path in tmp_path.iterdir()} == {"copied", "empty"}


def test_failed_results_are_left_out(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the output says which."""
    monkeypatch.chdir(tmp_path)
    copied = tmp_path / "copied"
    shutil.copytree(mine, copied)
    for path in copied.rglob("core-*/result.json"):
        forgery.edit(path, lambda r: r.update(status="failed", reason="No memory."))
    done = submit(copied, "--name", "one", "--json")
    assert done.exit_code == 0, done.output
    (row,) = map(json.loads, done.stdout.splitlines())
    assert row["left_out"] == ["lab/synthetic/base/topk-8, core, seed 0: it failed"]
    assert row["results"] == 1


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with a file and a hook that would tell of every checkout and commit."""
    folder = tmp_path / "clone"
    folder.mkdir()
    (folder / "README").write_text("x\n")
    shutil.copy(Path(__file__).parents[2] / ".gitattributes", folder)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.name", "Ann")
    git(folder, "config", "user.email", "ann@example.org")
    git(folder, "config", "core.autocrlf", "true")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "First")
    for name in ("post-checkout", "pre-commit", "post-commit"):
        hook = folder / ".git/hooks" / name
        hook.write_text("#!/bin/sh\ntouch hook-was-here\n")
        hook.chmod(0o755)
    return folder


def git(folder: Path, *arguments: str) -> str:
    """What git says."""
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_a_clone_gets_a_branch_and_nothing_else(mine: Path, clone: Path, tmp_path: Path) -> None:
    """One commit on HEAD with the bundle alone, byte for byte; files, index and branch stay."""
    before = git(clone, "rev-parse", "HEAD"), sorted(p.name for p in clone.iterdir())
    done = submit(mine, "--name", "one", "--repo", clone)
    assert done.exit_code == 0, done.output
    assert before == (git(clone, "rev-parse", "HEAD"), sorted(p.name for p in clone.iterdir()))
    assert git(clone, "status", "--porcelain") == ""
    assert git(clone, "rev-parse", "--abbrev-ref", "HEAD") == "main"
    branch = "submission/ann/one"
    assert git(clone, "rev-parse", f"{branch}^") == before[0]
    changed = git(clone, "diff", "--name-only", "main", branch).splitlines()
    place = "leaderboards/submissions/ann/one/"
    assert all(name.startswith(place) for name in changed)
    git(clone, "worktree", "add", "-q", str(tmp_path / "seen"), branch)
    report = check_bundle(tmp_path / "seen" / place)
    assert report.faults == (), "line endings are kept, though core.autocrlf is on"
    again = submit(mine, "--name", "one", "--repo", clone)
    assert again.exit_code == 2
    assert "has a branch 'submission/ann/one' already" in again.output


@pytest.mark.parametrize("state", ["dirty", "staged", "untracked", "merging", "empty", "none"])
def test_a_clone_in_an_unclear_state_is_refused(mine: Path, clone: Path, state: str) -> None:
    """With the reason, and no branch is made."""
    repo = clone
    if state in ("dirty", "staged"):
        (clone / "README").write_text("y\n")
        if state == "staged":
            git(clone, "add", "-A")
        says = "changes that are not committed"
    elif state == "untracked":
        (clone / "new").write_text("y\n")
        says = "changes that are not committed (?? new)"
    elif state == "merging":
        (clone / ".git/MERGE_HEAD").write_text(git(clone, "rev-parse", "HEAD") + "\n")
        says = "in the middle of something (MERGE_HEAD)"
    elif state == "empty":
        repo = clone.with_name("empty")
        repo.mkdir()
        git(repo, "init", "-q")
        says = "has no commit yet"
    else:
        repo = clone.with_name("nothing")
        repo.mkdir()
        says = "is no git clone"
    done = submit(mine, "--name", "one", "--repo", repo)
    assert done.exit_code == 2, done.output
    assert says in done.output
    assert "submission" not in git(clone, "branch", "--list")


def test_a_board_reads_what_is_sound(
    board: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A refused bundle is left out with a warning that names the reason; older versions stay."""
    bundle = forgery.copy(board, tmp_path)
    root = bundle.parents[1]
    (source,) = read_submissions(root)
    assert (source.badge, source.owner, source.name) == ("recomputed", "ann", "try")
    assert source.folder == bundle / "results"
    forgery.edit(bundle / "submission.json", lambda m: m.update(owner="eve"))
    with caplog.at_level(logging.WARNING):
        assert read_submissions(root) == []
    (record,) = caplog.records
    assert "'ann/try' is left out: it lies in ann/try, but is eve/try" in record.message
    assert read_submissions(tmp_path / "none") == []


def test_an_earlier_version_stays_on_a_board_and_is_not_submitted_anew(
    board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task's version rises: what was submitted before is kept, and new bundles are refused."""
    from saeval.leaderboard.bundles import declarations

    bundle = forgery.copy(board, tmp_path)
    description = declarations._description

    def risen(task: str) -> object:
        found = description(task)
        assert found is not None
        return type(found)(**{**vars(found), "version": (found.version or 0) + 1})

    monkeypatch.setattr(declarations, "_description", risen)
    assert len(read_submissions(bundle.parents[1])) == 1
    report = check_bundle(bundle)
    assert report.checks[-1].name == "tasks"
    assert "score it again with this version" in report.faults[0]
