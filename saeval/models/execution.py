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
"""What is done with the tensor at a site: None leaves it, a tensor takes its place."""


class _Reached(Exception):
    """Raised inside a forward pass, and caught around it, once all sites were seen."""


def capture(
    parts: Anatomy,
    sites: Sequence[Site],
    ids: Int[Tensor, "texts seq"],
    attention: Bool[Tensor, "texts seq"],
    *,
    whole: bool,
) -> tuple[dict[Site, Float[Tensor, "texts seq d"]], Float[Tensor, "texts seq d_model"] | None]:
    """Activations at some sites, and the final hidden state if the whole pass is asked for.

    Without `whole` the pass ends at the deepest site, so the layers after it cost nothing.

    Raises:
        ModelError: if the forward pass never comes to a site, or what it finds there is no
            activation [texts, seq, d].
    """
    seen: dict[Site, Tensor] = {}
    wanted = set(sites)

    def keep(site: Site) -> _Edit:
        def look(x: Tensor) -> None:
            # A copy, since later modules may add to the same tensor in place.
            seen.setdefault(site, _by_token(x.detach(), ids).clone())
            if not whole and seen.keys() == wanted:
                raise _Reached

        return look

    final = None
    with torch.no_grad(), ExitStack() as stack:
        for site in wanted:
            stack.enter_context(at_site(parts, site, keep(site)))
        with suppress(_Reached):
            final = forward(parts, ids, attention)
    for site in sites:
        _check(site, seen.get(site), ids)
    return seen, final


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

    A module's input inside a block is edited in place: a site is a tensor, and whoever else
    reads that tensor, such as the skip connection around a norm, has to see the edit.
    """
    module = parts.module(site.path)

    def entering(_: nn.Module, args: tuple, kwargs: dict) -> None:
        x = _entering(args, kwargs)
        new = edit(_read(site, x))
        if new is not None:
            x.copy_(_written(site, x, new))

    def leaving(_: nn.Module, __: tuple, output: Any) -> Any:
        x = output if isinstance(output, Tensor) else output[0]
        new = edit(_read(site, x))
        if new is None:
            return None
        # A copy, since a block may add to what its parts return in place.
        new = _written(site, x, new).to(x, copy=True)
        named: Any = output  # a named tuple's fields are read by name (Reformer)
        if hasattr(named, "_replace"):
            return named._replace(**{named._fields[0]: new})
        return new if isinstance(output, Tensor) else (new, *output[1:])

    handle = (
        module.register_forward_pre_hook(entering, with_kwargs=True)
        if site.side == "in"
        else module.register_forward_hook(leaving)
    )
    try:
        yield
    finally:
        handle.remove()


@dataclass(frozen=True)
class Restart:
    """How a pass starts again at a site: blocks before the boundary hand on what is given."""

    site: Site
    boundary: int
    """Blocks skipped; the given activation enters the block of this index."""
    lengths: tuple[int, ...]
    """What each skipped block returns: a tuple of so many (the rest None), or 0 for a tensor."""
    edits: bool
    """Whether the site lies inside the first block run, which then starts from its own input."""


def hooked(
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


def restarted(
    parts: Anatomy,
    restart: Restart,
    ids: Int[Tensor, "texts seq"],
    attention: Bool[Tensor, "texts seq"],
    x: Float[Tensor, "texts seq d"],
    resume: Float[Tensor, "texts seq d_model"] | None = None,
) -> Float[Tensor, "texts seq d_model"]:
    """The same as `hooked`, at the cost of only the layers after the site."""
    given = resume if restart.edits else x
    blocks = [parts.module(parts.block(i)) for i in range(restart.boundary)]
    with ExitStack() as stack:
        if blocks and given is not None:
            # A copy, since blocks may add to their input in place.
            stack.enter_context(_handing_on(blocks, restart.lengths, given.clone()))
        if restart.edits:
            stack.enter_context(at_site(parts, restart.site, lambda _: x))
        return forward(parts, ids, attention)


def plan_restart(parts: Anatomy, site: Site) -> Restart | None:
    """Find out whether a pass can start again at a site: by trying it on two short rows.

    None means that a hook on the whole pass has to do: the site lies before or outside the
    blocks, or the two ways give different hidden states, as where blocks share more than the
    stream.
    """
    place = parts.split(site.path)
    if place is None:
        return None
    layer, inner = place
    boundary = layer if inner or site.side == "in" else layer + 1
    if boundary == 0 or not (inner or site.is_whole):
        return None
    device = parts.device
    ids = torch.arange(8, device=device).reshape(2, 4) % parts.vocab_size
    attention = torch.tensor([[True] * 4, [True, True, True, False]], device=device)
    entry = Site(parts.block(boundary), "in") if inner else None
    forms: dict[int, int] = {}
    with torch.no_grad(), ExitStack() as stack:
        for i in range(boundary):
            block = parts.module(parts.block(i))
            handle = block.register_forward_hook(
                lambda _, __, output, i=i: forms.update({i: _length(output)})
            )
            stack.callback(handle.remove)
        try:
            wanted = [site, entry] if entry else [site]
            found, _ = capture(parts, wanted, ids, attention, whole=True)
        except ModelError:
            # Where the site itself holds no activations, this says so.
            capture(parts, [site], ids, attention, whole=False)
            return None
        x = found[site] * 1.25 + 0.1
        restart = Restart(site, boundary, tuple(forms[i] for i in range(boundary)), bool(inner))
        expected = hooked(parts, {site: x}, ids, attention)
        try:
            resume = found[entry] if entry else None
            actual = restarted(parts, restart, ids, attention, x, resume)
        except (AttributeError, KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            logger.info("Restarting at %s fails (%s); hooks take its place.", site, error)
            return None
    if not agree(actual[attention], expected[attention]):
        logger.info("Restarting at %s gives other hidden states; hooks take its place.", site)
        return None
    return restart


def _read(site: Site, x: Tensor) -> Tensor:
    """The activation at a site, of the tensor that its module takes or gives."""
    if site.components is not None:
        first, end = site.components
        if x.ndim > 3 or end > x.shape[-1]:
            raise ModelError(
                f"'{site}' names components of one vector per token, and '{site.path}:{site.side}' "
                f"holds {list(x.shape)}. Give others, or the whole of it."
            )
        x = x[..., first:end]
    return x if site.factor == 1 else x * site.factor


def _written(site: Site, x: Tensor, new: Tensor) -> Tensor:
    """That tensor with another activation at the site."""
    if site.factor != 1:
        new = new / site.factor
    if site.components is None:
        return new.reshape(x.shape)
    first, end = site.components
    inside = new.reshape(*x.shape[:-1], end - first).to(x)
    return torch.cat([x[..., :first], inside, x[..., end:]], dim=-1)


def first_tensor(args: tuple, kwargs: dict) -> Tensor | None:
    """A module's first input: positional, else by keyword. None where that is no tensor."""
    inputs = (*args[:1], kwargs.get("hidden_states"), *kwargs.values())
    return next((value for value in inputs if isinstance(value, Tensor)), None)


