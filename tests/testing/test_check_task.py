"""A sound task passes `check_task`, and each of many faults is caught and named."""

import random
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch

from saeval.activations import ActivationSource, read_codes
from saeval.config.plugins import load_task, tasks
from saeval.errors import NotApplicable, SaevalError
from saeval.evidence import Evidence, Metric, Missing, units
from saeval.sae import SAE, decode_codes
from saeval.task import Member, Prepared
from saeval.testing import Case, check_task, lab_cases
from saeval.testing.metrics import declared


@dataclass(frozen=True)
class Sound:
    """Squared error of each vector, as a share of its squared length."""

    name: ClassVar[str] = "sound"
    version: ClassVar[int] = 1

    limit: int | None = None
    """Vectors read at most."""

    def prepare(self, source: ActivationSource, seed: int) -> Prepared:
        """Choose the vectors."""
        if source.stored_rows is None:
            raise NotApplicable("It reads stored vectors.")
        rows = source.stored_rows.take(slice(0, self.limit))
        table = pd.DataFrame({"row": rows.ids[:, 0]})
        return Prepared({"number": rows.ids}, {"rows": table}, {"seed": seed}, rows)

    def score(
        self, sae: SAE, prepared: Prepared, source: ActivationSource, seed: int
    ) -> Iterable[Evidence | Missing]:
        """A unit a vector."""
        yield evidence(self._error(sae, prepared, source), self._length(prepared, source))

    def _error(self, sae: SAE, prepared: Prepared, source: ActivationSource) -> np.ndarray:
        with torch.no_grad():
            parts = [
                (decode_codes(sae, codes, batch.x_tokens) - batch.y_tokens).square().sum(1)
                for batch, codes in read_codes(source, sae, prepared.required_rows)
            ]
        return torch.cat(parts).numpy()

    def _length(self, prepared: Prepared, source: ActivationSource) -> np.ndarray:
        batches = source.batches(prepared.required_rows)
        return torch.cat([batch.y_tokens.square().sum(1) for batch in batches]).numpy()


def evidence(num: np.ndarray, den: np.ndarray, metric: str = "relative_error") -> Evidence:
    """Sum of one over sum of the other, lower is better."""
    table = units("rows", "vector", {"num": num, "den": den})
    return Evidence(
        metric, table, {"num": "num", "den": "den"}, unit="fraction", better="lower", floor=1
    )


@pytest.fixture
def vectors() -> Case:
    """The case without a model, which is the quickest."""
    return next(case for case in lab_cases() if case.name == "stored vectors")


SMALL: dict[str, dict[str, Any]] = {
    "absorption": {"limit": 100, "documents": 100},
    "core": {"rows": 12, "ce_rows": 6, "limit": 12, "compat": "saebench"},
    "probing": {
        "limit": 40,
        "train_rows": 60,
        "documents": 20,
        "sets": ("rating",),
        "top_k": (1, 4),
    },
    "synthetic": {"limit": 2000},
}
"""Fields with which each built-in task is quick."""


@pytest.mark.parametrize("name", sorted(tasks()))
def test_every_task_passes(name: str) -> None:
    """Each installed task holds to the contract, on a model, a synthetic world and vectors."""
    check_task(load_task(name)(**SMALL[name]))


def test_a_sound_task_passes(vectors: Case) -> None:
    """Class or object, with a limit or without."""
    check_task(Sound, cases=[vectors])
    check_task(Sound(limit=9), cases=[vectors])


@dataclass(frozen=True)
class Apart:
    """How far the decoders of a set lie apart."""

    name: ClassVar[str] = "apart"
    version: ClassVar[int] = 1
    asked: ClassVar[list[int]] = []

    def prepare(self, source: ActivationSource, seed: int) -> Prepared:
        """Nothing."""
        return Prepared()

    def score_group(self, members: Sequence[Member], seed: int) -> Iterable[Evidence]:
        """Norms of the decoders, one a member."""
        self.asked.append(len(members))
        norms = np.array([float(member.sae.W_dec.detach().norm()) for member in members])
        yield evidence(norms, np.ones(len(norms)))


def test_a_group_task_is_given_a_set(vectors: Case) -> None:
    """A task over sets is asked about the random SAE and the right ones together."""
    check_task(Apart(), cases=[vectors])
    assert set(Apart.asked) == {2}


def test_names_of_installed_tasks_will_do() -> None:
    """A name is looked up among what is installed, and a wrong one offers the nearest."""
    with pytest.raises(SaevalError, match=r"No task is called 'cor'\. Did you mean 'core'"):
        check_task("cor")


class Draws(Sound):
    """Random numbers that no seed decides."""

    def prepare(self, source: ActivationSource, seed: int) -> Prepared:
        """A number of the process's own generator."""
        ready = super().prepare(source, seed)
        return replace(ready, arrays={"drawn": np.array([random.random()])})


class Jitters(Sound):
    """Noise on the scores."""

    def score(self, sae: SAE, prepared: Prepared, source: ActivationSource, seed: int) -> Any:
        """A little more each time."""
        error = self._error(sae, prepared, source)
        yield evidence(error + torch.rand(len(error)).numpy() * 1e-3, np.ones(len(error)))


