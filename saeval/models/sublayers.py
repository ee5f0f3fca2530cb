"""What a block adds to its stream, and which of it is attention and which the MLP.

Both are told by what they do: attention makes a token's vector from other tokens too, the MLP from
that token alone. Names decide nothing but what a part that mixes tokens is called: recurrences
(Mamba, RWKV) mix them as well and are no attention.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from saeval.errors import ModelError
from saeval.models.anatomy import Anatomy
from saeval.models.flow import TOKENS, Call, Flow, Node, follow, listed
from saeval.models.stream import Way, is_norm, way_through

_ATTENTION = re.compile(r"attention|attn", re.IGNORECASE)
_MLP = re.compile(r"mlp|feed_?forward|ffn|moe|experts", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Sublayer:
    """One thing that is added to the stream."""

    emitted: Call | None
    """The run whose output it is, times `factor`; None if no module emits it."""
    factor: float
    node: Node
    """Where looking for the parts of it begins: that output, or what is added."""
    calls: tuple[Call, ...]
    """The outermost runs with weights that it is made by, in their order, norms left out."""
    mixes: bool
    """Whether a token's vector is made from other tokens too."""
    height: int
    """Additions that what it reads has behind it."""
    place: int
    """Which addition to the stream it is part of, from 0."""

    @property
    def is_attention(self) -> bool:
        """Whether it mixes tokens, and is not one of the recurrences that do so too."""
        names = (f"{call.path} {type(call.module).__name__}" for call in self.calls)
        return self.mixes and any(_ATTENTION.search(name) for name in names)

    @property
    def is_called_mlp(self) -> bool:
        """Whether its path says MLP: for those that mix neighbouring tokens too (RWKV)."""
        return any(_MLP.search(call.path) for call in self.calls)


@dataclass(frozen=True, eq=False)
class Sublayers:
    """All that one block adds to its stream."""

    parts: Anatomy
    flow: Flow
    way: Way
    added: tuple[Sublayer, ...]

    @cached_property
    def attention(self) -> Sublayer:
        """What attention adds.

        Raises:
            ModelError: if there is none, or more than one.
        """
        return self._single([part for part in self.added if part.is_attention], "attention")

    @cached_property
    def mlp(self) -> Sublayer:
        """What the MLP adds.

        Raises:
            ModelError: if there is none, or more than one.
        """
        others = [part for part in self.added if not part.is_attention]
        tokenwise = [part for part in others if not part.mixes]
        named = [part for part in others if part.is_called_mlp]
        return self._single(named if named and len(tokenwise) != 1 else tokenwise, "MLP")

    def path(self, inner: str) -> str:
        """Full path of a module in the block."""
        return f"{self.flow.block}.{inner}"

    @property
    def _block(self) -> str:
        return f"'{self.flow.block}' of {type(self.parts.net).__name__}"

    @property
    def outputs(self) -> str:
        """Outputs of the block's parts, for a message."""
        return listed(self.flow.block, self.parts.module(self.flow.block))

    def _single(self, those: Sequence[Sublayer], what: str) -> Sublayer:
        if len(those) == 1:
            return those[0]
        many = f"adds {len(those)} things that could be meant by" if those else "has no"
        raise ModelError(
            f"{self._block} {many} {what}{' alone' if those else ''}. Name a module by its path: "
            f"{self.outputs}."
        )


def sublayers(parts: Anatomy, layer: int) -> Sublayers:
    """Follow a block, and tell what it adds to its stream.

    Raises:
        ModelError: if its output is not its input with things added.
    """
    flow = follow(parts, layer)
    way = way_through(flow)
    if way is None:
        raise ModelError(
            f"What '{flow.block}' of {type(parts.net).__name__} gives is not what it takes with "
            "things added, so no site names what attention or MLP adds. Name a module by its "
            f"path: {listed(flow.block, parts.module(flow.block))}."
        )
    heights = _heights(flow, way.stream)
    terms = [(place, *term) for place, addition in enumerate(way.additions) for term in addition]
    branches = [_branch(flow, way.carriers, node) for _, node, _ in terms]
    added = []
    for term, branch in zip(terms, branches, strict=True):
        elsewhere = [call for other in branches if other is not branch for call in other[1]]
        added.append(_sublayer(flow, heights, term, branch, elsewhere))
    return Sublayers(parts, flow, way, tuple(added))


