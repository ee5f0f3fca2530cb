"""`core` on every kind of source: any batch size, stored activations, transcoders, one pass."""

from pathlib import Path

import numpy as np
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

from saeval.activations import ModelSource, TokenRows, array_source
from saeval.evidence import Evidence, Missing
from saeval.running import prepared_cache as preparation

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


class Recording(Linear):
    """An exact SAE that keeps what it was given to encode."""

    seen: list[Tensor]

    def encode(self, x: Tensor) -> Tensor:
        """Remember, and pass on."""
        self.seen.append(x.clone())
        return x


def test_special_tokens_are_never_encoded(task: Core, source: ModelSource, rows: TokenRows) -> None:
    """What an SAE encodes is exactly the activations of the words: no BOS, no padding."""
    Recording.seen = []
    evidence_of(task, Recording(WIDTH), source)
    seen = torch.cat(Recording.seen)
    assert len(seen) == rows.mask.sum() == sum(4 + i % 12 for i in range(12))
    read = task.prepare(source, 0).required_rows  # the judged ones first
    torch.testing.assert_close(seen, whole(source, read)[0])


@pytest.mark.parametrize("batch_tokens", [1, 40, 10_000])
def test_batches_change_nothing(
    task: Core, source: ModelSource, folder: Path, batch_tokens: int
) -> None:
    """Scores are the same whether rows come one by one or all at once."""
    sae = random_topk()
    expected = values(evidence_of(task, sae, source))
    other = tiny_source(folder, batch_tokens=batch_tokens)
    assert values(evidence_of(task, sae, other)) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_scores_survive_the_store(task: Core, source: ModelSource, tmp_path: Path) -> None:
    """What was prepared gives the same scores once it was written and read."""
    prepared = task.prepare(source, 0)
    preparation.save(prepared, tmp_path)
    sae = random_topk()
    again = values(task.score(sae, preparation.load(tmp_path), source, 0))
    assert again == values(task.score(sae, prepared, source, 0))


def test_another_sae_needs_no_layer_before_the_site(task: Core, folder: Path) -> None:
    """The model's first block runs over each token once, however many SAEs are scored."""
    source = tiny_source(folder / "fresh")
    assert source.widths.d_in == WIDTH
    source.model.logits(torch.zeros(1, WIDTH))
    source.model.needs_resume(source.sites.write[0])  # all that is tried out beforehand is done
    tokens = []
    first = source.model.net.get_submodule(f"{source.model.parts.block(0)}.mlp")
    first.register_forward_hook(lambda _, __, y: tokens.append(y.shape[:-1].numel()))
    prepared = task.prepare(source, 0)
    ran = sum(tokens)
    for seed in range(2):
        list(task.score(random_topk(seed=seed), prepared, source, 0))
    assert sum(tokens) == ran
    assert ran <= 12 * 16 + 1  # two sets of rows, each padded to its longest; one trial


def test_stored_activations_have_no_losses(source: ModelSource, rows: TokenRows) -> None:
    """An array gives the same reconstruction figures, and a reason in the place of each loss."""
    x = whole(source, rows)[0].numpy()
    found = evidence_of(Core(compat="saebench"), random_topk(), array_source(x))
    told = {one.metric: one.reason for one in found if isinstance(one, Missing)}
    assert "ce_loss_score" in told
    assert "saebench_ce_loss_score" in told
    assert all("output head" in reason for reason in told.values())
    assert all("ce_loss" in name or "kl_div" in name for name in told)
    acts = random_topk().encode(torch.from_numpy(x))
    assert values(found)["l1"] == pytest.approx(acts.abs().sum(1).mean().item(), rel=1e-5)


@pytest.mark.parametrize("count", [40, 640])
def test_saebench_figures_of_stored_activations(count: int) -> None:
    """An array gives SAEBench's figures over all its vectors, in blocks too, 16 units a batch."""
    x = np.random.default_rng(0).normal(size=(count, WIDTH)).astype(np.float32)
    sae = random_topk()
    found = values(evidence_of(Core(compat="saebench"), sae, array_source(x)))
    vectors = torch.from_numpy(x)
    acts = sae.encode(vectors)
    x_hat = sae.decode(acts, vectors)
    size = 16 * (10 if count == 640 else 1)
    means = torch.cat([part.mean(0).expand_as(part) for part in vectors.split(size)])
    error = (vectors - x_hat).square().sum(1)
    expected = {
        "l0": (acts != 0).sum(1).float().mean(),
        "cossim": torch.cosine_similarity(vectors, x_hat).mean(),
        "l2_ratio": (x_hat.norm(dim=1) / vectors.norm(dim=1)).mean(),
        "explained_variance_legacy": (1 - error / (vectors - means).square().sum(1)).mean(),
        "frac_alive": (acts > 0).any(0).float().mean(),
    }
    named = {name: found[f"saebench_{name}"] for name in expected}
    assert named == pytest.approx({k: float(v) for k, v in expected.items()}, rel=1e-4)
    assert "saebench_explained_variance" in found


def test_vectors_form_blocks() -> None:
    """Neighbouring vectors of a long array are one unit, so that intervals are not too narrow."""
    x = np.random.default_rng(0).normal(size=(640, WIDTH)).astype(np.float32)
    found = evidence_of(Core(), random_topk(), array_source(x))
    units = next(one.units for one in found if one.metric == "fvu" and isinstance(one, Evidence))
    assert (units.unit, len(units.table)) == ("block", 64)


def test_transcoders_are_judged_by_what_they_predict(task: Core, folder: Path) -> None:
    """FVU and splices of a transcoder are about the write site, not the read site."""
    path = tiny_source(folder).model.parts.block(1)
    source = tiny_source(folder, site=f"{path}.mlp:in", write_site=f"{path}.mlp:out")

    class Perfect(Linear):
        """The MLP itself, given as a dictionary of unit vectors."""

        def decode(self, acts: Tensor, x: Tensor) -> Tensor:
            """What the MLP makes of its input."""
            return source.model.net.get_submodule(f"{path}.mlp")(x[None])[0]

    found = values(evidence_of(task, Perfect(WIDTH), source))
    assert found["fvu"] == pytest.approx(0, abs=1e-8)
    assert found["kl_div_with_sae"] == pytest.approx(0, abs=1e-5)
    assert found["ce_loss_with_ablation"] != found["ce_loss_without_sae"]


def test_rows_without_text_count_nowhere(source: ModelSource, folder: Path) -> None:
    """A row of special tokens alone, even a whole batch of it, is no unit and breaks nothing."""
    ids = np.random.default_rng(0).integers(4, 64, size=(6, 8))
    ids[[0, 3, 5]] = 1
    np.save(folder / "special.npy", ids)
    task = Core(tokens=str(folder / "special.npy"), ce_rows=4)
    expected = values(evidence_of(task, random_topk(), source))
    one_by_one = tiny_source(folder, batch_tokens=8)
    found = evidence_of(task, random_topk(), one_by_one)
    assert values(found) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    units = {one.metric: one.units for one in found if isinstance(one, Evidence)}
    assert units["fvu"].table["weight"].tolist() == [0, 1, 1, 0, 1, 0]
    assert units["ce_loss_with_sae"].table["weight"].tolist() == [0, 1, 1, 0]
