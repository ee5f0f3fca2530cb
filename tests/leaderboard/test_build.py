"""A built board: what stands in its cells, and why, on planted results."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from board_results import BOARD, NULL, answers, plant, plant_l0, plant_outcome

from saeval.errors import ResultError, UsageError
from saeval.leaderboard.board import Board
from saeval.leaderboard.build import BuiltBoard, build_board
from saeval.leaderboard.cells import Cell
from saeval.leaderboard.folder_board import board_of_folders
from saeval.leaderboard.sources import Source
from saeval.leaderboard.tables import write_tables
from saeval.results.interchange.saebench_import import import_saebench


def _build(root: Path, board: Board = BOARD, *more: Source) -> BuiltBoard:
    return build_board(replace(board, required=False), [Source(root), *more])


def _cells(built: BuiltBoard, metric: str = "right") -> dict[str, Cell]:
    (column,) = [one for one in built.columns if one.asked.metric == metric]
    return dict(column.cells)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three SAEs of L0 8, the two best of which cannot be told apart, and two nulls."""
    folder = tmp_path_factory.mktemp("planted")
    plant(folder, "a", {"right": answers(0.9, seed=1)})
    plant(folder, "b", {"right": answers(0.89, seed=2)})
    plant(folder, "c", {"right": answers(0.5, seed=3)})
    plant(folder, "random", {"right": answers(0.3, seed=4)}, about=NULL)
    plant(folder, "pca", {"right": answers(0.49, seed=5)}, about={"architecture": "pca"})
    for sae in "abc":
        plant_l0(folder, sae, 8)
    return folder


@pytest.fixture
def root(planted: Path, tmp_path: Path) -> Path:
    """A copy of it, to which a test may add."""
    return shutil.copytree(planted, tmp_path / "results")


def test_ranks_are_sets_and_nulls_have_none(root: Path) -> None:
    """The two best share ranks 1 and 2; nulls are known by their provenance, and not ranked."""
    built = _build(root)
    cells = _cells(built)
    ranks = {name: (c.rank.best, c.rank.worst, c.rank.of) for name, c in cells.items() if c.rank}
    assert ranks == {"a": (1, 2, 3), "b": (1, 2, 3), "c": (3, 3, 3)}
    assert [row.place.kind for row in built.rows] == ["entry"] * 3 + ["null"] * 2
    assert cells["a"].score is not None
    assert cells["a"].score.anchored == pytest.approx(0.9)


def test_a_cell_says_how_it_stands_to_the_nulls(root: Path) -> None:
    """The last entry beats both nulls, and cannot be told from the better one; the first can."""
    cells = _cells(_build(root))
    assert (cells["c"].beaten_nulls, cells["c"].nulls, cells["c"].percentile) == (2, 2, 100)
    assert cells["c"].against_null is not None
    assert cells["c"].against_null.null == "pca"
    assert cells["c"].against_null.verdict == "cannot be told"
    assert cells["a"].against_null is not None
    assert cells["a"].against_null.verdict == "better"


def test_lower_is_better_turns_everything(root: Path) -> None:
    """Ranks, frontier and nulls follow the direction of the metric."""
    for folder in root.glob("*/quiz-*"):
        shutil.rmtree(folder)
    plant(root, "a", {"right": answers(0.2, seed=1)}, better="lower")
    plant(root, "c", {"right": answers(0.5, seed=3)}, better="lower")
    plant(root, "random", {"right": answers(0.9, seed=4)}, better="lower", about=NULL)
    cells = _cells(_build(root))
    assert cells["a"].rank is not None
    assert (cells["a"].rank.best, cells["a"].rank.worst) == (1, 1)
    assert cells["a"].frontier
    assert not cells["c"].frontier
    assert cells["c"].percentile == 100


def test_ranks_are_within_ranges_of_l0(root: Path) -> None:
    """An SAE of another sparsity is ranked apart; the frontier goes over all of them."""
    plant(root, "dense", {"right": answers(0.95, seed=6)})
    plant_l0(root, "dense", 30)
    plant(root, "poor", {"right": answers(0.2, seed=7)})
    plant_l0(root, "poor", 40)
    cells = _cells(_build(root, replace(BOARD, l0_groups=((4.0, 16.0), (16.0, 64.0)))))
    ranks = {name: (c.rank.best, c.rank.worst, c.rank.of) for name, c in cells.items() if c.rank}
    assert ranks["dense"] == (1, 1, 2)
    assert ranks["poor"] == (2, 2, 2)
    assert ranks["a"] == (1, 2, 3)
    assert {name for name, cell in cells.items() if cell.frontier} == {"a", "dense"}


