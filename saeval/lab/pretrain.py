"""Pretraining of the lab's small language models: Muon and AdamW, EMA weights, resumable."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

logger = logging.getLogger(__name__)

PretrainBatch = dict[str, Tensor]
"""Tensors of one step: `ids` int64 [texts seq], and others that the loss needs."""
PretrainLoss = Callable[[Tensor, PretrainBatch], Tensor]
"""Mean loss in nats from logits [texts seq vocab] and the batch."""


@dataclass(frozen=True)
class PretrainRecipe:
    """How long and how fast to pretrain a language model."""

    steps: int
    lr: float = 3e-3
    """Of both optimisers; Muon's update is scaled to AdamW's (`match_rms_adamw`)."""
    warmup: int = 50
    """Steps of linear warm-up."""
    decay: float = 0.3
    """Share of the steps, at the end, over which the learning rate falls linearly to zero."""
    clip: float = 1.0
    """Largest gradient norm."""
    ema: float = 0.998
    """Decay of the averaged weights, which the trained model gets."""
    bf16: bool = True
    """Autocast to bfloat16: 1.1 to 2 times faster where the processor has it."""
    save_every: int = 100
    """Steps between checkpoints."""

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        fall = (self.steps - step) / max(1.0, self.decay * self.steps)
        return self.lr * min(1.0, (step + 1) / self.warmup, fall)


def pretrain(
    net: nn.Module,
    batch_at: Callable[[int], PretrainBatch],
    loss: PretrainLoss,
    recipe: PretrainRecipe,
    *,
    checkpoint: Path,
) -> nn.Module:
    """Train `net` in place and give it the averaged weights.

    `batch_at(step)` must depend on the step alone, so that a run that was stopped goes on from
    `checkpoint` (safetensors) as if it had not been.
    """
    optimizers = _optimizers(net, recipe.lr)
    average = {name: value.detach().clone() for name, value in net.state_dict().items()}
    start = _load_checkpoint(checkpoint, net, average, optimizers)
    device = next(net.parameters()).device
    net.train()
    start_time, tokens, smoothed_loss = time.monotonic(), 0, 0.0
    for step in range(start, recipe.steps):
        batch = {name: value.to(device) for name, value in batch_at(step).items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.bf16):
            logits = net(input_ids=batch["ids"], use_cache=False).logits
        value = loss(logits.float(), batch)
        value.backward()
        nn.utils.clip_grad_norm_(net.parameters(), recipe.clip)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate(step)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        # Early averages forget faster, so that the initial weights do not linger in them.
        decay = min(recipe.ema, (1 + step) / (10 + step))
        for name, weight in net.state_dict().items():
            average[name].lerp_(weight, 1 - decay)
        tokens += batch["ids"].numel()
        smoothed_loss = (
            value.item() if smoothed_loss == 0 else 0.95 * smoothed_loss + 0.05 * value.item()
        )
        if (step + 1) % recipe.save_every == 0 or step + 1 == recipe.steps:
            _save_checkpoint(checkpoint, step + 1, net, average, optimizers)
            speed = tokens / (time.monotonic() - start_time)
            minutes_left = (recipe.steps - step - 1) * tokens / (step + 1 - start) / speed / 60
            logger.info(
                "step %d/%d loss %.4f, %.1fk tokens/s, %.0f min left",
                step + 1, recipe.steps, smoothed_loss, speed / 1e3, minutes_left,
            )  # fmt: skip
    net.load_state_dict(average)
    return net.eval()


def _optimizers(net: Any, lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW for embeddings, head, norms and biases."""
    embeddings = {
        id(p)
        for module in (net.get_input_embeddings(), net.get_output_embeddings())
        for p in module.parameters()
    }
    inner = [p for p in net.parameters() if p.ndim == 2 and id(p) not in embeddings]
    inner_ids = {id(p) for p in inner}
    others = [p for p in net.parameters() if id(p) not in inner_ids]
    return [
        torch.optim.Muon(inner, lr=lr, adjust_lr_fn="match_rms_adamw", weight_decay=0.01),
        torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]


def _optimizer_tensors(optimizers: list[torch.optim.Optimizer]) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the optimisers' states under a stable name."""
    for number, optimizer in enumerate(optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            for name, value in state.items():
                yield f"optimizer.{number}.{index}.{name}", torch.as_tensor(value)


def _save_checkpoint(
    checkpoint: Path,
    step: int,
    net: nn.Module,
    average: dict[str, Tensor],
    optimizers: list[torch.optim.Optimizer],
) -> None:
    """Write the whole state beside the checkpoint, then rename it: a stop leaves the old one."""
    tensors = {f"net.{name}": value for name, value in net.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.items()}
    tensors |= dict(_optimizer_tensors(optimizers))
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    partial = checkpoint.with_suffix(".partial")
    save_file(
        {name: value.detach().clone().contiguous() for name, value in tensors.items()},
        partial,
        {"step": str(step)},
    )
    partial.replace(checkpoint)


def _load_checkpoint(
    checkpoint: Path,
    net: nn.Module,
    average: dict[str, Tensor],
    optimizers: list[torch.optim.Optimizer],
) -> int:
    """Load the state of a stopped run, if there is one. Returns the step to continue with."""
    if not checkpoint.exists():
        return 0
    with safe_open(checkpoint, "pt") as file:
        step = int(file.metadata()["step"])
    tensors = load_file(checkpoint)
    net.load_state_dict({name: tensors[f"net.{name}"] for name in average})
    for name, value in average.items():
        value.copy_(tensors[f"average.{name}"])
    for number, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            kind, *path = key.split(".")
            if kind == "optimizer" and int(path[0]) == number:
                state.setdefault(int(path[1]), {})[path[2]] = value
        optimizer.load_state_dict(
            {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
        )
    logger.info("going on from step %d of %s", step, checkpoint)
    return step
