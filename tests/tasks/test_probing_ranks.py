"""Where the truth is known, the untuned F1 ranks SAEs as the truth does."""

import numpy as np
import pytest
from saeval_tasks._f1 import f1_score
from saeval_tasks.probing.f1 import best_latents
from saeval_tasks.probing.rows import ProbeSet, world_set
from saeval_tasks.synthetic import Synthetic
from scipy.sparse import csc_matrix
from scipy.stats import rankdata

from saeval.activations import ActivationSource, Pooled, read_acts
from saeval.evidence import Evidence, summarise
from saeval.lab.synthetic import synthetic_world, world_source
from saeval.running.run import load_sae
from saeval.sae import SAE

SAES = ("matryoshka-8", "relu-8", "gated-16", "topk-16", "jumprelu-16", "abstopk-16")
NULLS = ("random", "pca")


def _true_f1(sae: SAE, source: ActivationSource) -> float:
    """F1 of the latents matched with features by direction."""
    task = Synthetic(limit=4096)
    found = task.score(sae, task.prepare(source, 0), source, 0)
    one = next(one for one in found if one.metric == "f1" and one.part is None)
    assert isinstance(one, Evidence)
    return summarise(one, replicates=2).value


def _untuned_f1(sae: SAE, source: ActivationSource, one: ProbeSet) -> float:
    """F1 on test rows of the latents that train rows chose, without a look at directions."""
    assert source.stored_rows is not None
    z = read_acts(source, sae, source.stored_rows.take(one.text), Pooled())
    chosen, z = best_latents(z[one.train], one.y[one.train]), csc_matrix(z)
    test = [
        (each.says(z)[one.test], y[one.test]) for (_, each), y in zip(chosen, one.y.T, strict=True)
    ]
    return float(np.mean([f1_score(yes, y) for yes, y in test]))


@pytest.fixture(scope="module")
def figures() -> dict[str, tuple[float, float]]:
    """True and untuned F1 of each SAE of the base world."""
    source = world_source("base")
    rows = world_set(synthetic_world("base"), train=2000, test=2000, seed=0)
    saes = {name: load_sae(f"lab/synthetic/base/{name}") for name in (*SAES, *NULLS, "oracle")}
    return {
        name: (_true_f1(sae, source), _untuned_f1(sae, source, rows)) for name, sae in saes.items()
    }


def test_untuned_f1_ranks_saes_as_their_true_f1(figures: dict[str, tuple[float, float]]) -> None:
    """Spearman over trained SAEs alone, without the help of nulls, is at least 0.8."""
    true, untuned_f1 = zip(*(figures[name] for name in SAES), strict=True)
    assert np.corrcoef(rankdata(true), rankdata(untuned_f1))[0, 1] >= 0.8, figures


def test_oracle_stands_first_and_nulls_last(figures: dict[str, tuple[float, float]]) -> None:
    """By the truth and by untuned F1, which of nearly right SAEs only says that they are."""
    for which, slack in ((0, 0.0), (1, 0.03)):
        value = {name: both[which] for name, both in figures.items()}
        trained = [value[name] for name in SAES]
        assert value["oracle"] > max(trained) - slack, value
        assert max(value[name] for name in NULLS) < min(trained) - 0.1, value
