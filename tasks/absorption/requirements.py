"""What `absorption` needs of a source and of an SAE, and what it says where that is not there."""

from typing import Any

from saeval.activations import ActivationSource
from saeval.errors import NotApplicable
from saeval.sae import SAE, traits_of
from saeval.sae.site import joined


def required_tokenizer(source: ActivationSource) -> Any:
    """The tokenizer whose words are read.

    Raises:
        NotApplicable: if there is none, or SAEs of this source are transcoders.
    """
    if source.model is None:
        raise NotApplicable(
            f"'{source.name}' holds stored activations, and words need the model they came from. "
            "Give --model instead."
        )
    if source.model.tokenizer is None:
        raise NotApplicable(f"{source.name} came without a tokenizer, so it has no words.")
    if source.sites.read != source.sites.write:
        raise NotApplicable(
            f"SAEs here read at {joined(source.sites.read)} and write at "
            f"{joined(source.sites.write)}: what a latent adds to the one says nothing of the "
            "other."
        )
    if source.sites.several:
        raise NotApplicable(
            f"SAEs here read {len(source.sites.read)} sites together ({source.sites}), and "
            "absorption compares directions at one site. Score an SAE of a single site."
        )
    return source.model.tokenizer


def check_vectors_suffice(sae: SAE) -> None:
    """Check that an SAE can encode words from their activations alone: nothing else is stored.

    Raises:
        NotApplicable: if it needs more.
    """
    traits = traits_of(sae)
    needs = {"token ids": traits.needs_tokens, "the gradient of the loss": traits.needs_gradient}
    lacking = [name for name, needed in needs.items() if needed]
    if lacking:
        raise NotApplicable(
            f"Absorption encodes single words by their activations alone, and this SAE needs "
            f"{' and '.join(lacking)} beside them."
        )
