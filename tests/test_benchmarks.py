"""Benchmarks run and print what they promise; how fast is for people to judge."""

import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "benchmarks"


def printed(script: str, *options: str) -> str:
    """What a benchmark prints."""
    command = [sys.executable, str(FOLDER / script), *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_core_splits_the_cost_of_each_sae() -> None:
    """The first SAE and each further one have their seconds by phase, and memory its peak."""
    lines = printed("core.py").splitlines()
    assert lines[0].split() == ["CPU", "seconds", "model", "encode", "decode", "rest", "all"]
    assert [line.split(":")[0] for line in lines[1:4]] == ["first", "further", "further"]
    for line in lines[1:4]:
        *parts, everything = map(float, line.split()[-5:])
        assert abs(sum(parts) - everything) < 0.03
    assert re.fullmatch(r"peak memory \d+ MB", lines[4])


def test_absorption_splits_the_cost_of_each_sae() -> None:
    """What a site costs, then each SAE's seconds for scores and intervals, and the peak."""
    lines = printed("absorption.py").splitlines()
    assert lines[0].split() == ["CPU", "seconds", "score", "intervals", "all"]
    assert [line.split()[0].strip(":") for line in lines[1:4]] == ["prepare", "first", "further"]
    for line in lines[2:4]:
        score, intervals, everything = map(float, line.split()[-3:])
        assert abs(score + intervals - everything) < 0.03
    assert re.fullmatch(r"peak memory \d+ MB", lines[4])


def test_wide_measures_each_width() -> None:
    """Each width has its weights, the memory beyond them and its time."""
    lines = printed("wide.py", "--log2", "8", "10", "--vectors", "64", "--d", "16").splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["256", "1024"]
    assert all(re.search(r"\d+ MB +\d+ MB +\d+\.\d$", line) for line in lines[2:])


def test_othello_says_how_many_moves_a_second() -> None:
    """Sixty moves a game."""
    games, moves = re.findall(
        r"[\d,]+(?= games/s| moves/s)", printed("othello.py", "--games", "50")
    )
    ratio = float(moves.replace(",", "")) / float(games.replace(",", ""))
    assert 59 < ratio < 61


def test_training_is_measured_beside_its_products() -> None:
    """Seconds of a training, those of its matrix products, and their ratio."""
    lines = printed("train.py", "--rows", "20000", "--d", "16", "--d-sae", "64").splitlines()
    assert lines[0] == "topk, 16 -> 64, k 16, 20,000 activations"
    training = re.fullmatch(r"training (\d+\.\d) CPU s, FVU 0\.\d+, L0 16\.0", lines[1])
    products = re.fullmatch(
        r"its matrix products alone (\d+\.\d) CPU s, ratio (\d+\.\d+)", lines[2]
    )
    assert training
    assert products
    assert float(training[1]) > float(products[1])
