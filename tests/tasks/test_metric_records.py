"""Each metric of each built-in task is declared as it is reported, and computed where it says."""

import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import saeval_tasks.probing.task as probing
from core_oracles import random_topk, tiny_models, tiny_source, words_file
from metric_runs import BENT, CURVED, TURNED, Run, replaced, scores_of
from saeval_tasks.absorption import Absorption
from saeval_tasks.core import Core
from saeval_tasks.probing import Probing
from saeval_tasks.synthetic import Synthetic

from saeval import lab
from saeval.activations import ModelSource, Store, model_source
from saeval.config import plugins
from saeval.config.metric_docs import MetricDescription, location, metrics_of
from saeval.evidence import NULL_SAE, Evidence, Metric
from saeval.lab.synthetic import world_source
from saeval.models import load_model
from saeval.running.run import load_sae

BUILT_IN = ("absorption", "core", "probing", "synthetic")
DECLARED = [metric for task in BUILT_IN for metric in metrics_of(plugins.find(plugins.TASKS)[task])]
FUNCTIONS = sorted({function for metric in DECLARED for function in metric.functions})
PATTERNS = [
    (re.compile(re.escape(metric.name).replace(re.escape("{k}"), r"\d+")), metric)
    for metric in DECLARED
]
FORMULAS = ("geometry", "loss", "reconstruction", "recovery", "sparsity")
"""Modules of saeval.metrics."""


