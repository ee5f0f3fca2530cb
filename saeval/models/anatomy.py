"""Where things are in a model: its blocks, and the attention and MLP inside a block."""

import inspect
import re
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from saeval.errors import ModelError

_ATTENTION = re.compile(r"attention|attn", re.IGNORECASE)
_MLP = re.compile(r"MLP|FeedForward|FFN|MoE|Mlp|Moe")
_NORMS_BEFORE_ADDING = {
    "post_feedforward_layernorm": "post_attention_layernorm",
    "post_mlp_layernorm": "post_self_attn_layernorm",
}
"""Blocks that normalise what they add to the residual stream (Gemma 2 and 3, OLMo 2, GLM 4)
name that norm so: MLP side -> attention side. Elsewhere the second name is the norm *before*
the MLP, so only the first tells."""


@dataclass(frozen=True)
class Anatomy:
    """A network and the paths of its parts."""

    net: nn.Module = field(repr=False)
    base: str
    """The network without its output head; empty where the network has none."""
    decoder: str
    """The part that reads text: the base, or a module in it."""
    blocks: str
    """The list of blocks, such as `gpt_neox.layers`."""
    n_layers: int
    width: int
    """Of the residual stream."""
    embedding: str
    """The token embedding."""

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return next(self.net.parameters()).device

    @property
    def vocab_size(self) -> int:
        """Rows of the token embedding."""
        return self.module(self.embedding).weight.shape[0]  # type: ignore[union-attr]

    def module(self, path: str) -> nn.Module:
        """Module at a path; an empty path is the network."""
        return self.net.get_submodule(path)

    def block(self, layer: int) -> str:
        """Path of a block.

        Raises:
            ModelError: if the model has no such layer.
        """
        if not 0 <= layer < self.n_layers:
            raise ModelError(
                f"There is no layer {layer}: the model has {self.n_layers}, numbered from 0."
            )
        return f"{self.blocks}.{layer}"

    def split(self, path: str) -> tuple[int, str] | None:
        """Layer and the path inside it, or None for what lies outside the blocks."""
        inside = re.fullmatch(rf"{re.escape(self.blocks)}\.(\d+)(?:\.(.+))?", path)
        return (int(inside[1]), inside[2] or "") if inside else None


def dissect(net: nn.Module) -> Anatomy:
    """Find the blocks by structure: the longest list of modules in the decoder.

    Raises:
        ModelError: if no list of blocks is there, or blocks share weights (as in ALBERT).
    """
    names = {module: name for name, module in net.named_modules(remove_duplicate=True)}
    decoder = net.get_decoder() if hasattr(net, "get_decoder") else net  # type: ignore[operator]
    prefix = f"{names[decoder]}." if names[decoder] else ""
    lists = {
        prefix + name: len(module)
        for name, module in decoder.named_modules()
        if isinstance(module, nn.ModuleList) and not re.search(r"(^|\.)\d+\.", name)
    }
    depth = _depth(net)
    blocks = max(lists, key=lambda name: lists[name], default=None)
    if blocks is None or lists[blocks] < depth:
        raise ModelError(
            f"{type(net).__name__} has no list of {depth} blocks (found: "
            f"{', '.join(f'{name} of {size}' for name, size in lists.items()) or 'none'}), so no "
            "layer can be named in it. Models whose layers share weights are not supported."
        )
    base = getattr(net, "base_model", net)
    embedding = net.get_input_embeddings()  # type: ignore[operator]
    return Anatomy(
        net, names[base], names[decoder], blocks, depth, _config(net).hidden_size, names[embedding]
    )


def attention_out(block: nn.Module, width: int) -> str:
    """Path inside a block of the module that emits what attention adds to the stream."""
    for norm_of_mlp, norm_of_attention in _NORMS_BEFORE_ADDING.items():
        if hasattr(block, norm_of_mlp) and hasattr(block, norm_of_attention):
            return norm_of_attention
    name, module = _attention(block)
    return attention_projection(block, width) if _adds_residual(module) else name


