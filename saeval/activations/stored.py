"""Arrays on disk, written and read in slices, so that memory holds one batch at a time."""

import errno
import json
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from saeval.activations.store import CacheWriteError, writing

_SHAPES = "arrays.json"


@dataclass(frozen=True)
class ArrayShape:
    """Vectors of one array: how many, how wide, of which dtype."""

    rows: int
    width: int
    dtype: torch.dtype

    @property
    def row_bytes(self) -> int:
        """Bytes of one vector."""
        return self.width * self.dtype.itemsize

    @property
    def bytes(self) -> int:
        """Bytes of the array."""
        return self.rows * self.row_bytes


@dataclass(frozen=True, eq=False)
class Arrays:
    """Open arrays; their files close when nothing refers to the arrays any more.

    They stay readable even if their folder is removed meanwhile.
    """

    files: Sequence[RawIOBase]
    shapes: Sequence[ArrayShape]

    def read(self, array: int, start: int, stop: int) -> Tensor:
        """Vectors start to stop of an array."""
        shape = self.shapes[array]
        buffer = bytearray((stop - start) * shape.row_bytes)
        self.files[array].seek(start * shape.row_bytes)
        if self.files[array].readinto(buffer) != len(buffer):
            raise OSError(f"Array {array} ended before vector {stop}.")
        if not buffer:
            return torch.empty(0, shape.width, dtype=shape.dtype)
        return torch.frombuffer(buffer, dtype=shape.dtype).reshape(-1, shape.width)

    def gather(self, array: int, index: Int[Tensor, " n"]) -> Tensor:
        """Single vectors of an array."""
        vectors = [self.read(array, i, i + 1) for i in index.tolist()]
        return torch.cat(vectors) if vectors else self.read(array, 0, 0)

    def write(self, array: int, start: int, vectors: Tensor) -> None:
        """Put vectors at a position."""
        shape = self.shapes[array]
        data = vectors.to("cpu", shape.dtype).contiguous()
        rest = data.view(torch.uint8).numpy().reshape(-1).data
        with writing():
            self.files[array].seek(start * shape.row_bytes)
            while rest:  # near a limit, less may be written than asked for, and no error raised
                count = self.files[array].write(rest)
                if not count:
                    raise OSError(errno.EIO, "nothing more was written")
                rest = rest[count:]


def create(folder: Path, shapes: Sequence[ArrayShape]) -> Arrays:
    """New arrays in a folder, full of zeros."""
    listing = [[s.rows, s.width, str(s.dtype).removeprefix("torch.")] for s in shapes]
    files: list[RawIOBase] = []
    try:
        with writing():
            (folder / _SHAPES).write_text(json.dumps(listing), encoding="utf-8")
            for number, shape in enumerate(shapes):
                files.append(_open_file(folder / f"{number}.bin", "w+b"))
                files[-1].truncate(shape.bytes)
    except CacheWriteError:
        _close(files)
        raise
    return _closing_arrays(files, shapes)


def open_arrays(folder: Path) -> Arrays:
    """The arrays of a folder, for reading."""
    listing: list[Any] = json.loads((folder / _SHAPES).read_text(encoding="utf-8"))
    shapes = [ArrayShape(rows, width, getattr(torch, dtype)) for rows, width, dtype in listing]
    return _closing_arrays(
        [_open_file(folder / f"{i}.bin", "rb") for i in range(len(shapes))], shapes
    )


def _closing_arrays(files: list[RawIOBase], shapes: Sequence[ArrayShape]) -> Arrays:
    arrays = Arrays(files, shapes)
    weakref.finalize(arrays, _close, files)
    return arrays


def _close(files: list[RawIOBase]) -> None:
    for file in files:
        file.close()


def _open_file(path: Path, mode: Literal["rb", "w+b"]) -> RawIOBase:
    """An unbuffered file, since slices are large."""
    return path.open(mode, buffering=0)
