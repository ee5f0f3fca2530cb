"""Which data `probing` takes, what it says of data that it cannot use, and what is in its key."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from core_oracles import random_topk, tiny_models, tiny_source
from saeval_tasks.probing import Probing
from saeval_tasks.probing.choosing import spread
from saeval_tasks.probing.saebench import SCORES

from saeval.activations import ModelSource, model_source
from saeval.errors import DataError, NotApplicable, UsageError
from saeval.evidence import Evidence, Missing
from saeval.lab.synthetic import world_source
from saeval.models import load_model
from saeval.running.run import load_sae
from saeval.sae.architectures import ReLU


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two equal files of texts, and one of hardly any."""
    folder = tmp_path_factory.mktemp("probing_data")
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(tiny_models.WORDS, 6)) for _ in range(160)]
    table = pd.DataFrame({"text": texts, "label": ["x", "y"] * 80})
    table.to_csv(folder / "alpha.csv", index=False)
    shutil.copy(folder / "alpha.csv", folder / "beta.csv")
    table.head(4).to_csv(folder / "few.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def source(folder: Path) -> ModelSource:
    """A tiny GPT-2."""
    return tiny_source(folder)


def test_files_of_other_names_are_other_inputs(folder: Path) -> None:
    """A data set is called by its file, and its scores with it."""
    alpha, beta, renamed = (
        Probing(data).inputs("gpt2")
        for data in (
            f"{folder}/alpha.csv",
            f"{folder}/beta.csv",
            {"name": "alpha", "train": f"{folder}/beta.csv"},
        )
    )
    assert alpha != beta
    assert alpha == renamed


def test_a_file_of_hardly_any_texts_is_refused(folder: Path, source: ModelSource) -> None:
    """Two texts a label leave none to test on, which is said with their number."""
    with pytest.raises(DataError, match=r"'few' has 4 distinct texts.*`test` file"):
        Probing(f"{folder}/few.csv").prepare(source, 0)


def test_one_useless_data_set_does_not_lose_the_others(folder: Path, source: ModelSource) -> None:
    """Beside one of use it is reported as missing, with the reason."""
    task = Probing((f"{folder}/alpha.csv", f"{folder}/few.csv"), top_k=(1,))
    found = list(task.score(random_topk(), task.prepare(source, 0), source, 0))
    assert any(isinstance(one, Evidence) and one.part == "alpha/y" for one in found)
    told = [one for one in found if isinstance(one, Missing)]
    assert {one.part for one in told} == {"few"}
    assert all("4 distinct texts" in one.reason for one in told)


@pytest.mark.parametrize(
    "data, message", [((), "is empty"), (("lab",), "stands alone"), ("nowhere.csv", "no file")]
)
def test_wrong_data_are_refused_at_once(data: str | tuple[str, ...], message: str) -> None:
    """Before any model is read."""
    with pytest.raises(UsageError, match=message):
        Probing(data)


def test_games_have_no_labelled_texts() -> None:
    """By default a model of moves is not given English to read."""
    source = model_source(load_model("lab/othello"), "layers.3")
    with pytest.raises(NotApplicable, match="reads moves"):
        Probing().prepare(source, 0)


def test_saebench_form_of_a_synthetic_world_is_missing() -> None:
    """Its scores of an SAE are declared absent, with the reason, beside probes on all latents."""
    source = world_source("base")
    task = Probing(compat="saebench", top_k=(1,), limit=400)
    sae = load_sae("lab/synthetic/base/random")
    found = list(task.score(sae, task.prepare(source, 0), source, 0))
    told = {one.metric: one.reason for one in found if isinstance(one, Missing)}
    probes = ("full_width", "dense")
    wide = {f"{score}_{probe}" for score in ("auc", "accuracy") for probe in probes}
    assert set(told) == {metric.name for metric in SCORES} | wide
    assert "synthetic world has none" in told[SCORES[0].name]


def test_saebench_form_with_few_latents(folder: Path, source: ModelSource) -> None:
    """Probes of more latents than the SAE has are missing; the others are there."""
    one = random_topk()
    sae = ReLU(one.W_enc[:, :3], one.b_enc[:3], one.W_dec[:3], one.b_dec)
    task = Probing(f"{folder}/alpha.csv", compat="saebench", top_k=(1,), compat_train_rows=60)
    found = list(task.score(sae, task.prepare(source, 0), source, 0))
    told = {one.metric for one in found if isinstance(one, Missing)}
    assert told == {"saebench_sae_top_5_test_accuracy"}
    assert any(one.metric == "saebench_sae_top_2_test_accuracy" for one in found)


def test_rounding_of_a_constant_is_no_spread() -> None:
    """A constant stays a constant, and what varies is divided by its standard deviation."""
    x = np.stack([np.full(1000, 0.1), np.arange(1000.0), 1e4 + np.zeros(1000)], axis=1)
    for kind in (np.float32, np.float64):
        found = spread(x.astype(kind))
        assert found.dtype == kind
        assert found.tolist() == pytest.approx([1, x[:, 1].std(), 1], rel=1e-5)


def test_contradictions_are_told_beside_the_scores(folder: Path, source: ModelSource) -> None:
    """Some are a notice; where they leave nothing to probe for, they are the reason."""
    table = pd.read_csv(folder / "alpha.csv")
    other = table.head(20).assign(label=["y", "x"] * 10)
    pd.concat([table, other]).to_csv(folder / "some.csv", index=False)
    task = Probing(f"{folder}/some.csv", train_rows=100, test_rows=40)
    notice = task.prepare(source, 0).facts["notice"]
    assert "20 texts have two labels that exclude each other, such as rows 0 and 160" in notice
    pd.concat([table.tail(20), other, table]).to_csv(folder / "most.csv", index=False)
    few = Probing(f"{folder}/most.csv").prepare(source, 0)
    assert len(few.required_rows) == 140
