"""How probes are chosen and fitted: as scikit-learn would, and for permuted labels no otherwise."""

from collections.abc import Callable

import numpy as np
import pytest
from saeval_tasks.probing.all_latents import dense_scores, wide_scores
from saeval_tasks.probing.choosing import strongest_latents
from saeval_tasks.probing.evidence import top_k_probe
from saeval_tasks.probing.few_latents import few_latents, sparse_scores
from saeval_tasks.probing.problems import EncodedSet, permute_labels, probe_problems
from saeval_tasks.probing.regularisation import C_GRID
from saeval_tasks.probing.rows import FIT, TEST, VALIDATION, ProbeSet
from saeval_tasks.probing.scoring import auc_components
from scipy.sparse import csc_matrix, csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

ROWS, LATENTS, CLASSES = 240, 12, 3


def _rows(labels: np.ndarray, seed: int = 0) -> ProbeSet:
    """Rows with these labels, a half to fit, a fifth to validate, the rest to test."""
    rows, classes = labels.shape
    role = np.random.default_rng(seed).choice([FIT, VALIDATION, TEST], rows, p=[0.5, 0.2, 0.3])
    names = tuple(f"label{number}" for number in range(classes))
    return ProbeSet("told", "told", names, np.arange(rows), labels, role)


@pytest.fixture
def planted() -> tuple[csr_matrix, ProbeSet]:
    """Sparse latents, of which a few know something of each label."""
    rng = np.random.default_rng(3)
    z = rng.exponential(size=(ROWS, LATENTS)) * (rng.random((ROWS, LATENTS)) < 0.3)
    noise = rng.normal(size=(ROWS, CLASSES))
    y = 2 * z[:, :CLASSES] - z[:, CLASSES : 2 * CLASSES] + noise > 0.5
    return csr_matrix(z.astype(np.float32)), _rows(y)


def _by_scikit_learn(
    on_fit: np.ndarray, on_train: np.ndarray, y: np.ndarray, role: np.ndarray
) -> np.ndarray:
    """Log-odds of test rows: C by the log-loss on validation rows, then a fit on all train rows.

    Features are divided by their spread over the train rows beforehand.
    """

    def probe(x: np.ndarray, rows: np.ndarray, c: float) -> LogisticRegression:
        return LogisticRegression(C=c, tol=1e-10, max_iter=10_000).fit(x[rows], y[rows])

    validation = role == VALIDATION
    losses = [
        round(
            log_loss(
                y[validation], probe(on_fit, role == FIT, c).predict_proba(on_fit[validation])
            ),
            6,
        )
        for c in C_GRID
    ]
    best = probe(on_train, role != TEST, C_GRID[int(np.argmin(losses))])
    return best.decision_function(on_train[role == TEST])


@pytest.mark.parametrize("k", [1, 2, 5])
def test_few_latents_are_probed_as_by_scikit_learn(
    planted: tuple[csr_matrix, ProbeSet], k: int
) -> None:
    """The same regularisation, and the same log-odds, though rows without acts are put together."""
    z, rows = planted
    ours = sparse_scores([few_latents(z, rows, rows.y, 5)], k)
    dense = z.toarray().astype(np.float64)
    spread = dense[rows.train].std(0)
    for number, y in enumerate(rows.y.T):
        by_fit, by_train = (
            strongest_latents(z[used], rows.y[used], k)[number]
            for used in (rows.role == FIT, rows.train)
        )
        scaled = dense / spread
        theirs = _by_scikit_learn(scaled[:, by_fit], scaled[:, by_train], y, rows.role)
        assert ours[number] == pytest.approx(theirs, abs=1e-4)


@pytest.mark.parametrize("scores", [wide_scores, dense_scores])
def test_all_latents_and_activations_are_probed_as_by_scikit_learn(
    planted: tuple[csr_matrix, ProbeSet], scores: Callable[..., np.ndarray]
) -> None:
    """The same grid, the same choice and the same fit as for few latents."""
    z, rows = planted
    dense = z.toarray().astype(np.float64)
    scaled = (dense - dense[rows.train].mean(0)) / dense[rows.train].std(0)
    ours = scores(csc_matrix(z) if scores is wide_scores else scaled, rows)[rows.test]
    for number, y in enumerate(rows.y.T):
        theirs = _by_scikit_learn(scaled, scaled, y, rows.role)
        assert ours[:, number] == pytest.approx(theirs, abs=5e-3)


def test_problems_of_unequal_size_are_fitted_as_if_alone(
    planted: tuple[csr_matrix, ProbeSet],
) -> None:
    """Beside a larger data set, a smaller one has the scores that it has alone."""
    z, rows = planted
    part = np.arange(150)
    small = ProbeSet("small", "small", rows.classes, rows.text[part], rows.y[part], rows.role[part])
    sets = [few_latents(z, rows, rows.y, 4), few_latents(z[part], small, small.y, 4)]
    together, alone = sparse_scores(sets, 4), [sparse_scores([one], 4) for one in sets]
    for ours, theirs in zip(together, alone[0] + alone[1], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)


def test_permuted_labels_keep_their_number_in_every_role(
    planted: tuple[csr_matrix, ProbeSet],
) -> None:
    """Fit and validation rows have as many of each label as before; test rows the very same."""
    rows = planted[1]
    permuted = permute_labels(rows, seed=0)
    assert permuted.shape == (ROWS, 3 * CLASSES)
    for order in np.split(permuted, 3, axis=1):
        for role in (FIT, VALIDATION):
            used = rows.role == role
            assert order[used].sum(0).tolist() == rows.y[used].sum(0).tolist()
            assert (order[used] != rows.y[used]).any()
        assert np.array_equal(order[rows.test], rows.y[rows.test])
    many = _rows(np.random.default_rng(0).random((ROWS, 60)) < 0.5)
    assert permute_labels(many, seed=0).shape[1] == 2 * 60


def test_floor_follows_the_protocol(planted: tuple[csr_matrix, ProbeSet]) -> None:
    """Probes for permuted labels score what they would if those labels were the true ones."""
    z, rows = planted
    problems = probe_problems([EncodedSet(rows, z, None)], [2, 4], 0, detect=False)
    permuted = permute_labels(rows, seed=0)[:, :CLASSES]
    told = ProbeSet("told", "told", rows.classes, rows.text, permuted, rows.role)
    as_true = probe_problems([EncodedSet(told, z, None)], [4], 0, detect=False)
    for ours, theirs in zip(problems, as_true, strict=True):
        assert ours.permuted[0] == pytest.approx(theirs.scores[top_k_probe(4)], abs=1e-9)


def test_latents_without_knowledge_score_one_half() -> None:
    """On labels drawn by a coin the protocol scores 0.5, whether labels are permuted or not."""
    rng = np.random.default_rng(0)
    z = csr_matrix((rng.random((400, 80)) * (rng.random((400, 80)) < 0.1)).astype(np.float32))
    rows = _rows(rng.random((400, 40)) < 0.3)
    problems = probe_problems([EncodedSet(rows, z, None)], [8], 0, detect=False)
    plain = [auc_components(one.scores[top_k_probe(8)], one.y).mean() for one in problems]
    permuted = [auc_components(score, one.y).mean() for one in problems for score in one.permuted]
    # One AUC of 120 rows has a standard error of .058, the mean over 40 labels one of .009.
    assert np.mean(plain) == pytest.approx(0.5, abs=0.03)
    assert np.mean(permuted) == pytest.approx(0.5, abs=0.03)
