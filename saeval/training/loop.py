"""Training itself: one streaming loop for all architectures."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.errors import DataError
from saeval.sae.architectures import moved
from saeval.training.figures import Figures, held_out_figures
from saeval.training.method import Fit, Method, Setup, State
from saeval.training.precision import matmul_precision
from saeval.training.recipe import Recipe
from saeval.training.scaling import Scaling, measure_scaling, to_raw_units
from saeval.training.stream import Source, Stream, open_stream

DEAD_AFTER = 0.05
"""A latent is dead if it has not fired for this share of the training."""
DEAD_TOKENS = 10_000_000
"""So many activations without firing always suffice. Source: arXiv 2406.04093, appendix A.2."""
REPORTS = 50
"""Number of reports of figures in the course of a training."""
COUNT_EVERY = 4
"""Figures count one step of so many: counting active latents costs a tenth of a step."""

Watch = Callable[[Figures], None]
"""Called with the figures of a training while it runs."""


@dataclass(frozen=True)
class TrainedSAE:
    """An SAE and the course of its training."""

    sae: Any
    """A frozen architecture in raw units, on the CPU."""
    log: tuple[Figures, ...]
    """Figures in the course of training, on training batches."""
    final: Figures
    """Figures on the activations held out."""
    snapshots: tuple[tuple[int, Any], ...] = ()
    """Number of activations seen, and the SAE at that point."""

    def summary(self) -> dict[str, Any]:
        """The SAE's description and its held-out figures, for a person or as JSON."""
        origin, final = self.sae.origin, self.final
        return {
            "architecture": origin.architecture,
            "model": origin.model,
            "read_site": origin.read_site,
            "write_site": origin.write_site,
            "d_sae": self.sae.d_sae,
            "activations": final.tokens,
            "seconds": round(final.seconds, 1),
            "fvu": round(final.fvu, 5),
            "l0": round(final.l0, 3),
            "dead": round(final.dead, 5),
        }


