"""A trained SAE's folder: checked before training, and written completely or not at all."""

import errno
import shutil
import uuid
from pathlib import Path
from typing import Any

from saeval.errors import ResultError, UsageError
from saeval.sae.loaders import saeval_format

SNAPSHOTS = "snapshots"
"""Folder of earlier states, below the final one's."""
SPARE_BYTES = 2**20
"""Disk space for everything but tensors."""


def check_out(out: Path) -> None:
    """Check that the folder is absent or empty, and can be created.

    Raises:
        UsageError: if something is there, or it is the working folder.
        ResultError: if it cannot be written.
    """
    if out.absolute() == Path.cwd():
        raise UsageError(f"--out '{out}' is the working folder. Name one to be made in it.")
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        state = "is a file" if out.is_file() else "is not empty"
        raise UsageError(f"--out '{out}' {state}, and nothing is overwritten. Name another folder.")
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        probe = _partial_folder(out)
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise _write_error(out, error) from error


def check_room(out: Path, d_in: int, d_out: int, d_sae: int, saes: int) -> None:
    """Check that the disk has room for so many SAEs of these widths.

    Raises:
        ResultError: if it has not.
    """
    # In float32, at most: encoder and decoder, four vectors of d_sae, a skip connection.
    needed = saes * (4 * d_sae * (d_in + d_out + 4) + 4 * d_in * d_out) + SPARE_BYTES
    free = shutil.disk_usage(out.absolute().parent).free
    if free < needed:
        raise ResultError(
            f"'{out}' needs {needed / 1e6:.0f} MB, but the disk has {free / 1e6:.0f} MB left. "
            "Make room, name a folder on another disk, or ask for fewer snapshots."
        )


def write_folder(out: Path, sae: Any, snapshots: tuple[tuple[int, Any], ...]) -> None:
    """Write an SAE and its earlier states by renaming a finished folder.

    Raises:
        ResultError: if there is no room, or the folder has been filled meanwhile.
    """
    out = out.absolute()
    work = _partial_folder(out)
    try:
        saeval_format.save(sae, work)
        for tokens, snapshot in snapshots:
            saeval_format.save(snapshot, work / SNAPSHOTS / f"{tokens}-tokens")
        if out.is_dir():
            out.rmdir()  # fails with a clear error if it is not empty
        work.rename(out)
    except OSError as error:
        raise _write_error(out, error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _partial_folder(out: Path) -> Path:
    return out.absolute().with_name(f".{out.name}-{uuid.uuid4().hex[:8]}.partial")


def _write_error(out: Path, error: OSError) -> ResultError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    advice = "Make room, or name" if full else "Name"
    return ResultError(
        f"Cannot write '{out}': {error.strerror or error}. {advice} another folder with --out."
    )
