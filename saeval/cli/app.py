"""The command line: a thin layer over the Python API. Imports nothing slow until it must."""

import sys

try:  # Ctrl-C must end even this part quietly: it is most of the time of a short command
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    import click

    from saeval.cli.bundles import BUNDLE_OPTIONS, submit, verify
    from saeval.cli.command_options import (
        DISPLAY_OPTIONS,
        JSON_OPTION,
        OPTIONS_BY_NAME,
        QUIET_OPTION,
        RUN_OPTIONS,
        TRAIN_OPTIONS,
        with_options,
    )
    from saeval.cli.compare import compare
    from saeval.cli.exits import FAILED, INTERRUPTED, report_errors
    from saeval.cli.export import export
    from saeval.cli.interchange import export_as, import_from
    from saeval.cli.leaderboard import leaderboard
    from saeval.cli.printing import (
        complain,
        print_json,
        print_record,
        print_rows,
        print_tables,
        print_verdict,
    )
except KeyboardInterrupt:
    sys.exit(130)


def _print_version(context: click.Context, _: Any, is_set: bool) -> None:
    if is_set:
        import saeval

        click.echo(f"saeval {saeval.__version__} ({Path(saeval.__file__).parent})")
        context.exit()


@click.group(
    context_settings={
        "help_option_names": ["-h", "--help"],
        # lm-evaluation-harness spells options with underscores, so both spellings work.
        "token_normalize_func": lambda name: name.replace("_", "-"),
    },
    help="Decide how good sparse autoencoders (SAEs) are: every number with its unit, its sample "
    "size and its interval. Exit codes: 0 all scored or not applicable, 1 something failed, "
    "2 wrong usage, 130 interrupted.",
    epilog="Tables are as wide as the terminal, and 80 columns where there is none (a file, a "
    "pipe); COLUMNS=120 before the command overrides both. --json is never cut or wrapped.",
    no_args_is_help=True,
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and where it is installed, and exit.",
)
def app() -> None:
    """All commands."""


