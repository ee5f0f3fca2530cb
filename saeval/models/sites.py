"""Names of places in a model -> the `Site` they mean."""

import dataclasses
import difflib
import itertools
import re
from collections.abc import Iterator

from torch import nn

from saeval.errors import ModelError
from saeval.models.anatomy import Anatomy
from saeval.models.hook_names import HOOKS, head_of
from saeval.sae import Site

_LAYERED = re.compile(
    r"(?P<kind>resid_post|resid_pre|mlp_out|mlp_in|att(?:ention|n)_out)_layer_(?P<layer>\d+)"
)
_HOOK = re.compile(r"blocks\.(?P<layer>\d+)\.(?P<hook>.*hook_\w+)(?:\[(?P<head>-?\d+)\])?")
_BY_HEAD = ("attn.hook_z", "attn.o.hook_in")
"""Hooks whose vectors are those of all heads, joined in order."""
_SHORT = re.compile(r"(?:layers?|h|blocks)\.(?P<layer>\d+)(?P<rest>(?:\..+)?)")

_WRAPPERS = ("model", "language_model", "text_model")
"""Module names that may stand before a text model's own parts, in any order."""


def resolve(parts: Anatomy, text: str) -> Site:
    """Site for a module path, a TransformerLens hook, or a name of another library.

    Raises:
        ModelError: if the model has no such place, with the nearest names; or the place is no
            module's input or output.
    """
    text = text.strip()
    site = _hook_site(parts, text) or _module_site(parts, text)
    if site is not None:
        return site
    raise ModelError(
        f"'{text}' names no place in {type(parts.net).__name__} ({parts.n_layers} layers in "
        f"'{parts.blocks}'). Nearest: {', '.join(_nearest_names(parts, text))}. Write a module "
        "path with ':in' or ':out', or a hook such as 'blocks.0.hook_resid_post'."
    )


def _module_site(parts: Anatomy, text: str) -> Site | None:
    """A module path: as written, under the base model, or a short name for one under the blocks."""
    site = Site.parse(text)
    paths = [
        site.path,
        f"{parts.base}.{site.path}",
        site.path.removeprefix(_base_prefix(parts.net)),
    ]
    if short := _SHORT.fullmatch(site.path):
        paths.append(parts.block(int(short["layer"])) + short["rest"])
    else:
        paths += _in_decoder(parts, site.path)
    modules = dict(parts.net.named_modules())
    for path in paths:
        if path in modules and path:
            return _check_module(modules[path], parts, dataclasses.replace(site, path=path))
    return None


def _in_decoder(parts: Anatomy, path: str) -> list[str]:
    """The same path in this model's text part, for a path of a class that wraps it differently.

    Files of SAEs name a block of Gemma 3 `model.layers.3`, `language_model.model.layers.3` or
    `model.language_model.layers.3`, by the class that it was trained with.
    """
    words = path.split(".")
    wrapping = list(itertools.takewhile(lambda word: word in _WRAPPERS, words))
    rest = words[len(wrapping) :]
    # Some decoders hold their blocks one module further in, beside an output head (Kosmos 2.5).
    around = dict.fromkeys([parts.decoder, parts.blocks.rpartition(".")[0]])
    return [".".join(filter(None, [start, *rest])) for start in around] if wrapping else []


def _check_module(module: nn.Module, parts: Anatomy, site: Site) -> Site:
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


def _hook_site(parts: Anatomy, text: str) -> Site | None:
    if text in ("embed", "hook_embed", "embed.hook_out"):
        return Site(parts.embedding, "out")
    if layered := _LAYERED.fullmatch(text):
        kind = layered["kind"].replace("attention", "attn")
        hook, layer, head = f"hook_{kind}", int(layered["layer"]), None
        hook = "mlp.hook_in" if kind == "mlp_in" else hook
    elif hooked := _HOOK.fullmatch(text):
        hook, layer, head = hooked["hook"], int(hooked["layer"]), hooked["head"]
    else:
        return None
    parts.block(layer)
    if head is not None:
        if hook not in _BY_HEAD:
            raise ModelError(
                f"'{text}' names one head (hook_head_index), and heads are only told apart at "
                f"{' and '.join(_BY_HEAD)}. Use 'blocks.{layer}.attn.hook_z[{head}]'."
            )
        return head_of(parts, layer, int(head))
    rule = HOOKS.get(hook)
    return rule(parts, layer) if rule else None


def _all_names(parts: Anatomy) -> Iterator[str]:
    yield "embed"
    for layer in range(parts.n_layers):
        yield f"layers.{layer}"
        yield from (f"blocks.{layer}.{hook}" for hook in HOOKS)
    yield from (name for name, _ in parts.net.named_modules() if name)


def _nearest_names(parts: Anatomy, text: str) -> list[str]:
    close = difflib.get_close_matches(text, list(_all_names(parts)), n=4, cutoff=0.5)
    return close or [parts.block(0), "blocks.0.hook_resid_post", "embed"]


def _base_prefix(net: nn.Module) -> str:
    return f"{getattr(net, 'base_model_prefix', '')}."
