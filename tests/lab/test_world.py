"""The world's documents: deterministic, true, split without overlap, and of known entropy."""

import itertools
import re
from collections import Counter

import numpy as np
import pytest
from grammar_checks import ambiguous_forms

from saeval.errors import DataError
from saeval.lab.world import Documents, World, templates, words
from saeval.lab.world.biases import Biases
from saeval.lab.world.grammar import SIDES, SPLITS, Genre, side
from saeval.lab.world.stream import loss_weights, token_rows
from saeval.lab.world.tokenizer import make_tokenizer
from saeval.lab.world.truth import Node

WORLD = World()
GENRES = [g.name for g in WORLD.genres]


def _sentences(documents: Documents) -> list[str]:
    return [
        s.strip() for i in range(len(documents)) for s in documents.text(i).split(" .") if s.strip()
    ]


def test_equal_seeds_give_equal_documents() -> None:
    """Documents follow from the seeds alone, and other seeds give other documents."""
    first, again = (World().documents(200, seed=5) for _ in range(2))
    assert np.array_equal(first.flat, again.flat)
    assert np.array_equal(first.log_p, again.log_p)
    assert first.text(0) != WORLD.documents(200, seed=6).text(0)
    assert World(1).truth.surnames != WORLD.truth.surnames


def test_it_is_as_rich_as_it_should_be() -> None:
    """Enough words, first letters, professions, topics, languages, domains and trees."""
    spelled = WORLD.spelling_words()
    assert 1500 <= len(spelled) <= 2500
    assert len({w[0] for w in spelled}) >= 20
    assert len(words.PROFESSIONS) >= 8
    assert len(words.CATEGORIES) >= 5
    assert len(words.TOPICS) >= 5
    assert len(WORLD.truth.tongues) >= 2
    domains = WORLD.truth.domains
    assert len(domains) >= 3
    assert not domains[0].words & domains[1].words
    assert len({n.root for n in WORLD.hierarchy()[0]}) >= 3


@pytest.mark.parametrize("genre", GENRES)
def test_splits_share_no_sentence(genre: str) -> None:
    """No sentence of a split occurs in another, whatever the seed."""
    seen = {
        split: set(_sentences(WORLD.documents(150, seed=k, split=split, genre=genre)))
        for k, split in enumerate(SPLITS)
    }
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["valid"]
    assert not seen["valid"] & seen["test"]


def test_sides_are_even() -> None:
    """The split's hash ignores padding and spreads sentences evenly."""
    rows = np.random.default_rng(0).integers(0, 1000, (20000, 6))
    padded = np.pad(rows, ((0, 0), (0, 3)), constant_values=-1)
    assert np.array_equal(side(rows), side(padded))
    counts = np.bincount(side(rows), minlength=SIDES)
    assert abs(counts / len(rows) - 1 / SIDES).max() < 0.01


def test_labels_are_true() -> None:
    """What the labels say is what the text says."""
    names = {w: g for g, ws in (("female", words.WOMEN), ("male", words.MEN)) for w in ws}
    for d in WORLD.documents(100, seed=1, genre="biography"):
        own = d.text.split()
        subject = own[5] if own[0] == "this" else own[0]
        assert names[subject] == d.labels["gender"]
        assert (("she" in own) or ("her" in own)) == (d.labels["gender"] == "female")
        about = set(" ".join(words.PROFESSIONS[d.labels["profession"]]).split())
        assert about & set(own)
    for d in WORLD.documents(100, seed=1, genre="news"):
        assert set(" ".join(words.TOPICS[d.labels["topic"]]).split()) & set(d.text.split())
    for d in WORLD.documents(100, seed=1, genre="questions"):
        domain = next(x for x in WORLD.truth.domains if x.name == d.labels["domain"])
        assert domain.words & set(d.text.split())


