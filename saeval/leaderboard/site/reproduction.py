"""The command that reproduces the results of an SAE, from what its results record of their runs."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from saeval.leaderboard.entrants import Filed

_OPTIONS = ("model", "site", "data", "limit", "k", "dtype", "compat")
"""Options of a run that may change a number, as `saeval run` spells them."""


def commands(filed: Sequence[Filed]) -> list[str]:
    """Command lines that compute some results again; one, unless they were run with other options.

    None for what another harness published: saeval's own figures are others.

    Names that a submission chose are quoted, so that pasting a line runs `saeval` and nothing else.
    """
    groups: dict[str, list[Filed]] = {}
    for one in (one for one in filed if not one.imported):
        run = one.result.run
        key = json.dumps([_named(one), *(run.get(name) for name in _OPTIONS)], default=str)
        groups.setdefault(key, []).append(one)
    return [shlex.join(_command(group)) for group in groups.values()]


def _named(one: Filed) -> str:
    """What `--sae` takes for it."""
    about = next(iter(one.result.provenance.get("saes") or ()), {})
    return str(about.get("id") or about.get("source") or one.result.sae or one.result.set or "")


def _command(filed: Sequence[Filed]) -> list[str]:
    tasks: dict[str, Mapping[str, Any]] = {}
    for one in filed:
        fields = (one.result.run.get("tasks") or {}).get(one.result.task) or {}
        tasks.setdefault(one.result.task, fields)
    words = ["saeval", "run", "--sae", _named(filed[0]), "--tasks", ",".join(tasks)]
    for task, fields in tasks.items():
        for name, value in fields.items():
            words += ["--set", f"{task}.{name}={json.dumps(value)}"]
    run = filed[0].result.run
    for name in _OPTIONS:
        if run.get(name) is not None:
            words += [f"--{name}", _word(run[name])]
    seeds = sorted({one.result.seed for one in filed})
    return [*words, "--seeds", ",".join(map(str, seeds))]


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
