"""The pipeline: names -> SAEs -> activation source -> prepared -> evidence -> results."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saeval.activations import Store
from saeval.configuration import Configuration, from_mapping
from saeval.entries import EntrySet
from saeval.errors import NotApplicable, UsageError
from saeval.jobs import Job, make_jobs, read_data
from saeval.meeting import Session, meet, result_of
from saeval.models.loading import pick_device
from saeval.progress import Progress, Step, silent
from saeval.results import check_writable
from saeval.scores import Labels, Result, Results
from saeval.scoring import failed_result, inapplicable_result
from saeval.sources import Opening, Sources, as_model
from saeval.subjects import Subject, find_subjects, load_sae

__all__ = ["evaluate", "load_sae", "run_configuration"]


def evaluate(  # noqa: PLR0913  the whole of the public API stands here
    saes: Any,
    tasks: Any,
    *,
    model: Any = None,
    site: str | None = None,
    data: Any = None,
    seeds: Sequence[int] = (0,),
    config: Mapping[str, Mapping[str, Any]] | None = None,
    limit: int | None = None,
    batch_size: int | str = "auto",
    device: str = "auto",
    dtype: str | torch.dtype | None = None,
    compat: str | None = None,
    force: bool = False,
    output_path: str | Path = "results",
    progress: Progress | None = None,
) -> Results:
    """Score SAEs on tasks. What is already there, from the same inputs, is not computed again.

    Every result is written as soon as it is finished. An SAE that cannot be loaded, and a task
    that cannot be scored, become rows with a status and a reason; the others go on.

    Args:
        saes: Registry id, set, glob, folder, `hf://` source or object with encode and decode; a
            sequence of these; or a mapping of names to objects.
        tasks: Names (a sequence, or one text with commas), or configured tasks.
        model: Hugging Face id, folder, LoadedModel, or (network, tokenizer); None: the one that
            each SAE names.
        site: Module path or alias; None: the one that each SAE names.
        data: File or list of texts, or file or array of activations in the place of a model;
            None: each task's own data.
        seeds: Each task runs once under each.
        config: Fields of tasks, by task.
        limit: At most so many units, for the tasks that have a `limit`.
        batch_size: Rows (of 128 tokens) a pass of the model; changes no score.
        device: `auto`, `cpu`, `cuda` or `mps`.
        dtype: The model's; None: float32.
        compat: `saebench`: tasks add SAEBench's own definitions as `saebench_*`.
        force: Compute again what is already there.
        output_path: Folder of all results.
        progress: Told of every phase and every result.

    Raises:
        UsageError: if the request is off: an unknown name, a bad option.
        SaevalError: if nothing could be scored: no such model, no such data, no room for results.
    """
    configuration = from_mapping(
        {
            "seeds": list(seeds),
            "limit": limit,
            "batch_size": batch_size,
            "device": device,
            "dtype": str(dtype).removeprefix("torch.") if dtype else None,
            "compat": compat,
            "force": force,
            "output_path": str(output_path),
        },
        "evaluate",
    )
    subjects = find_subjects(saes)
    check_writable(output_path)
    given = read_data(data, Path(output_path) / "inputs")
    common = {"limit": limit, "compat": compat, "texts": given.texts}
    jobs = make_jobs(tasks, config or {}, common, configuration.seeds)
    opening = _opening(configuration, as_model(model), site, given.array)
    sources = Sources(opening)
    sources.check()
    file = given.array if isinstance(given.array, str) else None
    alone = sum(not job.is_group for job in jobs)
    sets = max(1, len({subject.set for subject in subjects if subject.set}))
    total = alone * len(subjects) + (len(jobs) - alone) * sets
    session = Session(jobs, sources, opening, configuration, file, progress or silent, total, set())
    return _evaluated(subjects, session)


def run_configuration(chosen: Configuration, progress: Progress | None = None) -> Results:
    """Score what a configuration says; see `evaluate`."""
    return evaluate(
        list(chosen.saes),
        list(chosen.tasks),
        model=chosen.model,
        site=chosen.site,
        data=chosen.data,
        seeds=chosen.seeds,
        config=chosen.tasks,
        limit=chosen.limit,
        batch_size=chosen.batch_size,
        device=chosen.device,
        dtype=chosen.dtype,
        compat=chosen.compat,
        force=chosen.force,
        output_path=chosen.output_path,
        progress=progress,
    )


def _opening(
    configuration: Configuration, model: Any, site: str | None, array: str | np.ndarray | None
) -> Opening:
    if array is not None and model is not None:
        raise UsageError(
            "Stored activations take the place of a model: give --model or an array, not both."
        )
    size = configuration.batch_size
    return Opening(
        model,
        site,
        array,
        pick_device(configuration.device),
        getattr(torch, configuration.dtype or "float32"),
        None if isinstance(size, str) else size,
        Store(),
    )


def _evaluated(subjects: Sequence[Subject], session: Session) -> Results:
    """All results in the order of the request, though SAEs of one model are scored together."""
    done: dict[tuple[int, int], Result] = {}
    together = sorted(range(len(subjects)), key=lambda i: _neighbourhood(subjects[i]))
    for i in together:
        for j, result in _score_sae(subjects[i], session):
            done[i, j] = result
    results = [done[key] for key in sorted(done)]
    return Results([*results, *_score_sets(subjects, session)])


def _neighbourhood(subject: Subject) -> tuple[str, str]:
    member = subject.member
    return (getattr(member, "model", None) or "", getattr(member, "site", None) or "")


def _score_sae(subject: Subject, session: Session) -> Iterator[tuple[int, Result]]:
    """Results of one SAE, each under its job's number. It is loaded once, and dropped after."""
    jobs = [(number, job) for number, job in enumerate(session.jobs) if not job.is_group]
    labels = [_labels(job, sae=subject.label, group=subject.group) for _, job in jobs]
    if not jobs:
        return
    try:
        meeting = meet([subject], subject.label, session)
    except UsageError:
        raise  # what is asked for is off, whichever SAE it is
    except Exception as error:  # noqa: BLE001  one SAE's files do not end the run
        for (number, _), label in zip(jobs, labels, strict=True):
            yield number, _told(failed_result(label, error, session.root), session)
        return
    for (number, job), label in zip(jobs, labels, strict=True):
        yield number, result_of(meeting, job, label)


