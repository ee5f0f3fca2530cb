"""What a block adds to its stream, and which of these sublayers is attention and which the MLP.

Behaviour decides: attention makes a token's vector from other tokens too, the MLP from that token
alone. Names only decide whether a part that mixes tokens is attention, since recurrences (Mamba,
RWKV) mix tokens as well.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from saeval.errors import ModelError
from saeval.models.anatomy import Anatomy
from saeval.models.flow import TOKENS, Call, Flow, GraphNode, follow, output_names
from saeval.models.stream import StreamPath, is_norm, trace_stream

_ATTENTION = re.compile(r"attention|attn", re.IGNORECASE)
_MLP = re.compile(r"mlp|feed_?forward|ffn|moe|experts", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Sublayer:
    """One thing that is added to the stream."""

    emitted: Call | None
    """The run whose output it is, times `factor`; None if no module emits it."""
    factor: float
    node: GraphNode
    """Where the search for its parts begins: that output, or the tensor that is added."""
    calls: tuple[Call, ...]
    """The outermost runs with weights that compute it, in order, without norms."""
    mixes: bool
    """Whether a token's vector is made from other tokens too."""
    height: int
    """Number of additions to the stream before the point where it reads."""
    place: int
    """Number of the addition to the stream that it belongs to, from 0."""

    @property
    def is_attention(self) -> bool:
        """Whether it mixes tokens and is named attention; recurrences mix tokens too."""
        names = (f"{call.path} {type(call.module).__name__}" for call in self.calls)
        return self.mixes and any(_ATTENTION.search(name) for name in names)

    @property
    def is_called_mlp(self) -> bool:
        """Whether its path says MLP: needed for MLPs that also mix neighbouring tokens (RWKV)."""
        return any(_MLP.search(call.path) for call in self.calls)


@dataclass(frozen=True, eq=False)
class Sublayers:
    """All that one block adds to its stream."""

    parts: Anatomy
    flow: Flow
    stream_path: StreamPath
    added: tuple[Sublayer, ...]

    @cached_property
    def attention(self) -> Sublayer:
        """What attention adds.

        Raises:
            ModelError: if there is none, or more than one.
        """
        return self._select_one([part for part in self.added if part.is_attention], "attention")

    @cached_property
    def mlp(self) -> Sublayer:
        """What the MLP adds.

        Raises:
            ModelError: if there is none, or more than one.
        """
        others = [part for part in self.added if not part.is_attention]
        tokenwise = [part for part in others if not part.mixes]
        called_mlp = [part for part in others if part.is_called_mlp]
        return self._select_one(
            called_mlp if called_mlp and len(tokenwise) != 1 else tokenwise, "MLP"
        )

    def path(self, inner: str) -> str:
        """Full path of a module in the block."""
        return f"{self.flow.block}.{inner}"

    @property
    def _block_label(self) -> str:
        return f"'{self.flow.block}' of {type(self.parts.net).__name__}"

    @property
    def outputs(self) -> str:
        """Outputs of the block's parts, for a message."""
        return output_names(self.flow.block, self.parts.module(self.flow.block))

    def _select_one(self, candidates: Sequence[Sublayer], label: str) -> Sublayer:
        if len(candidates) == 1:
            return candidates[0]
        problem = (
            f"adds {len(candidates)} things that could be meant by" if candidates else "has no"
        )
        raise ModelError(
            f"{self._block_label} {problem} {label}{' alone' if candidates else ''}. "
            f"Name a module by its path: {self.outputs}."
        )


def sublayers(parts: Anatomy, layer: int) -> Sublayers:
    """Follow a block, and find what it adds to its stream.

    Raises:
        ModelError: if its output is not its input with things added.
    """
    flow = follow(parts, layer)
    stream_path = trace_stream(flow)
    if stream_path is None:
        raise ModelError(
            f"What '{flow.block}' of {type(parts.net).__name__} gives is not what it takes with "
            "things added, so no site names what attention or MLP adds. Name a module by its "
            f"path: {output_names(flow.block, parts.module(flow.block))}."
        )
    heights = _heights(flow, stream_path.stream)
    terms = [
        (place, *term) for place, addition in enumerate(stream_path.additions) for term in addition
    ]
    branches = [_branch(flow, stream_path.carriers, node) for _, node, _ in terms]
    added = []
    for term, branch in zip(terms, branches, strict=True):
        other_calls = [call for other in branches if other is not branch for call in other[1]]
        added.append(_sublayer(flow, heights, term, branch, other_calls))
    return Sublayers(parts, flow, stream_path, tuple(added))


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