def main() -> None:
    """Run the command line."""
    try:
        sys.exit(app.main(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):  # before a command began
        sys.exit(INTERRUPTED)


@app.command()
@with_options(*RUN_OPTIONS, *DISPLAY_OPTIONS)
@report_errors
def run(columns: str | None, parts: bool, quiet: bool, **typed: Any) -> None:
    """Score SAEs on tasks. What was scored before, from equal inputs, is not computed again."""
    from saeval.cli.display import Display, display_mode, show_warnings
    from saeval.config.command_line import configuration_of

    configuration, default_fields = configuration_of(typed)
    display = Display(display_mode(quiet=quiet))
    try:
        with show_warnings(display):
            from saeval.running.run import run_configuration

            results = run_configuration(configuration, display, default_fields)
    except KeyboardInterrupt:
        display.clear()
        complain(
            f"interrupted. What was finished is kept in {configuration.output_path}: the same "
            "command goes on from there."
        )
        raise click.exceptions.Exit(INTERRUPTED) from None
    finally:
        display.clear()
    if typed["as_json"]:
        print_json(score.shown_row() for score in results.scores)
        failures = {(r.sae or r.set, r.task, r.reason) for r in results if r.status == "failed"}
        for label, task, reason in sorted(failures, key=str):
            complain(f"{label}, {task}: {reason}")
    else:  # the tables say what failed
        print_tables(results, columns, parts, display.summary(configuration.output_path))
    if results.failed:
        raise click.exceptions.Exit(FAILED)


@app.command()
@with_options(*RUN_OPTIONS, QUIET_OPTION)
@report_errors
def plan(quiet: bool, **typed: Any) -> None:
    """Say what run would do, and what it would take.

    What is to be computed, found and downloaded, with time, memory and disk.
    """
    from saeval.cli.display import Display, display_mode, show_warnings
    from saeval.config.command_line import configuration_of
    from saeval.results.text import terminal_width

    configuration, default_fields = configuration_of(typed)
    display = Display("line" if display_mode(quiet=quiet) == "line" else "nothing")
    try:
        with show_warnings(display):
            from saeval.running.plan.plan import plan_configuration

            planned = plan_configuration(configuration, display, default_fields)
    finally:
        display.clear()
    if typed["as_json"]:
        print_json(planned.rows())
    else:
        click.echo(planned.text(terminal_width()))


@app.command()
@with_options(*TRAIN_OPTIONS, QUIET_OPTION)
@report_errors
def train(
    out: str,
    snapshots: str | None,
    set_: Sequence[str],
    as_json: bool,
    quiet: bool,
    **arguments: Any,
) -> None:
    """Train an SAE, and write it to a folder of its own.

    On texts through a model, or on stored activations. Early figures are of training batches,
    the last ones of activations held out.
    """
    from saeval.cli.display import Display, display_mode, show_warnings

    with show_warnings(Display("nothing")):
        from saeval.cli.training_progress import show_training
        from saeval.running.train.trainer import train_sae
        from saeval.training.choice import parse_settings, parse_shares

        arguments["snapshots"] = parse_shares(snapshots) if snapshots else ()
        arguments["settings"] = parse_settings(set_)
        arguments["device"] = arguments["device"] or "auto"
        try:
            with show_training(display_mode(quiet=quiet)) as progress:
                trained = train_sae(**arguments, out=out, progress=progress)
        except KeyboardInterrupt:
            complain("interrupted. Nothing was written.")
            raise
    record = {"sae": out, **trained.summary()}
    print_json([record]) if as_json else print_record(record)


@app.command()
@click.argument("kind", metavar="saes|sets|tasks|loaders|results|models")
@click.argument("pattern", required=False)
@with_options(OPTIONS_BY_NAME["registry"], OPTIONS_BY_NAME["output_path"], JSON_OPTION)
@report_errors
def ls(
    kind: str, pattern: str | None, registry: str | None, output_path: str | None, as_json: bool
) -> None:
    """List what is known, or what was scored.

    PATTERN is a part of a name, or a glob; without it, all are listed, a release of many SAEs in
    one line.
    """
    from saeval.cli.catalogue import NEEDED, Places, list_releases, rows_of

    places = Places(Path(output_path or "results"), registry)
    brief = kind == "saes" and pattern is None and not as_json
    rows = list_releases(places) if brief else rows_of(kind, pattern, places)
    if as_json:
        print_json(rows)
    else:
        print_rows(rows, f"No {kind}.", NEEDED.get(kind, 1))


@app.command()
@click.argument("name")
@with_options(JSON_OPTION)
@report_errors
def describe(name: str, as_json: bool) -> None:
    """Show all that is known under a name.

    NAME is that of an SAE, set, model, task, metric or loader, or a folder. Nothing is loaded.
    """
    from saeval.cli.descriptions import find_records, with_readable_texts

    records = find_records(name)
    if as_json:
        print_json(records)
        return
    for record in records:
        print_record(with_readable_texts(record))


@app.command()
@click.argument("source")
@with_options(
    *(OPTIONS_BY_NAME[name] for name in ("model", "site", "data", "registry", "device")),
    *BUNDLE_OPTIONS,
    JSON_OPTION,
)
@report_errors
def validate(
    source: str,
    device: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Load an SAE, and check it against the model that it reads; or verify results or a bundle.

    The model is the one of --model, else the one that the SAE names, on the texts of --data, else
    on a few that come with saeval; or activations as --data. SOURCE is what run --sae takes, or a
    registry file. A folder of results, one result's folder or its result.json is compared with its
    digests and computed again from its evidence, a line for each that does not verify. A bundle of
    `saeval submit`, a folder or an archive, is checked as the data of a stranger, a line for each
    check; --author, --against, --rerun and --record are for bundles.
    """
    if Path(source).suffix in (".yaml", ".yml"):
        from saeval.cli.catalogue import registry_counts

        counts = {"registry": source, **registry_counts(Path(source))}
        print_json([counts]) if as_json else print_record(counts)
        return
    from saeval.cli.bundles import validated_as_bundle

    if validated_as_bundle(source, options, device=device, as_json=as_json):
        return
    from saeval.errors import UsageError
    from saeval.results.verification import stored_results

    if folders := list(stored_results(Path(source).expanduser())):
        from saeval.cli.verification import print_verification

        if device or any(options.values()):
            raise UsageError(
                f"'{source}' holds results, which are verified as they are, without a model, site, "
                "data, registry or device. Leave these options out."
            )
        if not print_verification(folders, as_json=as_json):
            raise click.exceptions.Exit(FAILED)
        return
    from saeval.cli.display import Display, show_warnings
    from saeval.running.validate import verdicts

    failed = False
    with show_warnings(Display("nothing")):
        for verdict in verdicts(source, device=device or "auto", **options):
            failed |= verdict.failed
            print_json([verdict.row()]) if as_json else print_verdict(verdict)
    if failed:
        raise click.exceptions.Exit(FAILED)


for _command in (compare, export, leaderboard, submit, verify, export_as, import_from):
    app.add_command(_command)
