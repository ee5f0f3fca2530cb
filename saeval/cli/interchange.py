"""`saeval export-as` and `saeval import-from`: results in the forms of others."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from saeval.cli.command_options import JSON_OPTION, with_options
from saeval.cli.exits import report_errors
from saeval.cli.printing import print_json

FORMS = ("saebench", "every-eval-ever", "neuronpedia", "model-index", "croissant")


@click.command("export-as")
@click.argument("form", type=click.Choice(FORMS), metavar="|".join(FORMS))
@click.argument("results")
@with_options(
    click.option("--out", required=True, metavar="FOLDER", help="Where files are written."),
    click.option("--organization", default="unknown", help="every-eval-ever: who evaluates."),
    click.option(
        "--relationship",
        type=click.Choice(["first_party", "third_party", "collaborative", "other"]),
        default="other",
        help="every-eval-ever: of the evaluator to whoever trained the SAE.",
    ),
    click.option(
        "--place",
        "places",
        multiple=True,
        metavar="SAE=MODEL/SOURCE",
        help="neuronpedia: its names for the model and the SAE. Repeatable.",
    ),
    click.option("--title", metavar="TEXT", help="croissant: name of the data set."),
    click.option("--url", default="https://example.org/", help="croissant: where it is published."),
    click.option("--license", default="unknown", help="croissant: licence of the evidence."),
    JSON_OPTION,
)
@report_errors
def export_as(form: str, results: str, out: str, as_json: bool, **options: Any) -> None:
    """Write results in a form that others read.

    RESULTS is a folder that run --output-path wrote. saebench: SAEBench's files, of metrics under
    its own definitions. every-eval-ever: aggregate records, schema 0.3.0. neuronpedia: eval types
    and evals. model-index: model cards for the hub. croissant: metadata of the evidence, to be
    published beside it. For tables and plots see export.
    """
    from saeval.results.interchange.stored import stored

    files = _files(form, results, stored(results), options)
    written = _write(Path(out).expanduser(), files)
    if as_json:
        print_json({"file": str(path)} for path in written)
    else:
        click.echo(f"{len(written)} written to {out}, {written[0].name} first.")


def _files(form: str, source: str, found: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    if form == "saebench":
        from saeval.results.interchange.saebench_export import saebench_files

        return saebench_files(found)
    if form == "every-eval-ever":
        from saeval.results.interchange.every_eval_ever import Evaluator, every_eval_ever_files

        who = Evaluator(options["organization"], options["relationship"])
        return every_eval_ever_files(found, who)
    if form == "neuronpedia":
        from saeval.results.interchange.neuronpedia import neuronpedia_content

        return {"neuronpedia.json": neuronpedia_content(found, _places(options["places"]))}
    if form == "model-index":
        from saeval.results.interchange.model_index import model_cards

        return dict(model_cards(found))
    from saeval.results.interchange.croissant import About, croissant

    root = Path(source).expanduser()
    about = About(options["title"] or root.name, url=options["url"], license=options["license"])
    return {"croissant.json": croissant(found, root, about)}


def _places(texts: Sequence[str]) -> dict[str, str]:
    return {name: place for name, _, place in (text.partition("=") for text in texts)}


def _write(folder: Path, files: Mapping[str, Any]) -> list[Path]:
    """Write every file, all under names that the exporters made safe."""
    from saeval.errors import ResultError

    written = []
    for name, content in files.items():
        path = folder / name
        text = content if isinstance(content, str) else json.dumps(content, indent=1) + "\n"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ResultError(
                f"'{path}' cannot be written ({error}). Name another --out."
            ) from error
        written.append(path)
    if not written:
        raise ResultError("No result has a score, so there is nothing to write.")
    return written


@click.command("import-from")
@click.argument("form", type=click.Choice(["saebench"]), metavar="saebench")
@click.argument("path")
@with_options(
    click.option(
        "--output-path", default="results", show_default=True, help="Folder of all results."
    ),
    JSON_OPTION,
)
@report_errors
def import_from(form: str, path: str, output_path: str, as_json: bool) -> None:
    """Import results that another harness published, marked as what they are.

    PATH is one of SAEBench's JSON files, with one result or several, or a folder of them. The
    numbers come without evidence, so they have no interval, and boards show them as imported.
    """
    from saeval.results.interchange.saebench_import import import_saebench

    del form  # there is one so far
    results = import_saebench(Path(path).expanduser(), Path(output_path).expanduser())
    if as_json:
        print_json(score.shown_row() for result in results for score in result.scores)
        return
    scores = sum(score.status == "scored" for result in results for score in result.scores)
    click.echo(f"{len(results)} results with {scores} scores imported to {output_path}.")
