"""Supervised dictionaries: SAEs whose latents are linear probes of known concepts.

They are an upper bound on how well a dictionary can show the truth. They are not meant to
reconstruct.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from jaxtyping import Bool, Float
from sklearn.metrics import roc_auc_score
from torch import Tensor

from saeval.lab.build import BuildSettings
from saeval.sae.architectures import JumpReLU
from saeval.sae.architectures.linear import preactivations
from saeval.sae.loaders.saeval_format import load, save

if TYPE_CHECKING:
    from saeval.lab.zoo.grounds import ModelGround

BATCH = 4096
"""Activations per training step, and encoded at a time."""
RIDGE = 1e-3
"""Ridge penalty of the decoder, as a share of each latent's second moment."""


@dataclass(frozen=True)
class LabelledActivations:
    """Activations, and which concepts are true of each."""

    x: Float[Tensor, "tokens d"]
    truth: Bool[Tensor, "tokens concepts"]
    weight: Float[Tensor, " tokens"]
    """How many activations each row stands for."""


def fit_oracle(data: LabelledActivations, *, steps: int, seed: int = 0) -> JumpReLU:
    """An SAE with a latent for each concept, active where its concept is.

    The encoder is a logistic probe for each concept, its threshold the cut of highest F1; decoder
    rows of unit length are the least-squares map from the latents back to the activations.
    """
    W, b = probes(data, steps=steps, seed=seed)
    cut = torch.cat(
        [
            best_cuts(data.x @ W[:, part] + b[part], data.truth[:, part], data.weight)
            for part in torch.arange(W.shape[1]).split(32)
        ]
    )
    b = b - cut.clamp(
        max=0
    )  # a latent is active above 0 only, so a negative cut moves into the bias
    cut = cut.clamp(min=0)
    W_dec, b_dec = _fit_decoder(data, W, b, cut)
    scale = W_dec.norm(dim=1).clamp(min=1e-6)
    return JumpReLU(
        W_enc=W * scale, b_enc=b * scale, W_dec=W_dec / scale[:, None], b_dec=b_dec,
        threshold=cut * scale, subtract_b_dec=False,
    )  # fmt: skip


