"""docs/tasks/core.md names each score of `core`, and nothing else."""

import pages
import pytest
import torch
from core_oracles import tiny_models
from saeval_tasks.core import Core

from saeval.activations import Store, model_source
from saeval.models import load_model
from saeval.sae.architectures import TopK


@pytest.fixture(scope="module")
def yielded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Metric -> direction, of all that `core` yields for a random SAE of a tiny model."""
    folder = tmp_path_factory.mktemp("core")
    model = load_model(str(tiny_models.build("gpt2", folder / "model")))
    source = model_source(model, model.resolve("layers.1"), store=Store(folder / "store"))
    words = folder / "words.txt"
    words.write_text("\n".join(" ".join(tiny_models.WORDS[i : i + 9]) for i in range(20)))
    task = Core(texts=str(words), context=12, compat="saebench")
    torch.manual_seed(0)
    weights, width = torch.randn(32, tiny_models.WIDTH), torch.zeros(tiny_models.WIDTH)
    sae = TopK(weights.T.contiguous(), torch.zeros(32), weights, width, k=4)
    scores = task.score(sae, task.prepare(source, 0), source, 0)
    return {one.metric: one.better for one in scores}


def test_page_names_every_score(yielded: dict[str, str]) -> None:
    """The names in the first column are those that the task yields, each once."""
    named = [name for row in pages.rows("core.md") for name in pages.named(row)]
    assert sorted(named) == sorted(yielded)


def test_page_gives_the_direction_of_every_score(yielded: dict[str, str]) -> None:
    """The page and the task agree on which way is better."""
    rows = [row for row in pages.rows("core.md") if len(row) > 2]
    said = {row[0].strip("`"): row[2].replace("neither", "none") for row in rows}
    assert said
    assert said == {name: yielded[name] for name in said}
