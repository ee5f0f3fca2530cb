"""Names of hooks -> the `Site` they mean, by following the block, not by matching names."""

from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from saeval.errors import ModelError
from saeval.models.anatomy import Anatomy
from saeval.models.flow import TOKENS, Call, GraphNode
from saeval.models.stream import is_norm
from saeval.models.sublayers import Sublayer, Sublayers, is_matrix, sublayers
from saeval.sae import Site

HookRule = Callable[[Anatomy, int], Site]
"""Finds the tensor of a layer that a hook means."""


def head_of(parts: Anatomy, layer: int, head: int) -> Site:
    """One head of `hook_z`.

    Raises:
        ModelError: if attention has no such head, or its heads cannot be told apart.
    """
    block = sublayers(parts, layer)
    last = _last_matrix(block, block.attention)
    n_heads, size = _head_shape(block, last)
    if not 0 <= head < n_heads:
        raise ModelError(
            f"'{block.flow.block}' has {n_heads} heads, numbered from 0, and no head {head} "
            "(hook_head_index)."
        )
    return Site(block.path(last.path), "in", (head * size, (head + 1) * size))


def _block_side(side: Literal["in", "out"]) -> HookRule:
    return lambda parts, layer: Site(parts.block(layer), side)


def _attention_added(parts: Anatomy, layer: int) -> Site:
    block = sublayers(parts, layer)
    return _addition(block, block.attention, "attention")


def _mlp_added(parts: Anatomy, layer: int) -> Site:
    block = sublayers(parts, layer)
    return _addition(block, block.mlp, "the MLP")


def _addition(block: Sublayers, part: Sublayer, label: str) -> Site:
    if part.emitted is None or not part.factor:
        raise ModelError(
            f"What {label} adds in '{block.flow.block}' of {type(block.parts.net).__name__} is no "
            "module's output: it is weighted after the last one. Name a module by its path: "
            f"{block.outputs}."
        )
    return Site(block.path(part.emitted.path), "out", None, part.factor)


def _attention_emitted(parts: Anatomy, layer: int) -> Site:
    block = sublayers(parts, layer)
    return _module_side(block, block.attention, "out")


def _attention_taken(parts: Anatomy, layer: int) -> Site:
    block = sublayers(parts, layer)
    return _module_side(block, block.attention, "in")


def _mlp_emitted(parts: Anatomy, layer: int) -> Site:
    block = sublayers(parts, layer)
    return _module_side(block, block.mlp, "out")


def _mlp_taken(parts: Anatomy, layer: int) -> Site:
    block = sublayers(parts, layer)
    return _module_side(block, block.mlp, "in")


def _module_side(block: Sublayers, part: Sublayer, side: Literal["in", "out"]) -> Site:
    """Input or output of the module that computes a sublayer, before any scaling or norm."""
    enclosing = [
        call for call in block.flow.calls if all(call.holds(inner) for inner in part.calls)
    ]
    if len(part.calls) == 1:
        return Site(block.path(part.calls[0].path), side)
    if enclosing:
        return Site(block.path(max(enclosing, key=lambda call: call.began).path), side)
    if side == "out":
        return Site(block.path(_last_matrix(block, part).path), side)
    first = _first_calls(block, part.calls)
    if len({call.input_node for call in first}) != 1:
        raise _no_single_part(block, "module that takes all its input")
    return Site(block.path(first[0].path), side)


def _first_calls(block: Sublayers, calls: Iterable[Call]) -> list[Call]:
    """Runs that do not read the output of another of them."""
    by_output = {call.output_node: call for call in calls}
    first = []
    for call in by_output.values():
        stack, visited = [call.input_node] if call.input_node else [], set[GraphNode]()
        while stack:
            node = stack.pop()
            if node not in visited:
                visited.add(node)
                stack += [parent for parent, _ in block.flow.operations[node].parents]
        if not visited & by_output.keys():
            first.append(call)
    return first


def _attention_matrix(side: Literal["in", "out"]) -> HookRule:
    def rule(parts: Anatomy, layer: int) -> Site:
        block = sublayers(parts, layer)
        return Site(block.path(_last_matrix(block, block.attention).path), side)

    return rule


def _mlp_matrix(parts: Anatomy, layer: int) -> Site:
    block = sublayers(parts, layer)
    return Site(block.path(_last_matrix(block, block.mlp).path), "in")


def _last_matrix(block: Sublayers, part: Sublayer) -> Call:
    """The linear map whose output is what is added, up to norms and scaling."""
    flow = block.flow
    matrices = {call.output_node: call for call in flow.calls if is_matrix(call.module)}
    norms = {call.output_node: call.input_node for call in flow.calls if is_norm(call.module)}
    node: GraphNode | None = part.node
    while node is not None:
        if node in matrices and _token_vectors(matrices[node]):
            return matrices[node]
        operation = flow.operations[node]
        if node in norms:
            node = norms[node]
        elif operation.kind != "other" and len(operation.parents) == 1:
            node = operation.parents[0][0]
        else:
            break
    raise _no_single_part(block, "matrix that writes to the residual stream")