def _heights(flow: Flow, stream: Sequence[GraphNode]) -> dict[GraphNode, int]:
    """Number of additions to the stream before each tensor."""
    heights: dict[GraphNode, int] = {}
    for node in flow.order:
        behind = max((heights[parent] for parent, _ in flow.operations[node].parents), default=0)
        heights[node] = stream.index(node) if node in stream else behind
    return heights


def _branch(
    flow: Flow, carriers: set[GraphNode], node: GraphNode
) -> tuple[list[GraphNode], list[Call]]:
    """The points of the stream that an added tensor depends on, and the runs in between."""
    entries, visited, stack = [], set(), [node]
    while stack:
        point = stack.pop()
        if point in carriers:
            entries.append(point)
        elif point not in visited:
            visited.add(point)
            stack += [parent for parent, _ in flow.operations[point].parents]
    return entries, [call for call in flow.calls if call.output_node in visited]


def _sublayer(
    flow: Flow,
    heights: dict[GraphNode, int],
    term: tuple[int, GraphNode, float],
    branch: tuple[list[GraphNode], list[Call]],
    other_calls: list[Call],
) -> Sublayer:
    place, node, factor = term
    entries, calls = branch
    # Some modules add to the stream themselves (BLOOM), so that what they emit is no branch.
    enclosing = [
        call
        for call in flow.calls
        if any(call.holds(inner) for inner in calls)
        and not any(call is other or call.holds(other) for other in other_calls)
    ]
    all_calls = list(dict.fromkeys([*calls, *enclosing]))
    outermost = [call for call in all_calls if not any(other.holds(call) for other in all_calls)]
    weighted = sorted(
        (call for call in outermost if has_matrix(call.module)), key=lambda call: call.began
    )
    mixes = any(_mixes_tokens(call) for call in outermost if not is_norm(call.module))
    height = max((heights[point] for point in entries), default=0)
    return Sublayer(flow.emitted.get(node), factor, node, tuple(weighted), mixes, height, place)


def _mixes_tokens(call: Call) -> bool:
    """Whether the last token's output changes with the other tokens' input, by trial."""
    tensors = [value for value in (*call.args, *call.kwargs.values()) if isinstance(value, Tensor)]
    if not tensors or TOKENS not in tensors[0].shape[:-1]:
        return False
    x = tensors[0]
    # Other vectors of the same size: reversed and negated. The last token keeps its own.
    changed = torch.cat(
        [
            -x.narrow(axis := x.shape.index(TOKENS), 0, TOKENS - 1).flip(-1),
            x.narrow(axis, TOKENS - 1, 1),
        ],
        dim=axis,
    )
    with torch.no_grad():
        before, after = _last_token_output(call, {}), _last_token_output(call, {id(x): changed})
    if before is None or after is None or before.shape != after.shape:
        return False
    scale = before.abs().max().float().clamp(min=1e-30)
    # Other inputs may change the order of sums, and so the last digits.
    rounding = 16 * torch.finfo(before.dtype).eps
    return bool((after - before).abs().max().float() > rounding * scale)


def _last_token_output(call: Call, substitutes: dict[int, Tensor]) -> Tensor | None:
    """The last token's output of a run, with some tensors replaced (`substitutes`, by id)."""

    def substituted(value: object) -> object:
        replacement = substitutes.get(id(value), value)
        return replacement.clone() if isinstance(replacement, Tensor) else replacement

    args = [substituted(value) for value in call.args]
    kwargs = {name: substituted(value) for name, value in call.kwargs.items()}
    output = call.module(*args, **kwargs)
    x = output[0] if isinstance(output, tuple | list) else output
    if not isinstance(x, Tensor) or TOKENS not in x.shape[:-1] or not x.is_floating_point():
        return None
    return x.select(x.shape.index(TOKENS), TOKENS - 1)
