"""A request as the user makes it -> what stays the same throughout a run."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch

from saeval.activations import Store
from saeval.config.configuration import from_mapping
from saeval.config.options import Configuration, Settings
from saeval.errors import UsageError
from saeval.models.loading import pick_device
from saeval.running.default_tasks import default_tasks
from saeval.running.jobs import Job, make_jobs
from saeval.running.named_saes import NamedSAE
from saeval.running.opening import Opening, as_model
from saeval.running.progress import Progress
from saeval.running.sources import Sources
from saeval.running.user_data import read_data

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked: checked options, and what may be an object where a file says a name."""

    options: Configuration
    """All that are texts and numbers. Of `saes`, `tasks`, `model` and `data` it is the fields
    below that count."""
    saes: Any
    tasks: Any
    """None: the default ones."""
    settings: Settings
    """Fields of tasks that are named, by task."""
    model: Any
    data: Any


OBJECTS = ("saes", "tasks", "model", "data")
"""Options that may be objects in memory."""


def request_of_keywords(given: Mapping[str, Any]) -> Request:
    """What the keywords of `saeval.evaluate` ask.

    Args:
        given: Options by name, and `config`, the fields of tasks.

    Raises:
        UsageError: naming the first option that is off or unknown.
    """
    plain = {name: _named(value) for name, value in given.items() if name not in OBJECTS}
    settings = plain.pop("config", None) or {}
    objects = {name: given.get(name) for name in OBJECTS}
    return Request(options=from_mapping(plain, "evaluate"), settings=settings, **objects)


def request_of_configuration(options: Configuration) -> Request:
    """What a configuration asks."""
    return Request(
        options=options,
        saes=list(options.saes),
        tasks=list(options.tasks) or None,
        settings=options.tasks,
        model=options.model,
        data=options.data,
    )


def _named(value: Any) -> Any:
    """A path or a dtype by its name, as a file would give it."""
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    return str(value) if isinstance(value, Path) else value


@dataclass(frozen=True)
class Session:
    """All that stays the same throughout a run."""

    jobs: Sequence[Job]
    sources: Sources
    opening: Opening
    options: Configuration
    """As given. What a result was made of and by is filled in for each result."""
    data: str | None
    """File of activations that takes the place of a model."""
    tell: Progress
    total: int
    """Results that will be told of."""
    warned: set[str]
    """Warnings that were given; each is given once."""
    run_id: str
    """Tells this run from all others."""

    @property
    def root(self) -> Path:
        """Folder of all results."""
        return Path(self.options.output_path)

    def warn(self, messages: Iterable[str]) -> None:
        """Log what has not been said yet."""
        for message in messages:
            if message not in self.warned:
                self.warned.add(message)
                logger.warning("%s", message)


def begin(
    request: Request,
    named_saes: Sequence[NamedSAE],
    *,
    inputs: Path,
    store: Store,
    tell: Progress,
) -> Session:
    """The session in which SAEs meet the tasks. No model is looked for yet.

    Args:
        request: What is asked.
        named_saes: The SAEs that it names.
        inputs: Folder for texts that came in memory.
        store: Where activations are kept.
        tell: Told of every phase and every result.

    Raises:
        UsageError: if a task or an option is off.
        DataError: if the data cannot be read.
    """
    options, given = request.options, read_data(request.data, inputs)
    opening = _opening(request, given.array, store)
    sources = Sources(opening)
    tasks = default_tasks(named_saes, sources) if request.tasks is None else request.tasks
    common = {"limit": options.limit, "compat": options.compat, "texts": given.texts}
    jobs = make_jobs(tasks, request.settings, common, options.seeds)
    file = given.array if isinstance(given.array, str) else None
    alone = sum(not job.is_group for job in jobs)
    sets = max(1, len({named_sae.set for named_sae in named_saes if named_sae.set}))
    total = alone * len(named_saes) + (len(jobs) - alone) * sets
    return Session(jobs, sources, opening, options, file, tell, total, set(), uuid4().hex)


def _opening(request: Request, array: str | np.ndarray | None, store: Store) -> Opening:
    if array is not None and request.model is not None:
        raise UsageError(
            "Stored activations take the place of a model: give --model or an array, not both."
        )
    options, size = request.options, request.options.batch_size
    return Opening(
        model=as_model(request.model),
        site=options.site,
        array=array,
        device=pick_device(options.device),
        dtype=getattr(torch, options.dtype or "float32"),
        batch_size=None if isinstance(size, str) else size,
        store=store,
    )
