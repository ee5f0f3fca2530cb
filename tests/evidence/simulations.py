"""Data with a known truth, and how often intervals hold it."""

from collections.abc import Callable

import numpy as np
from saeval_tasks.probing.scoring import auc_components
from scipy.special import ndtri

from saeval.evidence import Evidence, summarise, units

Maker = Callable[[np.random.Generator, int, float], Evidence]
"""Evidence of so many units, whose true value is given."""


def rate(rng: np.random.Generator, n: int, truth: float) -> Evidence:
    """The share of yes among n independent units."""
    table = units("rows", "row", {"x": rng.random(n) < truth})
    return Evidence("rate", table, {"num": "x"}, "fraction", "higher", bounds=(0, 1))


def auc(rng: np.random.Generator, n: int, truth: float) -> Evidence:
    """The AUC of normal scores, half of the n rows with the label; 1 is a gap without overlap."""
    label = np.arange(n) < n // 2
    gap = 100.0 if truth == 1 else np.sqrt(2) * ndtri(truth)
    score = rng.normal(size=n) + gap * label
    columns = {"x": auc_components(score, label), "label": label}
    table = units("rows", "row", columns)
    roles = {"num": "x", "label": "label"}
    return Evidence("auc", table, roles, "fraction", "higher", bounds=(0, 1))


def ranked_auc(rng: np.random.Generator, n: int, truth: float) -> Evidence:
    """The same from scores and labels themselves."""
    label = np.arange(n) < n // 2
    gap = 100.0 if truth == 1 else np.sqrt(2) * ndtri(truth)
    table = units("rows", "row", {"score": rng.normal(size=n) + gap * label, "label": label})
    roles = {"score": "score", "label": "label"}
    return Evidence("auc", table, roles, "fraction", "higher", "auc/1", bounds=(0, 1))


def f1(rng: np.random.Generator, n: int, truth: float) -> Evidence:
    """F1 of a detector of a label of half the rows, as often wrong on one side as on the other."""
    label = rng.random(n) < 0.5
    wrong = rng.random(n) < 1 - truth  # then TP = truth / 2, FP = FN = (1 - truth) / 2
    prediction = label ^ wrong
    columns = {"num": 2.0 * (prediction & label), "den": prediction * 1.0 + label}
    table = units("rows", "row", columns)
    return Evidence("f1", table, {"num": "num", "den": "den"}, "F1", "higher", bounds=(0, 1))


def coverage(make: Maker, n: int, truth: float, runs: int, replicates: int = 300) -> float:
    """Share of simulated data sets whose 95 % interval holds the truth."""
    held = 0
    for run in range(runs):
        found = summarise(make(np.random.default_rng(run), n, truth), replicates=replicates)
        assert found.ci_low is not None
        assert found.ci_high is not None
        assert 0 <= found.ci_low <= found.value <= found.ci_high <= 1
        assert found.ci_low < found.ci_high
        held += found.ci_low <= truth <= found.ci_high
    return held / runs
