"""The command line: a thin layer over the Python API. Imports nothing slow until it must."""

import sys

try:  # Ctrl-C counts from the start, and of a short command these are the longest part
    import functools
    import inspect
    import json
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import Annotated, Any

    import typer
except KeyboardInterrupt:
    sys.exit(130)

FAILED, USAGE, INTERRUPTED = 1, 2, 130

app = typer.Typer(
    add_completion=False,
    context_settings={
        "help_option_names": ["-h", "--help"],
        # lm-evaluation-harness spells them with underscores.
        "token_normalize_func": lambda name: name.replace("_", "-"),
    },
    help="Decide how good sparse autoencoders (SAEs) are: every number with its unit, its sample "
    "size and its interval. Exit codes: 0 all scored or not applicable, 1 something failed, "
    "2 wrong usage, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
Model = Annotated[
    str | None,
    typer.Option(metavar="ID|FOLDER", help="Language model; default: the one each SAE names."),
]
Site = Annotated[
    str | None,
    typer.Option(metavar="PATH", help="Module path or alias; default: the one each SAE names."),
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Texts (.txt, .jsonl, .csv, .parquet), or activations in the place of a model "
        "(.npy, .safetensors, .parquet).",
    ),
]
Device = Annotated[str | None, typer.Option(metavar="auto|cpu|cuda|mps")]
OutputPath = Annotated[
    str | None,
    typer.Option(metavar="FOLDER", help="Where results are kept; default: results."),
]


def main() -> None:
    """Run the command line."""
    try:
        app()
    except KeyboardInterrupt:  # before a command began
        sys.exit(INTERRUPTED)


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
            raise typer.Exit(USAGE if usage else FAILED) from None
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:  # the reader has seen enough, as with `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit from None

    return guarded


def _complain(message: str) -> None:
    sys.stderr.write(f"error: {message}\n")


