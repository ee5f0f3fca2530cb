"""Provenance of a result: code, packages, machine, and time and memory of each phase."""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from saeval import __version__

PACKAGES = (
    "datasets",
    "huggingface_hub",
    "numpy",
    "pandas",
    "pyarrow",
    "safetensors",
    "scikit-learn",
    "scipy",
    "tokenizers",
    "torch",
    "transformers",
)
"""Packages whose version might change a number."""
_CODE_PATHS = ("saeval", "tasks", "registry.yaml")
"""Paths of a checkout that can change a number; changes elsewhere do not make it dirty."""


def provenance(*, device: str, dtype: str) -> dict[str, Any]:
    """Code and machine as JSON values, without names of users, hosts or folders. Imports no torch.

    Args:
        device: The device used, such as `cpu` or `cuda:0`.
        dtype: The model's, such as `float32`.
    """
    return {
        "saeval": {"version": __version__, **checkout(Path(__file__).resolve().parents[2])},
        "packages": package_versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": device,
        "device_name": device_name(device),
        "dtype": dtype,
    }


@cache
def package_versions() -> dict[str, str | None]:
    """Version of each of `PACKAGES`, None where it is not installed."""
    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions


@cache
def checkout(root: Path) -> dict[str, Any]:
    """Commit of the git checkout at a folder, and whether its code was changed since.

    Args:
        root: Folder that holds the `saeval` package. An installed package lies in no checkout
            of its own, even if its environment lies inside some repository; then both are None.
            The working folder and git's environment variables play no part.
    """
    unknown = {"commit": None, "dirty": None}
    if not (root / ".git").exists():
        return unknown
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changes = _git(root, "status", "--porcelain", "--", *_CODE_PATHS)
    except (OSError, subprocess.SubprocessError):
        return unknown
    return {"commit": commit, "dirty": bool(changes)}


def _git(root: Path, *arguments: str) -> str:
    environment = {key: text for key, text in os.environ.items() if not key.startswith("GIT_")}
    return subprocess.run(  # noqa: S603  no argument comes from outside
        ["git", "-C", str(root), *arguments],  # noqa: S607  the user's own git
        capture_output=True,
        check=True,
        env={**environment, "GIT_OPTIONAL_LOCKS": "0"},
        text=True,
        timeout=10,
    ).stdout.strip()


@cache
def device_name(device: str) -> str:
    """The maker's name of the device: of the GPU, or of the processor."""
    torch = sys.modules.get("torch")
    if device.startswith("cuda") and torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name(device))
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), "") or platform.processor() or platform.machine()


@dataclass
class Phase:
    """Time, tokens and memory of one phase so far. Time in inner phases counts for those alone."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """Of all threads of this process."""
    tokens: int = 0
    """Tokens processed, as counted by the code that runs the phase."""
    peak_rss_mb: float = 0.0
    """Highest resident memory of the process by the phase's last end, in 10^6 bytes. It never
    falls, so the phase that needs most is the first with the highest figure."""

    def record(self) -> dict[str, Any]:
        """The figures as JSON values; tokens are None where none were counted."""
        speed = self.tokens / self.seconds if self.tokens and self.seconds else None
        return {
            "seconds": round(self.seconds, 6),
            "cpu_seconds": round(self.cpu_seconds, 6),
            "tokens": self.tokens or None,
            "tokens_per_second": speed,
            "peak_rss_mb": round(self.peak_rss_mb, 1),
        }


class PhaseTimer:
    """Adds up time, tokens and memory of named phases, which may repeat and be nested."""

    def __init__(self) -> None:
        self._phases: dict[str, Phase] = {}
        self._open: list[Phase] = []
        self._since = (0.0, 0.0)

    @contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        """Count the time of this block for a phase. The block adds its tokens to `tokens`."""
        self._settle()
        current = self._phases.setdefault(name, Phase())
        self._open.append(current)
        try:
            yield current
        finally:
            self._settle()
            self._open.pop()
            current.peak_rss_mb = peak_rss_mb()

    def _settle(self) -> None:
        """Add the time since the last change of phase to the innermost phase."""
        now = (time.perf_counter(), time.process_time())
        if self._open:
            self._open[-1].seconds += now[0] - self._since[0]
            self._open[-1].cpu_seconds += now[1] - self._since[1]
        self._since = now

    def record(self) -> dict[str, dict[str, Any]]:
        """Every phase's figures, in the order in which phases first began."""
        return {name: phase.record() for name, phase in self._phases.items()}


def peak_rss_mb() -> float:
    """Highest resident memory of this process so far, in 10^6 bytes."""
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return psutil.Process().memory_info()._asdict()["peak_wset"] / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
