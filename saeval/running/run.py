"""The pipeline: names -> SAEs -> activation source -> prepared -> evidence -> results."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from saeval.activations import Store
from saeval.config.counts import Limit
from saeval.config.options import Configuration, Settings
from saeval.errors import UsageError
from saeval.results.results import Results
from saeval.results.score import Result
from saeval.results.writing import check_writable
from saeval.running.jobs import Job
from saeval.running.lent import lent
from saeval.running.loading import load_item
from saeval.running.named_saes import find_saes, load_sae
from saeval.running.outcome import failed_result, inapplicable_result
from saeval.running.progress import Progress, ProgressStep, silent, whole_run
from saeval.running.scoring import result_of
from saeval.running.session import (
    Request,
    Session,
    begin_session,
    request_of_configuration,
    request_of_keywords,
)
from saeval.running.walk import NO_SET, WorkItem, visit_all, work_items

__all__ = ["evaluate", "load_sae", "run_configuration"]


def evaluate(  # noqa: PLR0913  the whole of the public API stands here
    saes: Any,
    tasks: Any = None,
    *,
    model: Any = None,
    site: str | None = None,
    data: Any = None,
    registry: str | Path | None = None,
    seeds: int | Sequence[int] = (0,),
    config: Mapping[str, Mapping[str, Any]] | None = None,
    limit: Limit | None = None,
    k: int | None = None,
    batch_size: int | str = "auto",
    device: str = "auto",
    dtype: str | torch.dtype | None = None,
    compat: str | None = None,
    force: bool = False,
    output_path: str | Path = "results",
    progress: Progress | None = None,
) -> Results:
    """Score SAEs on tasks. Results that exist, from the same inputs, are not computed again.

    Every result is written as soon as it is finished. An SAE that cannot be loaded, and a task
    that cannot be scored, become rows with a status and a reason; the others go on.

    Args:
        saes: Registry id, set, glob, folder, `hf://` source or object with encode and decode (an
            object that has no `d_in` is taken to be as wide as the site); a sequence of these; or a
            mapping of names to objects.
        tasks: Names (a sequence, or one text with commas), or configured tasks; None: the
            default tasks for what the SAEs read, `saeval.config.options.DEFAULT_TASKS`.
        model: Hugging Face id, folder, LoadedModel, or (network, tokenizer); None: the one that
            each SAE names.
        site: Module path or alias; None: the one that each SAE names.
        data: File or list of texts, or file or array of activations in place of a model; None:
            each task's own data.
        registry: Registry file that is read besides the usual ones.
        seeds: One number, or several; each task runs once per seed.
        config: Fields of tasks, by task.
        limit: At most so many units, or such a share of them (above 0 and below 1, such as 0.1),
            for the tasks that have a `limit`.
        k: Ask every SAE for at most so many latents per token; one that takes no such number (it
            has no `with_k`) is a failed row.
        batch_size: Rows (of 128 tokens) per pass of the model; changes no score.
        device: `auto`, `cpu`, `cuda` or `mps`.
        dtype: The model's; None: float32.
        compat: `saebench`: tasks add SAEBench's own definitions as `saebench_*`.
        force: Compute results again that exist already.
        output_path: Folder of all results.
        progress: Called at every phase and every result. `saeval.progress` shows on stderr how far
            the run is; None: nothing is shown.

    A network or an SAE in the caller's memory is as it was when this returns, also by an error:
    modes, gradients' flags, buffers, hooks; and so are the global random generators.

    Raises:
        UsageError: if the request is wrong: an unknown name, a bad option.
        SaevalError: if nothing could be scored: no such model, no such data, no room for results.
    """
    options = dict(locals())  # every option under its name
    tell = options.pop("progress") or silent
    with lent(model, saes):
        return _run(request_of_keywords(options), tell)


def run_configuration(
    options: Configuration,
    progress: Progress | None = None,
    default_fields: Settings = MappingProxyType({}),
) -> Results:
    """Score what a configuration says; see `evaluate`.

    Args:
        options: The configuration.
        progress: As for `evaluate`.
        default_fields: Fields of the default tasks, by task, where it names no tasks.
    """
    return _run(request_of_configuration(options, default_fields), progress or silent)


def _run(request: Request, progress: Progress) -> Results:
    named_saes = find_saes(request.saes, request.options.registry)
    root = Path(request.options.output_path)
    check_writable(root)
    session = begin_session(
        request, named_saes, inputs=root / "inputs", store=Store(), tell=progress
    )
    with whole_run(progress, session.total):
        session.sources.check()
        results = visit_all(work_items(named_saes, session.jobs), partial(_scored, session=session))
    return Results(
        results,
        headlines={job.task.name: _headline(job) for job in session.jobs},
        seed_sets={s.group.name for s in named_saes if s.group and s.group.kind == "seeds"},
        root=root,
    )


def _headline(job: Job) -> tuple[str, ...]:
    """Metrics that a task's class names as the first to look at; empty if it names none."""
    return tuple(getattr(type(job.task), "headline", ()))


def _scored(item: WorkItem, session: Session) -> Iterator[Result]:
    """Results of SAEs that are loaded together. The SAEs leave memory afterwards."""
    labels_by_job = [item.labels(job) for job in item.jobs]
    if not item.named_saes:
        yield from (
            _report(inapplicable_result(labels, NO_SET), session) for labels in labels_by_job
        )
        return
    try:
        saes = load_item(item, session)
    except UsageError:
        raise  # the request itself is wrong, so no other SAE can be scored either
    except Exception as error:  # noqa: BLE001  one SAE's files do not end the run
        yield from (
            _report(failed_result(labels, error, session.root), session) for labels in labels_by_job
        )
        return
    checks = ()
    for job, labels in zip(item.jobs, labels_by_job, strict=True):
        result, checks = result_of(saes, job, labels, session, checks)
        yield result


def _report(result: Result, session: Session) -> Result:
    label = result.sae or result.set or ""
    session.tell(ProgressStep("computed", label, result.task, result.seed, total=session.total))
    return result
