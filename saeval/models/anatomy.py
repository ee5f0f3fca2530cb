"""Where things are in a model: its blocks, and the attention and MLP inside a block."""

import itertools
import re
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from saeval.errors import ModelError


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
    """Width of the residual stream."""
    embedding: str
    """The token embedding."""

    @property
    def device(self) -> torch.device:
        """Device of the network."""
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
        match = re.fullmatch(rf"{re.escape(self.blocks)}\.(\d+)(?:\.(.+))?", path)
        return (int(match[1]), match[2] or "") if match else None


def dissect(net: nn.Module) -> Anatomy:
    """Find the blocks by structure: the list with as many modules as the model has layers.

    Raises:
        ModelError: if no list of blocks is there, or blocks share weights (as in ALBERT), or a
            layer is spread over several lists (as in XLM).
    """
    names = {module: name for name, module in net.named_modules(remove_duplicate=True)}
    base = getattr(net, "base_model", net)
    decoder = net.get_decoder() if hasattr(net, "get_decoder") else net  # type: ignore[operator]
    depth = _depth(net)
    lists = _module_lists(decoder, names) or _module_lists(base, names)
    if not any(len(module) >= depth for module in lists.values()):
        sizes = ", ".join(f"{name} of {len(module)}" for name, module in lists.items())
        raise ModelError(
            f"{type(net).__name__} has no list of {depth} blocks (found: {sizes or 'none'}), so no "
            "layer can be named in it. Models whose layers share weights (ALBERT), or whose blocks "
            "hold several layers (LongCat), are not supported."
        )
    exact = {name: module for name, module in lists.items() if len(module) == depth}
    longest = max(lists, key=lambda name: len(lists[name]))
    blocks = _block_list(net, exact) if exact else longest
    embedding = net.get_input_embeddings()  # type: ignore[operator]
    if base is net and net.get_output_embeddings() is not None:  # type: ignore[operator]
        base = _without_head(net, blocks)  # its class names no base (Llama 4)
    return Anatomy(
        net,
        names[base],
        names[decoder] if _module_lists(decoder, names) else names[base],
        blocks,
        depth,
        _config(net).hidden_size,
        names[embedding],
    )


def _without_head(net: nn.Module, blocks: str) -> nn.Module:
    """The outermost module around the blocks that does not hold the output head too."""
    head = net.get_output_embeddings()  # type: ignore[operator]
    steps = blocks.split(".")
    paths = [".".join(steps[:depth]) for depth in range(1, len(steps))]
    around = [net.get_submodule(path) for path in paths]
    return next((module for module in around if head not in set(module.modules())), net)


def _module_lists(module: nn.Module, names: dict[nn.Module, str]) -> dict[str, nn.ModuleList]:
    """Lists of modules by full path, without those inside a module of another list."""
    prefix = f"{names[module]}." if names[module] else ""
    return {
        prefix + name: child
        for name, child in module.named_modules()
        if isinstance(child, nn.ModuleList) and not re.search(r"(^|\.)\d+\.", name)
    }


def _block_list(net: nn.Module, lists: dict[str, nn.ModuleList]) -> str:
    """The list whose modules pass one stream on, each to the next; a trial pass decides.

    Models have other lists of the same length, such as one norm per layer.
    """
    if len(lists) == 1:
        return next(iter(lists))
    inputs: dict[nn.Module, Tensor] = {}
    outputs: dict[nn.Module, Tensor] = {}

    def record(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        tensors = [value for value in (*args[:1], *kwargs.values()) if isinstance(value, Tensor)]
        result = output[0] if isinstance(output, tuple) else output
        if tensors and isinstance(result, Tensor):
            inputs[module], outputs[module] = tensors[0].clone(), result.clone()

    handles = [
        module.register_forward_hook(record, with_kwargs=True)
        for modules in lists.values()
        for module in modules
    ]
    weight = next(net.parameters())
    try:
        with torch.no_grad():
            net(input_ids=torch.zeros(1, 2, dtype=torch.int64, device=weight.device))
    finally:
        for handle in handles:
            handle.remove()
    stream_lists = [
        name
        for name, modules in lists.items()
        if all(
            before in outputs and after in inputs and torch.equal(outputs[before], inputs[after])
            for before, after in itertools.pairwise(modules)
        )
    ]
    if len(stream_lists) != 1:
        raise ModelError(
            f"{type(net).__name__} has {len(lists)} lists of as many modules as layers "
            f"({', '.join(lists)}), and {len(stream_lists) or 'none'} of them hand one stream "
            "on from each to the next, so no layer can be named in it."
        )
    return stream_lists[0]


def _config(net: nn.Module) -> Any:
    return net.config.get_text_config()  # type: ignore[union-attr,operator]


def _depth(net: nn.Module) -> int:
    """Number of layers of the part that reads text: the decoder, if there is an encoder too."""
    names = ("decoder_layers", "num_decoder_layers", "num_hidden_layers")
    for depth in (getattr(_config(net), name, None) for name in names):
        if isinstance(depth, int):
            return depth
    raise ModelError(
        f"The configuration of {type(net).__name__} does not say how many layers it has "
        "(num_hidden_layers)."
    )
