"""From the evidence of several seeds to one value or difference, with what the seed adds.

The units of one run tell how a score varies with the units, given what its training texts chose. A
seed draws texts, words and splits anew, so that probes, latents and thresholds are chosen anew;
only several seeds tell how much that moves a score.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from saeval.errors import ResultError
from saeval.evidence.comparison import check_same_question
from saeval.evidence.contrasts import contrast, detectable, tested
from saeval.evidence.data import check_equal_data, check_states_data
from saeval.evidence.evidence import Evidence
from saeval.evidence.intervals import Bounds, degrees_of_freedom, ends_of, interval
from saeval.evidence.pooling import Pooled, difference_of_seed, values_of_seeds
from saeval.evidence.summary import REPLICATES


@dataclass(frozen=True)
class SeedSummary:
    """The mean of one metric over seeds, its standard error and its interval."""

    mean: float
    stderr: float | None
    """Standard error of the mean, of units and seeds; None where no interval is valid."""
    ci_low: float | None
    """Lower end of the 95 % interval of the mean, within the metric's bounds."""
    ci_high: float | None
    values: tuple[float, ...]
    """Value of each seed."""
    within: float | None
    """Variance of one seed's value that its units explain: mean of the squared standard errors.
    None where units give no interval."""
    seed_sd: float | None
    """Standard deviation by which the seed moves a value beyond what its units explain; 0 if by
    nothing that can be told. None with fewer than three seeds."""
    stderr_of_one: float | None
    """Standard error of the value of one seed, of units and seed."""
    degrees: float | None
    """Degrees of freedom of `stderr`."""
    mde: float | None
    """Distance of the mean from a fixed number that is found in 80 % of runs: 2.8 standard errors,
    or more for few degrees of freedom."""
    reason: str | None
    """Why there is no interval; None where there is one."""
    note: str | None = None
    """What the interval leaves out: with fewer than three seeds, the seed."""


@dataclass(frozen=True)
class SeedDifference:
    """The mean over seeds of the paired difference of two SAEs."""

    delta: float
    """Mean over seeds of the value of the first minus the value of the second."""
    stderr: float | None
    """Standard error of delta, of units and seeds; None where no interval is valid."""
    ci_low: float | None
    """Lower end of the 95 % interval of delta. It excludes 0 exactly if p is below 0.05."""
    ci_high: float | None
    deltas: tuple[float, ...]
    """Difference in each seed."""
    seed_sd: float | None
    """Standard deviation by which the seed moves a difference beyond its units; None with fewer
    than three seeds."""
    degrees: float | None
    """Degrees of freedom of `stderr`."""
    mde: float | None
    """Minimum detectable difference: a true difference of this size is found in 80 % of runs."""
    p: float | None
    """Two-sided p-value for no difference, not corrected for multiple comparisons."""
    reason: str | None
    """Why there is no interval; None where there is one."""
    note: str | None = None
    """What the interval leaves out: with fewer than three seeds, the seed."""
    clusters: int = 0
    """Independent clusters of the units of all seeds, those that seeds share counted once."""
    differing: int = 0
    """How many of these differ between the two."""


def over_seeds(
    evidence: Sequence[Evidence], *, replicates: int = REPLICATES, seed: int = 0
) -> SeedSummary:
    """Mean of one metric of one SAE over seeds, with an interval that includes the seed.

    The variance of the values over k seeds, s^2, is what the seed adds, sigma^2, and what each
    seed's own units add: sigma^2 = max(0, s^2 - (mean of squared standard errors - shared part)).
    Seeds share units where their data is the same, and clusters that bear one name, such as the
    letter q; the covariance that comes of these does not average out over seeds. If s^2 is more
    than 0.9 of what its own units explain, it gives the standard error with its k - 1 degrees of
    freedom, else the units do.

    In simulations with normal values the interval of three seeds holds the truth in 97 % where the
    seed moves nothing, and in 93.3 % at least: where it moves a value by 1 to 2 standard errors of
    one seed. With four or five it is 94.6 to 97 %.

    Args:
        evidence: One for each seed: the same metric of the same SAE.
        replicates: Bootstrap replicates of each seed.
        seed: Seed of the replicates.

    Raises:
        ResultError: if there is none, they answer different questions, or do not say their data.
    """
    if not evidence:
        raise ResultError("There is no evidence of any seed to summarise.")
    for entry in evidence:
        check_same_question(evidence[0], entry)
        check_states_data(entry.units)
    return summarise_seeds(Pooled(values_of_seeds(evidence, replicates, seed)), evidence[0].bounds)


