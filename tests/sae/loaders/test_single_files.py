"""SAEs that are one file each: what the file's and the folders' names tell, and files by name."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tiny_formats import FORMATS, REPOSITORY, goodfire, hook_z, qresearch, qwen_scope, weights_of

from saeval.errors import LoadError
from saeval.registry.entries import Entry
from saeval.sae import content_hash, origin_of
from saeval.sae.loaders import load_folder

Write = Callable[..., Path]
Agrees = Callable[..., None]


def wide(tiny: SimpleNamespace) -> SimpleNamespace:
    """The weights in float64."""
    return SimpleNamespace(**{key: value.astype(np.float64) for key, value in vars(tiny).items()})


def test_qwen_scope(tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path) -> None:
    """A topk whose k and model are in the repository's name; b_dec is not subtracted."""
    sae = load_folder(write(tmp_path / REPOSITORY, qwen_scope(tiny)))
    w = wide(tiny)
    pre = w.x @ w.W_enc + w.b_enc
    f = pre * ((pre >= np.sort(pre, 1)[:, -3][:, None]) & (pre > 0))
    agrees(sae, tiny.x, f, f @ w.W_dec + w.b_dec)
    assert origin_of(sae).model == "Qwen/Qwen3-1.7B-Base"
    assert origin_of(sae).read_site == "blocks.3.hook_resid_post"


def test_qwen_scope_needs_its_k(tiny: SimpleNamespace, write: Write, tmp_path: Path) -> None:
    """Without a name that says k nothing is guessed; a registry's source says it too."""
    folder = write(tmp_path / "elsewhere", qwen_scope(tiny))
    with pytest.raises(LoadError, match="stands only in its repository's name"):
        load_folder(folder)
    source = "hf://Qwen/SAE-Res-Qwen3-8B-Base-W64K-L0_5/layer3.sae.pt"
    sae: Any = load_folder(folder, entry=Entry(id="a", source=source))
    assert (sae.k, origin_of(sae).model) == (5, "Qwen/Qwen3-8B-Base")


@pytest.mark.parametrize(
    "make, model",
    [
        (goodfire, "meta-llama/Llama-3.1-8B-Instruct"),
        (qresearch, "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"),
    ],
)
def test_goodfire_and_deepseek(
    tiny: SimpleNamespace,
    write: Write,
    agrees: Agrees,
    tmp_path: Path,
    make: Callable[[SimpleNamespace], dict[str, Any]],
    model: str,
) -> None:
    """A ReLU between two linear maps, of the model and layer that the file is named after."""
    sae = load_folder(write(tmp_path, make(tiny)))
    w = wide(tiny)
    f = np.maximum(w.x @ w.W_enc + w.b_enc, 0)
    agrees(sae, tiny.x, f, f @ w.W_dec + w.b_dec)
    assert origin_of(sae).model == model
    assert origin_of(sae).read_site == "blocks.19.hook_resid_post"


def test_attention_saes(
    tiny: SimpleNamespace, write: Write, agrees: Agrees, tmp_path: Path
) -> None:
    """A ReLU of all heads side by side, whose name says model and layer."""
    sae = load_folder(write(tmp_path, hook_z(tiny)))
    w = wide(tiny)
    f = np.maximum((w.x - w.b_dec) @ w.W_enc + w.b_enc, 0)
    agrees(sae, tiny.x, f, f @ w.W_dec + w.b_dec)
    assert (origin_of(sae).model, origin_of(sae).read_site) == (
        "gpt2-small",
        "blocks.5.attn.hook_z",
    )


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_in_place_of_its_folder(
    tiny: SimpleNamespace, write: Write, tmp_path: Path, name: str
) -> None:
    """Whoever names the weights, or the configuration beside them, gets what the folder gives."""
    files = FORMATS[name](tiny)
    folder = write(tmp_path / REPOSITORY, files)
    expected = content_hash(load_folder(folder))
    named = [weights_of(files)] + [one for one in files if one.endswith(".json")]
    for one in named:
        assert content_hash(load_folder(folder / one)) == expected, one
        loader = name.split(maxsplit=1)[0]
        assert content_hash(load_folder(folder / one, loader=loader)) == expected, one


def test_a_file_that_is_no_sae(tiny: SimpleNamespace, write: Write, tmp_path: Path) -> None:
    """A file that only lies beside an SAE is not taken for it."""
    folder = write(tmp_path, FORMATS["sae_lens"](tiny))
    (folder / "notes.txt").write_text("words")
    with pytest.raises(LoadError, match=r"notes\.txt is no SAE of a known format"):
        load_folder(folder / "notes.txt")
