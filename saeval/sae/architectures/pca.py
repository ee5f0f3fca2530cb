"""The null 'pca': principal components, of which each token keeps its largest scores."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.errors import DataError
from saeval.sae import Codes, Origin
from saeval.sae.architectures.checks import check_k, check_shapes
from saeval.sae.architectures.linear import reconstruct, reconstruct_codes
from saeval.sae.architectures.sparse import abs_topk_codes, in_batches, largest
from saeval.sae.architectures.transforms import IDENTITY, Transform


@dataclass(frozen=True, eq=False)
class PCA:
    """Keeps the k scores (x - b_dec) V with the largest magnitude, with their sign.

    An SAE of the same L0 has to beat it: d_sae = d_in orthonormal directions. Choosing the k for
    each token makes it a stronger rival than the first k components for all.
    """

    signed: ClassVar[bool] = True
    takes_k: ClassVar[bool] = True

    W_dec: Float[Tensor, "d_sae d_in"]
    """Components, orthonormal rows, by falling variance."""
    b_dec: Float[Tensor, " d_in"]
    """Mean activation of the training data."""
    k: int
    """Scores kept per token; the L0 of the SAEs to be compared."""
    transform: Transform = IDENTITY
    """Applied to the input first, undone on the reconstruction last."""
    origin: Origin = field(default_factory=partial(Origin, architecture="pca"))

    def __post_init__(self) -> None:
        check_shapes(self)
        check_k(self.k, self.d_sae)

    @property
    def d_in(self) -> int:
        """Width of the activations it reads."""
        return self.W_dec.shape[1]

    @property
    def d_sae(self) -> int:
        """Number of components."""
        return self.W_dec.shape[0]

    @property
    def W_enc(self) -> Float[Tensor, "d_in d_sae"]:  # noqa: N802, the papers' name
        """The components, since they are orthonormal."""
        return self.W_dec.T

    def with_k(self, k: int) -> "PCA":
        """The same SAE with at most k latents per token."""
        return replace(self, k=k)

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_sae"]:
        """Scores of x that are among the k largest by magnitude, else 0."""
        scores = self._scores(x)
        _, index = largest(scores.abs(), self.k)
        return torch.zeros_like(scores).scatter(1, index, scores.gather(1, index))

    def encode_codes(self, x: Float[Tensor, "tokens d_in"]) -> Codes:
        """The same, sparse."""
        return in_batches(self._encode_batch, x, self.d_sae)

    def _encode_batch(self, x: Float[Tensor, "tokens d_in"]) -> Codes:
        return abs_topk_codes(self._scores(x), self.k)

    def _scores(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_sae"]:
        return (self.transform.apply(x.to(self.W_dec.dtype)) - self.b_dec) @ self.W_dec.T

    decode = reconstruct
    decode_codes = reconstruct_codes


def fit_pca(batches: Iterable[Float[Tensor, "_ d_in"]], k: int) -> PCA:
    """All principal components of some activations, with their mean taken off.

    Sums are kept in float64 about the first token, since the mean may dwarf the variance.

    Raises:
        DataError: if there is no token at all.
    """
    count, shift, total, products = 0, None, None, None
    for x in batches:
        if not len(x):
            continue
        shift = x[0].double() if shift is None else shift
        z = x.double() - shift
        total = z.sum(0) if total is None else total + z.sum(0)
        products = z.T @ z if products is None else products + z.T @ z
        count += len(x)
    if shift is None or total is None or products is None:
        raise DataError("PCA needs activations, but was given none.")
    mean = total / count
    _, vectors = torch.linalg.eigh(products / count - torch.outer(mean, mean))
    components = vectors.flip(1).T
    # Eigenvectors come with either sign; the largest entry is made positive, for reproducibility.
    largest_entry = components.gather(1, components.abs().argmax(1, keepdim=True))
    components = components * largest_entry.sign()
    return PCA(components.float().contiguous(), (shift + mean).float(), k)
