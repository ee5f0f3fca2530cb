"""What a comparison says of planted differences, and what it refuses to say."""

import re
from typing import Any

import numpy as np
import pytest
from scipy import stats
from simulated import World

from saeval.errors import UsageError
from saeval.evidence.multiple import holm
from saeval.results.comparison.comparing import Choices, find_differences
from saeval.results.comparison.findings import Findings
from saeval.results.comparison.row import Row

N = 200


def rows(seed: int, shift: float = 0.0, n: int = N) -> np.ndarray:
    """Rows of a mean near the shift, of standard deviation 1."""
    return np.random.default_rng(seed).normal(size=n) + shift


def found(world: World, *names: str, sets: Any = None, **choices: Any) -> Findings:
    """The comparison of some names."""
    given = {"columns": ("all",), **choices}
    return find_differences(world.kin(**(sets or {})), names, Choices(**given))


def only(world: World, *names: str, **choices: Any) -> Row:
    """The row of a comparison that has one."""
    (row,) = found(world, *names, **choices).rows
    return row


@pytest.mark.parametrize(
    "metric, shift, verdict",
    [
        ("quality", 1.0, "better"),
        ("quality", -1.0, "worse"),
        ("error", 1.0, "worse"),
        ("error", -1.0, "better"),
        ("other", 1.0, "higher"),
        ("other", -1.0, "lower"),
        ("quality", 0.0, "indistinguishable"),
    ],
)
def test_verdict_follows_the_direction_of_the_metric(
    metric: str, shift: float, verdict: str
) -> None:
    """A planted difference is told by the metric's arrow; without an arrow never as better."""
    common = rows(0)
    noise = rows(1) - rows(1).mean()
    world = World().add("a", {metric: common + noise + shift}).add("b", {metric: common})
    row = only(world, "a", "b")
    assert row.verdict == verdict
    assert row.difference == pytest.approx(shift, abs=1e-9)


def test_difference_is_that_of_a_paired_t_test() -> None:
    """Values, interval and p agree with scipy's paired t-test, up to the bootstrap's error."""
    a, b = rows(0), rows(0) * 0.8 + rows(1) * 0.5 + 0.05
    row = only(World().add("a", {"quality": a}).add("b", {"quality": b}), "a", "b")
    test = stats.ttest_rel(a, b)
    ends = test.confidence_interval()
    assert (row.value_first, row.value_second) == pytest.approx((a.mean(), b.mean()))
    assert (row.ci_low, row.ci_high) == pytest.approx((ends.low, ends.high), abs=0.02)
    assert row.p == pytest.approx(test.pvalue, abs=0.03)
    assert (row.n, row.clusters, row.seeds) == (N, N, (0,))
    assert row.mde == pytest.approx(2.8 * test.statistic**-1 * (a - b).mean(), rel=0.1)


def test_all_rows_are_corrected_together() -> None:
    """Three SAEs and two metrics are six tests; the verdicts follow the corrected p."""
    world = World()
    for place, name in enumerate("abc"):
        world.add(name, {"quality": rows(place, 0.1 * place), "error": rows(place + 9)})
    result = found(world, "a", "b", "c")
    assert len(result.rows) == 6
    assert [row.p_holm for row in result.rows] == pytest.approx(
        holm([row.p or 0.0 for row in result.rows])
    )
    for row in result.rows:
        assert (row.verdict == "indistinguishable") == ((row.p_holm or 0) >= 0.05)


def test_of_more_than_five_each_is_compared_with_the_first() -> None:
    """Five sides give ten pairs, six give five, and all pairs of six are had by asking."""
    world = World()
    for name in "abcdef":
        world.add(name, {"quality": rows(ord(name))})
    assert len(found(world, *"abcde").rows) == 10
    assert {row.first for row in found(world, *"abcdef").rows} == {"a"}
    assert len(found(world, *"abcdef", pairs="all").rows) == 15
    assert len(found(world, *"abcde", pairs="first").rows) == 4


