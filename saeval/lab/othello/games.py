"""Random legal Othello games in parallel, with the board before every move.

Tokens: 0 is BOS, 1 to 60 are the sixty squares that start empty, in board order. A game is
BOS and its 60 moves. About 1 % of random games end before the board is full; they are dropped.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
from jaxtyping import Int, UInt64

from saeval.lab.othello.engine import START_BLACK, START_WHITE, legal_moves, play, squares

MOVES = 60
VOCABULARY = MOVES + 1
BOS = 0
TRAIN, TEST, PROBE, TEXT = range(4)
"""First spawn keys of seeds: games of training, test, probes and texts never share a seed."""
TOKEN_SQUARES = np.array([s for s in range(64) if s not in (27, 28, 35, 36)])
"""[60] board square of tokens 1 to 60."""
SQUARE_TOKENS = np.zeros(64, np.int64)
"""[64] token of each square, 0 for the four that are never played."""
SQUARE_TOKENS[TOKEN_SQUARES] = np.arange(1, VOCABULARY)


def square_name(square: int) -> str:
    """Column letter and row number: `d3`."""
    return f"{'abcdefgh'[square % 8]}{square // 8 + 1}"


MOVE_NAMES = tuple(map(square_name, TOKEN_SQUARES.tolist()))
"""Name of tokens 1 to 60."""


@dataclass(frozen=True)
class Games:
    """Complete games, and the truth about every position in them."""

    moves: Int[np.ndarray, "games 60"]
    """int8 square of each move."""
    own: UInt64[np.ndarray, "games 60"]
    """Discs of the player to move, before each move."""
    opp: UInt64[np.ndarray, "games 60"]
    """Discs of the other player, before each move."""
    legal: UInt64[np.ndarray, "games 60"]
    """Legal moves of the player to move, never 0."""

    def __len__(self) -> int:
        return len(self.moves)

    @property
    def tokens(self) -> Int[np.ndarray, "games 60"]:
        """int64 model input: BOS and the first 59 moves; position t sees t moves."""
        ids = np.zeros((len(self), MOVES), np.int64)
        ids[:, 1:] = SQUARE_TOKENS[self.moves[:, :-1]]
        return ids

    def legal_tokens(self) -> np.ndarray:
        """Bool [games, 60, 61]: the tokens that are legal next, at each position."""
        legal = np.zeros((*self.legal.shape, VOCABULARY), bool)
        legal[..., 1:] = squares(self.legal)[..., TOKEN_SQUARES].astype(bool)
        return legal

    def texts(self) -> tuple[str, ...]:
        """The first 59 moves of each game by name, `d3 c5 d6`: what `tokens` holds after BOS."""
        return tuple(" ".join(MOVE_NAMES[t - 1] for t in game) for game in self.tokens[:, 1:])

    def boards(self) -> Int[np.ndarray, "games 60 64"]:
        """int8 state of every square before each move: 1 mine, -1 yours, 0 empty.

        Mine is the player whose turn it truly is, also after a pass.
        """
        return squares(self.own).astype(np.int8) - squares(self.opp).astype(np.int8)


def random_games(n: int, seed: np.random.SeedSequence | int) -> Games:
    """Play n games with uniformly random legal moves and keep the complete ones.

    At least 200,000 moves per second on one core; equal seeds give equal games.
    """
    rng = np.random.default_rng(seed)
    own = np.full(n, START_BLACK)
    opp = np.full(n, START_WHITE)
    moves = np.zeros((n, MOVES), np.int8)
    history = np.zeros((3, n, MOVES), np.uint64)
    complete = np.ones(n, bool)
    for t in range(MOVES):
        legal = legal_moves(own, opp)
        own, opp, legal = _pass_where_stuck(own, opp, legal)
        complete &= legal != 0
        history[:, :, t] = own, opp, legal
        draws = rng.random((n, 64), dtype=np.float32) * squares(legal)
        moves[:, t] = draws.argmax(1)
        move = np.where(legal != 0, np.uint64(1) << moves[:, t].astype(np.uint64), np.uint64(0))
        opp, own = play(own, opp, move)
    own_all, opp_all, legal_all = history[:, complete]
    return Games(moves[complete], own_all, opp_all, legal_all)


def _pass_where_stuck(
    own: np.ndarray, opp: np.ndarray, legal: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hand the turn over where the player to move has no move."""
    stuck = legal == 0
    own, opp = np.where(stuck, opp, own), np.where(stuck, own, opp)
    if stuck.any():
        legal = legal.copy()
        legal[stuck] = legal_moves(own[stuck], opp[stuck])
    return own, opp, legal


def stream(batch: int, seed: int, split: int) -> Iterator[Games]:
    """Endless batches of about `batch` games; splits such as TRAIN and TEST never share a seed."""
    step = 0
    while True:
        yield random_games(batch, np.random.SeedSequence(seed, spawn_key=(split, step)))
        step += 1


def texts(n: int, seed: int) -> tuple[str, ...]:
    """N games as text, which the model was not trained on. Fewer games are the first of more."""
    batches = (games.texts() for games in stream(256, seed, TEXT))
    return tuple(islice(chain.from_iterable(batches), n))