def train(
    source: Source,
    method: Method | Fit,
    recipe: Recipe,
    *,
    device: str = "cpu",
    watch: Watch = lambda _: None,
    snapshots: tuple[float, ...] = (),
) -> TrainedSAE:
    """Train an SAE on a stream of activations. Equal arguments give equal bits on one machine.

    Args:
        source: Activations; see `saeval.training.stream.Source`.
        method: The architecture's trainer.
        recipe: Width, target L0, length and seed.
        device: Where to train.
        watch: Called with early figures about fifty times, in the course of the training.
        snapshots: Shares of the training, 0 to 1, after which to keep a copy of the SAE.

    Raises:
        DataError: if the activations are misshapen, not finite, all equal, or too few.
    """
    clock = time.monotonic()
    stream = open_stream(source, recipe)
    setup, scale = _prepare(stream, recipe, device)
    log: list[Figures] = []
    saved: list[tuple[int, Any]] = []
    if isinstance(method, Fit):
        sae, tokens = scale.to_raw(method.fit(setup)), len(setup.x)
    else:
        run = _TrainingRun(method, setup)
        snapshot_steps = {max(1, round(share * recipe.steps)) for share in snapshots}
        for step in _run_steps(run, scale.batches(stream.batches(), device), recipe):
            if step % max(COUNT_EVERY, recipe.steps // REPORTS) == 0:
                log.append(run.figures(time.monotonic() - clock))
                watch(log[-1])
            if step in snapshot_steps:
                saved.append((run.tokens, scale.to_raw(method.finish(run.copied_state(), setup))))
        sae, tokens = scale.to_raw(method.finish(run.state, setup)), run.tokens
    x, y = stream.held_out()
    final = held_out_figures(sae, x, y, tokens=tokens, seconds=time.monotonic() - clock)
    return TrainedSAE(sae, tuple(log), final, tuple(saved))


@dataclass(frozen=True)
class _SiteScaling:
    """The scalings of the activations at the read site and at the write site."""

    read: Scaling
    write: Scaling

    def batches(
        self, pairs: Iterator[tuple[Tensor, Tensor]], device: str
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Normalised batches on the device."""
        for x, y in pairs:
            read = self.read.apply(x.to(device))
            yield read, read if y is x else self.write.apply(y.to(device))

    def to_raw(self, sae: Any) -> Any:
        """The SAE for raw activations, on the CPU; it shares no memory with the one in training."""
        raw_sae = moved(to_raw_units(sae, self.read, self.write), device="cpu")
        return replace(raw_sae)


def _prepare(stream: Stream, recipe: Recipe, device: str) -> tuple[Setup, _SiteScaling]:
    x, y = stream.sample()
    read = measure_scaling(x)
    write = read if y is x else measure_scaling(y)
    scale = _SiteScaling(
        Scaling(read.mean.to(device), read.factor), Scaling(write.mean.to(device), write.factor)
    )
    x, y = next(scale.batches(iter([(x, y)]), device))
    return Setup(recipe, x, y), scale


def _run_steps(
    run: "_TrainingRun", batches: Iterator[tuple[Tensor, Tensor]], recipe: Recipe
) -> Iterator[int]:
    """Update step by step; yields the number of steps done.

    Raises:
        DataError: if the activations end before the training does.
    """
    for step in range(recipe.steps):
        batch = next(batches, None)
        if batch is None:
            raise DataError(
                f"The activations ended after {run.tokens:,} of {recipe.tokens:,}. Train on fewer "
                "(`tokens`), or give a source that can be started again."
            )
        with matmul_precision(recipe.precision):
            run.update(*batch, step=step)
        yield step + 1


class _TrainingRun:
    """One training in progress: weights, Adam, and when each latent last fired."""

    def __init__(self, method: Method, setup: Setup) -> None:
        self.method = method
        self.recipe = setup.recipe
        self.state = method.start(setup)
        self.tokens = 0
        weights = self.state.weights
        self._trained = [name for name in weights if name not in self.state.frozen]
        self._adam = torch.optim.Adam(
            [weights[name] for name in self._trained], lr=1.0, eps=6.25e-10, fused=True
        )
        self._idle = torch.zeros(len(self.state.dead), dtype=torch.int64, device=setup.x.device)
        self._window = min(DEAD_TOKENS, DEAD_AFTER * self.recipe.tokens)
        self._updates = 0
        self._sums = torch.zeros(4, dtype=torch.float64, device=setup.x.device)

    @torch.no_grad()
    def update(
        self, x: Float[Tensor, "tokens d_in"], y: Float[Tensor, "tokens d_out"], *, step: int
    ) -> None:
        """One step of Adam, decoder rows kept on the unit sphere."""
        self.state.share = step / self.recipe.steps
        result = self.method.step(self.state, x, y)
        weights = self.state.weights
        for name in self._trained:
            weights[name].grad = result.gradients[name]
        if "W_dec" in self._trained:
            _project_gradient(weights["W_dec"])
        for group in self._adam.param_groups:
            group["lr"] = self.recipe.rate(step)
        self._adam.step()
        self.method.constrain(self.state)
        self._count(result.acts, result.error, y)

    def _count(self, acts: Tensor, error: Tensor, y: Tensor) -> None:
        """Record which latents fired, and the sums for the figures."""
        self.tokens += len(acts)
        self._idle += len(acts)
        # The fastest way to find which latents fired. It relies on acts that are not zero never
        # adding up to exactly zero.
        self._idle[acts.sum(0) != 0] = 0
        self.state.dead = self._idle > self._window
        if self._updates % COUNT_EVERY == 0:
            sums = [error.square().sum(), y.square().sum(), acts.count_nonzero()]
            self._sums += torch.stack([*sums, acts.new_tensor(len(acts))])
        self._updates += 1

    def figures(self, seconds: float) -> Figures:
        """Figures on the batches since the last call.

        Raises:
            DataError: if the training has diverged.
        """
        error, deviation, active, count = self._sums.tolist()
        self._sums.zero_()
        if not error < float("inf"):
            raise DataError(
                f"Training diverged after {self.tokens:,} activations: the error is {error}. "
                "Lower the learning rate (`lr`), and look for outliers among the activations."
            )
        dead = float(self.state.dead.double().mean())
        share = self.tokens / (self.recipe.steps * self.recipe.batch_size)
        return Figures(self.tokens, error / deviation, active / count, dead, seconds, share)

    def copied_state(self) -> State:
        """The state with a copy of the weights."""
        weights = {name: w.detach().clone() for name, w in self.state.weights.items()}
        return replace(self.state, weights=weights)


def _project_gradient(W_dec: Tensor) -> None:
    """Remove, in place, the part of the gradient that would change the rows' norms."""
    grad = W_dec.grad
    if grad is not None:
        grad.addcmul_((grad * W_dec).sum(1, keepdim=True), W_dec, value=-1)
