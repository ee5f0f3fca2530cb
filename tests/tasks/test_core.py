"""`core` gives oracles their known scores and every SAE what the whole tensors give."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from core_oracles import (
    Linear,
    evidence_of,
    random_topk,
    tiny_models,
    tiny_source,
    values,
    whole,
    words_file,
)
from saeval_tasks.core import Core
from torch import Tensor

from saeval import metrics
from saeval.activations import ModelSource, TokenRows
from saeval.errors import DataError, UsageError
from saeval.evidence import Evidence, Missing, compare
from saeval.sae import Site
from saeval.sae.architectures import AbsTopK

WIDTH = tiny_models.WIDTH


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the model, the store and the texts of this module lie."""
    return tmp_path_factory.mktemp("core")


@pytest.fixture(scope="module")
def source(folder: Path) -> ModelSource:
    """A tiny GPT-2, read after its second block."""
    return tiny_source(folder)


@pytest.fixture(scope="module")
def task(folder: Path, source: ModelSource) -> Core:
    """Documents of unequal length, of which the first eight are spliced into."""
    return Core(texts=str(words_file(folder, source)), context=16, ce_rows=8)


@pytest.fixture(scope="module")
def rows(task: Core, source: ModelSource) -> TokenRows:
    """The rows that the task reads."""
    lines = Path(str(task.texts)).read_text(encoding="utf-8").splitlines()
    return source.tokenize(lines, name="words", context=16)


def test_an_exact_sae_costs_nothing(task: Core, source: ModelSource) -> None:
    """The identity scores FVU 0, cosine, ratio and bias 1, CE and KL scores 1, KL 0."""
    found = values(evidence_of(task, Linear(WIDTH), source))
    assert found["fvu"] == 0
    assert found["mse"] == 0
    assert found["kl_div_with_sae"] == pytest.approx(0, abs=1e-6)
    assert found["ce_loss_with_sae"] == pytest.approx(found["ce_loss_without_sae"], abs=1e-6)
    ones = ("explained_variance", "cosine_similarity", "l2_ratio", "relative_reconstruction_bias")
    scores = ("ce_loss_score", "kl_div_score", "kl_div_score_mean_ablation", "frac_alive")
    assert [found[name] for name in (*ones, *scores)] == pytest.approx([1] * 8, abs=1e-5)


def test_the_zero_sae_is_zero_ablation(task: Core, source: ModelSource) -> None:
    """An SAE that always gives 0 has the ablated losses, scores 0, and no active latent's bias."""
    found = evidence_of(task, Linear(WIDTH, scale=0.0), source)
    value = values(found)
    assert value["ce_loss_with_sae"] == pytest.approx(value["ce_loss_with_ablation"])
    assert value["kl_div_with_sae"] == pytest.approx(value["kl_div_with_ablation"])
    assert value["kl_div_score"] == pytest.approx(0)
    assert value["cosine_similarity"] == 0
    missing = [one for one in found if isinstance(one, Missing)]
    assert [one.metric for one in missing if "average_max" not in one.metric] == [
        "relative_reconstruction_bias"
    ]
    assert "does not point along" in missing[0].reason


def test_the_mean_sae_is_mean_ablation(task: Core, source: ModelSource, rows: TokenRows) -> None:
    """An SAE that always gives the mean has FVU 1 and scores 0 against mean ablation."""
    mean = whole(source, rows)[1].double().mean(0).float()
    found = values(evidence_of(task, Linear(WIDTH, scale=0.0, shift=mean), source))
    assert found["fvu"] == pytest.approx(1, abs=1e-6)
    assert found["explained_variance"] == pytest.approx(0, abs=1e-6)
    assert found["ce_loss_with_sae"] == pytest.approx(found["ce_loss_with_mean_ablation"])
    assert found["kl_div_score_mean_ablation"] == pytest.approx(0, abs=1e-6)
    y = whole(source, rows)[1].double()
    assert found["mse"] == pytest.approx(float(y.var(0, correction=0).mean()))


