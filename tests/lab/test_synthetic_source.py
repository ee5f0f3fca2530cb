"""A world in the place of a model: named, opened without files, refused where it is wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch

import saeval
from saeval.activations import array_source
from saeval.errors import UsageError
from saeval.lab.synthetic import (
    ROWS,
    evaluation_sample,
    synthetic_world,
    world_name,
    world_of,
    world_source,
)
from saeval.metrics.recovery import cosines, match
from saeval.results.results import Results
from saeval.sae.architectures.random import random_topk
from saeval.sae.loaders import saeval_format


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Registry id of a random SAE of the easiest world, in a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    saeval_format.save(random_topk(torch.zeros(128), 32, 4, 0), tmp_path / "random")
    (tmp_path / "registry.yaml").write_text(
        "saes: [{id: mine/random, source: file://random, model: lab://synthetic/base, "
        "site: activations}]"
    )
    return "mine/random"


def _core(entry: str, model: str | None = None, site: str | None = None) -> Results:
    return saeval.evaluate(entry, "core", limit=256, model=model, site=site)


def test_an_entry_on_a_world_needs_neither_model_nor_data(entry: str) -> None:
    """Core reads the world's activations, and has no predictions to score."""
    found = {score.metric: score for score in _core(entry).scores}
    assert found["l0"].value == pytest.approx(4)
    assert found["ce_loss_score"].status == "not_applicable"


def test_a_world_is_found_again_without_being_drawn(entry: str) -> None:
    """A second run finds the first one's result, since the world's identity is known."""
    first = _core(entry)
    assert first.results[0].result_id == _core(entry).results[0].result_id


def test_a_world_that_is_not_there_is_refused(entry: str) -> None:
    """A misspelled world and a site that no world has are wrong usage, told at once."""
    with pytest.raises(UsageError, match="bse"):
        _core(entry, model="lab://synthetic/bse")
    with pytest.raises(UsageError, match="but one site"):
        _core(entry, site="layers.1")


def test_another_world_than_the_saes_is_refused(entry: str) -> None:
    """Scores on a world that the SAE was not trained on say nothing, so there are none."""
    (score,) = _core(entry, model="lab://synthetic/dense").scores
    assert score.status == "failed"
    assert "not on 'dense'" in str(score.reason)


def test_the_source_knows_its_world() -> None:
    """A world is told by identity: neither an array of the same numbers nor a name will do."""
    source = world_source("base")
    sample = evaluation_sample("base")
    assert len(source.stored_rows) == ROWS
    assert np.array_equal(next(source.batches(source.stored_rows)).x_tokens[0], sample.x[0])
    world = world_of(source)
    assert world is not None
    assert world.spec.name == "base"
    assert world_of(array_source(sample.x, name=source.name)) is None
    assert world_name("lab/synthetic/base") == world_name(source.name) == "base"
    assert world_name("lab/world") is None


def test_a_world_may_have_a_seed_of_its_own() -> None:
    """`base@17` is like `base`, with other features; what is no seed is no world."""
    private, known = world_source("base@17"), world_source("base")
    assert private.identity != known.identity
    worlds = [world_of(private), world_of(known)]
    planted = [world.dictionary for world in worlds if world]
    assert match(cosines(planted[0], planted[1])).cosine.mean() < 0.3
    assert match(
        cosines(planted[0], synthetic_world("base@17").dictionary)
    ).cosine.mean() == pytest.approx(1)
    with pytest.raises(UsageError, match="base@17"):
        synthetic_world("base@seventeen")
