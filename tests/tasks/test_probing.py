"""Probing finds what is there, nothing where nothing is, and draws nothing that it should not."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from core_oracles import random_topk, tiny_models, tiny_source
from saeval_tasks._f1 import always_yes_f1, f1_score
from saeval_tasks.probing import Probing
from saeval_tasks.probing.choosing import correlations, strongest
from saeval_tasks.probing.f1 import Detector, best_latents, tuned, untuned
from saeval_tasks.probing.scoring import auc_components, log_loss
from scipy.sparse import csc_matrix, csr_matrix
from sklearn.metrics import roc_auc_score

from saeval.activations import ModelSource, Pooled, read_x
from saeval.errors import DataError, NotApplicable, UsageError
from saeval.evidence import Evidence, Missing, compare, summarise, units
from saeval.sae import SAE
from saeval.sae.architectures import ReLU, TopK

WIDTH = tiny_models.WIDTH
WORDS = tiny_models.WORDS
NOISES = 8
"""Columns of labels without meaning."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where model, store and texts lie."""
    return tmp_path_factory.mktemp("probing")


@pytest.fixture(scope="module")
def source(folder: Path) -> ModelSource:
    """A tiny GPT-2, read after its second block."""
    return tiny_source(folder)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Texts of random words; half of those of label a begin with words that no other has."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(240):
        label = "abc"[i % 3]
        own = WORDS[:4] if label == "a" else WORDS[4:8]
        words = [str(rng.choice(own)) for _ in range(4)] + list(rng.choice(WORDS[8:], 4))
        noise = {f"noise{i}": str(rng.integers(2)) for i in range(NOISES)}
        rows.append({"text": " ".join(words), "label": label, **noise})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def file(folder: Path, table: pd.DataFrame) -> Path:
    """The texts as a file."""
    path = folder / "texts.parquet"
    table.to_parquet(path)
    return path


@pytest.fixture(scope="module")
def oracle(source: ModelSource, table: pd.DataFrame) -> SAE:
    """A dictionary that holds the direction of label a: difference of means, and noise beside."""
    rows = source.tokenize(table["text"].tolist(), name="all")
    x = read_x(source, rows, Pooled()).astype(np.float64)
    y = (table["label"] == "a").to_numpy()
    within = np.cov(x[y].T) + np.cov(x[~y].T) + 1e-3 * np.eye(WIDTH)
    direction = np.linalg.solve(within, x[y].mean(0) - x[~y].mean(0))
    generator = torch.Generator().manual_seed(0)
    W_enc = torch.randn(WIDTH, 12, generator=generator) / 10
    W_enc[:, 3] = torch.from_numpy(direction / np.linalg.norm(direction)).float()
    # A large bias keeps every latent active: pooling is then linear.
    return ReLU(W_enc, torch.full((12,), 30.0), W_enc.T.contiguous(), torch.zeros(WIDTH))


def found(
    task: Probing, sae: SAE, source: ModelSource, seed: int = 0
) -> dict[str, Evidence | Missing]:
    """What the task yields, by metric, and part after a slash."""
    scores = task.score(sae, task.prepare(source, seed), source, seed)
    return {f"{one.metric}/{one.part}" if one.part else one.metric: one for one in scores}


def values(scores: Iterable[tuple[str, Evidence | Missing]]) -> dict[str, float]:
    """Name -> value of what has one."""
    return {
        name: summarise(one, replicates=20).value
        for name, one in scores
        if isinstance(one, Evidence)
    }


def test_a_latent_with_the_concepts_direction_reaches_the_dense_probe(
    file: Path, source: ModelSource, oracle: SAE
) -> None:
    """One latent along the difference of means is as good as a probe on the activations."""
    scores = found(Probing(str(file)), oracle, source)
    found_values = values(scores.items())
    assert found_values["auc_top_1/texts/a"] > 0.9
    dense = found_values["auc_dense/texts/a"]
    assert found_values["auc_top_1/texts/a"] == pytest.approx(dense, abs=0.05)
    tops = [one for one in scores.values() if one.metric.startswith("auc_top")]
    ceilings = {one.ceiling for one in tops if isinstance(one, Evidence)}
    assert ceilings == {1}


def test_labels_without_meaning_are_at_chance(file: Path, source: ModelSource) -> None:
    """Random labels give an AUC near 0.5, and so do permuted ones, however real they were."""
    data = tuple({"name": f"n{i}", "train": str(file), "label": f"noise{i}"} for i in range(NOISES))
    scores = values(found(Probing(data, test_rows=60), random_topk(), source).items())
    # One AUC of 60 rows has a standard error of .075, their mean one of .03.
    assert scores["auc_top_4"] == pytest.approx(0.5, abs=0.09)
    assert scores["auc_permuted_labels"] == pytest.approx(0.5, abs=0.09)
    real = values(found(Probing(str(file)), random_topk(), source).items())
    assert real["auc_permuted_labels"] == pytest.approx(0.5, abs=0.15)
    assert real["auc_top_4/texts/a"] > real["auc_permuted_labels"] + 0.2