def test_figures_without_logits_equal_dense_arithmetic(
    task: Core, source: ModelSource, rows: TokenRows
) -> None:
    """Sums over rows give what each definition gives on all tokens at once, in float64."""
    sae = random_topk()
    x, y = whole(source, rows)
    acts = sae.encode(x).double()
    y, y_hat = y.double(), sae.decode(sae.encode(x), x).double()
    error, deviation = (y - y_hat).square().sum(), (y - y.mean(0)).square().sum()
    counts, tokens = (acts != 0).sum(0), len(x)
    bins = metrics.density_histogram(counts.numpy(), tokens)
    expected = {
        "l0": (acts != 0).sum(1).double().mean(),
        "l1": acts.abs().sum(1).mean(),
        "fvu": error / deviation,
        "explained_variance": 1 - error / deviation,
        "mse": (y - y_hat).square().mean(),
        "cosine_similarity": torch.cosine_similarity(y, y_hat).mean(),
        "l2_ratio": (y_hat.norm(dim=1) / y.norm(dim=1)).mean(),
        "relative_reconstruction_bias": y_hat.square().sum() / (y * y_hat).sum(),
        "frac_alive": (counts > 0).double().mean(),
        "freq_over_1_percent": (counts / tokens > 0.01).double().mean(),
        "freq_over_10_percent": (counts / tokens > 0.1).double().mean(),
        "average_max_encoder_cosine_sim": _nearest(sae.W_enc.T),
        "average_max_decoder_cosine_sim": _nearest(sae.W_dec),
        **{f"density_histogram/{name}": count / sae.d_sae for name, count in bins.items()},
    }
    found = values(evidence_of(task, sae, source))
    assert {name: found[name] for name in expected} == pytest.approx(
        {name: float(value) for name, value in expected.items()}, rel=1e-5
    )


def _nearest(directions: Tensor) -> Tensor:
    unit = torch.nn.functional.normalize(directions, dim=1)
    return (unit @ unit.T).fill_diagonal_(-1).amax(1).mean()


def test_losses_equal_the_hooked_model(task: Core, source: ModelSource, rows: TokenRows) -> None:
    """CE and KL are those of the whole model run text by text with a hook at the site."""
    sae, site = random_topk(), Site.parse(str(source.sites))
    block = source.model.net.get_submodule(site.path)
    ce, kl = [], []
    found = evidence_of(task, sae, source)
    for i in judged_table(found)["unit_id"].astype(int):
        ids = torch.from_numpy(rows.ids[i, rows.attention[i]].astype(np.int64))
        counted = torch.from_numpy(rows.mask[i, rows.attention[i]])
        clean = source.model.net(ids[None]).logits[0].log_softmax(-1)

        def edit(_: object, __: object, output: Tensor, keep: Tensor = ~counted) -> Tensor:
            x = output[0]
            return torch.where(keep[:, None], x, sae.decode(sae.encode(x), x))[None]

        handle = block.register_forward_hook(edit)
        spliced = source.model.net(ids[None]).logits[0].log_softmax(-1)
        handle.remove()
        ce.append(metrics.cross_entropy(spliced[:-1], ids[1:])[counted[:-1]])
        kl.append((clean.exp() * (clean - spliced)).sum(1)[counted])
    assert len(ce) == 8
    said = values(found)
    assert said["ce_loss_with_sae"] == pytest.approx(torch.cat(ce).mean().item(), rel=1e-5)
    assert said["kl_div_with_sae"] == pytest.approx(torch.cat(kl).mean().item(), rel=1e-5)


def judged_table(found: list[Evidence | Missing]) -> pd.DataFrame:
    """Losses of the rows whose predictions are judged, each named by its place in the file."""
    return next(
        one.units for one in found if one.metric == "ce_loss_with_sae" and isinstance(one, Evidence)
    ).table


def test_losses_count_tokens_that_are_followed_by_one(task: Core, source: ModelSource) -> None:
    """The documents have 4, 5, 6 ... words: so many counted tokens, one less with a successor."""
    table = judged_table(evidence_of(task, random_topk(), source))
    document = table["unit_id"].astype(int)
    assert len(set(document)) == 8
    assert table["ce_positions"].tolist() == (document + 3).tolist()
    assert table["kl_positions"].tolist() == (document + 4).tolist()


