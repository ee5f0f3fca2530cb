"""`synthetic` gives the planted dictionary 1, an unrelated one its floor, others as by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from saeval_tasks.synthetic import Synthetic
from torch import Tensor

import saeval
from saeval.activations import array_source
from saeval.errors import NotApplicable, UsageError
from saeval.evidence import Evidence, Missing, compare, summarise
from saeval.lab.synthetic import WORLDS, evaluation_sample, oracle, synthetic_world, world_source
from saeval.results.recompute import discrepancies
from saeval.sae import SAE
from saeval.sae.architectures import MatchingPursuit, TopK
from saeval.sae.architectures.random import random_topk
from saeval.training import METHODS, Recipe
from saeval.training.method import Setup

WORLD = "base"
TASK = Synthetic(limit=4096)


class Knowing:
    """An SAE that looks the truth up, with latents in an order of its own."""

    def __init__(self, order: np.ndarray, scale: float = 1.0) -> None:
        world, sample = synthetic_world(WORLD), evaluation_sample(WORLD)
        self.d_in, self.d_sae = world.spec.d, len(order)
        self.W_dec = torch.from_numpy(world.dictionary[order])
        self._place = {tuple(x[:3].tolist()): row for row, x in enumerate(sample.x[:4096])}
        self._truth = sample.truth[:4096, order] * scale

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_sae"]:
        """The truth about x."""
        rows = [self._place[tuple(one)] for one in x[:, :3].tolist()]
        return torch.from_numpy(self._truth[rows].toarray().astype(np.float32))

    def decode(
        self, acts: Float[Tensor, "tokens d_sae"], x: Float[Tensor, "tokens d_in"]
    ) -> Float[Tensor, "tokens d_out"]:
        """What the features add up to."""
        return acts @ self.W_dec


def _evidence(sae: SAE, task: Synthetic = TASK) -> dict[tuple[str, str | None], Evidence]:
    source = world_source(WORLD)
    yielded = list(task.score(sae, task.prepare(source, 0), source, 0))
    assert not [one for one in yielded if isinstance(one, Missing)]
    return {(one.metric, one.part): one for one in yielded if isinstance(one, Evidence)}


def _values(sae: SAE) -> dict[str, float]:
    found = _evidence(sae)
    return {name: summarise(one).value for (name, part), one in found.items() if part is None}


def _planted(order: np.ndarray | None = None) -> Knowing:
    return Knowing(np.arange(256) if order is None else order)


@pytest.fixture(scope="module")
def floors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Floor of each score for an SAE of base's width and L0, as a run gives it."""
    folder = tmp_path_factory.mktemp("floors")
    found = saeval.evaluate(
        {"a": oracle(WORLD)}, TASK, model=f"lab://synthetic/{WORLD}", output_path=folder
    )
    assert all(score.floor is not None for score in found.scores if score.metric != "dead")
    return {str(s.metric): float(s.floor or 0) for s in found.scores if s.part is None}


def test_the_planted_dictionary_scores_one() -> None:
    """All scores are at their ceiling, in any order of the latents, and over each kind."""
    order = np.random.default_rng(0).permutation(256)
    for sae in (_planted(), _planted(order)):
        found = _evidence(sae)
        for one in found.values():
            best = 0 if one.metric == "dead" else one.ceiling  # it has no arrow, and no ceiling
            assert summarise(one).value == pytest.approx(best, abs=1e-6)
        assert {part for name, part in found if name == "f1"} == {None, "child", "other", "parent"}


def test_the_matching_is_stored() -> None:
    """Evidence names each feature's matched latent, and each latent's nearest feature."""
    order = np.random.default_rng(1).permutation(256)
    found = _evidence(_planted(order))
    features = found["mcc", None].units.table
    assert np.array_equal(order[features["latent"].to_numpy().astype(int)], np.arange(256))
    latents = found["uniqueness", None].units.table
    assert np.array_equal(latents["feature"].to_numpy(), order)
    assert features["part"].tolist() == list(synthetic_world(WORLD).kind)


def test_half_a_dictionary_covers_half() -> None:
    """With latents for half of the features those are matched perfectly, and half is covered."""
    values = _values(_planted(np.arange(0, 256, 2)))
    assert values["mcc"] == pytest.approx(1)
    assert values["f1"] == pytest.approx(1)
    assert values["coverage"] == 0.5
    assert _evidence(_planted(np.arange(0, 256, 2)))["coverage", None].ceiling == 0.5


def test_doubled_latents_are_not_unique() -> None:
    """Each feature twice: every copy fires right, half of them are redundant."""
    found = _evidence(_planted(np.arange(512) % 256))
    values = {name: summarise(one).value for (name, part), one in found.items() if part is None}
    assert values["uniqueness"] == 0.5
    assert found["uniqueness", None].ceiling == 0.5
    assert values["mcc"] == pytest.approx(1)
    assert values["f1_nearest"] == pytest.approx(1)


