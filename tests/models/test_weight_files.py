"""All weights that an index names are part of a model's identity, and lie in its folder."""

import json
import shutil
from pathlib import Path

import pytest
import tiny_models
from safetensors.torch import load_file, save_file

from saeval.errors import ModelError
from saeval.models import load_model
from saeval.running.identity import model_files


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """A model whose one file of weights lies in a folder of its own, by an index."""
    folder = tiny_models.build("gpt2", tmp_path / "model")
    (folder / "parts").mkdir()
    weights = folder / "parts" / "all.safetensors"
    shutil.move(folder / "model.safetensors", weights)
    return indexed(folder, "parts/all.safetensors")


def indexed(folder: Path, name: str) -> Path:
    """The folder, with an index that names this file for every weight."""
    path = folder / "parts" / "all.safetensors"
    named = dict.fromkeys(load_file(path), name)
    index = {"metadata": {"total_size": path.stat().st_size}, "weight_map": named}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def test_a_file_that_the_index_names_is_part_of_the_identity(sharded: Path) -> None:
    """One changed weight in a folder inside the model's makes another model, and another key."""
    before = load_model(str(sharded)).identity, model_files(str(sharded))
    path = sharded / "parts" / "all.safetensors"
    weights = load_file(path)
    weights["transformer.wte.weight"][5, 0] += 1
    save_file(weights, path, metadata={"format": "pt"})
    after = load_model(str(sharded)).identity, model_files(str(sharded))
    assert before[0] != after[0]
    assert before[1] != after[1]


@pytest.mark.parametrize("name", ["../all.safetensors", "parts/../../all.safetensors", "/all.st"])
def test_weights_outside_of_the_folder_are_refused(sharded: Path, name: str) -> None:
    """They would decide the scores and be no part of the model: neither loaded nor hashed."""
    shutil.copy(sharded / "parts" / "all.safetensors", sharded.parent / "all.safetensors")
    indexed(sharded, name)
    for use in (load_model, model_files):
        with pytest.raises(ModelError, match="outside of its folder"):
            use(str(sharded))


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "is no index of weights"),
        ('{"weight_map": ["a"]}', "is no index of weights"),
        ('{"weight_map": {"a": 1}}', "must name files"),
        ('{"weight_map": {"a": "gone.safetensors"}}', "which is not there"),
    ],
)
def test_an_index_that_names_nothing_is_refused(sharded: Path, content: str, message: str) -> None:
    """A damaged index, and one that names a file that is gone, are one clear error."""
    (sharded / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ModelError, match=message):
        model_files(str(sharded))
