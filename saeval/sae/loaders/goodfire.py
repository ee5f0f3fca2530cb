"""Goodfire's SAEs, and DeepSeek-R1's by qresearch: one torch file, named MODEL-SAE-lN."""

import re
from pathlib import Path

from saeval.errors import LoadError
from saeval.registry.entries import Entry
from saeval.sae import SAE, Origin
from saeval.sae.architectures import ReLU, build
from saeval.sae.loaders.files import mentions, one_file, read_torch
from saeval.sae.loaders.names import match_name
from saeval.sae.loaders.tensors import exactly, transposed

FORMAT = "one .pt or .pth file with encoder_linear, or named MODEL-SAE-lN (Goodfire, qresearch)"

NAME = re.compile(r"(?P<model>[\w.-]+)-SAE-l(?P<layer>\d+)(?=\.pth?$|/|$)")
FILE = re.compile(r".+-SAE-l\d+\.pth?")
LINEARS = (("encoder_linear", "decoder_linear"), ("encoder", "decoder"))
"""Names of the two linear maps: Goodfire's, then qresearch's."""
ORGANISATIONS = (
    (re.compile(r"DeepSeek-"), "deepseek-ai"),
    (re.compile(r"(Meta-)?Llama-"), "meta-llama"),
)
"""Publishers of the models that these SAEs are named after."""


def matches(folder: Path) -> bool:
    """Whether it is such a file, or a folder with one. Nothing is unpickled."""
    paths = [folder] if folder.is_file() else [*folder.glob("*.pt"), *folder.glob("*.pth")]
    return any(_is_sae_file(path) for path in paths)


def _is_sae_file(path: Path) -> bool:
    if path.suffix not in (".pt", ".pth"):
        return False
    if mentions(path, "encoder_linear.weight", "decoder_linear.weight"):
        return True
    return bool(FILE.fullmatch(path.name)) and mentions(path, "encoder.weight", "decoder.weight")


def load(folder: Path, entry: Entry | None = None) -> SAE:
    """The ReLU in a file, in float32, without subtraction of b_dec.

    Raises:
        LoadError: if there are several files and none is named, or one is damaged or incomplete.
    """
    path = one_file(folder, _is_sae_file)
    content = read_torch(path)
    encoder, decoder = LINEARS[f"{LINEARS[0][0]}.weight" not in content]
    names = [f"{linear}.{part}" for linear in (encoder, decoder) for part in ("weight", "bias")]
    tensors = exactly(content, path, names)
    match = match_name(NAME, path, entry)
    if match is None and encoder == "encoder":
        raise LoadError(f"{path} is named after no model and layer, as MODEL-SAE-lN.pt would be.")
    return build(
        ReLU,
        W_enc=transposed(tensors[names[0]], names[0], path),
        b_enc=tensors[names[1]],
        W_dec=transposed(tensors[names[2]], names[2], path),
        b_dec=tensors[names[3]],
        subtract_b_dec=False,
        origin=Origin(
            loader="goodfire",
            architecture="relu",
            model=_model(match["model"]) if match else None,
            read_site=f"blocks.{match['layer']}.hook_resid_post" if match else None,
        ),
    )


def _model(name: str) -> str:
    """Hub id of the model that a file is named after; the name alone if that is unknown."""
    organisation = next((org for family, org in ORGANISATIONS if family.match(name)), None)
    return f"{organisation}/{name}" if organisation else name