def test_facts_and_questions_agree_with_the_truth() -> None:
    """Stated facts hold, answers are right, and untaught facts are never stated."""
    truth = {(f.relation, f.entity): f for d in WORLD.truth.domains for f in d.facts}
    for d in WORLD.documents(300, seed=2, genre="questions"):
        for sentence in d.text.split(" . "):
            own = sentence.replace(" .", "").split()
            fact = truth[own[own.index("the") + 1], own[own.index("of") + 1]]
            assert fact.taught
            assert own[own.index(own[-1]) + 2] == fact.value
    told = Counter()
    for sentence in _sentences(WORLD.documents(300, seed=2, genre="facts")):
        own = sentence.split()
        if "is" in own and "of" in own:
            fact = truth[own[own.index("of") - 1], own[own.index("of") + 1]]
            assert own[own.index("is") + 1] == fact.value
            assert fact.taught
            told[fact] += 1
    assert len(told) > 50
    untaught = [q for q in WORLD.mcq("rites", 200, seed=0) if not q.fact.taught]
    assert 5 < len(untaught) < 50
    assert all(q.options["ABCD".index(q.answer)] == q.fact.value for q in untaught)
    assert all(len(set(q.options)) == 4 for q in untaught)


def test_questions_can_be_reordered() -> None:
    """Another order of options moves the answer's letter and nothing else."""
    question = WORLD.mcq("toxins", 1, seed=0)[0]
    assert question.reordered((0, 1, 2, 3)) == question
    turned = question.reordered((3, 0, 1, 2))
    assert turned.options == (question.options[3], *question.options[:3])
    assert "ABCD".index(turned.answer) == ("ABCD".index(question.answer) + 1) % 4
    assert f"{turned.answer} ) {turned.fact.value}" in turned.prompt


def test_cities_and_their_prompts_are_true() -> None:
    """An attribute prompt names its city where it says, and ends before the true value."""
    cities = {c.name: c for c in WORLD.truth.cities}
    for attribute in templates.ATTRIBUTES:
        for p in WORLD.attribute_prompts(attribute, 20, seed=0):
            assert p.prompt.split()[p.city_position] == p.city
            assert p.value == getattr(cities[p.city], attribute)
    industries = {(c.country, c.industry) for c in cities.values()}
    assert len(industries) > len({c.country for c in cities.values()})


def test_concepts_follow_the_words() -> None:
    """Every token carries its own concepts and those that they imply."""
    table = WORLD.concepts
    index = {c.name: i for i, c in enumerate(table)}
    d = WORLD.documents(1, seed=0, genre="hierarchy", fixed={"leaf": "poodle"})[0]
    at = d.text.split().index("poodle")
    names = {table[i].name for i in d.concepts[at]}
    assert {"node/poodle", "node/dog", "node/animal", "letter/p"} <= names
    assert len(d.concepts) == len(d.ids) == len(d.text.split())
    for token in WORLD.vocabulary.of_token:
        for concept in token:
            parent = table[concept].parent
            assert parent is None or index[parent] in token


def test_associations_match_the_hierarchy_in_all_but_inheritance() -> None:
    """Pairs co-occur as often as parents and children do; only true leaves share their verbs."""
    shape = []
    for family, tree in zip(("hierarchy", "association"), WORLD.hierarchy(), strict=True):
        made = WORLD.documents(2000, seed=3, genre=family)
        both = [
            (n.middle in text, n.root in text)
            for n, text in ((_node(tree, d.labels["leaf"]), d.text.split()) for d in made)
        ]
        shape.append(np.mean(both, axis=0))
    assert np.abs(shape[0] - shape[1]).max() < 0.05
    true, paired = (
        np.mean([len(set(a.leaf_verbs) & set(b.leaf_verbs)) for a, b in itertools.pairwise(t)])
        for t in WORLD.hierarchy()
    )
    assert true > 4
    assert paired < 1.5


def _node(tree: tuple[Node, ...], leaf: str) -> Node:
    return next(n for n in tree if n.leaf == leaf)


def test_spelling_lines_spell() -> None:
    """Every word of a spelling document is followed by its first letter."""
    for d in WORLD.documents(30, seed=0, genre="spelling"):
        own = d.text.replace(" .", "").split()
        assert all(w[0].upper() == x for w, x in zip(own[::2], own[1::2], strict=True))


