"""`saeval submit`, `saeval verify`, and what `saeval validate` says of a bundle."""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from saeval.cli.command_options import JSON_OPTION, with_options
from saeval.cli.exits import FAILED, report_errors
from saeval.cli.printing import print_json, print_record

if TYPE_CHECKING:
    from saeval.leaderboard.bundles.check import Report

BUNDLE_OPTIONS = (
    click.option(
        "--author",
        metavar="LOGIN",
        help="Of a bundle: who proposes it in a pull request. The owner must be the same.",
    ),
    click.option(
        "--against",
        metavar="FOLDER",
        help="Of a bundle: a leaderboards folder whose results it is compared with; default: the "
        "one in which it lies.",
    ),
    click.option(
        "--rerun",
        type=click.FloatRange(0, 1, min_open=True),
        metavar="SHARE",
        help="Of a bundle: compute a random share of its results again, with the SAEs of --sae.",
    ),
    click.option(
        "--sae",
        "saes",
        multiple=True,
        metavar="[NAME=]SAE",
        help="For --rerun: an SAE of the bundle, as run --sae takes it. Repeatable.",
    ),
    click.option(
        "--record",
        is_flag=True,
        help="For --rerun: write rerun.json into the bundle's folder, which gives it its badge.",
    ),
)
"""Options of `validate` for bundles."""
_NAMES = ("author", "against", "rerun", "saes", "record")


def validated_as_bundle(
    source: str, options: dict[str, Any], *, device: str | None, as_json: bool
) -> bool:
    """Check a bundle and say so, if the source is one; its options are taken out of the others.

    Returns:
        Whether it is a bundle.
    """
    from saeval.errors import UsageError
    from saeval.leaderboard.bundles.archives import is_bundle

    given = {name: options.pop(name) for name in _NAMES}
    if not is_bundle(Path(source).expanduser()):
        if any(given.values()):
            raise UsageError(
                f"'{source}' is no bundle: it is neither a folder with submission.json nor a .zip "
                "or .tar.gz. Leave out --author, --against, --rerun, --sae and --record."
            )
        return False
    if any(options.values()) or (device and not given["rerun"]):
        raise UsageError(
            f"'{source}' is a bundle, which is checked as it is. Leave out --model, --site, "
            "--data, --registry and --device."
        )
    if (given["saes"] or given["record"]) and not given["rerun"]:
        raise UsageError("--sae and --record are for --rerun SHARE, such as --rerun 0.2.")
    path = Path(source).expanduser()
    report = _report(path, given["author"], given["against"])
    show_report(report, as_json=as_json)
    if report.faults:
        raise click.exceptions.Exit(FAILED)
    if given["rerun"]:
        _rerun(path, report, given, device=device, as_json=as_json)
    return True


def _report(path: Path, author: str | None, against: str | None) -> "Report":
    from saeval.errors import UsageError
    from saeval.leaderboard.bundles.check import Circumstances, check_bundle
    from saeval.leaderboard.bundles.steps import known_roots

    if against is not None and not Path(against).is_dir():
        raise UsageError(f"--against {against} is no folder. Give a leaderboards folder.")
    known = known_roots(Path(against), path) if against else None
    return check_bundle(path, Circumstances(known=known, author=author))


def show_report(report: "Report", *, as_json: bool) -> None:
    """A line for each check, and the verdict."""
    from saeval.results.text import one_line

    for check in report.checks:
        if as_json:
            print_json([check.row()])
            continue
        says = "" if check.faults else one_line(check.says)
        click.echo(f"{'refused' if check.faults else 'ok':9}{check.name:12}{says}".rstrip())
        for fault in check.faults:
            click.echo(f"         - {one_line(fault)}")
        for note in check.notes:
            click.echo(f"         note: {one_line(note)}")
    row = {
        "kind": "bundle",
        "bundle": report.place,
        "accepted": not report.faults,
        "badge": None if report.faults else report.badge,
        "digest": report.digest,
        "results": len(report.results),
    }
    if as_json:
        print_json([row])
    elif report.faults:
        click.echo(f"{report.place} is refused.")
    else:
        click.echo(f"{report.place} is accepted: {report.badge}.")