def test_units_are_documents_and_pair_between_saes(task: Core, source: ModelSource) -> None:
    """Two SAEs are compared over the same documents, those spliced into being the first."""
    first, second = (evidence_of(task, random_topk(seed=seed), source) for seed in (0, 1))
    by_name = [
        {one.metric: one for one in found if isinstance(one, Evidence)} for found in (first, second)
    ]
    assert by_name[0]["fvu"].units.unit == "document"
    assert compare(by_name[0]["fvu"], by_name[1]["fvu"], replicates=20).n == 12
    assert compare(by_name[0]["ce_loss_score"], by_name[1]["ce_loss_score"], replicates=20).n == 8


def test_every_number_has_its_evidence(task: Core, source: ModelSource) -> None:
    """Each metric has an interval, or a reason why not; anchors are finite."""
    for one in evidence_of(task, random_topk(), source):
        assert isinstance(one, Evidence)
        assert one.unit
        if one.metric.startswith(("frac", "freq", "density", "average_max")):
            assert one.no_interval
        else:
            assert one.no_interval is None
            assert len(one.units.table) in (8, 12)


def test_signed_latents_count_by_size(task: Core, source: ModelSource, rows: TokenRows) -> None:
    """Negative acts are active, and their size adds to L1."""
    topk = random_topk()
    sae = AbsTopK(topk.W_enc, topk.b_enc, topk.W_dec, topk.b_dec, 3)
    acts = sae.encode(whole(source, rows)[0])
    assert (acts < 0).any()
    found = values(evidence_of(task, sae, source))
    assert found["l0"] == 3
    assert found["l1"] == pytest.approx(acts.abs().sum(1).mean().item(), rel=1e-5)


def test_wide_saes_are_sampled_and_say_so(task: Core, source: ModelSource) -> None:
    """Above the limit, neighbour cosines come from a seeded sample named in the unit."""
    wide = random_topk(d_sae=5000)
    sampled = Core(texts=task.texts, context=16, exact_neighbours=4999)
    found = [one for one in evidence_of(sampled, wide, source) if "average_max" in one.metric]
    assert [one.unit for one in found] == ["cosine, 4096 latents sampled"] * 2
    assert all(isinstance(one, Evidence) and one.no_interval is None for one in found)
    exact = metrics.nearest_cosines(wide.W_dec).mean().item()
    assert values(found)["average_max_decoder_cosine_sim"] == pytest.approx(exact, abs=2e-3)
    other = values(evidence_of(sampled, wide, source, seed=1))
    assert (
        other["average_max_decoder_cosine_sim"] != values(found)["average_max_decoder_cosine_sim"]
    )


def test_an_sae_that_is_not_finite_is_an_error(task: Core, source: ModelSource) -> None:
    """NaN never becomes a score: the error says which figure it spoils."""
    shift = torch.full((WIDTH,), torch.nan)
    with pytest.raises(DataError, match="is nan in unit 0"):
        evidence_of(task, Linear(WIDTH, scale=0.0, shift=shift), source)


def test_an_object_without_encoder_matrix_says_so(task: Core, source: ModelSource) -> None:
    """Objects that only encode and decode miss one cosine, with the reason, and nothing else."""
    found = evidence_of(task, Linear(WIDTH), source)
    missing = [one for one in found if isinstance(one, Missing)]
    assert [one.metric for one in missing] == ["average_max_encoder_cosine_sim"]
    assert "no encoder matrix" in missing[0].reason


def test_without_ce_rows_there_are_no_losses(task: Core, source: ModelSource) -> None:
    """ce_rows 0 skips the model's layers after the site, and says that it was asked for."""
    found = evidence_of(Core(texts=task.texts, context=16, ce_rows=0), random_topk(), source)
    told = {one.metric: one.reason for one in found if isinstance(one, Missing)}
    assert "core.ce_rows is 0: set it" in told["ce_loss_score"]
    assert len(told) == 11


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"texts": "a.txt", "tokens": "b.npy"}, "exclude each other"),
        ({"compat": "other"}, "'other' is unknown"),
        ({"rows": 0}, "rows must be at least 1"),
        ({"context": 1}, "context must be at least 2"),
        ({"compat_reconstruction_rows": 0}, "at least 1"),
    ],
)
def test_fields_are_checked_at_once(fields: dict, message: str) -> None:
    """A configuration that cannot work is refused before anything is loaded."""
    with pytest.raises(UsageError, match=message):
        Core(**fields)
