"""Files of an https address, in a temporary folder, never more than a bundle may have."""

import ipaddress
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from saeval.errors import BundleError, FetchError, UsageError
from saeval.leaderboard.bundles.archives import SUFFIXES
from saeval.leaderboard.bundles.limits import LIMITS, Limits
from saeval.leaderboard.bundles.names import (
    IDENTIFIER,
    RESULT,
    RESULT_FILE,
    SAFE_FOLDER,
    SUBMISSION,
)
from saeval.leaderboard.bundles.strict_json import read_strict
from saeval.leaderboard.bundles.tree import RESULTS

_SECONDS = 60
"""Without an answer."""
_CHUNK = 1 << 16


@contextmanager
def fetched(url: str, limits: Limits = LIMITS) -> Iterator[Path]:
    """A local copy of an archive, or the folder of a bundle or of a result, gone afterwards.

    Args:
        url: Of an archive, of a submission.json, or of a result.json; the files that these name
            are fetched from beside them.
        limits: Most that is fetched.

    Raises:
        UsageError: if the address is not https (http on this machine itself), or of no such file.
        FetchError: if it cannot be had, or is too large.
    """
    _check_address(url)
    name = urlsplit(url).path.rpartition("/")[2]
    with tempfile.TemporaryDirectory(prefix="saeval-verify-") as scratch:
        root = Path(scratch).resolve()
        if name.lower().endswith(SUFFIXES):
            suffix = ".zip" if name.lower().endswith(".zip") else ".tar.gz"
            target = root / f"bundle{suffix}"
            _fetch(url, target, limits.total_bytes)
            yield target
        elif name == SUBMISSION:
            yield _fetch_bundle(url, root, limits)
        elif name == RESULT:
            yield _fetch_result(url, root, limits)
        else:
            raise UsageError(
                f"'{url}' names no archive ({', '.join(SUFFIXES)}), no {SUBMISSION} and no "
                f"{RESULT}. Give the address of one of these."
            )


def _fetch_bundle(url: str, root: Path, limits: Limits) -> Path:
    folder = root / "bundle"
    _fetch(url, folder / SUBMISSION, limits.json_bytes)
    rows = _read(folder / SUBMISSION, limits).get("files")
    if not isinstance(rows, list):
        raise FetchError(f"'{url}' lists no files, so it is no bundle's {SUBMISSION}.")
    paths: list[str] = []
    for row in rows:
        path = row.get("path") if isinstance(row, dict) else None
        below = path.removeprefix(f"{RESULTS}/") if isinstance(path, str) else ""
        if not isinstance(path, str) or below == path or not RESULT_FILE.fullmatch(below):
            raise FetchError(f"'{url}' lists {path!a}, which is no file of a bundle.")
        paths.append(path)
    _fetch_all(url, folder, paths, limits)
    return folder


def _fetch_result(url: str, root: Path, limits: Limits) -> Path:
    parent = urlsplit(url).path.split("/")[-2:-1]
    safe = parent and SAFE_FOLDER.fullmatch(parent[0])
    folder = root / "sae" / (parent[0] if safe else "result")
    _fetch(url, folder / RESULT, limits.json_bytes)
    tables = _read(folder / RESULT, limits).get("tables")
    names = list(tables) if isinstance(tables, dict) else []
    for name in names:
        if not IDENTIFIER.fullmatch(name):
            raise FetchError(f"'{url}' names {name!a} as evidence, which is no name of a table.")
    _fetch_all(url, folder, [f"{name}.parquet" for name in names], limits)
    return folder


def _read(path: Path, limits: Limits) -> dict[str, Any]:
    try:
        return read_strict(path, limits)
    except BundleError as error:
        raise FetchError(f"What was fetched cannot be read: {error}") from error


def _fetch_all(url: str, folder: Path, paths: list[str], limits: Limits) -> None:
    if len(paths) > limits.files:
        raise FetchError(f"'{url}' names {len(paths):,} files; at most {limits.files:,}.")
    left = limits.total_bytes
    for path in paths:
        left -= _fetch(urljoin(url, path), folder / path, min(left, limits.file_bytes))


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname)):
        return
    raise UsageError(
        f"'{url}' is not an https address. Numbers on their way must not be changed, so only https "
        "is fetched (and http from this machine itself)."
    )


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Redirects are followed only to what may be fetched itself, and not back to this machine."""

    def redirect_request(
        self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str
    ) -> Any:
        """Look at the new address."""
        _check_address(newurl)
        leads_home = _is_loopback(urlsplit(newurl).hostname)
        if leads_home and not _is_loopback(urlsplit(req.full_url).hostname):
            raise UsageError(f"'{req.full_url}' leads to this machine itself: {newurl}.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetch(url: str, target: Path, most: int) -> int:
    """Write what an address holds to a file. Returns its size."""
    opener = urllib.request.build_opener(_CheckedRedirects)
    request = urllib.request.Request(url, headers={"User-Agent": "saeval"})  # noqa: S310
    target.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    try:
        with opener.open(request, timeout=_SECONDS) as answer, target.open("xb") as file:
            while chunk := answer.read(_CHUNK):
                size += len(chunk)
                if size > most:
                    raise FetchError(f"'{url}' has more than {most:,} bytes, so it is not fetched.")
                file.write(chunk)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise FetchError(
            f"'{url}' cannot be fetched ({error}). Look whether the address is right."
        ) from error
    return size