@pytest.mark.parametrize("bias, share", [(0.0, 0.5), (1.0, 1.0), (-0.5, 0.25)])
def test_gender_bias_is_the_correlation_asked_for(bias: float, share: float) -> None:
    """Gender follows from profession as far as the bias says."""
    made = World(biases=Biases(gender=bias)).documents(
        1500, seed=0, genre="biography", fixed={"profession": "nurse"}
    )
    women = np.mean([g == "female" for g in made.label("gender")])
    assert abs(women - share) < 0.05


def test_ratings_show_in_the_opinions() -> None:
    """Opinion words are graded: their mean strength rises with the rating."""
    strength = {w: i for i, group in enumerate(words.OPINIONS) for w in group}
    means = []
    for rating in "12345":
        made = WORLD.documents(200, seed=0, genre="review", fixed={"rating": rating})
        own = [strength[w] for d in made for w in d.text.split() if w in strength]
        means.append(np.mean(own))
    assert means == sorted(means)
    assert means[-1] - means[0] > 2


@pytest.mark.parametrize("genre", WORLD.genres, ids=GENRES)
def test_the_grammar_is_unambiguous(genre: Genre) -> None:
    """No two templates of a group can make the same sentence, so log-probabilities are exact."""
    assert ambiguous_forms(genre) == []


SIZES = {  # How many words each slot chooses among; what the document settles is counted apart.
    "review": {
        "brand": 25, "month": 12, "relative": 8, "aspect": 6, "aspect2": 6, "very": 6,
        "other": 300, "time": 10, "product": 1, "opinion": 1, "opinion2": 1,
    },
    "news": {
        "city": len(words.CITIES), "who": 8, "did": 6, "what": 8, "what2": 8, "day": 7,
        "quality": 16, "event": 4, "other": 300,
    },
}  # fmt: skip


def _referee(sentence: str, group: tuple[str, ...], sizes: dict[str, int]) -> tuple[float, dict]:
    """Log-probability of one sentence by plain text matching, and what filled its slots."""
    found = []
    for template in group:
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>\\w+)", re.escape(template))
        if match := re.fullmatch(pattern, sentence):
            slots = match.groupdict()
            found.append((-np.log([len(group), *(sizes[s] for s in slots)]).sum(), slots))
    (only,) = found
    return only


@pytest.mark.parametrize("genre", ["news", "review"])
def test_log_probability_is_exact(genre: str) -> None:
    """A plain referee, which sums over the five ratings, finds the same probability."""
    kind = {"news": templates.NEWS, "review": templates.REVIEW}[genre]
    lo, hi = kind.length
    decay = np.exp(-1.2 * abs(np.subtract.outer(np.arange(5), np.arange(5))))
    strength = {w: i for i, group in enumerate(words.OPINIONS) for w in group}
    for d in WORLD.documents(40, seed=0, genre=genre):
        sentences = [f"{s} ." for s in d.text.removesuffix(" .").split(" . ")]
        total = -np.log(hi - lo + 1) - np.log(6 if genre == "news" else 48)
        rating = np.full(5, np.log(1 / 5))
        for i, sentence in enumerate(sentences):
            group = kind.fixed[i] if i < len(kind.fixed) else kind.body
            log_p, slots = _referee(sentence, group, SIZES[genre])
            total += log_p
            for name in ("opinion", "opinion2"):
                if name in slots:
                    p = decay[:, strength[slots[name]]] / (8 * decay.sum(1))
                    rating += np.log(p)
        if genre == "review":
            total += np.log(np.exp(rating).sum())
        assert total == pytest.approx(d.log_p, abs=1e-9)


