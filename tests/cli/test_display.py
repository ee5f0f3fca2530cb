"""Progress: a line that moves on a terminal, plain lines elsewhere, what is done never hidden."""

import re
import sys
import time
from collections.abc import Iterator

import pytest

import saeval
from saeval.cli import display
from saeval.cli.display import Display, DisplayMode, display_mode
from saeval.running.progress import ProgressStep, whole_run

Captured = pytest.CaptureFixture[str]


def said(capsys: Captured) -> list[str]:
    """Lines on stderr, their times made equal."""
    return re.sub(r"\d+ s\b", "T", capsys.readouterr().err).splitlines()


def steps(sae: str, total: int, *, what: str = "computed") -> Iterator[ProgressStep]:
    """What a run tells of one result."""
    yield ProgressStep("load", sae, total=total)
    yield ProgressStep("load", sae, seconds=0.5, total=total)
    yield ProgressStep("score", sae, "core", 0, total=total)
    yield ProgressStep("score", sae, "core", 0, 2.0, total)
    yield ProgressStep(what, sae, "core", 0, total=total)  # type: ignore[arg-type]


def told(shown: Display, *saes: str, what: str = "computed") -> None:
    """A whole run."""
    with whole_run(shown, len(saes)):
        for sae in saes:
            for step in steps(sae, len(saes), what=what):
                shown(step)


def test_a_file_gets_a_line_at_each_result(capsys: Captured) -> None:
    """How many are there, of how many, after what time, and which it was; then a sum."""
    told(Display("lines"), "a", "b")
    assert said(capsys) == [
        "1 of 2 results after T: finished core of a",
        "2 of 2 results after T: finished core of b",
        "2 of 2 results after T: 2 computed, 0 found",
    ]


def test_results_that_were_there_take_one_line_together(capsys: Captured) -> None:
    """A run that is answered at once does not list what it found."""
    told(Display("lines"), *map(str, range(500)), what="found")
    assert said(capsys) == ["500 of 500 results after T: 0 computed, 500 found"]


def test_a_long_phase_is_told_of_every_half_minute(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the task does meanwhile, a line says what goes on; the last one ends it."""
    monkeypatch.setattr(display, "EVERY", 0.2)
    shown = Display("lines")
    with whole_run(shown, 1):
        shown(ProgressStep("score", "a", "core", 0, total=1))
        time.sleep(1.1)
    lines = said(capsys)
    assert 2 <= lines.count("0 of 1 results after T: scoring core of a") <= 5
    assert lines[-1] == "0 of 1 results after T: 0 computed, 0 found"
    time.sleep(0.5)
    assert said(capsys) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_run_that_breaks_off_ends_the_telling(
    capsys: Captured, error: type[BaseException]
) -> None:
    """However it ends, nothing goes on in the background."""
    shown = Display("lines")
    with pytest.raises(error), whole_run(shown, 3):
        raise error
    assert shown.ended.is_set()
    assert said(capsys) == ["0 of 3 results after T: 0 computed, 0 found"]


@pytest.mark.parametrize("length", [5, 60, 110, 400])
def test_a_long_name_never_hides_what_is_done(
    capsys: Captured, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts and verb come first; the name gives way in its middle; the line fits the terminal."""
    monkeypatch.setattr(display, "_terminal_columns", lambda: 60)
    name = "/" + "n" * (length - 2) + "z"
    told(Display("line"), name)
    written = capsys.readouterr().err
    lines = [line for line in written.split("\r") if line.strip()]
    assert "[0/1] scoring core of /n" in "\n".join(lines)
    assert "[1/1] finished core of /n" in "\n".join(lines)
    assert all(len(line) < 60 and line.endswith("z") for line in lines)
    assert written.endswith("\r")


def test_hostile_names_steer_nothing(capsys: Captured) -> None:
    """Control characters of a name reach neither a terminal nor a file."""
    for way in ("line", "lines"):
        told(Display(way), "a\x1b[2J\u202eb")
    written = capsys.readouterr().err
    assert "a\ufffd[2J\ufffdb" in written
    assert not re.search(r"[\x1b\u202e]", written)


@pytest.mark.parametrize("quiet, way", [(True, "nothing"), (False, "lines")])
def test_quiet_says_nothing(capsys: Captured, quiet: bool, way: DisplayMode) -> None:  # noqa: FBT001
    """--quiet silences both ways; else a stderr that is no terminal gets lines."""
    assert display_mode(quiet=quiet) == way
    told(Display("nothing"), "a")
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_the_moving_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is to be quiet."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert display_mode() == "line"
    assert display_mode(quiet=True) == "nothing"


def test_progress_from_python_begins_anew_with_each_run(capsys: Captured) -> None:
    """saeval.progress counts the results of one run, though it is the same for all."""
    for _ in range(2):
        told(saeval.progress, "a", "b")  # type: ignore[arg-type]
    lines = said(capsys)
    assert lines[:3] == lines[3:]
    assert lines[2] == "2 of 2 results after T: 2 computed, 0 found"


def test_the_sum_says_where_time_went() -> None:
    """Phases of more than a twentieth of a second, in order, and counts."""
    shown = Display("nothing")
    told(shown, "a", "b")
    assert re.fullmatch(
        r"Results in r: 2 computed, 0 found\. 0\.\d s \(load 1\.0, score 4\.0\)\.",
        shown.summary("r"),
    )