def summarise_seeds(pooled: Pooled, bounds: Bounds) -> SeedSummary:
    """The mean over seeds that are already pooled; see `over_seeds`."""
    outcome = pooled.reason or interval(pooled.sampling, bounds)
    term = pooled.term
    variance = term.variance if term else 0.0
    seed_sd = float(np.sqrt(variance)) if term else None
    within = None if pooled.reason else pooled.within
    if isinstance(outcome, str):
        if term is None or not term.tells:
            return SeedSummary(
                pooled.mean, None, None, None, pooled.values, within, seed_sd,
                None, None, None, outcome, pooled.note,
            )  # fmt: skip
        stderr, degrees, held = 0.0, np.inf, (pooled.mean, pooled.mean)
    else:
        stderr, degrees, held = (
            outcome[0],
            degrees_of_freedom(pooled.sampling.influences),
            outcome[1:],
        )
    ends = held
    if term and term.tells:
        stderr, degrees = term.combined(stderr, degrees)
        ends = ends_of(pooled.mean, stderr, degrees, bounds, held)
    of_one = float(np.sqrt(variance + (within or 0.0)))
    return SeedSummary(
        pooled.mean, stderr, *ends, pooled.values, within, seed_sd,
        of_one, degrees, detectable(stderr, degrees), None, pooled.note,
    )  # fmt: skip


def compare_seeds(
    pairs: Sequence[tuple[Evidence, Evidence]], *, replicates: int = REPLICATES, seed: int = 0
) -> SeedDifference:
    """Mean over seeds of the paired difference of one metric between two SAEs.

    In every seed both SAEs have the same units, so what these contribute to both cancels; over
    seeds the differences vary with the units and with the seed, as in `over_seeds`. Interval and
    p-value come from one Student's t. Where the units of a seed give no interval, as where each
    seed has a single one, the differences of three or more seeds are what varies, as in a paired
    t-test.

    Args:
        pairs: For each seed, the evidence of the first SAE and of the second.
        replicates: Bootstrap replicates of each seed.
        seed: Seed of the replicates.

    Raises:
        ResultError: if there are no pairs, a pair was measured on other data, or two answer
            different questions.
    """
    if not pairs:
        raise ResultError("There are no pairs of evidence to compare.")
    for a, b in pairs:
        check_same_question(pairs[0][0], a)
        check_same_question(a, b)
        check_equal_data(a.units, b.units)
    pooled = Pooled([difference_of_seed(a, b, replicates, seed) for a, b in pairs])
    bounds, term = pairs[0][0].bounds, pooled.term
    seed_sd = float(np.sqrt(term.variance)) if term else None
    outcome = pooled.reason or contrast(pooled.sampling, pooled.differing, bounds, term)
    if isinstance(outcome, str) and pooled.reason and term and term.tells:
        outcome = tested(pooled.mean, *term.combined(0.0, np.inf), bounds)
    if isinstance(outcome, str):
        return SeedDifference(
            pooled.mean, None, None, None, pooled.values, seed_sd, None, None, None,
            outcome, pooled.note, len(pooled.distinct_keys), pooled.differing,
        )  # fmt: skip
    return SeedDifference(
        pooled.mean, outcome.stderr, outcome.ci_low, outcome.ci_high, pooled.values, seed_sd,
        outcome.degrees, outcome.mde, outcome.p, None, pooled.note, len(pooled.distinct_keys),
        pooled.differing,
    )  # fmt: skip
