"""The town's documents: their labels are true, no word gives them away, and nothing leaks."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from grammar_checks import ambiguous_forms
from sklearn.metrics import mutual_info_score

from saeval import lab
from saeval.lab import build, parts
from saeval.lab.text_worlds import TEXT_WORLDS, text_world, world_read_by
from saeval.lab.town import TOWN, templates, words
from saeval.lab.town.problems import NEVER_LEARNED, problems
from saeval.lab.world import World, measure, part
from saeval.lab.world import words as first_words
from saeval.lab.world.biases import Biases
from saeval.lab.world.grammar import SPLITS, Genre, Rule, Variable
from saeval.lab.world.model import ModelShape, new_model
from saeval.lab.world.problems import draw_problem_sets
from saeval.lab.world.stream import loss_weights, token_rows
from saeval.lab.zoo.members import town_members
from saeval.registry import lab_manifest

WORLD = text_world("town")
OWN = WORLD.genres[12:]
"""Genres that the first world lacks."""
PROBLEMS = problems(WORLD.truth)
WORD_NUMBER = {word: i for i, word in enumerate(words.NUMBERS, start=1)}


def _group_of(groups: Mapping[str, tuple[str, ...]], text: list[str]) -> str:
    """The only group that has a word of the text."""
    (found,) = {name for name, members in groups.items() if set(members) & set(text)}
    return found


def test_it_has_all_that_the_first_world_has() -> None:
    """The genres and probing sets of the first world, and its kinds of concept."""
    first = World()
    assert [g.name for g in WORLD.genres[:12]] == [g.name for g in first.genres]
    assert {c.kind for c in first.concepts} <= {c.kind for c in WORLD.concepts}
    assert set(TOWN.mix) == {g.name for g in WORLD.genres}
    assert 2000 <= len(WORLD.vocabulary.tokens) <= 3000


@pytest.mark.parametrize("genre", OWN, ids=[g.name for g in OWN])
def test_the_grammar_is_unambiguous(genre: Genre) -> None:
    """No two templates of a group can make the same sentence, so log-probabilities are exact."""
    assert ambiguous_forms(genre) == []


@pytest.mark.parametrize("genre", OWN, ids=[g.name for g in OWN])
def test_equal_texts_have_equal_variables(genre: Genre) -> None:
    """A text settles all variables that count in its probability: they are not summed over.

    The words of each slot that a variable decides tell its values apart.
    """
    for draw in genre.draws:
        variable = next((v for v in genre.variables if v.name == getattr(draw, "by", None)), None)
        if variable is None or not isinstance(variable, Variable):
            continue
        support = [
            {
                tuple(row)
                for seed in range(3)
                for row in draw.sample(
                    np.random.default_rng(seed), {variable.name: np.full(60, i)}, 60
                ).ids.tolist()
            }
            for i in range(len(variable.values))
        ]
        for i, one in enumerate(support):
            for other in support[:i]:
                assert not one & other


@pytest.mark.parametrize("genre", [g.name for g in OWN])
def test_splits_share_no_sentence(genre: str) -> None:
    """No sentence of a split occurs in another."""
    seen = {
        split: {
            s
            for d in WORLD.documents(80, seed=k, split=split, genre=genre)
            for s in d.text.split(" .")
            if s.strip()
        }
        for k, split in enumerate(SPLITS)
    }
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["valid"]
    assert not seen["valid"] & seen["test"]


def test_log_probability_of_a_deal_is_exact() -> None:
    """A plain referee finds the same probability as the grammar."""
    n = len(first_words.PROFESSIONS)
    head = -np.log(n * (n - 1) * len(templates.DEAL.fixed[0]) * len(words.THINGS))
    tail = -np.log(len(templates.DEAL.body) * 300)
    for d in WORLD.documents(40, seed=0, genre="deal"):
        when = 7 if d.text.startswith("on") else 12
        assert d.log_p == pytest.approx(head - np.log(when) + tail, abs=1e-9)


def test_log_probability_of_a_biased_review_is_exact() -> None:
    """The sum over ratings weighs each by its probability in the document's category."""
    world = World(biases=Biases(rating=0.6))
    strength = {w: i for i, group in enumerate(first_words.OPINIONS) for w in group}
    decay = np.exp(-1.2 * abs(np.subtract.outer(np.arange(5), np.arange(5))))
    plain, biased = (
        w.documents(100, seed=0, genre="review", fixed={"rating": "2"}) for w in (World(), world)
    )
    for i in range(100):
        assert plain.text(i) == biased.text(i)
        seen = [strength[w] for w in plain.text(i).split() if w in strength]
        likelihood = np.prod([decay[:, s] / decay.sum(1) for s in seen], axis=0)
        even = [*first_words.CATEGORIES].index(plain[i].labels["category"]) % 2 == 0
        lean = 0.6 if even else -0.6
        prior = (1 + lean * np.array([1, 1, 0, -1, -1])) / 5
        ratio = np.log(prior @ likelihood) - np.log(np.full(5, 0.2) @ likelihood)
        assert biased.log_p[i] - plain.log_p[i] == pytest.approx(ratio, abs=1e-9)


