"""`saeval leaderboard`: build boards and their site, and serve the site."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from saeval.cli.exits import FAILED, report_errors
from saeval.cli.printing import complain, print_json, print_wrapped

SITE = "leaderboards/site"
"""Where `serve` looks without an argument."""


@click.group()
def leaderboard() -> None:
    """Build leaderboards from results, as tables and as a site."""


@leaderboard.command()
@click.argument("boards", nargs=-1, metavar="[BOARD...]")
@click.option(
    "--results",
    multiple=True,
    metavar="FOLDER",
    help="Results in the place of the board's own; without BOARD, a board of all that they hold. "
    "Repeatable.",
)
@click.option(
    "--submissions",
    metavar="FOLDER",
    help="Submitted results; default: leaderboards/submissions, if boards are named or found.",
)
@click.option(
    "--out",
    metavar="FOLDER",
    help="Tables as Markdown, CSV and JSON; default: leaderboards/tables for declared boards.",
)
@click.option(
    "--site", metavar="OUT", help="Also write a site to this folder: open its index.html."
)
@click.option("--json", "as_json", is_flag=True, help="Cells as JSON lines on stdout.")
@report_errors
def build(
    boards: Sequence[str],
    results: Sequence[str],
    submissions: str | None,
    out: str | None,
    site: str | None,
    as_json: bool,
) -> None:
    """Rank SAEs by paired tests on stored results. Nothing is scored.

    BOARD is the name of a file in leaderboards/, or the path of one; without it, and without
    --results, all boards are built. Equal results give equal files.
    """
    from saeval.errors import SaevalError
    from saeval.leaderboard.tables import cell_record, write_tables

    if site:
        from saeval.leaderboard.site.assets import check_assets

        check_assets()
    built, refused = [], False
    for board, sources in _requested(boards, results, submissions):
        try:
            one = _built(board, sources)
        except SaevalError as error:
            if len(boards) == 1 or results:
                raise
            complain(str(error))
            refused = True
            continue
        built.append(one)
        if as_json:
            print_json(cell_record(row, column) for row in one.rows for column in one.columns)
        folder = Path(out or ("leaderboards/tables" if boards or not results else ""))
        if out or boards or not results:
            _say(f"{board.name}: {', '.join(map(str, write_tables(one, folder)))}", as_json)
        elif not site and not as_json:
            from saeval.leaderboard.markdown import markdown

            click.echo(markdown(one))
    if site and built:
        from saeval.leaderboard.site.write import write_site

        index = write_site(built, Path(site))
        _say(f"Site: open {index} in a browser, or `saeval leaderboard serve {site}`.", as_json)
    if refused:
        raise click.exceptions.Exit(FAILED)


def _say(text: str, as_json: bool) -> None:
    if not as_json:
        print_wrapped(text)


def _requested(
    names: Sequence[str], results: Sequence[str], submissions: str | None
) -> Iterator[tuple[Any, list[Any]]]:
    """Boards, each with its sources."""
    from saeval.leaderboard.board_files import FOLDER, find_boards
    from saeval.leaderboard.folder_board import (
        board_of_folders,
        check_folders,
        sources_of,
    )

    folders = [Path(folder).expanduser() for folder in results]
    check_folders(folders)
    if folders and not names:
        sources = sources_of(folders, Path(submissions) if submissions else None)
        yield board_of_folders(folders), sources
        return
    submitted = Path(submissions) if submissions else Path(FOLDER) / "submissions"
    for file in find_boards(names):
        yield file.board, sources_of(folders or file.sources, submitted)


def _built(board: Any, sources: list[Any]) -> Any:
    """The built board, with a line on a terminal of what is done at the moment."""
    from saeval.cli.display import Display, display_mode, show_warnings
    from saeval.leaderboard.build import build_board

    with show_warnings(Display(display_mode(quiet=False))):
        return build_board(board, sources)


@leaderboard.command()
@click.argument("folder", default=SITE, metavar="[OUT]")
@click.option("--port", type=int, default=8000, show_default=True, help="0: any that is free.")
@report_errors
def serve(folder: str, port: int) -> None:
    """Serve a built site to this machine alone, until Ctrl-C.

    OUT is the folder that `build --site` wrote; default: leaderboards/site. The site needs no
    server: its index.html opens from the folder just as well.
    """
    import signal

    from saeval.leaderboard.site.serve import serving

    # A shell starts its background jobs deaf to Ctrl-C, and a server must end by `kill -INT`.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with serving(Path(folder), port) as server:
        click.echo(f"Serving {folder} at {server.address} (Ctrl-C ends it)")
        server.wait()
