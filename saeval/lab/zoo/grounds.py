"""What the lab's SAEs are trained and measured on: activations of its models and worlds."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from saeval import metrics
from saeval.activations import ModelSource, Store, TokenRows, model_source, predictions
from saeval.errors import DataError
from saeval.lab.synthetic import synthetic_world
from saeval.metrics import recovery
from saeval.models import load_model
from saeval.registry.lab_manifest import ManifestRow
from saeval.sae import SAE, decode_codes, encode_codes
from saeval.training.figures import Figures, held_out_figures

Activations = tuple[Float[np.ndarray, "tokens d_in"], Float[np.ndarray, "tokens d_out"]]
"""What is read and what is reconstructed; the same array twice for all but transcoders."""

TRAINING_ROWS = 8192
"""Rows of a model that SAEs are trained on."""
MODEL_TOKENS = 3_000_000
"""Activations of a model seen in training, repetitions included."""
MODEL_D_SAE = 1024
TOWN_D_SAE = 512
"""Latents of the town's SAEs, which are many: their weights must fit."""
MODEL_LR = 3e-3
"""Faster than the default for this width. TopK of 32 latents on `lab/world` ends at an FVU of
0.027 with it, of 0.049 with the default."""
TEST_ROWS = 512
"""Held-out rows for L0, FVU and dead latents."""
LOSS_ROWS = 128
"""How many of these the CE score is computed on."""
SYNTHETIC_ROWS = 500_000
"""Activations of a synthetic world that SAEs are trained on."""
SYNTHETIC_TOKENS = 2_000_000
"""Activations seen in training there, repetitions included."""
SYNTHETIC_LR = 6e-3
"""Faster than the default for this width, so that so short a training suffices."""
SYNTHETIC_TEST_ROWS = 32_768
SEED = 5
"""Seed of the rows."""


def held_out(sae: SAE, activations: Activations) -> dict[str, float]:
    """L0, FVU and the share of dead latents on held-out activations."""
    x, y = map(torch.from_numpy, activations)
    # Tokens and seconds belong to a training, and no training took place here.
    figures: Figures = held_out_figures(sae, x, y, tokens=0, seconds=0)
    return {name: value for name, value in asdict(figures).items() if name in ("l0", "fvu", "dead")}


@dataclass(frozen=True)
class ModelGround:
    """A site of one of the lab's models, reading rows made on the spot."""

    model: str
    """The model's name in registry entries."""
    folder: Path
    """Folder of its files."""
    read_site: str
    write_site: str | None
    """None: the read site."""
    rows: Callable[[str, int], Int[np.ndarray, "rows seq"]]
    """Returns a number of token rows of a split (train or test)."""
    context: int
    """Tokens per row, BOS included."""
    d_sae: int = MODEL_D_SAE
    tokens: int = MODEL_TOKENS
    """Activations seen in training, repetitions included."""
    lr: float = MODEL_LR
    share: float = 1.0
    """Share of the rows to use: less than 1 for small trials."""

    @property
    def data(self) -> Mapping[str, int]:
        """Number and seed of the rows."""
        return {"data_rows": max(8, round(TRAINING_ROWS * self.share)), "data_seed": SEED}

    def training(self) -> Activations:
        """Activations of `TRAINING_ROWS` rows of the training split."""
        return _model_activations(self, "train", TRAINING_ROWS)

    def figures(self, sae: SAE) -> dict[str, float]:
        """L0, FVU, dead latents and CE scores (zero and mean ablation) on the test split.

        A CE score is left out where the ablation does not raise the loss.
        """
        clean, zero, mean = self._baseline_losses

        def reconstruct(x: torch.Tensor) -> torch.Tensor:
            return decode_codes(sae, encode_codes(sae, x), x)

        spliced = self._mean_ce(reconstruct)
        ablated = {"ce_loss_score": zero, "ce_loss_score_mean_ablation": mean}
        return {
            **held_out(sae, _model_activations(self, "test", TEST_ROWS)),
            **{
                name: metrics.harm_avoided(loss, spliced) / stake
                for name, loss in ablated.items()
                if (stake := metrics.harm_at_stake(loss, clean)) > 0
            },
        }

    @cached_property
    def source(self) -> ModelSource:
        """A source that computes activations when they are needed and keeps none on disk."""
        net = load_model(str(self.folder))
        store = Store(writable=False)
        return model_source(net, self.read_site, write_site=self.write_site, store=store)

    def token_rows(self, split: str, count: int) -> TokenRows:
        """Rows of a split as a source takes them."""
        ids = self.rows(split, max(8, round(count * self.share)))
        return self.source.token_rows(ids.astype(np.int32), name=f"{self.model} {split}")

    @cached_property
    def _baseline_losses(self) -> tuple[float, float, float]:
        """Mean CE in nats of the untouched model, with zeros at the site, and with the mean."""
        mean = torch.from_numpy(_model_activations(self, "test", TEST_ROWS)[1].mean(0))
        width = len(mean)
        zero = self._mean_ce(lambda x: torch.zeros(len(x), width))
        return self._mean_ce(None), zero, self._mean_ce(lambda x: mean.expand(len(x), width))

    def _mean_ce(self, edit: Callable[[torch.Tensor], torch.Tensor] | None) -> float:
        """Mean CE in nats over the counted tokens that counted ones precede; None edits nothing."""
        rows, source = self.token_rows("test", LOSS_ROWS), self.source
        total = count = 0.0
        for batch in source.batches(rows):
            y_new = batch.y.clone()
            if edit is not None:
                y_new[batch.mask] = edit(batch.x_tokens).to(y_new)
            logits = source.model.logits(source.splice(rows, batch, y_new))
            log_probs, judged = logits.float().log_softmax(-1), predictions(rows, batch)
            counts = judged.counts
            losses = metrics.cross_entropy(log_probs[counts], judged.target[counts])
            total += float(losses.double().sum())
            count += float(counts.sum())
        return total / count


