"""A folder is read as the one format that its content shows, or the error says what was sought."""

import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_formats import (
    FORMATS,
    REPOSITORY,
    D,
    F,
    dictionary_learning,
    gemma_scope,
    openai,
    sae_lens,
    sparsify,
    weights_of,
)

from saeval.errors import LoadError, UsageError
from saeval.sae.architectures.random import random_topk
from saeval.sae.loaders import detect, load_folder
from saeval.sae.loaders.saeval_format import save

Write = Callable[..., Path]


@pytest.fixture
def write(write: Write) -> Write:
    """Writes into a folder of that name, whatever the format."""

    def make(folder: Path, files: dict[str, Any]) -> Path:
        return write(folder if folder.name == REPOSITORY else folder / REPOSITORY, files)

    return make


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


every_format = pytest.mark.parametrize("name", FORMATS)


@every_format
def test_every_format_is_recognised(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, name: str
) -> None:
    """Each format is recognised as itself alone, whatever lies beside it, and loads."""
    folder = write(tmp_path, FORMATS[name](tiny))
    write(folder, {"expected.safetensors": {"x": tiny.x}, "notes.json": {"a": 1}})
    assert detect(folder) == name.split(maxsplit=1)[0]
    sae = load_folder(folder)
    assert (sae.d_in, sae.d_sae) == (D, F)


def test_two_formats_in_one_folder(tiny: SimpleNamespace, write: Write, tmp_path: Path) -> None:
    """Two matches are an error that names both, until one is asked for."""
    folder = write(tmp_path, sparsify(tiny) | sae_lens(tiny))
    with pytest.raises(LoadError, match=r"as sae_lens or as sparsify.*Name the loader"):
        detect(folder)
    assert load_folder(folder, loader="sae_lens").d_sae == F
    with pytest.raises(LoadError, match="as dictionary_learning or as openai"):
        detect(write(tmp_path / "b", dictionary_learning(tiny) | openai(tiny)))


def test_saeval_beside_another(tiny: SimpleNamespace, write: Write, tmp_path: Path) -> None:
    """Saeval's own format takes no precedence."""
    folder = write(tmp_path, sae_lens(tiny))
    save(random_topk(torch.zeros(D), F, 2, seed=0), folder)
    with pytest.raises(LoadError, match="as sae_lens or as saeval"):
        detect(folder)


def test_no_format(write: Write, tmp_path: Path) -> None:
    """No match lists what is there and what every loader looks for."""
    folder = write(tmp_path, {"weights.json": {}, "model.safetensors": {"w": np.ones(2)}})
    with pytest.raises(LoadError) as caught:
        detect(folder)
    message = str(caught.value)
    assert "It holds model.safetensors, weights.json" in message
    for sought in ("sae_weights.safetensors", "ae.pt", "params.npz", "hyperparams.json", ".pt"):
        assert sought in message


def test_nothing_there(tmp_path: Path) -> None:
    """Missing and empty folders say so, whether or not a loader is named."""
    (tmp_path / "empty").mkdir()
    for loader in (None, "sae_lens"):
        with pytest.raises(LoadError, match="does not exist"):
            load_folder(tmp_path / "none", loader=loader)
        with pytest.raises(LoadError, match="is empty"):
            load_folder(tmp_path / "empty", loader=loader)


def test_unknown_loader(tiny: SimpleNamespace, write: Write, tmp_path: Path) -> None:
    """A loader that does not exist is a usage error that offers the nearest."""
    with pytest.raises(UsageError, match="sae_lens"):
        load_folder(write(tmp_path, sae_lens(tiny)), loader="saelens")


def test_device_and_dtype(tiny: SimpleNamespace, write: Write, tmp_path: Path) -> None:
    """Weights are float32 unless another dtype is asked for."""
    folder = write(tmp_path, sae_lens(tiny))
    assert load_folder(folder).W_dec.dtype == torch.float32
    assert load_folder(folder, dtype=torch.float64).W_dec.dtype == torch.float64


@every_format
def test_missing_tensors(tiny: SimpleNamespace, write: Write, tmp_path: Path, name: str) -> None:
    """Each tensor is needed, and the error names the missing one."""
    files = FORMATS[name](tiny)
    content = files[weights_of(files)]
    for lost in content:
        if lost == "activation":
            continue
        less = {key: value for key, value in content.items() if key != lost}
        folder = write(tmp_path / lost, files | {weights_of(files): less})
        present = lost.replace("w_", "W_") if name.startswith("gemma") else lost
        with pytest.raises(LoadError, match=present):
            load_folder(folder, loader=name.split(maxsplit=1)[0])


@every_format
def test_extra_tensors(tiny: SimpleNamespace, write: Write, tmp_path: Path, name: str) -> None:
    """A tensor of no meaning is an error, since leaving it out might change the numbers."""
    files = FORMATS[name](tiny)
    content = files[weights_of(files)] | {"b_extra": tiny.b_enc}
    with pytest.raises(LoadError, match="'b_extra', which has no meaning"):
        load_folder(write(tmp_path, files | {weights_of(files): content}))


