"""The Othello oracle: an SAE of probes, one for each state of each square."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from saeval.lab.build import BuildSettings, Part
from saeval.registry.lab_manifest import ManifestRow, make_row, read_rows

if TYPE_CHECKING:
    from saeval.lab.oracles import LabelledActivations
    from saeval.lab.othello.games import Games
    from saeval.lab.zoo.grounds import ModelGround

NAME = "othello/oracle"
MODEL = "othello/model"
SEED, GAMES_SEED = 0, 2000
GAMES = 4096
"""Games that the probes are fitted on; half as many measure them."""
STEPS = 2000
ABOUT = (
    "Supervised dictionary: one linear probe for each state (mine, empty, yours) of each square, "
    "active where the square is so. An upper bound wherever the board is scored, not of "
    "reconstruction."
)


def build_oracle(settings: BuildSettings) -> Iterable[ManifestRow]:
    """Fit the probes, write them in half precision as an SAE, measure what was written."""
    from saeval.lab.oracles import fit_oracle, measure_oracle, one_thread, write_oracle
    from saeval.lab.othello import board
    from saeval.lab.othello.games import PROBE, stream
    from saeval.lab.zoo.grounds import othello_ground

    model = read_rows(settings.manifest)[MODEL]
    ground = othello_ground(settings.weights, model, share=settings.share)
    steps, games = (max(20, round(n * settings.share)) for n in (STEPS, GAMES))
    with one_thread():
        train = label_activations(ground, next(stream(games, GAMES_SEED, PROBE)))
        fitted = fit_oracle(train, steps=steps, seed=SEED)
    test = label_activations(ground, next(stream(games // 2, GAMES_SEED + 1, PROBE)))
    sae = write_oracle(fitted, NAME, ground, board.concept_names(), settings)
    recipe = {
        "method": "oracle", "seed": SEED, "steps": steps, "concepts": len(board.CONCEPTS),
        "games": games, "games_seed": GAMES_SEED,
    }  # fmt: skip
    figures = {**measure_oracle(sae, test), **ground.figures(sae)}
    return [make_row(NAME, ABOUT, recipe, figures, weights=settings.weights)]


OTHELLO_ORACLE = Part(NAME, build_oracle, outputs=(NAME,), minutes=2, needs=(MODEL,))


def label_activations(ground: "ModelGround", games: "Games") -> "LabelledActivations":
    """Activations of all positions but BOS's, with what holds of the board."""
    import torch

    from saeval.lab.oracles import LabelledActivations
    from saeval.lab.othello import board

    rows = ground.source.token_rows(games.tokens, name="games")
    x = torch.cat([batch.x_tokens for batch in ground.source.batches(rows)])
    boards = torch.from_numpy(games.boards())[:, 1:].flatten(0, 1)
    return LabelledActivations(x, board.concept_truth(boards), torch.ones(len(x)))
