"""On tokens whose concepts are known, the best latents score what their firing deserves."""

from pathlib import Path

import numpy as np
import pytest
from saeval_tasks.probing import Probing, concepts
from saeval_tasks.probing.concepts import Concepts, f1_of_latents, occurrences, read, score
from saeval_tasks.probing.f1 import F1_METRICS
from saeval_tasks.probing.metrics import BEST_LATENT_F1_UNTUNED
from scipy.sparse import csr_matrix

from saeval.activations import ModelSource, TokenRows, model_source
from saeval.evidence import Evidence, Missing, Summary, summarise
from saeval.models import load_model
from saeval.running.run import load_sae

DOCUMENTS, TOKENS = 60, 5
NULLS, TRAINED = ("random", "pca"), ("topk-16", "relu-16", "matryoshka-16")


def known() -> Concepts:
    """Documents of five tokens; concept a is at the first, b at the first two of each."""
    shape = (DOCUMENTS, TOKENS)
    rows = TokenRows("told", np.zeros(shape, np.int32), np.ones(shape, bool), np.ones(shape, bool))
    place = np.tile(np.arange(TOKENS), DOCUMENTS)
    y = np.stack([place == 0, place < 2], axis=1)
    return Concepts(rows, np.arange(DOCUMENTS) >= DOCUMENTS // 2, y, ("a", "b"), {})


def f1s(acts: np.ndarray) -> dict[str, float]:
    """Metric, and part after a slash -> value, of acts."""
    return {
        f"{one.metric}/{one.part}" if one.part else one.metric: summarise(one).value
        for one in f1_of_latents(csr_matrix(acts.astype(np.float32)), known())
    }


def test_latents_that_are_the_concepts_score_1() -> None:
    """A latent for each concept and nothing else, beside latents that fire at random."""
    noise = np.random.default_rng(0).random((DOCUMENTS * TOKENS, 6)) < 0.3
    found = f1s(np.hstack([noise, known().y]))
    assert set(found.values()) == {1.0}
    assert set(found) == {f"{f1.metric.name}{part}" for f1 in F1_METRICS for part in ("", *PARTS)}


PARTS = ("/concepts/a", "/concepts/b")


def test_f1_of_tokens_by_hand() -> None:
    """One latent, faint at the second token and strong at the first, of every document.

    For b it is exact untuned and tuned. For a, untuned says yes twice as often as it should: F1 =
    2 / (2 + 1); with a threshold it is exact.
    """
    place = np.tile(np.arange(TOKENS), DOCUMENTS)
    found = f1s(np.select([place == 0, place == 1], [2.0, 0.5])[:, None])
    assert found["best_latent_f1_untuned/concepts/a"] == pytest.approx(2 / 3)
    assert found["best_latent_f1_untuned"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["best_latent_f1"] == 1


def test_latents_that_never_fire_score_0_untuned() -> None:
    """Without a latent that is ever active nothing is said."""
    assert f1s(np.zeros((DOCUMENTS * TOKENS, 4)))["best_latent_f1_untuned"] == 0


def test_latents_are_chosen_where_they_are_not_scored() -> None:
    """A latent that is right on the choosing documents alone is chosen, and pays for it."""
    one = known()
    chooses = ~one.scored[one.document]
    learnt = one.y[:, :1] & chooses[:, None]
    later = one.y[:, :1] & ~chooses[:, None]
    assert f1s(np.hstack([learnt, later]))["best_latent_f1_untuned/concepts/a"] == 0


@pytest.fixture(scope="module")
def source() -> ModelSource:
    """The world's model at the site of its SAEs."""
    return model_source(load_model("lab/world"), "layers.1")


def test_saes_of_the_lab_stand_in_order(source: ModelSource) -> None:
    """The oracle above trained SAEs, these above what is not trained, each beyond the interval."""
    known_concepts = read(source, 150, 0)
    assert len(known_concepts.names) > 30

    def untuned(name: str) -> Summary:
        found = score(load_sae(f"lab/world/{name}"), source, known_concepts)
        one = next(
            one for one in found if one.metric == BEST_LATENT_F1_UNTUNED.name and one.part is None
        )
        assert isinstance(one, Evidence)
        return summarise(one, replicates=500)

    (_, top), *trained = (_interval(untuned(name)) for name in ("oracle", *TRAINED))
    nulls = [_interval(untuned(name)) for name in NULLS]
    assert top > 0.97
    assert max(high for _, high in nulls) < min(low for low, _ in trained)
    assert max(high for _, high in trained) < 0.7


def _interval(found: Summary) -> tuple[float, float]:
    assert found.ci_low is not None
    assert found.ci_high is not None
    return found.ci_low, found.ci_high


def test_few_documents_are_said(source: ModelSource) -> None:
    """With so few documents that no concept is expected in twenty, both scores are missing."""
    found = list(score(load_sae("lab/world/random"), source, read(source, 19, 0)))
    assert all(isinstance(one, Missing) for one in found)
    assert {one.metric for one in found} == {f1.metric.name for f1 in F1_METRICS}


def test_seed_draws_the_documents(source: ModelSource) -> None:
    """Another seed reads other documents; the same seed the same."""
    first, again, other = (read(source, 20, seed).rows.digest for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_concepts_are_those_of_the_world(source: ModelSource) -> None:
    """Whatever the seed the same are asked about: most that a document may hold are among them.

    Those that no draw of so many documents can be relied on to hold are not, and of the others
    each is scored, or told with the number of documents.
    """
    draws = [read(source, 100, seed) for seed in (0, 1, 2)]
    asked = [{*one.names, *one.lacking} for one in draws]
    assert asked[0] == asked[1] == asked[2] != set()
    for one in draws:
        has = occurrences(one.y, one.document, len(one.rows))
        assert min(has[one.scored].sum(0).min(), has[~one.scored].sum(0).min()) >= 10


def test_a_concept_that_a_draw_lacks_is_told(
    source: ModelSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a draw has too few documents of a concept, both of its scores are missing."""
    plenty = read(source, 60, 0)
    monkeypatch.setattr(concepts, "LEAST_DOCUMENTS", 40)
    scarce = read(source, 60, 0)
    assert scarce.lacking
    assert {*scarce.names, *scarce.lacking} == {*plenty.names, *plenty.lacking}
    found = list(score(load_sae("lab/world/random"), source, scarce))
    told = {(one.metric, one.part) for one in found if isinstance(one, Missing)}
    parts = [f"concepts/{name}" for name in scarce.lacking]
    assert told == {(f1.metric.name, part) for f1 in F1_METRICS for part in parts}
    reasons = {one.reason for one in found if isinstance(one, Missing)}
    assert all("of the 60 documents drawn of a split have this concept" in one for one in reasons)


def test_occurrences_by_hand() -> None:
    """A document has a concept if one of its tokens does; a document without tokens has none."""
    y = np.array([[True, False], [False, False], [False, True], [False, True]])
    found = occurrences(y, np.array([0, 0, 2, 2]), 3)
    assert found.tolist() == [[True, False], [False, False], [False, True]]


def test_files_are_asked_row_by_row(source: ModelSource, tmp_path: Path) -> None:
    """Labelled texts of one's own, on the lab's model, have no concepts of tokens."""
    file = tmp_path / "texts.csv"
    file.write_text("text,label\nthe clock stopped,a\nthe bell rang,b\n", encoding="utf-8")
    assert Probing(data=str(file))._concepts(source, 0) is None
