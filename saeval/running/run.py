"""The pipeline: names -> SAEs -> activation source -> prepared -> evidence -> results."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from saeval.activations import Store
from saeval.config.configuration import Configuration
from saeval.errors import NotApplicable, UsageError
from saeval.registry.entries import EntrySet
from saeval.results.folder import check_writable
from saeval.results.results import Results
from saeval.results.score import Labels, Result
from saeval.running.jobs import Job
from saeval.running.named_saes import Subject, find_subjects, load_sae
from saeval.running.outcome import failed_result, inapplicable_result
from saeval.running.progress import Progress, Step, silent, whole_run
from saeval.running.scoring import meet, result_of
from saeval.running.session import Request, Session, begin

__all__ = ["evaluate", "load_sae", "run_configuration"]


def evaluate(  # noqa: PLR0913  the whole of the public API stands here
    saes: Any,
    tasks: Any,
    *,
    model: Any = None,
    site: str | None = None,
    data: Any = None,
    registry: str | Path | None = None,
    seeds: int | Sequence[int] = (0,),
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
        saes: Registry id, set, glob, folder, `hf://` source or object with encode and decode (as
            wide as the site, if it does not say); a sequence of these; or a mapping of names to
            objects.
        tasks: Names (a sequence, or one text with commas), or configured tasks.
        model: Hugging Face id, folder, LoadedModel, or (network, tokenizer); None: the one that
            each SAE names.
        site: Module path or alias; None: the one that each SAE names.
        data: File or list of texts, or file or array of activations in the place of a model;
            None: each task's own data.
        registry: Registry file that is read beside the usual ones.
        seeds: Each task runs once under each; one number, or several.
        config: Fields of tasks, by task.
        limit: At most so many units, for the tasks that have a `limit`.
        batch_size: Rows (of 128 tokens) a pass of the model; changes no score.
        device: `auto`, `cpu`, `cuda` or `mps`.
        dtype: The model's; None: float32.
        compat: `saebench`: tasks add SAEBench's own definitions as `saebench_*`.
        force: Compute again what is already there.
        output_path: Folder of all results.
        progress: Told of every phase and every result, such as `saeval.progress`, which shows
            on stderr how far the run is; None: nothing is shown.

    Raises:
        UsageError: if the request is off: an unknown name, a bad option.
        SaevalError: if nothing could be scored: no such model, no such data, no room for results.
    """
    request = Request(
        saes,
        tasks,
        model,
        site,
        data,
        registry,
        seeds,
        config,
        limit,
        batch_size,
        device,
        dtype,
        compat,
        force,
        output_path,
    )
    return _run(request, progress or silent)


def run_configuration(chosen: Configuration, progress: Progress | None = None) -> Results:
    """Score what a configuration says; see `evaluate`."""
    return _run(Request.of(chosen), progress or silent)


def _run(request: Request, progress: Progress) -> Results:
    request.configuration()
    subjects = find_subjects(request.saes, request.registry)
    check_writable(request.output_path)
    inputs = Path(request.output_path) / "inputs"
    session = begin(request, subjects, inputs=inputs, store=Store(), tell=progress)
    with whole_run(progress, session.total):
        session.sources.check()
        return _evaluated(subjects, session)


def _evaluated(subjects: Sequence[Subject], session: Session) -> Results:
    """All results in the order of the request, though SAEs of one model are scored together."""
    done: dict[tuple[int, int], Result] = {}
    together = sorted(range(len(subjects)), key=lambda i: neighbourhood(subjects[i]))
    for i in together:
        for j, result in _score_sae(subjects[i], session):
            done[i, j] = result
    results = [done[key] for key in sorted(done)]
    results += _score_sets(subjects, session)
    return Results(
        results,
        headlines={job.task.name: _headline(job) for job in session.jobs},
        seed_sets={s.group.name for s in subjects if s.group and s.group.kind == "seeds"},
    )


def _headline(job: Job) -> tuple[str, ...]:
    """Metrics that a task's class names as the first to look at; none if it names none."""
    return tuple(getattr(type(job.task), "headline", ()))


def neighbourhood(subject: Subject) -> tuple[str, str]:
    """By what to sort SAEs, so that those of one model and site follow each other."""
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
