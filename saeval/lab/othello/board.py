"""Linear probes of the board: how much of its state can be read off an activation."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saeval.lab.othello.games import square_name

STATES = 3
"""States of a square, relative to the player to move: yours (-1), empty (0), mine (1)."""
_CENTRE = (27, 28, 35, 36)
CONCEPTS = tuple(
    (square, state)
    for square in range(64)
    for state in (-1, 0, 1)
    if state != 0 or square not in _CENTRE
)
"""Square and state of all that can be true of a board: the central squares are never empty."""


def probe(
    x: Float[Tensor, "positions d"],
    boards: Int[Tensor, "positions 64"],
    *,
    steps: int = 300,
    lr: float = 3e-2,
    batch: int = 4096,
    decay: float = 1e-5,
) -> tuple[Float[Tensor, "d 192"], Float[Tensor, " 192"]]:
    """One softmax per square, fitted on standardised activations; weights and biases for raw ones.

    Source: Nanda et al., 2309.00941, who found the board linear relative to the player to move.
    """
    mean, spread = x.mean(0), x.std(0) + 1e-6
    W = torch.zeros(x.shape[1], 64 * STATES, requires_grad=True)
    b = torch.zeros(64 * STATES, requires_grad=True)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW([W, b], lr=lr, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        rows = torch.randint(len(x), (min(batch, len(x)),), generator=generator)
        logits = ((x[rows] - mean) / spread) @ W + b
        loss = torch.nn.functional.cross_entropy(
            logits.reshape(-1, STATES), (boards[rows].long() + 1).flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    W_raw = W.detach() / spread[:, None]
    return W_raw, b.detach() - mean @ W_raw


def accuracy(
    W: Float[Tensor, "d 192"],
    b: Float[Tensor, " 192"],
    x: Float[Tensor, "positions d"],
    boards: Int[Tensor, "positions 64"],
) -> dict[str, float]:
    """Share of squares read rightly: of all (`all`), and of those that hold a disc (`occupied`)."""
    predicted = (x @ W + b).reshape(len(x), 64, STATES).argmax(-1) - 1
    correct = predicted == boards
    return {
        "all": float(correct.float().mean()),
        "occupied": float(correct[boards != 0].float().mean()),
    }


def majority(train: Int[Tensor, "positions 64"], test: Int[Tensor, "more_positions 64"]) -> float:
    """Share of squares guessed rightly from each one's most frequent state: the floor."""
    counts = torch.stack([(train == state).sum(0) for state in (-1, 0, 1)])
    return float((test == counts.argmax(0) - 1).float().mean())


def concept_names() -> tuple[str, ...]:
    """Names of `CONCEPTS`: `d3/mine`, `d3/empty`, `d3/yours`."""
    states = {-1: "yours", 0: "empty", 1: "mine"}
    return tuple(f"{square_name(square)}/{states[state]}" for square, state in CONCEPTS)


def concept_truth(boards: Int[Tensor, "positions 64"]) -> Bool[Tensor, "positions 188"]:
    """Which of `CONCEPTS` hold of each board."""
    squares, states = torch.tensor(CONCEPTS).T
    return boards[:, squares] == states