@app.command()
@_guarded
def run(  # noqa: PLR0917  one parameter an option
    sae: Annotated[
        list[str] | None,
        typer.Option(help="Registry id, set, glob, folder or hf:// source. Repeatable."),
    ] = None,
    tasks: Annotated[str | None, typer.Option(metavar="NAME,NAME")] = None,
    model: Model = None,
    site: Site = None,
    data: Data = None,
    config: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Options as YAML, or a result.json to repeat."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="TASK.FIELD=VALUE", help="Value as YAML. Repeatable."),
    ] = None,
    seeds: Annotated[str | None, typer.Option("--seeds", "--seed", metavar="0,1,2")] = None,
    limit: Annotated[
        int | None, typer.Option(help="At most so many units, for tasks that have a limit.")
    ] = None,
    batch_size: Annotated[
        str | None,
        typer.Option(metavar="auto|N", help="Rows a pass of the model. Changes no score."),
    ] = None,
    device: Device = None,
    dtype: Annotated[
        str | None, typer.Option(metavar="float32|bfloat16|float16", help="The model's.")
    ] = None,
    compat: Annotated[
        str | None,
        typer.Option(metavar="saebench", help="Add SAEBench's own definitions, as saebench_*."),
    ] = None,
    output_path: OutputPath = None,
    force: Annotated[bool, typer.Option("--force", help="Compute again what is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Score SAEs on tasks. What was scored before, from equal inputs, is not computed again."""
    given = locals()
    from saeval.display import Display, warnings_shown
    from saeval.options import chosen

    configuration = chosen(given)
    display = Display(moving=sys.stderr.isatty() and not as_json)
    try:
        with warnings_shown(display):
            from saeval.run import run_configuration

            results = run_configuration(configuration, display)
    except KeyboardInterrupt:
        display.clear()
        _complain(
            f"interrupted. What was finished is kept in {configuration.output_path}: the same "
            "command goes on from there."
        )
        raise typer.Exit(INTERRUPTED) from None
    finally:
        display.clear()
    if as_json:
        _print_json(score.row() for score in results.scores)
        failures = {(r.sae or r.set, r.task, r.reason) for r in results if r.status == "failed"}
        for label, task, reason in sorted(failures, key=str):
            _complain(f"{label}, {task}: {reason}")
    else:  # the tables say what failed
        _print_tables(results, display.summary(configuration.output_path))
    if results.failed:
        raise typer.Exit(FAILED)


def _with_options_of(other: Callable[..., None]) -> Callable[[Any], Any]:
    """Give a command the options of another."""

    def adopt(command: Any) -> Any:
        command.__signature__ = inspect.signature(other)
        command.__annotations__ = other.__annotations__
        return command

    return adopt


@app.command()
@_guarded
@_with_options_of(run)
def plan(**given: Any) -> None:
    """Say what run would compute, find and download, and what it would take."""
    from saeval.display import Display, warnings_shown
    from saeval.options import chosen

    configuration = chosen(given)
    with warnings_shown(Display(moving=False)):
        from saeval.plan import plan_configuration

        planned = plan_configuration(configuration)
    _print_json(planned.rows()) if given["as_json"] else typer.echo(planned.text())


@app.command()
@_guarded
def ls(
    kind: Annotated[str, typer.Argument(metavar="saes|sets|tasks|loaders|results|models")],
    pattern: Annotated[
        str | None, typer.Argument(help="Part of a name, or a glob; default: all.")
    ] = None,
    output_path: OutputPath = None,
    as_json: AsJson = False,
) -> None:
    """List what is known, or what was scored."""
    from saeval.catalogue import rows_of

    rows = rows_of(kind, pattern, Path(output_path or "results"))
    _print_json(rows) if as_json else _print_rows(rows, f"No {kind}.")


@app.command()
@_guarded
def describe(
    name: Annotated[str, typer.Argument(help="SAE, set, model, task, loader or folder.")],
    as_json: AsJson = False,
) -> None:
    """Show all that is known under a name. Nothing is loaded."""
    from saeval.catalogue import describe as described

    found = described(name)
    if as_json:
        _print_json(found)
        return
    for record in found:
        _print_record(record)


@app.command()
@_guarded
def validate(
    source: Annotated[str, typer.Argument(help="SAE (as for run --sae) or registry file.")],
    model: Model = None,
    site: Site = None,
    data: Data = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Load an SAE and check it; with --model, or activations as --data, against these too."""
    if Path(source).suffix in (".yaml", ".yml"):
        from saeval.catalogue import registry_counts

        counts = {"registry": source, **registry_counts(Path(source))}
        _print_json([counts]) if as_json else _print_record(counts)
        return
    from saeval.display import Display, warnings_shown
    from saeval.validation import validated

    failed = False
    with warnings_shown(Display(moving=False)):
        found = validated(source, model=model, site=site, data=data, device=device or "auto")
        for verdict in found:
            failed |= verdict.failed
            _print_json([verdict.row()]) if as_json else _print_verdict(verdict)
    if failed:
        raise typer.Exit(FAILED)


def _print_verdict(verdict: Any) -> None:
    row = verdict.row()
    checks = row.pop("preflight")
    _print_record(row)
    shown = [{key: text for key, text in check.items() if key != "message"} for check in checks]
    _print_rows(shown, "Give --model to check it against the model it reads.")
    for check in checks:
        if check["message"]:
            typer.echo(f"{check['status']}: {check['message']}")


def _print_json(rows: Iterable[Mapping[str, Any]]) -> None:
    for row in rows:
        typer.echo(json.dumps(dict(row), ensure_ascii=False, allow_nan=False))


def _print_tables(results: Any, summary: str) -> None:
    import shutil

    from saeval.tables import score_tables

    width = shutil.get_terminal_size((160, 40)).columns
    typer.echo(score_tables(results.scores, width=width))
    typer.echo(f"\n{summary}")


def _print_rows(rows: Sequence[Mapping[str, Any]], otherwise: str) -> None:
    from saeval.layout import plain_listing

    typer.echo(plain_listing(rows) if rows else otherwise)


def _print_record(record: Mapping[str, Any]) -> None:
    from saeval.layout import record_text

    typer.echo(record_text(record))
