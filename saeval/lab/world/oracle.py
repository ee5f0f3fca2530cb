"""The world's oracle: an SAE of probes, one for each concept that the world's words carry."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from saeval.lab.build import BuildSettings, Part
from saeval.registry.lab_manifest import ManifestRow, make_row, read_rows

if TYPE_CHECKING:
    from saeval.lab.oracles import LabelledActivations
    from saeval.lab.zoo.grounds import ModelGround

NAME = "world/oracle"
MODEL = "world/model"
SEED = 0
ROWS = {"train": 2048, "test": 1024}
"""Rows of 128 tokens that the probes are fitted and measured on."""
MOST_OF_A_TOKEN = 300
"""Most occurrences of one token in training; these get the weight of all of them."""
STEPS = 1500
ABOUT = (
    "Supervised dictionary: one linear probe for each concept that the world's words carry, "
    "active where its concept is. An upper bound wherever truth is scored, not of reconstruction."
)


def build_oracle(settings: BuildSettings) -> Iterable[ManifestRow]:
    """Fit the probes, write them in half precision as an SAE, measure what was written."""
    from saeval.lab.oracles import fit_oracle, measure_oracle, one_thread, write_oracle
    from saeval.lab.world.world import World
    from saeval.lab.zoo import grounds

    model = read_rows(settings.manifest)[MODEL]
    ground = grounds.world_ground(settings.weights, model, mlp=False, share=settings.share)
    names = [concept.name for concept in World().concepts]
    steps = max(20, round(STEPS * settings.share))
    with one_thread():
        fitted = fit_oracle(
            label_activations(ground, "train", MOST_OF_A_TOKEN), steps=steps, seed=SEED
        )
    sae = write_oracle(fitted, NAME, ground, names, settings)
    recipe = {
        "method": "oracle", "seed": SEED, "steps": steps, "concepts": len(names),
        "rows": max(8, round(ROWS["train"] * settings.share)), "rows_seed": grounds.SEED,
        "most_of_a_token": MOST_OF_A_TOKEN,
    }  # fmt: skip
    figures = {**measure_oracle(sae, label_activations(ground, "test")), **ground.figures(sae)}
    return [make_row(NAME, ABOUT, recipe, figures, weights=settings.weights)]


WORLD_ORACLE = Part(NAME, build_oracle, outputs=(NAME,), minutes=3, needs=(MODEL,))


def label_activations(
    ground: "ModelGround", split: str, most: int | None = None
) -> "LabelledActivations":
    """Activations of the world's tokens with their concepts.

    Args:
        ground: The world's model at its site.
        split: "train" or "test".
        most: How many occurrences of one token to keep, from the first; None: all.
    """
    import torch

    from saeval.lab.oracles import LabelledActivations
    from saeval.lab.world.world import World

    rows = ground.token_rows(split, ROWS[split])
    x = torch.cat([batch.x_tokens for batch in ground.source.batches(rows)])
    tokens = rows.ids[rows.mask]
    places, weight = first_of_each(tokens, most or len(tokens))
    truth = torch.from_numpy(World().vocabulary.concept_table[tokens[places]])
    return LabelledActivations(x[torch.from_numpy(places)], truth, torch.from_numpy(weight))


def first_of_each(tokens: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the first `most` occurrences of each token, and how many each represents."""
    order = np.argsort(tokens, kind="stable")
    counts = np.bincount(tokens)
    # How many of the same token came before, in the order of the text: the sort is stable.
    number = np.arange(len(tokens)) - np.repeat(np.cumsum(counts) - counts, counts)
    places = np.sort(order[number < most])
    share = counts / np.minimum(counts, most).clip(min=1)
    return places, share[tokens[places]].astype(np.float32)