def test_results_that_do_not_belong_together_are_refused_with_what_to_do() -> None:
    """Another version, other fields, other data, other seeds: one line each, and no number."""
    cases: list[tuple[dict[str, Any], str]] = [
        (
            {"version": 2},
            r"versions 1 \(a\) and 2 \(b\) of t.*saeval run --sae a --sae b --tasks t",
        ),
        ({"fields": {"limit": 9}}, r"other fields of t \(limit null and 9\).*saeval run"),
        ({"seed": 3}, r"no seed in common, but 0 and 3.*saeval run"),
        ({"data": "others"}, r"measured on other data.*same --limit and seed"),
    ]
    for about, message in cases:
        world = World().add("a", {"quality": rows(0)}).add("b", {"quality": rows(1)}, **about)
        row = only(world, "a", "b")
        assert (row.verdict, row.difference, row.p) == ("not compared", None, None)
        assert re.search(message, str(row.reason)), row.reason
        assert "\n" not in str(row.reason)


def test_the_setting_that_both_have_is_taken() -> None:
    """Of an SAE scored twice, with and without a limit, that is compared which fits the other."""
    world = World().add("a", {"quality": rows(0)[:50]}, fields={"limit": 50}, data="few")
    world.add("a", {"quality": rows(0)}).add(
        "b", {"quality": rows(1)[:50]}, fields={"limit": 50}, data="few"
    )
    assert only(world, "a", "b").n == 50


def test_a_figure_in_which_nothing_is_sampled_differs_without_a_test() -> None:
    """A constant of the weights is told apart by its value, and neither is better for certain."""
    why = "it is a constant of the weights"
    world = World().add("a", {"quality": np.ones(9)}, no_interval=why)
    world.add("b", {"quality": np.ones(9)}, no_interval=why)
    world.add("c", {"quality": np.zeros(9)}, no_interval=why)
    assert only(world, "a", "b").verdict == "equal"
    row = only(world, "a", "c")
    assert (row.verdict, row.p, row.difference, row.reason) == ("differs", None, 1.0, why)


def test_too_few_differing_clusters_allow_no_test() -> None:
    """Two of many rows differ: the row has both values, and says why there is no verdict."""
    a = np.zeros(N)
    b = a.copy()
    b[:2] = 1.0
    row = only(World().add("a", {"quality": a}).add("b", {"quality": b}), "a", "b")
    assert (row.verdict, row.differing) == ("no test", 2)
    assert "2 of 200 clusters differ" in str(row.reason)


def test_other_sparsity_is_told() -> None:
    """L0 of 8 and 16 are not like for like; 8 and 8.5 are."""
    world = World()
    for name, l0 in (("a-8", 8.0), ("b-16", 16.0), ("c-8", 8.5)):
        world.add(name, {"quality": rows(int(l0)), "l0": np.full(N, l0)})
    assert only(world, "a-8", "b-16", tasks=("t",)).l0_differs
    assert not only(world, "a-8", "c-8", tasks=("t",)).l0_differs


def family(world: World, name: str, values: dict[float, float], **about: Any) -> None:
    """SAEs of one name at several L0, without noise between rows but a common one."""
    for l0, value in values.items():
        columns = {"quality": rows(0) + value, "l0": np.full(N, l0)}
        world.add(f"{name}-{l0:g}", columns, architecture=name, **about)


def test_at_matched_l0_values_lie_between_those_of_the_family() -> None:
    """16 is half way from 8 to 32 in log L0; the named SAE only says which family is meant."""
    world = World()
    family(world, "x", {8: 0.2, 32: 0.6})
    family(world, "y", {4: 0.0, 64: 0.4})
    row = only(world, "x-8", "y-64", tasks=("t",), at_l0=16.0)
    mean = rows(0).mean()
    assert row.value_first == pytest.approx(mean + 0.4)
    assert row.value_second == pytest.approx(mean + 0.2)
    assert row.at_l0 == 16
    assert not row.l0_differs
    auto = only(world, "x-8", "y-64", tasks=("t",), at_l0="auto")
    assert 8 <= (auto.at_l0 or 0) <= 32


