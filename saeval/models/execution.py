"""Running part of a model: up to a site, from a site on, or only its output head."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from saeval.errors import ModelError
from saeval.models.anatomy import Anatomy
from saeval.sae import Site

logger = logging.getLogger(__name__)

_Edit = Callable[[Tensor], Tensor | None]
"""Edits the tensor at a site: returns None to leave it, or a tensor to replace it."""


class _AllSitesReached(Exception):
    """Raised inside a forward pass, and caught around it, once all sites were reached."""


def capture(
    parts: Anatomy,
    sites: Sequence[Site],
    ids: Int[Tensor, "texts seq"],
    attention: Bool[Tensor, "texts seq"],
    *,
    full_pass: bool,
) -> tuple[dict[Site, Float[Tensor, "texts seq d"]], Float[Tensor, "texts seq d_model"] | None]:
    """Activations at some sites, and for a full pass the final hidden state.

    Without `full_pass` the pass ends at the deepest site, so the layers after it cost nothing.

    Raises:
        ModelError: if the forward pass never reaches a site, or the tensor there is no activation
            [texts, seq, d].
    """
    activations: dict[Site, Tensor] = {}
    pending_sites = set(sites)

    def recorder(site: Site) -> _Edit:
        def record(x: Tensor) -> None:
            # A copy, since later modules may add to the same tensor in place.
            activations.setdefault(site, _by_token(x.detach(), ids).clone())
            if not full_pass and activations.keys() == pending_sites:
                raise _AllSitesReached

        return record

    final = None
    with torch.no_grad(), ExitStack() as stack:
        for site in pending_sites:
            stack.enter_context(at_site(parts, site, recorder(site)))
        with suppress(_AllSitesReached):
            final = forward(parts, ids, attention)
    for site in sites:
        _check_activation(site, activations.get(site), ids)
    return activations, final


def forward(
    parts: Anatomy,
    ids: Int[Tensor, "texts seq"],
    attention: Bool[Tensor, "texts seq"],
) -> Float[Tensor, "texts seq d_model"]:
    """Final hidden states: what the output head reads. Padding is on the right."""
    mask = None if bool(attention.all()) else attention.to(torch.int64)
    base = parts.module(parts.base)
    return base(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state


@contextmanager
def at_site(parts: Anatomy, site: Site, edit: _Edit) -> Iterator[None]:
    """While open, every pass hands the activation at the site to `edit`.

    A module's input inside a block is edited in place: other readers of the same tensor, such as
    the skip connection around a norm, have to see the edit too.
    """
    module = parts.module(site.path)

    def edit_input(_: nn.Module, args: tuple, kwargs: dict) -> None:
        x = _input_tensor(args, kwargs)
        new = edit(_site_part(site, x))
        if new is not None:
            x.copy_(_with_site_part(site, x, new))

    def edit_output(_: nn.Module, __: tuple, output: Any) -> Any:
        x = output if isinstance(output, Tensor) else output[0]
        new = edit(_site_part(site, x))
        if new is None:
            return None
        # A copy, since a block may add to what its parts return in place.
        new = _with_site_part(site, x, new).to(x, copy=True)
        named_output: Any = output  # a named tuple's fields are read by name (Reformer)
        if hasattr(named_output, "_replace"):
            return named_output._replace(**{named_output._fields[0]: new})
        if isinstance(output, list):  # the block adds lists of outputs (OpenAI's first GPT)
            return [new, *output[1:]]
        return new if isinstance(output, Tensor) else (new, *output[1:])

    handle = (
        module.register_forward_pre_hook(edit_input, with_kwargs=True)
        if site.side == "in"
        else module.register_forward_hook(edit_output)
    )
    try:
        yield
    finally:
        handle.remove()


@dataclass(frozen=True)
class Restart:
    """How a pass restarts at a site: blocks before the boundary only return an activation."""

    site: Site
    boundary: int
    """Blocks skipped; the given activation enters the block of this index."""
    lengths: tuple[int, ...]
    """Length of the tuple that each skipped block returns (all but the first None); 0: a tensor."""
    edits: bool
    """Whether the site lies inside the first block run, which then starts from its own input."""


def run_hooked(
    parts: Anatomy,
    new: Mapping[Site, Float[Tensor, "texts seq _"]],
    ids: Int[Tensor, "texts seq"],
    attention: Bool[Tensor, "texts seq"],
) -> Float[Tensor, "texts seq d_model"]:
    """Final hidden states of a whole pass in which activations at some sites are replaced."""
    with ExitStack() as stack:
        for site, x in new.items():
            stack.enter_context(at_site(parts, site, lambda _, x=x: x))
        return forward(parts, ids, attention)


def run_restarted(
    parts: Anatomy,
    restart: Restart,
    ids: Int[Tensor, "texts seq"],
    attention: Bool[Tensor, "texts seq"],
    x: Float[Tensor, "texts seq d"],
    resume: Float[Tensor, "texts seq d_model"] | None = None,
) -> Float[Tensor, "texts seq d_model"]:
    """The same as `hooked`, at the cost of only the layers after the site."""
    stream = resume if restart.edits else x
    blocks = [parts.module(parts.block(i)) for i in range(restart.boundary)]
    with ExitStack() as stack:
        if blocks and stream is not None:
            # A copy, since blocks may add to their input in place.
            stack.enter_context(_skip_blocks(blocks, restart.lengths, stream.clone()))
        if restart.edits:
            stack.enter_context(at_site(parts, restart.site, lambda _: x))
        return forward(parts, ids, attention)


def plan_restart(parts: Anatomy, site: Site) -> Restart | None:
    """Find out, by a trial on two short rows, whether a pass can restart at a site.

    None means that a hook on the whole pass is needed: the site lies before or outside the blocks,
    or a restart gives other hidden states, as it does if blocks share more than the stream.
    """
    location = parts.split(site.path)
    if location is None:
        return None
    layer, inner = location
    boundary = layer if inner or site.side == "in" else layer + 1
    if boundary == 0 or not (inner or site.is_whole):
        return None
    device = parts.device
    ids = torch.arange(8, device=device).reshape(2, 4) % parts.vocab_size
    attention = torch.tensor([[True] * 4, [True, True, True, False]], device=device)
    entry = Site(parts.block(boundary), "in") if inner else None
    lengths: dict[int, int] = {}
    with torch.no_grad(), ExitStack() as stack:
        for i in range(boundary):
            block = parts.module(parts.block(i))
            handle = block.register_forward_hook(
                lambda _, __, output, i=i: lengths.update({i: _output_length(output)})
            )
            stack.callback(handle.remove)
        try:
            needed_sites = [site, entry] if entry else [site]
            activations, _ = capture(parts, needed_sites, ids, attention, full_pass=True)
        except ModelError:
            # If the site itself has no activations, this raises the error that says so.
            capture(parts, [site], ids, attention, full_pass=False)
            return None
        # Any other activations will do, as long as an edit that is lost shows in the output.
        x = activations[site] * 1.25 + 0.1
        restart = Restart(site, boundary, tuple(lengths[i] for i in range(boundary)), bool(inner))
        expected = run_hooked(parts, {site: x}, ids, attention)
        try:
            resume = activations[entry] if entry else None
            actual = run_restarted(parts, restart, ids, attention, x, resume)
        except (AttributeError, KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            logger.info("Restarting at %s fails (%s); hooks take its place.", site, error)
            return None
    if not agree(actual[attention], expected[attention]):
        logger.info("Restarting at %s gives other hidden states; hooks take its place.", site)
        return None
    return restart


def _site_part(site: Site, x: Tensor) -> Tensor:
    """The site's activation in its module's input or output tensor."""
    if site.components is not None:
        first, end = site.components
        if x.ndim > 3 or end > x.shape[-1]:
            raise ModelError(
                f"'{site}' names components of one vector per token, and '{site.path}:{site.side}' "
                f"holds {list(x.shape)}. Give others, or the whole of it."
            )
        x = x[..., first:end]
    return x if site.factor == 1 else x * site.factor


def _with_site_part(site: Site, x: Tensor, new: Tensor) -> Tensor:
    """That tensor with another activation at the site."""
    if site.factor != 1:
        new = new / site.factor
    if site.components is None:
        return new.reshape(x.shape)
    first, end = site.components
    inside = new.reshape(*x.shape[:-1], end - first).to(x)
    return torch.cat([x[..., :first], inside, x[..., end:]], dim=-1)


def first_tensor(args: tuple, kwargs: dict) -> Tensor | None:
    """A module's first input: positional, else by keyword. None if there is no tensor."""
    inputs = (*args[:1], kwargs.get("hidden_states"), *kwargs.values())
    return next((value for value in inputs if isinstance(value, Tensor)), None)


