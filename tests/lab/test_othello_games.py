"""Othello: the array engine agrees with a plain referee, and games are what they claim."""

import numpy as np
import othello_referee as referee

from saeval import lab
from saeval.lab.othello.engine import squares
from saeval.lab.othello.games import BOS, SQUARE_TOKENS, random_games, stream


def test_every_move_of_fifty_games_is_what_the_referee_says() -> None:
    """Legal moves, boards and turns agree at each of 3,000 positions, passes included."""
    games = random_games(60, 7)
    boards, legal = games.boards(), squares(games.legal)
    passes = 0
    for g in range(50):
        board, player, other = referee.start(), "X", "O"
        for t in range(60):
            allowed = referee.legal(board, player)
            if not allowed:
                player, other = other, player
                allowed = referee.legal(board, player)
                passes += 1
            assert set(np.flatnonzero(legal[g, t])) == allowed
            mine = np.array([[{player: 1, other: -1, ".": 0}[s] for s in row] for row in board])
            assert np.array_equal(boards[g, t].reshape(8, 8), mine)
            assert games.moves[g, t] in allowed
            referee.place(board, int(games.moves[g, t]), player)
            player, other = other, player
    assert passes > 5


def test_tokens_begin_with_bos_and_name_the_moves_before() -> None:
    """Position t holds the move made just before it, so it sees exactly t moves."""
    games = random_games(20, 1)
    assert (games.tokens[:, 0] == BOS).all()
    assert np.array_equal(games.tokens[:, 1:], SQUARE_TOKENS[games.moves[:, :-1]])
    assert (np.sort(SQUARE_TOKENS[games.moves], axis=1) == np.arange(1, 61)).all()


def test_legal_tokens_match_legal_squares() -> None:
    """Each position has as many legal tokens as legal squares, and the move played is one."""
    games = random_games(20, 2)
    legal = games.legal_tokens()
    assert np.array_equal(legal.sum(-1), squares(games.legal).sum(-1))
    played = np.take_along_axis(legal, SQUARE_TOKENS[games.moves][..., None], -1)
    assert played.all()


def test_equal_seeds_equal_games_and_splits_differ() -> None:
    """Games depend on seed, step and split, and on nothing else."""
    first, again = random_games(10, 3), random_games(10, 3)
    assert np.array_equal(first.moves, again.moves)
    train, test = next(stream(10, 3, 0)), next(stream(10, 3, 1))
    assert not np.array_equal(train.moves[:5], test.moves[:5])


def test_texts_are_whole_games_of_a_split_of_their_own() -> None:
    """Each text names 59 legal moves in order; seeds differ; nothing of training is among them."""
    texts = lab.text("othello", documents=12)
    assert len(texts) == 12
    for text in texts[:3]:
        board, player, other = referee.start(), "X", "O"
        for name in text.split():
            square = 8 * (int(name[1]) - 1) + "abcdefgh".index(name[0])
            if not referee.legal(board, player):
                player, other = other, player
            assert square in referee.legal(board, player)
            referee.place(board, square, player)
            player, other = other, player
        assert sum(row.count(".") for row in board) == 1
    assert texts == lab.text("othello", documents=300)[:12]
    assert not set(texts) & set(lab.text("othello", documents=12, seed=1))
    assert not set(texts) & set(next(stream(20, 0, 0)).texts())
