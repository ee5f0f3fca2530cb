"""Numbers of a training that are negative, or zero without a meaning, are one clear line."""

import dataclasses
import typing
from typing import Any

import pytest

from saeval.errors import UsageError
from saeval.running.train.trainer import train_sae
from saeval.training import METHODS, Recipe
from saeval.training.choice import choose_method, choose_recipe

COUNTS = ("d_sae", "k", "tokens", "batch_size", "held_out")


@pytest.mark.parametrize("name", [*COUNTS, "seed", "warmup", "decay", "lr"])
def test_every_number_of_a_recipe_is_checked(name: str) -> None:
    """Every whole number and share, as an option or as a setting."""
    assert {f.name for f in dataclasses.fields(Recipe)} == {*COUNTS, "seed", "warmup", "decay"} | {
        "lr",
        "precision",
    }
    for value in (-1, 0) if name in COUNTS else (-1,):
        with pytest.raises(UsageError, match=name) as told:
            choose_recipe({"d_sae": 8, "k": 2}, {"recipe": {name: value}})
        assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_no_number_of_a_method_is_negative(name: str) -> None:
    """Whatever an architecture calls it."""
    hints = typing.get_type_hints(METHODS[name])
    for field in dataclasses.fields(typing.cast(Any, METHODS[name])):
        if hints[field.name] in (int, float):
            with pytest.raises(UsageError):
                choose_method(name, {name: {field.name: -1}}, transcoding=name == "transcoder")


@pytest.mark.parametrize("context", [-1, 0, 1])
def test_a_row_has_two_tokens_at_least(context: int) -> None:
    """A context of fewer is refused before anything is read."""
    with pytest.raises(UsageError, match="--context"):
        train_sae("topk", d_sae=8, k=2, model="lab/world", site="layers.1", context=context)
