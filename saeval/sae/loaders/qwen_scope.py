"""Qwen Scope: one torch file per layer, layerN.sae.pt; the repository's name has k and model."""

import re
from pathlib import Path
from typing import Any

from saeval.errors import LoadError
from saeval.registry.entries import Entry
from saeval.sae import SAE, Origin
from saeval.sae.architectures import TopK, build
from saeval.sae.loaders.files import one_file, read_torch
from saeval.sae.loaders.names import match_name
from saeval.sae.loaders.tensors import check_width, exactly, transposed

FORMAT = "layerN.sae.pt (Qwen Scope)"

FILE = re.compile(r"layer(\d+)\.sae\.pt")
REPOSITORY = re.compile(r"SAE-Res-(?P<model>.+?)-W(?P<width>\d+)K-L0_(?P<k>\d+)")
"""Name of a repository: it states model, width in units of 1024 latents, and k."""
WEIGHTS = ("W_enc", "b_enc", "W_dec", "b_dec")


def matches(folder: Path) -> bool:
    """Whether it is such a file, or a folder with some."""
    paths = [folder] if folder.is_file() else folder.glob("*.pt")
    return any(FILE.fullmatch(path.name) for path in paths)


def load(folder: Path, entry: Entry | None = None) -> SAE:
    """The TopK of one layer, in float32, without subtraction of b_dec.

    Both matrices are stored transposed: W_enc [latents, width], W_dec [width, latents].

    Raises:
        LoadError: if several layers are there and none is named, if no name tells k, or if the
            file is damaged, incomplete or contradicts the name.
    """
    path = one_file(folder, lambda file: FILE.fullmatch(file.name) is not None)
    match = match_name(REPOSITORY, path, entry)
    if match is None:
        raise LoadError(
            f"k of {path} stands only in its repository's name, such as "
            "SAE-Res-Qwen3-1.7B-Base-W32K-L0_50, and neither the file's folders nor a registry's "
            "source say it. Keep the file in a folder of that name."
        )
    tensors = exactly(read_torch(path), path, WEIGHTS)
    weights: dict[str, Any] = {
        name: transposed(tensors[name], name, path) if name.startswith("W") else tensors[name]
        for name in WEIGHTS
    }
    layer = FILE.fullmatch(path.name)
    sae = build(
        TopK,
        **weights,
        k=int(match["k"]),
        subtract_b_dec=False,
        origin=Origin(
            loader="qwen_scope",
            architecture="topk",
            model=f"Qwen/{match['model']}",
            read_site=f"blocks.{layer[1]}.hook_resid_post" if layer else None,
            metadata={"repository": match[0]},
        ),
    )
    if sae.d_sae >= 1024:  # the name counts in units of 1024, which a cut-down SAE falls below
        check_width(int(match["width"]) * 1024, sae.d_sae, f"width (in '{match[0]}')", path)
    return sae
