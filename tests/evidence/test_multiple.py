"""Holm's correction."""

import numpy as np
import pytest

from saeval.evidence.multiple import holm


def test_holm_by_hand() -> None:
    """Four p-values: times 4, 3, 2, 1 in order, never below an earlier one, at most 1."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_keeps_the_family_error() -> None:
    """Among 12 true nulls one or more is rejected in at most 5 % of families, but for chance."""
    p = np.random.default_rng(0).uniform(size=(4000, 12))
    families = np.mean([min(holm(row)) < 0.05 for row in p.tolist()])
    assert 0.035 < families < 0.062
