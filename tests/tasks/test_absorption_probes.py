"""What `absorption` says of the model's own probes agrees with scikit-learn's F1."""

import numpy as np
import pandas as pd
from saeval_tasks.absorption.evidence import probe_evidence
from saeval_tasks.absorption.letters import Letters
from sklearn.metrics import f1_score

from saeval.evidence import Evidence, summarise


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