Referee = Callable[[list[str]], dict[str, str]]
REFEREES: dict[str, Referee] = {}
"""For each genre: labels read from the text by plain matching."""


def _referee(genre: str) -> Callable[[Referee], Referee]:
    """Enter a function as the reader of a genre."""

    def keep(read: Referee) -> Referee:
        REFEREES[genre] = read
        return read

    return keep


@_referee("market")
def _market(own: list[str]) -> dict[str, str]:
    rise = _group_of(words.TRENDS, own) == "rise"
    glad = _group_of(words.MOODS, own) == "glad"
    fine = _group_of(words.SKIES, own) == "fine"
    said: dict[str, bool] = {
        "rise_xor_glad": rise ^ glad, "rise_xor_fine": rise ^ fine, "glad_xor_fine": glad ^ fine,
        "odd_number_of_three": rise ^ glad ^ fine, "rise_and_glad": rise and glad,
        "rise_and_sad": rise and not glad, "fall_or_glad": not rise or glad,
        "sad_or_foul": not (glad and fine), "not_rise_and_fine": not (rise and fine),
        "all_three": rise and glad and fine, "none_of_three": not (rise or glad or fine),
        "two_of_three": rise + glad + fine >= 2, "just_one_of_three": rise + glad + fine == 1,
        "fine_if_rise_else_glad": fine if rise else glad,
    }  # fmt: skip
    cue = own[own.index("so") + 4]
    answered: dict[str, str] = {
        "trade": "rise_xor_glad", "stall": "rise_xor_fine", "square": "glad_xor_fine",
        "fair": "odd_number_of_three",
    }  # fmt: skip
    assert own[-2] in words.ANSWERS[cue][said[answered[cue]]]
    return {name: "yes" if value else "no" for name, value in said.items()}


@_referee("deal")
def _deal(own: list[str]) -> dict[str, str]:
    text = " ".join(own).partition(" so ")[0]
    forms = (
        r"the (?P<giver>\w+) gave the \w+ to the (?P<taker>\w+)",
        r"the (?P<taker>\w+) got the \w+ from the (?P<giver>\w+)",
        r"went from the (?P<giver>\w+) to the (?P<taker>\w+)",
        r"the (?P<taker>\w+) was handed the \w+ by the (?P<giver>\w+)",
    )
    (found,) = [m.groupdict() for form in forms if (m := re.search(form, text))]
    assert own[-2] == found["taker" if "owner" in own else "giver"]
    roles = dict.fromkeys(first_words.PROFESSIONS, "neither")
    roles |= {found["giver"]: "giver", found["taker"]: "taker"}
    return found | {f"role_{job}": role for job, role in roles.items()}