def _input_tensor(args: tuple, kwargs: dict) -> Tensor:
    x = first_tensor(args, kwargs)
    if x is None:
        raise ModelError("A module at a site got no tensor as its input; choose another site.")
    return x


def _by_token(x: Tensor, ids: Tensor) -> Tensor:
    """One vector per token, also if a module joins texts and tokens or splits heads."""
    if x.ndim == 2 and x.shape[0] == ids.numel():
        return x.unflatten(0, ids.shape)
    if x.ndim == 4 and x.shape[:2] == ids.shape:
        return x.flatten(2)
    return x


def _check_activation(site: Site, x: Tensor | None, ids: Tensor) -> None:
    if x is None:
        raise ModelError(
            f"The model never comes to '{site}' in a forward pass over tokens. Choose a site "
            "inside a block, such as its output."
        )
    if x.ndim != 3 or x.shape[:2] != ids.shape:
        raise ModelError(
            f"'{site}' holds a tensor of shape {list(x.shape)}, not one vector per token "
            f"{[*ids.shape, 'd']}. Choose another site, such as a block's output."
        )


def _output_length(output: Any) -> int:
    if isinstance(output, Tensor):
        return 0
    if any(part is not None for part in output[1:]):
        logger.debug("A block returns more than its activation.")
    return len(output)


def agree(actual: Tensor, expected: Tensor) -> bool:
    """Whether two tensors are equal up to rounding, relative to the largest value."""
    scale = expected.abs().max().float().clamp(min=1e-30)
    return bool(
        (actual - expected).abs().max().float() <= 200 * torch.finfo(expected.dtype).eps * scale
    )


@contextmanager
def _skip_blocks(
    blocks: Sequence[nn.Module], lengths: Sequence[int], stream: Tensor
) -> Iterator[None]:
    """While open, the blocks compute nothing and return `stream`."""
    with ExitStack() as stack:
        for block, length in zip(blocks, lengths, strict=True):
            output = (stream, *[None] * (length - 1)) if length else stream
            stack.enter_context(shadowed(block, lambda *_, output=output, **__: output))
        yield


@contextmanager
def shadowed(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """While open, a module runs another forward; all its attributes stay available."""
    attributes = vars(module)
    original = attributes.get("forward")
    attributes["forward"] = forward
    try:
        yield
    finally:
        if original is None:
            del attributes["forward"]
        else:
            attributes["forward"] = original
