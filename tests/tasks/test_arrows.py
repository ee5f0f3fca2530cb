"""What has a direction must tell a random SAE from the best there can be."""

import pytest
import torch
from saeval_tasks.core import Core
from saeval_tasks.synthetic import Synthetic

from saeval.activations import ActivationSource
from saeval.evidence import Evidence, summarise
from saeval.lab.synthetic import world_source
from saeval.sae.architectures.random import random_topk
from saeval.task import Task


@pytest.fixture(scope="module")
def source() -> ActivationSource:
    """A synthetic world of 128 dimensions."""
    return world_source("base")


@pytest.mark.parametrize("task", [Core(limit=512), Synthetic(limit=512)], ids=["core", "synthetic"])
def test_a_random_sae_is_not_as_good_as_the_ceiling(source: ActivationSource, task: Task) -> None:
    """A metric by which SAEs that learnt nothing are perfect must have no arrow."""
    sae = random_topk(torch.zeros(128), 256, 8, seed=0)
    checked = 0
    for entry in task.score(sae, task.prepare(source, 0), source, 0):
        if not isinstance(entry, Evidence) or entry.better == "none" or entry.ceiling is None:
            continue
        short = (entry.ceiling - summarise(entry).value) * (1 if entry.better == "higher" else -1)
        assert short > 0.05, entry.metric
        checked += 1
    assert checked >= 4