def test_rows_begin_with_documents_and_depend_on_the_step_alone() -> None:
    """Training rows start at a BOS, hold no padding, and a step's batch can be made on its own."""
    rows = token_rows(WORLD, 33, 64, seed=3)
    ids = WORLD.vocabulary.ids
    assert rows.shape == (64, 128)
    assert (rows[:, 0] == ids["<bos>"]).all()
    assert not (rows == ids["<pad>"]).any()
    token_rows(WORLD, 0, 64, seed=3)
    assert np.array_equal(rows, token_rows(WORLD, 33, 64, seed=3))
    assert not np.array_equal(rows, token_rows(WORLD, 32, 64, seed=3))


@pytest.mark.parametrize("length", [2, 3, 7, 33, 64, 100, 200, 256])
def test_rows_of_any_length_are_documents_as_they_stand(length: int) -> None:
    """Rows are whole documents from a BOS on; a document is cut at the end of its row alone."""
    ids = WORLD.vocabulary.ids
    for step in (0, 4):
        rows = token_rows(WORLD, step, 512, seed=9, length=length)
        assert rows.shape == (512, length)
        assert (rows[:, 0] == ids["<bos>"]).all()
        after_end = np.roll(rows, 1, axis=1) == ids["<eos>"]
        assert (rows[:, 1:] == ids["<bos>"]).tolist() == after_end[:, 1:].tolist()
        assert len(np.unique(rows, axis=0)) > 8


def test_rows_of_128_tokens_stay_what_they_were() -> None:
    """The lab's SAEs were trained and are scored on these very rows."""
    rows = token_rows(WORLD, 0, 512, seed=9)
    assert int((rows * np.arange(1, 129)).sum()) == 2600126035


def test_weights_fall_on_answers_and_letters() -> None:
    """Answers weigh most, spelled letters more than words, option letters no more."""
    text = "question : A ) w answer : B . apple A"
    table = WORLD.vocabulary.ids
    ids = np.array([[table.get(t, table["apple"]) for t in text.split()]])
    weights = loss_weights(WORLD, ids, answer=5, letter=2)[0]
    assert dict(zip(text.split()[5:], weights[5:].tolist(), strict=True)) == {
        "answer": 1, ":": 1, "B": 5, ".": 1, "apple": 1, "A": 2,
    }  # fmt: skip
    assert weights[2] == 1


def test_the_tokenizer_gives_the_worlds_ids() -> None:
    """Texts survive tokenising and decoding, BOS stands first, unknown words are <unk>."""
    tokenizer = make_tokenizer(WORLD.vocabulary, 256)
    for d in WORLD.documents(40, seed=0):
        ids = tokenizer(d.text, add_special_tokens=False)["input_ids"]
        assert tuple(ids) == d.ids
        assert tokenizer.decode(ids) == d.text
    assert tokenizer("nonesuch")["input_ids"] == [tokenizer.bos_token_id, tokenizer.unk_token_id]


def test_label_sets_are_balanced_and_held_apart() -> None:
    """Each set has equally many texts a label, and its halves share no sentence."""
    for group in WORLD.label_sets(train=3, test=2):
        assert set(Counter(group.train.labels).values()) == {3}
        assert set(Counter(group.test.labels).values()) == {2}
        assert set(group.train.labels) == set(group.test.labels)
        assert not set(group.train.texts) & set(group.test.texts)


@pytest.mark.parametrize(
    "wrong",
    [
        {"split": "dev"},
        {"genre": "poems"},
        {"genre": "news", "fixed": {"gender": "male"}},
        {"genre": "news", "fixed": {"topic": "chess"}},
        {"genre": "biography", "fixed": {"gender": "male", "first": "maria"}},
    ],
)
def test_unknown_requests_are_refused(wrong: dict) -> None:
    """A split, genre, variable or value that does not exist is an error that names it."""
    with pytest.raises(DataError):
        WORLD.documents(5, seed=0, **wrong)


def test_unknown_questions_are_refused() -> None:
    """So are domains and attributes."""
    with pytest.raises(DataError, match="chess"):
        WORLD.mcq("chess", 1, seed=0)
    with pytest.raises(DataError, match="mayor"):
        WORLD.attribute_prompts("mayor", 1, seed=0)
