"""Strongest: how much of an activation the strongest latent of each token rebuilds alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from saeval import metrics
from saeval.activations import ActivationSource, TokenRows, read_codes
from saeval.config.counts import Limit, check_counts, limited_count
from saeval.errors import DataError, NotApplicable
from saeval.evidence import Evidence, Metric, Missing, units
from saeval.sae import SAE, Codes, decode_codes
from saeval.task import Prepared

SENTENCES = Path(__file__).with_name("sentences.txt")


EXPLAINED = Metric(
    "strongest_explained_variance",
    unit="fraction",
    better="higher",
    formula="1 - sum of |y - y_hat|^2 / sum of |y - mean of y|^2 over all tokens, where y_hat is "
    "rebuilt from each token's strongest latent alone.",
    functions=("saeval_example.strongest:strongest", "saeval.metrics.reconstruction:squared_error"),
    distrust="at different `l0`: an SAE of one latent a token loses nothing here.",
    floor=0,
    ceiling=1,
)
SHARE = Metric(
    "strongest_share",
    unit="fraction",
    better="none",
    formula="|act| of each token's strongest latent, summed over all tokens, divided by the sum of "
    "|acts| of all latents.",
    functions=("saeval.metrics.sparsity:token_l1",),
    distrust="across SAEs, which scale their latents differently.",
    ceiling=1,
    undefined="no latent is active",
)


@dataclass(frozen=True)
class Strongest:
    """What an SAE still says if every token keeps only its strongest latent."""

    name: ClassVar[str] = "strongest"
    version: ClassVar[int] = 1

    texts: str | None = None
    """File with one text a line. None: eight sentences that come with the package."""
    limit: Limit | None = None
    """Read no more rows than this, or such a share of them (0.1). None: all."""

    def __post_init__(self) -> None:
        check_counts(self, {"limit": 1})

    def inputs(self, model: str | None) -> dict[str, str]:
        """Data that no field names: other sentences are another result."""
        return {} if self.texts else {"sentences": sha256(SENTENCES.read_bytes()).hexdigest()}

    def prepare(self, source: ActivationSource, seed: int) -> Prepared:
        """Choose the rows, and measure how activations vary on them.

        Raises:
            NotApplicable: if they do not vary.
        """
        rows = self._rows(source)
        total = sum(batch.y_tokens.double().sum(0) for batch in source.batches(rows))
        mean = total / max(1, int(rows.mask.sum()))
        sq_dev = np.zeros(len(rows))
        for batch in source.batches(rows):
            deviation = metrics.squared_norm(batch.y_tokens.double() - mean)
            sq_dev += _by_row(batch.row_of_token, deviation, len(rows))
        if not sq_dev.sum() > 0:
            raise NotApplicable(f"All activations of '{rows.name}' are equal: nothing to explain.")
        return Prepared(
            arrays={"sq_dev": sq_dev},
            facts={"data": rows.name, "digest": rows.digest},
            rows=rows,
        )

    def score(
        self, sae: SAE, prepared: Prepared, source: ActivationSource, seed: int
    ) -> Iterator[Evidence | Missing]:
        """Keep one latent a token, rebuild, compare."""
        rows, sq_dev = prepared.required_rows, prepared.arrays["sq_dev"]
        with torch.no_grad():
            sums = _sums(sae, source, rows)
        statistics = {"explained": sq_dev - sums.pop("sq_err"), "sq_dev": sq_dev, **sums}
        table = units("rows", "row", statistics, weight=rows.mask.any(1))
        yield EXPLAINED.evidence(table, {"num": "explained", "den": "sq_dev"})
        if not sums["every"].sum() > 0:
            yield SHARE.missing("No latent is active on these rows.")
            return
        yield SHARE.evidence(table, {"num": "strongest", "den": "every"})

    def _rows(self, source: ActivationSource) -> TokenRows:
        """Stored vectors if that is what the source has, else texts.

        Raises:
            DataError: if the file cannot be read.
        """
        if self.texts is None and source.stored_rows is not None:
            count = limited_count(self.limit, len(source.stored_rows))
            return source.stored_rows.take(slice(0, count))
        path = Path(self.texts) if self.texts else SENTENCES
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise DataError(f"Cannot read texts from '{path}': {error}.") from error
        texts = [line for line in lines if line.strip()]
        texts = texts[: limited_count(self.limit, len(texts))]
        return source.tokenize(texts, name=path.name, overflow="truncate")


def _sums(
    sae: SAE, source: ActivationSource, rows: TokenRows
) -> dict[str, Float[np.ndarray, " rows"]]:
    """By row: squared error of the strongest latents alone, their |acts|, and those of all."""
    sums = {name: np.zeros(len(rows)) for name in ("sq_err", "strongest", "every")}
    for batch, codes in read_codes(source, sae, rows):
        kept = strongest(codes)
        y_hat = decode_codes(sae, kept, batch.x_tokens.to(sae.W_dec.device)).to(batch.y)
        values = {
            "sq_err": metrics.squared_error(batch.y_tokens, y_hat),
            "strongest": metrics.token_l1(kept),
            "every": metrics.token_l1(codes),
        }
        for name, value in values.items():
            sums[name] += _by_row(batch.row_of_token, value, len(rows))
    return sums


def strongest(codes: Codes) -> Codes:
    """The largest |act| of each token that has any; of equals the first."""
    by_size = codes.value.abs().argsort(descending=True, stable=True)
    by_token = by_size[codes.token[by_size].argsort(stable=True)]
    active = codes.l0 > 0
    first = by_token[codes.offsets[:-1][active]]
    offsets = torch.cat([codes.offsets[:1], active.cumsum(0)])
    return Codes(codes.index[first], codes.value[first], offsets, codes.d_sae)


def _by_row(
    row: Int[Tensor, " tokens"], value: Float[Tensor, " tokens"], rows: int
) -> Float[np.ndarray, " rows"]:
    """Sum of the tokens of each row, in float64."""
    return np.bincount(row.cpu(), value.cpu().double(), minlength=rows)
