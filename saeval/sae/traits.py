"""What an SAE declares of itself (`Traits`): tasks look here before they let it encode.

Without a declaration the ordinary case holds: latents are never negative, no input is needed
besides x, and there is one site.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from saeval.errors import LoadError, UsageError
from saeval.sae.protocol import SAE
from saeval.sae.site import Origin


@dataclass(frozen=True)
class Traits:
    """How an SAE differs from the ordinary one, which turns x at one site into latents above 0."""

    signed: bool = False
    """Latents may be negative. Active means != 0 either way."""
    needs_gradient: bool = False
    """`encode(x, gradient=...)`: d loss / d x of the model's next-token loss, [tokens, d_in]."""
    needs_tokens: bool = False
    """`encode(x, tokens=...)`: the id of each token, [tokens]."""
    takes_k: bool = False
    """`with_k(k)` returns the same SAE that answers with at most k latents per token."""
    read_sites: tuple[str, ...] = ()
    """Names of the sites whose activations, side by side, are x; empty if it names none."""
    write_sites: tuple[str, ...] = ()
    """Names of the sites that it reconstructs, side by side: mostly the read sites."""

    @property
    def several_sites(self) -> bool:
        """Whether it is a crosscoder, or a cross-layer transcoder."""
        return max(len(self.read_sites), len(self.write_sites)) > 1


def traits_of(sae: object) -> Traits:
    """What an SAE, or an object that may become one, declares by attributes and by its origin."""
    origin = getattr(sae, "origin", None)
    origin = origin if isinstance(origin, Origin) else Origin()
    return Traits(
        signed=_is_set(sae, "signed"),
        needs_gradient=_is_set(sae, "needs_gradient"),
        needs_tokens=_is_set(sae, "needs_tokens"),
        takes_k=_is_set(sae, "takes_k"),
        read_sites=origin.read_sites,
        write_sites=origin.write_sites,
    )


def _is_set(sae: object, name: str) -> bool:
    return bool(getattr(sae, name, False))


def with_k(sae: SAE, k: int) -> SAE:
    """The same SAE that answers with at most k latents per token.

    Raises:
        UsageError: if it takes no k at all, or refuses this value.
    """
    if not traits_of(sae).takes_k:
        raise UsageError(
            f"{type(sae).__name__} does not take a number of latents. Architectures that choose "
            "the k largest do, such as topk and hierarchical_topk."
        )
    try:
        return getattr(sae, "with_k")(k)  # noqa: B009  the SAE protocol has no with_k
    except LoadError as error:
        raise UsageError(str(error)) from error


def extra_inputs(
    traits: Traits, tokens: Tensor | None = None, gradient: Tensor | None = None
) -> Mapping[str, Any]:
    """Keywords for `encode` besides x: those of the arguments that the SAE declares to need.

    Raises:
        UsageError: if an argument that it needs is None.
    """
    inputs = {}
    if traits.needs_tokens:
        inputs["tokens"] = tokens
    if traits.needs_gradient:
        inputs["gradient"] = gradient
    missing = [name for name, value in inputs.items() if value is None]
    if missing:
        raise UsageError(
            f"The SAE declares that it needs {' and '.join(missing)} beside x, but was given none. "
            "Encode rows of a source (saeval.activations.read_acts), which hands them over."
        )
    return inputs
