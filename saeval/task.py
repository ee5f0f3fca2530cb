"""What a task is: a frozen configuration with `prepare` (once per site), `score` (once per SAE)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from saeval.activations import ActivationSource, TokenRows
from saeval.evidence import Evidence, Missing
from saeval.sae import SAE

NONE_IN_KEYS = "none_in_keys"
"""Key of a field's metadata: the value that stands in keys of results where the field is None.

For a field whose default became None, so that results of the former default are found again. It
must give the same scores as None, wherever it gives any.
"""


@dataclass(frozen=True)
class Prepared:
    """All that a task computed without looking at any SAE. Cached as safetensors, parquet, JSON."""

    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Numbers and booleans of any shape, by name."""
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    """JSON-like values: names, hashes, choices made."""
    rows: TokenRows | None = None
    """Rows that the scores are read from. The checks before scoring (scale, BOS, promised L0 and
    FVU) look at these rows; without them, at a few passages of the model's own kind."""
    more_rows: Mapping[str, TokenRows] = field(default_factory=dict)
    """Further sets of rows, by name."""

    @property
    def required_rows(self) -> TokenRows:
        """`rows`, for a task that always prepares some.

        Raises:
            ValueError: if there are none.
        """
        if self.rows is None:
            raise ValueError("The task prepared no rows. Give them to Prepared as `rows`.")
        return self.rows


@dataclass(frozen=True)
class Member:
    """One SAE of a set, with what it is scored on."""

    label: str
    """Name in tables."""
    sae: SAE
    prepared: Prepared
    """Content that the task prepared where it reads: one object for all members that read there."""
    source: ActivationSource
    """The source it reads: one object likewise."""


@runtime_checkable
class Task(Protocol):
    """A frozen dataclass whose fields are its configuration, each documented beneath itself.

    Three fields have a fixed meaning where a task has them, each None unless it is set:

    - `limit` (`saeval.config.counts.Limit`, set by --limit): score at most so many units (rows,
      words, test texts), or such a share of those that would be scored without it. A share is a
      float above 0 and below 1; `limited_count` beside it makes a number of it once the task knows
      how many units there are. A task whose `limit` is `int | None` is never given a share: the
      user who asks for one is told.
    - `compat` (str, set by --compat): add the figures of another harness, such as `saebench`.
    - `texts` (str, set by --data FILE for texts): the file whose texts take the place of the task's
      own.

    A task should also have a method that tells which data it reads besides those its fields name:

    - `inputs(model)`: anything JSON-like, such as a hash of that data; None if it reads no such
      data. `model` is the name of the model that is read, None for stored activations. The
      answer enters the key of every result, like the name, the version, the fields and the content
      of files that fields name. A task without the method is prepared anew in every run, and the
      prepared content enters the key, so that no stale result is used; `saeval plan` then cannot
      tell which results exist already.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    """Raised whenever an SAE might score differently."""

    def prepare(self, source: ActivationSource, seed: int) -> Prepared:
        """Do all that does not depend on the SAE.

        Raises:
            NotApplicable: if the source cannot serve this task at all.
        """
        ...

    def score(
        self, sae: SAE, prepared: Prepared, source: ActivationSource, seed: int
    ) -> Iterable[Evidence | Missing]:
        """Yield the evidence of every metric.

        Raises:
            NotApplicable: if the task can say nothing about this SAE.
        """
        ...


@runtime_checkable
class GroupTask(Protocol):
    """A task that scores a named set of SAEs together (seeds, layers, checkpoints, ensembles).

    Its fields, and `inputs`, mean what they mean for a `Task`.
    """

    name: ClassVar[str]
    version: ClassVar[int]

    def prepare(self, source: ActivationSource, seed: int) -> Prepared:
        """Do all that does not depend on the SAEs, for one place where some of them read.

        It runs once for every distinct place.

        Raises:
            NotApplicable: if the source cannot serve this task at all.
        """
        ...

    def score_group(self, members: Sequence[Member], seed: int) -> Iterable[Evidence | Missing]:
        """Yield the evidence of every metric over the whole set.

        Args:
            members: In the order of the set. They may read different layers or models; all their
                sources are open at the same time.
            seed: For all random draws.

        Raises:
            NotApplicable: if the task can say nothing about this set.
        """
        ...
