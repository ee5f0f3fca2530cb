"""submission.json: who submits what, with the size and the hash of every file."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saeval.errors import BundleError
from saeval.leaderboard.bundles.limits import LIMITS, Limits
from saeval.leaderboard.bundles.names import SUBMISSION, label_fault, name_fault, owner_fault
from saeval.leaderboard.bundles.strict_json import read_strict
from saeval.leaderboard.bundles.tree import files_of

SCHEMA = 1
"""Version of submission.json; raised when its keys change."""
_KEYS = ("schema", "owner", "name", "description", "url", "saeval", "saes", "files")
_SAE_KEYS = ("name", "id", "source", "revision", "sha256", "hash")
_URL = re.compile(r"https://[A-Za-z0-9.-]{1,200}(/[A-Za-z0-9._~/?#&=%+-]{0,800})?")
_VERSION = re.compile(r"[0-9A-Za-z.+-]{1,40}")
_HASH = re.compile(r"[0-9a-f]{64}")
_MOST_DESCRIPTION = 2_000


@dataclass(frozen=True)
class Manifest:
    """What submission.json says."""

    owner: str
    """Who submits: a GitHub user name."""
    name: str
    """Of the submission, one folder below the owner's."""
    description: str
    url: str | None
    saeval: str
    """Version of saeval that packed it."""
    saes: tuple[Mapping[str, Any], ...]
    """What the results state about each SAE: name, id, source, revision, sha256, hash."""
    files: tuple[Mapping[str, Any], ...]
    """Path, bytes and sha256 of every other file."""

    def text(self) -> str:
        """Content of submission.json."""
        record = {"schema": SCHEMA, **vars(self)}
        return json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def bundle_digest(folder: Path) -> str:
    """sha256 of submission.json, which names the hash of every other file."""
    return sha256_of(folder / SUBMISSION)


def sha256_of(path: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def listed_files(folder: Path) -> tuple[dict[str, Any], ...]:
    """Path, bytes and sha256 of every file of a bundle but submission.json, in order."""
    return tuple(
        {"path": path, "bytes": file.stat().st_size, "sha256": sha256_of(file)}
        for path, file in sorted(files_of(folder).items())
    )


def stated_saes(results: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """What results state about their SAEs, once for each content, in order of name.

    Args:
        results: Contents of result.json.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for record in results:
        for sae in record["provenance"].get("saes", ()):
            stated = {key: sae.get("label" if key == "name" else key) for key in _SAE_KEYS}
            found.setdefault((str(stated["name"]), str(stated["hash"])), stated)
    return tuple(stated for _, stated in sorted(found.items()))


def read_manifest(folder: Path, limits: Limits = LIMITS) -> Manifest:
    """submission.json of a bundle's folder.

    Raises:
        BundleError: if it is not as `saeval submit` writes it.
    """
    record = read_strict(folder / SUBMISSION, limits)
    if type(record.get("schema")) is not int or record["schema"] != SCHEMA:
        raise BundleError(
            f"{SUBMISSION} has schema {record.get('schema')!a}; this version reads {SCHEMA}."
        )
    if set(record) != set(_KEYS):
        raise BundleError(
            f"{SUBMISSION} has the keys {sorted(record)}; it must have {sorted(_KEYS)}."
        )
    for fault in _faults(record):
        raise BundleError(f"{SUBMISSION}: {fault}.")
    return Manifest(
        **{key: record[key] for key in _KEYS[1:-2]},
        saes=tuple(record["saes"]),
        files=tuple(record["files"]),
    )


def _faults(record: Mapping[str, Any]) -> Iterable[str]:
    yield from filter(None, (owner_fault(record["owner"]), name_fault(record["name"])))
    description, url = record["description"], record["url"]
    if not isinstance(description, str) or len(description) > _MOST_DESCRIPTION:
        yield f"the description is no text of at most {_MOST_DESCRIPTION:,} characters"
    if url is not None and not (isinstance(url, str) and _URL.fullmatch(url)):
        yield f"the url is {url!a}, not a plain https address"
    if not isinstance(record["saeval"], str) or not _VERSION.fullmatch(record["saeval"]):
        yield f"saeval's version is {record['saeval']!a}"
    yield from _list_faults(record["saes"], _SAE_KEYS, "saes")
    yield from _list_faults(record["files"], ("path", "bytes", "sha256"), "files")


def _list_faults(rows: Any, keys: tuple[str, ...], name: str) -> Iterable[str]:
    if not isinstance(rows, list):
        yield f"'{name}' is no list"
        return
    for row in rows:
        if not isinstance(row, dict) or set(row) != set(keys):
            yield f"an entry of '{name}' is not {{{', '.join(keys)}}}"
        elif name == "files" and not (
            isinstance(row["path"], str)
            and type(row["bytes"]) is int
            and isinstance(row["sha256"], str)
            and _HASH.fullmatch(row["sha256"])
        ):
            yield f"an entry of 'files' has values of another kind: {row!a}"
        elif name == "saes":
            yield from filter(None, [label_fault(row["name"])])
            if any(not isinstance(row[key], str | None) for key in keys):
                yield f"an entry of 'saes' has values of another kind: {row!a}"


def file_faults(folder: Path, manifest: Manifest) -> tuple[str, ...]:
    """Files that are not listed, listed files that are not there, and other sizes or hashes."""
    present = files_of(folder)
    listed = {row["path"]: row for row in manifest.files}
    faults = [f"'{path}' is not listed in {SUBMISSION}" for path in sorted(present.keys() - listed)]
    if len(listed) < len(manifest.files):
        faults.append(f"{SUBMISSION} lists a file twice")
    for path, row in listed.items():
        file = present.get(path)
        if file is None:
            faults.append(f"{path!a} is listed in {SUBMISSION} and missing")
        elif file.stat().st_size != row["bytes"]:
            faults.append(
                f"'{path}' has {file.stat().st_size} bytes, {SUBMISSION} says {row['bytes']}"
            )
        elif (found := sha256_of(file)) != row["sha256"]:
            faults.append(f"'{path}' has sha256 {found}, {SUBMISSION} says {row['sha256']}")
    return tuple(faults)