@_referee("deed")
def _deed(own: list[str]) -> dict[str, str]:
    gender: dict[str, str] = dict.fromkeys(first_words.WOMEN, "female")
    gender |= dict.fromkeys(first_words.MEN, "male")
    people = [w for w in own if w in gender]
    agent, patient = people[::-1] if "was" in own else people
    kind = _group_of(words.DEEDS, own)
    a, b = gender[agent], gender[patient]
    woman = "neither" if a == b else f"{'woman' if a == 'female' else 'man'} acts"
    odd = (kind == "kind") != (a == "female")
    return {
        "agent_gender": a, "patient_gender": b, "deed": kind, "woman_and_man": woman,
        "same_gender": "yes" if a == b else "no", "kind_xor_woman": "yes" if odd else "no",
    }  # fmt: skip


@_referee("match")
def _match(own: list[str]) -> dict[str, str]:
    hosts, guests = (
        next(WORD_NUMBER[w] for w in own[own.index(side) :] if w in WORD_NUMBER)
        for side in ("hosts", "guests")
    )
    winner = "neither" if hosts == guests else "hosts" if hosts > guests else "guests"
    assert own[-2] == winner
    return {
        "winner": winner, "close": "yes" if abs(hosts - guests) <= 1 else "no",
        "many_goals": "yes" if hosts + guests >= 14 else "no",
        "one_high": "yes" if (hosts >= 7) != (guests >= 7) else "no",
    }  # fmt: skip


@_referee("order")
def _order(own: list[str]) -> dict[str, str]:
    events = {e: t for t, p in first_words.TOPICS.items() for e in p[3].split()}
    found = [events[w] for w in own if w in events]
    head = own[: own.index("so")]
    swapped = ("after" in head) == ("came" in head)
    early, late = found[::-1] if swapped else found
    assert own[-2] == early
    return {"early": early, "late": late, f"role_{early}": "early", f"role_{late}": "late"}


@_referee("liking")
def _liking(own: list[str]) -> dict[str, str]:
    kinds = {w: kind for kind, members in words.PASTIMES.items() for w in members}
    liked = disliked = ""
    text = " ".join(own).partition(" so ")[0]
    pairs = re.findall(r"(took|gave|take|give) up (\w+)", text)
    for verb, pastime in pairs:
        if verb in ("took", "give"):
            liked = kinds[pastime]
        else:
            disliked = kinds[pastime]
    return {"liked": liked, "disliked": disliked}


@_referee("roll")
def _roll(own: list[str]) -> dict[str, str]:
    women = sum(w in first_words.WOMEN for w in own)
    assert own[-2] in words.ANSWERS["crowd"][women < 3]
    return {
        "crowd": "female" if women >= 3 else "male",
        "one_odd": "yes" if women in (1, 4) else "no",
    }


@_referee("crate")
def _crate(own: list[str]) -> dict[str, str]:
    root = {n.leaf: n.root for n in WORLD.truth.hierarchy}
    found = [root[w] for w in own if w in root]
    assert len(found) == 4
    return {
        "two_alike": "yes" if len(set(found)) < 4 else "no",
        **{f"holds_{r}": "yes" if r in found else "no" for r in set(root.values())},
        "holds_animal_xor_plant": "yes" if ("animal" in found) != ("plant" in found) else "no",
    }


