"""One preflight of all SAEs that are scored together, each on rows of what it reads."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from saeval.activations import ActivationSource, TokenRows
from saeval.running.preflight.checks import Claims, preflight
from saeval.running.preflight.reconstruction import Check, Sample, take_sample
from saeval.sae import SAE

Checks = tuple[Check, ...]


@runtime_checkable
class Claimant(Protocol):
    """An SAE in memory that says where it belongs."""

    @property
    def sae(self) -> SAE:
        """Itself."""
        ...

    @property
    def claims(self) -> Claims:
        """What it says."""
        ...


def check_structure(members: Sequence[Claimant], sources: Sequence[ActivationSource]) -> Checks:
    """What needs no activations, of every member at its source."""
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

    Args:
        members: SAEs that are scored together.
        sources: What each of them reads.
        rows: What of it is looked at; None where nothing can be.
    """
    samples: dict[tuple[str, str], Sample] = {}
    checks: list[Check] = []
    for member, source, seen in zip(members, sources, rows, strict=True):
        sample = None
        if seen is not None:  # members that read the same share the sample
            key = (source.identity, seen.digest)
            sample = samples[key] = samples.get(key) or take_sample(source, seen)
        checks += preflight(member.sae, member.claims, source, sample)
    return tuple(checks)