def has_matrix(module: nn.Module) -> bool:
    """Whether a module has weights that are more than gains and biases, itself or inside."""
    return any(weight.ndim > 1 for weight in module.parameters()) or any(
        is_matrix(part) for part in module.modules()
    )


def is_matrix(module: nn.Module) -> bool:
    """Whether a module is one linear map; a quantised one need not hold its weight as a matrix."""
    if any(True for _ in module.children()) or isinstance(module, nn.Embedding):
        return False
    weight = getattr(module, "weight", None)
    flat = isinstance(weight, Tensor) and weight.ndim == 2
    return flat or hasattr(module, "in_features")


def _heights(flow: Flow, stream: Sequence[Node]) -> dict[Node, int]:
    """Additions to the stream that each tensor has behind it."""
    heights: dict[Node, int] = {}
    for node in flow.order:
        behind = max((heights[parent] for parent, _ in flow.steps[node].parents), default=0)
        heights[node] = stream.index(node) if node in stream else behind
    return heights


def _branch(flow: Flow, carriers: set[Node], node: Node) -> tuple[list[Node], list[Call]]:
    """What leads from the stream to something added: where on the stream, and by which runs."""
    read, seen, stack = [], set(), [node]
    while stack:
        here = stack.pop()
        if here in carriers:
            read.append(here)
        elif here not in seen:
            seen.add(here)
            stack += [parent for parent, _ in flow.steps[here].parents]
    return read, [call for call in flow.calls if call.leaving in seen]


def _sublayer(
    flow: Flow,
    heights: dict[Node, int],
    term: tuple[int, Node, float],
    branch: tuple[list[Node], list[Call]],
    elsewhere: list[Call],
) -> Sublayer:
    place, node, factor = term
    read, made = branch
    # Some modules add to the stream themselves (BLOOM), so that what they emit is no branch.
    around = [
        call
        for call in flow.calls
        if any(call.holds(inner) for inner in made)
        and not any(call is other or call.holds(other) for other in elsewhere)
    ]
    whole = list(dict.fromkeys([*made, *around]))
    outer = [call for call in whole if not any(other.holds(call) for other in whole)]
    heavy = sorted((call for call in outer if has_matrix(call.module)), key=lambda call: call.began)
    mixes = any(_mixes_tokens(call) for call in outer if not is_norm(call.module))
    height = max((heights[here] for here in read), default=0)
    return Sublayer(flow.emitted.get(node), factor, node, tuple(heavy), mixes, height, place)


def _mixes_tokens(call: Call) -> bool:
    """Whether the last token's output changes with the other tokens' input: by trying."""
    tensors = [value for value in (*call.args, *call.kwargs.values()) if isinstance(value, Tensor)]
    if not tensors or TOKENS not in tensors[0].shape[:-1]:
        return False
    x = tensors[0]
    # Turned about along the vector, which keeps their size.
    changed = torch.cat(
        [
            -x.narrow(axis := x.shape.index(TOKENS), 0, TOKENS - 1).flip(-1),
            x.narrow(axis, TOKENS - 1, 1),
        ],
        dim=axis,
    )
    with torch.no_grad():
        before, after = _last(call, {}), _last(call, {id(x): changed})
    if before is None or after is None or before.shape != after.shape:
        return False
    scale = before.abs().max().float().clamp(min=1e-30)
    rounding = 16 * torch.finfo(before.dtype).eps
    return bool((after - before).abs().max().float() > rounding * scale)


def _last(call: Call, instead: dict[int, Tensor]) -> Tensor | None:
    """The last token's output, with other tensors in the place of some."""

    def given(value: object) -> object:
        new = instead.get(id(value), value)
        return new.clone() if isinstance(new, Tensor) else new

    args = [given(value) for value in call.args]
    kwargs = {name: given(value) for name, value in call.kwargs.items()}
    output = call.module(*args, **kwargs)
    x = output[0] if isinstance(output, tuple | list) else output
    if not isinstance(x, Tensor) or TOKENS not in x.shape[:-1] or not x.is_floating_point():
        return None
    return x.select(x.shape.index(TOKENS), TOKENS - 1)
