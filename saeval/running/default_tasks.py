"""Which tasks run where none are named: those that can say something of what the SAEs read."""

from collections.abc import Sequence

from saeval.errors import SaevalError
from saeval.registry.entries import Entry, FolderRef
from saeval.running.named_saes import NamedSAE
from saeval.running.sources import Sources
from saeval.sae import origin_of


def default_tasks(named_saes: Sequence[NamedSAE], sources: Sources) -> list[str]:
    """Names of the tasks for all of the SAEs; one that cannot serve some of them says so."""
    return list(
        dict.fromkeys(
            task
            for named_sae in named_saes
            for task in sources.default_tasks(_model_named_by(named_sae))
        )
    )


def _model_named_by(named_sae: NamedSAE) -> str | None:
    """The model that an SAE says it belongs to, as far as that can be told without a download."""
    member = named_sae.member
    if isinstance(member, Entry) and member.model is not None:
        return member.model
    if isinstance(member, Entry | FolderRef) and member.source.startswith("hf://"):
        return None
    if not isinstance(member, Entry | FolderRef):
        return getattr(origin_of(member), "model", None)
    try:
        return origin_of(named_sae.load("cpu")).model
    except SaevalError:  # the error is told when the SAE is loaded to be scored
        return None
