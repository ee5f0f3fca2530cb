"""How the tensors of one block are made from each other, followed on a few tokens.

Names do not show what a block adds to its stream: classes can have any name, and a module's output
may be scaled, normalised or gated before it is added. So one short pass is run in which the block's
input requires gradients. The graph that torch records shows from which tensors, and by what
operation, each tensor was made. Nothing is differentiated.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from saeval.errors import ModelError
from saeval.models.anatomy import Anatomy
from saeval.models.execution import first_tensor, forward

TOKENS = 6
"""Tokens in the trial row: enough for windows and strides of a few tokens."""

GraphNode = tuple[Any, int]
"""A tensor in the graph: the operation that made it, and which of its results it is."""

_UNCHANGED = {
    f"{name}Backward{version}"
    for name in (
        *("View", "UnsafeView", "ReshapeAlias", "Alias", "Unsqueeze", "Squeeze", "Detach"),
        *("Clone", "ToCopy", "Contiguous", "Slice", "Expand", "Transpose", "Permute"),
    )
    for version in (0, 1)
}
"""Operations that change no number: new shapes, dtypes and copies."""
_VIEWS = _UNCHANGED - {"CloneBackward0", "ToCopyBackward0", "ContiguousBackward0"}
"""Those of them whose result shares memory with the input."""


class _BlockDone(Exception):
    """Raised inside the pass, and caught around it, once the block has been left."""


@dataclass(frozen=True, eq=False)
class Call:
    """One run of a module inside the block."""

    path: str
    """The module's path inside the block; never empty."""
    module: nn.Module
    args: tuple
    kwargs: dict[str, Any]
    input_node: GraphNode | None
    """Its first tensor; None if that does not depend on the block's input."""
    output_node: GraphNode | None
    began: int
    ended: int
    """Positions of its start and end in the order of all starts and ends."""

    def holds(self, other: "Call") -> bool:
        """Whether the other run was inside this one."""
        return self.began < other.began and other.ended < self.ended


@dataclass(frozen=True)
class Operation:
    """How a tensor was made from others."""

    kind: str
    """`sum` (parents times factors, also of one parent), `same` (no number changes), `fixed` (one
    parent and constants: a gain for each component, or a bias) or `other`."""
    parents: tuple[tuple[GraphNode, float], ...]
    """The tensors it was made from that depend on the block's input, each with its factor."""


@dataclass(frozen=True, eq=False)
class Flow:
    """The tensors of one block and how they were made."""

    block: str
    """Path of the block."""
    start: GraphNode
    """The stream that enters."""
    end: GraphNode
    """The stream that leaves."""
    calls: tuple[Call, ...] = field(repr=False)

    @cached_property
    def order(self) -> tuple[GraphNode, ...]:
        """All tensors between start and end that depend on the start, parents first."""
        live: dict[GraphNode, bool] = {self.start: True}
        stack: list[tuple[GraphNode, bool]] = [(self.end, False)]
        ordered = [self.start]
        while stack:
            node, parents_visited = stack.pop()
            if parents_visited:
                live[node] = any(live.get(parent, False) for parent in _parents(node))
                ordered += [node] * live[node]
            elif node not in live:
                live[node] = False
                stack.append((node, True))
                stack += [(parent, False) for parent in _parents(node)]
        return tuple(ordered)

    @cached_property
    def operations(self) -> dict[GraphNode, Operation]:
        """How each of these tensors was made."""
        live = set(self.order)
        return {node: _operation(node, live) for node in self.order}

    @cached_property
    def emitted(self) -> dict[GraphNode, Call]:
        """The run that emits each tensor: the outermost one, and the first of these."""
        ranked = sorted(self.calls, key=lambda call: (call.path.count("."), call.ended))
        return {call.output_node: call for call in reversed(ranked) if call.output_node is not None}

    def view_of(self, node: GraphNode, base: GraphNode) -> bool:
        """Whether one tensor shares all its memory with another, itself included."""
        while node != base:
            if node[0] is None or node[0].name() not in _VIEWS or not self.operations[node].parents:
                return False
            node = self.operations[node].parents[0][0]
        return True


def follow(parts: Anatomy, layer: int) -> Flow:
    """Run a short row through a block, and record how its tensors were made.

    Raises:
        ModelError: if the block does not take and give one vector per token, or what it gives
            cannot be followed to what it takes.
    """
    path = parts.block(layer)
    block = parts.module(path)
    ids = (torch.arange(TOKENS, device=parts.device) % parts.vocab_size)[None]
    calls: list[Call] = []
    ends: dict[str, Tensor] = {}
    with torch.enable_grad(), ExitStack() as stack:
        stack.enter_context(_follow_block(block, ends))
        stack.enter_context(_record_calls(block, calls))
        with suppress(_BlockDone):
            forward(parts, ids, torch.ones_like(ids, dtype=torch.bool))
    start, end = _node(ends.get("start")), _node(ends.get("end"))
    flow = Flow(path, start, end, tuple(calls)) if start and end else None
    shapes = {tuple(x.shape) for x in ends.values()}
    if flow is None or flow.end not in flow.order or shapes != {(1, TOKENS, parts.width)}:
        raise ModelError(
            f"'{path}' of {type(parts.net).__name__} takes and gives {sorted(shapes)} for a row of "
            f"{TOKENS} tokens, and not one stream of {parts.width} numbers per token that can be "
            "followed, so nothing can be said of what is added to it. Use the path of a module "
            f"in it: {output_names(path, block)}."
        )
    return flow


