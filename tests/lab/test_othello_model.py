"""The Othello model's parts: batches with their targets, board probes, and the shipped files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from saeval_tasks.core import Core

from saeval.activations import model_source
from saeval.lab import build as builder
from saeval.lab.othello import board
from saeval.lab.othello.games import BOS, SQUARE_TOKENS, TEXT, random_games, stream
from saeval.lab.othello.model import BATCH_TOKENS, RECIPE, batch_at, legality, soft_label_loss
from saeval.lab.othello.model import build as new_model
from saeval.lab.othello.part import NAME, OTHELLO_MODEL, load_model
from saeval.lab.othello.tokenizer import make_tokenizer, move_names
from saeval.models import load_model as load_by_name
from saeval.registry.hashes import content_sha256
from saeval.registry.lab_manifest import WEIGHTS, read_rows


def test_targets_are_uniform_over_the_legal_moves() -> None:
    """The first position has four legal moves of a quarter each, and the loss is least there."""
    batch = batch_at(0, games=4)
    assert torch.allclose(batch["target"].sum(-1), torch.ones(()))
    assert (batch["target"][:, 0] == 0.25).sum(-1).tolist() == [4] * len(batch["ids"])
    best = soft_label_loss(batch["target"].clamp_min(1e-9).log(), batch)
    entropy = -(batch["target"] * batch["target"].clamp_min(1e-9).log()).sum(-1).mean()
    assert best == pytest.approx(float(entropy), abs=1e-5)
    assert soft_label_loss(torch.zeros_like(batch["target"]), batch) > best


def test_probe_reads_a_planted_board_and_noise_is_at_the_floor() -> None:
    """States written linearly into the activations are read back; noise gives the majority."""
    boards = torch.from_numpy(random_games(30, 5).boards()).flatten(0, 1).long()
    generator = torch.Generator().manual_seed(1)
    planted = boards.float() @ torch.randn(64, 96, generator=generator)
    W, b = board.probe(planted, boards, steps=400, batch=512)
    assert board.accuracy(W, b, planted, boards)["all"] > 0.97
    noise = torch.randn(len(boards), 96, generator=generator)
    W, b = board.probe(noise[:900], boards[:900], steps=100, batch=512)
    read = board.accuracy(W, b, noise[900:], boards[900:])["all"]
    assert read < board.majority(boards[:900], boards[900:]) + 0.03


def test_majority_is_what_a_hand_counts() -> None:
    """Three of four test squares match the more frequent state of training."""
    train = torch.tensor([[1] * 64, [1] * 64, [-1] * 64])
    test = torch.tensor([[1] * 48 + [0] * 16])
    assert board.majority(train, test) == pytest.approx(0.75)


def test_a_game_reads_as_text() -> None:
    """The tokenizer gives the games' own tokens for named moves."""
    names, tokenizer = move_names(), make_tokenizer()
    game = random_games(1, 3)
    tokens = SQUARE_TOKENS[game.moves[0]]
    text = " ".join(names[token] for token in tokens)
    assert tokenizer(text)["input_ids"] == tokens.tolist()
    assert [BOS, *tokenizer(game.texts()[0])["input_ids"]] == game.tokens[0].tolist()
    assert tokenizer.bos_token_id == BOS == tokenizer.pad_token_id


def test_an_untrained_model_knows_no_rules() -> None:
    """Fresh weights put little mass on legal moves; both figures are shares."""
    found = legality(new_model(1), games=8)
    assert 0 <= found["legal_mass"] < 0.4
    assert 0 <= found["top1_legal"] <= 1


def test_a_toy_build_makes_the_part_whole(tmp_path: Path) -> None:
    """A thousandth of the training gives files, a row that matches them, and all figures."""
    site = builder.BuildSettings(tmp_path / "w", tmp_path / "m.json", tmp_path / "c", share=0.001)
    assert builder.build([OTHELLO_MODEL], site) == [NAME]
    row = read_rows(site.manifest)[NAME]
    assert content_sha256(site.weights / NAME) == row.sha256
    assert row.recipe["tokens"] == round(RECIPE.steps * 0.001) * BATCH_TOKENS
    assert str(row.figures["site"]).startswith("layers.")
    assert builder.build([OTHELLO_MODEL], site) == []


def test_shipped_model_is_the_one_that_was_measured() -> None:
    """The files match the manifest, meet the lab's demands, and play as the manifest says."""
    row = read_rows()[NAME]
    assert content_sha256(WEIGHTS / NAME) == row.sha256
    assert row.figures["top1_legal"] >= 0.975
    found = legality(load_model(WEIGHTS / NAME), games=30)
    assert found["top1_legal"] == pytest.approx(row.figures["top1_legal"], abs=0.02)
    probes = row.figures["board_accuracy"]
    untrained = row.figures["board_accuracy_untrained"]
    site = row.figures["site"]
    assert probes[site]["all"] > untrained[site]["all"] + 0.1 > probes["majority"]["all"]
    assert np.isfinite(row.figures["legal_mass"])


def test_core_reads_games_as_the_model_was_trained_on_them() -> None:
    """By default a row is BOS and 59 moves; the loss is a little above the moves' entropy."""
    source = model_source(load_by_name("lab/othello"), "layers.3")
    prepared = Core(rows=24, ce_rows=24).prepare(source, 0)
    ids, losses = prepared.required_rows.ids, prepared.tables["losses"]
    assert prepared.facts["data"] == "lab/othello"
    assert (ids[:, 0] == BOS).all()
    assert prepared.required_rows.mask.sum() == 24 * 59
    played = next(stream(256, 0, TEXT))
    assert np.array_equal(ids, played.tokens[:24])
    entropy = np.log(played.legal_tokens()[:24, 1:59].sum(-1)).mean()
    loss = losses["ce_clean"].sum() / losses["ce_positions"].sum()
    assert entropy < loss < entropy + 0.4
