"""One record of options: the command line, files and `evaluate` have these and no others."""

import dataclasses
import inspect
from typing import Any

import click
import pytest
from click.testing import CliRunner

import saeval
from saeval.cli.app import app, plan, run
from saeval.config.command_line import value_of
from saeval.config.configuration import from_mapping
from saeval.config.options import Configuration, Option, find_option, options
from saeval.errors import UsageError

NAMES = [item.name for item in dataclasses.fields(Configuration)]
SAMPLES: dict[str, tuple[str, Any]] = {
    "saes": ("a", ("a",)),
    "tasks": ("core", {"core": {}}),
    "seeds": ("0,2", (0, 2)),
    "limit": ("7", 7),
    "k": ("4", 4),
    "batch_size": ("16", 16),
    "device": ("cpu", "cpu"),
    "dtype": ("bfloat16", "bfloat16"),
    "compat": ("saebench", "saebench"),
}
"""What is typed for an option, and what it means; others are texts that mean themselves."""


@pytest.mark.parametrize("command", [run, plan])
def test_the_command_line_has_every_option(command: click.Command) -> None:
    """Run and plan take each field of the record as an option, with its text as help."""
    offered = {each.name: each for each in command.params if isinstance(each, click.Option)}
    shown = {"columns", "parts", "quiet"}  # these change what is shown, and nothing of the run
    assert set(offered) - shown == {*NAMES, "config", "set_", "as_json"}
    for option in options():
        assert offered[option.name].help == option.about.doc
        assert tuple(offered[option.name].opts) == option.flags
        assert option.about.doc.endswith(".")


def test_evaluate_has_every_option() -> None:
    """A keyword for each field of the record, with its default and an entry in the docstring."""
    signature = inspect.signature(saeval.evaluate).parameters
    assert set(signature) == {*NAMES, "config", "progress"}
    described = inspect.cleandoc(saeval.evaluate.__doc__ or "")
    for option in options():
        assert f"\n    {option.name}: " in described
        if option.name not in ("saes", "tasks"):
            assert signature[option.name].default == option.default


@pytest.mark.parametrize(
    "option", [one for one in options() if not one.is_flag], ids=lambda o: o.name
)
def test_what_is_typed_is_what_a_file_says(option: Option) -> None:
    """The text of every option, read and checked, is the value that YAML would give."""
    text, meaning = SAMPLES.get(option.name, ("text", "text"))
    value = value_of(option, (text,) if option.is_repeatable else text)
    assert getattr(from_mapping({option.name: value}), option.name) == meaning


@pytest.mark.parametrize(
    "option", [one for one in options() if one.about.least is not None], ids=lambda o: o.name
)
def test_too_small_numbers_are_refused(option: Option) -> None:
    """No number may be smaller than its option's least."""
    least = option.about.least
    assert least is not None
    from_mapping({option.name: least})
    with pytest.raises(
        UsageError, match=f"'{option.name}' must be at least {least}, not {least - 1}"
    ):
        from_mapping({option.name: least - 1})


@pytest.mark.parametrize("option", [one for one in options() if one.metavar], ids=lambda o: o.name)
def test_help_shows_what_may_be_given(option: Option) -> None:
    """--help names the form of each value."""
    shown = " ".join(CliRunner().invoke(app, ["run", "--help"]).output.split())
    assert f"{option.flags[-1]} {option.metavar}" in shown


def test_choices_stand_in_for_a_form() -> None:
    """An option of a few words shows them."""
    assert find_option("dtype").metavar == "float32|bfloat16|float16"
