"""How fast random Othello games are made: legal moves found, drawn, played and kept, one core.

    python benchmarks/othello.py [--games 20000]

CPU seconds, the best of three draws.
"""

import argparse
import os
import time

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from saeval.lab.othello.games import MOVES, random_games


def main() -> None:
    """One line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--games", type=int, default=20_000, help="games at once")
    games = parser.parse_args().games
    seconds = []
    for seed in range(3):
        start = time.process_time()
        random_games(games, np.random.SeedSequence(seed))
        seconds.append(time.process_time() - start)
    rate = games / min(seconds)
    print(f"othello: {rate:,.0f} games/s, {rate * MOVES:,.0f} moves/s on one core")


if __name__ == "__main__":
    main()
