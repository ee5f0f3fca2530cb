"""The results of a run together: a sequence, and tables of their scores."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from saeval.config.metric_docs import chosen_by_seed
from saeval.config.plugin_docs import declared_headline
from saeval.errors import ResultError, UsageError
from saeval.results.comparison.pool import NULL_ARCHITECTURES
from saeval.results.differences import difference
from saeval.results.reading import find_folder, result_evidence
from saeval.results.score import DTYPES, SHOWN_COLUMNS, Result, Score
from saeval.results.tables import View, check_columns, score_html, score_tables
from saeval.results.text import one_line, terminal_width
from saeval.results.training_seeds import SeedSpread, over_training_seeds

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from saeval.evidence import Difference, Evidence, SeedDifference
    from saeval.results.comparison.comparison import Comparison
    from saeval.results.comparison.kin import Kin

HOW = "table(columns=['all'], parts=True), to_pandas()"
"""How to see, in Python, figures that a table leaves out."""


class Results(Sequence[Result]):
    """The results of a run, in the order of the request."""

    def __init__(
        self,
        results: Sequence[Result],
        *,
        headlines: Mapping[str, Sequence[str]] | None = None,
        seed_sets: Collection[str] = (),
        root: Path | None = None,
    ) -> None:
        """Collect results.

        Args:
            results: In order.
            headlines: Task -> its most telling metrics; None: those that the installed task of that
                name declares.
            seed_sets: Names of sets whose members differ in their training seed alone.
            root: The folder where the results lie, whose evidence gives means over seeds; None: a
                table shows each seed.
        """
        self._root = root
        self._evidence: dict[str, tuple[Evidence, ...]] = {}
        self._results = tuple(results)
        self._headlines = headlines
        self._seed_sets = tuple(seed_sets)

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> "Results": ...
    def __getitem__(self, index: int | slice) -> "Result | Results":
        selection = self._results[index]
        if isinstance(selection, Result):
            return selection
        return Results(
            selection, headlines=self._headlines, seed_sets=self._seed_sets, root=self._root
        )

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self._results)

    @property
    def results(self) -> tuple[Result, ...]:
        """All results."""
        return self._results

    @property
    def scores(self) -> tuple[Score, ...]:
        """Every score of every result."""
        return tuple(score for result in self._results for score in result.scores)

    @property
    def failed(self) -> bool:
        """Whether anything failed. Not applicable is an outcome, not a failure."""
        return any(score.status == "failed" for score in self.scores)

    def over_training_seeds(self, *sets: str) -> tuple[SeedSpread, ...]:
        """Mean and standard deviation over SAEs that differ in their training seed alone.

        This is the spread between trainings; a score's own interval is over texts.

        Args:
            *sets: Names of such sets; without any, the run's sets of kind `seeds`.
        """
        return over_training_seeds(self.scores, sets or self._seed_sets)

    @overload
    def compare(
        self, first: str, second: str, metric: str, task: str | None = None
    ) -> "Difference | SeedDifference": ...
    @overload
    def compare(
        self,
        first: str | Sequence[str] = (),
        second: str | None = None,
        *,
        tasks: Sequence[str] = (),
        columns: Sequence[str] = (),
        at_l0: "float | Literal['auto'] | None" = None,
        methods: bool = False,
        pairs: "Literal['auto', 'all', 'first']" = "auto",
    ) -> "Comparison": ...
    def compare(  # noqa: PLR0913  two forms, and the choices of the second
        self,
        first: str | Sequence[str] = (),
        second: str | None = None,
        metric: str | None = None,
        task: str | None = None,
        *,
        tasks: Sequence[str] = (),
        columns: Sequence[str] = (),
        at_l0: "float | Literal['auto'] | None" = None,
        methods: bool = False,
        pairs: "Literal['auto', 'all', 'first']" = "auto",
    ) -> "Comparison | Difference | SeedDifference":
        """Compare SAEs, paired by units, from the stored evidence.

        With a metric: the value of one SAE less that of another. Over several seeds it is the mean
        of their differences; from three seeds on, interval and p include what the seed draws.

        Without one: a `Comparison` of all that is named, pair by pair and metric by metric, with
        verdicts that hold together. It prints, and has `.to_pandas()`, `.plot()` and `.save()`.

        Args:
            first: Name of an SAE of these results, or several names, of SAEs or sets, or globs;
                empty: all SAEs.
            second: The other's name.
            metric: Name of a metric, over all data.
            task: The task that reports it, where several do.
            tasks: Tasks to compare; empty: all.
            columns: Metrics by name or glob, `all` for every one; empty: each task's headline.
            at_l0: L0 at which families of one architecture are compared, or `auto`.
            methods: Whether an SAE stands for all that differ from it in the training seed alone.
            pairs: All pairs, each with the first, or `auto`: all of at most five.

        Raises:
            ResultError: if a name is unknown, one of the two lacks a seed or a value, or the
                evidence is gone or of other data.
            UsageError: if there are not two sides to compare.
        """
        if metric is not None:
            if not isinstance(first, str) or second is None:
                raise UsageError("One metric is compared between two SAEs: name both before it.")
            return difference(self.scores, self.evidence_of, first, second, metric, task)
        from saeval.results.comparison.comparing import Choices
        from saeval.results.comparison.comparison import compare_sides_of

        names = [first] if isinstance(first, str) else [*first]
        names += [second] if second is not None else []
        wanted = tuple(tasks) or ((task,) if task else ())
        choices = Choices(wanted, tuple(columns), at_l0, methods, pairs)
        return compare_sides_of(self.kin(), names, choices)

    def plot(
        self, metric: str, against: Literal["l0", "training"] = "l0", *, task: str | None = None
    ) -> "go.Figure":
        """A plot of a metric, by plotly.

        Args:
            metric: Name of a metric, over all data.
            against: `l0`: each SAE at its L0, by architecture, with nulls and the Pareto frontier;
                `training`: along the checkpoints of trainings.
            task: The task that reports it, where several do.

        Raises:
            UsageError: if no SAE has the metric, or `against` is unknown.
        """
        if against == "l0":
            from saeval.results.plots.against_l0 import against_l0

            return against_l0(self.kin(), metric, task)
        if against == "training":
            from saeval.results.plots.checkpoints import along_training

            return along_training(self.kin(), metric, task)
        raise UsageError(f"A plot is against 'l0' or 'training', not '{against}'.")

    def kin(self, registry: str | Path | None = None) -> "Kin":
        """Which of these SAEs differ in their training seed alone, or lie along one family.

        Args:
            registry: Registry file that is read besides the usual ones.
        """
        from saeval.results.comparison.pool import Pool
        from saeval.results.comparison.registered import all_listed, kin_of

        pool = Pool.of(self._results, self.evidence_of)
        return kin_of(pool, all_listed(registry), self._seed_sets)

    @property
    def headlines(self) -> Mapping[str, Sequence[str]]:
        """Task -> its most telling metrics."""
        if self._headlines is not None:
            return self._headlines
        return {task: declared_headline(task) for task in {r.task: None for r in self._results}}

    def table(
        self, *, width: int = 80, columns: Sequence[str] = (), parts: bool = False, how: str = HOW
    ) -> str:
        """The scores as text, no line wider than `width`.

        Args:
            width: Columns of the terminal, at least 40.
            columns: Metrics by name or glob, `all` for every one; empty for each task's headline.
            parts: Whether figures of parts of the data are shown too.
            how: Text of the table on how to see more.

        Raises:
            UsageError: if a name in `columns` stands for no metric.
        """
        check_columns(columns, self.scores)
        return score_tables(self.scores, self.view(columns, how, parts=parts), width=width)

    def view(self, columns: Sequence[str] = (), how: str = HOW, *, parts: bool = False) -> View:
        """What tables show of these results; see `table`."""
        nulls = {result.sae for result in self._results if result.sae and _is_null(result)}
        remarks = _bos_remarks(self._results)
        names: dict[str, set[str]] = {}
        for score in self.scores:
            names.setdefault(score.task, set()).add(score.metric or "")
        chosen = {name for task, of_task in names.items() for name in chosen_by_seed(task, of_task)}
        return View(
            tuple(columns),
            parts,
            self.headlines,
            self._seed_sets,
            nulls,
            remarks,
            evidence_of=self.evidence_of if self._root else None,
            chosen=chosen,
            how=how,
        )

    def evidence_of(self, result_id: str) -> "tuple[Evidence, ...]":
        """The stored evidence of a result.

        Raises:
            ResultError: if it is not there, or damaged.
        """
        if result_id not in self._evidence:
            if self._root is None:
                raise ResultError("These results were not read from a folder, so have no evidence.")
            folder = find_folder(self._root, result_id)
            if folder is None:
                raise ResultError(f"There is no result '{result_id}' below '{self._root}'.")
            self._evidence[result_id] = result_evidence(folder)
        return self._evidence[result_id]

    def to_pandas(self) -> "pd.DataFrame":
        """One row per score, `SHOWN_COLUMNS` in order. A missing number is NaN or NA, text None."""
        import pandas as pd

        rows = [score.shown_row() for score in self.scores]
        dtypes = {**DTYPES, "anchored": "float64"}
        return pd.DataFrame(
            {
                name: pd.Series([row[name] for row in rows], dtype=dtypes.get(name, "object"))
                for name in SHOWN_COLUMNS
            }
        )

    def __repr__(self) -> str:
        """The number of results, their tasks, and how many failed."""
        tasks = ", ".join(dict.fromkeys(result.task for result in self._results)) or "nothing"
        failed = sum(result.status == "failed" for result in self._results)
        return (
            f"<Results: {len(self)} of {tasks}, {len(self.scores)} scores"
            f"{f', {failed} failed' if failed else ''}>"
        )

    def __str__(self) -> str:
        """The table, as wide as the terminal."""
        return self.table(width=terminal_width()) if self._results else repr(self)

    def _repr_html_(self) -> str:
        """The table for a notebook."""
        return score_html(self.scores, self.view())


def _is_null(result: Result) -> bool:
    """Whether its SAE is a null: by its own metadata, or by its architecture."""
    about = result.provenance.get("saes", ())
    return any(sae.get("null") or sae.get("architecture") in NULL_ARCHITECTURES for sae in about)


def _bos_remarks(results: Iterable[Result]) -> tuple[str, ...]:
    """What the checks of BOS have to say, each sentence once, after the names of its SAEs."""
    labels: dict[str, list[str]] = {}
    for result in results:
        for check in result.provenance.get("preflight", ()):
            if check.get("name") == "bos" and check.get("message"):
                labels.setdefault(check["message"], []).append(result.sae or result.set or "")
    return tuple(
        one_line(f"{', '.join(dict.fromkeys(names))}: {message}")
        for message, names in labels.items()
    )