def test_part_and_whole_agree(file: Path, source: ModelSource) -> None:
    """A metric without part is the mean over parts; rows of a text are one cluster."""
    scores = found(Probing(str(file), top_k=(1, 2)), random_topk(), source)
    got = values(scores.items())
    for metric in ("auc_top_1", "accuracy_full_width", "best_latent_f1_untuned"):
        parts = [got[f"{metric}/texts/{label}"] for label in "abc"]
        assert got[metric] == pytest.approx(np.mean(parts))
    rows = scores["auc_top_1"]
    assert isinstance(rows, Evidence)
    assert summarise(rows, replicates=20).clusters == 60
    assert len(rows.units.table) == 180


def test_an_sae_does_not_differ_from_itself(file: Path, source: ModelSource) -> None:
    """Scored twice, every value is the same, and the paired difference exactly 0."""
    task = Probing(str(file), top_k=(2,))
    first, second = (found(task, random_topk(), source) for _ in range(2))
    for name, one in first.items():
        other = second[name]
        assert isinstance(one, Evidence)
        assert isinstance(other, Evidence)
        assert compare(one, other, replicates=20).delta == 0


def test_seeds_choose_rows(file: Path, source: ModelSource) -> None:
    """Another seed has other test texts, the same seed the same."""
    task = Probing(str(file))
    here, there = task.prepare(source, 0), task.prepare(source, 1)
    assert here.facts["digest"] != there.facts["digest"]
    again = task.prepare(source, 0)
    assert all(np.array_equal(here.arrays[name], again.arrays[name]) for name in here.arrays)


def test_scale_of_latents_changes_nothing(file: Path, source: ModelSource) -> None:
    """An SAE whose acts are ten times as large, decoded with a tenth, scores alike."""
    one = random_topk()
    other = TopK(
        one.W_enc * 10, one.b_enc * 10, one.W_dec / 10, one.b_dec, one.k, subtract_b_dec=False
    )
    task = Probing(str(file), top_k=(1, 4))
    first, second = (values(found(task, sae, source).items()) for sae in (one, other))
    assert first == pytest.approx(second, abs=1e-3)


def test_more_latents_asked_for_than_there_are_is_said(file: Path, source: ModelSource) -> None:
    """With three latents, four of them are missing with a reason; one is scored."""
    scores = found(Probing(str(file), top_k=(1, 4)), random_topk(d_sae=3, k=2), source)
    missing = scores["auc_top_4"]
    assert isinstance(missing, Missing)
    assert "only 3 latents" in missing.reason
    assert isinstance(scores["auc_top_1"], Evidence)


def test_saebench_form_is_added(file: Path, source: ModelSource) -> None:
    """With compat, its metrics are added under its names; the plain ones stay what they were."""
    plain = values(found(Probing(str(file), top_k=(2,)), random_topk(), source).items())
    task = Probing(
        str(file), top_k=(2,), compat="saebench", compat_train_rows=60, compat_test_rows=30
    )
    both = values(found(task, random_topk(), source).items())
    assert both["saebench_sae_top_1_test_accuracy/texts"] > 0.5
    assert "saebench_llm_test_accuracy" in both
    assert {name: both[name] for name in plain} == pytest.approx(plain)


def test_too_few_rows_are_not_applicable(
    folder: Path, table: pd.DataFrame, source: ModelSource
) -> None:
    """Twelve texts cannot train a probe: the reason says how many are needed."""
    path = folder / "few.csv"
    table.head(12).to_csv(path)
    with pytest.raises(NotApplicable, match="at least 20 are needed"):
        Probing(str(path)).prepare(source, 0)


def test_a_rare_label_is_reported(folder: Path, table: pd.DataFrame, source: ModelSource) -> None:
    """A label with too few texts is missing with its reason; the others are scored."""
    path = folder / "rare.jsonl"
    rare = table.assign(label=np.where(np.arange(240) < 4, "rare", table["label"]))
    rare.to_json(path, orient="records", lines=True)
    scores = found(Probing(str(path), top_k=(1,)), random_topk(), source)
    missing = scores["auc_top_1/rare/rare"]
    assert isinstance(missing, Missing)
    assert "train rows have this label" in missing.reason
    assert isinstance(scores["auc_top_1/rare/a"], Evidence)


def test_bad_files_are_refused_at_once(folder: Path, file: Path, source: ModelSource) -> None:
    """No file, no such column, one label, no label: each is told with file and column."""
    with pytest.raises(UsageError, match="no file or folder"):
        Probing("nowhere.parquet")
    with pytest.raises(UsageError, match="no column 'topic'"):
        Probing({"train": str(file), "label": "topic"})
    with pytest.raises(UsageError, match="'lable' is none of these"):
        Probing({"train": str(file), "lable": "label"})
    for name, labels, message in (
        ("one", ["x"] * 30, "same 'label'"),
        ("gap", ["x"] * 29 + [None], "Row 29"),
        ("many", [str(i) for i in range(100)], "100 distinct"),
    ):
        path = folder / f"{name}.parquet"
        pd.DataFrame({"text": ["w1 w2"] * len(labels), "label": labels}).to_parquet(path)
        with pytest.raises(DataError, match=message):
            Probing(str(path)).prepare(source, 0)