class ByBatch(Sound):
    """A mean of ratios, one a batch, in the place of a ratio of sums."""

    def score(self, sae: SAE, prepared: Prepared, source: ActivationSource, seed: int) -> Any:
        """Units are batches."""
        sums = [
            (float((batch.y_tokens.square().sum(1) ** 3).sum()), len(batch.y_tokens) ** 2)
            for batch in source.batches(prepared.required_rows)
        ]
        errors, lengths = (np.array(column, float) for column in zip(*sums, strict=True))
        yield evidence(errors, lengths)


class Bare(Sound):
    """A number in the place of evidence."""

    def score(self, sae: SAE, prepared: Prepared, source: ActivationSource, seed: int) -> Any:
        """The mean."""
        return [float(self._error(sae, prepared, source).mean())]


class Twice(Sound):
    """One metric for two things."""

    def score(self, sae: SAE, prepared: Prepared, source: ActivationSource, seed: int) -> Any:
        """The same again."""
        yield from super().score(sae, prepared, source, seed)
        yield from super().score(sae, prepared, source, seed)


class Undefined(Sound):
    """Zero by zero."""

    def score(self, sae: SAE, prepared: Prepared, source: ActivationSource, seed: int) -> Any:
        """No denominator."""
        yield evidence(np.zeros(3), np.zeros(3))


class Silent(Sound):
    """Says nothing at all."""

    def score(self, sae: SAE, prepared: Prepared, source: ActivationSource, seed: int) -> Any:
        """No metric."""
        return []


class NoReason(Sound):
    """Missing without a word."""

    def score(self, sae: SAE, prepared: Prepared, source: ActivationSource, seed: int) -> Any:
        """An empty reason."""
        yield Missing("relative_error", " ")


class Speechless(Sound):
    """Not applicable without a word."""

    def prepare(self, source: ActivationSource, seed: int) -> Prepared:
        """An empty reason."""
        raise NotApplicable("")


class UpsideDown(Sound):
    """An arrow that points the wrong way."""

    def score(self, sae: SAE, prepared: Prepared, source: ActivationSource, seed: int) -> Any:
        """Errors, of which more would be better."""
        error = self._error(sae, prepared, source)
        table = units("rows", "vector", {"error": error})
        yield Evidence("error", table, {"num": "error"}, unit="squared activation", better="higher")


class Scales(Sound):
    """Changes the SAE's weights in place."""

    def score(self, sae: SAE, prepared: Prepared, source: ActivationSource, seed: int) -> Any:
        """Rows of length one."""
        sae.W_dec.div_(sae.W_dec.norm(dim=1, keepdim=True) + 1)
        yield from super().score(sae, prepared, source, seed)


class Freezes(Sound):
    """Takes a user's parameters out of training."""

    def score(self, sae: Any, prepared: Prepared, source: ActivationSource, seed: int) -> Any:
        """No gradients from here on."""
        if hasattr(sae, "foreign"):
            sae.foreign.inner.requires_grad_(requires_grad=False)
        yield from super().score(sae, prepared, source, seed)


class Evaluates(Sound):
    """Takes a user's module out of train mode."""

    def score(self, sae: Any, prepared: Prepared, source: ActivationSource, seed: int) -> Any:
        """As if it were ours."""
        if hasattr(sae, "foreign"):
            sae.foreign.inner.eval()
        yield from super().score(sae, prepared, source, seed)


class Backward(Sound):
    """Leaves gradients in a user's module."""

    def score(self, sae: Any, prepared: Prepared, source: ActivationSource, seed: int) -> Any:
        """Of a sum of acts."""
        if hasattr(sae, "foreign"):
            sae.encode(torch.ones(2, sae.d_in)).sum().backward()
        yield from super().score(sae, prepared, source, seed)


class GradOff(Sound):
    """Turns gradients off for the whole process."""

    def score(self, sae: SAE, prepared: Prepared, source: ActivationSource, seed: int) -> Any:
        """Without turning them on again."""
        torch.set_grad_enabled(False)
        yield from super().score(sae, prepared, source, seed)


class Endless(Sound):
    """Has a limit, and does not keep it."""

    def prepare(self, source: ActivationSource, seed: int) -> Prepared:
        """All of them, or half of the case's vectors to be quick."""
        return Sound(300).prepare(source, seed)


class Numbered(Sound):
    """Facts under numbers, which JSON turns into text."""

    def prepare(self, source: ActivationSource, seed: int) -> Prepared:
        """A number as key."""
        ready = super().prepare(source, seed)
        return replace(ready, facts={"names": {1: "one"}})


class Wordy(Sound):
    """Text in an array."""

    def prepare(self, source: ActivationSource, seed: int) -> Prepared:
        """An array of words."""
        ready = super().prepare(source, seed)
        return replace(ready, arrays={"words": np.array(["a", "b"])})


class Crashes(Sound):
    """A mistake of its author's."""

    def score(self, sae: SAE, prepared: Prepared, source: ActivationSource, seed: int) -> Any:
        """An array that nobody prepared."""
        return [prepared.arrays["nowhere"]]


