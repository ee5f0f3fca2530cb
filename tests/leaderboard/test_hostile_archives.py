"""Archives of strangers write nothing outside, never more than they state, and no links."""

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import forgery
import pytest

from saeval.leaderboard.bundles.check import Circumstances, check_bundle
from saeval.leaderboard.bundles.limits import Limits

SMALL = Limits(file_bytes=200_000, total_bytes=1_000_000, json_bytes=200_000)
RESULT = f"try/results/a/core-{'0' * 20}"


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that nobody touched."""
    return forgery.make_board(tmp_path_factory.mktemp("board"))


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tgz"])
@pytest.mark.parametrize("prefix", ["", "try/", "leaderboards/submissions/ann/try/"])
def test_an_honest_archive_is_accepted(
    honest: Path, tmp_path: Path, kind: str, prefix: str
) -> None:
    """Of the bundle's files, its folder, or the folders above; the digest is the folder's."""
    archive = tmp_path / f"bundle.{kind}"
    files = {f"{prefix}{p.relative_to(honest)}": p for p in honest.rglob("*") if p.is_file()}
    if kind == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, path in files.items():
                packed.write(path, name)
    else:
        with tarfile.open(archive, "w:gz") as packed:
            for name, path in files.items():
                packed.add(path, name)
    report = check_bundle(archive)
    assert report.faults == ()
    assert report.digest == check_bundle(honest).digest
    assert report.badge == "recomputed"


def _zip(*members: tuple[str | zipfile.ZipInfo, bytes]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        archive = folder / "bundle.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in members:
                packed.writestr(name, content)
        return archive

    return make


def _tar(*members: tuple[tarfile.TarInfo, bytes]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        archive = folder / "bundle.tar.gz"
        with tarfile.open(archive, "w:gz") as packed:
            for info, content in members:
                info.size = len(content)
                packed.addfile(info, io.BytesIO(content))
        return archive

    return make


def _info(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def _linked(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    return info


def _understated(folder: Path) -> Path:
    """A member whose headers state one byte."""
    archive = _zip((f"{RESULT}/rows.parquet", os.urandom(5_000)))(folder)
    data = archive.read_bytes().replace((5_000).to_bytes(4, "little"), (1).to_bytes(4, "little"))
    archive.write_bytes(data)
    return archive


def _null(folder: Path) -> Path:
    archive = _zip(("submission.json_.exe", b"{}"))(folder)
    archive.write_bytes(archive.read_bytes().replace(b"json_.exe", b"json\0.exe"))
    return archive


def _cut(folder: Path) -> Path:
    archive = _zip((f"{RESULT}/result.json", b"{}" * 1_000))(folder)
    archive.write_bytes(archive.read_bytes()[:-30])
    return archive


def _cut_tar(folder: Path) -> Path:
    archive = _tar((_info(f"{RESULT}/result.json"), os.urandom(5_000)))(folder)
    archive.write_bytes(archive.read_bytes()[:2_000])
    return archive


def _encrypted(folder: Path) -> Path:
    archive = _zip(("submission.json", b"{}"))(folder)
    data = bytearray(archive.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(bytes(data))
    return archive


def _long_header(folder: Path) -> Path:
    """A text in a header, of which nothing is ever written, and which is read whole."""
    info = _info("submission.json")
    info.pax_headers = {"comment": "x" * 30_000_000}
    return _tar((info, b"{}"))(folder)


ZEROS = bytes(150_000)
ARCHIVES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "upwards": (_zip(("../../escaped.json", b"{}")), "leads out of the bundle"),
    "upwards within": (_zip(("try/../../escaped.json", b"{}")), "leads out of the bundle"),
    "upwards on Windows": (_zip(("..\\..\\escaped.json", b"{}")), "is a name that files may not"),
    "absolute": (_zip(("/tmp/escaped.json", b"{}")), "is an absolute path"),
    "drive": (_zip(("C:/escaped.json", b"{}")), "is an absolute path"),
    "null character": (_null, "files may not have here"),
    "link": (_zip((_linked("submission.json", stat.S_IFLNK), b"/etc/passwd")), "is a link"),
    "device": (_zip((_linked("submission.json", stat.S_IFCHR), b"")), "is a link or a device"),
    "bomb": (_zip((f"{RESULT}/rows.parquet", ZEROS)), "more than 200 times its size"),
    "many": (
        _zip(*((f"{RESULT}/t{n}.parquet", os.urandom(150_000)) for n in range(8))),
        "unpacks to more than 1,000,000 bytes",
    ),
    "large": (_zip(("submission.json", os.urandom(300_000))), "unpacks to 300,000 bytes"),
    "understated": (_understated, "cannot be unpacked"),
    "crowd": (_zip(*((f"a{n}.json", b"") for n in range(2_001))), "more than 2,000 members"),
    "twins": (
        _zip(("a/submission.json", b"{}"), ("A/submission.json", b"{}")),
        "differs from 'a/submission.json' in case alone",
    ),
    "nested": (_zip(("submission.json", b"{}"), ("more.zip", b"PK")), "'more.zip' does not belong"),
    "beside": (_zip(("a/submission.json", b"{}"), ("b/x", b"")), "lies beside the bundle"),
    "encrypted": (_encrypted, "is encrypted"),
    "cut": (_cut, "cannot be unpacked"),
    "no archive": (lambda folder: _write(folder / "b.zip", b"#!/bin/sh\n"), "cannot be unpacked"),
    "no tar": (lambda folder: _write(folder / "b.tar.gz", b"#!/bin/sh\n"), "cannot be unpacked"),
    "tar, upwards": (_tar((_info("../escaped.json"), b"{}")), "leads out of the bundle"),
    "tar, absolute": (_tar((_info("/tmp/escaped.json"), b"{}")), "is an absolute path"),
    "tar, link": (_tar((_info("a", tarfile.SYMTYPE, "/etc"), b"")), "is a link"),
    "tar, hard link": (
        _tar((_info("a"), b"x"), (_info("b", tarfile.LNKTYPE, "/etc/passwd"), b"")),
        "is a link",
    ),
    "tar, device": (_tar((_info("a", tarfile.CHRTYPE), b"")), "no regular file"),
    "tar, pipe": (_tar((_info("a", tarfile.FIFOTYPE), b"")), "no regular file"),
    "tar, bomb": (
        _tar(*((_info(f"{RESULT}/t{n}.parquet"), ZEROS) for n in range(6))),
        "more than 200 times its size",
    ),
    "tar, header": (_long_header, "unpacks to too many bytes"),
    "tar, cut": (_cut_tar, "cannot be unpacked"),
}


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_hostile_archive_is_refused(tmp_path: Path, kind: str) -> None:
    """With the reason, and nothing is written anywhere."""
    make, says = ARCHIVES[kind]
    archive = make(tmp_path)
    before = set(tmp_path.parent.rglob("*"))
    report = check_bundle(archive, Circumstances(limits=SMALL))
    assert says in " ".join(report.faults), report.faults
    assert set(tmp_path.parent.rglob("*")) == before
    assert not Path("/tmp/escaped.json").exists()


def test_a_record_of_a_rerun_comes_from_no_stranger(honest: Path, tmp_path: Path) -> None:
    """Neither in an archive nor in a pull request; in the tree it must name this bundle."""
    bundle = forgery.copy(honest, tmp_path)
    record = {"schema": 1, "bundle": "0" * 64, "saeval": "1", "created": "", "share": 1, "seed": 0}
    forgery.save(bundle / "rerun.json", {**record, "agrees": True, "results": [{}]})
    assert "only a maintainer writes" in check_bundle(bundle, Circumstances(author="ann")).faults[0]
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for path in bundle.rglob("*.*"):
            packed.write(path, path.relative_to(bundle))
    assert "only a maintainer writes" in check_bundle(tmp_path / "b.zip").faults[0]
    report = check_bundle(bundle)
    assert (report.faults, report.badge) == ((), "recomputed")
    assert "about another bundle" in report.checks[-1].notes[0]
    forgery.edit(bundle / "rerun.json", lambda r: r.update(bundle=report.digest))
    assert check_bundle(bundle).badge == "re-run"
    forgery.edit(bundle / "rerun.json", lambda r: r.update(agrees=False))
    assert check_bundle(bundle).badge == "recomputed"
