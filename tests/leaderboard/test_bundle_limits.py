"""What is too large is refused before it is read, by what it states and by what it is."""

import time
from dataclasses import replace
from pathlib import Path

import forgery
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from saeval.errors import BundleError
from saeval.leaderboard.bundles.check import Circumstances, check_bundle
from saeval.leaderboard.bundles.limits import LIMITS
from saeval.leaderboard.bundles.strict_json import read_strict
from saeval.leaderboard.bundles.table_files import table_faults


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that nobody touched."""
    return forgery.make_board(tmp_path_factory.mktemp("board"))


SMALLER = {
    "files": (5, "more than 5 files"),
    "file_bytes": (2_000, "bytes; at most 2,000"),
    "json_bytes": (3_000, "bytes; at most 3,000"),
    "total_bytes": (20_000, "bytes; at most 20,000"),
    "json_depth": (2, "nested deeper than 2 levels"),
    "text": (30, "has a text of"),
    "table_rows": (60, "rows; at most 60"),
    "table_columns": (3, "columns; at most 3"),
    "table_bytes": (500, "bytes once decoded; at most 500"),
    "footer_bytes": (300, "its metadata has"),
}


@pytest.mark.parametrize("name", SMALLER)
def test_every_limit_holds(honest: Path, name: str) -> None:
    """A bundle just within the usual limits exceeds each, once that is small."""
    most, says = SMALLER[name]
    limits = replace(LIMITS, **{name: most})
    report = check_bundle(honest, Circumstances(limits=limits))
    assert any(says in fault for fault in report.faults), report.faults


def test_a_text_repeated_without_end_is_counted(tmp_path: Path) -> None:
    """A dictionary of one long text and a million rows: a few kB that decode to a GB."""
    text = pa.array(["x" * 1_000]).take(pa.array([0] * 1_000_000, pa.int32()))
    path = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({"unit_id": text}), path, compression="zstd")
    assert path.stat().st_size < 200_000
    (fault,) = table_faults(path, 1_000_000)
    assert "bytes once decoded" in fault


def test_a_page_that_states_less_than_it_has_is_counted(tmp_path: Path) -> None:
    """The metadata at the end may be edited: what is decoded counts."""
    path = tmp_path / "liar.parquet"
    table = pa.table({"value": pa.array([0.5] * 900_000)})
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    limits = replace(LIMITS, table_bytes=1_000_000)
    assert "once decoded" in table_faults(path, 900_000, limits)[0]
    pq.write_table(table, path, compression="zstd", use_dictionary=True)  # states little, truly
    assert pq.read_metadata(path).row_group(0).total_byte_size < 1_000_000
    assert "once decoded" in table_faults(path, 900_000, limits)[0]


def test_the_usual_limits_have_room(honest: Path) -> None:
    """An honest bundle of two results takes less than a tenth of each."""
    sizes = [path.stat().st_size for path in honest.rglob("*") if path.is_file()]
    assert 10 * sum(sizes) < LIMITS.total_bytes
    assert 10 * max(sizes) < min(LIMITS.file_bytes, LIMITS.json_bytes)


def test_very_many_keys_take_no_longer_than_they_are_long(tmp_path: Path) -> None:
    """A doubled key among hundreds of thousands is found in a second, not in an hour."""
    path = tmp_path / "result.json"
    keys = ",".join(f'"k{number}":1' for number in range(400_000))
    path.write_text(f'{{{keys},"k399999":2}}', encoding="utf-8")
    start = time.process_time()
    with pytest.raises(BundleError, match="'k399999' is doubled"):
        read_strict(path)
    assert time.process_time() - start < 30
