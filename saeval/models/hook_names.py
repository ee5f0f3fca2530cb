"""Names of hooks -> the `Site` they mean, found by following the block, not by matching names."""

from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from saeval.errors import ModelError
from saeval.models.anatomy import Anatomy
from saeval.models.flow import TOKENS, Call, Node
from saeval.models.stream import is_norm
from saeval.models.sublayers import Sublayer, Sublayers, is_matrix, sublayers
from saeval.sae import Site

Rule = Callable[[Anatomy, int], Site]
"""Which tensor of a layer a hook is."""


def head_of(parts: Anatomy, layer: int, head: int) -> Site:
    """One head of `hook_z`.

    Raises:
        ModelError: if attention has no such head, or its heads cannot be told apart.
    """
    found = sublayers(parts, layer)
    last = _last_matrix(found, found.attention)
    n_heads, size = _heads(found, last)
    if not 0 <= head < n_heads:
        raise ModelError(
            f"'{found.flow.block}' has {n_heads} heads, numbered from 0, and no head {head} "
            "(hook_head_index)."
        )
    return Site(found.path(last.path), "in", (head * size, (head + 1) * size))


def _whole(side: Literal["in", "out"]) -> Rule:
    return lambda parts, layer: Site(parts.block(layer), side)


def _attention_added(parts: Anatomy, layer: int) -> Site:
    found = sublayers(parts, layer)
    return _added(found, found.attention, "attention")


def _mlp_added(parts: Anatomy, layer: int) -> Site:
    found = sublayers(parts, layer)
    return _added(found, found.mlp, "the MLP")


def _added(found: Sublayers, part: Sublayer, what: str) -> Site:
    if part.emitted is None or not part.factor:
        raise ModelError(
            f"What {what} adds in '{found.flow.block}' of {type(found.parts.net).__name__} is no "
            "module's output: it is weighted after the last one. Name a module by its path: "
            f"{found.outputs}."
        )
    return Site(found.path(part.emitted.path), "out", None, part.factor)


def _attention_emitted(parts: Anatomy, layer: int) -> Site:
    found = sublayers(parts, layer)
    return _module_side(found, found.attention, "out")


def _attention_taken(parts: Anatomy, layer: int) -> Site:
    found = sublayers(parts, layer)
    return _module_side(found, found.attention, "in")


def _mlp_emitted(parts: Anatomy, layer: int) -> Site:
    found = sublayers(parts, layer)
    return _module_side(found, found.mlp, "out")


def _mlp_taken(parts: Anatomy, layer: int) -> Site:
    found = sublayers(parts, layer)
    return _module_side(found, found.mlp, "in")


def _module_side(found: Sublayers, part: Sublayer, side: Literal["in", "out"]) -> Site:
    """Input or output of the module that does a sublayer's work, whatever becomes of it after."""
    around = [call for call in found.flow.calls if all(call.holds(inner) for inner in part.calls)]
    if len(part.calls) == 1:
        return Site(found.path(part.calls[0].path), side)
    if around:
        return Site(found.path(max(around, key=lambda call: call.began).path), side)
    if side == "out":
        return Site(found.path(_last_matrix(found, part).path), side)
    first = _first_calls(found, part.calls)
    if len({call.entering for call in first}) != 1:
        raise _no_single(found, "module that takes all its input")
    return Site(found.path(first[0].path), side)


def _first_calls(found: Sublayers, calls: Iterable[Call]) -> list[Call]:
    """Those runs that read nothing that another of them made."""
    made = {call.leaving: call for call in calls}
    first = []
    for call in made.values():
        stack, seen = [call.entering] if call.entering else [], set[Node]()
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                stack += [parent for parent, _ in found.flow.steps[node].parents]
        if not seen & made.keys():
            first.append(call)
    return first


def _attention_matrix(side: Literal["in", "out"]) -> Rule:
    def rule(parts: Anatomy, layer: int) -> Site:
        found = sublayers(parts, layer)
        return Site(found.path(_last_matrix(found, found.attention).path), side)

    return rule


def _mlp_matrix(parts: Anatomy, layer: int) -> Site:
    found = sublayers(parts, layer)
    return Site(found.path(_last_matrix(found, found.mlp).path), "in")


def _last_matrix(found: Sublayers, part: Sublayer) -> Call:
    """The linear map whose output becomes what is added, by nothing but norms and scaling."""
    flow = found.flow
    matrices = {call.leaving: call for call in flow.calls if is_matrix(call.module)}
    norms = {call.leaving: call.entering for call in flow.calls if is_norm(call.module)}
    node: Node | None = part.node
    while node is not None:
        if node in matrices and _token_vectors(matrices[node]):
            return matrices[node]
        step = flow.steps[node]
        if node in norms:
            node = norms[node]
        elif step.kind != "other" and len(step.parents) == 1:
            node = step.parents[0][0]
        else:
            break
    raise _no_single(found, "matrix that writes to the residual stream")


def _token_vectors(call: Call) -> bool:
    """Whether a run was given one vector for each token: an expert is given those of some."""
    tensors = [value for value in (*call.args, *call.kwargs.values()) if isinstance(value, Tensor)]
    return bool(tensors) and tensors[0].numel() == TOKENS * tensors[0].shape[-1]


