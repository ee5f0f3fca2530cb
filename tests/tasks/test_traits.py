"""What each built-in task says to an SAE of each kind: scores, or one reason why it has none."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from saeval_tasks.absorption import Absorption
from saeval_tasks.core import Core
from saeval_tasks.probing import Probing
from saeval_tasks.synthetic import Synthetic
from safetensors.numpy import save_file
from torch import Tensor

from saeval import lab
from saeval.activations import ActivationSource, Store, array_source, model_source
from saeval.errors import NotApplicable
from saeval.evidence import Evidence
from saeval.lab.synthetic import world_source
from saeval.models import load_model
from saeval.sae import Origin
from saeval.task import Prepared

TASKS: dict[str, Any] = {
    "core": Core(rows=8, ce_rows=4),
    "probing": Probing(top_k=(1,), train_rows=100, test_rows=50, documents=20, limit=200),
    "absorption": Absorption(words_per_letter=6, documents=100),
    "synthetic": Synthetic(limit=500),
}


class Declaring:
    """An SAE of any width, whose traits are attributes; it uses whatever it is handed."""

    def __init__(self, width: int, origin: Origin, **traits: bool) -> None:
        self.d_in, self.d_sae, self.origin = width, 24, origin
        directions = torch.randn(24, width, generator=torch.Generator().manual_seed(0))
        self.W_dec = torch.nn.functional.normalize(directions, dim=1)
        self.signed = False
        for name, value in traits.items():
            setattr(self, name, value)

    def encode(self, x: Tensor, **beside: Tensor) -> Tensor:
        """Acts above a threshold, of both signs where that is declared."""
        asked = {name for name in ("tokens", "gradient") if getattr(self, f"needs_{name}", False)}
        assert set(beside) == asked
        acts = (x - x.mean(0)) @ self.W_dec.T
        acts = acts if self.signed else acts.relu()
        for value in beside.values():
            acts = acts * (1 + value.float().reshape(len(x), -1).mean(1, keepdim=True).abs())
        return acts * (acts.abs() > acts.abs().mean())

    def decode(self, acts: Tensor, x: Tensor) -> Tensor:
        """Directions times acts."""
        return acts @ self.W_dec + 0 * x


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ActivationSource]:
    """The lab's model at one site and at two, a synthetic world, and labelled vectors."""
    folder = tmp_path_factory.mktemp("sources")
    model, store = load_model(str(lab.path("world/model"))), Store(folder / "store")
    rng = np.random.default_rng(0)
    tensors = {
        "activations": rng.normal(size=(200, 3, 16)).astype(np.float32),
        "labels": rng.integers(0, 2, size=200),
    }
    save_file(tensors, folder / "vectors.safetensors")
    return {
        "model": model_source(model, "layers.1", store=store),
        "two sites": model_source(model, "layers.0,layers.1", store=store),
        "world": world_source("base"),
        "arrays": array_source(folder / "vectors.safetensors"),
    }


@pytest.fixture(scope="module")
def prepare(sources: dict[str, ActivationSource]) -> Callable[[str, str], Prepared]:
    """What a task prepares at a source, once."""
    made: dict[tuple[str, str], Prepared] = {}

    def prepared(task: str, where: str) -> Prepared:
        if (task, where) not in made:
            made[task, where] = TASKS[task].prepare(sources[where], 0)
        return made[task, where]

    return prepared


