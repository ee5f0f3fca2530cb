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
except KeyboardInterrupt:
    sys.exit(130)

FAILED, USAGE, INTERRUPTED = 1, 2, 130


@click.group(
    context_settings={
        "help_option_names": ["-h", "--help"],
        # lm-evaluation-harness spells them with underscores.
        "token_normalize_func": lambda name: name.replace("_", "-"),
    },
    help="Decide how good sparse autoencoders (SAEs) are: every number with its unit, its sample "
    "size and its interval. Exit codes: 0 all scored or not applicable, 1 something failed, "
    "2 wrong usage, 130 interrupted.",
    no_args_is_help=True,
)
def app() -> None:
    """All commands."""


AS_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
MODEL = click.option(
    "--model", metavar="ID|FOLDER", help="Language model; default: the one each SAE names."
)
SITE = click.option(
    "--site", metavar="PATH", help="Module path or alias; default: the one each SAE names."
)
DATA = click.option(
    "--data",
    metavar="FILE",
    help="Texts (.txt, .jsonl, .csv, .parquet), or activations in the place of a model "
    "(.npy, .safetensors, .parquet).",
)
DEVICE = click.option("--device", metavar="auto|cpu|cuda|mps")
OUTPUT_PATH = click.option(
    "--output-path", metavar="FOLDER", help="Where results are kept; default: results."
)
RUN = (
    click.option(
        "--sae",
        multiple=True,
        help="Registry id, set, glob, folder or hf:// source. Repeatable.",
    ),
    click.option("--tasks", metavar="NAME,NAME"),
    MODEL,
    SITE,
    DATA,
    click.option(
        "--registry",
        metavar="FILE",
        help="Registry of yours beside registry.yaml of this folder and of saeval's configuration.",
    ),
    click.option("--config", metavar="FILE", help="Options as YAML, or a result.json to repeat."),
    click.option(
        "--set",
        "set_",
        multiple=True,
        metavar="TASK.FIELD=VALUE",
        help="Value as YAML. Repeatable.",
    ),
    click.option("--seeds", "--seed", metavar="0,1,2"),
    click.option("--limit", type=int, help="At most so many units, for tasks that have a limit."),
    click.option(
        "--batch-size", metavar="auto|N", help="Rows a pass of the model. Changes no score."
    ),
    DEVICE,
    click.option("--dtype", metavar="float32|bfloat16|float16", help="The model's."),
    click.option(
        "--compat", metavar="saebench", help="Add SAEBench's own definitions, as saebench_*."
    ),
    OUTPUT_PATH,
    click.option("--force", is_flag=True, help="Compute again what is there."),
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
    DEVICE,
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
@_taking(*RUN)
@_guarded
def run(**given: Any) -> None:
    """Score SAEs on tasks. What was scored before, from equal inputs, is not computed again."""
    from saeval.cli.display import Display, warnings_shown
    from saeval.config.command_line import chosen

    configuration = chosen(given)
    display = Display(moving=sys.stderr.isatty() and not given["as_json"])
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
        _print_tables(results, display.summary(configuration.output_path))
    if results.failed:
        raise click.exceptions.Exit(FAILED)


@app.command()
@_taking(*RUN)
@_guarded
def plan(**given: Any) -> None:
    """Say what run would do, and what it would take.

    What is to be computed, found and downloaded, with time, memory and disk.
    """
    from saeval.cli.display import Display, warnings_shown
    from saeval.config.command_line import chosen

    configuration = chosen(given)
    with warnings_shown(Display(moving=False)):
        from saeval.running.plan.plan import plan_configuration

        planned = plan_configuration(configuration)
    _print_json(planned.rows()) if given["as_json"] else click.echo(planned.text())


@app.command()
@_taking(*TRAIN)
@_guarded
def train(
    out: str, snapshots: str | None, set_: Sequence[str], as_json: bool, **given: Any
) -> None:
    """Train an SAE, and write it to a folder of its own.

    On texts through a model, or on stored activations. Early figures are of training batches,
    the last ones of activations held out.
    """
    from saeval.cli.display import Display, warnings_shown

    with warnings_shown(Display(moving=False)):
        from saeval.cli.training_progress import shown
        from saeval.running.train.trainer import train_sae
        from saeval.training.choice import parse_settings, parse_shares

        given["snapshots"] = parse_shares(snapshots) if snapshots else ()
        given["settings"] = parse_settings(set_)
        given["device"] = given["device"] or "auto"
        try:
            with shown(moving=sys.stderr.isatty() and not as_json) as progress:
                trained = train_sae(**given, out=out, progress=progress)
        except KeyboardInterrupt:
            _complain("interrupted. Nothing was written.")
            raise
    record = {"sae": out, **trained.summary()}
    _print_json([record]) if as_json else _print_record(record)


@app.command()
@click.argument("kind", metavar="saes|sets|tasks|loaders|results|models")
@click.argument("pattern", required=False)
@_taking(OUTPUT_PATH, AS_JSON)
@_guarded
def ls(kind: str, pattern: str | None, output_path: str | None, as_json: bool) -> None:
    """List what is known, or what was scored.

    PATTERN is a part of a name, or a glob; without it, all are listed.
    """
    from saeval.cli.catalogue import rows_of

    rows = rows_of(kind, pattern, Path(output_path or "results"))
    _print_json(rows) if as_json else _print_rows(rows, f"No {kind}.")


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
@_taking(MODEL, SITE, DATA, DEVICE, AS_JSON)
@_guarded
def validate(
    source: str,
    model: str | None,
    site: str | None,
    data: str | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Load an SAE and check it.

    With --model, or activations as --data, it is checked against these too. SOURCE is
    what run --sae takes, or a registry file.
    """
    if Path(source).suffix in (".yaml", ".yml"):
        from saeval.cli.catalogue import registry_counts

        counts = {"registry": source, **registry_counts(Path(source))}
        _print_json([counts]) if as_json else _print_record(counts)
        return
    from saeval.cli.display import Display, warnings_shown
    from saeval.running.validate import validated

    failed = False
    with warnings_shown(Display(moving=False)):
        found = validated(source, model=model, site=site, data=data, device=device or "auto")
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
            click.echo(f"{check['status']}: {check['message']}")


def _print_json(rows: Iterable[Mapping[str, Any]]) -> None:
    for row in rows:
        click.echo(json.dumps(dict(row), ensure_ascii=False, allow_nan=False))


def _print_tables(results: Any, summary: str) -> None:
    import shutil

    from saeval.results.tables import score_tables

    width = shutil.get_terminal_size((160, 40)).columns
    click.echo(score_tables(results.scores, width=width))
    click.echo(f"\n{summary}")


def _print_rows(rows: Sequence[Mapping[str, Any]], otherwise: str) -> None:
    from saeval.results.text import plain_listing

    click.echo(plain_listing(rows) if rows else otherwise)


def _print_record(record: Mapping[str, Any]) -> None:
    from saeval.results.text import record_text

    click.echo(record_text(record))
