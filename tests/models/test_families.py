"""Every family of causal language models: what attention and MLP add makes up the stream."""

from collections.abc import Callable
from typing import Any

import tiny_families as families
import torch
from torch import Tensor, nn

from saeval.errors import ModelError
from saeval.models.anatomy import Anatomy, dissect
from saeval.models.sites import resolve
from saeval.sae import Site


class Unequal(Exception):
    """What is added does not make up the stream."""


def outcome(kind: str) -> str:
    """`equal`, or why the identity cannot be seen at every block: unbuilt, unrun, refused, unequal.

    Wherever both sites resolve, they are what is added, or the answer is `unequal`.
    """
    try:
        net = families.build(kind)
    except families.Unbuilt:
        return "unbuilt"
    ids = torch.arange(12).reshape(2, 6) + 4
    try:
        with torch.no_grad():
            net(input_ids=ids, use_cache=False)
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError):
        return "unrun"
    try:
        parts = dissect(net)
    except ModelError:
        return "refused"
    answers = {_at_block(parts, layer, ids) for layer in range(parts.n_layers)}
    return next(word for word in ("unequal", "refused", "equal") if word in answers)


def _at_block(parts: Anatomy, layer: int, ids: Tensor) -> str:
    names = ("hook_resid_pre", "hook_attn_out", "hook_mlp_out", "hook_resid_post")
    try:
        sites = [resolve(parts, f"blocks.{layer}.{name}") for name in names]
    except ModelError:
        return "refused"
    before, attention, mlp, after = hooked(parts.net, sites, ids)
    gap = (before + attention + mlp - after).abs().max() / after.abs().max()
    return "equal" if gap < 1e-5 else "unequal"


def hooked(net: nn.Module, sites: list[Site], ids: Tensor) -> list[Tensor]:
    """Activations at the sites, by nothing but torch's hooks."""
    seen: dict[int, Tensor] = {}

    def entering(place: int) -> Callable[[Any, tuple, dict], None]:
        def hook(_: object, args: tuple, kwargs: dict) -> None:
            x = args[0] if args else kwargs["hidden_states"]
            seen[place] = x.clone() * sites[place].factor

        return hook

    def leaving(place: int) -> Callable[[Any, Any, Any], None]:
        def hook(_: object, __: object, output: Any) -> None:
            x = output[0] if isinstance(output, tuple | list) else output
            seen[place] = x.clone() * sites[place].factor

        return hook

    handles = []
    for place, site in enumerate(sites):
        module = net.get_submodule(site.path)
        handles.append(
            module.register_forward_pre_hook(entering(place), with_kwargs=True)
            if site.side == "in"
            else module.register_forward_hook(leaving(place))
        )
    try:
        with torch.no_grad():
            net(input_ids=ids, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return [seen[place].reshape(*ids.shape, -1) for place in range(len(sites))]