def test_cells_without_a_value_say_what_they_are(root: Path) -> None:
    """Missing, failed and not applicable, each with its reason; none is ranked."""
    plant_l0(root, "silent", 8)
    plant_outcome(root, "broken", "failed", "out of memory")
    plant_outcome(root, "odd", "not_applicable", "it has no latents")
    plant(root, "other", {"wrong": answers(0.1)})
    cells = _cells(_build(root))
    shown = {name: (c.status, c.reason) for name, c in cells.items() if c.status != "scored"}
    assert shown == {
        "silent": ("missing", "not scored on quiz"),
        "broken": ("failed", "out of memory"),
        "odd": ("not applicable", "it has no latents"),
        "other": ("missing", "this result has no right"),
    }
    assert all(cells[name].rank is None for name in shown)


def test_another_version_is_kept_and_never_ranked(root: Path) -> None:
    """Its value stands with its version; ranks of others are as if it were not there."""
    before = _cells(_build(root))
    plant(root, "old", {"right": answers(0.99, seed=8)}, version=0)
    plant(root, "a", {"right": answers(0.1, seed=9)}, version=2)
    cells = _cells(_build(root))
    assert cells["old"].status == "other version"
    assert cells["old"].value == pytest.approx(0.99)
    assert cells["old"].reason == "quiz v0, while the board ranks v1"
    assert cells["old"].rank is None
    assert {name: cells[name].rank for name in before} == {n: c.rank for n, c in before.items()}


def test_other_data_is_never_mixed_in(root: Path) -> None:
    """What the nulls were measured on is ranked, even if more SAEs have other data."""
    for number in range(6):
        plant(root, f"x{number}", {"right": answers(0.9, seed=20 + number)}, data="other rows")
    cells = _cells(_build(root))
    assert {cells[f"x{number}"].status for number in range(6)} == {"other data"}
    assert cells["a"].rank is not None
    assert cells["a"].rank.of == 3


def test_a_number_that_evidence_does_not_give_is_not_ranked(root: Path) -> None:
    """An edited score, and edited evidence, are told and have no rank."""
    (path,) = root.glob("a/quiz-*/result.json")
    record = json.loads(path.read_text())
    record["scores"][0]["value"] = 0.99
    path.write_text(json.dumps(record))
    (table,) = root.glob("b/quiz-*/right.parquet")
    table.write_bytes(table.read_bytes()[:-1] + b"x")
    cells = _cells(_build(root))
    assert cells["a"].status == "unverified"
    assert "its evidence gives" in str(cells["a"].reason)
    assert cells["b"].status == "unverified"
    assert cells["a"].rank is None


def test_seeds_are_the_mean_and_all_must_be_there(root: Path) -> None:
    """A cell of three seeds is their mean; an SAE that lacks one has no value."""
    for sae, mean in (("a", 0.9), ("c", 0.5), ("random", 0.3)):
        about = NULL if sae == "random" else None
        for seed in (1, 2):
            values = answers(mean + 0.01 * seed, seed=seed)
            plant(root, sae, {"right": values}, seed=seed, data=f"rows {seed}", about=about)
    cells = _cells(_build(root, replace(BOARD, seeds=(0, 1, 2))))
    assert cells["a"].value == pytest.approx(0.91)
    assert len(cells["a"].result_ids) == 3
    assert cells["b"].reason == "not scored under seeds 1, 2"
    assert cells["a"].rank is not None
    assert (cells["a"].rank.best, cells["a"].rank.of) == (1, 2)


def test_a_submission_cannot_set_what_others_must_beat(root: Path, tmp_path: Path) -> None:
    """Strong scores said to be a null's are an entry; its name gives way to the maintainers'."""
    theirs = tmp_path / "theirs"
    plant(theirs, "strong", {"right": answers(0.99, seed=11)}, about=NULL)
    plant(theirs, "a", {"right": answers(0.2, seed=12)})
    built = _build(root, BOARD, Source(theirs, "recomputed", "eve", "bundle"))
    cells = _cells(built)
    assert cells["a"].nulls == 2
    assert built.row("strong").place.kind == "entry"
    assert cells["a"].value == pytest.approx(0.9)
    assert cells["a by eve"].value == pytest.approx(0.2)
    assert built.row("a by eve").entrant.badge == "recomputed"


def test_numbers_without_evidence_are_marked_and_not_ranked(root: Path, tmp_path: Path) -> None:
    """Imported results stand with their value and where they come from."""
    theirs = tmp_path / "theirs"
    plant(theirs, "published", {"right": answers(0.97, seed=13)})
    cells = _cells(_build(root, BOARD, Source(theirs, "imported", "saebench", "release")))
    assert cells["published"].status == "imported"
    assert cells["published"].value == pytest.approx(0.97)
    assert cells["published"].rank is None


