"""The way of the residual stream through a block: what is added to it, one thing after another."""

from dataclasses import dataclass

from torch import nn

from saeval.models.flow import Flow, Node


@dataclass(frozen=True, eq=False)
class Way:
    """How a block's output comes from its input."""

    stream: tuple[Node, ...]
    """The stream before the first addition, after it, and so on."""
    copied: tuple[bool, ...]
    """For each of these, whether a copy of it goes on, which no edit of it would reach."""
    additions: tuple[list[tuple[Node, float]], ...]
    """What is added each time: outputs of modules, or what else, times factors."""
    plain: bool
    """Whether nothing happens to the stream but additions: it is neither scaled nor normalised."""
    carriers: set[Node]
    """All tensors that are the stream, in copies and other shapes too."""


def way_through(flow: Flow) -> Way | None:
    """Follow the stream from a block's output back to its input.

    Most blocks add and do nothing else. Others (BERT) normalise after each addition, and go on
    from there. None if the output is no sum, or several ways lead back.
    """
    norms = {
        call.leaving: call.entering
        for call in flow.calls
        if call.leaving is not None and call.entering is not None and is_norm(call.module)
    }
    for passing in ({}, norms):
        carriers = _carriers(flow, passing)
        way = _walk(flow, carriers, passing) if flow.end in carriers else None
        if way is not None:
            return way
    return None


def is_norm(module: nn.Module) -> bool:
    """Whether a module normalises: it has gains at most, and is called so."""
    return (
        "norm" in type(module).__name__.lower()
        and all(weight.ndim <= 1 for weight in module.parameters())
        and not any(True for _ in module.children())
    )


def _carriers(flow: Flow, norms: dict[Node, Node]) -> set[Node]:
    """Tensors that are the stream that entered, with things added.

    With norms, also what a norm makes of one: blocks that normalise after each addition (BERT) go
    on from there.
    """
    carriers = {flow.start}
    for node in flow.order:
        step = flow.steps[node]
        parents = [parent for parent, _ in step.parents] if step.kind != "other" else []
        if any(parent in carriers for parent in (*parents, norms.get(node))):
            carriers.add(node)
    return carriers


def _walk(flow: Flow, carriers: set[Node], norms: dict[Node, Node]) -> Way | None:
    """From the block's output back to its input. None if several ways lead back."""
    node, plain, copy = flow.end, True, False
    stream: list[Node] = []
    copied: list[bool] = []
    additions: list[list[tuple[Node, float]]] = []
    while node != flow.start:
        step = flow.steps[node]
        if node in norms:
            plain, node = False, norms[node]
            continue
        before = [(parent, factor) for parent, factor in step.parents if parent in carriers]
        others = [(parent, factor) for parent, factor in step.parents if parent not in carriers]
        if step.kind == "other" or len(before) != 1:
            return None
        if others:
            stream.append(node)
            copied.append(copy)
            additions.append([term for other in others for term in _terms(flow, *other)])
            copy = False
        plain = plain and step.kind != "fixed" and before[0][1] == 1
        copy = copy or (step.kind == "same" and not flow.view_of(node, before[0][0]))
        node = before[0][0]
    return Way(
        (flow.start, *reversed(stream)),
        (copy, *reversed(copied)),
        tuple(reversed(additions)),
        plain,
        carriers,
    )


def _terms(flow: Flow, node: Node, factor: float) -> list[tuple[Node, float]]:
    """What something added is the sum of, down to outputs of modules."""
    step = flow.steps[node]
    if node in flow.emitted or step.kind in ("fixed", "other"):
        return [(node, factor)]
    return [term for parent, more in step.parents for term in _terms(flow, parent, factor * more)]