class Unprepared(Sound):
    """Returns what is no Prepared."""

    def prepare(self, source: ActivationSource, seed: int) -> Any:
        """A mapping."""
        return {"rows": 3}


class Restless(Sound):
    """Tells its data apart by the time."""

    def inputs(self, model: str | None) -> str:
        """The time."""
        return str(time.perf_counter_ns())


class Nowhere(Sound):
    """Reads nothing that there is."""

    def prepare(self, source: ActivationSource, seed: int) -> Prepared:
        """Refuse all."""
        raise NotApplicable("It reads proteins.")


@dataclass(frozen=True)
class Undocumented(Sound):
    """A field that nobody explains."""

    limit: int | None = None
    """Vectors read at most."""
    depth: int = 3


@dataclass(frozen=True)
class Nameless(Sound):  # noqa: D101  it is the fault
    limit: int | None = None
    """Vectors read at most."""


@dataclass
class Thawed:
    """Fields that can change."""

    name: ClassVar[str] = "thawed"
    version: ClassVar[int] = 1


class Swapped(Sound):
    """Arguments in another order."""

    def score(self, prepared: Any, sae: Any, source: Any, seed: int) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Mixed up."""
        return super().score(sae, prepared, source, seed)


class Versionless(Sound):
    """No version."""

    version: ClassVar[Any] = None


FAULTS = {
    Draws: r"`prepare` gives something else when it runs again with seed 0: arrays",
    Jitters: r"`score` gives something else when it runs again with seed 0: .*column 'num'",
    ByBatch: r"'relative_error' is .* with 4096 positions per batch and .* with 300",
    Bare: r"`score` yields .*, from which no interval",
    Twice: r"yields 'relative_error' twice",
    Undefined: r"'relative_error' is undefined over its 3 rows",
    Silent: r"`score` yields nothing",
    NoReason: r"'relative_error' is Missing for no reason",
    Speechless: r"NotApplicable has no reason",
    UpsideDown: r"by 'error' \(higher is better\) a random SAE has .* beats SAEs that are right",
    Scales: r"leaves the SAE with other numbers",
    Freezes: r"leaves the SAE with other requires_grad",
    Evaluates: r"leaves the SAE with other mode \(train or eval\)",
    Backward: r"leaves the SAE with other gradients",
    GradOff: r"leaves torch's .*True.* as .*False",
    Endless: r"limit=1 reads and scores as much as limit=50",
    Numbered: r"changed from the store: facts.names has keys \[1\] and \['1'\]",
    Wordy: r"prepared the array 'words' of <U1, but only numbers",
    Crashes: r"`score` raises KeyError: 'nowhere'",
    Unprepared: r"`prepare` gives a dict",
    Restless: r"`inputs\('gpt2'\)` of sound gives another answer each time",
    Nowhere: r"sound scores nothing anywhere: It reads proteins",
    Undocumented: r"The field 'depth' of Undocumented has no docstring",
    Nameless: r"The class Nameless has no docstring",
    Thawed: r"must be a frozen dataclass",
    Swapped: r"defines score\(.*but it is called as score\(self, sae, prepared, source, seed\)",
    Versionless: r"`version` must be an int from 1, not None",
}
"""Tasks with one fault each, and what of it the message must say."""


@pytest.mark.parametrize(
    "task, says", FAULTS.items(), ids=lambda value: getattr(value, "__name__", "")
)
def test_a_fault_is_named(task: type, says: str, vectors: Case) -> None:
    """A task with one fault fails with a message that says which, and says what to do."""
    gradients = torch.is_grad_enabled()
    try:
        with pytest.raises((AssertionError, SaevalError), match=says) as caught:
            check_task(task, cases=[vectors])
    finally:
        torch.set_grad_enabled(gradients)
    assert "\n" not in str(caught.value)


def test_metrics_are_those_declared(vectors: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where records of metrics stand beside a task, name, unit and direction must be theirs."""
    module = sys.modules[Sound.__module__]

    def declare(name: str, unit: str) -> None:
        record = Metric(name, unit=unit, better="lower", formula="Error by length.")
        monkeypatch.setattr(module, "RECORD", record, raising=False)

    declare("relative_error", "fraction")
    check_task(Sound, cases=[vectors])
    declare("relative_error", "nats")
    with pytest.raises(AssertionError, match="with unit 'nats' and yields it with 'fraction'"):
        check_task(Sound, cases=[vectors])
    declare("error_{k}", "fraction")
    with pytest.raises(AssertionError, match="'relative_error', which it declares nowhere"):
        check_task(Sound, cases=[vectors])


@pytest.mark.parametrize("name", sorted(tasks()))
def test_every_task_declares_its_metrics(name: str) -> None:
    """The records of the built-in tasks are found."""
    assert declared(load_task(name))


def test_nothing_is_left_behind(vectors: Case) -> None:
    """A check leaves the random numbers of the process as they were."""
    state = torch.random.get_rng_state()
    check_task(Sound(limit=9), cases=[vectors])
    assert torch.equal(state, torch.random.get_rng_state())