def test_nothing_is_extrapolated() -> None:
    """Beyond the span of a family the row says so; families without a common span likewise."""
    world = World()
    family(world, "x", {8: 0.2, 32: 0.6})
    family(world, "y", {64: 0.0, 128: 0.4})
    row = only(world, "x-8", "y-64", tasks=("t",), at_l0=64.0)
    assert row.difference is None
    assert "64 lies outside the span 8 to 32 of x-8, x-32" in str(row.reason)
    assert "no L0 in common" in str(only(world, "x-8", "y-64", tasks=("t",), at_l0="auto").reason)


def test_claims_about_methods_need_three_training_seeds_of_each() -> None:
    """Three and three are methods, with scipy's Welch test where units vary alike; two are not."""
    world = World()
    values = {"x": (0.0, 0.1, 0.3), "y": (0.6, 0.9, 0.8)}
    for name, own in values.items():
        for seed, value in enumerate(own):
            label = f"{name}-s{seed}" if seed else name
            world.add(label, {"quality": rows(0) + value}, architecture=name)
    row = only(world, "x", "y", methods=True)
    test: Any = stats.ttest_ind(values["x"], values["y"], equal_var=False)
    ends = test.confidence_interval()
    assert (row.claim, row.trainings_first, row.trainings_second) == ("methods", 3, 3)
    assert (row.ci_low, row.ci_high) == pytest.approx((ends.low, ends.high), rel=1e-6)
    assert row.p == pytest.approx(test.pvalue, rel=1e-6)
    assert only(world, "x", "y").claim == "checkpoints"
    fewer = World()
    fewer.items, fewer.evidence = world.items[:-1], world.evidence
    assert only(fewer, "x", "y", methods=True).claim == "checkpoints"


def test_a_copy_of_a_checkpoint_is_no_training_seed() -> None:
    """Equal content under three names counts once."""
    world = World()
    for name in ("x", "x-s1", "x-s2", "y", "y-s1", "y-s2"):
        world.add(name, {"quality": rows(len(name))}, hash=name[0])
    assert only(world, "x", "y", methods=True).trainings_first == 1


def test_a_set_of_training_seeds_is_one_side() -> None:
    """Named by a set of kind seeds, members of any name are one method."""
    world = World()
    for place, name in enumerate(("p", "q", "r", "u", "v", "w")):
        world.add(name, {"quality": rows(place)})
    sets = {"seed_sets": {"first": ("p", "q", "r"), "second": ("u", "v", "w")}}
    (row,) = found(world, "first", "second", sets=sets).rows
    assert (row.first, row.second, row.claim) == ("first", "second", "methods")


def test_what_lacks_a_result_is_missing_and_not_compared() -> None:
    """The row says who lacks what, and the run that would compute it is known."""
    world = World().add("a", {"quality": rows(0)}).add("b", {"l0": rows(0)})
    result = found(world, "a", "b", tasks=("t",))
    assert result.rows[0].verdict == "missing"
    assert result.missing[0].run["saes"] == ["b"]
    assert result.missing[0].run["tasks"] == {"t": {}}


def test_unknown_names_and_single_sides_are_refused() -> None:
    """A name that stands for nothing, one SAE alone, and an unknown metric."""
    world = World().add("alpha", {"quality": rows(0)}).add("beta", {"quality": rows(1)})
    with pytest.raises(UsageError, match="Did you mean 'alpha'"):
        found(world, "alpa", "beta")
    with pytest.raises(UsageError, match="takes two sides"):
        found(world, "alpha")
    with pytest.raises(UsageError, match="no metric 'qality'"):
        found(world, "alpha", "beta", columns=("qality",))
