"""SAEs in memory, and the source that each of them reads."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from saeval.errors import LoadError, SaevalError, UsageError
from saeval.registry.entries import Expected
from saeval.running.named_saes import NamedSAE
from saeval.running.places import SiteSpec
from saeval.running.preflight.checks import Claims, claims_of
from saeval.running.progress import Clock
from saeval.running.session import Session
from saeval.running.walk import WorkItem
from saeval.sae import SAE, content_hash
from saeval.sae.traits import with_k


@dataclass(frozen=True)
class LoadedSAE:
    """One SAE in memory."""

    named_sae: NamedSAE
    sae: SAE
    hash: str
    """Of its content."""
    claims: Claims
    place: SiteSpec | None
    """Where it is read; None for stored activations."""


@dataclass(frozen=True)
class LoadedSAEs:
    """SAEs that are scored together (one, or the members of a set), and what they read."""

    members: tuple[LoadedSAE, ...]
    identities: Mapping[SiteSpec | None, str]
    """Identity of the source at each of their places, by content."""
    clock: Clock
    """Times loading, and later the preflight."""

    def source(self, member: LoadedSAE) -> str:
        """Identity of what a member reads."""
        return self.identities[member.place]

    @property
    def first_readers(self) -> dict[str, LoadedSAE]:
        """The first member that reads each distinct source, by the source's identity."""
        return {self.source(member): member for member in reversed(self.members)}


def load_item(item: WorkItem, session: Session) -> LoadedSAEs:
    """Load SAEs and identify their sources. No model is loaded if its files tell its identity.

    Raises:
        SaevalError: if an SAE or its source cannot be loaded; for a set, it names the member.
    """
    clock = Clock(item.label, session.tell, session.total)
    return identify_sources(load_saes(item.named_saes, clock, session), clock, session)


def load_saes(
    named_saes: Sequence[NamedSAE], clock: Clock, session: Session
) -> tuple[LoadedSAE, ...]:
    """Load SAEs, and take from each where it reads.

    Raises:
        SaevalError: if one cannot be loaded; of several, it names the member.
    """
    members = []
    with clock.phase("load"):
        for named_sae in named_saes:
            with naming_member(named_sae.label, len(named_saes)):
                members.append(_load_sae(named_sae, session))
    return tuple(members)


def identify_sources(members: Sequence[LoadedSAE], clock: Clock, session: Session) -> LoadedSAEs:
    """Identify the source that each member reads, by content.

    Raises:
        SaevalError: if a source cannot be identified; of several members, it names the one.
    """
    session.sources.keep_only([member.place for member in members])
    identities = {}
    with clock.phase("model"):
        for member in members:
            with naming_member(member.named_sae.label, len(members)):
                identities[member.place] = session.sources.identity(member.place)
    return LoadedSAEs(tuple(members), identities, clock)


@contextmanager
def naming_member(label: str, count: int) -> Iterator[None]:
    """Put the name of the member into an error's message, if there are several members.

    Raises:
        SaevalError: of the kind that arose, if it was raised on purpose.
        RuntimeError: for any other error.
    """
    try:
        yield
    except SaevalError as error:
        if count == 1:
            raise
        raise type(error)(f"Member '{label}': {error}") from error
    except Exception as error:
        if count == 1:
            raise
        raise RuntimeError(f"Member '{label}': {type(error).__name__}: {error}") from error


def _load_sae(named_sae: NamedSAE, session: Session) -> LoadedSAE:
    sae, expected, k = _with_width(named_sae, session), named_sae.expected, session.options.k
    if k is not None:
        sae, expected = _limit_latents(sae, k), Expected()  # published figures are of another k
    claims = claims_of(sae, expected)
    return LoadedSAE(named_sae, sae, content_hash(sae), claims, session.sources.place(claims))


def _limit_latents(sae: SAE, k: int) -> SAE:
    """The SAE with at most k active latents per token.

    Raises:
        LoadError: if it does not take such a number, or not this one.
    """
    try:
        return with_k(sae, k)
    except UsageError as error:  # of this SAE alone: others may take it
        raise LoadError(f"--k {k}: {error} Leave --k away, or score it by itself.") from error


def _with_width(named_sae: NamedSAE, session: Session) -> SAE:
    """Load an SAE. An object that does not tell its width gets the width of its site."""
    origin, device = named_sae.origin_without_width, session.opening.device
    if origin is None:
        return named_sae.load(device)
    claims = Claims(origin.model, origin.read_site, origin.write_site)
    place = session.sources.place(replace(claims, centred=origin.centred))
    session.sources.keep_only([place])
    return named_sae.load(device, d_in=session.sources.open(place).widths.d_in)
