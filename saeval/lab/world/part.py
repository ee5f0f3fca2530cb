"""A world's model as a part of the lab: trained, rounded, measured, and given its SAE site."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saeval.lab.build import BuildSettings, Part, checkpoint_folder
from saeval.lab.text_worlds import text_world
from saeval.lab.world.world import World
from saeval.registry.lab_manifest import ManifestRow, make_row

if TYPE_CHECKING:
    from transformers import GPTNeoXForCausalLM

NAME = "world/model"
TOWN_NAME = "town/model"
MODEL_SEED = 1
ABOUT = {
    "world": "GPT-NeoX of 6 blocks and width 128 that reads the lab's world: biographies, reviews, "
    "news, facts, questions, places, hierarchies, spellings and three constructed languages, made "
    "by a grammar whose truth is known.",
    "town": "GPT-NeoX of 6 blocks and width 128 that reads the lab's town: all kinds of document "
    "of the world, and others whose labels no single word gives away: who did what to whom, "
    "comparisons, claims, booleans, rare events.",
}

CHOSEN_SITES = {"town": "layers.1"}
"""Where SAEs read a part's model, if not at the deepest block that keeps facts in one place.

After block 0 of the town's model a dense probe reads 50 of its label sets with an AUC of 0.99 and
leaves 43 below 0.6; after block 1 it is 55 and 18, with who did what to whom among them. From block
2 on it gains little more, and SAEs of one size reconstruct less.
"""


def build_model(part: str, settings: BuildSettings) -> Iterable[ManifestRow]:
    """Train the model, write its files in half precision, read them back, and measure those."""
    from saeval.lab.world import model as m

    world, name = text_world(part), f"{part}/model"
    checkpoint = checkpoint_folder(name, settings) / "state.safetensors"
    trained = m.train_model(
        world, checkpoint, seed=MODEL_SEED, device=settings.device, share=settings.share
    )
    folder = settings.weights / name
    save_model(world, trained, folder)
    recipe = {
        "world_seed": world.seed, "seed": MODEL_SEED, "rows": m.ROWS, "length": m.LENGTH,
        "answer_weight": m.ANSWER_WEIGHT, "letter_weight": m.LETTER_WEIGHT,
        "closing_weight": m.CLOSING_WEIGHT,
        "tokens": round(m.RECIPE.steps * settings.share) * m.ROWS * m.LENGTH,
        **asdict(m.ModelShape()), **asdict(m.RECIPE),
    }  # fmt: skip
    figures = dict(measure_model(world, load_model(folder), share=settings.share))
    figures["site"] = CHOSEN_SITES.get(part, figures["site"])
    return [make_row(name, ABOUT[part], recipe, figures, weights=settings.weights)]


WORLD_MODEL = Part(NAME, partial(build_model, "world"), outputs=(NAME,), minutes=45)
TOWN_MODEL = Part(TOWN_NAME, partial(build_model, "town"), outputs=(TOWN_NAME,), minutes=45)


def save_model(world: World, model: "GPTNeoXForCausalLM", folder: Path) -> None:
    """Write weights in half precision, configuration and tokenizer in Hugging Face's layout."""
    from saeval.lab.world.tokenizer import make_tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    context = model.config.max_position_embeddings
    model.half().save_pretrained(folder)
    make_tokenizer(world.vocabulary, context).save_pretrained(folder)


def load_model(folder: Path) -> "GPTNeoXForCausalLM":
    """The written model, computing in single precision."""
    import torch
    from transformers import GPTNeoXForCausalLM

    net = GPTNeoXForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )
    return net.eval()


def measure_model(
    world: World, model: "GPTNeoXForCausalLM", share: float = 1.0
) -> Mapping[str, Any]:
    """All figures of the model; `share` thins out the questions and texts."""
    import numpy as np

    from saeval.errors import DataError
    from saeval.lab.world import gate, measure

    def thin(n: int) -> int:
        return max(8, round(n * share))

    losses = measure.losses_by_genre(
        world, model, world.documents(thin(4000), seed=1, split="test")
    )
    answers = {}
    for domain in world.truth.domains:
        questions = world.mcq(domain.name, thin(1000), seed=2)
        correct = measure.answers_right(world, model, questions)
        taught = np.array([q.fact.taught for q in questions])
        answers[domain.name] = {
            "all": float(correct.mean()),
            "taught": float(correct[taught].mean()),
            "untaught": float(correct[~taught].mean()) if not taught.all() else None,
        }
    erasures = gate.erasures(world, model, n=thin(600), seed=3)
    try:
        site = f"layers.{gate.deepest_site(erasures)}"
    except DataError as error:
        site = f"none: {error}"
    return {
        "site": site,
        "loss": {k: asdict(f) | {"gap": f.gap} for k, f in losses.items()},
        "answers": answers,
        "first_letter_f1": _by_layer(measure.first_letter_f1(world, model, share=share)),
        "probe_auc": {
            k: _by_layer(v)
            for k, v in measure.probe_auc(world, model, train=thin(150), test=thin(100)).items()
        },
        "gate": {
            f"layers.{e.layer}/{e.domain}": {"target": e.target, "others": e.others}
            for e in erasures
        },
    }


def _by_layer(values: list[float]) -> dict[str, float]:
    return {f"layers.{i}": v for i, v in enumerate(values)}
