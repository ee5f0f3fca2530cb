"""`saeval compare`: which of two SAEs is better, by how much, and what may be claimed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from saeval.cli.command_options import JSON_OPTION, OPTIONS_BY_NAME, QUIET_OPTION, with_options
from saeval.cli.exits import report_errors
from saeval.cli.printing import can_draw_png

if TYPE_CHECKING:
    from saeval.results.comparison.comparison import Comparison
    from saeval.results.comparison.kin import Kin
    from saeval.results.comparison.pool import Pool
    from saeval.results.comparison.registered import Listed

FORMAT = click.Choice(["text", "markdown", "csv", "latex", "parquet", "json"])
RUN = ("tasks", "seeds", "limit", "device", "registry", "output_path")
"""Options of a run that compare takes too."""


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="A B [...]")
@with_options(
    OPTIONS_BY_NAME["output_path"],
    OPTIONS_BY_NAME["tasks"],
    click.option(
        "--columns",
        metavar="all|NAME,NAME",
        help="Metrics, by name or glob; default: each task's headline.",
    ),
    click.option(
        "--sets",
        "methods",
        is_flag=True,
        help="Compare methods: each SAE stands for all that differ from it in the training seed.",
    ),
    click.option(
        "--at-l0",
        metavar="auto|L0",
        help="Compare families of one architecture at this L0, between the SAEs around it; auto: "
        "at one that both span.",
    ),
    click.option(
        "--pairs",
        type=click.Choice(["auto", "all", "first"]),
        default="auto",
        help="All pairs, or each with the first; auto: all of at most five.",
    ),
    click.option("--run", "is_run", is_flag=True, help="Compute what is missing first."),
    *(OPTIONS_BY_NAME[name] for name in ("seeds", "limit", "device", "registry")),
    click.option("--format", "kind", type=FORMAT, help="Default: text."),
    JSON_OPTION,
    click.option("--out", metavar="FILE|FOLDER", help="Write there; a folder gets all formats."),
    click.option(
        "--plots",
        metavar="FOLDER",
        help="Plots: HTML, and PNG where a browser is there.",
    ),
    QUIET_OPTION,
)
@report_errors
def compare(
    *,
    names: Sequence[str],
    columns: str | None,
    methods: bool,
    at_l0: str | None,
    pairs: Any,
    is_run: bool,
    kind: str | None,
    as_json: bool,
    out: str | None,
    plots: str | None,
    quiet: bool,
    **typed: Any,
) -> None:
    """Compare SAEs, or methods: by how much they differ, and whether one may say so.

    A and B are SAEs or sets among the results, globs over them, or folders of results. Differences
    are paired over the same units; verdicts are corrected for all rows shown (Holm). A set of
    kind seeds is one side, a method, as is every SAE with --sets; claims about methods take three
    training seeds of each.
    """
    from saeval.results.comparison.comparing import Choices

    kind = "json" if as_json else kind
    choices = Choices(
        _texts(typed["tasks"]), _texts(columns), _l0(at_l0), methods, pairs, _run_options(typed)
    )
    _check_output(kind, out)
    png = bool(plots) and can_draw_png()
    comparison = _compared(names, choices, typed, is_run=is_run, quiet=quiet)
    _write(comparison, kind, out)
    if plots:
        from saeval.results.plots.files import write_figure

        for path in write_figure(comparison.plot(), Path(plots), "differences", png=png):
            click.echo(f"Written: {path}", err=True)


def _texts(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def _l0(text: str | None) -> Any:
    """The L0 asked for, `auto` or None."""
    from saeval.errors import UsageError

    if text in (None, "auto"):
        return text
    try:
        number = float(text or "")
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise UsageError(f"'--at-l0 {text}' is no L0: give a number above 0, or auto.")
    return number


def _run_options(typed: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the run that the user typed, as a YAML file would hold them."""
    from saeval.config.command_line import NOT_TYPED, value_of
    from saeval.config.options import find_option

    values = {name: typed[name] for name in RUN if name != "tasks" and typed[name] not in NOT_TYPED}
    return {name: value_of(find_option(name), value) for name, value in values.items()}