def attention_projection(block: nn.Module, width: int) -> str:
    """Path inside a block of attention's output projection; its input is `hook_z`."""
    name, module = _attention(block)
    return f"{name}.{_last(module, _matrices(module, width))}"


def mlp_out(block: nn.Module, width: int) -> str:
    """Path inside a block of the module that emits what the MLP adds to the stream."""
    for norm_of_mlp in _NORMS_BEFORE_ADDING:
        if hasattr(block, norm_of_mlp):
            return norm_of_mlp
    name, module = _mlp(block)
    return mlp_projection(block, width) if module is None or _adds_residual(module) else name


def mlp_in(block: nn.Module, width: int) -> str:  # noqa: ARG001
    """Path inside a block of the module whose input is the MLP's input."""
    name, module = _mlp(block)
    return name if module is not None else _outside_attention(block)[0]


def mlp_projection(block: nn.Module, width: int) -> str:
    """Path inside a block of the MLP's last matrix; its input is the MLP's neurons."""
    name, module = _mlp(block)
    if module is None:
        return _last(block, _outside_attention(block, width))
    return f"{name}.{_last(module, _matrices(module, width))}"


def normalises_by_rms(block: nn.Module) -> bool:
    """Whether the block's norms divide by the root mean square and subtract no mean."""
    return any("rms" in type(module).__name__.lower() for module in block.modules())


def _config(net: nn.Module) -> Any:
    return net.config.get_text_config()  # type: ignore[union-attr,operator]


def _depth(net: nn.Module) -> int:
    depth = getattr(_config(net), "num_hidden_layers", None)
    if not isinstance(depth, int):
        raise ModelError(
            f"The configuration of {type(net).__name__} does not say how many layers it has "
            "(num_hidden_layers)."
        )
    return depth


def _attention(block: nn.Module) -> tuple[str, nn.Module]:
    for name, module in block.named_children():
        if _ATTENTION.search(type(module).__name__) and _matrices(module):
            return name, module
    raise ModelError(f"{type(block).__name__} has no attention module, so no site names it.")


def _mlp(block: nn.Module) -> tuple[str, nn.Module | None]:
    for name, module in block.named_children():
        if _MLP.search(type(module).__name__) and _matrices(module):
            return name, module
    if not _outside_attention(block):
        raise ModelError(f"{type(block).__name__} has no MLP, so no site names it.")
    return "", None


def _matrices(module: nn.Module, width: int | None = None) -> list[str]:
    """Linear maps in a module, in the order of definition; with a width, only those onto it."""
    found = []
    for name, part in module.named_modules():
        weight = getattr(part, "weight", None)
        if (
            not isinstance(weight, nn.Parameter)
            or weight.ndim != 2
            or isinstance(part, nn.Embedding)
        ):
            continue
        # GPT-2's Conv1D keeps its weight transposed, and its output width as `nf`.
        if name and (width is None or getattr(part, "nf", weight.shape[0]) == width):
            found.append(name)
    return found


def _outside_attention(block: nn.Module, width: int | None = None) -> list[str]:
    attention = _attention(block)[0] + "."
    return [name for name in _matrices(block, width) if not name.startswith(attention)]


def _last(module: nn.Module, matrices: list[str]) -> str:
    if not matrices:
        raise ModelError(
            f"{type(module).__name__} has no single matrix that writes to the residual stream, so "
            "no site names its input. Use its output."
        )
    return matrices[-1]


def _adds_residual(module: nn.Module) -> bool:
    """Whether a module adds the residual stream itself, as in BLOOM, MPT and BERT."""
    return "residual" in inspect.signature(module.forward).parameters or any(
        isinstance(part, nn.LayerNorm) and name.startswith("output.")
        for name, part in module.named_modules()
    )
