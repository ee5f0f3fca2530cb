"""The way of the residual stream through a block: what is added to it, in order."""

from dataclasses import dataclass

from torch import nn

from saeval.models.flow import Flow, GraphNode


@dataclass(frozen=True, eq=False)
class StreamPath:
    """How a block's output comes from its input."""

    stream: tuple[GraphNode, ...]
    """The stream before the first addition, after it, and so on."""
    copied: tuple[bool, ...]
    """For each of these, whether the block goes on with a copy, which an edit would not reach."""
    additions: tuple[list[tuple[GraphNode, float]], ...]
    """The terms of each addition, with factors: outputs of modules, or other tensors."""
    plain: bool
    """Whether the stream only gets additions: it is neither scaled nor normalised."""
    carriers: set[GraphNode]
    """All tensors that are the stream, including copies and other shapes."""


def trace_stream(flow: Flow) -> StreamPath | None:
    """Follow the stream from a block's output back to its input.

    Most blocks add and do nothing else. Others (BERT) normalise after each addition, and go on
    from there. None if the output is no sum, or there are several ways back.
    """
    norms = {
        call.output_node: call.input_node
        for call in flow.calls
        if call.output_node is not None and call.input_node is not None and is_norm(call.module)
    }
    for passed_norms in ({}, norms):
        carriers = _carriers(flow, passed_norms)
        path = _walk_back(flow, carriers, passed_norms) if flow.end in carriers else None
        if path is not None:
            return path
    return None


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a norm: by its class name, and with no weights but gains and biases."""
    return (
        "norm" in type(module).__name__.lower()
        and all(weight.ndim <= 1 for weight in module.parameters())
        and not any(True for _ in module.children())
    )


def _carriers(flow: Flow, norms: dict[GraphNode, GraphNode]) -> set[GraphNode]:
    """Tensors that are the entering stream plus additions.

    With norms, also a norm's output of one: blocks that normalise after each addition (BERT)
    continue from there.
    """
    carriers = {flow.start}
    for node in flow.order:
        operation = flow.operations[node]
        parents = [parent for parent, _ in operation.parents] if operation.kind != "other" else []
        if any(parent in carriers for parent in (*parents, norms.get(node))):
            carriers.add(node)
    return carriers


def _walk_back(
    flow: Flow, carriers: set[GraphNode], norms: dict[GraphNode, GraphNode]
) -> StreamPath | None:
    """Walk from the block's output back to its input. None if there are several ways."""
    node, only_additions, is_copy = flow.end, True, False
    stream: list[GraphNode] = []
    copied: list[bool] = []
    additions: list[list[tuple[GraphNode, float]]] = []
    while node != flow.start:
        operation = flow.operations[node]
        if node in norms:
            only_additions, node = False, norms[node]
            continue
        carried = [(parent, factor) for parent, factor in operation.parents if parent in carriers]
        others = [
            (parent, factor) for parent, factor in operation.parents if parent not in carriers
        ]
        if operation.kind == "other" or len(carried) != 1:
            return None
        if others:
            stream.append(node)
            copied.append(is_copy)
            additions.append([term for other in others for term in _terms(flow, *other)])
            is_copy = False
        only_additions = only_additions and operation.kind != "fixed" and carried[0][1] == 1
        is_copy = is_copy or (operation.kind == "same" and not flow.view_of(node, carried[0][0]))
        node = carried[0][0]
    return StreamPath(
        (flow.start, *reversed(stream)),
        (is_copy, *reversed(copied)),
        tuple(reversed(additions)),
        only_additions,
        carriers,
    )


def _terms(flow: Flow, node: GraphNode, factor: float) -> list[tuple[GraphNode, float]]:
    """The terms of a sum that is added, down to outputs of modules."""
    operation = flow.operations[node]
    if node in flow.emitted or operation.kind in ("fixed", "other"):
        return [(node, factor)]
    return [
        term for parent, scale in operation.parents for term in _terms(flow, parent, factor * scale)
    ]
