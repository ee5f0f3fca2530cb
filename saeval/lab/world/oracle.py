"""A world's oracle: an SAE of probes, one for each concept that the world's words carry."""

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from saeval.lab.build import BuildSettings, Part
from saeval.registry.lab_manifest import ManifestRow, make_row, read_rows

if TYPE_CHECKING:
    from saeval.lab.oracles import LabelledActivations
    from saeval.lab.world.world import World
    from saeval.lab.zoo.grounds import ModelGround

NAME = "oracle"
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


def build_oracle(part: str, settings: BuildSettings) -> Iterable[ManifestRow]:
    """Fit a part's probes, write them in half precision as an SAE, measure what was written."""
    from saeval.lab.oracles import fit_oracle, measure_oracle, one_thread, write_oracle
    from saeval.lab.text_worlds import text_world
    from saeval.lab.zoo import grounds

    name, world = f"{part}/{NAME}", text_world(part)
    model = read_rows(settings.manifest)[f"{part}/model"]
    ground = grounds.world_ground(settings.weights, model, mlp=False, share=settings.share)
    names = [concept.name for concept in world.concepts]
    steps = max(20, round(STEPS * settings.share))
    with one_thread():
        fitted = fit_oracle(
            label_activations(world, ground, "train", MOST_OF_A_TOKEN), steps=steps, seed=SEED
        )
    sae = write_oracle(fitted, name, ground, names, settings)
    recipe = {
        "method": "oracle", "seed": SEED, "steps": steps, "concepts": len(names),
        "rows": max(8, round(ROWS["train"] * settings.share)), "rows_seed": grounds.SEED,
        "most_of_a_token": MOST_OF_A_TOKEN,
    }  # fmt: skip
    figures = {
        **measure_oracle(sae, label_activations(world, ground, "test")),
        **ground.figures(sae),
    }
    return [make_row(name, ABOUT, recipe, figures, weights=settings.weights)]


def _part(part: str) -> Part:
    name = f"{part}/{NAME}"
    build = partial(build_oracle, part)
    return Part(name, build, outputs=(name,), minutes=3, needs=(f"{part}/model",))


WORLD_ORACLE, TOWN_ORACLE = _part("world"), _part("town")


def label_activations(
    world: "World", ground: "ModelGround", split: str, most: int | None = None
) -> "LabelledActivations":
    """Activations of the world's tokens with their concepts.

    Args:
        world: What the model reads.
        ground: Its model at its site.
        split: "train" or "test".
        most: How many occurrences of one token to keep, from the first; None: all.
    """
    import torch

    from saeval.lab.oracles import LabelledActivations

    rows = ground.token_rows(split, ROWS[split])
    x = torch.cat([batch.x_tokens for batch in ground.source.batches(rows)])
    tokens = rows.ids[rows.mask]
    places, weight = first_of_each(tokens, most or len(tokens))
    truth = torch.from_numpy(world.vocabulary.concept_table[tokens[places]])
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
