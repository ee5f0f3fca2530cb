"""SAEs whose scores are known beforehand, and a source small enough to check by brute force."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import tiny_models
import torch
from jaxtyping import Float
from saeval_tasks.core import Core
from torch import Tensor

from saeval.activations import ActivationSource, ModelSource, Store, TokenRows, model_source
from saeval.evidence import Evidence, Missing, summarise
from saeval.models import load_model
from saeval.sae import SAE
from saeval.sae.architectures import TopK

SITE = "layers.1"


@dataclass(frozen=True, eq=False)
class Linear:
    """acts = x - shift, x_hat = scale * acts + shift: exact at scale 1, the shift itself at 0."""

    width: int
    scale: float = 1.0
    shift: Float[Tensor, " d"] | None = None

    @property
    def d_in(self) -> int:
        """Width of the activations."""
        return self.width

    @property
    def d_sae(self) -> int:
        """One latent a dimension."""
        return self.width

    @property
    def W_dec(self) -> Tensor:  # noqa: N802
        """The unit vectors, scaled."""
        return torch.eye(self.width) * self.scale

    def encode(self, x: Float[Tensor, "tokens d"]) -> Float[Tensor, "tokens d"]:
        """Distance from the shift."""
        return x if self.shift is None else x - self.shift

    def decode(
        self, acts: Float[Tensor, "tokens d"], x: Float[Tensor, "tokens d"]
    ) -> Float[Tensor, "tokens d"]:
        """Scaled, and the shift put back."""
        found = acts * self.scale
        return found if self.shift is None else found + self.shift


def random_topk(d_sae: int = 40, k: int = 5, seed: int = 0, d_out: int | None = None) -> TopK:
    """A TopK SAE of random weights."""
    generator = torch.Generator().manual_seed(seed)
    d_in = tiny_models.WIDTH
    return TopK(
        torch.randn(d_in, d_sae, generator=generator),
        torch.randn(d_sae, generator=generator) / 10,
        torch.randn(d_sae, d_out or d_in, generator=generator) / 4,
        torch.randn(d_out or d_in, generator=generator) / 10,
        k,
        subtract_b_dec=False,
    )


def tiny_source(
    folder: Path,
    kind: str = "gpt2",
    site: str = SITE,
    write_site: str | None = None,
    batch_tokens: int | None = None,
) -> ModelSource:
    """A source over a model of a few thousand weights."""
    path = folder / kind
    model = load_model(str(path if path.exists() else tiny_models.build(kind, path)))
    store = Store(folder / "store")
    return model_source(model, site, write_site=write_site, store=store, batch_tokens=batch_tokens)


def words_file(folder: Path, source: ModelSource, texts: int = 12) -> Path:
    """Texts of 4 to 15 words, one a line, each word the model's own guess at what comes next.

    On such text ablations do harm, which random words would not promise.
    """
    words, lines = tiny_models.WORDS, []
    first_word = tiny_models.VOCABULARY[words[0]]
    for i in range(texts):
        ids = [1, first_word + 5 * i % len(words)]
        while len(ids) < 5 + i % 12:
            logits = source.model.net(torch.tensor([ids])).logits[0, -1]
            logits[ids] = -torch.inf
            ids.append(first_word + int(logits[first_word:].argmax()))
        lines.append(" ".join(words[token - first_word] for token in ids[1:]))
    path = folder / "words.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def evidence_of(
    task: Core, sae: SAE, source: ActivationSource, seed: int = 0
) -> list[Evidence | Missing]:
    """All that the task yields for one SAE."""
    return list(task.score(sae, task.prepare(source, seed), source, seed))


def values(found: Iterable[Evidence | Missing]) -> dict[str, float]:
    """Metric -> value, parts after a slash; metrics that are missing are left out."""
    return {
        f"{one.metric}/{one.part}" if one.part else one.metric: summarise(one, replicates=20).value
        for one in found
        if isinstance(one, Evidence)
    }


def whole(
    source: ActivationSource, rows: TokenRows
) -> tuple[Float[Tensor, "tokens d_in"], Float[Tensor, "tokens d_out"]]:
    """Inputs and targets of all counted tokens."""
    batches = list(source.batches(rows))
    return torch.cat([b.x_tokens for b in batches]), torch.cat([b.y_tokens for b in batches])
