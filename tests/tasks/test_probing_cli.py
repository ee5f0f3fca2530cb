"""`saeval run --tasks probing` reads your own labelled texts, in the long and the short form."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_models
import tiny_runs
from click.testing import CliRunner

from saeval.cli.app import app


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, an SAE of it, and texts with two columns of labels."""
    folder = tmp_path_factory.mktemp("probing_cli")
    tiny_models.build("gpt2", folder / "model")
    tiny_runs.sae_folder(folder / "sae")
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(tiny_models.WORDS, 6)) for _ in range(160)]
    table = pd.DataFrame({"text": texts, "label": ["a", "b"] * 80})
    table.to_parquet(folder / "texts.parquet")
    odd = table.rename(columns={"text": "body"}).assign(topic=["x", "y", "z", "w"] * 40)
    odd.head(100).to_csv(folder / "odd_train.csv")
    odd.tail(60).to_csv(folder / "odd_test.csv")
    return folder


def _parts(folder: Path, data: str) -> set[str]:
    """Names of the problems that a run reports."""
    arguments = ("run", "--sae", folder / "sae", "--model", folder / "model", "--tasks", "probing")
    more = ("--set", f"probing.data={data}", "--set", "probing.top_k=[1]")
    out = ("--set", "probing.context=8", "--output-path", folder / "out", "--json")
    found = CliRunner().invoke(app, [str(one) for one in (*arguments, *more, *out)])
    assert found.exit_code == 0, found.output
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    return {line["part"] for line in lines if line["part"]}


def test_a_list_of_data_sets(folder: Path) -> None:
    """Each of the list has a name, files and columns of its own, and labels of its own number."""
    odd = f"train: {folder}/odd_train.csv, test: {folder}/odd_test.csv, text: body, label: topic"
    parts = _parts(folder, f"[{{name: odd, {odd}}}, {folder}/texts.parquet]")
    assert parts == {*(f"odd/{label}" for label in "xyzw"), "texts/b"}


def test_a_file(folder: Path) -> None:
    """A file with columns text and label is enough."""
    assert _parts(folder, f"{folder}/texts.parquet") == {"texts/b"}
