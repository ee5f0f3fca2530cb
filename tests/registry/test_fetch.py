"""Sources become verified folders; whatever goes wrong on the way says what to do."""

import errno
import hashlib
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants, file_download
from local_hub import COMMIT, FILES, LARGE, NEWER, SOURCE, Answer, Hub

from saeval.errors import FetchError
from saeval.registry import fetch as fetching
from saeval.registry.entries import Entry, FolderRef, Source
from saeval.registry.fetch import fetch, fetch_member
from saeval.registry.hashes import content_sha256
from saeval.registry.hub import pin_path, read_pin
from saeval.registry.lab_manifest import make_row, write_rows


def _partials(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "hub").rglob("*.incomplete"))


# Local sources ------------------------------------------------------------------------------------


def test_hash_is_that_of_sha256sum(tmp_path: Path) -> None:
    """A folder's hash is that of the lines sha256sum prints, hidden files and its name aside."""
    for name, body in {"b.txt": b"two", "a/x": b"one", ".hidden": b"?"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(body)
    lines = (
        f"{hashlib.sha256(b'one').hexdigest()}  a/x\n{hashlib.sha256(b'two').hexdigest()}  b.txt\n"
    )
    assert content_sha256(tmp_path) == hashlib.sha256(lines.encode()).hexdigest()
    assert content_sha256(tmp_path / "b.txt") == hashlib.sha256(b"two").hexdigest()


def test_files_below_a_registry_are_found(tmp_path: Path) -> None:
    """A `file://` source is relative to its registry file, and its hash is checked."""
    sae = tmp_path / "saes" / "one"
    sae.mkdir(parents=True)
    (sae / "cfg.json").write_text("{}")
    entry = Entry("a", "file://saes/one", sha256=content_sha256(sae), file=tmp_path / "r.yaml")
    assert fetch_member(entry) == sae
    assert fetch_member(FolderRef("x", str(sae))) == sae
    (sae / "cfg.json").write_text("{ }")
    with pytest.raises(FetchError, match=rf"sha256 {content_sha256(sae)}, not {entry.sha256}"):
        fetch_member(entry)


@pytest.mark.parametrize("path", ["../outside", "link", "folder", "/etc"])
def test_leaving_the_root_is_refused(tmp_path: Path, path: str) -> None:
    """A source that leads out of its registry's folder is refused, by '..', link or inner link."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (outside / "secret").write_text("s")
    (root / "folder").mkdir(parents=True)
    (root / "link").symlink_to(outside)
    (root / "folder" / "weights").symlink_to(outside / "secret")
    with pytest.raises(FetchError, match=r"outside of '.*root'. A source must stay below"):
        fetch(f"file://{path}", root=root)


@pytest.mark.parametrize(
    "source,reason",
    [
        ("file://none", "there is no '.*none'"),
        ("/nowhere/at/all", "there is no '/nowhere/at/all'"),
        ("ftp://x", "is no source"),
        ("lab://world/nothing-like-it", "The lab has no 'world/nothing-like-it'"),
        ("lab://../registry_file.py", "outside of"),
    ],
)
def test_missing_sources_say_so(tmp_path: Path, source: str, reason: str) -> None:
    """What is not there is an error that names it."""
    with pytest.raises(FetchError, match=reason):
        fetch(source, root=tmp_path)
    with pytest.raises(FetchError, match="relative to a registry file"):
        fetch("file://x")


def test_lab_names_lie_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab name is a folder of the package's weights; a wrong one offers the nearest."""
    folder = tmp_path / "lab" / "weights" / "world" / "topk-16"
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"w")
    monkeypatch.setattr(fetching, "__file__", str(tmp_path / "registry" / "fetch.py"))
    assert fetch("lab://world/topk-16") == folder
    with pytest.raises(FetchError, match=r"no 'world/topk-61'\. Did you mean 'world/topk-16'"):
        fetch("lab://world/topk-61")