def record_of(run: Run, name: str) -> MetricDescription:
    """The one record of a run's task that speaks of a metric."""
    (record,) = [
        metric
        for pattern, metric in PATTERNS
        if metric.task == run.task.name and pattern.fullmatch(name)
    ]
    number = re.search(r"_(\d+)(_|$)", name)
    return record.numbered(number[1]) if number and "{k}" in record.name else record


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    """The lab's model, read where its SAEs read."""
    model = load_model(str(lab.path("world/model")))
    return model_source(model, "layers.1", store=Store(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, world: ModelSource) -> dict[str, Run]:
    """Every task on the lab's world, on a synthetic world and on a stranger's model."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny, topk = tiny_source(folder), load_sae("lab/world/topk-16")
    base, planted = world_source("base"), load_sae("lab/synthetic/base/topk-16")
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(tiny_models.WORDS, 6)) for _ in range(120)]
    labelled = folder / "texts.csv"
    pd.DataFrame({"text": texts, "label": ["x", "y"] * 60}).to_csv(labelled)
    words = str(words_file(folder, tiny))
    by_text = Probing(str(labelled), compat_train_rows=40, compat_test_rows=20)
    few = Probing(sets=("gender",), top_k=(1, 4), documents=60)
    # Seed 8 with 100 documents draws no sentence of one family.
    spelling = Absorption(words_per_letter=20, documents=100, min_letters=2)
    return {
        "core": Run(Core(texts=words, context=16, compat="saebench"), tiny, random_topk()),
        "core, plain": Run(Core(texts=words, context=16), tiny, random_topk()),
        "core, world": Run(Core(limit=12, ce_rows=4), world, topk),
        "core, synthetic": Run(Core(limit=400, compat="saebench"), base, planted),
        "probing": Run(replace(by_text, compat="saebench"), tiny, random_topk()),
        "probing, plain": Run(by_text, tiny, random_topk()),
        "probing, world": Run(few, world, topk),
        "absorption": Run(replace(spelling, compat="saebench"), world, topk, seed=8),
        "absorption, plain": Run(spelling, world, topk),
        "absorption, cut": Run(
            Absorption(words_per_letter=2, documents=100, template="<{word} {letter}"), world, topk
        ),
        "synthetic": Run(Synthetic(limit=2000), base, planted),
    }


@pytest.fixture(scope="module")
def synthetic_probing() -> Iterator[Run]:
    """Probing of a synthetic world, with fewer activations, and so features, than by default."""
    with pytest.MonkeyPatch.context() as patch:
        sizes = {"WORLD_TRAIN": 400, "WORLD_TEST": 400}
        for name, size in sizes.items():
            patch.setattr(probing, name, size)
        sae = load_sae("lab/synthetic/base/topk-16")
        task = Probing(top_k=(1,), compat="saebench")
        yield Run(task, world_source("base"), sae)


def test_what_is_yielded_is_what_is_declared(runs: dict[str, Run], synthetic_probing: Run) -> None:
    """Every metric that a run yields has a record with its very unit, direction and anchors."""
    for name, run in {**runs, "probing, synthetic": synthetic_probing}.items():
        assert run.yielded, name
        for each in run.yielded:
            record = record_of(run, each.metric)
            assert (each.unit, each.better) == (record.unit, record.better), each.metric
            if isinstance(each, Evidence):
                for anchor in ("floor", "ceiling"):
                    declared, found = getattr(record, anchor), getattr(each, anchor)
                    assert isinstance(declared, str) or declared == found, (each.metric, anchor)


def test_what_is_declared_is_yielded(runs: dict[str, Run], synthetic_probing: Run) -> None:
    """No record speaks of a metric that no run yields, nor of an anchor that the data never set."""
    yielded = [each for run in [*runs.values(), synthetic_probing] for each in run.yielded]
    for pattern, record in PATTERNS:
        own = [each for each in yielded if pattern.fullmatch(each.metric)]
        scored = [each for each in own if isinstance(each, Evidence)]
        assert scored, record.name
        for anchor in ("floor", "ceiling"):
            if getattr(record, anchor) == NULL_SAE:
                assert all(each.null_floor for each in scored), record.name
            elif isinstance(getattr(record, anchor), str):
                assert any(getattr(each, anchor) is not None for each in scored), record.name


def test_only_what_is_reported_everywhere_is_declared_so(runs: dict[str, Run]) -> None:
    """Without --compat no record of SAEBench's is used, and off the lab none of the lab's."""
    for name in ("core, plain", "probing, plain", "absorption, plain"):
        for each in runs[name].yielded:
            assert record_of(runs[name], each.metric).where != "with --compat saebench"


def test_a_mean_over_groups_says_so_and_tells_their_sizes(
    runs: dict[str, Run], synthetic_probing: Run
) -> None:
    """Where a small group counts as much as a large one, record and result both say it.

    A table of groups names what they hold, whose counts it has; a mean over parts reports each
    part, with an n of its own. All else weighs every row alike, and its record names no groups.
    """
    for run in [*runs.values(), synthetic_probing]:
        scored = [each for each in run.yielded if isinstance(each, Evidence)]
        parts = {each.units.name for each in scored if each.part is not None}
        for each in scored:
            if each.part is not None:
                continue
            is_table_of_groups = " of " in each.units.unit
            is_mean_over_parts = each.aggregator == "macro_average/1"
            groups = record_of(run, each.metric).groups
            assert bool(groups) == (is_table_of_groups or is_mean_over_parts), each.metric
            assert not groups or "each counting the same" in groups, each.metric
            if is_table_of_groups:
                held = each.units.unit.partition(" of ")[2]
                sizes = each.units.table[held].to_numpy()
                span = sorted({f"{sizes.min():g}", f"{sizes.max():g}"}, key=float)
                assert each.unit_of_n.endswith(f" of {' to '.join(span)} {held}"), each.metric
            if is_mean_over_parts:
                assert each.units.name in parts, each.metric


def test_every_interval_is_about_something(runs: dict[str, Run], synthetic_probing: Run) -> None:
    """A metric with an interval says what other units it speaks of; one without says so or why."""
    for run in [*runs.values(), synthetic_probing]:
        whole = [e for e in run.yielded if isinstance(e, Evidence) and e.part is None]
        for each in whole:
            population = record_of(run, each.metric).population
            assert population, each.metric
            says_none = population.startswith("no interval")
            is_conditional = "where only" in population
            if says_none or not is_conditional:
                assert says_none == bool(each.no_interval), each.metric


@pytest.mark.parametrize("task", BUILT_IN)
def test_pages_say_what_intervals_are_about(task: str) -> None:
    """The page of a task has what each of its records says of it, word for word."""
    page = Path(__file__).parents[2] / "docs" / "tasks" / f"{task}.md"
    text = " ".join(page.read_text().split())
    for metric in DECLARED:
        if metric.task == task and not metric.population.startswith("no interval"):
            assert metric.population in text, metric.name


def test_formulas_that_are_means_over_groups_name_them() -> None:
    """A mean over anything but tokens, rows, latents, features or draws is one over groups."""
    ungrouped = r"(all |matched |the same |the )?(tokens|latents|matched|features|rows|3 orders)"
    for metric in DECLARED:
        over = re.findall(r"mean over (?!words, then)(.+?)(?=[,.;:]|$)", metric.formula)
        if any(not re.match(ungrouped, each) for each in over):
            assert metric.groups, metric.name


def test_records_are_read_as_they_run() -> None:
    """What is read from the source, unrun, is what the modules hold when they run."""
    for task in BUILT_IN:
        folder = Path(str(importlib.import_module(f"saeval_tasks.{task}").__file__)).parent
        names = [path.stem for path in folder.glob("*metrics.py")]
        modules = [importlib.import_module(f"saeval_tasks.{task}.{name}") for name in names]
        live = {
            value.name: replace(
                value, population=value.population or getattr(module, "POPULATION", "")
            )
            for module in modules
            for value in vars(module).values()
            if isinstance(value, Metric)
        }
        read = {metric.name: metric for metric in DECLARED if metric.task == task}
        assert live.keys() == read.keys()
        for name, metric in live.items():
            assert vars(metric) == {key: getattr(read[name], key) for key in vars(metric)}


@pytest.mark.parametrize("metric", DECLARED, ids=lambda metric: metric.name)
def test_records_tell_a_stranger_enough(metric: MetricDescription) -> None:
    """Each has a formula, a warning that goes on from "Do not trust it", and code that exists."""
    assert len(metric.formula.split()) > 5
    assert metric.formula.endswith(".")
    assert metric.distrust[0].islower()
    assert metric.distrust.endswith(".")
    for function in metric.functions:
        module, _, name = function.partition(":")
        assert f".py:{name} (line " in location(function)
        inspect.getattr_static(importlib.import_module(module), name.split(".")[0])
    if metric.name != "cut_words":  # a count of prompts, with no arithmetic of its own
        assert metric.functions


def _unchanged(run: Run, function: str) -> set[str]:
    """Metrics that name a function, and whose score stays whichever way it is changed."""
    left = {name for name in run.scores if function in record_of(run, name).functions}
    for change in (BENT, CURVED, TURNED):
        for again in (False, True):  # what is prepared takes longest, and seldom matters
            if left:
                with replaced(function, change):
                    prepared = run.task.prepare(run.source, run.seed) if again else run.prepared
                    scores = scores_of(run.score(prepared))
                left = {name for name in left if scores.get(name) == run.scores[name]}
    return left


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_function_named_is_the_one_reported(runs: dict[str, Run], function: str) -> None:
    """A fault in a function that a record names changes the score of that metric."""
    tasks = {metric.task for metric in DECLARED if function in metric.functions}
    assert tasks
    for task in tasks:
        assert any(function in record_of(runs[task], name).functions for name in runs[task].scores)
        assert not _unchanged(runs[task], function), f"{function} does not bear on these"


def test_every_formula_is_used(runs: dict[str, Run]) -> None:
    """Every public function of saeval.metrics is called where a built-in task is scored."""
    public = [
        f"{module.__name__}:{name}"
        for module in (importlib.import_module(f"saeval.metrics.{each}") for each in FORMULAS)
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__
        if not name.startswith("_")
    ]
    assert len(public) > 20
    called: set[str] = set()

    def score() -> None:
        for name in ("core", "synthetic"):
            run = runs[name]
            run.score(run.task.prepare(run.source, run.seed))

    _recording(public, called, score)
    assert called == set(public)


def _recording(functions: list[str], called: set[str], act) -> None:  # noqa: ANN001
    """Do something, and write down which of the functions it calls."""
    if not functions:
        act()
        return
    first, *rest = functions

    def noting(function):  # noqa: ANN001, ANN202
        def noted(*args: object, **kwargs: object) -> object:
            called.add(first)
            return function(*args, **kwargs)

        return noted

    with replaced(first, noting):
        _recording(rest, called, act)
