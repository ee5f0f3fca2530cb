"""docs/tasks/synthetic.md names each score of `synthetic` and each world, and nothing else."""

import re
from pathlib import Path

import pytest
import torch
from saeval_tasks.synthetic import Synthetic

from saeval.lab.synthetic import WORLDS, world_source
from saeval.sae.architectures.random import random_topk

PAGE = (Path(__file__).parents[2] / "docs" / "tasks" / "synthetic.md").read_text(encoding="utf-8")
DIRECTIONS = {"Higher": "higher", "Lower": "lower", "Neither": "none"}


@pytest.fixture(scope="module")
def yielded() -> dict[str, str]:
    """Metric -> direction, of all that the task yields for a random SAE."""
    task, source = Synthetic(limit=512), world_source("base")
    sae = random_topk(torch.zeros(128), 256, 8, seed=0)
    scores = task.score(sae, task.prepare(source, 0), source, 0)
    return {one.metric: one.better for one in scores}


def test_page_names_every_score_and_its_direction(yielded: dict[str, str]) -> None:
    """Each score has a paragraph that begins with its name and says which way is better."""
    paragraphs = [part for part in PAGE.split("\n\n") if part.startswith("**`")]
    said = {}
    for paragraph in paragraphs:
        name = re.match(r"\*\*`(\w+)`", paragraph)
        direction = re.search(r"\b(Higher|Lower|Neither)\b", paragraph)
        assert name, paragraph
        assert direction, paragraph
        said[name[1]] = DIRECTIONS[direction[1]]
        assert re.search(r"not\s+trust", paragraph), name[1]
    assert said == yielded


def test_page_describes_every_world() -> None:
    """The table has a row a world, in its spec's own words."""
    rows = dict(re.findall(r"^\| `([\w-]+)` \| (.+) \|$", PAGE, re.MULTILINE))
    about = {name: spec.about.rstrip(".") for name, spec in WORLDS.items()}
    assert rows == {name: text[0].lower() + text[1:] for name, text in about.items()}
