"""The run configuration: what YAML, options and --set may say, and what they may not."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import pytest
import yaml

from saeval.config import configuration
from saeval.config.configuration import (
    configured,
    from_mapping,
    overridden,
    to_mapping,
    with_settings,
)
from saeval.config.options import Configuration
from saeval.errors import UsageError


@dataclass(frozen=True)
class Probe:
    """A task with a field of every kind."""

    name: ClassVar[str] = "probe"
    ks: tuple[int, ...] = (1, 2)
    l2: float = 1.0
    rows: int | None = None
    tokens: Path | None = None
    pooling: Literal["mean", "max"] = "mean"
    binarise: bool = False
    limit: int | None = None
    split: tuple[int, str] = (1, "train")

    def __post_init__(self) -> None:
        if self.l2 <= 0:
            raise ValueError("l2 must be positive")


FULL = {
    "saes": ["lab/world/topk-16", "folder/*"],
    "tasks": {"core": {"ce_rows": 10, "tokens": "rows.npy"}, "probe": {"ks": [1, 5]}},
    "model": "EleutherAI/pythia-160m",
    "site": "layers.8",
    "data": "texts.jsonl",
    "registry": "own.yaml",
    "seeds": [0, 2],
    "limit": 100,
    "k": 8,
    "batch_size": 4096,
    "device": "cpu",
    "dtype": "bfloat16",
    "compat": "saebench",
    "force": True,
    "output_path": "out",
}


def test_round_trip_of_every_key() -> None:
    """A mapping with every key set comes back as it went in, through YAML too."""
    assert set(FULL) == set(to_mapping(Configuration()))
    assert to_mapping(from_mapping(FULL)) == FULL
    assert yaml.safe_load(yaml.safe_dump(to_mapping(from_mapping(FULL)))) == FULL


def test_a_result_file_is_a_configuration(tmp_path: Path) -> None:
    """The `run` of a result file is read where a configuration file is expected."""
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"result_id": "abc", "run": FULL, "scores": []}))
    assert to_mapping(from_mapping(configuration.read_configuration(path))) == FULL


def test_options_override_the_file_and_settings_override_both() -> None:
    """--set beats an option, and an option beats the file."""
    asked = overridden(FULL, {"limit": 7})
    made = from_mapping(with_settings(asked, [("core", "ce_rows", 3), ("probe", "ks", [2])]))
    assert made.limit == 7
    assert made.model == FULL["model"]
    assert made.tasks == {"core": {"ce_rows": 3, "tokens": "rows.npy"}, "probe": {"ks": [2]}}


def test_tasks_named_by_option_keep_the_files_fields() -> None:
    """`--tasks core` runs core alone, still with the fields that the file sets for it."""
    assert overridden(FULL, {"tasks": "core"})["tasks"] == {"core": FULL["tasks"]["core"]}


@pytest.mark.parametrize(
    "mapping, says",
    [
        ({"sae": ["x"]}, "unknown key 'sae'. Did you mean 'saes'"),
        ({"seeds": ["one"]}, "'seeds' must be a whole number, not ['one']"),
        ({"seeds": [0, -1]}, "'seeds' must be at least 0, not 0, -1"),
        ({"seeds": []}, "'seeds' must be at least one whole number"),
        ({"limit": 0}, "'limit' must be at least 1, not 0"),
        ({"batch_size": 0}, "'batch_size' must be at least 1, not 0"),
        ({"limit": True}, "'limit' must be a whole number from 1, or a share of the units"),
        ({"limit": 1.0}, "above 0 and below 1, such as 0.1, not 1.0"),
        ({"limit": 1.5}, "above 0 and below 1, such as 0.1, not 1.5"),
        ({"limit": -0.5}, "above 0 and below 1, such as 0.1, not -0.5"),
        ({"limit": -5}, "'limit' must be at least 1, not -5"),
        ({"limit": float("nan")}, "above 0 and below 1, such as 0.1, not nan"),
        ({"limit": "10%"}, "above 0 and below 1, such as 0.1, not '10%'"),
        ({"device": "gpu"}, "'device' must be one of auto, cpu, cuda, mps, not 'gpu'"),
        (
            {"dtype": "int8"},
            "'dtype' must be one of float32, bfloat16, float16",
        ),
        ({"compat": "other"}, "'compat' must be one of saebench or null, not 'other'"),
        ({"batch_size": "big"}, "'batch_size' must be a whole number or one of auto"),
        ({"tasks": 3}, "'tasks' must be names"),
        ({"tasks": {"core": [1]}}, "'tasks' must be names"),
        ({"tasks": [{"core": [1]}]}, "'tasks' must be names"),
        ({"tasks": [["core"]]}, "'tasks' must be names"),
        ({"tasks": ["core", {"core": {"ce_rows": 8}}]}, "the task 'core' is named twice"),
        ({"tasks": "core,core"}, "the task 'core' is named twice"),
    ],
)
def test_wrong_values_are_refused(mapping: dict[str, object], says: str) -> None:
    """Each wrong key or value is named in the error, with what would be right."""
    with pytest.raises(UsageError) as caught:
        from_mapping(mapping)
    assert says in str(caught.value)


def test_tasks_may_be_a_list_of_names_and_mappings() -> None:
    """A list may hold names, and mappings of names to fields, in the order in which they run."""
    tasks = [{"core": {"ce_rows": 8}}, "probing", {"absorption": None}]
    made = from_mapping({"tasks": tasks}).tasks
    assert made == {"core": {"ce_rows": 8}, "probing": {}, "absorption": {}}
    assert list(made) == ["core", "probing", "absorption"]


@pytest.mark.parametrize("text", ["core", "core=1", "core.=1", ".x=1", "core.x"])
def test_malformed_settings(text: str) -> None:
    """--set without task, field or value is refused with the form it should have."""
    with pytest.raises(UsageError, match=r"task\.field=value"):
        configuration.parse_setting(text)


def test_setting_values_are_yaml() -> None:
    """Numbers, lists, null, booleans and texts are read as YAML; '=' may stand in a value."""
    read = [configuration.parse_setting(f"t.f={v}")[2] for v in ("3", "[1, 2]", "null", "true")]
    assert read == [3, [1, 2], None, True]
    assert configuration.parse_setting("t.f=a=b") == ("t", "f", "a=b")
    with pytest.raises(UsageError, match="not YAML"):
        configuration.parse_setting("t.f=[1")


def test_setting_of_a_task_that_does_not_run() -> None:
    """--set for a task outside the run is refused, with the nearest that runs."""
    with pytest.raises(UsageError, match=r"no task 'cor' in this run. Did you mean 'core'"):
        with_settings(overridden({"tasks": ["core"]}, {}), [("cor", "x", 1)])


def test_fields_are_checked_and_converted() -> None:
    """Lists become tuples, whole numbers floats, 1e-3 (text in YAML 1.1) a number, texts paths."""
    settings = {"ks": [5], "l2": "1e-3", "tokens": "a.npy", "rows": 4, "split": [2, "test"]}
    made = configured(Probe, settings, "probe")
    assert made == Probe(ks=(5,), l2=1e-3, tokens=Path("a.npy"), rows=4, split=(2, "test"))
    assert configured(Probe, {"l2": 2, "rows": None}, "probe").l2 == 2.0


@pytest.mark.parametrize(
    "settings, says",
    [
        ({"k": 1}, "Task 'probe' has no field 'k'. Did you mean 'ks'"),
        ({"ks": 5}, "probe.ks must be a list, such as [1, 2], not 5"),
        ({"ks": ["a"]}, "probe.ks must be a whole number, not ['a']"),
        ({"l2": "much"}, "probe.l2 must be a number, not 'much'"),
        ({"l2": True}, "probe.l2 must be a number, not True"),
        ({"binarise": 1}, "probe.binarise must be true or false, not 1"),
        ({"pooling": "sum"}, "probe.pooling must be one of mean, max, not 'sum'"),
        ({"split": [1]}, "probe.split must be a list of 2, not [1]"),
        ({"l2": -1.0}, "refuses its configuration: l2 must be positive"),
    ],
)
def test_wrong_fields_are_refused(settings: dict[str, object], says: str) -> None:
    """An unknown field or a value of another type is one error that names both."""
    with pytest.raises(UsageError) as caught:
        configured(Probe, settings, "probe")
    assert says in str(caught.value)


def test_unreadable_files(tmp_path: Path) -> None:
    """A missing file, broken YAML and a YAML list are three clear errors."""
    with pytest.raises(UsageError, match="Cannot read"):
        configuration.read_configuration(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("saes: [")
    with pytest.raises(UsageError, match="is not YAML"):
        configuration.read_configuration(broken)
    broken.write_text("- a\n- b\n")
    with pytest.raises(UsageError, match="must hold a mapping"):
        configuration.read_configuration(broken)


def test_nothing_in_yaml_is_executed(tmp_path: Path) -> None:
    """A YAML tag that would call a function is refused, and the function is not called."""
    target = tmp_path / "made"
    path = tmp_path / "evil.yaml"
    path.write_text(f"!!python/object/apply:os.mkdir ['{target}']")
    with pytest.raises(UsageError, match="is not YAML"):
        configuration.read_configuration(path)
    assert not target.exists()
