"""The Othello model: GPT-NeoX on moves, trained on the uniform distribution over legal ones."""

import numpy as np
import torch
from torch import Tensor
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from saeval.lab.othello.games import (
    BOS,
    MOVES,
    PROBE,
    TEST,
    TRAIN,
    VOCABULARY,
    Games,
    random_games,
)
from saeval.lab.pretrain import PretrainBatch, PretrainRecipe

RECIPE = PretrainRecipe(steps=2700)
BATCH_GAMES = 128
"""Games per step."""
BATCH_TOKENS = BATCH_GAMES * MOVES
"""Tokens per step, before incomplete games are dropped: 7,680, so 20.7 M in all."""


def build(seed: int = 0) -> GPTNeoXForCausalLM:
    """An untrained model: 6 layers, d 128, 4 heads, 61 tokens, 60 positions."""
    torch.manual_seed(seed)
    return GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=VOCABULARY,
            hidden_size=128,
            num_hidden_layers=6,
            num_attention_heads=4,
            intermediate_size=512,
            max_position_embeddings=MOVES,
            rope_parameters={
                "rope_type": "default",
                "rope_theta": 10000.0,
                "partial_rotary_factor": 1.0,
            },
            bos_token_id=BOS,
            eos_token_id=None,
            pad_token_id=BOS,
            tie_word_embeddings=False,
        )
    )


def batch_at(step: int, *, seed: int = 0, games: int = BATCH_GAMES) -> PretrainBatch:
    """Games of a training step: `ids` and the share of each token among the legal ones."""
    played = random_games(games, np.random.SeedSequence(seed, spawn_key=(TRAIN, step)))
    legal = torch.from_numpy(played.legal_tokens())
    target = legal / legal.sum(-1, keepdim=True)
    return {"ids": torch.from_numpy(played.tokens), "target": target}


def soft_label_loss(logits: Tensor, batch: PretrainBatch) -> Tensor:
    """Mean cross-entropy with the uniform distribution over the legal moves, in nats."""
    return -(logits.log_softmax(-1) * batch["target"]).sum(-1).mean()


@torch.inference_mode()
def legality(net: GPTNeoXForCausalLM, *, games: int = 1000, seed: int = 0) -> dict[str, float]:
    """How legal the model's predictions are on held-out games.

    `top1_legal`: share of positions whose most likely token is legal. `legal_mass`: mean
    probability on legal tokens. Both fractions, over all 60 positions of each game.
    """
    played = random_games(games, np.random.SeedSequence(seed, spawn_key=(TEST, 0)))
    legal = torch.from_numpy(played.legal_tokens())
    ids = torch.from_numpy(played.tokens)
    top, mass = 0.0, 0.0
    for start in range(0, len(ids), 250):
        part = slice(start, start + 250)
        logits = net(input_ids=ids[part].to(net.device), use_cache=False).logits.float().cpu()
        likeliest = logits.argmax(-1, keepdim=True)
        top += legal[part].gather(-1, likeliest).sum().item()
        mass += (logits.softmax(-1) * legal[part]).sum().item()
    return {"top1_legal": top / ids.numel(), "legal_mass": mass / ids.numel()}


@torch.inference_mode()
def block_outputs(net: GPTNeoXForCausalLM, games: Games) -> dict[str, Tensor]:
    """Activations [games, 60, d] after the embedding (`embed`) and after each block."""
    ids = torch.from_numpy(games.tokens).to(net.device)
    parts = [
        net(input_ids=ids[start : start + 250], output_hidden_states=True, use_cache=False)
        for start in range(0, len(ids), 250)
    ]
    joined = [
        torch.cat([part.hidden_states[i].float().cpu() for part in parts])
        for i in range(net.config.num_hidden_layers)
    ]
    # The last of transformers' hidden states is normalised, so the last block's is left out.
    return {("embed" if i == 0 else f"layers.{i - 1}"): x for i, x in enumerate(joined)}


def board_accuracy(
    net: GPTNeoXForCausalLM, *, games: int = 1500, steps: int = 300, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Accuracy of linear probes of the board after each block, on games they were not fitted on.

    Shares of squares, over all positions but BOS's; `majority` is the floor. Three quarters of
    the games fit the probes, the rest test them.
    """
    from saeval.lab.othello import board

    played = random_games(games, np.random.SeedSequence(seed, spawn_key=(PROBE, 0)))
    states = torch.from_numpy(played.boards())[:, 1:]
    cut = 3 * len(played) // 4
    train, test = (states[part].flatten(0, 1).long() for part in (slice(cut), slice(cut, None)))
    accuracies = {}
    for name, x in block_outputs(net, played).items():
        rows = [x[part, 1:].flatten(0, 1) for part in (slice(cut), slice(cut, None))]
        W, b = board.probe(rows[0], train, steps=steps)
        accuracies[name] = board.accuracy(W, b, rows[1], test)
    return {**accuracies, "majority": {"all": board.majority(train, test)}}
