"""The Othello model as a part of the lab: trained, rounded, measured, and given its SAE site."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saeval.lab.build import BuildSettings, Part, checkpoint_folder
from saeval.registry.lab_manifest import ManifestRow, make_row

if TYPE_CHECKING:
    from transformers import GPTNeoXForCausalLM

NAME = "othello/model"
SEED = 0
ABOUT = (
    "GPT-NeoX of 6 blocks and width 128 that predicts legal moves from random Othello games, "
    "whose board is known at every move."
)


def build_model(settings: BuildSettings) -> Iterable[ManifestRow]:
    """Train the model, write its files in half precision, read them back, and measure those."""
    from saeval.lab.othello import model as m
    from saeval.lab.pretrain import pretrain

    recipe = replace(m.RECIPE, steps=max(1, round(m.RECIPE.steps * settings.share)))
    net = m.build(SEED).to(settings.device)  # type: ignore[arg-type]
    checkpoint = checkpoint_folder(NAME, settings) / "state.safetensors"
    pretrain(net, m.batch_at, m.soft_label_loss, recipe, checkpoint=checkpoint)
    folder = settings.weights / NAME
    save_model(net, folder)
    data = {"seed": SEED, "batch_games": m.BATCH_GAMES, "tokens": recipe.steps * m.BATCH_TOKENS}
    figures = measure_model(load_model(folder), share=settings.share)
    return [make_row(NAME, ABOUT, {**data, **asdict(recipe)}, figures, weights=settings.weights)]


OTHELLO_MODEL = Part(NAME, build_model, outputs=(NAME,), minutes=55)


def save_model(net: "GPTNeoXForCausalLM", folder: Path) -> None:
    """Write weights in half precision, configuration and tokenizer in Hugging Face's layout."""
    from saeval.lab.othello.tokenizer import make_tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    net.cpu().half().save_pretrained(folder)  # type: ignore[call-arg]
    make_tokenizer().save_pretrained(folder)


def load_model(folder: Path) -> "GPTNeoXForCausalLM":
    """The written model, computing in single precision."""
    import torch
    from transformers import GPTNeoXForCausalLM

    return GPTNeoXForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def measure_model(net: "GPTNeoXForCausalLM", share: float = 1.0) -> Mapping[str, Any]:
    """Legality on held-out games, and accuracy of board probes after each block.

    The site is the block output whose probe is the most accurate. An untrained model is the
    baseline, since it already shows which squares were played.
    """
    from saeval.lab.othello import model as m

    size = {"games": max(8, round(1500 * share)), "steps": max(10, round(300 * share))}
    trained = m.board_accuracy(net, **size)
    untrained = m.board_accuracy(m.build(SEED + 1), **size)
    blocks = {name: accuracy for name, accuracy in trained.items() if name.startswith("layers.")}
    return {
        "site": max(blocks, key=lambda name: blocks[name]["all"]),
        **m.legality(net, games=max(8, round(1000 * share))),
        "board_accuracy": trained,
        "board_accuracy_untrained": untrained,
    }