def test_smaller_acts_are_shrunk() -> None:
    """Acts of 70 % of their size lose 30 %, and lose nothing else."""
    values = _values(Knowing(np.arange(256), scale=0.7))
    assert values["shrinkage"] == pytest.approx(0.3, abs=1e-6)
    assert values["f1"] == pytest.approx(1)


def test_latents_that_never_fire_are_dead() -> None:
    """A quarter of the latents silenced are a quarter dead, and their F1 is 0."""
    sae = _planted()
    keep = torch.arange(256) % 4 > 0
    sae.encode = lambda x: Knowing.encode(sae, x) * keep  # type: ignore[method-assign]
    values = _values(sae)
    assert values["dead"] == 0.25
    assert values["f1"] == pytest.approx(0.75)
    assert values["mcc"] == pytest.approx(1)


def test_a_random_sae_is_at_the_floor(floors: dict[str, float]) -> None:
    """Random directions, with the world's own seed, score what other random directions score."""
    null = random_topk(torch.zeros(128), 256, 8, seed=WORLDS[WORLD].seed)
    values = _values(null)
    for name in ("mcc", "f1", "coverage", "f1_nearest"):
        assert values[name] == pytest.approx(floors[name], abs=0.02)
    assert values["uniqueness"] == pytest.approx(floors["uniqueness"], abs=0.06)


def test_an_untrained_sae_is_at_the_floor(floors: dict[str, float]) -> None:
    """What a trainer starts from with the world's own seed knows nothing of the world."""
    x = torch.from_numpy(synthetic_world(WORLD).sample(512).x)
    recipe = Recipe(256, 8, seed=WORLDS[WORLD].seed)
    state = METHODS["topk"]().start(Setup(recipe, x, x))
    values = _values(TopK(**state.fields(), k=8))
    for name in ("mcc", "f1", "coverage", "f1_nearest"):
        assert values[name] == pytest.approx(floors[name], abs=0.02)


def test_the_oracle_stands_far_above_the_floor(floors: dict[str, float]) -> None:
    """Pursuit over the planted directions has all of them, and nearly always fires right."""
    sae = oracle(WORLD)
    assert isinstance(sae, MatchingPursuit)
    values = _values(sae)
    assert values["mcc"] == pytest.approx(1)
    assert values["coverage"] == values["uniqueness"] == 1
    assert values["f1"] > 0.93 > floors["f1"]
    assert abs(values["shrinkage"]) < 0.05


def test_scores_of_two_saes_are_compared_feature_by_feature() -> None:
    """Units are the world's features, so that the differences of two SAEs are paired."""
    null = random_topk(torch.zeros(128), 256, 8, seed=3)
    good, bad = (_evidence(sae)["mcc", None] for sae in (_planted(), null))
    difference = compare(good, bad)
    assert difference.ci_low is not None
    assert difference.ci_low > 0.5
    assert difference.n == 256


def test_a_source_without_truth_is_not_applicable() -> None:
    """The same numbers without their truth cannot be scored, and the reason says why."""
    source = array_source(evaluation_sample(WORLD).x[:64])
    with pytest.raises(NotApplicable, match="true features"):
        TASK.prepare(source, 0)


def test_results_are_kept_and_follow_from_their_evidence(tmp_path: Path) -> None:
    """A run on a world scores both tasks; what is stored gives the same scores again."""
    null = random_topk(torch.zeros(128), 64, 4, seed=3)
    found = saeval.evaluate(
        {"null": null},
        "core,synthetic",
        model=f"lab://synthetic/{WORLD}",
        limit=512,
        output_path=tmp_path,
    )
    assert not found.failed
    scored = {score.metric for score in found.scores if score.status == "scored"}
    assert {"fvu", "mcc", "f1", "shrinkage"} <= scored
    kept = [path.parent for path in tmp_path.glob("*/*/result.json")]
    assert len(kept) == 2
    assert not [fault for folder in kept for fault in discrepancies(folder)]


def test_on_an_array_there_is_one_row_with_the_reason(tmp_path: Path) -> None:
    """Stored activations have no truth: the task says so, and nothing fails."""
    null = random_topk(torch.zeros(128), 64, 4, seed=3)
    x = evaluation_sample(WORLD).x[:64]
    found = saeval.evaluate({"null": null}, "synthetic", data=x, output_path=tmp_path)
    (score,) = found.scores
    assert score.status == "not_applicable"
    assert "true features" in str(score.reason)


def test_limit_bounds_what_is_read() -> None:
    """No more activations are read than asked for, and the facts say how many."""
    prepared = Synthetic(limit=100).prepare(world_source(WORLD), 0)
    assert len(prepared.required_rows) == prepared.facts["activations"] == 100
    with pytest.raises(UsageError, match="limit must be"):
        Synthetic(limit=0)
    with pytest.raises(UsageError, match="covered_from must be"):
        Synthetic(covered_from=0.0)
