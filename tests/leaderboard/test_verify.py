"""`saeval verify`: any published number, from a folder or an address, computed again."""

import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import forgery
import pytest
from click.testing import CliRunner, Result

from saeval.cli.app import app
from saeval.errors import FetchError, UsageError
from saeval.leaderboard.bundles.limits import Limits
from saeval.leaderboard.download import fetched


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle on a board."""
    return forgery.make_board(tmp_path_factory.mktemp("board"))


def verify(source: object) -> Result:
    """What the command prints and answers."""
    return CliRunner().invoke(app, ["verify", str(source)])


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files; `/away/...?URL` leads elsewhere."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name
        """Say nothing."""

    def do_GET(self) -> None:  # its name
        """A file, or a redirect."""
        if self.path.startswith("/away/"):
            self.send_response(302)
            self.send_header("Location", self.path.partition("?")[2])
            self.end_headers()
        else:
            super().do_GET()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and its address on this machine; the server stops by itself."""
    folder = tmp_path / "served"
    folder.mkdir()

    def handler(*arguments: object) -> _Quiet:
        return _Quiet(*arguments, directory=str(folder))  # type: ignore[arg-type]

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_folders_of_every_kind_are_verified(board: Path, tmp_path: Path) -> None:
    """A bundle, a leaderboards folder, a folder of results, one result; and what was edited."""
    tree = board.parents[2]
    for source in (board, tree, tree / "results/base", forgery.result(board), board.parents[3]):
        done = verify(source)
        assert done.exit_code == 0, done.output
    whole = verify(tree)
    assert "is accepted: recomputed." in whole.stdout
    assert "8 results: 8 verify, 0 do not." in whole.stdout
    bundle = forgery.copy(board, tmp_path)
    folder = next((tmp_path / "leaderboards/results/base").glob("*/core-*"))
    forgery.edit(folder / "result.json", lambda r: forgery.score(r, "fvu").update(value=0.0))
    done = verify(tmp_path / "leaderboards")
    assert done.exit_code == 1
    assert "8 results: 7 verify, 1 do not." in done.stdout
    assert "value is 0.0" in done.stdout
    forgery.edit(bundle / "submission.json", lambda m: m.update(owner="eve"))
    assert "is refused." in verify(tmp_path / "leaderboards").stdout


def test_addresses_of_every_kind_are_verified(board: Path, served: tuple[Path, str]) -> None:
    """An archive, a submission.json with its files, a result.json with its evidence."""
    folder, address = served
    shutil.copytree(board, folder / "try")
    shutil.make_archive(str(folder / "try"), "zip", board.parent, "try")
    shutil.make_archive(str(folder / "results"), "gztar", board / "results")
    one = forgery.result(folder / "try").relative_to(folder).as_posix()
    for path in ("try.zip", "results.tar.gz", "try/submission.json", f"{one}/result.json"):
        done = verify(f"{address}/{path}")
        assert done.exit_code == 0, (path, done.output)
        assert "accepted" in done.stdout or "0 do not" in done.stdout
    forgery.edit(folder / one / "result.json", lambda r: forgery.score(r, "fvu").update(value=0.0))
    for path in ("try/submission.json", f"{one}/result.json"):
        assert verify(f"{address}/{path}").exit_code == 1, path


@pytest.mark.parametrize(
    "url, says",
    [
        ("http://example.org/a.zip", "is not an https address"),
        ("ftp://example.org/a.zip", "is not an https address"),
        ("file:///etc/a.zip", "is not an https address"),
        ("http://127.0.0.1.example.org/a.zip", "is not an https address"),
        ("http://localhost@example.org/a.zip", "is not an https address"),
        ("https://example.org/page.html", "names no archive"),
    ],
)
def test_other_addresses_are_refused_before_anything_is_fetched(url: str, says: str) -> None:
    """Only https, http of this machine, and files whose kind is known."""
    done = verify(url)
    assert done.exit_code == 2
    assert says in done.output


def test_what_is_fetched_is_bounded(served: tuple[Path, str]) -> None:
    """Too large, missing, led elsewhere, or naming files outside: nothing is kept."""
    folder, address = served
    (folder / "big.zip").write_bytes(bytes(5_000))
    with (
        pytest.raises(FetchError, match="more than 1,000 bytes"),
        fetched(f"{address}/big.zip", Limits(total_bytes=1_000)),
    ):
        pass
    with pytest.raises(FetchError, match="cannot be fetched"), fetched(f"{address}/none.zip"):
        pass
    for elsewhere in ("http://example.org/a.zip", "file:///etc/passwd"):
        with (
            pytest.raises((UsageError, FetchError), match=r"https address|cannot be fetched"),
            fetched(f"{address}/away/a.zip?{elsewhere}"),
        ):
            pass
    forgery.save(folder / "submission.json", {"files": [{"path": "../../x"}]})
    with (
        pytest.raises(FetchError, match="no file of a bundle"),
        fetched(f"{address}/submission.json"),
    ):
        pass
    forgery.save(folder / "result.json", {"tables": {"../x": {}}})
    with pytest.raises(FetchError, match="no name of a table"), fetched(f"{address}/result.json"):
        pass


def test_an_archive_of_results_may_be_hostile_too(served: tuple[Path, str]) -> None:
    """It is unpacked as a bundle is."""
    import zipfile

    folder, address = served
    with zipfile.ZipFile(folder / "a.zip", "w") as packed:
        packed.writestr("../escaped", b"x")
    done = verify(f"{address}/a.zip")
    assert done.exit_code == 1
    assert "leads out of the bundle" in done.output


def test_nothing_to_verify_is_told(tmp_path: Path) -> None:
    """An empty folder, and none at all."""
    assert "has no results with evidence" in verify(tmp_path).output
    assert verify(tmp_path / "none").exit_code == 2


def test_an_archive_is_named_as_it_was_given(board: Path, tmp_path: Path) -> None:
    """Nothing that is said of an archive names the temporary folder it was unpacked into."""
    archive = shutil.make_archive(str(tmp_path / "bundle"), "zip", board)
    done = verify(archive)
    assert f"{archive} is accepted: recomputed." in done.stdout
    folder = tmp_path / "edited"
    shutil.copytree(forgery.result(board), folder / "sae" / forgery.result(board).name)
    edited = next(folder.glob("*/*/result.json"))
    forgery.edit(edited, lambda record: forgery.score(record, "fvu").update(value=0.0))
    loose = shutil.make_archive(str(tmp_path / "loose"), "gztar", folder)
    assert f"{loose}/sae/core-" in verify(loose).stdout
    (tmp_path / "nothing").mkdir()
    empty = shutil.make_archive(str(tmp_path / "empty"), "zip", tmp_path / "nothing")
    assert f"'{empty}' has no results with evidence" in verify(empty).output


def test_a_link_to_a_bundle_is_called_one(board: Path, tmp_path: Path) -> None:
    """It is not followed, and the message does not say that there is no bundle."""
    (tmp_path / "link").symlink_to(board)
    done = verify(tmp_path / "link")
    assert done.exit_code == 1
    assert "is a link; give the folder or file that it leads to" in done.output