def _check_output(kind: str | None, out: str | None) -> None:
    """Refuse, before anything is computed, what could not be written."""
    from saeval.errors import UsageError
    from saeval.results.comparison.files import format_of

    if out:
        format_of(Path(out), kind)
    elif kind == "parquet":
        raise UsageError("--format parquet is no text: name a file with --out.")


def _compared(
    names: Sequence[str], choices: Any, typed: Mapping[str, Any], *, is_run: bool, quiet: bool
) -> "Comparison":
    from saeval.results.comparison.comparison import compare_sides_of
    from saeval.results.comparison.registered import all_listed, kin_of, listed

    registry = all_listed(typed["registry"])
    root = Path(typed["output_path"] or "results")
    pool, wanted = _pool(names, root)
    found = listed(wanted, pool, registry, everything=is_run)
    kin = kin_of(pool, registry)
    comparison = compare_sides_of(kin, wanted, choices, found.known)
    commands = _configurations(comparison, found)
    if commands and is_run:
        _compute(commands, quiet=quiet)
        pool, wanted = _pool(names, root)
        kin = kin_of(pool, registry)
        comparison = compare_sides_of(kin, wanted, choices, found.known)
        commands = _configurations(comparison, found)
    _tell_missing(comparison, commands, kin)
    return comparison


def _pool(names: Sequence[str], root: Path) -> "tuple[Pool, list[str]]":
    """The results below the output path and in folders that names mean, and the names of SAEs.

    Where folders hold SAEs of one name, the folder is put before it.
    """
    from saeval.results.comparison.pool import Pool, joined_pools
    from saeval.results.loading import load_results
    from saeval.results.reading import result_folders

    folders = {name: Path(name).expanduser() for name in names}
    folders = {name: path for name, path in folders.items() if result_folders(path)}
    pools: dict[str, Pool] = {}
    for name, path in {**folders, **({"": root} if len(folders) < len(names) else {})}.items():
        if path.is_dir():
            results = load_results(path)
            pools[name] = Pool.of(results.results, results.evidence_of)
    pool, labels = joined_pools(pools)
    wanted = [label for name in names for label in (labels[name] if name in folders else [name])]
    return pool, wanted


def _configurations(comparison: "Comparison", found: "Listed") -> list[Any]:
    """Runs that compute what is missing."""
    from saeval.config.configuration import from_mapping
    from saeval.results.comparison.missing import joined

    runs = joined(comparison.findings.missing)
    for run in runs:
        run["saes"] = [found.sources.get(sae, sae) for sae in run["saes"]]
    return [from_mapping(run, "What is missing") for run in runs]


def _compute(configurations: Sequence[Any], *, quiet: bool) -> None:
    from saeval.cli.display import Display, display_mode, show_warnings

    for configuration in configurations:
        display = Display(display_mode(quiet=quiet))
        try:
            with show_warnings(display):
                from saeval.running.run import run_configuration

                run_configuration(configuration, display)
        finally:
            display.clear()


def _tell_missing(comparison: "Comparison", configurations: Sequence[Any], kin: "Kin") -> None:
    """Write to stderr what would compute the rest; an error where there is nothing to show."""
    from saeval.config.command_line import command_of
    from saeval.errors import ResultError

    commands = [command_of(configuration) for configuration in configurations]
    if comparison.findings.compared:
        for command in commands:
            click.echo(f"missing: to compute it, add --run or run: {command}", err=True)
        return
    reasons = list(dict.fromkeys(row.reason for row in comparison.rows if row.reason))
    text = "; ".join(reasons[:3]) or ("no task was run" if kin.pool.items else "nothing was scored")
    more = f" To compute it, add --run or run: {' && '.join(commands)}" if commands else ""
    raise ResultError(f"There is nothing to compare: {text.removesuffix('.')}.{more}")


def _write(comparison: "Comparison", kind: str | None, out: str | None) -> None:
    from saeval.results.comparison.files import rendered
    from saeval.results.text import terminal_width

    if out:
        for path in comparison.save(out, kind):
            click.echo(f"Written: {path}", err=True)
        return
    click.echo(rendered(comparison.findings, kind or "text", terminal_width()))
