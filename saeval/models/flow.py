"""How the tensors of one block are made from each other: followed on a few tokens.

What a block adds to its stream is not told by names: classes are called anything, and what a module
emits may be scaled, normalised or gated before it is added. So one short pass is run in which the
block's input asks for gradients. The graph that torch then keeps says which tensor was made from
which and by what operation; nothing is ever differentiated.
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
"""Length of the row that is followed: enough for windows and strides of a few tokens."""

Node = tuple[Any, int]
"""A tensor in the graph: the operation that made it, and which of its results it is."""

_UNCHANGED = {
    f"{name}Backward{version}"
    for name in (
        *("View", "UnsafeView", "ReshapeAlias", "Alias", "Unsqueeze", "Squeeze", "Detach"),
        *("Clone", "ToCopy", "Contiguous", "Slice", "Expand", "Transpose", "Permute"),
    )
    for version in (0, 1)
}
"""Operations that change no number: other shapes, dtypes and copies."""
_VIEWS = _UNCHANGED - {"CloneBackward0", "ToCopyBackward0", "ContiguousBackward0"}
"""Those of them whose result shares memory with what they were given."""


class _Left(Exception):
    """Raised inside the pass, and caught around it, once the block has been left."""


@dataclass(frozen=True, eq=False)
class Call:
    """One run of a module inside the block."""

    path: str
    """Inside the block; never empty."""
    module: nn.Module
    args: tuple
    kwargs: dict[str, Any]
    entering: Node | None
    """Its first tensor; None where that does not come from the block's input."""
    leaving: Node | None
    began: int
    ended: int
    """Places in the order in which modules were entered and left."""

    def holds(self, other: "Call") -> bool:
        """Whether the other ran inside this one."""
        return self.began < other.began and other.ended < self.ended


@dataclass(frozen=True)
class Step:
    """How a tensor was made from others."""

    kind: str
    """`sum` of its parents times factors (also of one parent), `same` (no number changed), `fixed`
    (of one parent and constants: a gain for each component, or a bias) or `other`."""
    parents: tuple[tuple[Node, float], ...]
    """What it was made from and comes from the block's input, each with its factor."""


@dataclass(frozen=True, eq=False)
class Flow:
    """What was followed of one block."""

    block: str
    """Path of the block."""
    start: Node
    """The stream that enters."""
    end: Node
    """The stream that leaves."""
    calls: tuple[Call, ...] = field(repr=False)

    @cached_property
    def order(self) -> tuple[Node, ...]:
        """All tensors between start and end that come from the start, parents first."""
        live: dict[Node, bool] = {self.start: True}
        stack: list[tuple[Node, bool]] = [(self.end, False)]
        ordered = [self.start]
        while stack:
            node, done = stack.pop()
            if done:
                live[node] = any(live.get(parent, False) for parent in _made_from(node))
                ordered += [node] * live[node]
            elif node not in live:
                live[node] = False
                stack.append((node, True))
                stack += [(parent, False) for parent in _made_from(node)]
        return tuple(ordered)

    @cached_property
    def steps(self) -> dict[Node, Step]:
        """How each of these tensors was made."""
        live = set(self.order)
        return {node: _step(node, live) for node in self.order}

    @cached_property
    def emitted(self) -> dict[Node, Call]:
        """The run that emits each tensor: of several the outermost, and of those the first."""
        ranked = sorted(self.calls, key=lambda call: (call.path.count("."), call.ended))
        return {call.leaving: call for call in reversed(ranked) if call.leaving is not None}

    def view_of(self, node: Node, whole: Node) -> bool:
        """Whether one tensor shares all its memory with another, itself included."""
        while node != whole:
            if node[0] is None or node[0].name() not in _VIEWS or not self.steps[node].parents:
                return False
            node = self.steps[node].parents[0][0]
        return True


