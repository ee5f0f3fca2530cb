"""Board files: found by name, and read strictly from YAML."""

import dataclasses
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saeval.config.field_types import conform
from saeval.config.strict_yaml import parse_yaml
from saeval.errors import UsageError, suggestion
from saeval.leaderboard.board import Board

FOLDER = "leaderboards"
"""Folder of boards in a checkout, and among the data that is installed."""
_NO_FIELDS = ("name", "required")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class BoardFile:
    """A board, and where it was declared."""

    board: Board
    path: Path
    folder: Path
    """Folder that its folders of results are relative to."""

    @property
    def sources(self) -> list[Path]:
        """Its folders of results, whether they exist or not."""
        named = self.board.sources or (f"results/{self.board.name}",)
        return [self.folder / name for name in named]


def read_board(path: Path) -> Board:
    """A board from its file.

    Raises:
        UsageError: naming the file and what is wrong in it: an unknown or missing field, a value of
            another type, a range of L0 that is empty or overlaps.
    """
    if not _NAME.fullmatch(path.stem):
        raise UsageError(f"'{path}': a board's name is of letters, digits, '-', '_' and '.'.")
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"Cannot read the board '{path}': {error}.") from error
    if not isinstance(values, Mapping):
        raise UsageError(f"The board '{path}' must be a mapping of fields such as title and tasks.")
    hints = typing.get_type_hints(Board)
    fields = [item.name for item in dataclasses.fields(Board) if item.name not in _NO_FIELDS]
    for key in values:
        if key not in fields:
            near = suggestion(str(key), fields)
            raise UsageError(f"The board '{path}' has the unknown field '{key}'.{near}")
    board = Board(path.stem, **_checked(values, hints, path))
    _check(board, path)
    return board


def _checked(values: Mapping[str, Any], hints: Mapping[str, Any], path: Path) -> dict[str, Any]:
    for name in ("title", "tasks", "nulls"):
        if not values.get(name):
            why = " Without nulls no number on it means anything." if name == "nulls" else ""
            raise UsageError(f"The board '{path}' lacks the field '{name}'.{why}")
    checked = {}
    for key, value in values.items():
        try:
            checked[key] = conform(value, hints[key])
        except ValueError as error:
            raise UsageError(f"{path}: '{key}' must be {error}, not {value!r}.") from error
    for task, version in checked["tasks"].items():
        if not isinstance(task, str) or not isinstance(version, int) or isinstance(version, bool):
            raise UsageError(f"{path}: 'tasks' maps a task to its version, as in {{core: 3}}.")
    return checked


def _check(board: Board, path: Path) -> None:
    if not board.seeds or len(set(board.seeds)) < len(board.seeds):
        raise UsageError(f"{path}: 'seeds' must name at least one seed, and each once.")
    previous = float("-inf")
    for low, high in board.l0_groups:
        if not previous <= low < high:
            raise UsageError(
                f"{path}: 'l0_groups' are ranges that rise and do not overlap, as in "
                f"[[12, 24], [24, 48]]; [{low:g}, {high:g}] does not."
            )
        previous = high


def find_boards(names: Sequence[str]) -> list[BoardFile]:
    """Boards by name or by the path of their file; without names, all there are.

    Raises:
        UsageError: if there is no such board, or none at all.
    """
    known = {path.stem: path for folder in _folders() for path in sorted(folder.glob("*.yaml"))}
    if not names and not known:
        raise UsageError(
            f"There is no board in '{FOLDER}/'. Give the path of a board's file, or "
            "--results FOLDER for a board of all that a folder holds."
        )
    return [_file(name, known) for name in names or known]


def _file(name: str, known: Mapping[str, Path]) -> BoardFile:
    """The results of a board that is known by name lie in the working folder's `leaderboards/`."""
    if name in known:
        return BoardFile(read_board(known[name]), known[name], Path(FOLDER))
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return BoardFile(read_board(path), path, path.parent)
    raise UsageError(
        f"There is no board '{name}'.{suggestion(name, known)} Give the name of a file in "
        f"{FOLDER}/, or the path of a .yaml file."
    )


def _folders() -> list[Path]:
    """Where boards lie: what is installed, else the checkout; and before it the working folder."""
    package = Path(__file__).parents[1]
    shipped = package / "data" / FOLDER
    installed = shipped if shipped.is_dir() else package.parent / FOLDER
    return [installed, Path.cwd() / FOLDER]  # a later one of the same name takes its place
