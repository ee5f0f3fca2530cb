"""Supervised dictionaries: planted concepts are found, chance is chance, files are as measured."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from saeval.lab import build as builder
from saeval.lab.oracles import LabelledActivations, best_cuts, f1_scores, fit_oracle, measure_oracle
from saeval.lab.othello import board
from saeval.lab.othello.games import random_games
from saeval.lab.othello.oracle import OTHELLO_ORACLE
from saeval.lab.world.oracle import WORLD_ORACLE, first_of_each
from saeval.lab.world.world import World
from saeval.metrics import squared_deviation, squared_error
from saeval.registry.hashes import content_sha256
from saeval.registry.lab_manifest import MANIFEST, WEIGHTS, read_rows
from saeval.sae.loaders.saeval_format import load


def planted(n: int, seed: int) -> LabelledActivations:
    """Twelve concepts of different rates, each a direction of its own in 24 dimensions."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(n, 12, generator=generator) < torch.linspace(0.02, 0.5, 12)
    directions = torch.linalg.qr(torch.randn(24, 24, generator=torch.Generator().manual_seed(9)))[0]
    x = truth.float() @ directions[:12] * 3 + 1 + 0.2 * torch.randn(n, 24, generator=generator)
    return LabelledActivations(x, truth, torch.ones(n))


def test_planted_concepts_are_found() -> None:
    """Each latent is active where its concept is, on data not fitted, and decodes to it."""
    sae = fit_oracle(planted(4000, 0), steps=300)
    test = planted(1000, 1)
    measured = measure_oracle(sae, test)
    assert measured["concept_f1"] > 0.98
    assert measured["concept_f1_least"] > 0.9
    assert measured["probe_auc"] > 0.995
    assert measured["concepts_seen"] == 12
    assert torch.allclose(sae.W_dec.norm(dim=1), torch.ones(12), atol=1e-5)
    x_hat = sae.decode(sae.encode(test.x), test.x)
    unexplained = (
        squared_error(test.x, x_hat).sum() / squared_deviation(test.x, test.x.mean(0)).sum()
    )
    assert unexplained < 0.2


def test_concepts_that_are_not_there_are_not_found() -> None:
    """With the truth shuffled, probes are at chance."""
    data = planted(3000, 0)
    order = torch.randperm(3000, generator=torch.Generator().manual_seed(2))
    sae = fit_oracle(replace(data, truth=data.truth[order]), steps=100)
    test = planted(1000, 1)
    shuffled = replace(test, truth=test.truth[order[order < 1000]])
    assert measure_oracle(sae, shuffled)["probe_auc"] == pytest.approx(0.5, abs=0.05)


def test_f1_is_what_a_hand_computes() -> None:
    """Two hits, one false alarm, one miss: 4 / 6; a perfect latent 1, a silent one 0."""
    truth = torch.tensor([[1, 1, 1], [1, 0, 1], [1, 0, 0], [0, 1, 0]], dtype=torch.bool)
    active = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 0]], dtype=torch.bool)
    assert f1_scores(active, truth) == pytest.approx([4 / 6, 1, 0])


def test_the_cut_lies_where_f1_is_highest() -> None:
    """Between 2 and 1 for one concept; weights move it; what is never true is never called."""
    scores = torch.tensor([3.0, 2.0, 1.0, 0.0])[:, None].expand(4, 3)
    truth = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]], dtype=torch.bool)
    assert best_cuts(scores, truth, torch.ones(4))[:2].tolist() == [1.5, 0.5]
    heavy = torch.tensor([1.0, 9.0, 1.0, 1.0])
    cuts = best_cuts(scores, truth, heavy)
    assert cuts[1] == 2.5
    assert cuts[2] > 3


def test_first_occurrences_stand_for_the_rest() -> None:
    """Two of each token are kept, in order, and together weigh as much as all of them."""
    kept, weight = first_of_each(np.array([5, 3, 5, 5, 5, 3, 0]), 2)
    assert kept.tolist() == [0, 1, 2, 5, 6]
    assert weight.tolist() == [2, 1, 2, 1, 1]


def test_board_concepts_are_the_board() -> None:
    """Each square is in exactly one state, and the centre is never empty."""
    boards = torch.from_numpy(random_games(4, 0).boards()).flatten(0, 1)
    truth = board.concept_truth(boards)
    assert truth.shape[1] == len(board.CONCEPTS) == len(board.concept_names()) == 188
    assert (truth.sum(1) == 64).all()
    first = dict(zip(board.concept_names(), truth[0].tolist(), strict=True))
    assert [name for name, holds in first.items() if holds and "empty" not in name] == [
        "d4/yours", "e4/mine", "d5/mine", "e5/yours",
    ]  # fmt: skip


@pytest.mark.parametrize("part", [WORLD_ORACLE, OTHELLO_ORACLE])
def test_a_toy_build_makes_the_part_whole(part: builder.Part, tmp_path: Path) -> None:
    """Two hundredths of the rows give files, a row that matches them, and all figures."""
    model = part.needs[0]
    shutil.copytree(WEIGHTS / model, tmp_path / "w" / model)
    shutil.copy(MANIFEST, tmp_path / "m.json")
    site = builder.BuildSettings(tmp_path / "w", tmp_path / "m.json", tmp_path / "c", share=0.005)
    assert builder.build([part], site) == [part.name]
    row = read_rows(site.manifest)[part.name]
    assert content_sha256(site.weights / part.name) == row.sha256
    assert row.figures["probe_auc"] > 0.7
    assert {"concept_f1", "l0", "fvu", "ce_loss_score"} <= row.figures.keys()


@pytest.mark.parametrize(
    "name, latents, least",
    [
        ("world/oracle", [c.name for c in World().concepts], 0.95),
        ("othello/oracle", list(board.concept_names()), 0.8),
    ],
)
def test_shipped_oracles_are_those_that_were_measured(
    name: str, latents: list[str], least: float
) -> None:
    """The files match the manifest, their latents are named, and find their concepts."""
    row = read_rows()[name]
    config = json.loads((WEIGHTS / name / "saeval.json").read_text())
    assert content_sha256(WEIGHTS / name) == row.sha256
    assert config["origin"]["metadata"]["latents"] == latents
    assert len(latents) == load(WEIGHTS / name).d_sae
    assert row.figures["concept_f1"] > least
