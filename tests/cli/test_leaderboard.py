"""`saeval leaderboard`: what it prints and writes, its exit codes, and its server."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from board_results import NULL, answers, plant, plant_l0
from click.testing import CliRunner, Result

from saeval.cli.app import app

BOARD = "title: Quizzes\ntasks: {quiz: 1}\nnulls: [random]\ncolumns: [right]\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a board of its own, and results of two SAEs and its null."""
    monkeypatch.chdir(tmp_path)
    boards = tmp_path / "leaderboards"
    boards.mkdir()
    (boards / "quizzes.yaml").write_text(BOARD)
    root = boards / "results" / "quizzes"
    plant(root, "a", {"right": answers(0.9, units=40, seed=1)})
    plant(root, "b", {"right": answers(0.4, units=40, seed=2)})
    plant(root, "random", {"right": answers(0.3, units=40, seed=3)}, about=NULL)
    plant_l0(root, "a", 8)
    return tmp_path


def _call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["leaderboard", *arguments])


def test_the_committed_tables_are_built_from_the_results_beside_them(tmp_path: Path) -> None:
    """The smallest board of this checkout, built anew, gives the bytes that are committed."""
    own = Path(__file__).parents[2] / "leaderboards"
    done = _call("build", str(own / "lab-othello.yaml"), "--out", str(tmp_path))
    assert done.exit_code == 0, done.output
    for kind in ("md", "csv", "json"):
        name = f"lab-othello.{kind}"
        assert (tmp_path / name).read_bytes() == (own / "tables" / name).read_bytes(), name


def test_a_named_board_is_written_where_boards_lie(here: Path) -> None:
    """Three tables, and on demand a site; the output says where."""
    done = _call("build", "quizzes", "--site", "site")
    assert done.exit_code == 0, done.output
    names = sorted(path.name for path in (here / "leaderboards" / "tables").iterdir())
    assert names == ["quizzes.csv", "quizzes.json", "quizzes.md"]
    assert "1 of 2" in (here / "leaderboards" / "tables" / "quizzes.md").read_text()
    assert (here / "site" / "boards" / "quizzes.html").is_file()
    assert "site/index.html" in done.output


def test_a_folder_is_shown_and_nothing_is_written(here: Path) -> None:
    """Without a board, the table of a folder goes to stdout."""
    before = sorted(here.rglob("*"))
    done = _call("build", "--results", "leaderboards/results/quizzes")
    assert done.exit_code == 0, done.output
    assert "| a " in done.output
    assert "random (null)" in done.output
    assert sorted(here.rglob("*")) == before


@pytest.mark.usefixtures("here")
def test_json_is_one_cell_a_line() -> None:
    """Every cell, with rank, nulls and status."""
    done = _call("build", "--results", "leaderboards/results/quizzes", "--json")
    cells = [json.loads(line) for line in done.stdout.splitlines()]
    assert {(cell["sae"], cell["rank_best"]) for cell in cells} == {
        *(("a", 1), ("b", 1), ("random", None))  # a and b are in other ranges of L0
    }
    assert all(cell["status"] == "scored" for cell in cells)


def test_a_board_without_its_nulls_is_refused(here: Path) -> None:
    """Exit code 2 with the command; of several boards the others are built, and the code is 1."""
    (here / "leaderboards" / "lonely.yaml").write_text(BOARD.replace("random", "frozen"))
    (here / "leaderboards" / "results" / "lonely").mkdir()
    plant(here / "leaderboards/results/lonely", "a", {"right": answers(0.9, units=40)})
    alone = _call("build", "lonely")
    assert alone.exit_code == 2
    assert "frozen on quiz" in alone.stderr
    assert "saeval run --sae frozen --tasks quiz" in alone.stderr
    both = _call("build", "lonely", "quizzes")
    assert both.exit_code == 1
    assert "frozen on quiz" in both.stderr
    assert (here / "leaderboards" / "tables" / "quizzes.md").is_file()


def test_submissions_are_read_beside_boards(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `read_submissions` finds sound stands on the board with its badge."""
    from types import ModuleType

    from saeval.leaderboard.sources import Source

    theirs = here / "leaderboards" / "submissions" / "eve" / "x" / "results"
    plant(theirs, "their", {"right": answers(0.7, units=40, seed=5)})
    fake = ModuleType("saeval.leaderboard.submissions")
    fake.__dict__["read_submissions"] = lambda root: [
        Source(theirs, "recomputed", "eve", root.name)
    ]
    monkeypatch.setitem(sys.modules, fake.__name__, fake)
    done = _call("build", "quizzes")
    assert done.exit_code == 0, done.output
    assert "recomputed" in (here / "leaderboards" / "tables" / "quizzes.md").read_text()


@pytest.mark.usefixtures("here")
def test_a_folder_that_is_not_there_is_told() -> None:
    """Exit code 1, and what to give."""
    done = _call("build", "--results", "nowhere")
    assert done.exit_code == 1
    assert "no folder 'nowhere'" in done.stderr


def test_serve_ends_by_ctrl_c(here: Path) -> None:
    """It says its address, serves the site there, and ends quietly with exit code 130."""
    assert _call("build", "quizzes", "--site", "leaderboards/site").exit_code == 0
    command = [sys.executable, "-m", "saeval", "leaderboard", "serve", "--port", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=here,
    ) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            address = line.split(" at ")[1].split()[0]
            assert address.startswith("http://127.0.0.1:")
            with urllib.request.urlopen(address) as answer:
                assert b"Quizzes" in answer.read()
            server.send_signal(signal.SIGINT)
            _, complaints = server.communicate(timeout=60)
            assert server.returncode == 130
            assert complaints == ""
        finally:
            server.kill()  # else a server that does not end would keep the tests waiting
