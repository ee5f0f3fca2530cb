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


def _identities(folder: Path) -> tuple[str, str]:
    return load_model(str(folder)).identity, model_files(str(folder))


def test_an_index_that_chooses_among_weights_is_part_of_the_identity(sharded: Path) -> None:
    """Two files of weights at the top, of which the index names one: the other is another model."""
    weights = load_file(sharded / "parts" / "all.safetensors")
    for name in ("a", "b"):
        weights["transformer.wte.weight"][5, 0] += 1
        save_file(weights, sharded / f"{name}.safetensors", metadata={"format": "pt"})
    first = _identities(indexed(sharded, "a.safetensors"))
    second = _identities(indexed(sharded, "b.safetensors"))
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_links_are_followed_and_their_content_counts(sharded: Path, tmp_path: Path) -> None:
    """Files may be links to blobs elsewhere, as in the hub's cache; a dead one is refused."""
    before = _identities(sharded)
    blob = tmp_path / "blobs" / "0"
    blob.parent.mkdir()
    link = sharded / "parts" / "all.safetensors"
    shutil.move(link, blob)
    link.symlink_to(Path("..", "..", "blobs", "0"))
    assert _identities(sharded) == before
    weights = load_file(blob)
    weights["transformer.wte.weight"][5, 0] += 1
    save_file(weights, blob, metadata={"format": "pt"})
    after = _identities(sharded)
    assert before[0] != after[0]
    assert before[1] != after[1]
    (sharded / "more.safetensors").symlink_to("nowhere")
    for use in (load_model, model_files):
        with pytest.raises(ModelError, match="a link to none"):
            use(str(sharded))


@pytest.mark.parametrize(
    "file", ["tokenizer.json", "tokenizer_config.json", "generation_config.json", "x.tiktoken"]
)
def test_every_other_file_of_a_model_is_looked_at(sharded: Path, file: str) -> None:
    """A changed tokenizer or configuration is seen before the model is loaded."""
    before = model_files(str(sharded))
    path = sharded / file
    path.write_text((path.read_text() if path.exists() else "") + "\n")
    assert model_files(str(sharded)) != before


def test_what_takes_weights_from_elsewhere_is_refused(sharded: Path) -> None:
    """An adapter of another model, a file that config.json names, pickles of an index."""
    (sharded / "adapter_config.json").write_text('{"base_model_name_or_path": "../other"}')
    for use in (load_model, model_files):
        with pytest.raises(ModelError, match="holds an adapter"):
            use(str(sharded))
    (sharded / "adapter_config.json").unlink()
    config = json.loads((sharded / "config.json").read_text())
    for name in ("../x.safetensors", "/x.safetensors"):
        changed = {**config, "transformers_weights": name}
        (sharded / "config.json").write_text(json.dumps(changed))
        for use in (load_model, model_files):
            with pytest.raises(ModelError, match="outside of its folder"):
                use(str(sharded))
    (sharded / "config.json").write_text(json.dumps(config))
    (sharded / "x.bin").write_bytes(b"")
    indexed(sharded, "x.bin")
    with pytest.raises(ModelError, match="only safetensors are read"):
        model_files(str(sharded))
    (sharded / "model.safetensors.index.json").rename(sharded / "pytorch_model.bin.index.json")
    with pytest.raises(ModelError, match="holds no model that loads"):
        load_model(str(sharded))


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