def test_auc_components_have_mean_and_error_of_the_auc() -> None:
    """Their mean is scikit-learn's AUC, ties included; their error that of the AUC aggregator."""
    rng = np.random.default_rng(0)
    y = rng.random(300) < 0.3
    score = np.round(rng.normal(size=300) + y, 1)
    parts = auc_components(score, y)
    assert parts.mean() == pytest.approx(roc_auc_score(y, score))
    table = units("rows", "row", {"part_of_auc": parts, "score": score, "label": y})
    ours = summarise(
        Evidence("auc", table, {"num": "part_of_auc"}, unit="fraction", better="higher")
    )
    columns = {"score": "score", "label": "label"}
    exact = summarise(
        Evidence("auc", table, columns, unit="fraction", better="higher", aggregator="auc/1")
    )
    assert ours.value == pytest.approx(exact.value)
    assert ours.stderr == pytest.approx(exact.stderr, rel=0.1)


def test_auc_by_hand() -> None:
    """Of four pairs three are in order: 0.75; perfect order gives 1, none 0.5."""
    y = np.array([True, True, False, False])
    assert auc_components(np.array([3.0, 1.0, 2.0, 0.0]), y).mean() == 0.75
    assert auc_components(np.array([3.0, 2.0, 1.0, 0.0]), y).mean() == 1
    assert auc_components(np.zeros(4), y).mean() == 0.5


def test_f1_by_hand() -> None:
    """Two hits, one false alarm, one miss: 4 / 6; always yes at a third: 1/2."""
    y = np.array([True, True, True, False, False, False, False, False, False])
    yes = np.array([True, True, False, True, False, False, False, False, False])
    assert f1_score(yes, y) == pytest.approx(4 / 6)
    assert f1_score(y, y) == 1
    assert f1_score(~y, y) == 0
    assert always_yes_f1(np.asarray(y.mean())) == pytest.approx(0.5)


def test_detectors_by_hand() -> None:
    """Untuned takes the latent that fires where the label is; tuned also finds a threshold."""
    y = np.array([True, True, False, False, False])
    z = np.array(
        [[5.0, 0.0, 1.0], [4.0, 0.0, 0.0], [1.0, 2.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    )
    assert untuned(csr_matrix(z), y[:, None]) == [Detector(2, 0.0)]
    assert tuned(csc_matrix(z), y, np.arange(3)) == Detector(0, 2.5)
    best, plain = best_latents(csr_matrix(z), y[:, None])[0]
    assert (best, plain) == (Detector(0, 2.5), Detector(2, 0.0))
    assert best.says(csc_matrix(z)).tolist() == y.tolist()


def test_correlations_are_pearsons() -> None:
    """As numpy has them; constant latents have 0; the strongest come first."""
    rng = np.random.default_rng(0)
    z = rng.random((40, 6)) * (rng.random((40, 6)) < 0.5)
    z[:, 2] = 0
    y = rng.random((40, 2)) < 0.4
    ours = correlations(csr_matrix(z), y)
    for c in range(2):
        for latent in (0, 1, 3, 4, 5):
            expected = np.corrcoef(z[:, latent], y[:, c])[0, 1]
            assert ours[c, latent] == pytest.approx(expected, abs=1e-6)
    assert (ours[:, 2] == 0).all()
    top = strongest(np.abs(ours), 3)
    assert (np.diff(np.take_along_axis(np.abs(ours), top, 1), axis=1) <= 0).all()


def test_log_loss_by_hand() -> None:
    """Log-odds of 0 cost log 2; certainty that is right nothing; unused rows do not count."""
    y = np.array([[True], [False], [True]])
    used = np.array([[True], [True], [False]])
    assert log_loss(np.zeros((3, 1)), y, used)[0] == pytest.approx(np.log(2), abs=1e-6)
    assert log_loss(np.array([[50.0], [-50.0], [-50.0]]), y, used)[0] == 0


def test_saebench_form_tells_which_labels_it_leaves_out(
    folder: Path, table: pd.DataFrame, source: ModelSource
) -> None:
    """A rare label has no pair, with its reason; the other labels' pairs keep their sizes."""
    path = folder / "rare_pairs.jsonl"
    rare = table.assign(label=np.where(np.arange(240) < 4, "rare", table["label"]))
    rare.to_json(path, orient="records", lines=True)
    task = Probing(
        str(path), top_k=(1,), compat="saebench", compat_train_rows=60, compat_test_rows=30
    )
    scores = found(task, random_topk(), source)
    missing = scores["saebench_sae_top_1_test_accuracy/rare_pairs/rare"]
    assert isinstance(missing, Missing)
    assert "train rows have this label" in missing.reason
    evidence = scores["saebench_sae_top_1_test_accuracy/rare_pairs"]
    assert isinstance(evidence, Evidence)
    labels = evidence.units.table["unit_id"].str.split("/").str[0].value_counts()
    assert labels.to_dict() == {"a": 30, "b": 30, "c": 30}
