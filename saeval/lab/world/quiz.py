"""Questions with known answers: multiple choice over the facts, prompts for cities' attributes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from saeval.errors import DataError
from saeval.lab.world import genres_of_knowledge as knowledge
from saeval.lab.world import templates
from saeval.lab.world.grammar import Genre, compile_group
from saeval.lab.world.lexicon import Lexicon
from saeval.lab.world.sampling import sample_genre
from saeval.lab.world.special_draws import QuestionDraw
from saeval.lab.world.truth import Fact

LETTERS = ("A", "B", "C", "D")


@dataclass(frozen=True)
class Question:
    """A question whose answer is the next token after `prompt`."""

    prompt: str
    """Ends just before the answer's letter; tokens between blanks."""
    options: tuple[str, str, str, str]
    answer: str
    """A letter from A to D."""
    fact: Fact
    """What is asked. No model can know it if it was not taught."""

    def reordered(self, order: Sequence[int]) -> "Question":
        """The same question with its options in another order, given by their old places."""
        options = tuple(self.options[i] for i in order)
        prompt = templates.QUESTION_TEMPLATE.partition(" {letter}")[0].format(
            relation=self.fact.relation,
            entity=self.fact.entity,
            **dict(zip("abcd", options, strict=True)),
        )
        answer = LETTERS[options.index(self.fact.value)]
        a, b, c, d = options
        return Question(prompt, (a, b, c, d), answer, self.fact)


@dataclass(frozen=True)
class AttributePrompt:
    """A statement about a city whose next token is the city's attribute."""

    prompt: str
    city: str
    city_position: int
    """Index of the city among the prompt's tokens, not counting BOS."""
    attribute: str
    value: str


def ask(
    lexicon: Lexicon, domain: str, n: int, rng: np.random.Generator, split: str
) -> list[Question]:
    """Multiple-choice questions over all facts of a domain, options in any order.

    Raises:
        DataError: if the world has no such domain.
    """
    facts = {(f.relation, f.entity): f for d in lexicon.truth.domains for f in d.facts}
    sample = sample_genre(_all_questions(lexicon), n, rng, split=split, given={"domain": domain})
    tokens = lexicon.vocabulary.tokens
    out = []
    for row in sample.ids.tolist():
        words = [tokens[i] for i in row if i >= 0]
        at = words.index("A")
        options = (words[at + 2], words[at + 5], words[at + 8], words[at + 11])
        fact = facts[words[words.index("the") + 1], words[words.index("of") + 1]]
        out.append(Question(" ".join(words[:-2]), options, words[-2], fact))
    return out


def _all_questions(lexicon: Lexicon) -> Genre:
    """One question a document, the untaught facts among them."""
    taught = knowledge.questions(lexicon)
    facts = np.array(
        [[knowledge.fact_row(lexicon, f) for f in d.facts] for d in lexicon.truth.domains]
    )
    draw = QuestionDraw(facts, knowledge.relation_values(lexicon), lexicon.ids(LETTERS))
    return replace(taught, draws=(draw,), body=(0, 0))


def describe_cities(
    lexicon: Lexicon, attribute: str, n: int, rng: np.random.Generator, split: str
) -> list[AttributePrompt]:
    """Statements about one attribute of random cities, cut before its value.

    Raises:
        DataError: if cities have no such attribute.
    """
    if attribute not in templates.ATTRIBUTES:
        known = ", ".join(templates.ATTRIBUTES)
        raise DataError(f"cities have no attribute {attribute!r}; they have {known}")
    genre = knowledge.places(lexicon)
    texts = tuple(t for t in templates.PLACES.body if f"{{{attribute}}}" in t)
    group = compile_group(texts, genre.draws, lexicon.vocabulary.ids)
    only = replace(genre, plan=(group, group), body=(0, 0))
    cities = {c.name for c in lexicon.truth.cities}
    tokens: Mapping[int, str] = dict(enumerate(lexicon.vocabulary.tokens))
    out = []
    for row in sample_genre(only, n, rng, split=split).ids.tolist():
        words = [tokens[i] for i in row if i >= 0]
        at = next(i for i, w in enumerate(words) if w in cities)
        prompt = " ".join(words[:-2])
        out.append(AttributePrompt(prompt, words[at], at, attribute, words[-2]))
    return out
