"""A request as the user makes it -> what stays the same throughout a run."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saeval.activations import Store
from saeval.config.configuration import Configuration, from_mapping
from saeval.errors import UsageError
from saeval.models.loading import pick_device
from saeval.running.jobs import Job, make_jobs
from saeval.running.named_saes import Subject
from saeval.running.opening import Opening, as_model
from saeval.running.progress import Progress
from saeval.running.sources import Sources
from saeval.running.user_data import read_data

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What `saeval.evaluate` is asked; each field is documented there."""

    saes: Any
    tasks: Any
    model: Any = None
    site: str | None = None
    data: Any = None
    registry: str | Path | None = None
    seeds: int | Sequence[int] = (0,)
    config: Mapping[str, Mapping[str, Any]] | None = None
    limit: int | None = None
    batch_size: int | str = "auto"
    device: str = "auto"
    dtype: str | torch.dtype | None = None
    compat: str | None = None
    force: bool = False
    output_path: str | Path = "results"

    @classmethod
    def of(cls, chosen: Configuration) -> "Request":
        """What a configuration asks."""
        values = {item.name: getattr(chosen, item.name) for item in fields(chosen)}
        settings = values.pop("tasks")
        return cls(**{**values, "saes": list(chosen.saes)}, tasks=list(settings), config=settings)

    def configuration(self) -> Configuration:
        """The options, checked. SAEs, tasks, model, site, data and registry are left out.

        Raises:
            UsageError: naming the first that is off.
        """
        return from_mapping(
            {
                "seeds": self.seeds if isinstance(self.seeds, int) else list(self.seeds),
                "limit": self.limit,
                "batch_size": self.batch_size,
                "device": self.device,
                "dtype": str(self.dtype).removeprefix("torch.") if self.dtype else None,
                "compat": self.compat,
                "force": self.force,
                "output_path": str(self.output_path),
            },
            "evaluate",
        )


@dataclass(frozen=True)
class Session:
    """All that stays the same throughout a run."""

    jobs: Sequence[Job]
    sources: Sources
    opening: Opening
    configuration: Configuration
    """Options as given. What a result was made of and by is filled in for each result."""
    data: str | None
    """File of activations that takes the place of a model."""
    tell: Progress
    total: int
    """Results that will be told of."""
    warned: set[str]
    """Warnings that were given; each is given once."""

    @property
    def root(self) -> Path:
        """Folder of all results."""
        return Path(self.configuration.output_path)

    def warn(self, messages: Iterable[str]) -> None:
        """Log what has not been said yet."""
        for message in messages:
            if message not in self.warned:
                self.warned.add(message)
                logger.warning("%s", message)


def begin(
    request: Request,
    subjects: Sequence[Subject],
    *,
    inputs: Path,
    store: Store,
    tell: Progress,
) -> Session:
    """The session in which the subjects meet the tasks. No model is looked for yet.

    Args:
        request: What is asked.
        subjects: The SAEs that it names.
        inputs: Folder for texts that came in memory.
        store: Where activations are kept.
        tell: Told of every phase and every result.

    Raises:
        UsageError: if a task or an option is off.
        DataError: if the data cannot be read.
    """
    configuration = request.configuration()
    given = read_data(request.data, inputs)
    common = {"limit": request.limit, "compat": request.compat, "texts": given.texts}
    jobs = make_jobs(request.tasks, request.config or {}, common, configuration.seeds)
    opening = _opening(request, configuration, given.array, store)
    file = given.array if isinstance(given.array, str) else None
    alone = sum(not job.is_group for job in jobs)
    sets = max(1, len({subject.set for subject in subjects if subject.set}))
    total = alone * len(subjects) + (len(jobs) - alone) * sets
    return Session(jobs, Sources(opening), opening, configuration, file, tell, total, set())


def _opening(
    request: Request, configuration: Configuration, array: str | np.ndarray | None, store: Store
) -> Opening:
    if array is not None and request.model is not None:
        raise UsageError(
            "Stored activations take the place of a model: give --model or an array, not both."
        )
    size = configuration.batch_size
    return Opening(
        model=as_model(request.model),
        site=request.site,
        array=array,
        device=pick_device(configuration.device),
        dtype=getattr(torch, configuration.dtype or "float32"),
        batch_size=None if isinstance(size, str) else size,
        store=store,
    )
