"""The tasks that run if the user names none: those that suit what the SAEs read."""

from collections.abc import Sequence

from saeval.errors import SaevalError
from saeval.registry.entries import Entry, FolderRef
from saeval.running.named_saes import NamedSAE
from saeval.running.sources import Sources
from saeval.sae import origin_of


def default_tasks(named_saes: Sequence[NamedSAE], sources: Sources) -> list[str]:
    """Names of the default tasks of all SAEs; a task that does not apply to one reports so."""
    return list(
        dict.fromkeys(
            task
            for named_sae in named_saes
            for task in sources.default_tasks(_claimed_model(named_sae))
        )
    )


def _claimed_model(named_sae: NamedSAE) -> str | None:
    """The model that an SAE names; None if it names none, or its files would be downloaded."""
    member = named_sae.member
    if isinstance(member, Entry) and member.model is not None:
        return member.model
    if isinstance(member, Entry | FolderRef) and member.source.startswith("hf://"):
        return None
    if not isinstance(member, Entry | FolderRef):
        return getattr(origin_of(member), "model", None)
    try:
        return origin_of(named_sae.load("cpu")).model
    except SaevalError:  # the error is reported when the SAE is loaded to be scored
        return None
