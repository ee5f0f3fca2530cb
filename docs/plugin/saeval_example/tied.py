"""Folders with a tied.npz: a TopK SAE whose decoder is its encoder, transposed.

A made-up format. The file holds `dictionary` [d_sae, d_in], `bias` [d_sae], `centre` [d_in] and
the whole number `k`.
"""

from pathlib import Path

from saeval.registry.entries import Entry
from saeval.sae import SAE, Origin
from saeval.sae.architectures import TopK, build
from saeval.sae.loaders.files import read_npz
from saeval.sae.loaders.tensors import exactly, scalar, transposed

FORMAT = "tied.npz (saeval-example)"
FILE = "tied.npz"


def matches(folder: Path) -> bool:
    """Whether the file is there."""
    return (folder / FILE).is_file()


def load(folder: Path, entry: Entry | None = None) -> SAE:  # noqa: ARG001, all loaders take it
    """The SAE in a folder, in float32.

    Raises:
        LoadError: if the file is damaged, or holds other arrays than these.
    """
    path = folder / FILE
    names = ["dictionary", "bias", "centre", "k"]
    found = exactly(read_npz(path), path, names, whole=["k"])
    return build(
        TopK,
        W_enc=transposed(found["dictionary"], "dictionary", path),
        b_enc=found["bias"],
        W_dec=found["dictionary"],
        b_dec=found["centre"],
        k=scalar(found["k"], "k", path),
        subtract_b_dec=True,
        origin=Origin(loader="tied", architecture="topk"),
    )