def _entering(args: tuple, kwargs: dict) -> Tensor:
    x = first_tensor(args, kwargs)
    if x is None:
        raise ModelError("A module at a site got no tensor as its input; choose another site.")
    return x


def _by_token(x: Tensor, ids: Tensor) -> Tensor:
    """One vector per token, where a module joins texts and tokens, or splits vectors into heads."""
    if x.ndim == 2 and x.shape[0] == ids.numel():
        return x.unflatten(0, ids.shape)
    if x.ndim == 4 and x.shape[:2] == ids.shape:
        return x.flatten(2)
    return x


def _check(site: Site, x: Tensor | None, ids: Tensor) -> None:
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


def _length(output: Any) -> int:
    if isinstance(output, Tensor):
        return 0
    if any(part is not None for part in output[1:]):
        logger.debug("A block returns more than its activation.")
    return len(output)


def agree(actual: Tensor, expected: Tensor) -> bool:
    """Equal up to the rounding of the dtype, relative to the largest value."""
    scale = expected.abs().max().float().clamp(min=1e-30)
    return bool(
        (actual - expected).abs().max().float() <= 200 * torch.finfo(expected.dtype).eps * scale
    )


@contextmanager
def _handing_on(
    blocks: Sequence[nn.Module], lengths: Sequence[int], given: Tensor
) -> Iterator[None]:
    """While open, the blocks compute nothing and return what is given."""
    with ExitStack() as stack:
        for block, length in zip(blocks, lengths, strict=True):
            output = (given, *[None] * (length - 1)) if length else given
            stack.enter_context(shadowed(block, lambda *_, output=output, **__: output))
        yield


@contextmanager
def shadowed(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """While open, a module runs another forward; all its attributes stay in reach."""
    attributes = vars(module)
    before = attributes.get("forward")
    attributes["forward"] = forward
    try:
        yield
    finally:
        if before is None:
            del attributes["forward"]
        else:
            attributes["forward"] = before
