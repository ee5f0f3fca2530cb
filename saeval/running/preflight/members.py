"""One preflight for all SAEs that are scored together, each on rows of its own source."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from saeval.activations import ActivationSource, TokenRows
from saeval.running.preflight.checks import Claims, check_bos, preflight
from saeval.running.preflight.reconstruction import (
    ActivationSample,
    Check,
    check_numbers,
    starts_of,
    take_sample,
)
from saeval.running.preflight.sample_rows import rows_to_look_at
from saeval.sae import SAE

Checks = tuple[Check, ...]
TEXT_DEPENDENT = ("scale", "l0", "fvu")
"""Names of the checks whose result depends on the kind of text."""


@runtime_checkable
class Claimant(Protocol):
    """An SAE in memory that says where it belongs."""

    @property
    def sae(self) -> SAE:
        """The SAE itself."""
        ...

    @property
    def claims(self) -> Claims:
        """The model, sites and figures that it claims."""
        ...


@dataclass
class _Samples:
    """Samples by source and rows. Members that read the same rows share one."""

    by_rows: dict[tuple[str, str], ActivationSample] = field(default_factory=dict)

    def take(self, source: ActivationSource, rows: TokenRows) -> ActivationSample:
        """The sample of these rows, which is read at most once."""
        key = (source.identity, rows.digest)
        if key not in self.by_rows:
            self.by_rows[key] = take_sample(source, rows)
        return self.by_rows[key]


def check_structure(members: Sequence[Claimant], sources: Sequence[ActivationSource]) -> Checks:
    """The checks that need no activations, for every member and its source."""
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
    """All checks of every member. Errors among them are not raised; `refuse` does that.

    An SAE's figures are promised for text of the kind that its model reads, but a task or the user
    may score other text. So if the figures do not hold on `rows`, they are checked again on typical
    text, and only a figure that does not hold there either is an error.

    Args:
        members: SAEs that are scored together.
        sources: The source that each of them reads.
        rows: The rows to check each member on; None: those of `rows_to_look_at`, if there are any.
    """
    samples = _Samples()
    checks: list[Check] = []
    for member, source, scored_rows in zip(members, sources, rows, strict=True):
        member_checks = _check_member(member, source, scored_rows, samples)
        checks += member_checks
    return tuple(checks)


def recheck_bos(
    checks: Checks,
    members: Sequence[Claimant],
    sources: Sequence[ActivationSource],
    rows: Sequence[TokenRows | None],
) -> Checks:
    """Checks of an earlier task's rows, with those of BOS made again on the rows of this one."""
    again = [
        None if scored_rows is None else check_bos(member.claims, starts_of(source, scored_rows))
        for member, source, scored_rows in zip(members, sources, rows, strict=True)
    ]
    places = [number for number, check in enumerate(checks) if check.name == "bos"]
    if len(places) != len(again):  # some member has no rows to look at
        return checks
    by_place = dict(zip(places, again, strict=True))
    return tuple(by_place.get(number) or check for number, check in enumerate(checks))


def _check_member(
    member: Claimant, source: ActivationSource, rows: TokenRows | None, samples: _Samples
) -> Checks:
    sample_rows = rows_to_look_at(source) if rows is None else rows
    sample = None if sample_rows is None else samples.take(source, sample_rows)
    checks = preflight(member.sae, member.claims, source, sample)
    if rows is None or not any(map(_is_text_dependent_error, checks)):
        return checks
    typical_rows = rows_to_look_at(source)
    if typical_rows is None or typical_rows.digest == rows.digest:
        return checks
    typical_sample = samples.take(source, typical_rows)
    typical_checks = {
        check.name: check
        for check in check_numbers(member.sae, member.claims.expected, typical_sample)
    }
    return tuple(_recheck(check, typical_checks.get(check.name)) for check in checks)


def _is_text_dependent_error(check: Check) -> bool:
    return check.status == "error" and check.name in TEXT_DEPENDENT


def _recheck(check: Check, typical_check: Check | None) -> Check:
    """The check, as a warning instead of an error if it succeeds on text that is typical."""
    if (
        not _is_text_dependent_error(check)
        or typical_check is None
        or typical_check.status == "error"
    ):
        return check
    return replace(
        check,
        status="warning",
        message=(
            f"On the rows that are scored its {check.name} is not as expected ({check.observed}; "
            f"expected: {check.expected}), on other text of the model's kind it is "
            f"({typical_check.observed}): the rows are unlike what the SAE was trained on."
        ),
    )