@contextmanager
def one_thread() -> Iterator[None]:
    """Run on one thread, so that sums are taken in the same order on every machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def probes(
    data: LabelledActivations, *, steps: int, lr: float = 2e-2, seed: int = 0
) -> tuple[Float[Tensor, "d concepts"], Float[Tensor, " concepts"]]:
    """Logistic regressions, all at once: weights and biases on raw activations.

    Activations are drawn in proportion to the square root of their weight. By the weight itself,
    rare tokens would hardly be drawn; evenly, common ones, which cause most false positives,
    would count too little.
    """
    mean, spread = data.x.mean(0), data.x.std(0) + 1e-6
    draw_weight = data.weight.double().sqrt()
    rate = (data.truth * (draw_weight / draw_weight.sum())[:, None]).sum(0).float()
    W = torch.zeros(data.x.shape[1], data.truth.shape[1], requires_grad=True)
    b = torch.logit(rate, eps=1e-6).requires_grad_()
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam([W, b], lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    cumulative = draw_weight.cumsum(0)
    for _ in range(steps):
        draws = torch.rand(min(BATCH, len(cumulative)), generator=generator, dtype=torch.float64)
        rows = torch.searchsorted(cumulative, draws * cumulative[-1]).clamp(max=len(cumulative) - 1)
        logits = ((data.x[rows] - mean) / spread) @ W + b
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, data.truth[rows].float()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    W_raw = W.detach() / spread[:, None]
    return W_raw, b.detach() - mean @ W_raw


def best_cuts(
    scores: Float[Tensor, "tokens concepts"],
    truth: Bool[Tensor, "tokens concepts"],
    weight: Float[Tensor, " tokens"],
) -> Float[Tensor, " concepts"]:
    """The threshold on the scores that has the highest F1, for each concept.

    It lies midway between two tokens' scores. For a concept that is never true it lies above
    all scores.
    """
    ordered, order = scores.sort(dim=0, descending=True)
    # Row i: the weight of the true positives, and of all positives, of a threshold just below
    # the i-th highest score.
    hits = (truth.gather(0, order) * weight[order]).cumsum(0)
    positives = weight[order].cumsum(0)
    f1 = 2 * hits / (positives + hits[-1])
    best = f1.argmax(0, keepdim=True)
    next_best = (best + 1).clamp(max=len(scores) - 1)
    cut = (ordered.gather(0, best) + ordered.gather(0, next_best))[0] / 2
    return torch.where(hits[-1] > 0, cut, ordered[0] + 1)


def f1_scores(
    active: Bool[Tensor, "tokens concepts"], truth: Bool[Tensor, "tokens concepts"]
) -> Float[np.ndarray, " concepts"]:
    """F1 of each latent as a sign of its concept: 2 TP / (2 TP + FP + FN).

    1: active exactly where the concept is true; 0: nowhere there, or the concept is never true.
    """
    hits = (active & truth).sum(0).double()
    return (2 * hits / (active.sum(0) + truth.sum(0)).clamp(min=1)).numpy()


def measure_oracle(sae: JumpReLU, data: LabelledActivations) -> dict[str, float]:
    """Means over the concepts that are true of at least one activation (`concepts_seen`).

    `concept_f1`: of its latent being active. `probe_auc`: area under the ROC curve of its latent's
    pre-activation.
    """
    is_present = data.truth.any(0)
    f1 = f1_scores(_active_latents(sae, data.x), data.truth)[is_present.numpy()]
    scores = preactivations(sae, data.x, sae.b_enc)
    auc = [roc_auc_score(data.truth[:, i], scores[:, i]) for i in is_present.nonzero().flatten()]
    return {
        "concept_f1": float(f1.mean()),
        "concept_f1_least": float(f1.min()),
        "probe_auc": float(np.mean(auc)),
        "concepts_seen": int(is_present.sum()),
    }


def write_oracle(
    sae: JumpReLU, name: str, ground: "ModelGround", latents: Sequence[str], settings: BuildSettings
) -> JumpReLU:
    """Write an oracle in half precision with the names of its latents, and load it again."""
    origin = replace(
        sae.origin, model=ground.model, read_site=ground.read_site, prepend_bos=True,
        context_size=ground.context,
        metadata={"upper bound": "oracle", "latents": list(latents)},
    )  # fmt: skip
    folder = settings.weights / name
    shutil.rmtree(folder, ignore_errors=True)
    save(replace(sae, origin=origin), folder, torch.float16)
    return cast("JumpReLU", load(folder))


def _active_latents(sae: JumpReLU, x: Float[Tensor, "tokens d"]) -> Bool[Tensor, "tokens concepts"]:
    return torch.cat([sae.encode(part) != 0 for part in x.split(BATCH)])


def _fit_decoder(
    data: LabelledActivations,
    W: Float[Tensor, "d concepts"],
    b: Float[Tensor, " concepts"],
    cut: Float[Tensor, " concepts"],
) -> tuple[Float[Tensor, "concepts d"], Float[Tensor, " d"]]:
    """Ridge regression of the activations on the latents, and its intercept."""
    size = W.shape[1] + 1
    gram = torch.zeros(size, size, dtype=torch.float64)
    right_side = torch.zeros(size, W.shape[0], dtype=torch.float64)
    for x, weight in zip(data.x.split(BATCH), data.weight.split(BATCH), strict=True):
        pre = torch.addmm(b, x, W)
        acts = torch.cat([torch.where(pre > cut, pre, 0), torch.ones(len(x), 1)], 1).double()
        weighted = acts * weight[:, None]
        gram += weighted.T @ acts
        right_side += weighted.T @ x.double()
    moments = gram.diagonal().clone()
    moments[-1] = 0  # the intercept is free
    moments[moments == 0] = 1e-9  # and so is a latent that is never active
    solution = torch.linalg.solve(gram + torch.diag(RIDGE * moments), right_side).float()
    return solution[:-1], solution[-1]
