"""From a user's request to the session: all that stays the same throughout a run."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
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
from saeval.running.user_data import read_data, with_files

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Request:
    """A user's request: checked options, and values that may be objects as well as names."""

    options: Configuration
    """Options that are texts and numbers. For `saes`, `tasks`, `model` and `data` the fields below
    count, not these."""
    saes: Any
    tasks: Any
    """None: the default ones."""
    settings: Settings
    """Fields of tasks that are named, by task."""
    model: Any
    data: Any


OBJECTS = ("saes", "tasks", "model", "data")
"""Options that may be objects in memory."""


def request_of_keywords(keywords: Mapping[str, Any]) -> Request:
    """The request that the keywords of `saeval.evaluate` make.

    Args:
        keywords: Options by name, and `config`, the fields of tasks.

    Raises:
        UsageError: naming the first option that is wrong or unknown.
    """
    values = {
        name: _name_of_value(value) for name, value in keywords.items() if name not in OBJECTS
    }
    settings = values.pop("config", None) or {}
    objects = {name: keywords.get(name) for name in OBJECTS}
    return Request(options=from_mapping(values, "evaluate"), settings=settings, **objects)


def request_of_configuration(
    options: Configuration, default_fields: Settings = MappingProxyType({})
) -> Request:
    """The request that a configuration makes.

    Args:
        options: The configuration.
        default_fields: Fields of the default tasks, by task, where it names no tasks.
    """
    return Request(
        options=options,
        saes=list(options.saes),
        tasks=list(options.tasks) or None,
        settings=options.tasks or default_fields,
        model=options.model,
        data=options.data,
    )


def _name_of_value(value: Any) -> Any:
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
    """As the user gave them. Each result's record fills in what it was made of."""
    data: str | None
    """File of activations that takes the place of a model."""
    tell: Progress
    total: int
    """Number of results that the run will give."""
    warned: set[str]
    """Warnings already logged; each is logged once."""
    run_id: str
    """Tells this run from all others."""

    @property
    def root(self) -> Path:
        """Folder of all results."""
        return Path(self.options.output_path)

    def warn(self, messages: Iterable[str]) -> None:
        """Log each message that was not logged before."""
        for message in messages:
            if message not in self.warned:
                self.warned.add(message)
                logger.warning("%s", message)


def begin_session(
    request: Request,
    named_saes: Sequence[NamedSAE],
    *,
    inputs: Path,
    store: Store,
    tell: Progress,
) -> Session:
    """The session of a request. No model is looked for yet.

    Args:
        request: The user's request.
        named_saes: The SAEs that it names.
        inputs: Folder where texts given in memory are written.
        store: Where activations are kept.
        tell: Called at every phase and every result.

    Raises:
        UsageError: if a task or an option is wrong.
        DataError: if the data cannot be read.
    """
    options, user_data = request.options, read_data(request.data, inputs)
    opening = _opening(request, user_data.array, store)
    sources = Sources(opening)
    tasks = default_tasks(named_saes, sources) if request.tasks is None else request.tasks
    common = {"limit": options.limit, "compat": options.compat, "texts": user_data.texts}
    settings = with_files(request.settings, inputs)
    jobs = make_jobs(tasks, settings, common, options.seeds)
    file = user_data.array if isinstance(user_data.array, str) else None
    single_jobs = sum(not job.is_group for job in jobs)
    sets = max(1, len({named_sae.set for named_sae in named_saes if named_sae.set}))
    total = single_jobs * len(named_saes) + (len(jobs) - single_jobs) * sets
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