def follow(parts: Anatomy, layer: int) -> Flow:
    """Run a short row up to and through a block, and keep how its tensors were made.

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
        stack.enter_context(_between_ends(block, ends))
        stack.enter_context(_noting(block, calls))
        with suppress(_Left):
            forward(parts, ids, torch.ones_like(ids, dtype=torch.bool))
    start, end = _node(ends.get("start")), _node(ends.get("end"))
    flow = Flow(path, start, end, tuple(calls)) if start and end else None
    shapes = {tuple(x.shape) for x in ends.values()}
    if flow is None or flow.end not in flow.order or shapes != {(1, TOKENS, parts.width)}:
        raise ModelError(
            f"'{path}' of {type(parts.net).__name__} takes and gives {sorted(shapes)} for a row of "
            f"{TOKENS} tokens, and not one stream of {parts.width} numbers per token that can be "
            "followed, so nothing can be said of what is added to it. Use the path of a module "
            f"in it: {listed(path, block)}."
        )
    return flow


def listed(path: str, block: nn.Module) -> str:
    """Outputs of the parts of a block that hold weights other than gains, for a message."""
    heavy = [
        f"'{path}.{name}:out'"
        for name, part in block.named_children()
        if any(weight.ndim > 1 for weight in part.parameters())
    ]
    return ", ".join(heavy) or f"'{path}:out'"


@contextmanager
def _between_ends(block: nn.Module, ends: dict[str, Tensor]) -> Iterator[None]:
    """While open, the block's input asks for gradients, and its output ends the pass."""

    def entering(_: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        x = first_tensor(args, kwargs)
        if x is None:
            return args, kwargs
        # Not the leaf itself, since a block may add to its input in place.
        ends["start"] = start = x.detach().requires_grad_().clone()
        return (
            tuple(start if value is x else value for value in args),
            {name: start if value is x else value for name, value in kwargs.items()},
        )

    def leaving(_: nn.Module, __: tuple, output: Any) -> None:
        ends["end"] = output if isinstance(output, Tensor) else output[0]
        raise _Left

    handles = [
        block.register_forward_pre_hook(entering, with_kwargs=True),
        block.register_forward_hook(leaving),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _noting(block: nn.Module, calls: list[Call]) -> Iterator[None]:
    """While open, every run of a module inside the block is noted."""
    began: list[tuple[int, tuple, dict[str, Any], Node | None]] = []
    clock = iter(range(1 << 30))

    def entering(_: nn.Module, args: tuple, kwargs: dict) -> None:
        x = first_tensor(args, kwargs)
        # A copy, since modules may write into what they are given.
        copies = {id(x): x.detach().clone()} if x is not None else {}
        began.append(
            (
                next(clock),
                tuple(copies.get(id(value), value) for value in args),
                {name: copies.get(id(value), value) for name, value in kwargs.items()},
                _node(x),
            )
        )

    def leaving(path: str, module: nn.Module, output: Any) -> None:
        start, args, kwargs, entered = began.pop()
        tensor = output[0] if isinstance(output, tuple | list) and output else output
        left = _node(tensor) if isinstance(tensor, Tensor) else None
        calls.append(Call(path, module, args, kwargs, entered, left, start, next(clock)))

    handles = []
    for name, module in block.named_modules():
        if name:
            handles.append(module.register_forward_pre_hook(entering, with_kwargs=True))
            handles.append(
                module.register_forward_hook(
                    lambda module, _, output, name=name: leaving(name, module, output)
                )
            )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _node(x: Tensor | None) -> Node | None:
    return None if x is None or x.grad_fn is None else (x.grad_fn, x.output_nr)


def _made_from(node: Node) -> list[Node]:
    return [parent for parent in node[0].next_functions if parent[0] is not None]


def _step(node: Node, live: set[Node]) -> Step:
    function = node[0]
    parents = [
        (place, parent) for place, parent in enumerate(function.next_functions) if parent in live
    ]
    plain = tuple((parent, 1.0) for _, parent in parents)
    name = function.name()
    if name in _UNCHANGED and len(parents) == 1:
        return Step("same", plain)
    if name in ("AddBackward0", "SubBackward0") and len(parents) == 1:
        return Step("fixed", plain)
    if name in ("AddBackward0", "SubBackward0"):
        sign = 1.0 if name == "AddBackward0" else -1.0
        second = sign * float(function._saved_alpha)  # noqa: SLF001  torch names it so
        return Step("sum", tuple((parent, second if i else 1.0) for i, parent in parents))
    if name in ("MulBackward0", "DivBackward0") and len(parents) == 1:
        place, parent = parents[0]
        factor = _constant(function, "self" if place else "other")
        if factor is not None and not (name == "DivBackward0" and (place or not factor)):
            return Step("sum", ((parent, 1 / factor if name == "DivBackward0" else factor),))
        return Step("fixed", plain)
    return Step("other", plain)


def _constant(function: Any, side: str) -> float | None:
    """The number by which an operation multiplies, or None if it is more than one number."""
    try:
        saved = getattr(function, f"_saved_{side}")
    except RuntimeError:  # written over since
        return None
    return float(saved) if saved is not None and saved.numel() == 1 else None
