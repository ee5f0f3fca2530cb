"""Reprs of SAEs: one line with what tells them apart, and never a tensor."""

from dataclasses import replace
from pathlib import Path

import pytest
import tiny_runs
import torch

import saeval
from saeval.sae import Origin
from saeval.sae.architectures import ARCHITECTURES
from saeval.sae.architectures.transcoder import Transcoder
from saeval.sae.architectures.transforms import LayerNorm
from saeval.sae.architectures.wrapped import wrap
from saeval.sae.loaders import saeval_format
from saeval.sae.short_repr import short_repr


class Mine:
    """Anybody's object."""

    d_in = 16

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Positive entries."""
        return x.relu()

    def decode(self, acts: torch.Tensor) -> torch.Tensor:
        """As they are."""
        return acts


@pytest.mark.parametrize("architecture", ARCHITECTURES.values())
def test_every_architecture_has_the_short_repr(architecture: type) -> None:
    """None prints its tensors, which a dataclass would."""
    assert architecture.__repr__ is short_repr


@pytest.mark.parametrize(
    "name, shown",
    [
        ("lab/world/topk-16", "TopK(d_in=128, d_sae=1024, k=16, from lab/world/topk-16)"),
        ("lab/world/relu-16", "ReLU(d_in=128, d_sae=1024, from lab/world/relu-16)"),
        ("lab/world/pca", "PCA(d_in=128, d_sae=128, k=16, from lab/world/pca)"),
        ("lab/world/neurons", "Neurons(d_in=128, d_sae=128, k=16, from lab/world/neurons)"),
    ],
)
def test_an_sae_says_sizes_constants_and_its_name(name: str, shown: str) -> None:
    """Loaded by name it says the name."""
    assert repr(saeval.load_sae(name)) == shown


def test_other_parts_are_named_by_their_type() -> None:
    """A transform, an inner SAE and an object are said by name, constants only if unusual."""
    topk = replace(tiny_runs.topk(), transform=LayerNorm(), subtract_b_dec=False)
    assert repr(topk) == "TopK(d_in=16, d_sae=32, k=4, subtract_b_dec=False, transform=LayerNorm)"
    inner = tiny_runs.topk()
    assert repr(Transcoder(inner)) == "Transcoder(d_in=16, d_sae=32, inner=TopK)"
    assert repr(wrap(Mine())) == "Wrapped(d_in=16, d_sae=16, foreign=Mine)"


def test_a_hostile_name_is_safe() -> None:
    """Control characters of a name do not reach the terminal."""
    sae = replace(tiny_runs.topk(), origin=Origin(source="a\x1b[2J\u202eb"))
    assert repr(sae).endswith("from a\ufffd[2J\ufffdb)")


def test_the_name_is_no_part_of_the_sae(tmp_path: Path) -> None:
    """It enters neither the content's hash nor the file."""
    folder = tiny_runs.sae_folder(tmp_path / "a")
    sae = saeval.load_sae(folder)
    assert repr(sae).endswith(f"from {folder.name})")
    other = replace(sae, origin=replace(sae.origin, source="other"))  # type: ignore[type-var]
    assert saeval.sae.content_hash(sae) == saeval.sae.content_hash(other)  # type: ignore[attr-defined]
    saeval_format.save(other, tmp_path / "b")
    assert (tmp_path / "b" / "saeval.json").read_text() == (folder / "saeval.json").read_text()
