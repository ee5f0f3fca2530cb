"""Floors that a null SAE sets: what a random SAE of equal width and L0 scores on the same data.

A random SAE has learned nothing. One with a permuted or a frozen decoder keeps an encoder that was
trained, at which some metrics look alone: such SAEs are scored beside others, and set no floor.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from saeval.activations import Store, TokenRows, read_codes
from saeval.errors import NotApplicable, ResultError, SaevalError
from saeval.evidence import Evidence, Missing, point_values
from saeval.running.identity import task_identity
from saeval.running.jobs import Job
from saeval.running.preflight.sample_rows import rows_to_look_at
from saeval.running.prepared_cache import load_or_prepare
from saeval.sae import SAE, origin_of
from saeval.task import Member, Prepared

SEED = 0xF1008
"""Seed of the first random SAE; fixed, so that floors do not vary with the run's seed."""
DRAWS = 2
"""Random SAEs whose scores are averaged."""
SAMPLE_TOKENS = 4096
"""Tokens on which L0 and the mean activation are measured, from rows evenly spread."""
VERSION = 1
"""Part of the key of what is kept. Raised when a null might score differently. Stored results
keep the floors that they were given; --force computes them anew."""

Figure = tuple[str, str | None]
"""A metric and a part."""
KeyOf = Callable[[Job], Mapping[str, Any]]
"""Gives all that decides what a job prepares."""


@dataclass(frozen=True)
class NullShape:
    """Width and sparsity of a null SAE."""

    d_sae: int
    k: int
    """Latents per token."""


@dataclass(frozen=True)
class NullFloors:
    """What null SAEs score on the data of one job."""

    about: Mapping[str, Any]
    """For the record: which nulls, or the reason why there is none."""
    values: Mapping[Figure, float] = field(default_factory=dict)
    """Mean over the draws. A figure that one of them lacks is absent."""
    warning: str | None = None
    """What went wrong, for the user."""


class NoNull(Exception):
    """No null SAE can be built for this shape; the message says why."""


def needs_null(yielded: Sequence[Evidence | Missing]) -> bool:
    """Whether a metric's floor is what a null SAE scores."""
    return any(isinstance(entry, Evidence) and entry.null_floor for entry in yielded)


def with_floors(
    yielded: Sequence[Evidence | Missing], values: Mapping[Figure, float]
) -> list[Evidence | Missing]:
    """Evidence with the floors that null SAEs set; None where they have no value."""
    return [
        replace(entry, floor=values.get((entry.metric, entry.part)))
        if isinstance(entry, Evidence) and entry.null_floor
        else entry
        for entry in yielded
    ]


def without_compat(job: Job) -> Job:
    """The job without the figures of another harness, whose floors are constants."""
    if getattr(job.task, "compat", None) is None:
        return job
    task = replace(job.task, compat=None)
    return replace(job, task=task, identity=task_identity(task))


def null_floors(member: Member, job: Job, key_of: KeyOf, store: Store) -> NullFloors:
    """Floors for one SAE's scores: found in the store, or measured and kept there.

    SAEs of equal width and similar L0 share them. Nothing is raised but an interrupt: floors that
    cannot be measured cost no score.

    Args:
        member: The SAE, with what it is scored on.
        job: The task under a seed.
        key_of: Gives all that decides what a job prepares.
        store: Where floors are kept.
    """
    try:
        job = without_compat(job)
        rows = _sample_rows(member)
        shape = null_shape(member)
        about = _about(shape)
        make = partial(_measure, member, job, shape, rows)
        kept, _ = load_or_prepare(store, floors_key(job, shape, key_of), make)
    except NoNull as error:
        return NullFloors({"reason": str(error)})
    except Exception as error:  # noqa: BLE001  a floor's failure costs no score
        own = isinstance(error, SaevalError)
        reason = str(error) if own else f"{type(error).__name__}: {error}"
        warning = (
            f"The null SAE of '{job.task.name}' could not be scored, so scores have no floor from "
            f"it: {reason} Once that is mended, run again with --force."
        )
        return NullFloors({"reason": reason}, warning=warning)
    if kept.facts["reason"]:
        return NullFloors({**about, "reason": kept.facts["reason"]})
    return NullFloors(about, {(name, part): value for name, part, value in kept.facts["floors"]})


def null_shape(member: Member) -> NullShape:
    """Width and sparsity of the null of an SAE, whose L0 is measured for it.

    Raises:
        NoNull: if there are no rows.
    """
    d_sae = member.sae.d_sae
    return NullShape(d_sae, null_k(_l0(member, _sample_rows(member)), d_sae))


