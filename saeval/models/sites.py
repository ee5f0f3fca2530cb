"""What people call a place in a model -> the `Site` it is."""

import difflib
import re
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from saeval.errors import ModelError
from saeval.models import anatomy
from saeval.models.anatomy import Anatomy
from saeval.sae import Site

_LAYERED = re.compile(
    r"(?P<kind>resid_post|resid_pre|mlp_out|mlp_in|att(?:ention|n)_out)_layer_(?P<layer>\d+)"
)
_HOOK = re.compile(r"blocks\.(?P<layer>\d+)\.(?P<hook>.*hook_\w+)")
_SHORT = re.compile(r"(?:layers?|h|blocks)\.(?P<layer>\d+)(?P<rest>(?:\..+)?)")

_AliasRule = Callable[[Anatomy, int], Site]


def resolve(parts: Anatomy, text: str) -> Site:
    """Site for a module path, a TransformerLens hook, or a name of another library.

    Raises:
        ModelError: if the model has no such place, with the nearest names; or the place is no
            module's input or output.
    """
    text = text.strip()
    for found in (_alias(parts, text), _module(parts, text)):
        if found is not None:
            return found
    raise ModelError(
        f"'{text}' names no place in {type(parts.net).__name__} ({parts.n_layers} layers in "
        f"'{parts.blocks}'). Nearest: {', '.join(_nearest(parts, text))}. Write a module "
        "path with ':in' or ':out', or a hook such as 'blocks.0.hook_resid_post'."
    )


def _module(parts: Anatomy, text: str) -> Site | None:
    """A module path: as written, under the base model, or short for one under the blocks."""
    site = Site.parse(text)
    paths = [site.path, f"{parts.base}.{site.path}", site.path.removeprefix(_prefix(parts.net))]
    if short := _SHORT.fullmatch(site.path):
        paths.append(parts.block(int(short["layer"])) + short["rest"])
    modules = dict(parts.net.named_modules())
    for path in paths:
        if path in modules and path:
            return _checked(modules[path], parts, Site(path, site.side))
    return None


def _checked(module: nn.Module, parts: Anatomy, site: Site) -> Site:
    if isinstance(module, nn.ModuleList | nn.ModuleDict):
        raise ModelError(
            f"'{site.path}' is a list of modules and emits nothing itself. Name one of them, such "
            f"as '{site.path}.{next(iter(dict(module.named_children())), 0)}'."
        )
    if parts.base and site.path != parts.base and not site.path.startswith(f"{parts.base}."):
        raise ModelError(
            f"'{site.path}' lies behind the final hidden state, where no SAE can be spliced in. "
            f"Name a module under '{parts.base}', such as '{parts.block(parts.n_layers - 1)}'."
        )
    return site


def _alias(parts: Anatomy, text: str) -> Site | None:
    if text in ("embed", "hook_embed"):
        return Site(parts.embedding, "out")
    if layered := _LAYERED.fullmatch(text):
        kind = layered["kind"].replace("attention", "attn")
        hook, layer = f"hook_{kind}", int(layered["layer"])
        hook = "mlp.hook_in" if kind == "mlp_in" else hook
    elif hooked := _HOOK.fullmatch(text):
        hook, layer = hooked["hook"], int(hooked["layer"])
    else:
        return None
    parts.block(layer)
    rule = _HOOKS.get(hook)
    return rule(parts, layer) if rule else None


def _whole(side: str) -> _AliasRule:
    return lambda parts, layer: Site(parts.block(layer), "in" if side == "in" else "out")


def _inside(find: Callable[[nn.Module, int], str], side: str) -> _AliasRule:
    def rule(parts: Anatomy, layer: int) -> Site:
        block = parts.module(parts.block(layer))
        return Site(
            f"{parts.block(layer)}.{find(block, parts.width)}", "in" if side == "in" else "out"
        )

    return rule


def _normalised(parts: Anatomy, layer: int) -> Site:
    """TransformerLens's `ln2.hook_normalized`, which stands before the gain of an RMS norm."""
    block = parts.module(parts.block(layer))
    if anatomy.normalises_by_rms(block):
        raise ModelError(
            f"'blocks.{layer}.ln2.hook_normalized' is the value before the RMS norm's gain, which "
            "no module emits. Multiply the SAE's encoder rows by the reciprocal of that gain and "
            f"read 'blocks.{layer}.mlp.hook_in'."
        )
    return _inside(anatomy.mlp_in, "in")(parts, layer)


def _between(parts: Anatomy, layer: int) -> Site:
    """The stream between attention and MLP: what the norm before the MLP reads.

    Which module that is, one token tells: the one whose output is the MLP's input.
    """
    path = parts.block(layer)
    block = parts.module(path)
    mlp = block.get_submodule(anatomy.mlp_in(block, parts.width))
    seen = _trace(parts, block)
    into_block = seen[block][0]
    into_mlp = seen[mlp][0]
    for name, module in block.named_modules():
        entering, leaving = seen.get(module, (None, None))
        if "norm" not in type(module).__name__.lower() or entering is None:
            continue
        if leaving is into_mlp and entering is not into_block:
            return Site(f"{path}.{name}", "in")
    raise ModelError(
        f"Block {layer} of {type(parts.net).__name__} has no stream between attention and MLP "
        "that a module reads: they run side by side, or nothing normalises there. Use "
        f"'blocks.{layer}.hook_resid_pre' or 'blocks.{layer}.mlp.hook_in'."
    )


def _trace(
    parts: Anatomy, block: nn.Module
) -> dict[nn.Module, tuple[Tensor | None, Tensor | None]]:
    """What enters and leaves each module of a block, on two tokens."""
    seen: dict[nn.Module, tuple[Tensor | None, Tensor | None]] = {}

    def note(module: nn.Module, args: tuple, output: object) -> None:
        entering = args[0] if args and isinstance(args[0], Tensor) else None
        seen[module] = (entering, output if isinstance(output, Tensor) else None)

    handles = [module.register_forward_hook(note) for module in block.modules()]
    try:
        with torch.no_grad():
            parts.module(parts.base)(torch.zeros(1, 2, dtype=torch.int64, device=parts.device))
    finally:
        for handle in handles:
            handle.remove()
    return seen


_HOOKS: dict[str, _AliasRule] = {
    "hook_resid_post": _whole("out"),
    "hook_out": _whole("out"),
    "hook_resid_pre": _whole("in"),
    "hook_in": _whole("in"),
    "hook_resid_mid": _between,
    "hook_mlp_in": _between,
    "hook_attn_out": _inside(anatomy.attention_out, "out"),
    "attn.hook_z": _inside(anatomy.attention_projection, "in"),
    "hook_mlp_out": _inside(anatomy.mlp_out, "out"),
    "mlp.hook_in": _inside(anatomy.mlp_in, "in"),
    "mlp.hook_post": _inside(anatomy.mlp_projection, "in"),
    "ln2.hook_normalized": _normalised,
}


def _names(parts: Anatomy) -> Iterator[str]:
    yield "embed"
    for layer in range(parts.n_layers):
        yield f"layers.{layer}"
        yield from (f"blocks.{layer}.{hook}" for hook in _HOOKS)
    yield from (name for name, _ in parts.net.named_modules() if name)


def _nearest(parts: Anatomy, text: str) -> list[str]:
    close = difflib.get_close_matches(text, list(_names(parts)), n=4, cutoff=0.5)
    return close or [parts.block(0), "blocks.0.hook_resid_post", "embed"]


def _prefix(net: nn.Module) -> str:
    return f"{getattr(net, 'base_model_prefix', '')}."