def _score_sets(subjects: Sequence[Subject], session: Session) -> Iterator[Result]:
    """Results of the tasks that score whole sets, for every set that was asked for."""
    jobs = [job for job in session.jobs if job.is_group]
    sets = {subject.set: subject.group for subject in subjects if subject.group} if jobs else {}
    if not sets:
        why = "It compares the members of a set, and no set was asked for: give --sae a set's name."
        for job in jobs:
            yield _told(inapplicable_result(_labels(job), why), session)
    for name, group in sets.items():
        members = [subject for subject in subjects if subject.set == name]
        labels = [_labels(job, group=group) for job in jobs]
        try:
            meeting = meet(members, str(name), session)
        except UsageError:
            raise
        except NotApplicable as why:
            for label in labels:
                yield _told(inapplicable_result(label, str(why)), session)
            continue
        except Exception as error:  # noqa: BLE001  as above
            for label in labels:
                yield _told(failed_result(label, error, session.root), session)
            continue
        for job, label in zip(jobs, labels, strict=True):
            yield result_of(meeting, job, label)


def _labels(job: Job, *, sae: str | None = None, group: EntrySet | None = None) -> Labels:
    name = group.name if group else None
    return Labels(sae, job.task.name, job.task.version, job.seed, set=name)


def _told(result: Result, session: Session) -> Result:
    label = result.sae or result.set or ""
    session.tell(Step("computed", label, result.task, result.seed, total=session.total))
    return result
