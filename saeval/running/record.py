"""The configuration that gives one result again, from whatever working folder."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from saeval.config.configuration import IN_MEMORY, to_mapping
from saeval.models import LoadedModel
from saeval.models.places import local_folder
from saeval.registry.entries import Entry, FolderRef
from saeval.registry.lookup import lasting_files
from saeval.running.identity import is_file
from saeval.running.jobs import Job
from saeval.running.named_saes import Subject
from saeval.running.places import SiteSpec
from saeval.running.session import Session


def repeating(
    session: Session,
    subjects: Sequence[Subject],
    places: Sequence[SiteSpec | None],
    job: Job,
) -> dict[str, Any]:
    """The run that gives this result again: given to `--config`, it finds or repeats it.

    Files and folders are named by absolute paths. What was in memory only is named as such, which
    the next run refuses with the reason.
    """
    names = [_named(subject) for subject in subjects]
    if job.is_group and subjects[0].set:
        names = [subjects[0].set]
    # Members of a set that read different places are found again by what each of them says.
    models = {_model(session.opening.model, place) for place in places if place}
    sites = {place.read_site for place in places if place}
    array = session.opening.array
    in_memory = None if array is None else f"{IN_MEMORY}array of activations"
    alone = replace(
        session.options,
        saes=tuple(names),
        tasks={job.task.name: _absolute(job.settings)},
        model=models.pop() if len(models) == 1 else None,
        site=sites.pop() if len(sites) == 1 else None,
        data=_absolute(session.data) if session.data else in_memory,
        registry=_registry(subjects, is_group=job.is_group),
        seeds=(job.seed,),
        limit=None,
        compat=None,
        force=False,
    )
    return to_mapping(alone)


def _registry(subjects: Sequence[Subject], *, is_group: bool) -> str | None:
    """The registry that lists them, where it is none that is read in whatever folder."""
    homes = [subject.member.file for subject in subjects if isinstance(subject.member, Entry)]
    group = subjects[0].group if is_group else None
    usual = {path.resolve() for path in lasting_files()}
    own = [path for path in ([group.file] if group else homes) if path.resolve() not in usual]
    return str(own[0].resolve()) if own else None


def _named(subject: Subject) -> str:
    if isinstance(subject.member, Entry):
        return subject.member.id
    if isinstance(subject.member, FolderRef):
        return subject.member.source
    return f"{IN_MEMORY}{subject.label}"


def _model(given: str | LoadedModel | None, place: SiteSpec) -> str:
    """A hub id, a folder, or what was in memory."""
    name = given.name if isinstance(given, LoadedModel) else place.model
    folder = local_folder(name)
    if folder is not None:
        return str(folder.resolve())
    if isinstance(given, LoadedModel) and given.identity.startswith("local:"):
        return f"{IN_MEMORY}model {given.name}"
    return place.model


def _absolute(value: Any) -> Any:
    """The value, with the paths of files in it made absolute."""
    if isinstance(value, Mapping):
        return {key: _absolute(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_absolute(item) for item in value]
    return str(Path(value).resolve()) if isinstance(value, str) and is_file(value) else value
