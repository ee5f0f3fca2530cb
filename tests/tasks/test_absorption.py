"""`absorption` finds planted absorption at its rate, and none where none was planted."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pages
import pytest
import torch
from absorption_oracles import (
    EVERY,
    Lookup,
    kept_f1,
    know_all,
    lookup,
    parent_writer,
    planted_shares,
    silenced_share,
    silent,
    speller,
)
from core_oracles import tiny_source, values
from jaxtyping import Int
from saeval_tasks._encoded import acts_of, contributions
from saeval_tasks.absorption import Absorption, family_evidence, saebench
from saeval_tasks.absorption.discriminants import discriminants
from saeval_tasks.absorption.kept_parents import Outcome, kept_parents, kept_sums
from saeval_tasks.absorption.occurrences import PER_WORD, Family, Occurrences, read_occurrences
from saeval_tasks.absorption.pairs import FamilyTables, family_tables
from saeval_tasks.absorption.projections import absorption_fraction, best_scale, kept, written
from saeval_tasks.absorption.words import LETTERS
from scipy.sparse import csc_matrix, csr_matrix
from sklearn.linear_model import LinearRegression

from saeval import lab
from saeval.activations import Batch, ModelSource, Store, TokenRows, array_source, model_source
from saeval.errors import NotApplicable, UsageError
from saeval.evidence import Evidence, Missing, compare
from saeval.models import load_model
from saeval.sae import SAE
from saeval.sae.architectures.random import random_topk
from saeval.sae.loaders import load_folder
from saeval.task import Prepared

TASK = Absorption(words_per_letter=50, documents=150)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    """The lab's model, read where its SAEs read."""
    model = load_model(str(lab.path("world/model")))
    return model_source(model, "layers.1", store=Store(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def prepared(source: ModelSource) -> Prepared:
    """What the task prepares on the lab."""
    return TASK.prepare(source, 0)


def test_equal_prompts_are_equal_data(source: ModelSource) -> None:
    """What was read says whether two runs can be compared, not the fields that led to it."""

    def said(examples: int | None) -> str:
        task = Absorption(words_per_letter=8, documents=100, examples=examples)
        return task.prepare(source, 0).facts["prompts"]

    assert said(None) == said(10)
    assert said(2) != said(10)


def scored(
    sae: SAE, prepared: Prepared, source: ModelSource, task: Absorption = TASK
) -> dict[str, float]:
    """Metric -> value over everything."""
    return values(one for one in task.score(sae, prepared, source, 0) if one.part is None)


def test_planted_absorption_is_found_at_its_rate(source: ModelSource, prepared: Prepared) -> None:
    """Words with a latent of their own that takes the letter over are absorbed, and no others."""
    found = scored(speller(prepared, absorbing=True), prepared, source)
    planted = planted_shares(prepared).mean()
    assert 0.3 < planted < 0.4
    assert found["full_absorption_rate"] == pytest.approx(planted)
    assert found["mean_absorption_fraction"] == pytest.approx(planted)
    assert found["lost_rate"] == 0
    assert found["split_latents"] == 1


@pytest.mark.parametrize("words", range(EVERY + 1))
def test_letters_are_kept_but_where_they_are_absorbed(
    source: ModelSource, prepared: Prepared, words: int
) -> None:
    """F1 falls with the share of words whose own latents take the letter over, as it must."""
    found = scored(speller(prepared, absorbing=True, words=words), prepared, source)
    expected = kept_f1(planted_shares(prepared, words)).mean()
    assert expected == pytest.approx(kept_f1(words / EVERY), abs=0.02)
    assert found["kept_letter_f1"] == pytest.approx(expected)


@pytest.mark.parametrize("factor", [0.1, 8.0])
def test_nothing_is_gained_by_writing_more_strongly(
    source: ModelSource, prepared: Prepared, factor: float
) -> None:
    """The same SAE with longer or shorter decoder rows keeps as much, letters and parents."""
    x = torch.from_numpy(prepared.arrays["x"].mean(0))
    names = ("kept_letter_f1", "kept_parent_f1")
    saes: list[Any] = [random_topk(x, 512, 8, 0), load_folder(Path(lab.path("world/oracle")))]
    for sae in saes:
        longer = replace(sae, W_dec=factor * sae.W_dec)
        plain, other = (scored(each, prepared, source) for each in (sae, longer))
        for name in names:
            assert other[name] == pytest.approx(plain[name], abs=1e-3), name


def test_kept_by_hand() -> None:
    """Active and with 0.4 of what there is; silence, less than that, or nothing there is none."""
    fires = np.array([True, True, False, True, True])
    carried = np.array([2.0, 1.5, 2.0, 9.0, 1.0])
    total = np.array([5.0, 5.0, 5.0, 5.0, -1.0])
    assert kept(fires, carried, total).tolist() == [True, False, False, True, False]
    outcomes = [Outcome(np.array([True, True, False]), 4), Outcome(np.array([False]), 1)]
    assert kept_sums(outcomes) == (4.0, 2 + 4 + 2.5)


def test_the_factor_is_that_of_least_squares() -> None:
    """It agrees with scikit-learn's regression without intercept, and is 0 rather than negative."""
    rng = np.random.default_rng(0)
    x, acts = rng.normal(size=(300, 4)) + 3, csr_matrix(rng.normal(size=(300, 7)))
    sae = lookup(x.astype(np.float32), acts.toarray(), rng.normal(size=(7, 4)))
    reconstruction = written(sae, acts)
    assert reconstruction == pytest.approx(acts.toarray() @ sae.W_dec.numpy())
    toward = reconstruction + x
    centred = [(part - part.mean(0)).reshape(-1, 1) for part in (toward, x)]
    line = LinearRegression(fit_intercept=False).fit(*centred)
    assert best_scale(x, toward) == pytest.approx(line.coef_.item())
    assert best_scale(x, -x) == best_scale(x, np.ones_like(x)) == 0


def test_no_absorption_where_none_was_planted(source: ModelSource, prepared: Prepared) -> None:
    """A latent for each letter, active on all its words, scores 0 and F1 1."""
    found = scored(speller(prepared, absorbing=False), prepared, source)
    names = ("full_absorption_rate", "mean_absorption_fraction", "lost_rate")
    assert [found[name] for name in names] == [0, 0, 0]
    assert found["main_latent_f1"] == 1
    assert found["kept_letter_f1"] == 1


def test_silence_that_nobody_fills_is_no_absorption(
    source: ModelSource, prepared: Prepared
) -> None:
    """Words whose own latent holds nothing of the letter are lost, not absorbed."""
    found = scored(speller(prepared, absorbing=True, covering=False), prepared, source)
    assert found["full_absorption_rate"] == 0
    assert found["mean_absorption_fraction"] == 0
    assert found["lost_rate"] == pytest.approx(planted_shares(prepared).mean())


def test_acts_without_meaning_are_at_the_floor(source: ModelSource, prepared: Prepared) -> None:
    """Latents that know nothing of the words have the F1 of knowing nothing, and absorb nothing."""
    x = prepared.arrays["x"]
    rng = np.random.default_rng(0)
    sae = lookup(
        x,
        rng.random((len(x), 200)) * (rng.random((len(x), 200)) < 0.1),
        rng.normal(size=(200, x.shape[1])),
    )
    every = list(TASK.score(sae, prepared, source, 0))
    probe = next(one for one in every if one.metric == "probe_f1" and one.part is None)
    assert isinstance(probe, Evidence)
    assert probe.floor is not None
    found = values(one for one in every if one.part is None)
    assert found["main_latent_f1"] < probe.floor + 0.02
    assert found["full_absorption_rate"] < 0.02


def test_a_random_sae_loses_words_and_absorbs_none(source: ModelSource, prepared: Prepared) -> None:
    """Its low absorption comes with many lost words, so it is not taken for a good SAE."""
    sae = random_topk(torch.from_numpy(prepared.arrays["x"].mean(0)), 512, 8, 0)
    found = scored(sae, prepared, source)
    assert found["full_absorption_rate"] < 0.02
    assert found["lost_rate"] > 0.5
    assert found["main_latent_f1"] < 0.4


def test_a_silent_sae_loses_everything(source: ModelSource, prepared: Prepared) -> None:
    """Latents that are never active absorb nothing, find nothing and lose every word."""
    found = scored(silent(source.widths.d_in), prepared, source)
    assert found["full_absorption_rate"] == 0
    assert found["lost_rate"] == 1
    assert found["main_latent_f1"] == 0
    assert found["parent_latent_f1"] == 0
    assert found["hierarchy_silence"] == found["companion_silence"] == 0


def test_a_further_main_latent_is_a_split(source: ModelSource, prepared: Prepared) -> None:
    """A letter shared out between two latents has both as main latents, and nothing is absorbed."""
    x, letter, direction = (prepared.arrays[name] for name in ("x", "letter", "direction"))
    half = np.random.default_rng(0).random(len(x)) < 0.5
    acts = np.zeros((len(x), 2 * len(LETTERS)))
    acts[np.arange(len(x)), letter + len(LETTERS) * half] = 9
    sae = lookup(x, acts, np.concatenate([direction, direction]))
    found = scored(sae, prepared, source)
    assert found["split_latents"] == 2
    assert found["full_absorption_rate"] == 0
    assert found["mean_absorption_fraction"] == 0


def test_absorption_fraction_by_hand() -> None:
    """What absorbing latents carry, of what they and the main ones do, worked out on paper."""
    main = np.array([2.0, 0.0, -1.0, 5.0, 3.0, 2.0, 1.0])
    absorbing = np.array([2.0, 3.0, 3.0, 9.0, 1.0, 9.0, 1.0])
    total = np.array([4.0, 4.0, 4.0, 4.0, 4.0, 5.0, -1.0])
    # Half each; all; all, a negative main counting as none; main suffices; absorbing too little;
    # no more than 5 - 2 is blamed; nothing there to absorb.
    expected = [0.5, 1.0, 1.0, 0.0, 0.0, 0.6, 0.0]
    assert absorption_fraction(main, absorbing, total) == pytest.approx(expected)


@pytest.mark.parametrize("silenced", [0, 1, 4])
def test_planted_absorption_in_the_hierarchy(
    source: ModelSource, prepared: Prepared, silenced: int
) -> None:
    """Children that silence their parent's latent are found at their rate, asked or not."""
    found = scored(know_all(prepared, silenced), prepared, source)
    share, seen = silenced_share(prepared, silenced), found["child_seen_as_parent"]
    assert share == pytest.approx(silenced / 4, abs=0.02)
    assert seen > 0.95
    assert found["hierarchy_silence"] == pytest.approx(share)
    unseen = share - found["hierarchy_absorption"]
    assert -1e-9 < unseen < 1 - seen + 1e-9
    f1 = (4 - silenced / 2) / (4 - silenced / 4)
    assert found["parent_latent_f1"] == pytest.approx(f1, abs=0.005)


@pytest.mark.parametrize("quarters", range(5))
def test_parents_are_kept_but_where_they_are_absorbed(
    source: ModelSource, prepared: Prepared, quarters: int
) -> None:
    """F1 falls with the share of children's occurrences that silence the parent's latent."""
    sae, absorbed = parent_writer(prepared, quarters)
    assert absorbed == pytest.approx(quarters / 4, abs=0.03)
    found = scored(sae, prepared, source)
    assert found["kept_parent_f1"] == pytest.approx(float(kept_f1(absorbed)), abs=0.01)


def test_a_child_that_chose_the_latents_is_not_scored_by_them(
    source: ModelSource, prepared: Prepared
) -> None:
    """Latents of single words, which learned every child by heart, keep no parent."""
    found = scored(know_all(prepared, 4), prepared, source)
    assert found["kept_parent_f1"] == 0


def test_matched_pairs_are_silent_but_raise_no_alarm(
    source: ModelSource, prepared: Prepared
) -> None:
    """Clean latents are silent at a companion, whose concept the model does not see there."""
    for sae in (know_all(prepared, 0), load_folder(Path(lab.path("world/oracle")))):
        found = scored(sae, prepared, source)
        assert found["companion_silence"] > 0.95
        assert found["hierarchy_false_alarm"] < 0.1
        assert found["hierarchy_silence"] == 0


def dogs_and_trees() -> tuple[Occurrences, csc_matrix]:
    """Two families of two children, two rows of each word in each split, and a latent for each.

    The dog's latent is silent at scored poodles, at scored collies and at the second scored dog;
    the second scored collie stands among the trees.
    """
    families = (Family("dog", ("poodle", "collie")), Family("tree", ("oak", "ash")))
    word = np.tile(np.repeat(np.arange(6), 2), 2)
    place = np.where(word < 3, 1, -1)
    place[12 + 5] = -1
    x = np.stack([place, np.zeros(24)], axis=1).astype(np.float32)
    acts = np.stack([word < 3, word >= 3], axis=1).astype(np.float32)
    acts[12 + 1 : 12 + 6, 0] = 0
    return Occurrences(families, x, word, np.arange(24) >= 12), csc_matrix(acts)


def tables_of(occurrences: Occurrences, active: csc_matrix) -> FamilyTables:
    """The tables of some occurrences, with the discriminants of these."""
    return family_tables(occurrences, active, discriminants(occurrences))


def test_hierarchy_by_hand() -> None:
    """Rates at 8 occurrences of children and 4 of parents, counted on paper."""
    tables = tables_of(*dogs_and_trees())
    said = values(family_evidence.hierarchy_evidence(tables, tables))
    assert said["child_seen_as_parent"] == pytest.approx(7 / 8)
    assert said["hierarchy_absorption"] == said["hierarchy_false_alarm"] == 3 / 8 - 1 / 4
    assert said["hierarchy_silence"] == said["companion_silence"] == 4 / 8 - 1 / 4
    # A parent's row weighs 2, a child's 1: 2 + 8 true positives, 6 missed.
    assert said["parent_latent_f1"] == pytest.approx(20 / 26)
    assert "left_out_families" not in said


def test_a_letter_that_is_not_judged_is_told(source: ModelSource, prepared: Prepared) -> None:
    """A letter whose probe is unusable has its scores declared missing, under its name."""
    letter = int(np.flatnonzero(prepared.arrays["usable"])[0])
    usable = prepared.arrays["usable"].copy()
    usable[letter] = False
    less = replace(prepared, arrays={**prepared.arrays, "usable": usable})
    own = [
        one
        for one in TASK.score(silent(source.widths.d_in), less, source, 0)
        if one.part == LETTERS[letter] and one.metric != "probe_f1"
    ]
    assert {"lost_rate", "main_latent_f1"} < {one.metric for one in own}
    assert all(isinstance(one, Missing) and "too poor" in one.reason for one in own)


def test_letters_dropped_later_are_not_called_usable(
    source: ModelSource, prepared: Prepared
) -> None:
    """A good probe that says no to all of its letter's test words leaves nothing to judge by."""
    arrays = prepared.arrays
    letter = int(np.flatnonzero(arrays["usable"])[0])
    says_yes = arrays["says_yes"].copy()
    says_yes[(arrays["letter"] == letter) & (arrays["split"] == 2), letter] = False
    less = replace(prepared, arrays={**arrays, "says_yes": says_yes})
    sae = silent(source.widths.d_in)
    before, after = (list(TASK.score(sae, each, source, 0)) for each in (prepared, less))
    present = len(np.unique(arrays["letter"][arrays["split"] == 2]))  # of test words
    scored = int(arrays["usable"].sum())
    assert values(before)["usable_letters"] == pytest.approx(scored / present)
    assert values(after)["usable_letters"] == pytest.approx((scored - 1) / present)
    (rate,) = [one for one in after if one.metric == "lost_rate" and one.part is None]
    assert isinstance(rate, Evidence)
    assert len(rate.units.table) == scored - 1
    own = [one for one in after if one.metric == "lost_rate" and one.part == LETTERS[letter]]
    assert all(isinstance(one, Missing) and "recognises none" in one.reason for one in own)
    task = replace(TASK, min_letters=scored)
    assert "lost_rate" in {
        one.metric
        for one in task.score(sae, less, source, 0)
        if isinstance(one, Missing) and one.part is None
    }


@pytest.mark.parametrize("split", [0, 1])
@pytest.mark.parametrize("words", [[3], [4, 5]])
def test_a_family_that_is_not_met_is_left_out(split: int, words: list[int]) -> None:
    """Without its parent or its children in either split, only the other family is judged."""
    found, active = dogs_and_trees()
    kept = ~(np.isin(found.word, words) & (found.counts == bool(split)))
    some = Occurrences(found.families, found.x[kept], found.word[kept], found.counts[kept])
    tables = tables_of(some, csc_matrix(active[np.flatnonzero(kept)]))
    said = values(family_evidence.hierarchy_evidence(tables, tables))
    assert tables.left_out == {"dog": False, "tree": True}
    assert said["left_out_families"] == 1 / 2
    assert said["hierarchy_silence"] == 4 / 4 - 1 / 2
    assert said["parent_latent_f1"] == pytest.approx(4 / 10)


def test_without_any_family_the_reason_is_given() -> None:
    """Where no family can be judged its metrics are missing, and say what to raise."""
    found, active = dogs_and_trees()
    none = Occurrences(found.families, found.x, found.word, np.ones(24, bool))
    tables = tables_of(none, active)
    scores = list(family_evidence.hierarchy_evidence(tables, tables))
    sae = lookup(none.x, active.toarray(), np.ones((2, 2)))
    children = kept_parents(sae, csr_matrix(active), none, discriminants(none))
    scores.append(family_evidence.kept_parents_evidence(children))
    missing = [one for one in scores if isinstance(one, Missing)]
    assert values(scores) == {"left_out_families": 1}
    assert len(missing) == 7
    assert all("Raise absorption.documents" in one.reason for one in missing)


class Doubled(Lookup):
    """An SAE whose reconstructions are twice acts times W_dec, and a bias."""

    def decode(self, acts: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Twice."""
        return 2 * super().decode(acts, x) + 1


def test_contributions_are_in_the_units_of_the_reconstruction() -> None:
    """Acts count as often as the SAE itself counts them, and a bias does not."""
    x, acts = np.eye(3, 2, dtype=np.float32), np.array([[1.0, 0], [2, 3], [0, 0]])
    plain = lookup(x, acts, np.array([[1, 2], [3, 4]]))
    for sae, times in ((plain, 1), (Doubled(plain.known, plain.W_dec), 2)):
        assert acts_of(sae, x).toarray() == pytest.approx(acts)
        assert contributions(sae, x).toarray() == pytest.approx(times * acts)


class Echo(ModelSource):
    """A source whose activations are the ids of the tokens."""

    def batches(
        self, rows: TokenRows, positions: Int[np.ndarray, " texts"] | None = None
    ) -> Iterator[Batch]:
        """The same batches, of ids."""
        for batch in super().batches(rows, positions):
            ids = torch.from_numpy(rows.ids[batch.rows].astype(np.float32))[..., None]
            yield replace(batch, x=ids, y=ids)


def test_occurrences_are_read_where_their_words_stand(source: ModelSource) -> None:
    """Each row holds the activation of its own word's token, however many a document has."""
    assert source.model.tokenizer is not None
    echo = Echo(source.model, source.sites, source.store, source.batch_tokens)
    found = read_occurrences(echo, "hierarchy", 0, 100)
    ids = np.array(source.model.tokenizer.convert_tokens_to_ids(list(found.words)))
    there = found.word >= 0
    assert (found.x[there, 0] == ids[found.word[there]]).all()
    assert not np.isin(found.x[~there, 0], ids).any()
    assert (np.bincount(found.word[there & found.counts]) <= PER_WORD).all()


def test_the_seed_draws_words_prompts_and_sentences(source: ModelSource) -> None:
    """Equal seeds prepare the same, other seeds other words, splits and activations."""
    task = Absorption(words_per_letter=6, documents=100)
    first, again, other = (task.prepare(source, seed) for seed in (8, 8, 1))
    for name, array in first.arrays.items():
        assert np.array_equal(array, again.arrays[name]), name
    for name in ("x", "hierarchy_x", "association_x"):
        assert not np.array_equal(first.arrays[name], other.arrays[name])
    assert first.tables["words"]["text"].tolist() != other.tables["words"]["text"].tolist()
    # No sentence of a hammer or its kinds was drawn with seed 8 to choose latents by.
    found = scored(know_all(first, 0), first, source, task)
    assert found["left_out_families"] == pytest.approx(1 / 36)
    assert found["hierarchy_silence"] == 0
    assert found["parent_latent_f1"] > 0.99


def test_saes_are_compared_word_by_word(source: ModelSource, prepared: Prepared) -> None:
    """Units do not depend on the SAE, so that any two can be paired."""
    saes = speller(prepared, absorbing=True), speller(prepared, absorbing=False)
    first, second = (list(TASK.score(sae, prepared, source, 0)) for sae in saes)
    paired = {"full_absorption_rate", "main_latent_f1", "lost_rate", "hierarchy_absorption"}
    met = set()
    for a, b in zip(first, second, strict=True):
        if a.metric in paired and a.part in (None, "B"):
            assert isinstance(a, Evidence)
            assert isinstance(b, Evidence)
            assert compare(a, b, replicates=20).n == len(a.units.rows(a.part))
            met.add(a.metric)
    assert met == paired


def test_a_model_that_does_not_spell_is_not_scored(source: ModelSource, prepared: Prepared) -> None:
    """Too few usable letters: letters' metrics say so, probes are reported all the same."""
    task = replace(TASK, min_letters=26)
    found = list(task.score(speller(prepared, absorbing=True), prepared, source, 0))
    missing = {one.metric: one.reason for one in found if isinstance(one, Missing)}
    assert set(missing) == {
        "kept_letter_f1",
        "mean_absorption_fraction",
        "full_absorption_rate",
        "lost_rate",
        "split_latents",
        "main_latent_f1",
    }
    assert "but 26 must" in missing["full_absorption_rate"]
    assert {"probe_f1", "usable_letters", "scored_words"} <= set(values(found))


def test_too_few_words_are_not_scored(source: ModelSource) -> None:
    """Where letters have too few words for a probe, the reason says what to raise."""
    task = replace(TASK, limit=40)
    found = task.score(silent(source.widths.d_in), task.prepare(source, 0), source, 0)
    reasons = {one.reason for one in found if isinstance(one, Missing)}
    assert len(reasons) == 1
    assert "Raise --limit" in reasons.pop()


def test_cut_words_are_counted_where_none_is_left(source: ModelSource) -> None:
    """A template within which no word stays one token is named, with the number it cuts."""
    task = replace(TASK, words_per_letter=2, documents=100, template="<{word} {letter}")
    found = list(task.score(silent(source.widths.d_in), task.prepare(source, 0), source, 0))
    reasons = {one.reason for one in found if isinstance(one, Missing)}
    assert values(found)["cut_words"] == 1
    assert len(reasons) == 1
    assert "cuts 51 of 51 words otherwise within the template '<{word}" in reasons.pop()


def test_a_model_that_is_not_the_labs_hears_nothing_of_its_hierarchy(tmp_path: Path) -> None:
    """The very same model under another name has scores of letters, and none is missing."""
    stranger = shutil.copytree(lab.path("world/model"), tmp_path / "stranger")
    source = model_source(load_model(str(stranger)), "layers.1", store=Store(tmp_path / "store"))
    task = replace(TASK, words_per_letter=20, min_letters=2, template=" {word} {letter}")
    found = list(task.score(silent(source.widths.d_in), task.prepare(source, 0), source, 0))
    names = {one.metric for one in found}
    assert "lost_rate" in names
    assert not {name for name in names if name.startswith(("hierarchy", "companion", "parent"))}
    assert all(one.part for one in found if isinstance(one, Missing))


def test_where_it_does_not_apply(tmp_path: Path) -> None:
    """Stored activations, a transcoder's sites, a tokenizer without words: nothing to say."""
    with pytest.raises(NotApplicable, match="stored activations"):
        TASK.prepare(array_source(np.ones((4, 3), np.float32)), 0)
    with pytest.raises(NotApplicable, match="no alphabetic tokens"):
        TASK.prepare(tiny_source(tmp_path), 0)
    with pytest.raises(NotApplicable, match="write at"):
        TASK.prepare(tiny_source(tmp_path, site="layers.1.mlp:in", write_site="layers.1.mlp"), 0)


@pytest.mark.parametrize(
    "fields",
    [
        {"template": "no word"},
        {"template": "{letter} {word}"},
        {"compat": "other"},
        {"words_per_letter": 0},
        {"documents": 99},
        {"min_probe_f1": 2.0},
    ],
)
def test_wrong_configuration_is_refused(fields: dict[str, str | int | float]) -> None:
    """What no run could use is refused at the door."""
    with pytest.raises(UsageError, match=r"absorption\."):
        Absorption(**fields)  # type: ignore[arg-type]


def test_page_names_every_score_and_its_direction(source: ModelSource, prepared: Prepared) -> None:
    """docs/tasks/absorption.md has a row for each metric, and agrees on which way is better."""
    sae = speller(prepared, absorbing=True)
    yielded = {one.metric: one.better for one in TASK.score(sae, prepared, source, 0)}
    rows = [[row[0].strip("`"), *row[1:]] for row in pages.rows("absorption.md")]
    said = {row[0]: row[2].replace("neither", "none") for row in rows if len(row) > 2}
    assert said == yielded | {"cut_words": "none", "left_out_families": "none"}
    own = [*(metric.name for metric in saebench.MEANS.values()), "saebench_probe_f1"]
    own += ["saebench_letters_above_min_f1", "saebench_sae_k1_f1"]
    assert sorted(row[0] for row in rows if len(row) == 2) == sorted(own)