NO_TOKENS, NO_LOSS = "needs the id of each token", "needs the gradient of the model's loss"
NO_MODEL, NO_TRUTH = "holds stored activations", "Nobody knows the true features"
ALONE = "encodes single words by their activations alone"
SERVED = ""
CASES = [
    # task, trait, on the model, on labelled vectors, on a synthetic world
    ("core", None, SERVED, SERVED, SERVED),
    ("core", "signed", SERVED, SERVED, SERVED),
    ("core", "takes_k", SERVED, SERVED, SERVED),
    ("core", "needs_tokens", SERVED, NO_TOKENS, NO_TOKENS),
    ("core", "needs_gradient", SERVED, NO_LOSS, NO_LOSS),
    ("probing", None, SERVED, SERVED, SERVED),
    ("probing", "signed", SERVED, SERVED, SERVED),
    ("probing", "takes_k", SERVED, SERVED, SERVED),
    ("probing", "needs_tokens", SERVED, NO_TOKENS, NO_TOKENS),
    ("probing", "needs_gradient", SERVED, NO_LOSS, NO_LOSS),
    ("absorption", None, SERVED, NO_MODEL, NO_MODEL),
    ("absorption", "signed", SERVED, NO_MODEL, NO_MODEL),
    ("absorption", "takes_k", SERVED, NO_MODEL, NO_MODEL),
    ("absorption", "needs_tokens", f"{ALONE}, .* token ids", NO_MODEL, NO_MODEL),
    ("absorption", "needs_gradient", f"{ALONE}, .* gradient", NO_MODEL, NO_MODEL),
    ("synthetic", None, NO_TRUTH, NO_TRUTH, SERVED),
    ("synthetic", "signed", NO_TRUTH, NO_TRUTH, SERVED),
    ("synthetic", "takes_k", NO_TRUTH, NO_TRUTH, SERVED),
    ("synthetic", "needs_tokens", NO_TRUTH, NO_TRUTH, NO_TOKENS),
    ("synthetic", "needs_gradient", NO_TRUTH, NO_TRUTH, NO_LOSS),
]
SEVERAL = [
    ("core", "two sites", SERVED),
    ("probing", "two sites", SERVED),
    ("absorption", "two sites", r"read 2 sites together .*compares directions at one site"),
    ("synthetic", "two sites", NO_TRUTH),
    ("synthetic", "world", r"has a single site, .* layers\.0, layers\.1 together"),
]


def check(
    task: str,
    sae: Declaring,
    source: ActivationSource,
    prepare: Callable[[], Prepared],
    reason: str,
) -> None:
    """Either the task scores at least one metric, or it gives the reason alone."""
    if reason:
        with pytest.raises(NotApplicable, match=reason):
            list(TASKS[task].score(sae, prepare(), source, 0))
        return
    evidence = list(TASKS[task].score(sae, prepare(), source, 0))
    assert sum(isinstance(one, Evidence) for one in evidence) > 2


@pytest.mark.parametrize("where", ["model", "arrays", "world"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def test_every_task_says_what_it_cannot_serve(
    sources: dict[str, ActivationSource],
    prepare: Callable[[str, str], Prepared],
    case: tuple[str, str | None, str, str, str],
    where: str,
) -> None:
    """An SAE that needs more than there is gets one reason; all others are scored."""
    task, trait, *reasons = case
    source = sources[where]
    reason: dict[str, str] = dict(zip(("model", "arrays", "world"), reasons, strict=True))
    sae = Declaring(source.widths.d_in, Origin(), **({trait: True} if trait else {}))
    check(task, sae, source, lambda: prepare(task, where), reason[where])


@pytest.mark.parametrize("task, where, reason", SEVERAL)
def test_every_task_says_whether_it_serves_several_sites(
    sources: dict[str, ActivationSource],
    prepare: Callable[[str, str], Prepared],
    task: str,
    where: str,
    reason: str,
) -> None:
    """Core and probing serve them; the others say that they look at one site."""
    source = sources[where]
    sae = Declaring(source.widths.d_in, Origin(read_site="layers.0,layers.1"))
    check(task, sae, source, lambda: prepare(task, where), reason)


def test_scores_do_not_hang_on_the_batch_for_an_sae_that_needs_more(
    sources: dict[str, ActivationSource], tmp_path: Path
) -> None:
    """Gradients and ids come row by row, so that other batches give the same FVU."""
    source = sources["model"]
    other = replace(source, batch_tokens=300, store=Store(tmp_path))  # type: ignore[type-var]
    values = []
    for place in (source, other):
        task = Core(rows=8, ce_rows=0)
        sae = Declaring(place.widths.d_in, Origin(), needs_tokens=True, needs_gradient=True)
        sae.encode = _without_batch(sae)  # type: ignore[method-assign]
        found = task.score(sae, task.prepare(place, 0), place, 0)
        fvu = next(one for one in found if isinstance(one, Evidence) and one.metric == "fvu")
        table = fvu.units.table
        values.append(table["sq_err"].sum() / table["sq_dev"].sum())
    assert values[0] == pytest.approx(values[1], rel=1e-4)


def _without_batch(sae: Declaring) -> Callable[..., Tensor]:
    def encode(x: Tensor, *, tokens: Tensor, gradient: Tensor) -> Tensor:
        return ((x * (tokens[:, None] % 3) + gradient) @ sae.W_dec.T).relu()

    return encode
