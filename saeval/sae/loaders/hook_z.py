"""Kissane's and Krzyzanowski's attention SAEs: one torch file whose name tells model and layer."""

import re
from pathlib import Path

from saeval.registry.entries import Entry
from saeval.sae import SAE, Origin
from saeval.sae.architectures import ReLU, build
from saeval.sae.loaders.files import one_file, read_torch
from saeval.sae.loaders.tensors import exactly, matrix

FORMAT = "MODEL_LN_Hcat_z*.pt (attention SAEs of Kissane and Krzyzanowski)"

FILE = re.compile(r"(?P<model>[\w.-]+?)_L(?P<layer>\d+)_Hcat_z.*\.pt")
WEIGHTS = ("W_enc", "b_enc", "W_dec", "b_dec")


def matches(folder: Path) -> bool:
    """Whether it is such a file, or a folder with some."""
    paths = [folder] if folder.is_file() else folder.glob("*.pt")
    return any(FILE.fullmatch(path.name) for path in paths)


def load(folder: Path, entry: Entry | None = None) -> SAE:  # noqa: ARG001, all loaders take it
    """The ReLU in a file, in float32, of all heads of a layer side by side.

    Source: SAELens, `connor_rob_hook_z_huggingface_loader`.

    Raises:
        LoadError: if there are several files and none is named, or one is damaged or incomplete.
    """
    path = one_file(folder, lambda file: FILE.fullmatch(file.name) is not None)
    tensors = exactly(read_torch(path), path, WEIGHTS)
    for name in ("W_enc", "W_dec"):
        matrix(tensors[name], name, path)
    match = FILE.fullmatch(path.name)
    return build(
        ReLU,
        **tensors,
        origin=Origin(
            loader="hook_z",
            architecture="relu",
            model=match["model"] if match else None,
            read_site=f"blocks.{match['layer']}.attn.hook_z" if match else None,
            prepend_bos=True,
            context_size=128,
        ),
    )
