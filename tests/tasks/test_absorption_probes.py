"""What `absorption` says of the model's own probes agrees with scikit-learn's F1."""

import numpy as np
import pandas as pd
import pytest
from saeval_tasks.absorption.evidence import probe_evidence
from saeval_tasks.absorption.letters import Letters
from saeval_tasks.absorption.words import alphabetic_tokens, choose_words, prompt_rows
from sklearn.metrics import f1_score

from saeval import lab
from saeval.activations import ModelSource, TokenRows, model_source
from saeval.errors import DataError
from saeval.evidence import Evidence, summarise
from saeval.models import load_model


def _letters(letter: np.ndarray, split: np.ndarray, says_yes: np.ndarray) -> Letters:
    words = len(letter)
    return Letters(
        x=np.zeros((words, 2)),
        letter=letter,
        split=split,
        direction=np.ones((26, 2)),
        says_yes=says_yes,
        usable=np.ones(26, bool),
    )


def test_a_letter_without_test_words_does_not_count() -> None:
    """The mean is over letters whose F1 has a meaning: those that begin a test word."""
    generator = np.random.default_rng(0)
    letter = generator.integers(0, 4, 60)
    split = generator.integers(0, 3, 60)
    split[letter == 3] = 0  # only training words begin with d
    says_yes = generator.random((60, 26)) < 0.3
    says_yes[np.arange(60), letter] |= generator.random(60) < 0.8
    words = pd.DataFrame({"text": [f"word {number}" for number in range(60)]})
    evidence = [
        entry
        for entry in probe_evidence(_letters(letter, split, says_yes), words, cut=0)
        if isinstance(entry, Evidence)
    ]
    by_figure = {(entry.metric, entry.part): entry for entry in evidence}
    test = split == 2
    expected = [f1_score(letter[test] == number, says_yes[test, number]) for number in range(3)]
    assert np.isclose(summarise(by_figure["probe_f1", None]).value, np.mean(expected))
    assert ("probe_f1", "d") not in by_figure
    assert summarise(by_figure["usable_letters", None]).n == 3


class _Short(ModelSource):
    """The source of a model that takes fewer tokens."""

    @property
    def context(self) -> int:
        """Most tokens per row."""
        return 14


def test_prompts_have_as_many_examples_as_fit() -> None:
    """A short model gets fewer example lines by itself; more than fit, when asked, is an error."""
    source = model_source(load_model(str(lab.path("world/model"))), "layers.1")
    words = choose_words(alphabetic_tokens(source.model.tokenizer), 4, np.random.default_rng(0))
    short = _Short(**{name: getattr(source, name) for name in source.__dataclass_fields__})

    def read(of: ModelSource, examples: int | None) -> TokenRows:
        return prompt_rows(of, words, " {word} {letter}", examples, seed=0)

    assert np.array_equal(read(source, None).ids, read(source, 10).ids)
    rows = read(short, None)
    by_number = [read(source, number).ids for number in range(10)]
    fitting = [ids.shape[1] <= 14 for ids in by_number]
    most = max(number for number, fits in enumerate(fitting) if fits)
    assert 0 < most < 9
    assert np.array_equal(rows.ids, by_number[most])
    with pytest.raises(DataError, match=r"Set absorption\.examples lower"):
        read(short, 10)
