"""Which tasks run where none are named: those that can say something of what the SAEs read."""

from collections.abc import Sequence

from saeval.config.options import DEFAULT_TASKS
from saeval.errors import SaevalError
from saeval.lab import part_of
from saeval.lab.synthetic import world_name
from saeval.models import LoadedModel
from saeval.registry.entries import Entry, FolderRef
from saeval.running.named_saes import NamedSAE
from saeval.running.opening import Opening
from saeval.sae import origin_of


def default_tasks(named_saes: Sequence[NamedSAE], opening: Opening) -> list[str]:
    """Names of the tasks for all of the SAEs; one that cannot serve some of them says so."""
    kinds = [_kind(named_sae, opening) for named_sae in named_saes]
    return list(dict.fromkeys(name for kind in kinds for name in DEFAULT_TASKS[kind]))


def _kind(named_sae: NamedSAE, opening: Opening) -> str:
    """What an SAE reads; an SAE that names no model is taken for one of a language model."""
    if opening.array is not None:
        return "all else"
    given = opening.model.name if isinstance(opening.model, LoadedModel) else opening.model
    model = given or _model_named_by(named_sae) or ""
    if world_name(model) is not None:
        return "synthetic worlds"
    return "language models" if part_of(model) in (None, "world") else "all else"


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
    except SaevalError:  # it will be said when it is loaded to be scored
        return None
