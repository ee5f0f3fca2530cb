"""Board files are read strictly, and those that ship fit what is installed."""

from dataclasses import replace
from pathlib import Path

import pytest

from saeval.config.plugin_docs import declared_headline, describe_tasks
from saeval.config.plugins import TASKS, find
from saeval.errors import UsageError
from saeval.leaderboard.board_files import find_boards, read_board
from saeval.leaderboard.entrants import belongs
from saeval.registry.lookup import load_registry
from saeval.results.reading import read_results

WHOLE = "title: Quizzes\ntasks: {quiz: 1}\nnulls: [random]\n"


def _file(folder: Path, text: str, name: str = "quizzes.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_board_has_the_fields_of_its_file(tmp_path: Path) -> None:
    """Fields are read, and the others have their defaults."""
    board = read_board(_file(tmp_path, WHOLE + "l0_groups: [[1, 4], [4, 16.5]]\n"))
    assert (board.name, board.title, dict(board.tasks)) == ("quizzes", "Quizzes", {"quiz": 1})
    assert board.l0_groups == ((1.0, 4.0), (4.0, 16.5))
    assert board.seeds == (0,)
    assert [board.l0_group(l0) for l0 in (1, 4, 16.5, None)] == [
        *("1 to 4", "4 to 16.5", "other", "unknown")
    ]


@pytest.mark.parametrize(
    "text, fault",
    [
        (WHOLE + "colums: [right]\n", "unknown field 'colums'.*'columns'"),
        (WHOLE + "name: other\n", "unknown field 'name'"),
        (WHOLE + "required: false\n", "unknown field 'required'"),
        ("title: Quizzes\ntasks: {quiz: 1}\n", "lacks the field 'nulls'.*means anything"),
        ("tasks: {quiz: 1}\nnulls: [random]\n", "lacks the field 'title'"),
        (WHOLE.replace("{quiz: 1}", "[quiz]"), "'tasks' must be a mapping"),
        (WHOLE.replace("1", "'1'"), "task to its version"),
        (WHOLE.replace("1", "true"), "task to its version"),
        (WHOLE + "seeds: zero\n", "'seeds' must be a list"),
        (WHOLE + "seeds: [0, 0]\n", "each once"),
        (WHOLE + "seeds: []\n", "at least one seed"),
        (WHOLE + "l0_groups: [[4, 4]]\n", "ranges that rise"),
        (WHOLE + "l0_groups: [[4, 8], [7, 9]]\n", "ranges that rise"),
        (WHOLE + "title: again\n", "stands twice"),
        ("- a list\n", "must be a mapping"),
        ("title: [\n", "Cannot read"),
    ],
)
def test_a_fault_is_named_with_its_file(tmp_path: Path, text: str, fault: str) -> None:
    """Unknown, missing and malformed fields are errors that say where."""
    path = _file(tmp_path, text)
    with pytest.raises(UsageError, match=f"(?s)quizzes.*{fault}|{fault}"):
        read_board(path)


def test_boards_are_found_by_name_and_by_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in the working folder takes the place of the shipped one of its name."""
    monkeypatch.chdir(tmp_path)
    assert {"lab-world", "lab-othello", "lab-synthetic"} <= {f.board.name for f in find_boards([])}
    (tmp_path / "leaderboards").mkdir()
    _file(tmp_path / "leaderboards", WHOLE, "lab-world.yaml")
    (own,) = find_boards(["lab-world"])
    assert own.board.title == "Quizzes"
    assert own.sources == [Path("leaderboards/results/lab-world")]
    (named,) = find_boards([str(_file(tmp_path, WHOLE))])
    assert named.board.name == "quizzes"
    assert named.sources == [tmp_path / "results" / "quizzes"]
    with pytest.raises(UsageError, match=r"no board 'lab-wrld'.*lab-world"):
        find_boards(["lab-wrld"])


def test_shipped_boards_fit_what_is_installed() -> None:
    """Tasks have the installed versions, columns are metrics, and nulls are listed."""
    installed = {task.plugin.name: task for task in describe_tasks()}
    entries = load_registry().entries
    for file in find_boards([]):
        board = file.board
        for task, version in board.tasks.items():
            assert task in find(TASKS), f"{board.name}: {task}"
            assert installed[task].version == version, f"{board.name}: raise the version of {task}"
            assert declared_headline(task)
        metrics = {m.name.replace("{k}", "1") for t in board.tasks for m in installed[t].metrics}
        assert {name.rpartition("/")[2] for name in board.columns} <= metrics
        assert {*board.nulls, *board.anchors} <= entries.keys()


def test_what_a_stranger_measures_at_the_same_site_belongs() -> None:
    """A shipped board takes results by where they say they were measured, whatever the SAE says.

    One site has many names, and an SAE of a stranger may give another of them, or none.
    """
    for file in find_boards([]):
        board = replace(file.board, saes=("*",))
        results = [result for folder in file.sources for result in read_results(folder)]
        strangers = [
            replace(one, sae="mine", provenance={"source": one.provenance["source"]})
            for one in results
        ]
        taken = sum(belongs(board, one) for one in results)
        assert 8 < sum(belongs(board, one) for one in strangers) == taken, board.name