def test_what_saebench_published_stands_on_a_board_as_what_it_is(
    root: Path, tmp_path: Path
) -> None:
    """Its version and seed are its own; it has value, L0 and badge, also in a folder of ours."""
    file = tmp_path / "published.json"
    file.write_text(
        json.dumps(
            {
                "eval_type_id": "core",
                "eval_config": {"random_seed": 42},
                "eval_result_metrics": {"a": {"l0": 9.0, "explained_variance": 0.8, "mse": -1}},
                "sae_lens_id": "custom_sae",
                "sae_lens_release_id": "published",
            }
        ),
        encoding="utf-8",
    )
    import_saebench(file, root)
    columns = ("right", "l0", "saebench_explained_variance", "saebench_mse")
    built = _build(root, replace(BOARD, columns=columns))
    row = built.row("published")
    assert (row.entrant.badge, row.place.l0) == ("imported", 9.0)
    assert row.place.group == built.row("a").place.group
    cell = _cells(built, "saebench_explained_variance")["published"]
    assert (cell.status, cell.value, cell.rank, cell.frontier) == ("imported", 0.8, None, False)
    assert cell.reason == "published by saebench unknown as a number, without evidence"
    assert _cells(built, "saebench_mse")["published"].status == "not applicable"
    assert _cells(built, "l0")["published"].reason == "saebench unknown published no l0"
    assert _cells(built)["published"].reason == "not scored on quiz"
    assert built.row("a").entrant.badge == "ours"


def test_without_its_nulls_a_board_is_not_built(root: Path) -> None:
    """The error names each null that is missing, and the command that scores them."""
    board = replace(BOARD, nulls=("random", "frozen"), anchors=("oracle",))
    with pytest.raises(UsageError) as caught:
        build_board(board, [Source(root)])
    text = str(caught.value)
    assert "frozen on quiz, core" in text
    assert "random on core" in text
    assert f"--sae oracle --tasks core,quiz --seeds 0 --output-path {root}" in text.replace(
        "quiz,core", "core,quiz"
    )


def test_columns_are_named_once_and_for_all(root: Path) -> None:
    """An unknown column is an error with the nearest name; one of two tasks must say which."""
    with pytest.raises(UsageError, match=r"'rihgt'.*'right'"):
        _build(root, replace(BOARD, columns=("rihgt",)))
    plant(root, "a", {"right": answers(0.4)}, task="exam")
    both = replace(BOARD, tasks={"quiz": 1, "exam": 1})
    with pytest.raises(UsageError, match="metric of quiz, exam"):
        _build(root, both)
    assert _cells(_build(root, replace(both, columns=("exam/right",))))["a"].value is not None


def test_nothing_that_belongs_is_an_error(root: Path) -> None:
    """A board whose globs fit no result says what it looked for."""
    with pytest.raises(ResultError, match=r"No result in .* belongs on the board 'quizzes'"):
        _build(root, replace(BOARD, saes=("lab/*",)))


def test_equal_results_give_equal_bytes(root: Path, tmp_path: Path) -> None:
    """Built twice, from a copy, and with sources in another order, files are the same."""
    theirs = tmp_path / "theirs"
    plant(theirs, "d", {"right": answers(0.7, seed=14)})
    sources = [Source(root), Source(theirs, "recomputed", "eve", "bundle")]
    board = replace(BOARD, required=False)
    first = write_tables(build_board(board, sources), tmp_path / "one")
    copy = shutil.copytree(root, tmp_path / "copy")
    again = [sources[1], Source(copy)]
    second = write_tables(build_board(board, again), tmp_path / "two")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    assert "202" not in (tmp_path / "one" / "quizzes.md").read_text()


def test_a_folder_makes_a_board_of_its_own(root: Path) -> None:
    """All tasks in their newest version, nulls as provenance tells, ranges of L0 by octaves."""
    plant(root, "a", {"right": answers(0.4)}, version=4)
    board = board_of_folders([root])
    assert dict(board.tasks) == {"core": 3, "quiz": 4}
    assert board.seeds == (0,)
    built = build_board(board, [Source(root)])
    assert {row.place.group for row in built.rows} == {"6 to 12", "unknown"}
    assert [column.name for column in built.columns] == ["quiz/right"]
    with pytest.raises(ResultError, match="no result in"):
        board_of_folders([root / "a"])


def test_names_that_are_code_stay_text_in_files(root: Path, tmp_path: Path) -> None:
    """Markdown, HTML and formulas in a name do nothing in the files."""
    theirs = tmp_path / "theirs"
    plant(theirs, "=cmd()|x\n# [a](javascript:x) <b>", {"right": answers(0.7, seed=14)})
    built = _build(root, BOARD, Source(theirs, "recomputed", "eve", "bundle"))
    paths = write_tables(built, tmp_path / "out")
    page, table, record = (path.read_text(encoding="utf-8") for path in paths)
    assert "<b>" not in page.replace("\\<b", "")
    assert "](javascript" not in page.replace("\\](", "")
    assert "\n=cmd" not in table
    assert '\n"=cmd' not in table
    assert json.loads(record)["saes"]
