"""Probing: what labels a few latents of an SAE give away, and what all of them do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.sparse import csr_matrix

from saeval.activations import ActivationSource, Pooled, TokenRows, read_acts, read_x
from saeval.activations.memory import hand_back
from saeval.config.counts import Limit, check_counts, limited_count
from saeval.errors import DataError, NotApplicable, UsageError, shown
from saeval.evidence import Evidence, Metric, Missing, content_digest, on_data
from saeval.lab import document_part, part_of
from saeval.lab.synthetic import world_of
from saeval.sae import SAE
from saeval.task import NONE_IN_KEYS, Prepared

from .._texts.labelled import (
    LAB,
    SAEBENCH,
    DataSet,
    data_identity,
    lab_sets,
    list_data_sets,
    read_data_set,
    select_by_name,
)
from . import concepts, saebench
from .all_latents import dense_scores
from .choosing import spread
from .evidence import DENSE, FULL_WIDTH, missing_metrics, problem_evidence, top_k_probe
from .f1 import F1_METRICS
from .problems import EncodedSet, probe_problems
from .rows import (
    ProbeSet,
    TextNumbers,
    check_has_tests,
    draw_probe_set,
    from_arrays,
    to_arrays,
    with_usable_labels,
    world_set,
)
from .stored_labels import labelled_rows

LAB_TRAIN, LAB_TEST = 50, 30
"""Texts per label from a world of text of the lab."""
LEAST_UNITS = 20
"""Fewest test texts that a limit may leave of a data set that has so many."""
WORLD_TRAIN, WORLD_TEST = 4000, 4000
"""Activations of a synthetic world."""
WORLD_BLOCKS = 200
"""Blocks of a synthetic world's test activations, which are the units of its scores."""

DEFAULT_CONTEXT = 128
"""Tokens of a text that are read by default, if the model takes as many."""


