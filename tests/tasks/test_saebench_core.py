"""`core` under compat saebench gives SAEBench's figures: by formula, and as it gave them itself."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from core_oracles import evidence_of, random_topk, tiny_source, values
from saeval_tasks.core import Core

from saeval import metrics
from saeval.activations import ModelSource, Store, model_source
from saeval.errors import DataError
from saeval.models import load_model
from saeval.sae.architectures import AbsTopK
from saeval.sae.loaders import load_folder

FIRST, ROWS = 5, 43
# 38 rows serve the figures without logits: two batches of 16 and one of 6.


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    """A tiny GPT-2, read after its second block."""
    return tiny_source(tmp_path_factory.mktemp("saebench"), batch_tokens=60)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Core:
    """Rows of random tokens, BOS first."""
    ids = np.random.default_rng(0).integers(4, 64, size=(ROWS, 9))
    ids[:, 0] = 1
    ids[7, 3:] = 2  # a row of which little counts, so that batches differ in size
    path = tmp_path_factory.mktemp("rows") / "rows.npy"
    np.save(path, ids)
    return Core(
        tokens=str(path), compat="saebench", compat_reconstruction_rows=FIRST, ce_rows=2, context=9
    )


def test_formulas_of_reconstruction(task: Core, source: ModelSource) -> None:
    """Each figure, worked out densely batch by batch from the reference's definition."""
    topk = random_topk()
    sae = AbsTopK(topk.W_enc, topk.b_enc, topk.W_dec, topk.b_dec, 3)
    rows = source.token_rows(np.load(str(task.tokens))[FIRST:], name="rows")
    x, row = (
        torch.cat([getattr(batch, name) for batch in source.batches(rows)])
        for name in ("x_tokens", "row_of_token")
    )
    acts = sae.encode(x)
    x_hat = sae.decode(acts, x)
    batches = [row // 16 == i for i in range(3)]
    legacy, bias, scale, error = [], [], [], []
    for at in batches:
        sq_err = (x[at] - x_hat[at]).square().sum(1)
        legacy.append(1 - sq_err / (x[at] - x[at].mean(0)).square().sum(1))
        bias.append(x_hat[at].square().sum(1).mean() / (x_hat[at] * x[at]).sum(1).mean())
        scale.append(x[at].square().sum(1).mean())
        error.append(sq_err.mean())
    mean_square = torch.stack(scale).mean()
    density = (acts > 0).double().mean(0)
    dense = {1: density > 0.01, 10: density > 0.1}
    expected = {
        "l0": 3,
        "l1": acts.sum(1).mean(),
        "cossim": torch.cosine_similarity(x, x_hat).mean(),
        "l2_norm_in": x.norm(dim=1).mean(),
        "l2_norm_out": x_hat.norm(dim=1).mean(),
        "l2_ratio": (x_hat.norm(dim=1) / x.norm(dim=1)).mean(),
        "relative_reconstruction_bias": torch.stack(bias).mean(),
        "explained_variance_legacy": torch.cat(legacy).mean(),
        "explained_variance": 1
        - torch.stack(error).mean() / (mean_square - (mean_square / x.shape[1]) ** 2),
        "frac_alive": (density > 0).double().mean(),
        "freq_over_1_percent": dense[1].double().mean(),
        "freq_over_10_percent": dense[10].double().mean(),
        "normalized_freq_over_1_percent": density[dense[1]].sum() / density.sum(),
        "normalized_freq_over_10_percent": density[dense[10]].sum() / density.sum(),
    }
    found = values(evidence_of(task, sae, source))
    named = {name: found[f"saebench_{name}"] for name in expected}
    assert named == pytest.approx({k: float(v) for k, v in expected.items()}, rel=1e-4)


def test_ablation_takes_special_tokens_too(task: Core, source: ModelSource) -> None:
    """SAEBench's ablated loss zeroes BOS as well; the plain one leaves it as it is."""
    ids = torch.from_numpy(np.load(str(task.tokens))[:FIRST])
    rows = source.token_rows(ids.numpy(), name="rows")
    attention = torch.ones_like(ids, dtype=torch.bool)
    zeros = torch.zeros(*ids.shape, source.widths.d_in)
    hidden = source.model.run_from(source.sites.read[0], ids, attention, zeros)
    log_probs = source.model.logits(hidden).log_softmax(-1)
    mask = torch.from_numpy(rows.mask[:, :-1])
    expected = metrics.cross_entropy(log_probs[:, :-1][mask], ids[:, 1:][mask]).mean().item()
    found = values(evidence_of(task, random_topk(), source))
    assert found["saebench_ce_loss_with_ablation"] == pytest.approx(expected, rel=1e-5)
    assert found["saebench_ce_loss_with_ablation"] != pytest.approx(
        found["ce_loss_with_ablation"], rel=1e-3
    )


def test_no_rows_left_is_an_error(task: Core, source: ModelSource) -> None:
    """All rows for CE and KL would leave none for the rest."""
    with pytest.raises(DataError, match=r"rows is 43, but there are 43 rows"):
        Core(tokens=task.tokens, compat="saebench", compat_reconstruction_rows=43).prepare(
            source, 0
        )


def test_a_third_of_the_rows_by_default(task: Core, source: ModelSource) -> None:
    """Without a number, a third of the rows serves CE and KL."""
    facts = Core(tokens=task.tokens, compat="saebench").prepare(source, 0).facts
    assert facts["saebench_loss_rows"] == 14


FORMATS = ("sae_lens", "dictionary_learning")
TARGETS = 23
"""Figures of SAEBench's that `core` reproduces; token counts and the batch-bound mse are left."""


def test_parity_with_saebench(parity_dir: Path, tmp_path: Path) -> None:
    """On SAEBench's own token rows, all its figures come out for three SAEs within 0.001.

    The two formats hold the same SAEs, so that the second is only seen to give the same codes.
    """
    model = load_model(str(parity_dir / "model"))
    source = model_source(model, "blocks.2.hook_resid_post", store=Store(tmp_path))
    task = Core(
        tokens=str(parity_dir / "core_tokens.npy"),
        compat="saebench",
        compat_reconstruction_rows=480,
    )
    prepared = task.prepare(source, 0)
    golden = json.loads((parity_dir / "golden" / "core.json").read_text(encoding="utf-8"))
    x = next(iter(source.batches(source.token_rows(np.load(str(task.tokens))[:2], name="two"))))
    for name, figures in golden.items():
        saes = [load_folder(parity_dir / "saes" / kind / name) for kind in FORMATS]
        first, second = (sae.encode(x.x_tokens) for sae in saes)
        torch.testing.assert_close(first, second)
        found = values(task.score(saes[0], prepared, source, 0))
        expected = {k: v for k, v in figures.items() if f"saebench_{k}" in found}
        assert len(expected) == TARGETS
        assert {k: found[f"saebench_{k}"] for k in expected} == pytest.approx(expected, abs=1e-3)
        source.memo.release(saes[0])
