"""The configuration that gives one result again, in names that mean the same on another machine."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from saeval.config.configuration import ELSEWHERE, IN_MEMORY, to_mapping
from saeval.models import LoadedModel
from saeval.models.places import local_folder
from saeval.registry.entries import Entry, FolderRef
from saeval.registry.lookup import lasting_files
from saeval.results.portable import below_working_folder
from saeval.running.jobs import Job
from saeval.running.named_saes import NamedSAE
from saeval.running.places import SiteSpec
from saeval.running.session import Session

_DIGITS = 20
"""Digits shown of a content's hash: as many as a result id has."""


def run_of_result(
    session: Session,
    named_saes: Sequence[NamedSAE],
    places: Sequence[SiteSpec | None],
    job: Job,
) -> dict[str, Any]:
    """The configuration of this one result. Given to `--config`, it finds or repeats the result.

    Files and folders below the working folder are named by their path from there, as `./x/y`.
    A file that lies elsewhere is named by its last name alone, after `elsewhere: `, and an object
    that came from no file after `in memory: `. The next run refuses both, and says how to give them
    again.
    """
    names = [_name_of_sae(named_sae) for named_sae in named_saes]
    if job.is_group and named_saes[0].set:
        names = [named_saes[0].set]
    # Members of a set may read different models or sites. Then none is written down: the next run
    # takes what each SAE names.
    models = {_name_of_model(session.opening.model, place) for place in places if place}
    sites = {place.read_site for place in places if place}
    array = session.opening.array
    in_memory = None if array is None else f"{IN_MEMORY}array of activations"
    configuration = replace(
        session.options,
        saes=tuple(names),
        tasks={job.task.name: _task_fields(job)},
        model=models.pop() if len(models) == 1 else None,
        site=sites.pop() if len(sites) == 1 else None,
        data=_name_of_file(session.data) if session.data else in_memory,
        registry=_registry_file(named_saes, is_group=job.is_group),
        seeds=(job.seed,),
        limit=None,
        compat=None,
        force=False,
        output_path=below_working_folder(session.root) or session.root.name,
    )
    return to_mapping(configuration)


def with_contents(run: Mapping[str, Any], provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration, with a content hash after the name of each file that lies elsewhere.

    Args:
        run: As `repeating` gives it.
        provenance: Of the result, which has the hashes.
    """
    source = provenance.get("source", {})
    if isinstance(source, list):  # members read different places, which the run does not name
        source = {}
    members = (member["hash"] for member in provenance.get("saes", ()))
    hashes = dict(zip(run["saes"], members, strict=False))
    return {
        **run,
        "saes": [_with_hash(name, hashes.get(name)) for name in run["saes"]],
        "model": _with_hash(run["model"], source.get("model")),
        "data": _with_hash(run["data"], source.get("identity")),
    }


def _with_hash(name: Any, content: str | None) -> Any:
    if content is None or not isinstance(name, str) or not name.startswith(ELSEWHERE):
        return name
    return f"{name} (content {content.removeprefix('local:')[:_DIGITS]})"


def _name_of_file(path: str | Path) -> str:
    return below_working_folder(path) or f"{ELSEWHERE}{Path(path).name}"


def _registry_file(named_saes: Sequence[NamedSAE], *, is_group: bool) -> str | None:
    """The registry file that lists them, if it is not one of those that every run reads."""
    homes = [
        named_sae.member.file for named_sae in named_saes if isinstance(named_sae.member, Entry)
    ]
    group = named_saes[0].group if is_group else None
    usual = {path.resolve() for path in lasting_files()}
    unusual = [path for path in ([group.file] if group else homes) if path.resolve() not in usual]
    return _name_of_file(unusual[0]) if unusual else None


def _name_of_sae(named_sae: NamedSAE) -> str:
    if isinstance(named_sae.member, Entry):
        return named_sae.member.id
    if isinstance(named_sae.member, FolderRef):
        source = named_sae.member.source
        return source if "://" in source else _name_of_file(source)
    return f"{IN_MEMORY}{named_sae.label}"


def _name_of_model(model: str | LoadedModel | None, place: SiteSpec) -> str | None:
    """A hub id, a folder, or what was in memory; None for a folder that the SAE itself knows of."""
    name = model.name if isinstance(model, LoadedModel) else place.model
    folder = local_folder(name)
    if folder is not None:
        return below_working_folder(folder) if model is None else _name_of_file(folder)
    if isinstance(model, LoadedModel) and model.identity.startswith("local:"):
        return f"{IN_MEMORY}model {model.name}"
    return place.model


def _task_fields(job: Job) -> dict[str, Any]:
    """Fields of the task that differ from their defaults, the files in them named as above."""
    contents = job.identity["fields"]
    return {key: _name_files(value, contents[key]) for key, value in job.settings.items()}


def _name_files(value: Any, content: Any) -> Any:
    """A value with its files named.

    Args:
        value: As the task has it.
        content: The same, with `{"sha256": ...}` in the place of each file.
    """
    if isinstance(value, Mapping):
        return {key: _name_files(item, content[key]) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_name_files(*pair) for pair in zip(value, content, strict=True)]
    if isinstance(value, str) and isinstance(content, Mapping):
        return _with_hash(_name_of_file(value), content["sha256"])
    return value
