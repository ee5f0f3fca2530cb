"""From a board and folders of results to a built board: rows, columns, ranks and methods."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from statistics import fmean, stdev

from saeval.config.plugin_docs import declared_headline
from saeval.errors import ResultError, UsageError, suggestion
from saeval.evidence import Evidence
from saeval.leaderboard.board import Board
from saeval.leaderboard.cells import Asked, read_cell
from saeval.leaderboard.columns import Column, Place, make_column
from saeval.leaderboard.entrants import Entrant, Filed, cost_of, l0_of, read_entrants
from saeval.leaderboard.sources import Source
from saeval.registry.lookup import load_registry
from saeval.results.reading import result_evidence

LEAST_TRAININGS = 3
"""Fewest training seeds from which a method may be spoken of."""


@dataclass(frozen=True)
class Row:
    """One SAE of a built board."""

    entrant: Entrant
    place: Place
    seconds: float | None
    """Time of loading and scoring it on the board's tasks."""
    peak_mb: float | None
    """Highest resident memory meanwhile, in 10^6 bytes."""


@dataclass(frozen=True)
class MethodFigure:
    """One column of SAEs that differ in their training seed alone."""

    mean: float
    sd: float
    """Standard deviation over trainings (divisor n - 1)."""


@dataclass(frozen=True)
class Method:
    """A set of SAEs that differ in their training seed alone, at least three of them."""

    name: str
    members: tuple[str, ...]
    l0: float | None
    figures: Mapping[str, MethodFigure]
    """Name of a column -> its figures, where all members have a value."""


@dataclass(frozen=True)
class BuiltBoard:
    """A board with all that its pages and files show."""

    board: Board
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    methods: tuple[Method, ...]
    checkpoints: Mapping[str, tuple[str, ...]]
    """Name of a set of kind `checkpoints` -> its members on the board, in order of training."""

    @property
    def prefix(self) -> str:
        """What all names begin with, up to a slash: `lab/world/`; empty if there is none."""
        parts = [row.place.label.split("/")[:-1] for row in self.rows]
        same = takewhile(lambda names: len(set(names)) == 1, zip(*parts, strict=False))
        return "".join(f"{names[0]}/" for names in same) if len(parts) > 1 else ""

    def short(self, label: str) -> str:
        """A name without what all names begin with."""
        return label.removeprefix(self.prefix)

    def row(self, label: str) -> Row:
        """The row of a label."""
        return next(row for row in self.rows if row.place.label == label)


def build_board(
    board: Board, sources: Sequence[Source], *, progress: Callable[[str], None] = lambda _: None
) -> BuiltBoard:
    """Rank the SAEs of some folders of results.

    Args:
        board: The board.
        sources: Folders of results, and how far each is confirmed.
        progress: Is told, in a few words, what is done at the moment.

    Raises:
        UsageError: if a null or an anchor of the board was not scored, or a column stands for
            nothing.
        ResultError: if no result belongs on the board.
    """
    progress("reading results")
    entrants = read_entrants(board, sources)
    if board.required:
        _require_nulls(board, entrants, sources)
    if not entrants:
        folders = ", ".join(str(source.folder) for source in sources) or "no folder"
        raise ResultError(
            f"No result in {folders} belongs on the board '{board.name}' (SAEs "
            f"{', '.join(board.saes)}, model {board.model}, site {board.site}). Score one with "
            "`saeval run`, or name its folder with --results."
        )
    rows = [_row(entrant, board) for entrant in entrants]
    evidence_of = _reader({name for _, name in board_columns(board, entrants)})
    columns = []
    for task, metric in board_columns(board, entrants):
        progress(f"comparing {metric}")
        asked = Asked(task, board.tasks[task], metric, board.seeds)
        cells = {row.place.label: read_cell(row.entrant, asked, evidence_of) for row in rows}
        columns.append(make_column(asked, cells, [row.place for row in rows]))
    rows = sorted(rows, key=_order)
    return BuiltBoard(board, tuple(rows), tuple(columns), *_sets(rows, columns))


def _row(entrant: Entrant, board: Board) -> Row:
    l0 = l0_of(entrant, board)
    place = Place(entrant.label, entrant.kind, l0, board.l0_group(l0))
    return Row(entrant, place, *cost_of(entrant, board))


def _order(row: Row) -> tuple:
    """Entries by range of L0 and name, then nulls, then anchors."""
    kinds = ("entry", "null", "anchor")
    low = float(row.place.group.split(" to ")[0]) if " to " in row.place.group else float("inf")
    return kinds.index(row.place.kind), low, row.place.label


