"""Provenance names the code and machine that computed, and timers account for all of the time."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from saeval.results import provenance as module
from saeval.results.provenance import (
    PhaseTimer,
    checkout,
    device_name,
    package_versions,
    provenance,
)

ROOT = Path(module.__file__).resolve().parents[2]


def git(folder: Path, *arguments: str) -> str:
    """What git prints, in a folder."""
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git checkout with a package named saeval."""
    root = tmp_path / "repository"
    (root / "saeval").mkdir(parents=True)
    (root / "saeval" / "code.py").write_text("1")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    return root


def test_record_is_json_and_names_what_computed() -> None:
    """Versions, machine, device and dtype are there, as strict JSON."""
    found = provenance(device="cpu", dtype="float32")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["packages"]["numpy"] == np.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert (found["device"], found["dtype"]) == ("cpu", "float32")
    assert found["device_name"]
    assert set(found["saeval"]) == {"version", "commit", "dirty"}


def test_commit_is_that_of_the_checkout_and_dirt_is_seen(repository: Path) -> None:
    """The commit is HEAD; a changed or a new file in the package is dirt, one elsewhere is not."""
    head = git(repository, "rev-parse", "HEAD")
    assert checkout(repository) == {"commit": head, "dirty": False}
    (repository / "notes.txt").write_text("elsewhere")
    checkout.cache_clear()
    assert checkout(repository) == {"commit": head, "dirty": False}
    for name in ("code.py", "more.py"):
        (repository / "saeval" / name).write_text("2")
        checkout.cache_clear()
        assert checkout(repository) == {"commit": head, "dirty": True}
        (repository / "saeval" / name).write_text("1")
    checkout.cache_clear()


def test_callers_repository_is_not_taken_for_ours(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the caller's folder nor git's variables change which commit is recorded."""
    expected = checkout(ROOT)
    checkout.cache_clear()
    monkeypatch.chdir(repository)
    monkeypatch.setenv("GIT_DIR", str(repository / ".git"))
    assert checkout(ROOT)["commit"] == expected["commit"]
    assert checkout(ROOT)["commit"] != git(repository, "rev-parse", "HEAD")


def test_an_installed_package_has_no_commit(repository: Path) -> None:
    """An environment inside somebody's repository is not a checkout of saeval."""
    site = repository / ".venv" / "site-packages"
    (site / "saeval").mkdir(parents=True)
    assert checkout(site) == {"commit": None, "dirty": None}


def test_without_git_the_commit_is_unknown(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without git records None and goes on."""
    monkeypatch.setenv("PATH", "")
    assert checkout(repository) == {"commit": None, "dirty": None}


def test_packages_that_are_absent_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is not installed is recorded as such."""
    monkeypatch.setattr(module, "PACKAGES", ("numpy", "no-such-package"))
    package_versions.cache_clear()
    assert package_versions() == {"numpy": np.__version__, "no-such-package": None}
    package_versions.cache_clear()


def test_provenance_imports_no_torch() -> None:
    """Versions come from metadata: light commands stay light."""
    code = (
        "import sys\nfrom saeval.results.provenance import provenance\n"
        "assert provenance(device='cpu', dtype='float32')['packages']['torch']\n"
        "print([m for m in ('torch', 'pandas', 'numpy') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.strip() == "[]"


def test_a_missing_gpu_is_not_asked_for_its_name() -> None:
    """Where there is no such device, the processor is named."""
    assert device_name("meta") == device_name("cpu")


def spin(seconds: float) -> None:
    """Use the processor for a while."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def test_nested_phases_share_out_the_time() -> None:
    """Time in an inner phase is its own and not the outer's; together they make up the whole."""
    timer = PhaseTimer()
    start = time.perf_counter()
    with timer.phase("score") as outer:
        spin(0.02)
        with timer.phase("encode") as inner:
            spin(0.03)
            inner.tokens += 100
        spin(0.02)
        with timer.phase("encode") as again:
            spin(0.03)
            again.tokens += 100
    whole = time.perf_counter() - start
    record = timer.record()
    assert list(record) == ["score", "encode"]
    assert inner.seconds >= 0.06
    assert outer.seconds >= 0.04
    assert inner.seconds + outer.seconds == pytest.approx(whole, abs=0.03)
    assert record["encode"]["tokens"] == 200
    assert record["encode"]["tokens_per_second"] == pytest.approx(200 / inner.seconds)
    assert record["score"]["tokens"] is None
    assert record["score"]["tokens_per_second"] is None
    assert 0 < inner.cpu_seconds <= inner.seconds * 1.5 + 0.02
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_sleeping_costs_no_processor_time() -> None:
    """Seconds pass on the clock, CPU seconds only where something is computed."""
    timer = PhaseTimer()
    with timer.phase("wait") as phase:
        time.sleep(0.05)
    assert phase.seconds >= 0.05
    assert phase.cpu_seconds < 0.04


def test_a_phase_that_fails_is_still_counted() -> None:
    """An error ends its phase and leaves the timer usable."""
    timer = PhaseTimer()
    with pytest.raises(ZeroDivisionError), timer.phase("a"), timer.phase("b"):
        spin(1 / 0)
    with timer.phase("c"):
        pass
    record = timer.record()
    assert list(record) == ["a", "b", "c"]
    assert 0 < record["b"]["seconds"] < 1


def test_peak_memory_shows_in_the_phase_that_needs_it() -> None:
    """Touching 200 MB in one phase raises its peak by about that, and never lowers it after."""
    timer = PhaseTimer()
    with timer.phase("small") as small:
        pass
    room = small.peak_rss_mb * 1e6 - psutil.Process().memory_info().rss + 200e6
    with timer.phase("large") as large:
        block = np.ones(int(room) // 8)
    del block
    with timer.phase("after") as after:
        pass
    assert large.peak_rss_mb > small.peak_rss_mb + 150
    assert after.peak_rss_mb >= large.peak_rss_mb
