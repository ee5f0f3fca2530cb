"""Metrics are described from source alone, those of strangers too; nothing of it runs."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from saeval.config import metric_docs, plugins
from saeval.config.metric_docs import MetricDescription, find_metrics, location, metrics_of
from saeval.errors import UsageError
from saeval.evidence import NULL_SAE

TASK = """
    from saeval.evidence import Metric
    from elsewhere import Metric as Other
    raise SystemExit("this module was run")

    UNIT = "nats"
    LOSS = Metric("loss", UNIT, "lower", formula="Sum of " "losses.", floor=2.5, ceiling="least")
    NOT_OURS = Other("other")

    def made():
        return Metric("inner", "nats", "none", formula="Not at the top level.")

    class Stranger:
        pass
"""
BESIDE = """
    import saeval.evidence as ev
    raise SystemExit
    BOTH = (
        ev.Metric("top_{k}", unit="fraction", better="higher", formula="As `top_{k}`."),
        ev.Metric("rest", unit="fraction", better="none", formula="The rest."),
    )
"""


def package(folder: Path, monkeypatch: pytest.MonkeyPatch, **files: str) -> plugins.Plugin:
    """A plugin of these modules, each of which would end the process if it ran."""
    name = f"md_{folder.name.replace('-', '_')}"
    (folder / name).mkdir()
    for file, text in {"__init__": "raise SystemExit", **files}.items():
        (folder / name / f"{file}.py").write_text(dedent(text))
    monkeypatch.syspath_prepend(folder)
    plugin = plugins.Plugin("stranger", f"{name}.task:Stranger", "strangers 1.0")
    monkeypatch.setattr(metric_docs, "find", lambda _: {"stranger": plugin})
    return plugin


def test_records_of_a_stranger_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the task's module and of files called after metrics, whatever Metric is called."""
    files = {"task": TASK, "metrics": BESIDE, "other": BESIDE, "biometrics": BESIDE}
    found = metrics_of(package(tmp_path, monkeypatch, **files))
    assert [metric.name for metric in found] == ["loss", "top_{k}", "rest"]
    loss = found[0]
    assert (loss.unit, loss.better, loss.formula) == ("nats", "lower", "Sum of losses.")
    assert (loss.floor, loss.ceiling, loss.task) == (2.5, "least", "stranger")
    assert loss.declared_in.endswith("task.py:7")


def test_imported_names_are_read_where_they_are_assigned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`NULL_SAE` of saeval, under any name, and a constant of a module of the task's own."""
    task = """
        from saeval.evidence import NULL_SAE as NULL, Metric
        from .shared import UNIT
        M = Metric("m", UNIT, "lower", formula="Sum of losses.", floor=NULL)
        class Stranger:
            pass
    """
    shared = "UNIT = 'nats'\nraise SystemExit"
    (found,) = metrics_of(package(tmp_path, monkeypatch, task=task, shared=shared))
    assert (found.unit, found.floor) == ("nats", NULL_SAE)


def test_names_numbers_and_globs_find_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name finds its metric, a number fills the open place in every text, a glob finds all."""
    package(tmp_path, monkeypatch, task=TASK, metrics=BESIDE)
    assert [metric.name for metric in find_metrics("loss")] == ["loss"]
    (top,) = find_metrics("top_16")
    assert (top.name, top.formula) == ("top_16", "As `top_16`.")
    assert [metric.name for metric in find_metrics("top_{k}")] == ["top_{k}"]
    assert [metric.name for metric in find_metrics("*o*")] == ["loss", "top_{k}"]
    assert not find_metrics("top_x")
    assert metric_docs.metric_names() == ["loss", "top_1", "rest"]


@pytest.mark.parametrize(
    "record, message",
    [
        ('Metric("m", unit=made(), better="none", formula="f")', "'made()' as its unit"),
        ('Metric("m", unit="u", better="none")', "has no formula"),
        ('Metric("m", "u", "none", formula="f", colour="red")', "unknown field 'colour'"),
        ('Metric("m", "u", "none", "f")', "more than 3 fields without their names"),
    ],
)
def test_a_record_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: str, message: str
) -> None:
    """The message names file, line and fault; searches for other metrics go on."""
    text = f"from saeval.evidence import Metric\nM = {record}\nclass Stranger: ...\n"
    plugin = package(tmp_path, monkeypatch, task=text)
    with pytest.raises(UsageError, match=r"task.py:2 has") as caught:
        metrics_of(plugin)
    assert message in str(caught.value)
    assert find_metrics("m") == []


def test_a_function_is_shown_where_it_stands() -> None:
    """File, name and line of functions and of methods; what is not there stays as it is."""
    assert "saeval/metrics/loss.py:harm_avoided (line " in location(
        "saeval.metrics.loss:harm_avoided"
    )
    assert "recovery.py:Firing.f1 (line " in location("saeval.metrics.recovery:Firing.f1")
    assert location("saeval.metrics.loss:nothing") == "saeval.metrics.loss:nothing"
    assert location("nowhere.at_all:nothing") == "nowhere.at_all:nothing"


def test_finding_a_metric_is_light() -> None:
    """All metrics that saeval brings are found without torch, pandas or numpy."""
    script = """
        import sys
        from saeval.config.metric_docs import find_metrics, row_of_metric
        assert len([row_of_metric(metric) for metric in find_metrics("*")]) > 80
        assert not {"torch", "pandas", "numpy"} & set(sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_fields_are_those_of_the_record() -> None:
    """What is read has the very fields that the record has, and where it was read."""
    from saeval.evidence import Metric

    record = list(Metric.__dataclass_fields__)
    assert list(MetricDescription.__dataclass_fields__) == [*record, "task", "declared_in"]