def test_lab_files_are_those_of_the_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of the lab that was changed since it was built is refused, also without a registry."""
    folder = tmp_path / "lab" / "weights" / "world" / "topk-16"
    folder.mkdir(parents=True)
    (folder / "weights").write_text("as built")
    row = make_row("world/topk-16", "An SAE.", {}, {}, weights=tmp_path / "lab" / "weights")
    write_rows([row], tmp_path / "lab" / "manifest.json")
    monkeypatch.setattr(fetching, "__file__", str(tmp_path / "registry" / "fetch.py"))
    assert fetch("lab://world/topk-16") == folder
    (folder / "weights").write_text("changed")
    with pytest.raises(FetchError, match=f"not {row.sha256}"):
        fetch("lab://world/topk-16")


# The hub ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("hub")
def test_folder_is_downloaded_verified_and_pinned(tmp_path: Path) -> None:
    """Only the folder arrives, hidden files aside; its commit and hash are pinned."""
    path = fetch(SOURCE)
    assert (path / "deep" / "weights.bin").read_bytes() == LARGE
    assert sorted(one.name for one in path.iterdir()) == ["cfg.json", "deep"]
    assert not (path.parent / "top").exists()
    pin = read_pin(Source.parse(SOURCE))
    assert pin is not None
    assert (pin.commit, pin.sha256) == (COMMIT, content_sha256(path))
    assert not _partials(tmp_path)


def test_pinned_source_needs_no_connection(hub: Hub) -> None:
    """The second fetch asks nothing of the hub, even where its branch has moved on."""
    path = fetch(SOURCE)
    asked = len(hub.requests)
    hub.commit, hub.files["sae/cfg.json"] = NEWER, b"{}"
    assert fetch(SOURCE) == path
    assert len(hub.requests) == asked


def test_pinned_commit_is_fetched_again(hub: Hub, tmp_path: Path) -> None:
    """With the cache gone, the pinned commit is downloaded, not the branch's newest."""
    fetch(SOURCE)
    shutil.rmtree(tmp_path / "hub")
    hub.requests.clear()
    fetch(SOURCE)
    assert any(f"/tree/{COMMIT}/sae" in one for one in hub.requests)
    assert not any("/revision/" in one for one in hub.requests)


def test_change_after_the_pin_is_an_error(hub: Hub, tmp_path: Path) -> None:
    """Other content under the pinned commit is refused, with both hashes and the pin's place."""
    first = content_sha256(fetch(SOURCE))
    shutil.rmtree(tmp_path / "hub")
    hub.files["sae/cfg.json"] = b"{}"
    pattern = rf"sha256 (?!{first})[0-9a-f]{{64}}, not {first}\. Its files were not used"
    with pytest.raises(FetchError, match=pattern) as caught:
        fetch(SOURCE)
    assert str(pin_path(Source.parse(SOURCE))) in str(caught.value)


@pytest.mark.usefixtures("hub")
def test_known_hash_is_checked_and_not_pinned() -> None:
    """A registry's hash is what counts: right, it needs no pin; wrong, both hashes are named."""
    path = fetch(SOURCE, revision=COMMIT)
    right = content_sha256(path)
    pin_path(Source.parse(f"{SOURCE}@{COMMIT}")).unlink()
    assert fetch(SOURCE, sha256=right, revision=COMMIT) == path
    assert read_pin(Source.parse(f"{SOURCE}@{COMMIT}")) is None
    with pytest.raises(FetchError, match=rf"sha256 {right}, not {'0' * 64}"):
        fetch(SOURCE, sha256="0" * 64)


@pytest.mark.usefixtures("hub")
def test_damaged_cache_is_found_out() -> None:
    """A cached file that changed since it was pinned is refused, not used."""
    path = fetch(SOURCE)
    (path / "cfg.json").resolve().write_bytes(b'{"k": 9}')
    with pytest.raises(FetchError, match="another content than expected"):
        fetch(SOURCE)


@pytest.mark.usefixtures("hub")
def test_single_file_can_be_named() -> None:
    """A path to a file gives that file; the root of a repository gives all of it."""
    assert fetch("hf://org/repo/sae/deep/weights.bin").read_bytes() == LARGE
    assert (fetch("hf://org/repo") / "top").read_bytes() == b"t"