@lru_cache(maxsize=4)
def _model_activations(ground: ModelGround, split: str, rows: int) -> Activations:
    """Counted activations of some rows."""
    batches = [
        (batch.x_tokens, batch.y_tokens)
        for batch in ground.source.batches(ground.token_rows(split, rows))
    ]
    x = torch.cat([x for x, _ in batches]).numpy()
    if ground.write_site is None:
        return x, x
    return x, torch.cat([y for _, y in batches]).numpy()


@dataclass(frozen=True)
class SyntheticGround:
    """A synthetic world, whose samples are the activations."""

    world: str
    share: float = 1.0
    """Share of the sample to use: less than 1 for small trials."""
    d_sae: int = 256
    tokens: int = SYNTHETIC_TOKENS
    """Activations seen in training, repetitions included."""
    lr: float = SYNTHETIC_LR
    read_site: str = "activations"
    write_site: str | None = None
    context: int | None = None
    """None: there are no rows."""

    @property
    def model(self) -> str:
        """The world's name in registry entries."""
        return f"lab://synthetic/{self.world}"

    @property
    def data(self) -> Mapping[str, int]:
        """Number and seed of the sample."""
        return {"data_rows": max(4096, round(SYNTHETIC_ROWS * self.share)), "data_seed": SEED}

    def training(self) -> Activations:
        """A sample of the training split."""
        return _world_activations(self, "train", SYNTHETIC_ROWS)

    def figures(self, sae: SAE) -> dict[str, float]:
        """L0, FVU and dead latents on the test split, and MCC against the planted directions."""
        figures = held_out(sae, _world_activations(self, "test", SYNTHETIC_TEST_ROWS))
        truth = synthetic_world(self.world).dictionary
        matching = recovery.match(recovery.cosines(sae.W_dec.numpy(), truth))
        figures["mcc"] = float(matching.cosine.mean())
        return figures


Ground = ModelGround | SyntheticGround
"""What an SAE is trained and measured on."""


@lru_cache(maxsize=4)
def _world_activations(ground: SyntheticGround, split: str, rows: int) -> Activations:
    """Activations of a split."""
    count = max(4096, round(rows * ground.share))
    x = synthetic_world(ground.world).sample(count, seed=SEED, split=split).x
    return x, x


def world_ground(weights: Path, row: ManifestRow, *, mlp: bool, share: float) -> ModelGround:
    """A model that reads documents at its SAE site, or its MLP in that block, input to output."""
    block = _sae_site(row)
    read, write = (f"{block}.mlp:in", f"{block}.mlp:out") if mlp else (block, None)
    part = row.name.partition("/")[0]
    d_sae = TOWN_D_SAE if part == "town" else MODEL_D_SAE
    rows, folder = partial(world_rows, part), weights / row.name
    return ModelGround(
        f"lab://{row.name}", folder, read, write, rows, 128, d_sae=d_sae, share=share
    )


def othello_ground(weights: Path, row: ManifestRow, *, share: float) -> ModelGround:
    """The Othello model at its SAE site."""
    return ModelGround(
        "lab://othello/model",
        weights / row.name,
        _sae_site(row),
        None,
        othello_rows,
        60,
        share=share,
    )


def _sae_site(row: ManifestRow) -> str:
    """The site that was chosen when the model was measured.

    Raises:
        DataError: if none could be chosen.
    """
    site = str(row.figures.get("site"))
    if not site.startswith("layers."):
        raise DataError(f"lab/{row.name} has no SAE site ({site}): train it for longer.")
    return site


def world_rows(part: str, split: str, count: int) -> Int[np.ndarray, "rows 128"]:
    """Rows of 128 tokens, as the model of a part was trained on, from a stream of their own."""
    from saeval.lab.text_worlds import text_world
    from saeval.lab.world.stream import token_rows

    world, batch = text_world(part), 64
    batches = [
        token_rows(world, i, batch, seed=SEED, split=split) for i in range(-(-count // batch))
    ]
    return np.concatenate(batches)[:count]


def othello_rows(split: str, count: int) -> Int[np.ndarray, "rows 60"]:
    """Games as BOS and 59 moves, from a stream that the model was not trained on."""
    from saeval.lab.othello.games import stream

    split_number = {"train": 0, "test": 1}[split]
    games = stream(2048, 1000 + SEED, split_number)
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < count:
        parts.append(next(games).tokens)
    return np.concatenate(parts)[:count]
