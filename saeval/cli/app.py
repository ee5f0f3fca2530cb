"""The command line: a thin layer over the Python API. Imports nothing slow until it must."""

import sys

try:  # Ctrl-C counts from the start, and of a short command these are the longest part
    import functools
    import json
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    import click

    from saeval.config.options import Option, options
except KeyboardInterrupt:
    sys.exit(130)

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def _print_version(context: click.Context, _: Any, asked: bool) -> None:
    if asked:
        import saeval

        click.echo(f"saeval {saeval.__version__} ({Path(saeval.__file__).parent})")
        context.exit()


@click.group(
    context_settings={
        "help_option_names": ["-h", "--help"],
        # lm-evaluation-harness spells them with underscores.
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


AS_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


def _offered(option: Option) -> Callable[[Any], Any]:
    """An option of a run. Values stay texts, which are checked like those of a file."""
    if option.is_flag:
        return click.option(*option.flags, option.name, is_flag=True, help=option.about.doc)
    return click.option(
        *option.flags,
        option.name,
        metavar=option.metavar,
        multiple=option.is_repeatable,
        help=option.about.doc,
    )


OFFERED = {option.name: _offered(option) for option in options()}
"""Options of a run by name."""
QUIET = click.option(
    "--quiet", is_flag=True, help="Do not tell on stderr how far it is; warnings and errors stay."
)
SHOWN = (
    click.option(
        "--columns",
        metavar="all|NAME,NAME",
        help="Metrics in the tables, by name or glob; default: each task's headline.",
    ),
    click.option("--parts", is_flag=True, help="Figures of parts of the data in the tables too."),
    QUIET,
)
"""Options that change what is shown of a run, and nothing of the run."""
RUN = (
    *OFFERED.values(),
    click.option("--config", metavar="FILE", help="Options as YAML, or a result.json to repeat."),
    click.option(
        "--set",
        "set_",
        multiple=True,
        metavar="TASK.FIELD=VALUE",
        help="Value as YAML. Repeatable.",
    ),
    AS_JSON,
)
"""Options of `run`, and of what else speaks of a run."""
TRAIN = (
    click.option(
        "--arch",
        required=True,
        metavar="NAME",
        help="abstopk, batchtopk, gated, hierarchical-topk, itda, jumprelu, matryoshka, p-anneal, "
        "relu, topk, transcoder; nulls: frozen-decoder, frozen-encoder, neurons, pca, "
        "permuted-decoder, random, soft-frozen.",
    ),
    click.option(
        "--model", metavar="ID|FOLDER", help="Language model, one of the lab's, or lab/synthetic/X."
    ),
    click.option("--site", metavar="PATH", help="Module path or alias, such as layers.2."),
    click.option("--write-site", metavar="PATH", help="What a transcoder predicts."),
    click.option(
        "--data",
        metavar="FILE",
        help="Texts (.txt, .jsonl, .csv, .parquet), or activations in the place of a model "
        "(.npy, .safetensors, .parquet); default: what the lab makes for its own models.",
    ),
    click.option("--d-sae", type=int, required=True, help="Number of latents."),
    click.option("--k", type=int, required=True, help="Latents a token to aim for (L0)."),
    click.option("--out", required=True, metavar="FOLDER", help="Folder to be made."),
    click.option("--tokens", type=int, help="Activations seen in training; default: 4,000,000."),
    click.option("--seed", type=int, default=0, help="Of initial weights and order."),
    click.option("--lr", type=float, help="Adam's rate; default: by width."),
    click.option("--batch-size", type=int, help="Activations a step; default: 1,024."),
    click.option("--context", type=int, help="Tokens a row, BOS included; default: 128."),
    click.option(
        "--snapshots",
        metavar="0.1,0.5",
        help="Shares of the training after which to keep the SAE too.",
    ),
    click.option(
        "--set",
        "set_",
        multiple=True,
        metavar="recipe.FIELD=VALUE",
        help="Value as YAML, of the recipe or of the architecture (matryoshka.FIELD). Repeatable.",
    ),
    OFFERED["device"],
    click.option("--dtype", metavar="float32|bfloat16|float16", help="The model's."),
    AS_JSON,
)
"""Options of `train`."""


def main() -> None:
    """Run the command line."""
    try:
        sys.exit(app.main(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):  # before a command began
        sys.exit(INTERRUPTED)


def _taking(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Give a command these options, in this order."""

    def adopt(command: Any) -> Any:
        return functools.reduce(lambda taken, option: option(taken), reversed(options), command)

    return adopt


def _guarded(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with every deliberate error as one line on stderr and an exit code."""

    @functools.wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> None:
        from saeval.errors import RegistryError, SaevalError, UsageError

        try:
            command(*args, **kwargs)
        except SaevalError as error:
            _complain(str(error))
            if kwargs.get("as_json") and "source" in kwargs:  # validate answers in any case
                _print_json([{"source": kwargs["source"], "error": str(error)}])
            usage = isinstance(error, UsageError | RegistryError)
            raise click.exceptions.Exit(USAGE if usage else FAILED) from None
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None
        except BrokenPipeError:  # the reader has seen enough, as with `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit from None

    return guarded


def _complain(message: str) -> None:
    sys.stderr.write(f"error: {message}\n")


@app.command()
@_taking(*RUN, *SHOWN)
@_guarded
def run(columns: str | None, parts: bool, quiet: bool, **given: Any) -> None:
    """Score SAEs on tasks. What was scored before, from equal inputs, is not computed again."""
    from saeval.cli.display import Display, warnings_shown, way_to_show
    from saeval.config.command_line import configuration_of

    configuration = configuration_of(given)
    display = Display(way_to_show(quiet=quiet))
    try:
        with warnings_shown(display):
            from saeval.running.run import run_configuration

            results = run_configuration(configuration, display)
    except KeyboardInterrupt:
        display.clear()
        _complain(
            f"interrupted. What was finished is kept in {configuration.output_path}: the same "
            "command goes on from there."
        )
        raise click.exceptions.Exit(INTERRUPTED) from None
    finally:
        display.clear()
    if given["as_json"]:
        _print_json(score.row() for score in results.scores)
        failures = {(r.sae or r.set, r.task, r.reason) for r in results if r.status == "failed"}
        for label, task, reason in sorted(failures, key=str):
            _complain(f"{label}, {task}: {reason}")
    else:  # the tables say what failed
        _print_tables(results, columns, parts, display.summary(configuration.output_path))
    if results.failed:
        raise click.exceptions.Exit(FAILED)


@app.command()
@_taking(*RUN, QUIET)
@_guarded
def plan(quiet: bool, **given: Any) -> None:
    """Say what run would do, and what it would take.

    What is to be computed, found and downloaded, with time, memory and disk.
    """
    from saeval.cli.display import Display, warnings_shown, way_to_show
    from saeval.config.command_line import configuration_of
    from saeval.results.text import terminal_width

    configuration = configuration_of(given)
    display = Display("line" if way_to_show(quiet=quiet) == "line" else "nothing")
    try:
        with warnings_shown(display):
            from saeval.running.plan.plan import plan_configuration

            planned = plan_configuration(configuration, display)
    finally:
        display.clear()
    if given["as_json"]:
        _print_json(planned.rows())
    else:
        click.echo(planned.text(terminal_width()))


@app.command()
@_taking(*TRAIN, QUIET)
@_guarded
def train(
    out: str, snapshots: str | None, set_: Sequence[str], as_json: bool, quiet: bool, **given: Any
) -> None:
    """Train an SAE, and write it to a folder of its own.

    On texts through a model, or on stored activations. Early figures are of training batches,
    the last ones of activations held out.
    """
    from saeval.cli.display import Display, warnings_shown, way_to_show

    with warnings_shown(Display("nothing")):
        from saeval.cli.training_progress import shown
        from saeval.running.train.trainer import train_sae
        from saeval.training.choice import parse_settings, parse_shares

        given["snapshots"] = parse_shares(snapshots) if snapshots else ()
        given["settings"] = parse_settings(set_)
        given["device"] = given["device"] or "auto"
        try:
            with shown(way_to_show(quiet=quiet)) as progress:
                trained = train_sae(**given, out=out, progress=progress)
        except KeyboardInterrupt:
            _complain("interrupted. Nothing was written.")
            raise
    record = {"sae": out, **trained.summary()}
    _print_json([record]) if as_json else _print_record(record)


@app.command()
@click.argument("kind", metavar="saes|sets|tasks|loaders|results|models")
@click.argument("pattern", required=False)
@_taking(OFFERED["output_path"], AS_JSON)
@_guarded
def ls(kind: str, pattern: str | None, output_path: str | None, as_json: bool) -> None:
    """List what is known, or what was scored.

    PATTERN is a part of a name, or a glob; without it, all are listed, a release of many SAEs in
    one line.
    """
    from saeval.cli.catalogue import NEEDED, list_releases, rows_of

    brief = kind == "saes" and pattern is None and not as_json
    rows = list_releases() if brief else rows_of(kind, pattern, Path(output_path or "results"))
    if as_json:
        _print_json(rows)
    else:
        _print_rows(rows, f"No {kind}.", NEEDED.get(kind, 1))


@app.command()
@click.argument("name")
@_taking(AS_JSON)
@_guarded
def describe(name: str, as_json: bool) -> None:
    """Show all that is known under a name.

    NAME is that of an SAE, set, model, task, metric or loader, or a folder. Nothing is loaded.
    """
    from saeval.cli.catalogue import describe as described
    from saeval.cli.catalogue import readable

    found = described(name)
    if as_json:
        _print_json(found)
        return
    for record in found:
        _print_record(readable(record))


@app.command()
@click.argument("source")
@_taking(*(OFFERED[name] for name in ("model", "site", "data", "device")), AS_JSON)
@_guarded
def validate(
    source: str,
    model: str | None,
    site: str | None,
    data: str | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Load an SAE, and check it against the model that it reads.

    That is the one of --model, else the one that the SAE names, on the texts of --data, else on
    a few that come with saeval; or activations as --data. SOURCE is what run --sae takes, or a
    registry file.
    """
    if Path(source).suffix in (".yaml", ".yml"):
        from saeval.cli.catalogue import registry_counts

        counts = {"registry": source, **registry_counts(Path(source))}
        _print_json([counts]) if as_json else _print_record(counts)
        return
    from saeval.cli.display import Display, warnings_shown
    from saeval.running.validate import verdicts

    failed = False
    with warnings_shown(Display("nothing")):
        found = verdicts(source, model=model, site=site, data=data, device=device or "auto")
        for verdict in found:
            failed |= verdict.failed
            _print_json([verdict.row()]) if as_json else _print_verdict(verdict)
    if failed:
        raise click.exceptions.Exit(FAILED)


def _print_verdict(verdict: Any) -> None:
    row = verdict.row()
    checks = row.pop("preflight")
    _print_record(row)
    shown = [{key: text for key, text in check.items() if key != "message"} for check in checks]
    _print_rows(shown, "Give --model to check it against the model it reads.")
    for check in checks:
        if check["message"]:
            _print_wrapped(f"{check['status']}: {check['message']}")


def _print_json(rows: Iterable[Mapping[str, Any]]) -> None:
    for row in rows:
        click.echo(json.dumps(dict(row), ensure_ascii=False, allow_nan=False))


def _print_tables(results: Any, columns: str | None, parts: bool, summary: str) -> None:
    """Tables of a run's scores. What the columns ask is looked up when all is computed and kept."""
    from saeval.results.text import terminal_width

    asked = [name.strip() for name in (columns or "").split(",") if name.strip()]
    how = "--columns all, --parts, --json"
    click.echo(results.table(width=terminal_width(), columns=asked, parts=parts, how=how) + "\n")
    _print_wrapped(summary)


def _print_wrapped(line: str) -> None:
    from saeval.results.text import one_line, terminal_width, wrapped

    click.echo("\n".join(wrapped(one_line(line), terminal_width(), hanging=4)))


def _print_rows(rows: Sequence[Mapping[str, Any]], otherwise: str, needed: int = 1) -> None:
    from saeval.results.text import listing, terminal_width

    click.echo(listing(rows, terminal_width(), needed=needed) if rows else otherwise)


def _print_record(record: Mapping[str, Any]) -> None:
    from saeval.results.text import record_text, terminal_width

    click.echo(record_text(record, terminal_width()))
