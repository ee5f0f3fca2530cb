"""The rules of Othello on arrays of bitboards: every game of a batch moves at once.

A position is a pair of uint64 arrays: the discs of the player to move (`own`) and of the other
(`opp`). Bit 8 * row + column is a square. Flood fills run in the eight directions by shifts
(Kogge-Stone), masked so that nothing wraps around the board's left and right edges.
"""

import numpy as np
from jaxtyping import UInt8, UInt64

START_BLACK = np.uint64(1 << 28 | 1 << 35)
START_WHITE = np.uint64(1 << 27 | 1 << 36)
"""The four central squares: black (to move) on d5 and e4 in the numbering above."""

_EVERYWHERE = 0xFFFFFFFFFFFFFFFF
_NOT_FIRST_COLUMN = 0xFEFEFEFEFEFEFEFE
_NOT_LAST_COLUMN = 0x7F7F7F7F7F7F7F7F

_DIRECTIONS = (
    (1, _NOT_FIRST_COLUMN),
    (-1, _NOT_LAST_COLUMN),
    (8, _EVERYWHERE),
    (-8, _EVERYWHERE),
    (9, _NOT_FIRST_COLUMN),
    (-9, _NOT_LAST_COLUMN),
    (7, _NOT_LAST_COLUMN),
    (-7, _NOT_FIRST_COLUMN),
)
"""Step in bits, and the squares on which a step can land."""

Boards = UInt64[np.ndarray, " games"]


def _step(boards: Boards, shift: int, landing: int) -> Boards:
    """Move every disc one square in a direction; discs that leave the board are dropped."""
    moved = boards << np.uint64(shift) if shift > 0 else boards >> np.uint64(-shift)
    return moved & np.uint64(landing)


def legal_moves(own: Boards, opp: Boards) -> Boards:
    """Squares where the player to move may place a disc, as bit masks (0: must pass)."""
    empty = ~(own | opp)
    moves = np.zeros_like(own)
    for shift, landing in _DIRECTIONS:
        run = _step(own, shift, landing) & opp
        for _ in range(5):  # a row of enclosed discs has six at most
            run |= _step(run, shift, landing) & opp
        moves |= _step(run, shift, landing) & empty
    return moves


def play(own: Boards, opp: Boards, move: Boards) -> tuple[Boards, Boards]:
    """Place a disc and flip what it encloses; the sides keep their places.

    `move` holds one bit per game, or 0 for a game that does not move. The caller swaps the sides.
    """
    flipped = np.zeros_like(own)
    for shift, landing in _DIRECTIONS:
        run = _step(move, shift, landing) & opp
        for _ in range(5):
            run |= _step(run, shift, landing) & opp
        enclosed = (_step(run, shift, landing) & own) != 0
        flipped |= np.where(enclosed, run, np.uint64(0))
    return own | move | flipped, opp & ~flipped


def squares(boards: UInt64[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape 64"]:
    """Bits as 0 and 1, square 0 first."""
    as_bytes = np.ascontiguousarray(boards)[..., None].view(np.uint8)
    return np.unpackbits(as_bytes, axis=-1, bitorder="little")
