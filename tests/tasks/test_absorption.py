"""`absorption` finds planted absorption at its rate, and none where none was planted."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from saeval_tasks.absorption import Absorption, pairs, saebench
from saeval_tasks.absorption.letters import absorption_fraction
from saeval_tasks.absorption.words import LETTERS
from torch import Tensor

from saeval import lab
from saeval.activations import ModelSource, Store, array_source, model_source
from saeval.architectures.random import random_topk
from saeval.errors import NotApplicable, UsageError
from saeval.evidence import Evidence, Missing, compare
from saeval.models import load_model
from saeval.sae import SAE
from saeval.task import Prepared

sys.path.insert(0, str(Path(__file__).parent))
from core_oracles import tiny_models, tiny_source, values

TASK = Absorption(words_per_letter=50, documents=150)
EVERY = 3
"""One word of so many is absorbed."""


@dataclass(frozen=True, eq=False)
class Lookup:
    """An SAE that says of known vectors what it was told, and nothing of others."""

    known: Mapping[bytes, np.ndarray]
    W_dec: Float[Tensor, "d_sae d_in"]

    @property
    def d_in(self) -> int:
        """Width of the vectors."""
        return self.W_dec.shape[1]

    @property
    def d_sae(self) -> int:
        """Number of latents."""
        return self.W_dec.shape[0]

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_sae"]:
        """What it was told."""
        nothing = np.zeros(self.d_sae, np.float32)
        return torch.from_numpy(
            np.stack([self.known.get(row.tobytes(), nothing) for row in x.numpy()])
        )

    def decode(
        self, acts: Float[Tensor, "tokens d_sae"], x: Float[Tensor, "tokens d_in"]
    ) -> Float[Tensor, "tokens d_in"]:
        """Acts times W_dec."""
        return acts @ self.W_dec


def lookup(x: np.ndarray, acts: np.ndarray, directions: np.ndarray) -> Lookup:
    """An SAE that gives these acts for these vectors."""
    known = {row.tobytes(): act.astype(np.float32) for row, act in zip(x, acts, strict=True)}
    return Lookup(known, torch.from_numpy(directions.astype(np.float32)))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    """The lab's model, read where its SAEs read."""
    model = load_model(str(lab.path("world/model")))
    return model_source(model, "layers.1", store=Store(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def prepared(source: ModelSource) -> Prepared:
    """What the task prepares on the lab."""
    return TASK.prepare(source, 0)


def scored(
    sae: SAE, prepared: Prepared, source: ModelSource, task: Absorption = TASK
) -> dict[str, float]:
    """Metric -> value over everything."""
    return values(one for one in task.score(sae, prepared, source, 0) if one.part is None)


def scores_of(task: Absorption, source: ModelSource) -> list[Evidence | Missing]:
    """All that a task yields for an SAE that never says anything."""
    sae = lookup(np.ones((1, source.d_in), np.float32), np.zeros((1, 3)), np.ones((3, source.d_in)))
    return list(task.score(sae, task.prepare(source, 0), source, 0))


def speller(prepared: Prepared, *, absorbing: bool, covering: bool = True) -> Lookup:
    """A latent for each letter; some words silence it, and have a latent of their own instead.

    Args:
        prepared: What the task prepared.
        absorbing: Whether they silence it.
        covering: Whether their own latents hold the letter's direction.
    """
    x, letter, direction = (prepared.arrays[name] for name in ("x", "letter", "direction"))
    own = np.arange(len(x)) % EVERY == 0
    along = np.stack(
        [
            (x[i] - x[(letter != letter[i]) & (prepared.arrays["split"] == 0)].mean(0))
            @ direction[letter[i]]
            for i in range(len(x))
        ]
    )
    height = np.maximum(along, 1)
    acts = np.zeros((len(x), len(LETTERS) + len(x)), np.float32)
    acts[np.arange(len(x)), letter] = np.where(own & absorbing, 0, height)
    acts[own, len(LETTERS) + np.flatnonzero(own)] = height[own]
    words = direction[letter] if covering else np.zeros_like(x)
    if not absorbing:  # then a word's latent holds what is its own, and nothing of the letter
        words = np.zeros_like(x)
    return lookup(x, acts, np.concatenate([direction, words]))


def planted_share(prepared: Prepared) -> float:
    """Mean over letters of the share of scored words that were planted as absorbed."""
    arrays = prepared.arrays
    own = np.arange(len(arrays["x"])) % EVERY == 0
    says_yes = arrays["says_yes"][np.arange(len(own)), arrays["letter"]]
    shares = [
        own[(arrays["letter"] == letter) & (arrays["split"] == 2) & says_yes].mean()
        for letter in np.flatnonzero(arrays["usable"])
    ]
    return float(np.mean(shares))


def test_planted_absorption_is_found_at_its_rate(source: ModelSource, prepared: Prepared) -> None:
    """Words with a latent of their own that takes the letter over are absorbed, and no others."""
    found = scored(speller(prepared, absorbing=True), prepared, source)
    planted = planted_share(prepared)
    assert 0.2 < planted < 0.5
    assert found["full_absorption_rate"] == pytest.approx(planted)
    assert found["mean_absorption_fraction"] == pytest.approx(planted)
    assert found["lost_rate"] == 0
    assert found["split_latents"] == 1


def test_no_absorption_where_none_was_planted(source: ModelSource, prepared: Prepared) -> None:
    """A latent for each letter, active on all its words, scores 0 and F1 1."""
    found = scored(speller(prepared, absorbing=False), prepared, source)
    names = ("full_absorption_rate", "mean_absorption_fraction", "lost_rate")
    assert [found[name] for name in names] == [0, 0, 0]
    assert found["main_latent_f1"] == 1


def test_silence_that_nobody_fills_is_no_absorption(
    source: ModelSource, prepared: Prepared
) -> None:
    """Words whose own latent holds nothing of the letter are lost, not absorbed."""
    found = scored(speller(prepared, absorbing=True, covering=False), prepared, source)
    assert found["full_absorption_rate"] == 0
    assert found["mean_absorption_fraction"] == 0
    assert found["lost_rate"] == pytest.approx(planted_share(prepared))


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
    main = next(one for one in every if one.metric == "main_latent_f1" and one.part is None)
    assert isinstance(main, Evidence)
    assert main.floor is not None
    assert values([main])["main_latent_f1"] < main.floor + 0.05
    assert values(one for one in every if one.part is None)["full_absorption_rate"] < 0.05


def test_a_random_sae_loses_words_and_absorbs_none(source: ModelSource, prepared: Prepared) -> None:
    """Its low absorption comes with many lost words, so it is not taken for a good SAE."""
    sae = random_topk(torch.from_numpy(prepared.arrays["x"].mean(0)), 512, 8, 0)
    found = scored(sae, prepared, source)
    assert found["full_absorption_rate"] < 0.05
    assert found["lost_rate"] > 0.4
    assert found["main_latent_f1"] < 0.5


def test_a_silent_sae_loses_everything(source: ModelSource, prepared: Prepared) -> None:
    """Latents that are never active absorb nothing, find nothing and lose every word."""
    sae = lookup(np.ones((1, source.d_in), np.float32), np.zeros((1, 3)), np.ones((3, source.d_in)))
    found = scored(sae, prepared, source)
    assert found["full_absorption_rate"] == 0
    assert found["lost_rate"] == 1
    assert found["main_latent_f1"] == 0
    assert found["parent_latent_f1"] == 0


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


def know_all(prepared: Prepared, silenced: int, genres: tuple[str, ...] = pairs.GENRES) -> Lookup:
    """An SAE with a latent for each word, and for true parents one that also knows their children.

    Args:
        prepared: What the task prepared.
        silenced: Children of each family that silence their parent's latent.
        genres: Genres whose words have latents.
    """
    x = np.concatenate([prepared.arrays[f"{genre}_x"] for genre in genres])
    parts = []
    for genre in genres:
        word = prepared.arrays[f"{genre}_word"]
        families = pairs.families(genre)
        place = [i for i, one in enumerate(families) for _ in (one.parent, *one.children)]
        rank = [i for one in families for i in range(1 + len(one.children))]
        acts = np.zeros((len(word), len(place) + len(families)), np.float32)
        there = np.flatnonzero(word >= 0)
        acts[there, word[there]] = 1
        knows = np.array([r == 0 or r > silenced for r in rank])[word[there]]
        if genre == "hierarchy":
            kept = there[knows]
            acts[kept, len(place) + np.array(place)[word[kept]]] = 1
        parts.append(acts)
    widths = [part.shape[1] for part in parts]
    acts = np.zeros((len(x), sum(widths)), np.float32)
    rows = columns = 0
    for part in parts:
        acts[rows : rows + len(part), columns : columns + part.shape[1]] = part
        rows, columns = rows + len(part), columns + part.shape[1]
    return lookup(x, acts, np.ones((acts.shape[1], x.shape[1])))


@pytest.mark.parametrize("silenced", [0, 1, 4])
def test_planted_absorption_in_the_hierarchy(
    source: ModelSource, prepared: Prepared, silenced: int
) -> None:
    """Children that silence their parent's latent are found; matched pairs raise no alarm."""
    found = scored(know_all(prepared, silenced), prepared, source)
    seen = found["child_seen_as_parent"]
    assert seen > 0.85
    assert found["hierarchy_absorption"] == pytest.approx(seen * silenced / 4, abs=0.05)
    assert (found["hierarchy_absorption"] == 0) == (silenced == 0)
    assert abs(found["hierarchy_false_alarm"]) < 0.1
    assert found["parent_latent_f1"] == pytest.approx(
        {0: 1.0, 1: 2 * 0.875 / 1.875, 4: 2 * 0.5 / 1.5}[silenced], abs=0.05
    )


def test_the_seed_draws_words_prompts_and_sentences(source: ModelSource) -> None:
    """Equal seeds prepare the same, other seeds other words, splits and activations."""
    task = Absorption(words_per_letter=6, documents=20)
    first, again, other = (task.prepare(source, seed) for seed in (0, 0, 1))
    for name, array in first.arrays.items():
        assert np.array_equal(array, again.arrays[name]), name
    for name in ("x", "hierarchy_x", "association_x"):
        assert not np.array_equal(first.arrays[name], other.arrays[name])
    assert first.tables["words"]["text"].tolist() != other.tables["words"]["text"].tolist()


def test_saes_are_compared_word_by_word(source: ModelSource, prepared: Prepared) -> None:
    """Units do not depend on the SAE, so that any two can be paired."""
    saes = speller(prepared, absorbing=True), speller(prepared, absorbing=False)
    first, second = (list(TASK.score(sae, prepared, source, 0)) for sae in saes)
    paired = {"full_absorption_rate", "main_latent_f1", "lost_rate", "hierarchy_absorption"}
    for a, b in zip(first, second, strict=True):
        if a.metric in paired and a.part in (None, "B"):
            assert isinstance(a, Evidence)
            assert isinstance(b, Evidence)
            assert compare(a, b, replicates=20).n == len(a.units.rows(a.part))


def test_a_model_that_does_not_spell_is_not_scored(source: ModelSource, prepared: Prepared) -> None:
    """Too few usable letters: letters' metrics say so, probes are reported all the same."""
    task = replace(TASK, min_letters=26)
    found = list(task.score(speller(prepared, absorbing=True), prepared, source, 0))
    missing = {one.metric: one.reason for one in found if isinstance(one, Missing)}
    assert set(missing) == {
        "mean_absorption_fraction",
        "full_absorption_rate",
        "lost_rate",
        "split_latents",
        "main_latent_f1",
    }
    assert "but 26 must" in missing["full_absorption_rate"]
    few = replace(TASK, limit=40)
    reasons = [one.reason for one in scores_of(few, source) if isinstance(one, Missing)]
    assert "Raise --limit" in reasons[0]
    assert {"probe_f1", "usable_letters", "scored_words"} <= set(values(found))


def test_where_it_does_not_apply(tmp_path: Path) -> None:
    """Stored activations, a transcoder's sites, a tokenizer without words: nothing to say."""
    with pytest.raises(NotApplicable, match="stored activations"):
        TASK.prepare(array_source(np.ones((4, 3), np.float32)), 0)
    with pytest.raises(NotApplicable, match="no alphabetic tokens"):
        TASK.prepare(tiny_source(tmp_path), 0)
    with pytest.raises(NotApplicable, match="write at"):
        TASK.prepare(tiny_source(tmp_path, site="layers.1.mlp:in", write_site="layers.1.mlp"), 0)
    assert tiny_models.WORDS


@pytest.mark.parametrize(
    "fields",
    [
        {"template": "no word"},
        {"template": "{letter} {word}"},
        {"compat": "other"},
        {"words_per_letter": 0},
        {"min_probe_f1": 2.0},
    ],
)
def test_wrong_configuration_is_refused(fields: dict[str, str | int | float]) -> None:
    """What no run could use is refused at the door."""
    with pytest.raises(UsageError, match=r"absorption\."):
        Absorption(**fields)  # type: ignore[arg-type]


PAGE = Path(__file__).parents[2] / "docs" / "tasks" / "absorption.md"


def test_page_names_every_score_and_its_direction(source: ModelSource, prepared: Prepared) -> None:
    """docs/tasks/absorption.md has a row for each metric, and agrees on which way is better."""
    sae = speller(prepared, absorbing=True)
    yielded = {one.metric: one.better for one in TASK.score(sae, prepared, source, 0)}
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line[:3] == "| `"]
    rows = [[cell.strip(" `") for cell in line.strip("|").split(" | ")] for line in lines]
    said = {row[0]: row[2].replace("neither", "none") for row in rows if len(row) > 2}
    assert said == yielded | {"cut_words": "none"}
    own = [*(name for name, _, _ in saebench.MEANS.values()), "saebench_probe_f1"]
    own += ["saebench_letters_above_min_f1", "saebench_sae_k1_f1"]
    assert sorted(row[0] for row in rows if len(row) == 2) == sorted(own)