def output_names(path: str, block: nn.Module) -> str:
    """Outputs of a block's parts that have weights other than gains, for a message."""
    heavy = [
        f"'{path}.{name}:out'"
        for name, part in block.named_children()
        if any(weight.ndim > 1 for weight in part.parameters())
    ]
    return ", ".join(heavy) or f"'{path}:out'"


@contextmanager
def _follow_block(block: nn.Module, ends: dict[str, Tensor]) -> Iterator[None]:
    """While open, the block's input asks for gradients, and its output ends the pass."""

    def replace_input(_: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        x = first_tensor(args, kwargs)
        if x is None:
            return args, kwargs
        # Not the leaf itself, since a block may add to its input in place.
        ends["start"] = start = x.detach().requires_grad_().clone()
        return (
            tuple(start if value is x else value for value in args),
            {name: start if value is x else value for name, value in kwargs.items()},
        )

    def stop_after(_: nn.Module, __: tuple, output: Any) -> None:
        ends["end"] = output if isinstance(output, Tensor) else output[0]
        raise _BlockDone

    handles = [
        block.register_forward_pre_hook(replace_input, with_kwargs=True),
        block.register_forward_hook(stop_after),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _record_calls(block: nn.Module, calls: list[Call]) -> Iterator[None]:
    """While open, every run of a module inside the block is recorded."""
    open_calls: list[tuple[int, tuple, dict[str, Any], GraphNode | None]] = []
    clock = iter(range(1 << 30))

    def note_start(_: nn.Module, args: tuple, kwargs: dict) -> None:
        x = first_tensor(args, kwargs)
        # A copy, since modules may write into their inputs.
        copies = {id(x): x.detach().clone()} if x is not None else {}
        open_calls.append(
            (
                next(clock),
                tuple(copies.get(id(value), value) for value in args),
                {name: copies.get(id(value), value) for name, value in kwargs.items()},
                _node(x),
            )
        )

    def note_end(path: str, module: nn.Module, output: Any) -> None:
        start, args, kwargs, input_node = open_calls.pop()
        tensor = output[0] if isinstance(output, tuple | list) and output else output
        output_node = _node(tensor) if isinstance(tensor, Tensor) else None
        calls.append(Call(path, module, args, kwargs, input_node, output_node, start, next(clock)))

    handles = []
    for name, module in block.named_modules():
        if name:
            handles.append(module.register_forward_pre_hook(note_start, with_kwargs=True))
            handles.append(
                module.register_forward_hook(
                    lambda module, _, output, name=name: note_end(name, module, output)
                )
            )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _node(x: Tensor | None) -> GraphNode | None:
    return None if x is None or x.grad_fn is None else (x.grad_fn, x.output_nr)


def _parents(node: GraphNode) -> list[GraphNode]:
    return [parent for parent in node[0].next_functions if parent[0] is not None]


def _operation(node: GraphNode, live: set[GraphNode]) -> Operation:
    function = node[0]
    parents = [
        (position, parent)
        for position, parent in enumerate(function.next_functions)
        if parent in live
    ]
    unscaled = tuple((parent, 1.0) for _, parent in parents)
    name = function.name()
    if name in _UNCHANGED and len(parents) == 1:
        return Operation("same", unscaled)
    if name in ("AddBackward0", "SubBackward0") and len(parents) == 1:
        return Operation("fixed", unscaled)
    if name in ("AddBackward0", "SubBackward0"):
        sign = 1.0 if name == "AddBackward0" else -1.0
        second = sign * float(function._saved_alpha)  # noqa: SLF001  torch names it so
        return Operation("sum", tuple((parent, second if i else 1.0) for i, parent in parents))
    if name in ("MulBackward0", "DivBackward0") and len(parents) == 1:
        position, parent = parents[0]
        factor = _constant(function, "self" if position else "other")
        if factor is not None and not (name == "DivBackward0" and (position or not factor)):
            return Operation("sum", ((parent, 1 / factor if name == "DivBackward0" else factor),))
        return Operation("fixed", unscaled)
    return Operation("other", unscaled)


def _constant(function: Any, side: str) -> float | None:
    """The number by which an operation multiplies, or None if it is more than one number."""
    try:
        saved = getattr(function, f"_saved_{side}")
    except RuntimeError:  # written over since
        return None
    return float(saved) if saved is not None and saved.numel() == 1 else None