def test_offline_uses_what_is_there(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Offline, a folder in the hub's cache layout serves, unpinned; what is missing is an error."""
    fetch("hf://org/repo")
    cache = Path(constants.HF_HUB_CACHE) / "models--org--repo"
    (cache / "refs").mkdir(exist_ok=True)
    (cache / "refs" / "main").write_text(COMMIT)
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with caplog.at_level(logging.WARNING):
        path = fetch(SOURCE)
    assert (path / "cfg.json").exists()
    assert "taken from the cache as it is, since HF_HUB_OFFLINE is set" in caplog.text
    assert read_pin(Source.parse(SOURCE)) is None
    with pytest.raises(FetchError, match="is not in the cache, and HF_HUB_OFFLINE is set"):
        fetch("hf://org/other/sae")
    assert not hub.requests


REFUSALS = [
    (
        "repo",
        (401, {"X-Error-Code": "GatedRepo"}),
        r"is gated\. Accept its terms at .*hf auth login",
    ),
    ("repo", (401, {}), "no repository .*or it is private.*No token was sent"),
    ("repo", (404, {"X-Error-Code": "RepoNotFound"}), "there is no repository .*org/repo"),
    ("repo", (404, {"X-Error-Code": "RevisionNotFound"}), "has no revision 'main'"),
    ("repo", (403, {}), "or it is private"),
    ("repo", (500, {}), r"could not be downloaded: .*500.* Nothing incomplete is used"),
    ("repo", (429, {"Retry-After": "3600"}), r"limits how often it is asked\. Try again in 3600 s"),
]


@pytest.mark.parametrize("part,refusal,reason", REFUSALS)
def test_refusals_are_explained(
    hub: Hub, tmp_path: Path, part: str, refusal: tuple[int, dict[str, str]], reason: str
) -> None:
    """Gated, private, missing, broken and busy hubs each give an error that says what to do."""
    hub.instead = [(part, (*refusal, b"{}"))] * 20
    with pytest.raises(FetchError, match=reason):
        fetch(SOURCE)
    assert not _partials(tmp_path)
    assert read_pin(Source.parse(SOURCE)) is None


def test_token_is_never_shown(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused token is mentioned, but its text is not."""
    monkeypatch.setenv("HF_TOKEN", "hf_sentinel")
    hub.instead = [("repo", (403, {"X-Error-Code": "GatedRepo"}, b"{}"))]
    with pytest.raises(FetchError, match="The token that was sent was refused") as caught:
        fetch(SOURCE)
    assert "hf_sentinel" not in str(caught.value)


@pytest.mark.usefixtures("hub")
def test_missing_path_offers_the_nearest() -> None:
    """A path that the repository lacks is named, with one that it has."""
    with pytest.raises(FetchError, match=r"no 'sae/cfg\.jso' at commit a+\. .*'sae/cfg\.json'"):
        fetch("hf://org/repo/sae/cfg.jso")


@pytest.mark.parametrize("status", [429, 503])
def test_short_waits_are_granted(hub: Hub, status: int, caplog: pytest.LogCaptureFixture) -> None:
    """Where the hub asks to come back in a moment, the download succeeds in the end."""
    busy = (status, {"Retry-After": "1"}, b"{}")
    hub.instead = [("/revision/", busy), ("/tree/", busy), ("/resolve/", busy), ("/api/", busy)]
    with caplog.at_level(logging.WARNING):
        assert (fetch(SOURCE) / "cfg.json").exists()
    assert "asks to wait 1 s" in caplog.text


def test_truncated_bodies_leave_nothing(hub: Hub, tmp_path: Path) -> None:
    """A body that ends early is an error, and no file, partial file or pin stays behind."""
    hub.truncate = True
    with pytest.raises(FetchError, match="could not be downloaded"):
        fetch(SOURCE)
    assert not _partials(tmp_path)
    assert not [one for one in (tmp_path / "hub").rglob("snapshots/*/*/*") if one.is_file()]
    assert read_pin(Source.parse(SOURCE)) is None
    hub.truncate = False
    assert (fetch(SOURCE) / "cfg.json").read_bytes() == FILES["sae/cfg.json"]


@pytest.mark.parametrize("name", ["sae/cfg.json", "sae/deep/weights.bin"])
def test_wrong_bytes_are_deleted(hub: Hub, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the right size with other bytes is found out by the hub's own hash, and deleted."""
    right = hub.files[name]
    honest = hub.answer

    def swapped(path: str) -> Answer:
        status, headers, body = honest(path)
        return status, headers, bytes(len(body)) if path.endswith(name) else body

    monkeypatch.setattr(hub, "answer", swapped)
    with pytest.raises(FetchError, match=rf"'{name}' has hash .*the hub lists .*was deleted"):
        fetch(SOURCE)
    monkeypatch.setattr(hub, "answer", honest)
    assert (fetch(SOURCE) / name.removeprefix("sae/")).read_bytes() == right


def test_slow_hub_is_given_up(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that accepts and then says nothing is given up after a time, with a reason."""
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.05)
    hub.stall = 0.3
    with pytest.raises(FetchError, match=r"could not be downloaded: .*(ReadTimeout|timed out)"):
        fetch(SOURCE)
    assert not _partials(tmp_path)


@pytest.mark.parametrize("revision", [None, COMMIT])
@pytest.mark.usefixtures("hub")
def test_unreachable_hub_is_one_quick_error(
    revision: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody at the hub's address: no attempt is repeated or reported, and one error says it."""
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    library = logging.getLogger("huggingface_hub")
    level = library.level
    with caplog.at_level(logging.WARNING), pytest.raises(FetchError, match="Check the connection"):
        fetch(SOURCE, revision=revision)
    assert not waits
    assert not caplog.records
    assert library.level == level


def test_hub_down_falls_back_to_cache(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    """Where the hub only answers with errors, what the cache holds serves, and that is said."""
    path = fetch(SOURCE)
    pin_path(Source.parse(SOURCE)).unlink()
    cache = Path(constants.HF_HUB_CACHE) / "models--org--repo"
    (cache / "refs").mkdir(exist_ok=True)
    (cache / "refs" / "main").write_text(COMMIT)
    hub.instead = [("repo", (500, {}, b"{}"))] * 20
    with caplog.at_level(logging.WARNING):
        assert fetch(SOURCE) == path
    assert "since the hub gave HfHubHTTPError: " in caplog.text


def _no_room(*_: object, **__: object) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_full_disk_is_seen_before(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder larger than the room on the disk is refused before anything is downloaded."""
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(FetchError, match=r"does not fit the disk of '.*': 0\.000 GB are needed"):
        fetch(SOURCE)
    assert not any("/resolve/" in one for one in hub.requests)


@pytest.mark.parametrize("where", ["download", "pin"])
@pytest.mark.usefixtures("hub")
def test_full_disk_leaves_no_partial_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A disk that fills up on the way gives a clear error, and the part that arrived is removed."""
    patches: dict[str, Callable[[], None]] = {
        "download": lambda: monkeypatch.setattr(file_download, "_chmod_and_move", _no_room),
        "pin": lambda: monkeypatch.setattr("saeval.registry.hub.pins.tempfile.mkstemp", _no_room),
    }
    patches[where]()
    with pytest.raises(FetchError, match=r"it is full|cannot be pinned: .*No space left"):
        fetch(SOURCE)
    assert not _partials(tmp_path)
    assert read_pin(Source.parse(SOURCE)) is None


@pytest.mark.usefixtures("hub")
def test_damaged_pin_is_named() -> None:
    """A pin that cannot be read is an error that names its file."""
    fetch(SOURCE)
    pin_path(Source.parse(SOURCE)).write_text("{")
    with pytest.raises(FetchError, match=r"The pin '.*\.json' of hf://org/repo/sae is damaged"):
        fetch(SOURCE)
