"""Every score of core that has an arrow puts the lab's nulls behind its trained SAEs."""

from collections.abc import Mapping

import pytest
import torch
from saeval_tasks.core import Core
from saeval_tasks.core import metrics as declared

from saeval.activations import model_source
from saeval.evidence import Evidence, Metric, compare
from saeval.models import load_model
from saeval.running.run import load_sae
from saeval.sae import SAE
from saeval.sae.architectures import TopK

TRAINED, NULLS = ("topk-16", "relu-16"), ("random", "frozen-decoder", "permuted decoder")
ROWS = 48
ARROWED = {
    one.name: one
    for one in vars(declared).values()
    if isinstance(one, Metric) and one.better != "none"
}


def sae_of(name: str) -> SAE:
    """An SAE of the lab, or topk-16 whose decoder directions go to other latents."""
    if name != "permuted decoder":
        return load_sae(f"lab/world/{name}")
    sae = load_sae("lab/world/topk-16")
    assert isinstance(sae, TopK)
    order = torch.randperm(sae.d_sae, generator=torch.Generator().manual_seed(0))
    return TopK(sae.W_enc, sae.b_enc, sae.W_dec[order], sae.b_dec, sae.k)


@pytest.fixture(scope="module")
def scored() -> Mapping[str, Mapping[str, Evidence]]:
    """All that has an arrow, of each SAE and each null on the same documents of the lab."""
    source, task = model_source(load_model("lab/world"), "layers.1"), Core(rows=ROWS, ce_rows=ROWS)
    prepared = task.prepare(source, 0)

    def scores(name: str) -> dict[str, Evidence]:
        found = task.score(sae_of(name), prepared, source, 0)
        return {
            one.metric: one for one in found if isinstance(one, Evidence) and one.better != "none"
        }

    return {name: scores(name) for name in (*TRAINED, *NULLS)}


def test_the_headline_has_arrows_where_nulls_are_last() -> None:
    """What `core` shows first is `l0`, at which SAEs are matched, and scores tested here."""
    assert [name for name in Core.headline if name not in ARROWED] == ["l0"]


@pytest.mark.parametrize("metric", sorted(ARROWED))
@pytest.mark.parametrize("null", NULLS)
@pytest.mark.parametrize("trained", TRAINED)
def test_training_beats_chance(
    scored: Mapping[str, Mapping[str, Evidence]], trained: str, null: str, metric: str
) -> None:
    """At equal L0 a trained SAE is better than what knows nothing, beyond the interval's ends."""
    sae, floor = scored[trained][metric], scored[null][metric]
    better, worse = (sae, floor) if ARROWED[metric].better == "higher" else (floor, sae)
    difference = compare(better, worse, replicates=1000)
    assert difference.ci_low is not None
    assert difference.ci_low > 0


def test_learning_an_encoder_helps_random_directions(
    scored: Mapping[str, Mapping[str, Evidence]],
) -> None:
    """The nulls differ among themselves: an encoder trained on random directions explains more."""
    found = compare(scored["random"]["fvu"], scored["frozen-decoder"]["fvu"], replicates=1000)
    assert found.ci_low is not None
    assert found.ci_low > 0
