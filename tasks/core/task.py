"""Core: how faithfully an SAE rebuilds activations, how sparsely, and what it costs the model."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from saeval.activations import ActivationSource, has_logits
from saeval.config.counts import Limit, check_counts
from saeval.errors import DataError, UsageError, shown
from saeval.evidence import DIGEST_LENGTH, Evidence, Missing, on_data
from saeval.lab import part_of
from saeval.sae import SAE
from saeval.task import Prepared

from .._texts.corpus import Corpus, default_corpus, default_identity, lab_corpus, read_texts
from . import evidence, per_site, saebench
from .measuring import RowPlan, counted_activations, measure, measure_model, plan_of
from .neighbours import EXACT_UP_TO, nearest_neighbours
from .row_sums import Statistics, as_read, first_rows
from .rows import (
    CHARACTERS_PER_TOKEN,
    NamedRows,
    Overflow,
    RowForm,
    RowLimits,
    begin_with_bos,
    judged_first,
    judged_rows,
    ready_rows,
    stored_vectors,
    text_rows,
)
from .site_sums import site_sums

DEFAULT_CONTEXT = 128
DEFAULT_ROWS = 1024
"""Rows of the default text: 131,072 tokens at most, with the default context."""
NO_LOGITS = (
    "It judges the model's predictions, which need a model with an output head; stored activations "
    "and synthetic worlds have none."
)
NO_LOSS_ROWS = (
    "It judges the model's predictions, and core.ce_rows is 0: set it to the number of rows on "
    "which they are to be judged."
)


@dataclass(frozen=True)
class Core:
    """Reconstruction, sparsity, loss and geometry of one SAE on one corpus.

    Special tokens count nowhere, no prediction of one is judged, and they keep their own activation
    where the SAE is spliced in. Where there are more, the seed draws the rows that are read, those
    of them whose predictions are judged, and the latents that stand for a very wide SAE in the
    neighbour cosines.
    """

    name: ClassVar[str] = "core"
    version: ClassVar[int] = 3
    headline: ClassVar[tuple[str, ...]] = (
        "l0",
        "fvu",
        "ce_loss_score",
        "ce_loss_score_mean_ablation",
        "kl_div_score",
        "cosine_similarity",
    )

    rows: int | None = None
    """Rows read at most, drawn by the seed where there are more; None: all of `tokens` or `texts`,
    1,024 of the default text."""
    ce_rows: int | None = None
    """How many of them serve cross-entropy and KL, which cost the most; the seed draws which. None:
    as many as hold 65,536 tokens, 512 full rows of 128, and all of the lab's documents."""
    context: int | None = None
    """Tokens a row at most, BOS included. None: 128, or as many as the model takes."""
    prepend_bos: bool | None = None
    """Whether rows of texts begin with BOS. None: as the SAE's files or registry entry say, else
    with BOS where the model has one."""
    texts: str | None = None
    """File of texts: .txt (one a line), .jsonl, .csv or .parquet. None: see `tokens`."""
    text_column: str = "text"
    """Where the texts stand in a .jsonl, .csv or .parquet file."""
    overflow: Overflow | None = None
    """Texts longer than the context: `error`, `truncate`, or `pack` (all joined and cut into
    full rows). With the first two each text is a row. None: `error` for a file of yours, `truncate`
    for the lab's documents and games, whose models never saw a row that begins within one, and
    `pack` for the default text, as language models are trained."""
    tokens: str | None = None
    """File of ready token rows, .npy [rows, context]. None and no `texts`: the lab's text for a
    lab model, else a sample of the Pile from the Hugging Face hub."""
    exact_neighbours: int = EXACT_UP_TO
    """Latents up to which neighbour cosines compare all pairs; above, a sample of 4,096."""
    compat: str | None = None
    """`saebench`: add SAEBench's own figures, named `saebench_*`."""
    compat_reconstruction_rows: int | None = None
    """Rows, from the first, that serve SAEBench's CE and KL; the rest serve its other figures.
    None: a third of the rows. A source without predictions gives all rows to the other figures."""
    limit: Limit | None = None
    """Read no more rows than this, whatever `rows` says, or such a share (0.1) of the rows that
    would be read without it; the seed draws which."""

    def __post_init__(self) -> None:
        for field in ("texts", "tokens"):
            value = getattr(self, field)
            if not isinstance(value, str | Path | None):
                raise UsageError(
                    f"core.{field} is {shown(value)}. A task's own fields hold files; give what is "
                    f"in memory to saeval.evaluate, as config={{'core': {{'{field}': ...}}}}."
                )
        if self.texts and self.tokens:
            raise UsageError(
                f"core.texts '{self.texts}' and core.tokens '{self.tokens}' exclude each other."
            )
        if self.tokens and self.prepend_bos is not None:
            raise UsageError(
                f"core.tokens '{self.tokens}' holds ready rows, so core.prepend_bos decides "
                "nothing. Leave one of them out."
            )
        for field in ("texts", "tokens"):
            path = getattr(self, field)
            if path and not Path(path).is_file():
                raise UsageError(f"There is no file '{path}' for core.{field}.")
        if self.compat not in (None, "saebench"):
            raise UsageError(f"core.compat '{self.compat}' is unknown; there is 'saebench'.")
        least = {"rows": 1, "ce_rows": 0, "context": 2, "exact_neighbours": 0, "limit": 1}
        check_counts(self, {**least, "compat_reconstruction_rows": 1})

    def prepare(self, source: ActivationSource, seed: int) -> Prepared:
        """Choose the rows; measure activations and the model's own losses on them."""
        data = self._read_rows(source, seed)
        plan = self._divide_rows(data, source)
        site = site_sums(counted_activations(source, plan), plan.units)
        numbers = np.arange(plan.units) if data.numbers is None else data.numbers
        arrays = {"numbers": numbers}
        tables = {"site": pd.DataFrame(site.statistics)}
        if len(source.sites.write) > 1:
            tables["sites"] = per_site.spreads(source, plan)
        if plan.n_spliced:
            losses = measure_model(source, plan, torch.from_numpy(site.mean).float())
            tables["losses"] = pd.DataFrame(losses)
        if plan.saebench:
            arrays["batch_means"] = saebench.batch_means(site, plan.saebench_loss_rows)
        facts = {
            "data": data.name,
            "digest": data.digest,
            "notice": data.notice,
            "bos": begin_with_bos(source, data.rows),
            "unit": data.unit,
            "rows_a_unit": plan.rows_per_unit,
            "ce_rows": plan.ce_rows,
            "saebench": plan.saebench,
            "saebench_loss_rows": plan.saebench_loss_rows,
        }
        return Prepared(arrays, tables, facts, data.rows)

    def score(
        self, sae: SAE, prepared: Prepared, source: ActivationSource, seed: int
    ) -> Iterator[Evidence | Missing]:
        """One pass over the rows gives all figures but the cosines, which need the weights only."""
        data = {"rows": prepared.facts["digest"][:DIGEST_LENGTH]}
        if source.stored_rows is not None:  # whose rows are but numbers of vectors
            data["activations"] = source.identity
        yield from on_data(self._yielded(sae, prepared, source, seed), data)

    def _yielded(
        self, sae: SAE, prepared: Prepared, source: ActivationSource, seed: int
    ) -> Iterator[Evidence | Missing]:
        plan, unit = plan_of(prepared), prepared.facts["unit"]
        if not self.compat:  # a null SAE's is None, whatever was prepared
            plan = replace(plan, saebench=False, saebench_loss_rows=0)
        with torch.no_grad():
            measurement = measure(sae, source, plan, _batch_means(prepared, source))
        numbers = prepared.arrays["numbers"]
        rows = as_read(_table_columns(prepared, "site") | measurement.rows, numbers)
        losses = _table_columns(prepared, "losses") | measurement.losses
        yield from evidence.reconstruction_evidence(rows, unit)
        errors = as_read(measurement.site_errors, numbers)
        deviations = as_read(_table_columns(prepared, "sites"), numbers)
        yield from per_site.site_evidence(errors, deviations, rows["tokens"], unit)
        yield from evidence.density_evidence(measurement.active, int(rows["tokens"].sum()))
        if plan.ce_rows:
            judged = numbers[: plan.ce_rows]
            judged_losses = as_read(first_rows(losses, plan.ce_rows), judged)
            yield from evidence.loss_evidence(judged_losses, unit, np.sort(judged))
        else:
            yield from evidence.missing_metrics(evidence.LOSSES, _no_loss_reason(source))
        for neighbours in nearest_neighbours(sae, seed, self.exact_neighbours):
            yield neighbours
            if self.compat:
                yield saebench.rename_to_saebench(neighbours)
        if plan.saebench:
            first = plan.saebench_loss_rows
            if first:
                yield from saebench.loss_evidence(first_rows(saebench.own_losses(losses), first))
            else:
                yield from saebench.missing_losses(NO_LOGITS)
            yield from saebench.figure_evidence(
                rows, measurement.positive, first, source.widths.d_out, unit
            )

    def inputs(self, model: str | None) -> str | None:
        """Identity of the default text, by content; None where fields or the model decide it."""
        is_given = self.texts or self.tokens or model is None or part_of(model)
        return None if is_given else default_identity()

    def _read_rows(self, source: ActivationSource, seed: int) -> NamedRows:
        """The rows that are read, in the order in which they are measured.

        SAEBench's figures depend on the order, so that `compat` keeps it and judges the first rows.
        """
        data = self._select_rows(source, seed)
        if not has_logits(source):
            return data
        is_default = not (self.texts or self.tokens)
        judged = judged_rows(data.rows, self.ce_rows, None if self.compat else seed)
        by_length = is_default and data.unit == "document" and not self.compat
        return judged_first(data, judged, by_length=by_length)

    def _select_rows(self, source: ActivationSource, seed: int) -> NamedRows:
        """The rows that the fields select, and of these as many as are read, drawn by the seed."""
        limits = RowLimits(self.rows, self.limit)
        if self.tokens:
            return ready_rows(source, self.tokens, limits, seed)
        if source.stored_rows is not None and not self.texts:
            if self.prepend_bos is not None:
                raise UsageError(
                    f"'{source.name}' holds stored activations, so core.prepend_bos decides "
                    "nothing. Leave it out."
                )
            return stored_vectors(source.stored_rows, source.name, limits, seed)
        context = self.context or min(DEFAULT_CONTEXT, source.context)
        if self.texts:
            corpus = read_texts(self.texts, self.text_column)
            form = RowForm(context, self.overflow or "error", self.prepend_bos)
            return text_rows(source, corpus, form, limits, seed)
        limits = RowLimits(self.rows or DEFAULT_ROWS, self.limit)
        corpus = self._default_corpus(source, limits.most, seed)
        overflow = self.overflow or ("truncate" if corpus.texts_are_rows else "pack")
        form = RowForm(context, overflow, self.prepend_bos)
        return text_rows(source, corpus, form, limits, seed)

    def _default_corpus(self, source: ActivationSource, rows: int | None, seed: int) -> Corpus:
        """The text where no field names one: the lab's for a lab model, else the default."""
        characters = CHARACTERS_PER_TOKEN * (self.context or DEFAULT_CONTEXT)
        characters *= self.rows or DEFAULT_ROWS
        documents = None if self.overflow == "pack" else rows
        return lab_corpus(source.name, characters, documents, seed) or default_corpus()

    def _divide_rows(self, data: NamedRows, source: ActivationSource) -> RowPlan:
        """Divide the rows among the figures.

        Raises:
            DataError: if SAEBench's figures would be left without rows, or no token counts.
        """
        rows = data.rows
        if not rows.mask.any():
            raise DataError(f"No token of '{data.name}' counts: all are special tokens or padding.")
        if not has_logits(source):
            return RowPlan(rows, data.rows_per_unit, 0, saebench=bool(self.compat))
        if not self.compat:
            return RowPlan(rows, data.rows_per_unit, data.judged)
        first = self.compat_reconstruction_rows or max(1, len(rows) // 3)
        if first >= len(rows):
            raise DataError(
                f"core.compat_reconstruction_rows is {first}, but there are {len(rows)} rows in "
                "all: none is left for SAEBench's other figures. Lower it, or read more."
            )
        return RowPlan(
            rows, data.rows_per_unit, data.judged, saebench=True, saebench_loss_rows=first
        )


def _batch_means(
    prepared: Prepared, source: ActivationSource
) -> Float[torch.Tensor, "batches d_out"]:
    means = prepared.arrays.get("batch_means")
    return torch.zeros(0, source.widths.d_out) if means is None else torch.from_numpy(means).float()


def _table_columns(prepared: Prepared, table: str) -> Statistics:
    if table not in prepared.tables:
        return {}
    return {str(name): column.to_numpy() for name, column in prepared.tables[table].items()}


def _no_loss_reason(source: ActivationSource) -> str:
    return NO_LOSS_ROWS if has_logits(source) else NO_LOGITS
