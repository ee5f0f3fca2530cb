"""SAEs brought into memory, and what each of them reads."""

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

    named: NamedSAE
    sae: SAE
    hash: str
    """Of its content."""
    claims: Claims
    place: SiteSpec | None
    """Where it is read; None for stored activations."""


@dataclass(frozen=True)
class Loaded:
    """SAEs that are scored together (one, or the members of a set), and what they read."""

    members: tuple[LoadedSAE, ...]
    identities: Mapping[SiteSpec | None, str]
    """Of the source at each of their places, by content."""
    clock: Clock
    """What loading took; the preflight adds to it."""

    def source(self, member: LoadedSAE) -> str:
        """Identity of what a member reads."""
        return self.identities[member.place]

    @property
    def first_readers(self) -> dict[str, LoadedSAE]:
        """The first member that reads each distinct source, by the source's identity."""
        return {self.source(member): member for member in reversed(self.members)}


def load(item: WorkItem, session: Session) -> Loaded:
    """Load SAEs and find out what they read. No model is loaded if its files are known.

    Raises:
        SaevalError: if an SAE or its source cannot be had; of a set, it says whose.
    """
    clock = Clock(item.label, session.tell, session.total)
    return identified(load_saes(item.named_saes, clock, session), clock, session)


def load_saes(
    named_saes: Sequence[NamedSAE], clock: Clock, session: Session
) -> tuple[LoadedSAE, ...]:
    """Load SAEs, and see where they say that they read.

    Raises:
        SaevalError: if one cannot be had; of several, it says which.
    """
    members = []
    with clock.phase("load"):
        for named_sae in named_saes:
            with told_of(named_sae.label, len(named_saes)):
                members.append(_loaded(named_sae, session))
    return tuple(members)


def identified(members: Sequence[LoadedSAE], clock: Clock, session: Session) -> Loaded:
    """Find out what is to be read at their places, by content.

    Raises:
        SaevalError: if it cannot be had; of several members, it says whose.
    """
    session.sources.keep_only([member.place for member in members])
    identities = {}
    with clock.phase("model"):
        for member in members:
            with told_of(member.named.label, len(members)):
                identities[member.place] = session.sources.identity(member.place)
    return Loaded(tuple(members), identities, clock)


@contextmanager
def told_of(label: str, count: int) -> Iterator[None]:
    """Have an error say at which of several members it arose.

    Raises:
        SaevalError: of the kind that arose, if it was raised on purpose.
        RuntimeError: for any other.
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


def _loaded(named_sae: NamedSAE, session: Session) -> LoadedSAE:
    sae, expected, k = _with_width(named_sae, session), named_sae.expected, session.options.k
    if k is not None:
        sae, expected = _asked_for(sae, k), Expected()  # published figures are of another k
    claims = claims_of(sae, expected)
    return LoadedSAE(named_sae, sae, content_hash(sae), claims, session.sources.place(claims))


def _asked_for(sae: SAE, k: int) -> SAE:
    """The SAE that answers with at most k latents per token.

    Raises:
        LoadError: if it does not take such a number, or not this one.
    """
    try:
        return with_k(sae, k)
    except UsageError as error:  # of this SAE alone: others may take it
        raise LoadError(f"--k {k}: {error} Leave --k away, or score it by itself.") from error


def _with_width(named_sae: NamedSAE, session: Session) -> SAE:
    """An SAE; an object that does not tell its width is as wide as the site it reads."""
    origin, device = named_sae.widthless, session.opening.device
    if origin is None:
        return named_sae.load(device)
    claims = Claims(origin.model, origin.read_site, origin.write_site)
    place = session.sources.place(replace(claims, centred=origin.centred))
    session.sources.keep_only([place])
    return named_sae.load(device, d_in=session.sources.open(place).widths.d_in)
