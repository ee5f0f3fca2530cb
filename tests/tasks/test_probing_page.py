"""docs/tasks/probing.md names each score of `probing`, and nothing else."""

import numpy as np
import pages
import pandas as pd
import pytest
from core_oracles import random_topk, tiny_models, tiny_source
from saeval_tasks.probing import Probing

from saeval.config.metric_docs import find_metrics


@pytest.fixture(scope="module")
def yielded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Metric -> direction, of all that `probing` yields for a random SAE of a tiny model."""
    folder = tmp_path_factory.mktemp("probing")
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(tiny_models.WORDS, 6)) for _ in range(120)]
    path = folder / "texts.csv"
    pd.DataFrame({"text": texts, "label": ["x", "y"] * 60}).to_csv(path)
    task = Probing(str(path), compat="saebench", compat_train_rows=40, compat_test_rows=20)
    source = tiny_source(folder)
    scores = task.score(random_topk(), task.prepare(source, 0), source, 0)
    return {one.metric: one.better for one in scores}


def test_page_names_every_score(yielded: dict[str, str]) -> None:
    """The names in the first column are those that the task yields, each once."""
    named = [name for row in pages.rows("probing.md") for name in pages.named(row)]
    assert sorted(named) == sorted(yielded)


def test_description_gives_the_direction_of_every_score(yielded: dict[str, str]) -> None:
    """`saeval describe accuracy_top_16` says what the task says, of every number of latents."""
    described = {name: find_metrics(name)[0].better for name in yielded}
    assert described == yielded
    assert {n for n, better in yielded.items() if better != "none" and "saebench" not in n} == {
        "best_latent_f1", "best_latent_f1_untuned",
    }  # fmt: skip


def test_page_gives_the_direction_of_every_score(yielded: dict[str, str]) -> None:
    """The page and the task agree on which way is better."""
    for row in pages.rows("probing.md"):
        if len(row) > 2:
            said = row[2].replace("neither", "none")
            assert {yielded[name] for name in pages.named(row)} == {said}
