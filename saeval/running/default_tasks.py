"""Which tasks run where none are named: those that can say something of what the SAEs read."""

from collections.abc import Sequence

from saeval.config.options import DEFAULT_TASKS
from saeval.errors import SaevalError
from saeval.lab import part_of
from saeval.lab.synthetic import world_name
from saeval.models import LoadedModel
from saeval.registry.entries import Entry, FolderRef
from saeval.running.named_saes import Subject
from saeval.running.opening import Opening
from saeval.sae import origin_of


def default_tasks(subjects: Sequence[Subject], opening: Opening) -> list[str]:
    """Names of the tasks for all of the SAEs; one that cannot serve some of them says so."""
    kinds = [_kind(subject, opening) for subject in subjects]
    return list(dict.fromkeys(name for kind in kinds for name in DEFAULT_TASKS[kind]))


def _kind(subject: Subject, opening: Opening) -> str:
    """What an SAE reads; an SAE that names no model is taken for one of a language model."""
    if opening.array is not None:
        return "all else"
    given = opening.model.name if isinstance(opening.model, LoadedModel) else opening.model
    model = given or _model_named_by(subject) or ""
    if world_name(model) is not None:
        return "synthetic worlds"
    return "language models" if part_of(model) in (None, "world") else "all else"


def _model_named_by(subject: Subject) -> str | None:
    """The model that an SAE says it belongs to, as far as that can be told without a download."""
    member = subject.member
    if isinstance(member, Entry) and member.model is not None:
        return member.model
    if isinstance(member, Entry | FolderRef) and member.source.startswith("hf://"):
        return None
    if not isinstance(member, Entry | FolderRef):
        return getattr(origin_of(member), "model", None)
    try:
        return origin_of(subject.load("cpu")).model
    except SaevalError:  # it will be said when it is loaded to be scored
        return None