def floors_key(job: Job, shape: NullShape, key_of: KeyOf) -> dict[str, Any]:
    """The key under which the floors of a shape are kept for a job."""
    return {**key_of(without_compat(job)), "null_floors": {"version": VERSION, **_about(shape)}}


def _about(shape: NullShape) -> dict[str, Any]:
    return {"null": "random TopK", "d_sae": shape.d_sae, "k": shape.k, "seeds": _seeds()}


def null_k(l0: float, d_sae: int) -> int:
    """The latents per token of a null for an SAE of this L0: the nearest power of sqrt(2), rounded.

    1, 2, 3, 4, 6, 8, 11, 16, ..., at most d_sae. So SAEs whose L0 differs by little share a null.
    """
    steps = round(2 * math.log2(max(l0, 1.0)))
    return min(round(2 ** (steps / 2)), d_sae)


def _seeds() -> list[int]:
    return [SEED + draw for draw in range(DRAWS)]


def _sample_rows(member: Member) -> TokenRows:
    """Rows evenly spread over those that the task reads, with about `SAMPLE_TOKENS` tokens."""
    rows = member.prepared.rows
    rows = rows_to_look_at(member.source) if rows is None else rows
    if rows is None or not rows.mask.any():
        raise NoNull("There are no rows on which L0 could be measured.")
    count = math.ceil(SAMPLE_TOKENS / (rows.mask.sum() / len(rows)))
    if count >= len(rows):
        return rows
    return rows.take(np.unique(np.linspace(0, len(rows) - 1, count).round().astype(int)))


def _l0(member: Member, rows: TokenRows) -> float:
    """Active latents per token of the SAE."""
    counts = [codes.l0.cpu().numpy() for _, codes in read_codes(member.source, member.sae, rows)]
    return float(np.concatenate(counts).mean())


def _measure(member: Member, job: Job, shape: NullShape, rows: TokenRows) -> Prepared:
    """The floors of a shape, to be kept.

    Raises:
        NoNull: if no null can be built for the source.
        Exception: whatever the task raises.
    """
    mean = _mean_activation(member, rows)
    sums: dict[Figure, list[float]] = {}
    for seed in _seeds():
        null = _random_sae(member.sae, mean, shape, seed)
        try:
            yielded = list(job.score_members([replace(member, sae=null)]))
        except NotApplicable as error:
            return Prepared(facts={"floors": [], "reason": str(error)})
        finally:
            member.source.memo.release(null)
        for figure, value in _defined_values(yielded):
            sums.setdefault(figure, []).append(value)
    floors = [
        [*figure, sum(values) / DRAWS] for figure, values in sums.items() if len(values) == DRAWS
    ]
    return Prepared(facts={"floors": floors, "reason": None})


def _mean_activation(member: Member, rows: TokenRows) -> Float[np.ndarray, " d_in"]:
    """Mean of x over some rows.

    Raises:
        NoNull: if SAEs reconstruct something else than what they read.
    """
    total, count = np.zeros(member.source.widths.d_in), 0
    for batch in member.source.batches(rows):
        if batch.y is not batch.x:
            raise NoNull(
                "A random SAE reconstructs what it reads, and here another activation is "
                "reconstructed (a transcoder), for which random directions have no scale."
            )
        x = batch.x_tokens.double().cpu().numpy()
        total, count = total + x.sum(0), count + len(x)
    return total / count


def _random_sae(sae: SAE, mean: Float[np.ndarray, " d_in"], shape: NullShape, seed: int) -> SAE:
    """A random SAE where the other one is: at its sites, on its device."""
    import torch

    from saeval.sae.architectures import moved
    from saeval.sae.architectures.random import random_topk

    null = random_topk(torch.from_numpy(mean).float(), shape.d_sae, shape.k, seed)
    about = {"loader": "object", "architecture": "topk", "metadata": null.origin.metadata}
    placed = replace(null, origin=replace(origin_of(sae), **about))
    return moved(placed, device=sae.W_dec.device)


def _defined_values(yielded: Sequence[Evidence | Missing]) -> Iterator[tuple[Figure, float]]:
    """Values of the metrics whose floor is a null's, as far as they are defined."""
    for entry in yielded:
        if not isinstance(entry, Evidence) or not entry.null_floor:
            continue
        try:
            ((value, _),) = point_values([entry])
        except ResultError:  # undefined on its units
            continue
        yield (entry.metric, entry.part), value
