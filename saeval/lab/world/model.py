"""The world's language model: its shape, what it is trained on, and how."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, GPTNeoXConfig, GPTNeoXForCausalLM

from saeval.lab.pretrain import PretrainBatch, PretrainRecipe, pretrain
from saeval.lab.world.stream import loss_weights, token_rows
from saeval.lab.world.vocabulary import BOS, EOS, PAD
from saeval.lab.world.world import World

ROWS = 64
"""Rows per training step."""
LENGTH = 128
"""Tokens per row."""
ANSWER_WEIGHT = 5.0
"""Loss weight of the answers to questions."""
LETTER_WEIGHT = 2.0
"""Loss weight of spelled first letters."""
CLOSING_WEIGHT = 4.0
"""Loss weight of the last words of closing sentences, of which only the town has any."""
RECIPE = PretrainRecipe(steps=2500, decay=0.4)


@dataclass(frozen=True)
class ModelShape:
    """The model's sizes."""

    layers: int = 6
    d_model: int = 128
    heads: int = 4
    context: int = 256
    """Most tokens per row, BOS included."""


def new_model(world: World, shape: ModelShape, seed: int) -> GPTNeoXForCausalLM:
    """An untrained model for this world's vocabulary."""
    ids = world.vocabulary.ids
    config = GPTNeoXConfig(
        vocab_size=len(world.vocabulary.tokens),
        hidden_size=shape.d_model,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=4 * shape.d_model,
        max_position_embeddings=shape.context,
        rope_parameters={
            "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0,
        },
        bos_token_id=ids[BOS], eos_token_id=ids[EOS], pad_token_id=ids[PAD],
        classifier_dropout=0.0, use_cache=False,
    )  # fmt: skip
    torch.manual_seed(seed)
    # On a CPU the fused attention's backward pass takes as long as all the rest.
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager")


def batches(world: World, seed: int) -> Callable[[int], PretrainBatch]:
    """The batch of each training step: token ids and their weights as targets."""

    def batch_at(step: int) -> PretrainBatch:
        ids = token_rows(world, step, ROWS, seed=seed, length=LENGTH)
        weights = loss_weights(
            world, ids, answer=ANSWER_WEIGHT, letter=LETTER_WEIGHT, closing=CLOSING_WEIGHT
        )
        return {"ids": torch.from_numpy(ids), "weights": torch.from_numpy(weights)}

    return batch_at


def weighted_loss(logits: Tensor, batch: PretrainBatch) -> Tensor:
    """Mean next-token cross-entropy in nats, each target by its weight."""
    ids, weights = batch["ids"][:, 1:], batch["weights"][:, 1:].flatten()
    losses = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), ids.flatten(), reduction="none"
    )
    return (losses * weights).sum() / weights.sum()


def train_model(
    world: World, checkpoint: Path, *, seed: int = 1, device: str = "cpu", share: float = 1.0
) -> GPTNeoXForCausalLM:
    """Train the model, from the state in `checkpoint` if there is one.

    Args:
        world: What it learns.
        checkpoint: File that keeps the state.
        seed: Seed of initial weights and documents; the world has its own.
        device: Where to train.
        share: Share of the recipe's steps, at least one step.
    """
    model = new_model(world, ModelShape(), seed)
    module = cast(
        "torch.nn.Module", model
    )  # the type checker understands `to` and `cpu` of this one
    module.to(device)
    recipe = replace(RECIPE, steps=max(1, round(share * RECIPE.steps)))
    pretrain(module, batches(world, seed), weighted_loss, recipe, checkpoint=checkpoint)
    module.cpu()
    return model
