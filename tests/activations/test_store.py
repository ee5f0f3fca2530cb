"""The store: nothing half written, stale or damaged, and never more than its quota."""

import dataclasses
import json
import logging
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch

from saeval.activations import ModelSource, Store, TokenRows, model_source
from saeval.activations.store import default_quota, digest
from saeval.errors import NotApplicable, UsageError
from saeval.models import load_model
from saeval.running.prepared_cache import has_prepared, load_or_prepare
from saeval.task import Prepared


def write(text: str) -> Callable[[Path], None]:
    """Makes an entry of one file."""

    def make(folder: Path) -> None:
        (folder / "content").write_text(text)

    return make


def read(folder: Path) -> str:
    """Loads it."""
    return (folder / "content").read_text()


def refuse(_: Path) -> None:
    """Makes nothing, and must not be asked to."""
    raise AssertionError("the entry should have been there")


def entries(root: Path) -> list[Path]:
    """Folders of all entries."""
    return sorted((root / "entries").glob("??/*"))


def test_an_entry_is_made_once(tmp_path: Path) -> None:
    """The second reader, and another store on the same folder, get what the first one made."""
    store = Store(tmp_path)
    assert store.get({"a": 1}, write("x"), read) == "x"
    assert store.get({"a": 1}, refuse, read) == "x"
    assert Store(tmp_path).get({"a": 1}, refuse, read) == "x"
    assert store.get({"a": 2}, write("y"), read) == "y"
    assert len(entries(tmp_path)) == 2
    assert not list((tmp_path / "unfinished").iterdir())


def test_keys_are_canonical() -> None:
    """Order does not matter, every value does, and what is not JSON is refused."""
    assert digest({"a": 1, "b": [2, None]}) == digest({"b": [2, None], "a": 1})
    different = [{"a": 1}, {"a": "1"}, {"a": [1]}, {"a": None}, {"b": 1}, {"a": 1.5}]
    assert len({digest(key) for key in different}) == len(different)
    with pytest.raises(TypeError):
        digest({"a": {1}})
    with pytest.raises(ValueError, match="JSON"):
        digest({"a": float("nan")})


