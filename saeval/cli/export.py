"""`saeval export`: tables and plots of any folder of results, as files."""

from pathlib import Path

import click

from saeval.cli.command_options import OPTIONS_BY_NAME, with_options
from saeval.cli.exits import report_errors
from saeval.cli.printing import can_draw_png


@click.command()
@click.argument("results", metavar="RESULTS")
@with_options(
    click.option("--out", required=True, metavar="FOLDER", help="Where the files go."),
    click.option(
        "--formats",
        metavar="NAME,NAME",
        help="Of tables: csv, parquet, json (every score), markdown, latex, text (what a run "
        "shows); default: all.",
    ),
    click.option(
        "--columns",
        metavar="all|NAME,NAME",
        help="Metrics in the tables for people; default: each task's headline.",
    ),
    click.option("--parts", is_flag=True, help="Figures of parts of the data in them too."),
    click.option("--no-plots", is_flag=True, help="Tables alone."),
    click.option("--no-png", is_flag=True, help="Plots as HTML alone, which needs no browser."),
    OPTIONS_BY_NAME["registry"],
)
@report_errors
def export(
    *,
    results: str,
    out: str,
    formats: str | None,
    columns: str | None,
    parts: bool,
    no_plots: bool,
    no_png: bool,
    registry: str | None,
) -> None:
    """Write tables and plots of the results in a folder.

    Plots: each headline metric against L0 by architecture, and along the training where checkpoints
    were scored; as HTML that needs nothing from elsewhere, and as PNG where Chrome or
    Chromium is there.
    """
    from saeval.results.exporting import KINDS, export_plots, export_tables
    from saeval.results.loading import load_results

    png = not no_plots and not no_png and can_draw_png()
    loaded = load_results(results)
    kinds = [each.strip() for each in (formats or ",".join(KINDS)).split(",") if each.strip()]
    names = [each.strip() for each in (columns or "").split(",") if each.strip()]
    written = export_tables(loaded, Path(out), kinds=kinds, columns=names, parts=parts)
    if not no_plots:
        kin = loaded.kin(registry)
        written += export_plots(kin, Path(out) / "plots", headlines=loaded.headlines, png=png)
    for path in written:
        click.echo(path)
