"""One preflight of all SAEs that are scored together, each on rows of what it reads."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from saeval.activations import ActivationSource, TokenRows
from saeval.running.preflight.checks import Claims, preflight
from saeval.running.preflight.reconstruction import (
    Check,
    Sample,
    check_numbers,
    take_sample,
)
from saeval.running.preflight.sample_rows import rows_to_look_at
from saeval.sae import SAE

Checks = tuple[Check, ...]
OF_THE_TEXT = ("scale", "l0", "fvu")
"""Checks whose answer depends on the kind of text that is read."""


@runtime_checkable
class Claimant(Protocol):
    """An SAE in memory that says where it belongs."""

    @property
    def sae(self) -> SAE:
        """The SAE itself."""
        ...

    @property
    def claims(self) -> Claims:
        """What it says."""
        ...


@dataclass
class _Samples:
    """Samples by what was read. Members that read the same rows share one."""

    taken: dict[tuple[str, str], Sample] = field(default_factory=dict)

    def take(self, source: ActivationSource, rows: TokenRows) -> Sample:
        """The sample of these rows, read at most once."""
        key = (source.identity, rows.digest)
        if key not in self.taken:
            self.taken[key] = take_sample(source, rows)
        return self.taken[key]


def check_structure(members: Sequence[Claimant], sources: Sequence[ActivationSource]) -> Checks:
    """The checks that need no activations, of every member at its source."""
    return tuple(
        check
        for member, source in zip(members, sources, strict=True)
        for check in preflight(member.sae, member.claims, source, None)
    )


def check_members(
    members: Sequence[Claimant],
    sources: Sequence[ActivationSource],
    rows: Sequence[TokenRows | None],
) -> Checks:
    """All checks of every member. Nothing is raised; see `refuse`.

    An SAE's figures are promised on text of its model's own kind, but a task or the user may read
    any text. So where the numbers disagree on `rows`, the SAE is held to them once more on such
    text, and only what disagrees there too is an error.

    Args:
        members: SAEs that are scored together.
        sources: The source that each of them reads.
        rows: The rows that the checks look at; None: those of `rows_to_look_at`, if there are any.
    """
    samples = _Samples()
    checks: list[Check] = []
    for member, source, scored_rows in zip(members, sources, rows, strict=True):
        of_member = _check_member(member, source, scored_rows, samples)
        checks += of_member
    return tuple(checks)


def _check_member(
    member: Claimant, source: ActivationSource, rows: TokenRows | None, samples: _Samples
) -> Checks:
    typical_rows = None
    if rows is None:
        rows = typical_rows = rows_to_look_at(source)
    sample = None if rows is None else samples.take(source, rows)
    checks = preflight(member.sae, member.claims, source, sample)
    if rows is None or typical_rows is rows or not any(map(_is_doubtful, checks)):
        return checks
    typical_rows = rows_to_look_at(source)
    if typical_rows is None or typical_rows.digest == rows.digest:
        return checks
    typical_sample = samples.take(source, typical_rows)
    on_typical = {
        check.name: check
        for check in check_numbers(member.sae, member.claims.expected, typical_sample)
    }
    return tuple(_reconsidered(check, on_typical.get(check.name)) for check in checks)


def _is_doubtful(check: Check) -> bool:
    return check.status == "error" and check.name in OF_THE_TEXT


def _reconsidered(check: Check, on_typical: Check | None) -> Check:
    """An error as a warning, where text of the model's own kind gives what was expected."""
    if not _is_doubtful(check) or on_typical is None or on_typical.status == "error":
        return check
    return replace(
        check,
        status="warning",
        message=(
            f"On the rows that are scored its {check.name} is not as expected ({check.observed}; "
            f"expected: {check.expected}), on other text of the model's kind it is "
            f"({on_typical.observed}): the rows are unlike what the SAE was trained on."
        ),
    )
