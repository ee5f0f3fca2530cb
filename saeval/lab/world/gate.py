"""The gate: where in the model a domain's knowledge still sits on the domain's own tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import GPTNeoXForCausalLM

from saeval.errors import DataError
from saeval.lab.world.measure import Edit, answers_right, block_outputs, text_rows
from saeval.lab.world.quiz import Question
from saeval.lab.world.world import World

TARGET_BELOW = 0.5
OTHERS_ABOVE = 0.95


@dataclass(frozen=True)
class Erasure:
    """What becomes of the questions when one domain's tokens are made alike at one block."""

    layer: int
    domain: str
    target: float
    """Accuracy on the domain's questions, a fraction; guessing gives a quarter."""
    others: float
    """Lowest accuracy on another domain's questions."""


def token_oracle(
    world: World, model: GPTNeoXForCausalLM, layer: int, domain: str, questions: Sequence[Question]
) -> Edit:
    """Replace the output of a block at the domain's own tokens by its mean over them.

    The mean is over the own tokens of the questions given. It is the strongest selective erasure
    there is at a site: nothing is left of which token it was, and no other token is touched.
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
    out = []
    for layer in range(len(model.gpt_neox.layers)):
        for domain, asked in questions.items():
            edit = token_oracle(world, model, layer, domain, asked)
            right = {
                name: float(np.mean(answers_right(world, model, qs, layer=layer, edit=edit)))
                for name, qs in questions.items()
            }
            others = min(v for name, v in right.items() if name != domain)
            out.append(Erasure(layer, domain, right[domain], others))
    return tuple(out)


def taught_questions(world: World, n: int, seed: int) -> Mapping[str, list[Question]]:
    """About n questions a domain that the model was taught the answers of."""
    return {
        d.name: [q for q in world.mcq(d.name, n, seed=seed) if q.fact.taught]
        for d in world.truth.domains
    }


def deepest_site(found: Sequence[Erasure]) -> int:
    """The deepest block at whose output erasure works for every domain and harms no other.

    Raises:
        DataError: if there is none.
    """
    layers = sorted({e.layer for e in found}, reverse=True)
    for layer in layers:
        here = [e for e in found if e.layer == layer]
        if all(e.target < TARGET_BELOW and e.others > OTHERS_ABOVE for e in here):
            return layer
    raise DataError(
        "no block's output lets a domain be erased alone: the model answers from other tokens "
        "already after its first block, or does not know the facts"
    )