def _require_nulls(board: Board, entrants: Sequence[Entrant], sources: Sequence[Source]) -> None:
    """Nulls and anchors are there, scored on every task in the board's version and seeds.

    Raises:
        UsageError: with what is missing, and the command that computes it.
    """
    lacking: dict[str, list[str]] = {}
    by_name = {entrant.sae: entrant for entrant in entrants if entrant.kind != "entry"}
    for name in (*board.nulls, *board.anchors):
        for task, version in board.tasks.items():
            filed = by_name[name].of(task) if name in by_name else []
            seeds = {one.result.seed for one in filed if _counts(one, version)}
            if not set(board.seeds) <= seeds:
                lacking.setdefault(name, []).append(task)
    if not lacking:
        return
    tasks = list(dict.fromkeys(task for own in lacking.values() for task in own))
    folder = next((source.folder for source in sources if source.badge == "ours"), Path("results"))
    command = [
        "saeval", "run", *(word for name in lacking for word in ("--sae", name)),
        "--tasks", ",".join(tasks), "--seeds", ",".join(map(str, board.seeds)),
        "--output-path", str(folder),
    ]  # fmt: skip
    what = "; ".join(f"{name} on {', '.join(own)}" for name, own in lacking.items())
    raise UsageError(
        f"The board '{board.name}' is not built: without its nulls and anchors no number on it "
        f"means anything. Not scored yet: {what}. Compute it: {shlex.join(command)}"
    )


def _counts(filed: Filed, version: int) -> bool:
    """Whether a result says something: a null to which a task does not apply says so."""
    return filed.result.task_version == version and filed.result.status != "failed"


def board_columns(board: Board, entrants: Sequence[Entrant]) -> list[tuple[str, str]]:
    """Task and metric of each column, in order.

    Raises:
        UsageError: if a column is a metric of no task of the board, or of several.
    """
    metrics: dict[str, dict[str, bool]] = {task: {} for task in board.tasks}
    for score in (s for e in entrants for one in e.filed for s in one.result.scores):
        if score.task in metrics and score.metric and score.part is None:
            of_task = metrics[score.task]
            of_task[score.metric] = of_task.get(score.metric, False) or score.value is not None
    if not board.columns:
        return [pair for task in board.tasks for pair in _headline(task, metrics[task])]
    return [_column(name, board, metrics) for name in board.columns]


def _headline(task: str, metrics: Mapping[str, bool]) -> list[tuple[str, str]]:
    """A task's headline metrics that have a value; of a task that declares none, all it gave.

    L0 is no column of its own: every row has it.
    """
    known = [name for name, has_value in metrics.items() if has_value]
    declared = [name for name in declared_headline(task) if name in known]
    return [(task, name) for name in declared or known if (task, name) != ("core", "l0")]


def _column(name: str, board: Board, metrics: Mapping[str, Mapping[str, bool]]) -> tuple[str, str]:
    task, _, metric = name.rpartition("/")
    tasks = [own for own in metrics if metric in metrics[own] and task in ("", own)]
    if len(tasks) == 1:
        return tasks[0], metric
    if len(tasks) > 1:
        raise UsageError(
            f"The board '{board.name}': '{name}' is a metric of {', '.join(tasks)}. Write "
            f"'{tasks[0]}/{metric}'."
        )
    known = [own for of_task in metrics.values() for own in of_task]
    raise UsageError(
        f"The board '{board.name}' has the column '{name}', which no result of its tasks "
        f"gives.{suggestion(metric, known)}"
    )


def _reader(metrics: set[str]) -> Callable[[Path], Sequence[Evidence]]:
    """Reads the evidence of a result once, and keeps that of the board's columns."""
    kept: dict[Path, Sequence[Evidence] | ResultError] = {}

    def read(folder: Path) -> Sequence[Evidence]:
        if folder not in kept:
            try:
                found = result_evidence(folder)
            except ResultError as error:
                kept[folder] = error
            else:
                kept[folder] = [e for e in found if e.part is None and e.metric in metrics]
        entries = kept[folder]
        if isinstance(entries, ResultError):
            raise entries
        return entries

    return read


def _sets(
    rows: Sequence[Row], columns: Sequence[Column]
) -> tuple[tuple[Method, ...], dict[str, tuple[str, ...]]]:
    """Methods with enough trainings, and checkpoints, among the sets that registries list."""
    by_name = {row.entrant.sae: row for row in rows}
    methods, checkpoints = [], {}
    for group in load_registry().sets.values():
        members = [by_name[name] for name in group.members if name in by_name]
        labels = tuple(row.place.label for row in members)
        if group.kind == "seeds" and len(members) >= LEAST_TRAININGS:
            methods.append(_method(group.name, members, columns))
        if group.kind == "checkpoints" and len(members) > 1:
            checkpoints[group.name] = labels
    return tuple(sorted(methods, key=lambda method: method.name)), checkpoints


def _method(name: str, members: Sequence[Row], columns: Sequence[Column]) -> Method:
    labels = tuple(row.place.label for row in members)
    figures = {}
    for column in columns:
        own = [column.cells[label] for label in labels]
        values = [cell.value for cell in own if cell.status == "scored" and cell.value is not None]
        if len(values) == len(labels):
            figures[column.name] = MethodFigure(fmean(values), stdev(values))
    sparsities = [row.place.l0 for row in members if row.place.l0 is not None]
    return Method(name, labels, fmean(sparsities) if sparsities else None, figures)
