"""A bundle committed on a branch of its own in a local clone. Files and branch in use stay."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from saeval.errors import BundleError, UsageError


@dataclass(frozen=True)
class Commit:
    """A commit that was made."""

    branch: str
    commit: str
    base: str
    """Branch or commit that it is based on."""


def check_clone(clone: Path, branch: str) -> str:
    """The commit that a bundle would be based on.

    Raises:
        UsageError: if the folder is no clone, something in it is not committed or under way, or the
            branch exists.
    """
    if not clone.is_dir():
        raise UsageError(f"There is no folder '{clone}'. --repo takes a local clone.")
    try:
        top = Path(_git(clone, "rev-parse", "--show-toplevel"))
    except BundleError as error:
        raise UsageError(f"'{clone}' is no git clone with files: {error}") from error
    if top.resolve() != clone.resolve():
        raise UsageError(f"'{clone}' lies within the clone '{top}'. Give --repo {top}.")
    try:
        head = _git(clone, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    except BundleError as error:
        raise UsageError(f"'{clone}' has no commit yet, so there is nothing to add to.") from error
    under_way = [
        name
        for name in (
            "MERGE_HEAD",
            "CHERRY_PICK_HEAD",
            "REVERT_HEAD",
            "rebase-merge",
            "rebase-apply",
        )
        if (clone / _git(clone, "rev-parse", "--git-path", name)).exists()
    ]
    if under_way:
        raise UsageError(f"'{clone}' is in the middle of something ({under_way[0]}). End it first.")
    if changes := _git(clone, "status", "--porcelain").splitlines():
        raise UsageError(
            f"'{clone}' has changes that are not committed ({changes[0].strip()}"
            f"{f' and {len(changes) - 1} more' if len(changes) > 1 else ''}). Commit or stash "
            "them, so that it is plain what the submission is based on."
        )
    if _git(clone, "for-each-ref", f"refs/heads/{branch}"):
        raise UsageError(
            f"'{clone}' has a branch '{branch}' already. Choose another --name, or delete it with "
            f"`git branch -D {branch}`."
        )
    return head


def commit_bundle(clone: Path, branch: str, folder: Path, place: str, message: str) -> Commit:
    """Commit a folder on a new branch, with nothing checked out and no hook run.

    Args:
        clone: Where `check_clone` found nothing to complain of.
        branch: Name of the new branch.
        folder: The bundle.
        place: Its path within the clone; what is there is replaced as a whole.
        message: Of the commit.
    """
    head = check_clone(clone, branch)
    base = _git(clone, "rev-parse", "--abbrev-ref", "HEAD")
    with tempfile.TemporaryDirectory(prefix="saeval-index-") as scratch:
        index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        _git(clone, "read-tree", head, extra=index)
        _git(clone, "rm", "-r", "-q", "--cached", "--ignore-unmatch", "--", place, extra=index)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        paths = "\n".join(map(str, files))
        # Without filters: the bytes are those whose hashes submission.json names.
        hashes = _git(clone, "hash-object", "-w", "--no-filters", "--stdin-paths", text=paths)
        entries = "\n".join(
            f"100644 {sha}\t{place}/{path.relative_to(folder).as_posix()}"
            for sha, path in zip(hashes.splitlines(), files, strict=True)
        )
        _git(clone, "update-index", "--add", "--index-info", text=entries + "\n", extra=index)
        tree = _git(clone, "write-tree", extra=index)
    if tree == _git(clone, "rev-parse", f"{head}^{{tree}}"):
        raise BundleError("The clone holds this very bundle already, so nothing was committed.")
    commit = _git(clone, "commit-tree", tree, "-p", head, "-m", message)
    _git(clone, "update-ref", f"refs/heads/{branch}", commit, "")
    return Commit(branch, commit, base)


def _git(
    clone: Path, *arguments: str, text: str | None = None, extra: dict[str, str] | None = None
) -> str:
    """Run git in a clone.

    Raises:
        BundleError: with what git says.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    kept = {key: value for key, value in os.environ.items() if key.startswith(_IDENTITY)}
    command: Sequence[str] = ["git", "-C", str(clone), *arguments]
    try:
        done = subprocess.run(  # noqa: S603  the user's own git, in the user's clone
            command,
            input=text,
            capture_output=True,
            check=False,
            env={**environment, **kept, **(extra or {}), "GIT_OPTIONAL_LOCKS": "0"},
            text=True,
            timeout=120,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BundleError(f"git cannot be run ({error}).") from error
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise BundleError(f"git {arguments[0]} failed in '{clone}': {said}.")
    return done.stdout.rstrip("\n")


_IDENTITY = ("GIT_AUTHOR_", "GIT_COMMITTER_", "GIT_CONFIG_")
