"""A site written to a folder: an index, a page for each board, SAE and task, and the evidence."""

import hashlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from saeval.config.plugin_docs import Description, describe_tasks
from saeval.errors import UsageError
from saeval.leaderboard.build import BuiltBoard, Row
from saeval.leaderboard.entrants import Filed
from saeval.leaderboard.site.assets import write_assets
from saeval.leaderboard.site.board_data import board_data
from saeval.leaderboard.site.pages import figures_of, remarks, render
from saeval.leaderboard.site.reproduction import commands
from saeval.leaderboard.tables import write_tables
from saeval.results.folder import slug

MARK = ".saeval-site"
"""File that tells a site of saeval's, which may be written anew, from any other folder."""
_PARTS = ("index.html", "boards", "saes", "tasks", "evidence", "tables", "static")
_TABLE = re.compile(r"[a-z][a-z0-9_]{0,63}\.parquet")


def write_site(boards: Sequence[BuiltBoard], folder: Path) -> Path:
    """Write a site, in the place of an earlier one. Returns its index.html.

    Raises:
        UsageError: if the folder holds something else, or a needed package is missing.
    """
    _make_room(folder)
    write_assets(folder / "static")
    tasks = sorted({task for built in boards for task in built.board.tasks})
    _write(folder / "index.html", render("index", 0, boards=boards, tasks=tasks))
    for built in boards:
        _write_board(built, folder)
    for task in tasks:
        described = next(iter(describe_tasks(task)), None)
        _write(folder / "tasks" / _task_file(task), _task_page(task, described, boards))
    return folder / "index.html"


def _make_room(folder: Path) -> None:
    if folder.exists() and not (folder / MARK).is_file() and any(folder.iterdir()):
        raise UsageError(
            f"'{folder}' holds other files, and is no site of saeval's. Give a new folder, or an "
            "empty one."
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text("A site that `saeval leaderboard build --site` wrote.\n")
    (folder / ".nojekyll").touch()  # GitHub Pages then serves files as they are
    for name in _PARTS:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def _write_board(built: BuiltBoard, folder: Path) -> None:
    name = built.board.name
    write_tables(built, folder / "tables")
    files = {row.place.label: page_file(row) for row in built.rows}
    pages = {label: f"../saes/{name}/{file}" for label, file in files.items()}
    tasks = {task: f"../tasks/{_task_file(task)}" for task in built.board.tasks}
    text = render(
        "board",
        1,
        built=built,
        board=built.board,
        pages=pages,
        tasks=tasks,
        data=board_data(built, pages),
        remarks=remarks(built),
        architectures=_distinct(built, "architecture"),
        groups=list(dict.fromkeys(row.place.group for row in built.rows if row.place.group)),
    )
    _write(folder / "boards" / f"{name}.html", text)
    for row in built.rows:
        evidence = [(filed, _copy_evidence(filed, folder)) for filed in row.entrant.filed]
        page = render(
            "sae",
            2,
            built=built,
            board=built.board,
            row=row,
            evidence=evidence,
            results=figures_of(row),
            commands=commands(row.entrant.filed),
            published=sorted({one.imported for one in row.entrant.filed if one.imported}),
            tasks={task: f"../../tasks/{_task_file(task)}" for task in built.board.tasks},
        )
        _write(folder / "saes" / name / files[row.place.label], page)


def _distinct(built: BuiltBoard, key: str) -> list[str]:
    return sorted({str(row.entrant.about.get(key) or "unknown") for row in built.rows})


def page_file(row: Row) -> str:
    """A file name that no two SAEs share and that no name can lead astray."""
    whole = f"{row.place.label}\n{row.entrant.content}"
    return f"{slug(row.place.label)}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}.html"


def _task_file(task: str) -> str:
    return f"{slug(task)}.html"


def _copy_evidence(filed: Filed, folder: Path) -> list[tuple[str, int]]:
    """Copy a result and its evidence. Returns file names and sizes in bytes.

    Only files named as evidence is, that lie in the result's own folder; no links.
    """
    target = folder / "evidence" / filed.result.result_id
    target.mkdir(parents=True, exist_ok=True)
    copied = []
    names = [name for name in filed.result.evidence if _TABLE.fullmatch(str(name))]
    for name in ["result.json", *sorted(set(names))]:
        path = filed.folder / name
        if path.is_file() and not path.is_symlink():
            shutil.copyfile(path, target / name)
            copied.append((name, path.stat().st_size))
    return copied


def _task_page(task: str, described: Description | None, boards: Sequence[BuiltBoard]) -> str:
    reported = [
        score
        for built in boards
        for row in built.rows
        for filed in row.entrant.of(task)
        for score in filed.result.scores
        if score.metric
    ]
    undescribed = sorted({str(score.metric) for score in reported}) if described is None else []
    versions = sorted({b.board.tasks[task] for b in boards if task in b.board.tasks})
    return render(
        "task",
        1,
        task=task,
        described=described,
        versions=versions,
        undescribed=undescribed,
        boards=[built.board for built in boards if task in built.board.tasks],
    )
