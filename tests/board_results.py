"""Folders of results with planted values, as `saeval run` would write them."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from saeval.evidence import Better, Evidence, units
from saeval.leaderboard.board import Board
from saeval.results.from_evidence import scores_of
from saeval.results.score import Labels, Result
from saeval.results.writing import write_result

BOARD = Board("quizzes", "Quizzes", tasks={"quiz": 1, "core": 3}, columns=("right",))
"""A board of the planted results."""


def evidence(
    metric: str,
    values: np.ndarray | Sequence[float],
    *,
    data: str = "rows",
    better: Better = "higher",
) -> Evidence:
    """A mean over units."""
    table = units(metric, "question", {"x": np.asarray(values, float)}, data={"questions": data})
    return Evidence(
        metric,
        table,
        {"num": "x"},
        "points",
        better,
        floor=0.0,
        ceiling=1.0,
    )


def plant(  # noqa: PLR0913  the labels of a result
    root: Path,
    sae: str,
    metrics: Mapping[str, np.ndarray],
    *,
    task: str = "quiz",
    version: int = 1,
    seed: int = 0,
    about: Mapping[str, Any] | None = None,
    **kinds: Any,
) -> Path:
    """Store a result. Returns its folder.

    Args:
        root: Folder of results.
        sae: Name of the SAE.
        metrics: Metric -> its value in each unit.
        task: Its task.
        version: Its version.
        seed: Its seed.
        about: What provenance says of the SAE beside name and content.
        **kinds: `data` and `better` of the evidence.
    """
    content = hashlib.sha256(sae.encode()).hexdigest()
    key = hashlib.sha256(repr((sae, task, version, seed, sorted(kinds.items()))).encode())
    found = [evidence(name, values, **kinds) for name, values in metrics.items()]
    labels = Labels(sae, task, version, seed, key.hexdigest()[:20])
    return write_result(root, _result(labels, scores_of(found, labels), content, about), found)


def plant_outcome(root: Path, sae: str, status: str, reason: str, *, task: str = "quiz") -> Path:
    """Store a result without scores: `failed` or `not_applicable`."""
    key = hashlib.sha256(repr((sae, task, status)).encode())
    labels = Labels(sae, task, 1, 0, key.hexdigest()[:20])
    scores = (labels.score(status=status, reason=reason),)
    content = hashlib.sha256(sae.encode()).hexdigest()
    return write_result(root, _result(labels, scores, content, None), [])


def plant_l0(root: Path, sae: str, l0: float, about: Mapping[str, Any] | None = None) -> Path:
    """Store how many latents an SAE has active."""
    values = l0 + np.linspace(-0.1, 0.1, 20)
    return plant(root, sae, {"l0": values}, task="core", version=3, better="none", about=about)


def _result(
    labels: Labels, scores: Sequence[Any], content: str, about: Mapping[str, Any] | None
) -> Result:
    sae = {"label": labels.sae, "id": labels.sae, "hash": content, "architecture": "topk"}
    phases = {"load": {"seconds": 0.5, "peak_rss_mb": 300.0}}
    phases["score"] = {"seconds": 1.5, "peak_rss_mb": 400.0}
    return Result.of(
        labels,
        scores,
        provenance={"saes": [{**sae, **(about or {})}], "phases": phases},
        run={"saes": [labels.sae], "tasks": {labels.task: {}}, "seeds": [labels.seed]},
    )


def answers(mean: float, *, units: int = 200, seed: int = 0, spread: float = 0.1) -> np.ndarray:
    """Values of units: a common difficulty, and what is the SAE's own by its seed."""
    difficulty = np.random.default_rng(0).normal(size=units)
    own = np.random.default_rng(seed).normal(size=units)
    own -= own.mean()
    return mean + 0.1 * (difficulty - difficulty.mean()) + spread * own


NULL = {"null": "random"}
"""What provenance says of a null SAE."""