@every_format
@pytest.mark.parametrize("change", ["shape", "rank", "transposed"])
def test_mis_shaped_tensors(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, name: str, change: str
) -> None:
    """Tensors whose shapes do not fit together are refused, never broadcast."""
    files = FORMATS[name](tiny)
    content = files[weights_of(files)]
    for key, value in content.items():
        if isinstance(value, str) or (change == "transposed" and value.ndim < 2):
            continue
        if key == "activation_function.threshold" and change == "rank":
            continue  # some files hold thresholds as one row
        wrong = {"shape": value[:-1], "rank": value[None], "transposed": value.T}[change]
        folder = write(tmp_path / key, files | {weights_of(files): content | {key: wrong}})
        with pytest.raises(LoadError, match=r"shape|cannot be subtracted|= \d+, but"):
            load_folder(folder)


@every_format
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, name: str, bad: float
) -> None:
    """NaN and infinity in any tensor are refused, with their number."""
    files = FORMATS[name](tiny)
    content = files[weights_of(files)]
    for key, value in content.items():
        if isinstance(value, str):
            continue
        spoilt = value.copy()
        spoilt.flat[1] = bad
        folder = write(tmp_path / key, files | {weights_of(files): content | {key: spoilt}})
        with pytest.raises(LoadError, match="holds 1 values that are NaN or infinite"):
            load_folder(folder)


@every_format
@pytest.mark.parametrize("kept", [0, 1, 9, 0.5, 0.97])
def test_truncated_files(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, name: str, kept: float
) -> None:
    """A file cut anywhere, even to nothing, is called damaged."""
    files = FORMATS[name](tiny)
    folder = write(tmp_path, files)
    path = folder / weights_of(files)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept if isinstance(kept, int) else kept * len(content))])
    with pytest.raises(LoadError, match=r"truncated or damaged|must hold one autoencoder"):
        load_folder(folder, loader=name.split(maxsplit=1)[0])


@every_format
def test_files_of_another_kind(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, name: str
) -> None:
    """Text in place of weights is called damaged."""
    files = FORMATS[name](tiny)
    folder = write(tmp_path, files)
    (folder / weights_of(files)).write_text("<!DOCTYPE html> pre_bias latent_bias\n" * 20)
    with pytest.raises(LoadError, match="damaged"):
        load_folder(folder, loader=name.split(maxsplit=1)[0])


CONFIGURED = ["sae_lens", "dictionary_learning", "sparsify", "llama_scope", "llama_scope r1"]


@pytest.mark.parametrize("name", CONFIGURED)
@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "not json"])
def test_configurations_that_are_no_json(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, name: str, text: str
) -> None:
    """A configuration that is no JSON object is named as the trouble."""
    files = FORMATS[name](tiny)
    config = next(name for name in files if name.endswith(".json"))
    with pytest.raises(LoadError, match=rf"{config} (is no JSON|must hold a JSON object)"):
        load_folder(write(tmp_path, files | {config: text}))


@pytest.mark.parametrize("name", ["dictionary_learning", "openai"])
@pytest.mark.parametrize("depth", ["file", "tensor"])
def test_code_is_never_run(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, name: str, depth: str
) -> None:
    """A pickle that would create a file is refused with the code's name, and creates none."""
    files, mark = FORMATS[name](tiny), tmp_path / "executed"
    path = weights_of(files)
    content: Any = Payload(mark) if depth == "file" else files[path] | {"bias": Payload(mark)}
    folder = write(tmp_path / "sae", files | {path: content})
    with pytest.raises(LoadError, match=r"holds code \('[\w.]+'\).*It was not run|no SAE"):
        load_folder(folder)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Payload(mark)))
    assert mark.exists()  # the payload does work where it is let


def test_plain_pickles_are_refused(tmp_path: Path) -> None:
    """A pickle that is no torch file is refused likewise."""
    mark = tmp_path / "executed"
    (tmp_path / "sae").mkdir()
    (tmp_path / "sae" / "config.json").write_text(
        '{"trainer": {"trainer_class": "StandardTrainer"}}'
    )
    (tmp_path / "sae" / "ae.pt").write_bytes(pickle.dumps({"bias": Payload(mark)}))
    with pytest.raises(LoadError, match=r"ae\.pt"):
        load_folder(tmp_path / "sae")
    assert not mark.exists()


def test_pickled_arrays_are_refused(tiny: SimpleNamespace, tmp_path: Path) -> None:
    """Objects in an npz are never unpickled."""
    mark = tmp_path / "executed"
    (tmp_path / "sae").mkdir()
    arrays = gemma_scope(tiny)["params.npz"] | {"b_dec": np.array([Payload(mark)], object)}
    np.savez(tmp_path / "sae" / "params.npz", allow_pickle=True, **arrays)
    with pytest.raises(LoadError, match="cannot be read as npz"):
        load_folder(tmp_path / "sae")
    assert not mark.exists()


def test_something_else_saved_by_torch(tmp_path: Path) -> None:
    """A torch file that holds no state dict is refused."""
    torch.save([torch.ones(2)], tmp_path / "ae.pt")
    (tmp_path / "config.json").write_text('{"trainer": {"trainer_class": "StandardTrainer"}}')
    with pytest.raises(LoadError, match="must hold a state dict, but holds a list"):
        load_folder(tmp_path)
    torch.save({"bias": 3}, tmp_path / "ae.pt")
    with pytest.raises(LoadError, match=r"lacks 'encoder\.weight'"):
        load_folder(tmp_path)
