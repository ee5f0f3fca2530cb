"""A limit may be a share of the units: every built-in task scores that many of them, the first."""

import dataclasses
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from saeval_tasks.absorption.task import Absorption
from saeval_tasks.core.task import Core
from saeval_tasks.probing.task import Probing
from saeval_tasks.synthetic.task import Synthetic
from tiny_runs import Error, texts_file, topk

import saeval
from saeval.activations import ActivationSource, Store, array_source, model_source
from saeval.config.counts import limited_count
from saeval.config.plugins import load_task, tasks
from saeval.errors import UsageError
from saeval.lab.synthetic.source import world_source
from saeval.models import load_model


@pytest.mark.parametrize(
    "limit, units, least, left",
    [
        (None, 7, 1, 7),
        (3, 7, 1, 3),
        (9, 7, 1, 7),
        (0.5, 7, 1, 4),  # 3.5, of which the even neighbour is 4
        (0.1, 1000, 1, 100),
        (0.001, 7, 1, 1),
        (0.1, 100, 20, 20),
        (0.999, 7, 1, 7),
    ],
)
def test_a_share_becomes_a_number(limit: Any, units: int, least: int, left: int) -> None:
    """By hand: nearest whole number, at least the least, at most all."""
    assert limited_count(limit, units, least) == left


@pytest.mark.parametrize("name", sorted(tasks()))
def test_every_count_of_every_task_is_checked(name: str) -> None:
    """A negative number in any whole-number field, and a limit that is no share, is one line."""
    cls = load_task(name)
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(typing.cast(Any, cls)):
        hint = hints[field.name]
        several = typing.get_origin(hint) is tuple
        if not several and int in (hint, *typing.get_args(hint)):
            with pytest.raises(
                UsageError, match=rf"^{name}\.{field.name} must be at least"
            ) as told:
                cls(**{field.name: -1})
            assert "\n" not in str(told.value)
    for wrong in (0.0, 1.0, 1.5, -0.1, float("nan"), True):
        with pytest.raises(UsageError, match=rf"^{name}\.limit must be a whole number from"):
            cls(limit=wrong)
    cls(limit=0.5)


def _sources(folder: Path) -> dict[str, tuple[ActivationSource, Any]]:
    """Sources of three kinds, each with a task to read them."""
    x = np.random.default_rng(0).normal(size=(400, 16)).astype(np.float32)
    model = load_model(str(tiny_models.build("gpt2", folder / "gpt2")))
    text = model_source(model, "layers.1", store=Store(folder / "store"))
    core = Core(texts=str(texts_file(folder)), context=tiny_models.CONTEXT)
    return {
        "vectors": (array_source(x), Core()),
        "a row a text": (text, core),
        "packed": (text, dataclasses.replace(core, context=8, overflow="pack")),
        "some rows": (text, dataclasses.replace(core, rows=8)),
        "synthetic": (world_source("base"), Synthetic()),
    }


def test_a_share_reads_what_its_number_reads(tmp_path: Path) -> None:
    """A quarter of all rows are the very rows of the number that a quarter is."""
    for name, (source, task) in _sources(tmp_path).items():
        whole, share = (
            replaced.prepare(source, 0).required_rows
            for replaced in (task, dataclasses.replace(task, limit=0.25))
        )
        number = dataclasses.replace(task, limit=round(len(whole) / 4))
        assert len(share) == round(len(whole) / 4), name
        assert share.digest == number.prepare(source, 0).required_rows.digest, name


def test_absorption_and_probing_take_a_share() -> None:
    """Half the words that are tested; a tenth of the test activations."""
    source = model_source(load_model("lab://world/model"), "layers.1")
    test_words = [
        int((Absorption(limit=limit, documents=100).prepare(source, 0).arrays["split"] == 2).sum())
        for limit in (None, 0.5)
    ]
    assert test_words[1] == pytest.approx(test_words[0] / 2, rel=0.35)
    source = world_source("base")
    for limit, rows in ((None, 4000), (0.1, 400)):
        role = Probing(limit=limit, top_k=(1,)).prepare(source, 0).arrays["role_0"]
        assert (role == 2).sum() == rows


def test_a_task_that_takes_whole_numbers_only_says_so(tmp_path: Path) -> None:
    """A share for a task whose limit is a whole number: one line, before anything is computed."""
    Error.prepared.clear()
    x = np.ones((4, 16), np.float32)
    with pytest.raises(UsageError, match=r"'error' takes a whole number as its limit.*--limit"):
        saeval.evaluate(topk(), Error(), data=x, limit=0.5, output_path=tmp_path)
    assert not Error.prepared
