"""Which problems data make, whatever the seed; blocks of rows; both sides of signed latents."""

import numpy as np
import pytest
from saeval_tasks._texts.data_set import DataSet, LabelledTexts
from saeval_tasks._texts.labelled import lab_sets
from saeval_tasks.probing.evidence import Problem, problem_evidence, top_k_probe
from saeval_tasks.probing.f1 import F1_METRICS, Detector, Sides, best_latents
from saeval_tasks.probing.rows import (
    FIT,
    TEST,
    TextNumbers,
    draw_probe_set,
    problem_labels,
    world_set,
)
from scipy.sparse import csc_matrix, csr_matrix

from saeval.evidence import summarise_all
from saeval.lab.synthetic import evaluation_sample, synthetic_world


def _labelled(labels: list[tuple[str, ...]]) -> DataSet:
    """A data set whose train and test texts have these labels."""
    texts = LabelledTexts(tuple(f"text {number}" for number in range(len(labels))), tuple(labels))
    return DataSet("told", texts, texts, "told")


@pytest.mark.parametrize(
    "labels, expected",
    [
        ([("0",), ("1",)], ("1",)),
        ([("true",), ("false",)], ("true",)),
        ([("Yes",), ("No",)], ("Yes",)),
        ([("0",), ("-1",)], ("-1",)),
        ([("female",), ("male",)], ("male",)),
        ([("4",), ("2",)], ("4",)),
        ([("a",), ("b",), ("c",)], ("a", "b", "c")),
        ([("a",), ("b",), ("a", "b")], ("a", "b")),
        ([("a",), ("b",), ()], ("a", "b")),
    ],
)
def test_two_exclusive_labels_are_one_problem(
    labels: list[tuple[str, ...]], expected: tuple[str, ...]
) -> None:
    """The yes of yes and no, or the second in order; labels that may go together are two."""
    assert problem_labels(_labelled(labels)) == expected
    assert problem_labels(_labelled(labels[::-1])) == expected


def test_problems_of_the_lab_are_the_same_for_every_seed() -> None:
    """Gender and both ratings are one problem each, and stay those."""
    parts = [
        [
            part
            for data_set in lab_sets("lab/world/model", 30, 20, seed)
            for part in draw_probe_set(data_set, 300, 200, seed, TextNumbers()).parts
        ]
        for seed in (0, 1)
    ]
    assert parts[0] == parts[1]
    pairs = [part for part in parts[0] if part.split("/")[0] in ("gender", "rating", "mild_rating")]
    assert pairs == ["gender/male", "rating/5", "mild_rating/4"]


def test_all_features_that_fire_often_enough_are_problems() -> None:
    """The seed draws rows, never features: those with 40 of 4,000 rows in expectation."""
    world, truth = synthetic_world("base"), evaluation_sample("base").truth.toarray() > 0
    first, other = (world_set(world, 4000, 4000, seed) for seed in (0, 1))
    assert first.classes == other.classes
    assert not np.array_equal(first.text, other.text)
    expected = np.flatnonzero(truth.mean(0) >= 0.01)
    assert first.classes == tuple(f"feature_{number}" for number in expected)
    assert np.array_equal(first.y, truth[first.text][:, expected])
    assert (first.role == TEST).sum() == 4000
    assert (first.role == FIT).sum() == 3200


def _problems(rows: int, problems: int) -> list[Problem]:
    """Problems with scores and predictions that know something of the labels."""
    rng, found = np.random.default_rng(0), []
    for number in range(problems):
        y = rng.random(rows) < (0.02 + 0.3 * number)
        score = rng.normal(size=rows) + 2 * y
        says = dict.fromkeys(F1_METRICS, score > 1)
        found.append(
            Problem(f"told/{number}", np.arange(rows), y, {top_k_probe(1): score}, [score], says)
        )
    return found


def test_blocks_of_rows_change_no_value() -> None:
    """Values are those of single rows; n counts blocks, and intervals are about as wide."""
    problems = _problems(rows=1000, problems=3)
    by_row = list(problem_evidence(problems, "activation"))
    by_block = list(problem_evidence(problems, "activation", blocks=200))
    assert [(one.metric, one.part) for one in by_row] == [
        (one.metric, one.part) for one in by_block
    ]
    for row, block in zip(summarise_all(by_row), summarise_all(by_block), strict=True):
        assert block.value == pytest.approx(row.value)
        assert (row.clusters, block.clusters) == (1000, 200)
        if row.stderr is not None:
            assert block.stderr == pytest.approx(row.stderr, rel=0.25)
    few = next(iter(problem_evidence(_problems(50, 1), "activation", blocks=200)))
    assert len(few.units.table) == 50
    assert set(by_block[0].units.table["rows"].tolist()) == {5}


def test_both_sides_of_a_signed_latent_detect() -> None:
    """Of one latent, above 0 is one concept and below 0 another; beyond 2 either is a third.

    A latent that is never negative has no second side: its silence detects nothing.
    """
    z = np.array([[3.0, 0.0], [1.0, 1.0], [0.0, 0.0], [-1.0, 1.0], [-3.0, 1.0], [0.0, 1.0]])
    y = np.array([z[:, 0] > 0, z[:, 0] < 0, z[:, 0] < -2, z[:, 1] == 0]).T
    pairs = best_latents(csr_matrix(z), y)
    assert [untuned for _, untuned in pairs[:2]] == [Detector(0, 0.0), Detector(0, 0.0, -1)]
    assert pairs[2][0] == Detector(0, 2.0, -1)
    for (tuned, untuned), label in zip(pairs[:2], y.T, strict=False):
        assert untuned.says(csc_matrix(z)).tolist() == label.tolist()
        assert tuned.says(csc_matrix(z)).tolist() == label.tolist()
    assert pairs[2][0].says(csc_matrix(z)).tolist() == y[:, 2].tolist()
    assert not any(one.sign < 0 and one.latent == 1 for pair in pairs for one in pair)


def test_latents_above_0_have_one_side() -> None:
    """Nothing is added for an SAE without negative acts."""
    z = csr_matrix(np.random.default_rng(0).random((20, 5)))
    sides = Sides.of(z)
    assert sides.z is z
    assert sides.latent.tolist() == list(range(5))
    assert (sides.sign == 1).all()
