"""The gate: up to which block the model reads a domain's facts from the domain's own tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import GPTNeoXForCausalLM

from saeval.errors import DataError
from saeval.lab.world.measure import BlockEdit, answers_right, block_outputs, text_rows
from saeval.lab.world.quiz import Question
from saeval.lab.world.world import World

TARGET_BELOW = 0.5
"""Accuracy under which a domain counts as erased; guessing gives a quarter."""
OTHERS_ABOVE = 0.95
"""Accuracy above which another domain counts as unharmed."""


@dataclass(frozen=True)
class Erasure:
    """Accuracy on questions when one domain's tokens all get the same activation at a block."""

    layer: int
    domain: str
    target: float
    """Accuracy on the domain's questions, a fraction; guessing gives a quarter."""
    others: float
    """Lowest accuracy on another domain's questions."""


def token_oracle(
    world: World, model: GPTNeoXForCausalLM, layer: int, domain: str, questions: Sequence[Question]
) -> BlockEdit:
    """Replace the output of a block at the domain's own tokens by its mean over them.

    The mean is over the domain's tokens in the questions. No selective erasure at a site is
    stronger: nothing shows which token of the domain it was, and no other token changes.
    """
    words = next(d.words for d in world.truth.domains if d.name == domain)
    domain_ids = torch.tensor(sorted(world.vocabulary.ids[w] for w in words))
    ids = text_rows(world, [q.prompt for q in questions])
    total, count = torch.zeros(()), 0
    for rows, outputs in block_outputs(model, ids):
        hit = torch.isin(torch.from_numpy(ids[rows]), domain_ids)
        total = total + outputs[layer][hit].double().sum(0)
        count += int(hit.sum())
    mean = (total / count).float()

    def edit(x: Tensor, row_ids: Tensor) -> Tensor:
        return torch.where(torch.isin(row_ids, domain_ids)[..., None], mean, x)

    return edit


def erasures(
    world: World, model: GPTNeoXForCausalLM, *, n: int = 300, seed: int = 0
) -> tuple[Erasure, ...]:
    """Try the token oracle for every domain at every block, on questions about taught facts."""
    questions = taught_questions(world, n, seed)
    results = []
    for layer in range(len(model.gpt_neox.layers)):
        for domain, domain_questions in questions.items():
            edit = token_oracle(world, model, layer, domain, domain_questions)
            accuracy = {
                name: float(np.mean(answers_right(world, model, qs, layer=layer, edit=edit)))
                for name, qs in questions.items()
            }
            others = min(v for name, v in accuracy.items() if name != domain)
            results.append(Erasure(layer, domain, accuracy[domain], others))
    return tuple(results)


def taught_questions(world: World, n: int, seed: int) -> Mapping[str, list[Question]]:
    """About n questions per domain, only those whose answers were in the training documents."""
    return {
        d.name: [q for q in world.mcq(d.name, n, seed=seed) if q.fact.taught]
        for d in world.truth.domains
    }


def deepest_site(attempts: Sequence[Erasure]) -> int:
    """The deepest block at whose output every domain can be erased without harm to the others.

    Raises:
        DataError: if there is none.
    """
    layers = sorted({e.layer for e in attempts}, reverse=True)
    for layer in layers:
        at_layer = [e for e in attempts if e.layer == layer]
        if all(e.target < TARGET_BELOW and e.others > OTHERS_ABOVE for e in at_layer):
            return layer
    raise DataError(
        "No block's output lets a domain be erased alone: the model answers from other tokens "
        "already after its first block, or does not know the facts. Train it longer, or make the "
        "facts rarer."
    )