def _token_vectors(call: Call) -> bool:
    """Whether a run got one vector for each token: an expert gets only some tokens."""
    tensors = [value for value in (*call.args, *call.kwargs.values()) if isinstance(value, Tensor)]
    return bool(tensors) and tensors[0].numel() == TOKENS * tensors[0].shape[-1]


def _no_single_part(block: Sublayers, label: str) -> ModelError:
    return ModelError(
        f"'{block.flow.block}' of {type(block.parts.net).__name__} has no single {label} here, so "
        f"no site names it. Use an output: {block.outputs}."
    )


def _head_shape(block: Sublayers, last: Call) -> tuple[int, int]:
    """Number and size of the heads that are joined into a matrix's input, from the join's shape."""
    width = next(value for value in last.args if isinstance(value, Tensor)).shape[-1]
    stack = [last.input_node] if last.input_node else []
    while stack:
        node = stack.pop()
        shape = getattr(node[0], "_saved_self_sym_sizes", None)
        if shape and len(shape) >= 4 and shape[-1] * shape[-2] == width:
            return int(shape[-2]), int(shape[-1])
        operation = block.flow.operations[node]
        # A gate for each component (Qwen 3 Next) comes after the heads are joined.
        if operation.kind != "other" or node[0].name() == "MulBackward0":
            stack += [parent for parent, _ in operation.parents]
    raise ModelError(
        f"The heads that '{block.path(last.path)}:in' joins cannot be told apart, so none can be "
        "named (hook_head_index). Name its components, such as "
        f"'{block.path(last.path)}:in[0:64]'."
    )


def _middle_stream(parts: Anatomy, layer: int) -> Site:
    """The stream between attention and MLP, as the input of the module that reads it first."""
    block = sublayers(parts, layer)
    flow, height = block.flow, block.mlp.height
    alternatives = f"'blocks.{layer}.hook_resid_pre' or 'blocks.{layer}.mlp.hook_in'"
    if not height:
        raise ModelError(
            f"Block {layer} of {type(parts.net).__name__} has no stream between attention and "
            f"MLP: they run side by side, and both read what enters. Use {alternatives}."
        )
    middle = block.stream_path.stream[height]
    readers = [
        call
        for call in flow.calls
        if call.input_node is not None and flow.view_of(call.input_node, middle)
    ]
    if not readers or block.stream_path.copied[height]:
        raise ModelError(
            f"The stream between attention and MLP in block {layer} of {type(parts.net).__name__} "
            f"is no module's input, or a copy of it goes on. Use {alternatives}."
        )
    return Site(block.path(min(readers, key=lambda call: call.began).path), "in")


def _normalised_input(parts: Anatomy, layer: int) -> Site:
    """TransformerLens's `ln2.hook_normalized`, which stands before the gain of an RMS norm."""
    block = sublayers(parts, layer)
    site = _module_side(block, block.mlp, "in")
    inputs = {call.path: call.input_node for call in block.flow.calls}
    mlp_input = inputs[site.path.removeprefix(f"{block.flow.block}.")]
    norms = [
        call for call in block.flow.calls if call.output_node == mlp_input and is_norm(call.module)
    ]
    if not norms:
        raise ModelError(
            f"No norm stands before the MLP in '{block.flow.block}', so "
            f"'blocks.{layer}.ln2.hook_normalized' names nothing. Use 'blocks.{layer}.mlp.hook_in'."
        )
    if not _subtracts_mean(norms[0]):
        raise ModelError(
            f"'blocks.{layer}.ln2.hook_normalized' is the value before the RMS norm's gain, which "
            "no module emits. Multiply the SAE's encoder rows by the reciprocal of that gain and "
            f"read 'blocks.{layer}.mlp.hook_in'."
        )
    return site


def _subtracts_mean(call: Call) -> bool:
    """Whether adding the same number to every component changes nothing."""
    x = next(value for value in (*call.args, *call.kwargs.values()) if isinstance(value, Tensor))
    with torch.no_grad():
        output, shifted_output = call.module(x), call.module(x + 3 * x.std())
    return bool((shifted_output - output).abs().max() < 0.05 * output.abs().max())


def _after_norm(addition: HookRule) -> HookRule:
    """The output of the norm behind a sublayer: bridges name the norm, not what is added."""

    def rule(parts: Anatomy, layer: int) -> Site:
        site = addition(parts, layer)
        module: nn.Module = parts.module(site.path)
        if not is_norm(module):
            raise ModelError(
                f"No norm stands behind the sublayer that '{site.path}' ends, so there is no "
                f"output of one. Use '{site}'."
            )
        return Site(site.path, "out")

    return rule


HOOKS: dict[str, HookRule] = {
    "hook_resid_post": _block_side("out"),
    "hook_out": _block_side("out"),
    "hook_resid_pre": _block_side("in"),
    "hook_in": _block_side("in"),
    "hook_resid_mid": _middle_stream,
    "hook_mlp_in": _middle_stream,
    "ln2.hook_in": _middle_stream,
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
    "ln2.hook_normalized": _normalised_input,
}
"""Names of TransformerLens's hooks inside `blocks.N`: those of HookedTransformer, then of its
bridges, whose `attn` and `mlp` are the modules themselves, before any scaling or norm."""