def _no_single(found: Sublayers, what: str) -> ModelError:
    return ModelError(
        f"'{found.flow.block}' of {type(found.parts.net).__name__} has no single {what} here, so "
        f"no site names it. Use an output: {found.outputs}."
    )


def _heads(found: Sublayers, last: Call) -> tuple[int, int]:
    """Number and size of the heads that are joined to what a matrix takes: by how it was joined."""
    width = next(value for value in last.args if isinstance(value, Tensor)).shape[-1]
    stack = [last.entering] if last.entering else []
    while stack:
        node = stack.pop()
        shape = getattr(node[0], "_saved_self_sym_sizes", None)
        if shape and len(shape) >= 4 and shape[-1] * shape[-2] == width:
            return int(shape[-2]), int(shape[-1])
        step = found.flow.steps[node]
        # A gate for each component (Qwen 3 Next) comes after the heads are joined.
        if step.kind != "other" or node[0].name() == "MulBackward0":
            stack += [parent for parent, _ in step.parents]
    raise ModelError(
        f"The heads that '{found.path(last.path)}:in' joins cannot be told apart, so none can be "
        "named (hook_head_index). Name its components, such as "
        f"'{found.path(last.path)}:in[0:64]'."
    )


def _between(parts: Anatomy, layer: int) -> Site:
    """The stream between attention and MLP, at the module that reads it first."""
    found = sublayers(parts, layer)
    flow, height = found.flow, found.mlp.height
    before = f"'blocks.{layer}.hook_resid_pre' or 'blocks.{layer}.mlp.hook_in'"
    if not height:
        raise ModelError(
            f"Block {layer} of {type(parts.net).__name__} has no stream between attention and "
            f"MLP: they run side by side, and both read what enters. Use {before}."
        )
    middle = found.way.stream[height]
    readers = [
        call
        for call in flow.calls
        if call.entering is not None and flow.view_of(call.entering, middle)
    ]
    if not readers or found.way.copied[height]:
        raise ModelError(
            f"The stream between attention and MLP in block {layer} of {type(parts.net).__name__} "
            f"is no module's input, or a copy of it goes on. Use {before}."
        )
    return Site(found.path(min(readers, key=lambda call: call.began).path), "in")


def _normalised(parts: Anatomy, layer: int) -> Site:
    """TransformerLens's `ln2.hook_normalized`, which stands before the gain of an RMS norm."""
    found = sublayers(parts, layer)
    taken = _module_side(found, found.mlp, "in")
    entering = {call.path: call.entering for call in found.flow.calls}
    wanted = entering[taken.path.removeprefix(f"{found.flow.block}.")]
    norms = [call for call in found.flow.calls if call.leaving == wanted and is_norm(call.module)]
    if not norms:
        raise ModelError(
            f"No norm stands before the MLP in '{found.flow.block}', so "
            f"'blocks.{layer}.ln2.hook_normalized' names nothing. Use 'blocks.{layer}.mlp.hook_in'."
        )
    if not _subtracts_mean(norms[0]):
        raise ModelError(
            f"'blocks.{layer}.ln2.hook_normalized' is the value before the RMS norm's gain, which "
            "no module emits. Multiply the SAE's encoder rows by the reciprocal of that gain and "
            f"read 'blocks.{layer}.mlp.hook_in'."
        )
    return taken


def _subtracts_mean(call: Call) -> bool:
    """Whether adding the same number to every component changes nothing."""
    x = next(value for value in (*call.args, *call.kwargs.values()) if isinstance(value, Tensor))
    with torch.no_grad():
        plain, shifted = call.module(x), call.module(x + 3 * x.std())
    return bool((shifted - plain).abs().max() < 0.05 * plain.abs().max())


def _after_norm(added: Rule) -> Rule:
    """What is added, where the last module before that is a norm: bridges name the norm."""

    def rule(parts: Anatomy, layer: int) -> Site:
        site = added(parts, layer)
        module: nn.Module = parts.module(site.path)
        if not is_norm(module):
            raise ModelError(
                f"No norm stands behind the sublayer that '{site.path}' ends, so there is no "
                f"output of one. Use '{site}'."
            )
        return Site(site.path, "out")

    return rule


HOOKS: dict[str, Rule] = {
    "hook_resid_post": _whole("out"),
    "hook_out": _whole("out"),
    "hook_resid_pre": _whole("in"),
    "hook_in": _whole("in"),
    "hook_resid_mid": _between,
    "hook_mlp_in": _between,
    "ln2.hook_in": _between,
    "hook_attn_out": _attention_added,
    "ln1_post.hook_out": _after_norm(_attention_added),
    "attn.hook_in": _attention_taken,
    "attn.hook_out": _attention_emitted,
    "attn.hook_z": _attention_matrix("in"),
    "attn.o.hook_in": _attention_matrix("in"),
    "attn.o.hook_out": _attention_matrix("out"),
    "hook_mlp_out": _mlp_added,
    "ln2_post.hook_out": _after_norm(_mlp_added),
    "mlp.hook_in": _mlp_taken,
    "mlp.hook_out": _mlp_emitted,
    "mlp.hook_post": _mlp_matrix,
    "mlp.out.hook_in": _mlp_matrix,
    "ln2.hook_normalized": _normalised,
}
"""Names of TransformerLens's hooks inside `blocks.N`: those of HookedTransformer, then of its
bridges, whose `attn` and `mlp` are the modules as they are, before any scaling or norm."""