def _rerun(
    path: Path, report: "Report", given: dict[str, Any], *, device: str | None, as_json: bool
) -> None:
    from saeval.cli.display import Display, show_warnings
    from saeval.errors import UsageError

    if given["record"] and not path.is_dir():
        raise UsageError("--record writes into the bundle's folder; unpack the archive first.")
    with show_warnings(Display("nothing")):
        from saeval.leaderboard.bundles.check import opened_bundle
        from saeval.running.rerun import rerun

        with opened_bundle(path) as folder:
            found = rerun(folder, report, given["saes"], given["rerun"], device=device or "auto")
    for row in found.rows:
        print_json([{"kind": "rerun", **row}]) if as_json else print_record(row)
    if not as_json:
        click.echo(found.summary)
    if not found.agrees:
        raise click.exceptions.Exit(FAILED)
    if given["record"]:
        target = found.write(path)
        if not as_json:
            click.echo(f"Written: {target}")


@click.command()
@click.argument("results", nargs=-1, required=True)
@with_options(
    click.option("--owner", required=True, metavar="LOGIN", help="Your GitHub user name."),
    click.option("--name", required=True, help="Of the submission; lower case."),
    click.option("--description", default="", metavar="TEXT", help="What readers should know."),
    click.option("--url", metavar="https://...", help="Of a paper or of the code."),
    click.option(
        "--repo",
        metavar="CLONE",
        help="Commit it on a new branch of this local clone. Nothing is pushed.",
    ),
    click.option("--replace", is_flag=True, help="Replace the submission of this name."),
    JSON_OPTION,
)
@report_errors
def submit(
    results: Sequence[str],
    repo: str | None,
    replace: bool,
    as_json: bool,
    **about: Any,
) -> None:
    """Pack results into a bundle for a leaderboard, check it, and write it.

    RESULTS are folders that run --output-path wrote, or results within them. The bundle is checked
    exactly as validate does, and written to leaderboards/submissions/OWNER/NAME below this folder;
    with --repo it is committed there on the branch submission/OWNER/NAME of a clone, whose files
    and branch in use stay as they are. Results that failed are left out.
    """
    from saeval.leaderboard.bundles.packing import Submission, packed, write

    submission = Submission(**about)
    checkout = Path(repo or ".").expanduser()
    branch = f"submission/{submission.owner}/{submission.name}"
    with (
        _ready(checkout if repo else None, branch),
        packed(results, submission, checkout) as bundle,
    ):
        row: dict[str, Any] = {
            "digest": bundle.report.digest,
            "results": len(bundle.report.results),
        }
        if repo:
            from saeval.leaderboard.bundles.clone import commit_bundle

            commit = commit_bundle(
                checkout, branch, bundle.folder, submission.place, _message(submission)
            )
            row |= {"branch": commit.branch, "commit": commit.commit, "base": commit.base}
            then = f"Next: git -C {repo} push origin {branch}, and open a pull request."
        else:
            row["bundle"] = str(write(bundle, submission, checkout, replace=replace))
            then = f"Check it again with: saeval validate {row['bundle']}"
        row["left_out"] = list(bundle.left_out)
        if not as_json:
            show_report(dataclasses.replace(bundle.report, place=submission.place), as_json=False)
    if as_json:
        print_json([row])
        return
    print_record({key: value for key, value in row.items() if value})
    click.echo(then)


@contextmanager
def _ready(clone: Path | None, branch: str) -> Iterator[None]:
    """A clone that can take the bundle, seen before anything is packed."""
    if clone is not None:
        from saeval.leaderboard.bundles.clone import check_clone

        check_clone(clone, branch)
    yield


def _message(submission: Any) -> str:
    return f"Submission {submission.owner}/{submission.name}\n\n{submission.description}".rstrip()


@click.command()
@click.argument("source", metavar="FOLDER|URL")
@with_options(JSON_OPTION)
@report_errors
def verify(source: str, as_json: bool) -> None:
    """Compute published numbers again from their evidence.

    For readers of a board; validate is for those who run one. FOLDER is a folder of results, a
    bundle or a whole leaderboards folder; URL is the https address of a bundle's archive, of its
    submission.json, or of a result.json with its evidence beside it. What is fetched goes to a
    temporary folder and is read as data. Nothing of it runs.
    """
    from saeval.cli.verification import print_verification
    from saeval.leaderboard.published import opened, places_in

    all_verify = True
    with opened(source) as folder:

        def name(path: Path) -> str:
            """What was unpacked or fetched is named by where it came from."""
            return str(path).replace(str(folder), source, 1)

        places = places_in(folder, source)
        for bundle in places.bundles:
            report = _report(bundle, None, None)
            all_verify &= not report.faults
            show_report(dataclasses.replace(report, place=name(bundle)), as_json=as_json)
        if places.results:
            all_verify &= print_verification(places.results, as_json=as_json, name=name)
    if not all_verify:
        raise click.exceptions.Exit(FAILED)