@_referee("watch")
def _watch(own: list[str]) -> dict[str, str]:
    one, two = (words.SIGNS.index(w) for w in own if w in words.SIGNS)
    partners = one // 2 == two // 2
    peril = [*words.PERIL_RATES][one // 2] if partners else "none"
    assert own[-2] in words.PERILS[peril]
    return {"peril": peril}


@_referee("visit")
def _visit(own: list[str]) -> dict[str, str]:
    (shop,) = [s for s in WORLD.truth.shops if s.name in own]
    assert set(own) & set(shop.attributes.values())
    return {f"shop_{name}": value for name, value in shop.attributes.items()}


@pytest.mark.parametrize("genre", sorted(REFEREES))
def test_labels_are_true(genre: str) -> None:
    """What labels and closing words say is what a reader of the text alone works out."""
    for d in WORLD.documents(150, seed=4, genre=genre):
        expected = REFEREES[genre](d.text.split())
        assert {name: d.labels[name] for name in expected} == expected


@pytest.mark.parametrize("kind", templates.CLAIMS)
def test_claims_follow_or_not(kind: str) -> None:
    """Half of all second statements follow from the first, by the truth of the world."""
    truth = WORLD.truth
    above = {n.leaf: {n.middle, n.root} for n in truth.hierarchy}
    above |= {n.middle: {str(n.crown)} for n in truth.hierarchy}
    above |= {c.name: {c.country, c.continent, c.speech} for c in truth.cities}
    above |= {s.name: set(s.attributes.values()) for s in truth.shops}
    above |= {job: set(text[1].split()) for job, text in first_words.PROFESSIONS.items()}
    made = WORLD.documents(200, seed=0, genre=f"claim_{kind}")
    for d in made:
        own = d.text.split()
        (subject,) = [w for w in own[: own.index("hence")] if w in above]
        follows = own[own.index("hence") + 1 : own.index("so") - 1][-1] in above[subject]
        assert d.labels["follows"] == ("yes" if follows else "no")
        assert own[-2] in words.ANSWERS["judged"][not follows]
    assert 0.35 < np.mean([label == "yes" for label in made.label("follows")]) < 0.65


def test_there_are_enough_problems_and_families() -> None:
    """At least 200 yes/no problems in at least 30 families, the same for every seed."""
    sets = WORLD.label_sets(train=2, test=1, seed=0)
    again = WORLD.label_sets(train=2, test=1, seed=7)
    assert [s.name for s in sets] == [s.name for s in again]
    assert len({s.name for s in sets}) == len(sets)
    labels = [len(set(s.test.labels)) for s in sets]
    assert labels == [len(set(s.test.labels)) for s in again]
    assert sum(1 if n == 2 else n for n in labels) >= 200
    assert len({s.family for s in sets}) >= 30
    assert sets[20].train.texts != again[20].train.texts


def test_sets_are_balanced_and_texts_stop_before_the_answer() -> None:
    """Equally many texts a label, all different, and no answer word in any of them."""
    cues = {p.name: p.until for p in PROBLEMS}
    for group in WORLD.label_sets(train=4, test=3)[8:]:
        for half, n in ((group.train, 4), (group.test, 3)):
            assert set(Counter(half.labels).values()) == {n}, group.name
            assert len(set(half.texts)) == len(half.texts)
            if until := cues[group.name]:
                assert all(text.split()[-1] == until for text in half.texts)
        assert not set(group.train.texts) & set(group.test.texts)


def test_every_problem_names_a_label_of_its_genre() -> None:
    """Label, values and the true label exist."""
    for problem in PROBLEMS:
        genre = next(g for g in WORLD.genres if g.name == problem.genre)
        names = {v.name: v.values for v in genre.variables}
        assert set(problem.values) <= set(names[problem.label])
        assert problem.truth is None or names[problem.truth] == names[problem.label]


BOOLEAN = ("exclusive_or", "giver_or_taker", "what_came_first", "liked_or_not", "start_or_goal")


def test_no_word_gives_the_hard_labels_away() -> None:
    """Presence of any one word tells next to nothing of the label, in the families named above."""
    hard = [problem for problem in PROBLEMS if problem.family in BOOLEAN]
    for group in draw_problem_sets(WORLD.documents, hard, train=400, test=1, seed=0):
        y = np.array(group.train.labels)
        own = [set(text.split()) for text in group.train.texts]
        common = [w for w, n in Counter(w for s in own for w in s).items() if n >= 40]
        told = max(mutual_info_score([w in s for s in own], y) for w in common)
        assert told < 0.03, group.name  # of log 2 = .69 nats


def test_rare_labels_are_as_rare_as_they_should_be() -> None:
    """Prevalence of rare pairs and rare callers is at most about 1 %, and as stated."""
    made = WORLD.documents(60_000, seed=0, genre="watch")
    for name, rate in words.PERIL_RATES.items():
        found = np.mean([label == "yes" for label in made.label(f"peril_{name}")])
        assert found == pytest.approx(rate / 6, rel=0.3)
    made = WORLD.documents(60_000, seed=0, genre="caller")
    for name, rate in words.VISITOR_RATES.items():
        found = np.mean([label == "yes" for label in made.label(f"is_{name}")])
        assert found == pytest.approx(rate, rel=0.3)


@pytest.mark.parametrize(
    "genre, name, rate",
    [
        ("dispatch", "topic", 0.1), ("deed", "agent_gender", 0.3), ("market", "price", 0.2),
    ],
)  # fmt: skip
def test_noise_is_as_strong_as_stated(genre: str, name: str, rate: float) -> None:
    """The noisy label differs from the true one in the stated share, and leaves no trace."""
    made = WORLD.documents(8000, seed=0, genre=genre)
    wrong = np.mean(
        [a != b for a, b in zip(made.label(name), made.label(f"noisy_{name}"), strict=True)]
    )
    assert wrong == pytest.approx(rate, abs=0.02)
    asked = [problem for problem in PROBLEMS if problem.name == f"{genre}_noisy_{name}"]
    (group,) = draw_problem_sets(WORLD.documents, asked, train=150, test=4, seed=0)
    assert group.train.truths is not None
    wrong = np.mean(np.array(group.train.truths) != np.array(group.train.labels))
    assert wrong == pytest.approx(rate, abs=0.08)
    assert group.test.truths == group.test.labels


BIASED = [
    ("gender", "biography", "profession", "gender"), ("rating", "review", "category", "rating"),
    ("place", "dispatch", "topic", "land"), ("mood", "market", "price", "mood"),
    ("feeling", "deed", "deed", "patient_gender"),
]  # fmt: skip


@pytest.mark.parametrize("bias, genre, cause, effect", BIASED)
def test_each_bias_ties_its_pair(bias: str, genre: str, cause: str, effect: str) -> None:
    """Without bias the labels are independent, with it they are not; nothing else changes."""

    def told(strength: float) -> float:
        world = World(biases=Biases(**{bias: strength}), material=TOWN)
        made = world.documents(4000, seed=0, genre=genre)
        return mutual_info_score(made.label(cause), made.label(effect))

    assert told(0) < 0.01
    assert 0.05 < told(0.8) < told(1)


def test_trees_have_four_levels_and_many_families() -> None:
    """Leaf, middle, root and crown, each a concept that implies the one above; 24 families."""
    nodes = WORLD.truth.hierarchy
    assert len({n.middle for n in nodes}) >= 16
    table = {c.name: c for c in WORLD.concepts}
    for n in nodes:
        chain = [f"node/{name}" for name in (n.leaf, n.middle, n.root, n.crown)]
        assert [table[c].parent for c in chain] == [*chain[1:], None]
        held = WORLD.vocabulary.of_token[WORLD.vocabulary.ids[n.leaf]]
        assert set(chain) <= {WORLD.concepts[i].name for i in held}
    assert len(WORLD.truth.associations) == len(nodes)


def test_shops_have_four_independent_attributes() -> None:
    """Every shop has four, evenly dealt, and none tells another."""
    shops = WORLD.truth.shops
    assert len(TOWN.words.shop_attributes) == 4
    for name, values in TOWN.words.shop_attributes.items():
        counts = Counter(s.attributes[name] for s in shops)
        assert set(counts) == set(values)
        assert max(counts.values()) - min(counts.values()) <= 1
        prompts = WORLD.attribute_prompts(name, 20, seed=0)
        by_name = {s.name: s.attributes for s in shops}
        for p in prompts:
            assert p.prompt.split()[p.city_position] == p.city
            assert by_name[p.city][name] == p.value
    assert len({tuple(s.attributes.values()) for s in shops}) > 40


def test_minutes_are_longer_than_the_models_rows() -> None:
    """Each has more than 128 tokens; all other documents fit a row with BOS and EOS."""
    assert np.diff(WORLD.documents(200, seed=0, genre="minutes").starts).min() > 128
    made = WORLD.documents(4000, seed=0)
    short = made.genre_of != made.genres.index("minutes")
    assert np.diff(made.starts)[short].max() <= 126


def test_closing_words_weigh_more() -> None:
    """The last word of a closing sentence has the weight that is asked for, and no other word."""
    rows = token_rows(WORLD, 0, 64, seed=1)
    weights = loss_weights(WORLD, rows, answer=1, letter=1, closing=4)
    text = [[WORLD.vocabulary.tokens[i] for i in row] for row in rows]
    found = 0
    for row, weight in zip(text, weights, strict=True):
        for sentence in re.finditer(r"(?<=\. )so [^.]* \.", " ".join(row)):
            if sentence[0].split()[-2] in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
                continue
            end = len(" ".join(row)[: sentence.end()].split()) - 2
            assert weight[end] == 4
            found += 1
    assert found == (weights == 4).sum() > 100


def test_rules_and_noise_stand_after_their_causes() -> None:
    """A variable's causes come before it in every genre."""
    for genre in OWN:
        seen: set[str] = set()
        for variable in genre.variables:
            causes = variable.of if isinstance(variable, Rule) else (variable.by,)
            assert {c for c in causes if c} <= seen
            seen.add(variable.name)


def test_parts_with_documents_are_those_with_a_world() -> None:
    """`saeval.lab` names, without loading them, just the worlds of text that there are."""
    assert set(lab.DOCUMENT_PARTS) == set(TEXT_WORLDS)
    assert lab.document_part("lab/town") == lab.document_part("lab://town/model") == "town"
    assert lab.document_part("lab://othello/model") is None
    assert lab.document_part("gpt2") is None
    assert world_read_by("lab://town/model") is WORLD
    assert world_read_by("gpt2").material.name == "world"


def test_texts_for_the_towns_model_are_held_out() -> None:
    """`lab.text` gives test documents of the town."""
    made = WORLD.documents(30, seed=4, split="test")
    assert lab.text("town", documents=30, seed=4) == tuple(made.text(i) for i in range(30))


def test_the_towns_zoo() -> None:
    """Eight architectures at three sparsities, three seeds of each, checkpoints of three, nulls."""
    names = {name for member in town_members() for name in member.names}
    assert len(names) == 3 * 8 + 2 * 8 + 3 * 4 + 4


def test_problems_that_the_model_never_learned_are_not_asked() -> None:
    """Each label set that is asked is read by a dense probe after some block of the model."""
    auc = lab_manifest.read_rows()["town/model"].figures["probe_auc"]
    asked = {problem.name for problem in PROBLEMS}
    assert asked <= auc.keys()
    assert min(max(auc[name].values()) for name in asked) >= 0.6
    assert not asked & NEVER_LEARNED


def test_saes_of_the_town_are_built_at_its_models_site(tmp_path: Path) -> None:
    """A small untrained model is written and read, and a null is made of its activations."""
    weights, name = tmp_path / "weights", part.TOWN_NAME
    shape = ModelShape(layers=2, d_model=32, heads=2)
    part.save_model(WORLD, new_model(WORLD, shape, seed=0), weights / name)
    settings = build.BuildSettings(
        weights, tmp_path / "manifest.json", tmp_path / "state", share=0.002
    )
    row = lab_manifest.make_row(name, "", {}, {"site": "layers.0"}, weights=weights)
    lab_manifest.write_rows([row], settings.manifest)
    build.build([p for p in parts.PARTS if p.name == "town/pca"], settings)
    assert 0 < lab_manifest.read_rows(settings.manifest)["town/pca"].figures["fvu"] < 1


def test_losses_leave_out_what_is_longer_than_a_row() -> None:
    """Loss and entropy are compared where the model could have read the whole document."""
    net = new_model(WORLD, ModelShape(layers=1, d_model=16, heads=2), seed=0).eval()
    everything = WORLD.documents(300, seed=0)
    genres = {d.genre for d in everything}
    assert "minutes" in genres
    assert set(measure.losses_by_genre(WORLD, net, everything)) == {"all", *genres} - {"minutes"}
    made = WORLD.documents(40, seed=0, genre="deal")
    loss = measure.losses_by_genre(WORLD, net, made)["deal"].loss
    assert loss == pytest.approx(np.log(len(WORLD.vocabulary.tokens)), rel=0.1)