@dataclass(frozen=True)
class Probing:
    """k-sparse probes: how well a few latents, or all of them, tell a label.

    Every label of every data set is one against the rest; two labels that exclude each other are
    one problem. Latents, regularisation and thresholds
    are chosen on train and validation rows; scores are about test rows.
    """

    name: ClassVar[str] = "probing"
    version: ClassVar[int] = 4
    headline: ClassVar[tuple[str, ...]] = (
        "best_latent_f1_untuned",
        "best_latent_f1",
    )

    data: str | Mapping[str, Any] | tuple[str | Mapping[str, Any], ...] | None = None
    """Labelled texts: a .parquet, .csv or .jsonl file (columns text and label), a folder of data
    sets, `lab`, `sae_probes`, `saebench`, {name, train, test, text, label}, or a list of these.
    None: the lab's concepts for a lab model, else SAEBench's data sets from the hub."""
    sets: tuple[str, ...] | None = None
    """Use only data sets whose names fit one of these patterns, such as `*_wikidata*`."""
    train_rows: int = 1000
    """Train texts of each data set at most, a fifth of them for validation."""
    test_rows: int = 500
    """Test texts of each data set at most."""
    top_k: tuple[int, ...] = (1, 2, 4, 8, 16)
    """Numbers of latents that sparse probes use."""
    pooling: Literal["mean", "max"] = "mean"
    """How latents, and activations, of a text's tokens become one row."""
    context: int | None = field(default=None, metadata={NONE_IN_KEYS: DEFAULT_CONTEXT})
    """Tokens of a text that are read, BOS included. None: 128, or as many as the model takes."""
    documents: int = 400
    """The lab's documents, in each split, whose tokens the best latents are asked about."""
    compat: str | None = None
    """`saebench`: add SAEBench's own figures, named `saebench_*`."""
    compat_train_rows: int = 4000
    """Train texts of each label's probe in SAEBench's form, half of them with the label."""
    compat_test_rows: int = 1000
    """Test texts of it."""
    limit: Limit | None = None
    """Test texts of each data set at most, whatever `test_rows` says: a number from 20, or such a
    share (0.1) of those that would be scored without it, but 20 at least."""

    def __post_init__(self) -> None:
        if self.compat not in (None, "saebench"):
            raise UsageError(f"probing.compat '{self.compat}' is unknown; there is 'saebench'.")
        least = {"train_rows": 40, "test_rows": 20, "context": 2, "limit": LEAST_UNITS}
        check_counts(
            self, {**least, "documents": 20, "compat_train_rows": 4, "compat_test_rows": 4}
        )
        if not self.top_k or min(self.top_k) < 1:
            raise UsageError(f"probing.top_k must be numbers from 1, not {list(self.top_k)}.")
        if self.data is not None and not isinstance(self.data, str | Mapping | Sequence):
            raise UsageError(
                f"probing.data is {shown(self.data)}. A task's own fields hold names and files; "
                "give a table to saeval.evaluate, as config={'probing': {'data': ...}}."
            )
        if self.data is not None and not self.data:
            raise UsageError("probing.data is empty. Name a file, or leave the field out.")
        if self.data is not None and self.data not in (LAB, SAEBENCH):
            select_by_name(list_data_sets(self.data), self.sets)

    def prepare(self, source: ActivationSource, seed: int) -> Prepared:
        """Choose texts and rows, pool activations, fit the dense probes.

        Raises:
            NotApplicable: if the source has neither texts nor labels, or too few rows of any label.
        """
        numbers, unread = TextNumbers(), {}
        sets, tables = self._sets(source, seed, numbers, unread)
        probe_sets = [with_usable_labels(probe_set) for probe_set in sets]
        notices = [
            f"Of '{probe_set.name}', {notice}."
            for probe_set, _ in probe_sets
            for notice in probe_set.notices
        ]
        if not any(probe_set.classes for probe_set, _ in probe_sets):
            reasons = dict.fromkeys(
                reason for _, refusals in probe_sets for reason in refusals.values()
            )
            few = "" if reasons else "Too few rows are read. "
            raise NotApplicable(
                f"No label can be probed for. {few}{' '.join([*reasons, *notices])}".strip()
            )
        tokens = self._token_rows(source, numbers)
        hand_back()
        x = read_x(source, tokens, Pooled(self.pooling))
        arrays = to_arrays([probe_set for probe_set, _ in probe_sets])
        dense_sets = [] if self._reads_world(source) else probe_sets
        for number, (probe_set, _) in enumerate(dense_sets):
            arrays[f"dense_{number}"] = _dense_scores(x[probe_set.text], probe_set)
        lab_concepts = self._concepts(source, seed)
        more_rows = {}
        if lab_concepts is not None:
            arrays |= lab_concepts.arrays()
            more_rows = {concepts.SET: lab_concepts.rows}
        if "saebench" in tables:
            means = x if self.pooling == "mean" else read_x(source, tokens, Pooled("mean"))
            pairs = saebench.read_pairs(tables["saebench"])
            tables["saebench_llm"] = saebench.verdicts(
                saebench.Features(means, source.widths.d_in), pairs, seed, "llm"
            )
        facts = {
            "data": tokens.name,
            "digest": tokens.digest,
            "concepts": None if lab_concepts is None else lab_concepts.facts(),
            "sets": [
                {
                    "name": probe_set.name,
                    "key": probe_set.key,
                    "classes": probe_set.classes,
                    "refused": refusals,
                }
                for probe_set, refusals in probe_sets
            ],
            "unread": unread,
            "notice": " ".join(notices) or None,
        }
        return Prepared(arrays, tables, facts, tokens, more_rows)

    def score(
        self, sae: SAE, prepared: Prepared, source: ActivationSource, seed: int
    ) -> Iterator[Evidence | Missing]:
        """Encode the texts once; all figures come from these acts."""
        yield from on_data(
            self._yielded(sae, prepared, source, seed), _data_of(prepared, source, seed)
        )

    def _yielded(
        self, sae: SAE, prepared: Prepared, source: ActivationSource, seed: int
    ) -> Iterator[Evidence | Missing]:
        tokens, listing = prepared.required_rows, prepared.facts["sets"]
        z = read_acts(source, sae, tokens, Pooled(self.pooling))
        encoded_sets = (
            EncodedSet(probe_set, z[probe_set.text], prepared.arrays.get(f"dense_{number}"))
            for number, probe_set in enumerate(from_arrays(prepared.arrays, listing))
            if probe_set.classes
        )
        ks = [k for k in self.top_k if k <= sae.d_sae]
        if not ks:
            raise NotApplicable(
                f"probing.top_k is {list(self.top_k)}, but the SAE has only {sae.d_sae} latents, "
                "so there is no probe to fit. Lower one of them."
            )
        on_tokens = prepared.facts["concepts"] is not None
        row = "text" if source.stored_rows is None else "activation"
        blocks = WORLD_BLOCKS if self._reads_world(source) else None
        problems = probe_problems(encoded_sets, ks, seed, detect=not on_tokens)
        yield from problem_evidence(problems, row, blocks)
        if blocks is not None:
            many = (FULL_WIDTH.auc, FULL_WIDTH.accuracy, DENSE.auc, DENSE.accuracy)
            reason = "A synthetic world has hundreds of features: few latents are asked about each."
            yield from missing_metrics(many, reason)
        f1s = () if on_tokens else [f1.metric for f1 in F1_METRICS]
        yield from self._missing_evidence(prepared.facts, sae.d_sae, f1s)
        if on_tokens:
            lab_concepts = concepts.Concepts.of(prepared)
            yield from concepts.score(sae, source, lab_concepts)
        if self.compat:
            yield from self._saebench_evidence(sae, prepared, source, z, seed)

    def _saebench_evidence(
        self, sae: SAE, prepared: Prepared, source: ActivationSource, z: csr_matrix, seed: int
    ) -> Iterator[Evidence | Missing]:
        """SAEBench's figures; `z` are the pooled latents of all texts, [texts, d_sae]."""
        if "saebench" not in prepared.tables:
            reason = "SAEBench's form needs texts of several labels; a synthetic world has none."
            yield from missing_metrics(saebench.SCORES, reason)
            return
        rows = prepared.required_rows
        means = z if self.pooling == "mean" else read_acts(source, sae, rows, Pooled("mean"))
        pairs = saebench.read_pairs(prepared.tables["saebench"])
        verdicts = saebench.verdicts(saebench.Features(means, sae.d_sae), pairs, seed, "sae")
        yield from saebench.accuracy_evidence(pairs, verdicts, prepared.tables["saebench_llm"])
        refusal_table = prepared.tables["saebench_refused"]
        for part, reason in zip(refusal_table["part"], refusal_table["reason"], strict=True):
            yield from missing_metrics(saebench.SCORES, reason, part)
        too_many = [metric for k, metric in saebench.SPARSE.items() if k > sae.d_sae]
        reason = f"It asks for more latents than there are: the SAE has only {sae.d_sae} latents."
        yield from missing_metrics(too_many, reason)

    def inputs(self, model: str | None) -> Any:
        """Data that no field names as a file, by content or revision; the lab's has neither."""
        on_lab = model is None or part_of(model) is not None
        return data_identity(self.data or (LAB if on_lab else SAEBENCH))

    def _missing_evidence(
        self, facts: Mapping[str, Any], d_sae: int, f1s: Sequence[Metric]
    ) -> Iterator[Missing]:
        """Data sets that cannot be read, labels that cannot be probed for, too few latents."""
        probes = [*map(top_k_probe, self.top_k), FULL_WIDTH]
        metrics = [metric for probe in probes for metric in (probe.auc, probe.accuracy)]
        for name, reason in facts["unread"].items():
            yield from missing_metrics([*metrics, *f1s], reason, name)
        for listing in facts["sets"]:
            for label, reason in listing["refused"].items():
                yield from missing_metrics([*metrics, *f1s], reason, f"{listing['name']}/{label}")
        for k in self.top_k:
            if k > d_sae:
                reason = f"It asks for {k} latents, and the SAE has only {d_sae} latents."
                yield from missing_metrics([top_k_probe(k).auc, top_k_probe(k).accuracy], reason)

    def _sets(
        self, source: ActivationSource, seed: int, numbers: TextNumbers, unread: dict[str, str]
    ) -> tuple[list[ProbeSet], dict[str, pd.DataFrame]]:
        """Rows of every data set, and tables of SAEBench's form where `compat` asks for it.

        Data sets that cannot be read are added to `unread`, with the reason.
        """
        world = world_of(source)
        if world is not None and self.data is None:
            test = limited_count(self.limit, WORLD_TEST, LEAST_UNITS)
            probe_set = world_set(world, WORLD_TRAIN, test, seed)
            return [replace(probe_set, text=numbers(probe_set.text.tolist()))], {}
        sets = self._data_sets(source, seed, unread)
        probe_sets = [
            draw_probe_set(data_set, self.train_rows, self._test_rows(data_set), seed, numbers)
            for data_set in sets
        ]
        if not self.compat:
            return probe_sets, {}
        sizes = self.compat_train_rows, self.compat_test_rows
        return probe_sets, saebench.pair_tables(sets, *sizes, seed, numbers)

    def _test_rows(self, data_set: DataSet) -> int:
        """Test texts to draw of a data set, if it has so many."""
        if isinstance(self.limit, float):
            units = min(self.test_rows, len(data_set.test.labels))
            return limited_count(self.limit, max(units, LEAST_UNITS), LEAST_UNITS)
        return limited_count(self.limit, self.test_rows)

    def _data_sets(
        self, source: ActivationSource, seed: int, unread: dict[str, str]
    ) -> list[DataSet]:
        """The data sets that the fields ask for.

        Raises:
            DataError: if none of them is of use.
        """
        if source.stored_rows is not None:
            return select_by_name([labelled_rows(source.stored_rows, seed)], self.sets)
        if self._reads_lab(source):
            return select_by_name(
                lab_sets(source.name, LAB_TRAIN, LAB_TEST, seed),
                self.sets,
            )
        if self.data is None and part_of(source.name) == "othello":
            raise NotApplicable(
                f"{source.name} reads moves, and there are no labelled texts of it."
            )
        sets = []
        for files in select_by_name(
            list_data_sets(SAEBENCH if self.data is None else self.data), self.sets
        ):
            try:
                data_set = read_data_set(files, seed)
                check_has_tests(data_set)
                sets.append(data_set)
            except DataError as error:
                unread[files.name] = str(error)
        if not sets:
            raise DataError(" ".join(unread.values()))
        return sets

    def _concepts(self, source: ActivationSource, seed: int) -> concepts.Concepts | None:
        """Tokens of the lab's documents, where the lab's own model reads them word by word."""
        if not self._reads_lab(source) or document_part(source.name) is None:
            return None
        return concepts.read(source, limited_count(self.limit, self.documents, LEAST_UNITS), seed)

    def _reads_lab(self, source: ActivationSource) -> bool:
        return self.data == LAB or (self.data is None and document_part(source.name) is not None)

    def _reads_world(self, source: ActivationSource) -> bool:
        return self.data is None and world_of(source) is not None

    def _token_rows(self, source: ActivationSource, numbers: TextNumbers) -> TokenRows:
        """All texts in use, each once, cut to the context."""
        if source.stored_rows is not None:
            return source.stored_rows.take(np.array([*numbers.number_of], dtype=np.int64))
        texts = [str(text) for text in numbers.number_of]
        context = self.context or min(DEFAULT_CONTEXT, source.context)
        return source.tokenize(texts, name="labelled texts", context=context, overflow="truncate")


def _data_of(prepared: Prepared, source: ActivationSource, seed: int) -> dict[str, str]:
    """What the scores are measured on: texts, their labels, and what was drawn of them."""
    labels = [
        content
        for name, array in sorted(prepared.arrays.items())
        if not name.startswith("dense_")  # what probes say of them differs between sites
        for content in (name, array)
    ]
    labels += [str(listing["key"]) for listing in prepared.facts["sets"]]
    rows = [prepared.required_rows, *prepared.more_rows.values()]
    data = {
        "texts": content_digest(*(part.digest for part in rows)),
        "labels": content_digest(*labels),
        "seed": str(seed),
    }
    return data if source.stored_rows is None else {**data, "activations": source.identity}


def _dense_scores(
    x: Float[np.ndarray, "rows d"], probe_set: ProbeSet
) -> Float[np.ndarray, "rows classes"]:
    """Log-odds of the dense probe on standardised activations."""
    train_values = x[probe_set.train].astype(np.float64)
    return dense_scores((x - train_values.mean(0)) / spread(train_values), probe_set)
