"""A configuration as a command, and back."""

import shlex

import pytest

from saeval.cli.app import app
from saeval.config.command_line import command_of, configuration_of
from saeval.config.options import Configuration

CONFIGURATIONS = [
    Configuration(saes=("lab/world/topk-16",)),
    Configuration(saes=("a b", "it's"), tasks={"core": {}}, seeds=(0, 3), limit=0.5),
    Configuration(saes=("a",), tasks={"core": {"rows": 9}, "synthetic": {}}, limit=20, force=True),
    Configuration(
        saes=("a",), tasks={"core": {"texts": "x.txt", "tokens": None}}, k=4, batch_size=2
    ),
    Configuration(saes=("a",), model="m", site="layers.1", dtype="bfloat16", compat="saebench"),
]


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_the_command_says_the_configuration(configuration: Configuration) -> None:
    """What `saeval run` reads from the command is the configuration it was made of."""
    program, command, *arguments = shlex.split(command_of(configuration))
    assert (program, command) == ("saeval", "run")
    typed = app.commands["run"].make_context("run", arguments).params
    assert configuration_of(typed)[0] == configuration
