"""No special token is ever a target: not in `core`, nor wherever else next tokens are predicted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import saeval_tasks.core.losses
import torch
from core_oracles import evidence_of, random_topk, tiny_source, values
from saeval_tasks.core import Core
from torch import Tensor

import saeval.activations.gradient
import saeval.lab.zoo.grounds
from saeval.activations import ModelSource, TokenRows
from saeval.activations.gradient import next_token_gradient
from saeval.lab.zoo.grounds import world_ground
from saeval.registry.lab_manifest import WEIGHTS, read_rows
from saeval.sae import SAE, Site

CASES = {
    "packed with BOS": ("gpt2", True, {"overflow": "pack", "context": 11}),
    "packed with EOS": ("gpt2", False, {"overflow": "pack", "context": 11}),
    "padded and truncated": ("llama", True, {"overflow": "truncate", "context": 7}),
    "padded without BOS": ("llama", False, {"overflow": "truncate", "context": 7}),
}


@pytest.fixture(params=CASES.values(), ids=list(CASES))
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ModelSource, Core]:
    """A tiny model, with or without BOS, and `core` on texts of 2 to 10 words, EOS in some."""
    kind, has_bos, fields = request.param
    source = tiny_source(tmp_path, kind)
    if not has_bos:
        source.model.tokenizer.bos_token = source.model.config.bos_token_id = None
    texts = [" ".join(f"w{(7 * i + j * j) % 60}" for j in range(2 + i % 9)) for i in range(20)]
    texts[3] += " <eos> w5 w6"
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(texts), encoding="utf-8")
    return source, Core(texts=str(path), compat="saebench", **fields)


def hooked(source: ModelSource, ids: Tensor, edit: Any) -> Tensor:
    """Log probabilities of one row without padding, by the bare model with a hook at the site."""
    block = source.model.net.get_submodule(Site.parse(str(source.sites)).path)

    def change(_: object, __: object, output: Any) -> Any:
        x = output[0] if isinstance(output, tuple) else output
        new = edit(x[0])[None]
        return (new, *output[1:]) if isinstance(output, tuple) else new

    handle = block.register_forward_hook(change)
    try:
        return source.model.net(ids[None]).logits[0].log_softmax(-1)
    finally:
        handle.remove()


def by_hand(source: ModelSource, rows: TokenRows, sae: SAE) -> Mapping[str, float]:
    """The losses of `core`, row by row over plain hooks."""
    special = torch.tensor([1, 2, 3]) if source.model.bos_id is not None else torch.tensor([2, 3])
    losses: dict[str, list[Tensor]] = {}
    compat_rows = max(1, len(rows) // 3)
    for number in range(len(rows)):
        ids = torch.from_numpy(rows.ids[number][rows.attention[number]]).long()
        counted = ~torch.isin(ids, special)

        def at_counted(new: Any, counted: Tensor = counted) -> Any:
            return lambda x: torch.where(counted[:, None], new(x), x)

        edits = {
            "ce_loss_without_sae": lambda x: x,
            "ce_loss_with_sae": at_counted(lambda x: sae.decode(sae.encode(x), x)),
            "ce_loss_with_ablation": at_counted(torch.zeros_like),
        }
        clean = hooked(source, ids, lambda x: x)
        for name, edit in edits.items():
            log_q = hooked(source, ids, edit)
            ce = -log_q[:-1].gather(1, ids[1:, None])[:, 0]
            losses.setdefault(name, []).append(ce[counted[:-1] & counted[1:]])
            kl = (clean.exp() * (clean - log_q)).sum(1)[counted]
            losses.setdefault(name.replace("ce_loss", "kl_div"), []).append(kl)
            if number < compat_rows and name != "ce_loss_with_ablation":
                losses.setdefault(f"saebench_{name}", []).append(ce[counted[:-1]])
    means = {name: float(torch.cat(parts).double().mean()) for name, parts in losses.items()}
    del means["kl_div_without_sae"]
    return means


def test_losses_are_those_of_plain_hooks(case: tuple[ModelSource, Core]) -> None:
    """CE from counted tokens to counted ones, KL at counted ones, SAEBench's own as it takes it."""
    source, task = case
    rows, sae = task.prepare(source, 0).required_rows, random_topk()
    with torch.no_grad():
        expected = by_hand(source, rows, sae)
    found = values(evidence_of(task, sae, source))
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-4)


@pytest.fixture
def targets(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The targets of all cross-entropies that are taken."""
    seen: list[Tensor] = []

    def record(place: Any, name: str, position: int) -> None:
        real = getattr(place, name)

        def recorded(*arguments: Any, **options: Any) -> Any:
            seen.append(arguments[position])
            return real(*arguments, **options)

        monkeypatch.setattr(place, name, recorded)

    record(saeval.activations.gradient, "cross_entropy", 1)
    record(saeval.lab.zoo.grounds.metrics, "cross_entropy", 1)
    return seen


def test_no_target_is_special(case: tuple[ModelSource, Core], targets: list[Tensor]) -> None:
    """The gradient's loss predicts no special token, and nor does what counts in `core`."""
    source, task = case
    rows = task.prepare(source, 0).required_rows
    special = torch.tensor(sorted(source.model.special_ids))
    for batch in source.batches(rows):
        judged = saeval_tasks.core.losses.positions(rows, batch)
        targets.append(judged.target[judged.has_target])
        assert judged.has_target.any()
        next_token_gradient(source, rows, batch)
    assert len(targets) > 1
    assert not torch.isin(torch.cat(targets), special).any()


def test_the_labs_own_figures_have_no_special_target(targets: list[Tensor]) -> None:
    """Where the lab measures its SAEs, no BOS and no EOS is predicted."""
    ground = world_ground(WEIGHTS, read_rows()["world/model"], mlp=False, share=0.02)
    ground.figures(random_topk_of(ground.source))
    special = torch.tensor(sorted(ground.source.model.special_ids))
    assert targets
    assert not torch.isin(torch.cat(targets), special).any()


def random_topk_of(source: ModelSource) -> SAE:
    """A random SAE of the source's width."""
    from saeval.sae.architectures.random import random_topk as random_null

    return random_null(torch.zeros(source.widths.d_in), 64, 4, 0)