@pytest.mark.parametrize("damage", ["changed", "shorter", "deleted", "manifest", "emptied"])
def test_damaged_entries_are_made_again(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Changed bytes, cut or missing files and broken manifests are noticed and repaired."""
    Store(tmp_path).get({"a": 1}, write("hello"), read)
    (folder,) = entries(tmp_path)
    if damage == "changed":
        (folder / "content").write_text("hellu")
    elif damage == "shorter":
        (folder / "content").write_text("hell")
    elif damage == "deleted":
        (folder / "content").unlink()
    elif damage == "manifest":
        (folder / "manifest.json").write_text("{")
    else:
        shutil.rmtree(folder)
        folder.mkdir()
    with caplog.at_level(logging.WARNING):
        assert Store(tmp_path).get({"a": 1}, write("hello"), read) == "hello"
    assert "is damaged" in caplog.text
    assert Store(tmp_path).get({"a": 1}, refuse, read) == "hello"


def test_a_failure_while_making_leaves_nothing(tmp_path: Path) -> None:
    """Errors and interruptions pass through, and the next attempt starts afresh."""

    def fail(folder: Path, error: BaseException) -> None:
        (folder / "content").write_text("half")
        raise error

    store = Store(tmp_path)
    for error in (
        ValueError("bad"),
        KeyboardInterrupt(),
        NotApplicable("no"),
        FileNotFoundError(2, "x"),
    ):
        with pytest.raises(type(error)):
            store.get({"a": 1}, lambda folder, error=error: fail(folder, error), read)
        assert not entries(tmp_path)
        assert not list((tmp_path / "unfinished").iterdir())
    assert store.get({"a": 1}, write("whole"), read) == "whole"


WRITES_ON = """
import sys, time
from pathlib import Path
from saeval.activations import Store
def make(folder):
    (folder / "content").write_text("half")
    print("ready", flush=True)
    time.sleep(600)
Store(Path(sys.argv[1])).get({"a": 0}, make, lambda folder: None)
"""


def test_a_killed_process_leaves_nothing_that_is_read(tmp_path: Path) -> None:
    """What a process writes stays while it lives, however old, and goes once it is dead."""
    store, unfinished = Store(tmp_path), tmp_path / "unfinished"
    command = [sys.executable, "-c", WRITES_ON, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        (unfinished / "without-lock").mkdir()
        for path in unfinished.iterdir():
            os.utime(path, (0, 0))
        assert store.get({"a": 1}, write("whole"), read) == "whole"
        assert not (unfinished / "without-lock").exists()
        assert [path.read_text() for path in unfinished.rglob("content")] == ["half"]
        process.kill()
        process.wait()
    assert list(unfinished.rglob("content"))
    store.get({"a": 2}, write("more"), read)
    assert not list(unfinished.iterdir())


def test_the_least_recently_used_leave_first(tmp_path: Path) -> None:
    """The quota holds, and what was read last stays."""
    store = Store(tmp_path, quota_bytes=4000)
    for number in range(3):
        store.get({"n": number}, write("x" * 1000), read)
        age_all(tmp_path)
    store.get({"n": 0}, refuse, read)
    store.get({"n": 3}, write("x" * 1000), read, 1000)
    store.get({"n": 0}, refuse, read)
    store.get({"n": 3}, refuse, read)
    used = sum(file.stat().st_size for file in tmp_path.glob("entries/*/*/*"))
    assert used <= 4000
    assert len(entries(tmp_path)) == 3


def age_all(root: Path) -> None:
    """Let every entry look ten seconds older."""
    for folder in entries(root):
        then = (folder / "manifest.json").stat().st_mtime - 10
        os.utime(folder / "manifest.json", (then, then))


def test_what_exceeds_the_quota_is_not_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Known before or only after writing, a large entry is refused, and small ones stay."""
    store = Store(tmp_path, quota_bytes=2000)
    store.get({"small": 1}, write("x"), read)
    assert store.get({"large": 1}, refuse, read, 3000) is None
    assert "Raise SAEVAL_CACHE_GB" in caplog.text
    assert store.get({"large": 2}, write("x" * 3000), read) is None
    assert store.get({"small": 1}, refuse, read) == "x"


def test_a_full_disk_or_a_folder_that_cannot_be_written_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller is told to do without, once, with the reason and the way out."""
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        assert Store(root).get({"a": 1}, write("x"), read) is None
        assert "Point SAEVAL_CACHE to a folder with room" in caplog.text
        caplog.clear()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
    assert Store(tmp_path / "full").get({"a": 1}, write("x"), read, 1000) is None
    assert "the disk is full" in caplog.text


def test_a_disk_that_fills_up_while_writing_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """ENOSPC in the middle leaves nothing behind and is logged."""

    def fill(folder: Path) -> None:
        (folder / "content").write_text("half")
        raise OSError(28, "No space left on device")

    assert Store(tmp_path).get({"a": 1}, fill, read) is None
    assert "No space left" in caplog.text
    assert not list((tmp_path / "unfinished").iterdir())


def _race(root: str, number: int) -> None:
    store = Store(root, quota_bytes=6000)
    for turn in range(30):
        key = {"n": (turn * 7 + number) % 8}
        found = store.get(key, write(str(key["n"]) * 1000), read)
        if found is not None and found != str(key["n"]) * 1000:
            raise AssertionError(f"{key} holds {found[:5]}")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_processes_share_a_folder(tmp_path: Path) -> None:
    """Two processes that read, write and evict the same entries see only whole, right ones."""
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_race, args=(str(tmp_path), i)) for i in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert not list((tmp_path / "unfinished").iterdir())


def test_the_quota_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """10 GB by default; what is no size is refused with an example."""
    monkeypatch.delenv("SAEVAL_CACHE_GB", raising=False)
    assert default_quota() == 10**10
    monkeypatch.setenv("SAEVAL_CACHE_GB", "0.5")
    assert default_quota() == 5 * 10**8
    for wrong in ("ten", "-1", "nan", "inf"):
        monkeypatch.setenv("SAEVAL_CACHE_GB", wrong)
        with pytest.raises(UsageError, match="such as 10"):
            default_quota()


def recordings(source: ModelSource, rows: TokenRows) -> int:
    """Entries of the store after a pass over the rows."""
    list(source.batches(rows))
    return len(entries(source.store.root))


def test_every_input_of_an_activation_is_in_its_key(tmp_path: Path) -> None:
    """Change the model, its dtype, the site, the texts, the context or the mask: computed anew."""
    folder = tiny_models.build("gpt2", tmp_path / "gpt2")
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-2] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    model, store = load_model(str(folder)), Store(tmp_path / "store")
    source = model_source(model, "layers.1", store=store)
    rows = source.tokenize(["w1 w2 w3 w4"], name="texts")
    assert recordings(source, rows) == 1
    assert recordings(source, dataclasses.replace(rows, name="renamed")) == 1
    assert recordings(model_source(model, "layers.1", store=store, batch_tokens=3), rows) == 1
    changed = [
        (model_source(load_model(str(other)), "layers.1", store=store), rows),
        (
            model_source(load_model(str(folder), dtype=torch.bfloat16), "layers.1", store=store),
            rows,
        ),
        (model_source(model, "layers.0", store=store), rows),
        (model_source(model, "layers.1", write_site="layers.2", store=store), rows),
        (source, source.tokenize(["w1 w2 w3 w5"], name="texts")),
        (source, source.tokenize(["w1 w2 w3 w4"], name="texts", context=4, overflow="truncate")),
        (source, source.tokenize(["w1 w2 w3 w4"], name="texts", prepend_bos=False)),
        (source, dataclasses.replace(rows, mask=rows.attention)),
    ]
    for number, (changed_source, changed_rows) in enumerate(changed, start=2):
        assert recordings(changed_source, changed_rows) == number
    monkey = dataclasses.replace(source.model, identity="someone/model@1")
    assert recordings(model_source(monkey, "layers.1", store=store), rows) == len(changed) + 2


def test_damaged_activations_are_computed_again(tmp_path: Path) -> None:
    """A flipped bit on disk never reaches a score."""
    model = load_model(str(tiny_models.build("gpt2", tmp_path / "m")))
    store = tmp_path / "store"
    first = model_source(model, "layers.1", store=Store(store))
    rows = first.tokenize(["w1 w2 w3"], name="texts")
    (before,) = [batch.x for batch in first.batches(rows)]
    (file,) = store.glob("entries/*/*/0.bin")
    data = bytearray(file.read_bytes())
    data[5] ^= 64
    file.write_bytes(data)
    (after,) = [
        batch.x for batch in model_source(model, "layers.1", store=Store(store)).batches(rows)
    ]
    assert torch.equal(before, after)


def test_activations_in_use_survive_their_eviction(tmp_path: Path) -> None:
    """Another process may clear the cache while this one reads."""
    model = load_model(str(tiny_models.build("gpt2", tmp_path / "m")))
    store = Store(tmp_path / "store")
    source = model_source(model, "layers.1", store=store, batch_tokens=4)
    rows = source.tokenize(["w1 w2 w3", "w4 w5 w6", "w7"], name="texts")
    expected = [batch.x for batch in source.batches(rows)]
    found = []
    for batch in source.batches(rows):
        Store(tmp_path / "store").clear()
        found.append(batch.x)
    assert not entries(tmp_path / "store")
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def something() -> Prepared:
    """What a task might prepare."""
    return Prepared(
        arrays={
            "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            "mask": np.array([True, False]),
            "empty": np.zeros((0, 3), dtype=np.float32),
            "scalar": np.array(3, dtype=np.int64),
        },
        tables={"probes / 1": pd.DataFrame({"name": ["a", "b"], "auc": [0.5, 1.0]}, index=[4, 7])},
        facts={"classes": ("x", "y"), "threshold": 0.25, "none": None},
    )


def some_rows(name: str, texts: int = 2) -> TokenRows:
    """Rows of three positions in Fortran order, the last of which is padding."""
    ids = np.asfortranarray(np.arange(3 * texts, dtype=np.int32).reshape(texts, 3))
    attention = np.asfortranarray(np.tile([True, True, False], (texts, 1)))
    mask = np.asfortranarray(np.tile([False, True, False], (texts, 1)))
    return TokenRows(name, ids, attention, mask)


def test_what_tasks_prepare_round_trips(tmp_path: Path) -> None:
    """Arrays in any order, tables with their index, and facts come back, computed once."""
    store = Store(tmp_path)
    calls = []

    def make() -> Prepared:
        calls.append(1)
        return something()

    for is_first in (True, False):
        found, computed = load_or_prepare(store, {"task": "t", "seed": 0}, make)
        assert computed == is_first
        for name, array in something().arrays.items():
            assert np.array_equal(found.arrays[name], array)
            assert found.arrays[name].dtype == array.dtype
        pd.testing.assert_frame_equal(
            found.tables["probes / 1"], something().tables["probes / 1"], check_dtype=False
        )
        assert found.facts == {"classes": ["x", "y"], "threshold": 0.25, "none": None}
    assert len(calls) == 1
    load_or_prepare(store, {"task": "t", "seed": 1}, make)
    assert len(calls) == 2
    kinds = {file.suffix for file in tmp_path.glob("entries/*/*/*")}
    assert kinds == {".safetensors", ".parquet", ".json"}


@pytest.mark.parametrize("first", [None, some_rows("of the user", 4)])
@pytest.mark.parametrize(
    "more",
    [{}, {"": some_rows("x"), "concepts / 1": some_rows("lab"), "none": some_rows("empty", 0)}],
)
def test_rows_that_tasks_prepare_round_trip(
    tmp_path: Path, first: TokenRows | None, more: dict[str, TokenRows]
) -> None:
    """Rows come back under their names, in any order of memory, none at all included."""
    for _ in range(2):
        content = Prepared(rows=first, more_rows=more)
        found, _ = load_or_prepare(Store(tmp_path), {"task": "t"}, lambda content=content: content)
        assert (found.rows is None) == (first is None)
        assert list(found.more_rows) == list(more)
        pairs = [(found.rows, first)] if first is not None else []
        for loaded, given in [*pairs, *((found.more_rows[name], more[name]) for name in more)]:
            assert loaded.name == given.name
            assert loaded.digest == given.digest
            assert [getattr(loaded, part).dtype for part in ("ids", "attention", "mask")] == [
                np.int32, bool, bool,
            ]  # fmt: skip


def test_what_an_older_form_kept_is_prepared_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An entry without rows of its own is no longer found, and nothing is said to be damaged."""

    def write_old(folder: Path) -> None:
        arrays = {part: getattr(some_rows("x"), part) for part in ("ids", "attention", "mask")}
        np.savez(folder / "arrays.npz", **arrays)
        (folder / "facts.json").write_text(json.dumps({"tables": [], "facts": {}}))

    store, key = Store(tmp_path), {"task": "t"}
    store.get({**key, "kind": "prepared"}, write_old, lambda folder: folder)
    assert not has_prepared(store, key)
    with caplog.at_level(logging.WARNING):
        found, _ = load_or_prepare(store, key, lambda: Prepared(rows=some_rows("new")))
    assert found.required_rows.name == "new"
    assert has_prepared(store, key)
    assert not caplog.records


def test_a_task_that_prepared_no_rows_is_told_so() -> None:
    """Asking for rows that are not there names the field of Prepared."""
    with pytest.raises(ValueError, match="prepared no rows"):
        _ = Prepared().required_rows


def test_preparations_work_without_a_cache(tmp_path: Path) -> None:
    """Where nothing can be kept, the result is the same, and made once for each call."""
    (tmp_path / "file").write_text("")
    for store in (Store(tmp_path / "file"), Store(tmp_path / "none", quota_bytes=0)):
        calls = []
        found, _ = load_or_prepare(
            store, {"task": "t"}, lambda calls=calls: calls.append(1) or something()
        )
        assert found.facts["classes"] == ["x", "y"]
        assert found.arrays["fortran"][1, 2] == 5
        assert len(calls) == 1


def test_preparations_that_cannot_be_kept_are_refused(tmp_path: Path) -> None:
    """Text in arrays and numbers that JSON lacks are mistakes of the task; its refusals pass."""
    store = Store(tmp_path)
    wrong = Prepared(arrays={"words": np.array(["a"])})
    with pytest.raises(UsageError, match="array 'words' of <U1"):
        load_or_prepare(store, {"task": "a"}, lambda: wrong)
    with pytest.raises(UsageError, match="not JSON"):
        load_or_prepare(store, {"task": "b"}, lambda: Prepared(facts={"x": float("nan")}))

    def not_here() -> Prepared:
        raise NotApplicable("needs labels")

    with pytest.raises(NotApplicable, match="needs labels"):
        load_or_prepare(store, {"task": "c"}, not_here)
    assert not entries(tmp_path)


def test_manifests_name_what_an_entry_was_made_from(tmp_path: Path) -> None:
    """A person who looks into the cache finds the key beside the content."""
    Store(tmp_path).get({"task": "core", "seed": 3}, write("x"), read)
    (folder,) = entries(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["key"] == {"task": "core", "seed": 3}
