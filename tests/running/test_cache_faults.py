"""The cache may fail, lie or be full at any moment: that costs the cache, and never a score."""

import errno
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models
from safetensors.torch import load_file, save_file
from tiny_runs import Error, sae_folder

import saeval
from saeval.activations import Store
from saeval.config.locks import working_folder

WEIGHTS = "model.safetensors"
OPERATIONS = ("mkdir", "rename", "replace", "stat", "scandir", "utime", "listdir", "fstat")


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny model, and of an SAE."""
    folder = tiny_models.build("gpt2", tmp_path_factory.mktemp("gpt2"))
    sae_folder(folder / "sae")
    return folder


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache."""
    monkeypatch.setenv("SAEVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


def _score(gpt2: Path) -> float:
    shutil.rmtree("results", ignore_errors=True)
    (score,) = saeval.evaluate(gpt2 / "sae", Error(), model=str(gpt2)).scores
    assert score.value is not None, score.reason
    return score.value


def _told(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What the cache had to say."""
    return [record for record in caplog.records if record.name == "saeval.activations.store"]


class Faults:
    """Fails the n-th of all file operations below a folder, and may fail all later ones."""

    def __init__(self, root: Path, nth: int, code: int, *, lasting: bool) -> None:
        self.root, self.nth, self.code, self.lasting = str(root), nth, code, lasting
        self.count = 0

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The operation, which fails in its turn."""

        def faulty(path: Any = ".", *args: Any, **options: Any) -> Any:
            if isinstance(path, str | os.PathLike) and str(path).startswith(self.root):
                self.count += 1
                if self.count == self.nth or (self.lasting and self.count > self.nth):
                    raise OSError(self.code, os.strerror(self.code), str(path))
            return call(path, *args, **options)

        return faulty


def _with_faults(gpt2: Path, faults: Faults) -> float:
    with pytest.MonkeyPatch.context() as patch:
        for name in OPERATIONS:
            patch.setattr(os, name, faults.wrap(getattr(os, name)))
        patch.setattr(io, "open", faults.wrap(io.open))
        return _score(gpt2)


@pytest.mark.parametrize(
    "code, lasting, step",
    [
        (errno.ENOSPC, False, 5),
        (errno.ENOSPC, True, 11),
        (errno.EACCES, False, 9),
        (errno.ENOENT, False, 10),
    ],
)
def test_any_file_operation_of_the_cache_may_fail(
    gpt2: Path,
    cache: Path,
    code: int,
    step: int,
    caplog: pytest.LogCaptureFixture,
    *,
    lasting: bool,
) -> None:
    """Whichever operation fails, on an empty cache and on a full one: the score is right.

    The numbers of operations are sampled, each kind of error with a step of its own, to be quick;
    a step of 1 tries them all.
    """
    right = _score(gpt2)
    for is_full in (False, True):
        nth, warned = 1, 0
        while True:
            if not is_full:
                shutil.rmtree(cache, ignore_errors=True)
            caplog.clear()
            faults = Faults(cache, nth, code, lasting=lasting)
            with caplog.at_level(logging.WARNING):
                assert _with_faults(gpt2, faults) == right, nth
            assert len(_told(caplog)) <= 1, (nth, caplog.text)
            warned += len(_told(caplog))
            if faults.count < nth:
                break
            nth += step
        assert nth > 5
        assert warned


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
@pytest.mark.parametrize("limit", [0, 100, 1500, 4000])
def test_a_limit_on_the_size_of_files(gpt2: Path, cache: Path, limit: int) -> None:
    """Writes that are cut short by the system leave no half entry, and the score is right."""
    right = _score(gpt2)
    shutil.rmtree(cache)
    program = f"""
import logging, resource, sys
sys.path.insert(0, {str(Path(tiny_models.__file__).parent)!r})
import tiny_runs
from saeval.activations import Store, model_source, read_codes
from saeval.models import load_model
from saeval.running.named_saes import load_sae
from saeval.running.prepared_cache import load_or_prepare
logging.basicConfig(level=logging.WARNING)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
source = model_source(load_model({str(gpt2)!r}), "layers.1", store=Store())
task = tiny_runs.Error()
prepared, _ = load_or_prepare(source.store, {{"t": 1}}, lambda: task.prepare(source, 0))
sae = load_sae({str(gpt2 / "sae")!r})
(evidence,) = task.score(sae, prepared, source, 0)
print(evidence.units.table["error"].mean())
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) == pytest.approx(right, rel=1e-12)
    warnings = [line for line in run.stderr.splitlines() if "cannot be written" in line]
    assert len(warnings) == 1, run.stderr
    assert _score(gpt2) == right


def test_a_clock_that_is_ahead_removes_nothing_that_is_in_use(
    gpt2: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Leftovers go by lock, whatever the clock says; a store never sweeps its own work."""
    right = _score(gpt2)
    shutil.rmtree(cache)
    unfinished = cache / "activations" / "unfinished"
    unfinished.mkdir(parents=True)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3 * 24 * 3600)
    with working_folder(unfinished) as another:
        os.utime(another, (now - 10**6, now - 10**6))
        assert _score(gpt2) == right
        assert another.is_dir()
    assert not _told(caplog)

    def make(folder: Path) -> None:
        os.utime(folder, (now - 10**6, now - 10**6))
        store.get({"inner": 1}, lambda _: None, lambda _: 1)
        (folder / "content").write_text("whole")

    store = Store(cache / "nested")
    assert store.get({"a": 1}, make, lambda folder: (folder / "content").read_text()) == "whole"


def _entries(cache: Path) -> list[Path]:
    return sorted((cache / "activations" / "entries").glob("??/*"))


def test_an_entry_under_anothers_key_is_noticed(
    gpt2: Path, cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every entry in the place of every other, of all kinds: told, made anew, and right."""
    other = Path(shutil.copytree(gpt2, tmp_path / "other"))
    weights = {name: 1.1 * tensor for name, tensor in load_file(other / WEIGHTS).items()}
    save_file(weights, other / WEIGHTS, metadata={"format": "pt"})
    sae_folder(other / "sae", 1)
    right = _score(gpt2)
    of_first = _entries(cache)
    _score(other)
    kinds = {json.loads((entry / "manifest.json").read_text())["key"]["kind"] for entry in of_first}
    assert kinds == {"activations", "prepared", "source identity"}
    whole = shutil.copytree(cache, tmp_path / "whole")
    for place in of_first:
        for source in _entries(whole):
            if source.name == place.name:
                continue
            shutil.rmtree(cache)
            shutil.copytree(whole, cache)
            shutil.rmtree(place)
            shutil.copytree(source, place)
            caplog.clear()
            assert _score(gpt2) == right
            assert caplog.text.count("lies under a key not its own") == 1
            assert len(_told(caplog)) == 1


MANIFESTS = ["[]", "null", '"text"', "3", "{", "", "{}", '{"files": {}}', "[" * 100000]


@pytest.mark.parametrize("manifest", [*MANIFESTS, *range(8)])
def test_a_manifest_of_any_shape_is_made_anew(
    gpt2: Path, cache: Path, manifest: str | int, caplog: pytest.LogCaptureFixture
) -> None:
    """Lists, nulls, missing fields, wrong types, nested junk: one line each, never a traceback."""
    right = _score(gpt2)
    for entry in _entries(cache):
        path = entry / "manifest.json"
        path.write_text(manifest if isinstance(manifest, str) else _junk(path, manifest))
    caplog.clear()
    assert _score(gpt2) == right
    assert {"is damaged" in record.message for record in _told(caplog)} == {True}
    assert len(_told(caplog)) == len(_entries(cache))
    caplog.clear()
    assert _score(gpt2) == right
    assert not _told(caplog)


def _junk(path: Path, number: int) -> str:
    """A manifest with one part of a wrong form."""
    manifest = json.loads(path.read_text())
    name = next(iter(manifest["files"]))
    size, sha256 = manifest["files"][name]
    files: list[Any] = [
        {},
        [],
        {**manifest["files"], name: None},
        {**manifest["files"], name: [size]},
        {**manifest["files"], name: [str(size), sha256]},
        {**manifest["files"], name: {"size": [size, {"sha": [sha256]}]}},
        {**manifest["files"], "../../x": [size, sha256]},
    ]
    if number == len(files):
        return json.dumps({**manifest, "key": [manifest["key"]]})
    return json.dumps({**manifest, "files": files[number]})


def test_every_file_of_every_entry_is_guarded(
    gpt2: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A changed byte, a cut, an empty and a missing file of each entry is made anew."""
    right = _score(gpt2)
    files = [file for entry in _entries(cache) for file in sorted(entry.iterdir())]
    for file in files:
        if file.name == "manifest.json":
            continue
        for damage in ("changed", "cut", "empty", "missing", "one more"):
            data = file.read_bytes()
            if damage == "missing":
                file.unlink()
            elif damage == "one more":
                (file.parent / "more").write_text("")
            else:
                changed = bytes([data[0] ^ 1]) + data[1:]
                file.write_bytes({"changed": changed, "cut": data[:-1], "empty": b""}[damage])
            caplog.clear()
            assert _score(gpt2) == right
            assert caplog.text.count("is damaged") == 1
