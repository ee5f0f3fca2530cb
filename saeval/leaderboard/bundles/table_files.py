"""Tables of strangers: what their metadata states is looked at before anything is decoded."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from saeval.leaderboard.bundles.limits import LIMITS, Limits

_MAGIC = b"PAR1"
_METADATA = (b"pandas", b"ARROW:schema")
"""Keys of metadata that a table has which saeval wrote. They are never interpreted."""
_BATCH = 8_192


def table_faults(path: Path, rows: int, limits: Limits = LIMITS) -> tuple[str, ...]:
    """What is wrong with a table's file; nothing is decoded before its metadata is found sound.

    Args:
        path: A parquet file.
        rows: Number of rows that result.json states.
        limits: Most that is accepted.
    """
    try:
        if fault := _footer_fault(path, limits):
            return (fault,)
        texts = _text_columns(path, limits)
        with pq.ParquetFile(path, **_careful(limits), read_dictionary=texts) as file:
            faults = _metadata_faults(file, rows, limits)
            return faults or _content_faults(file, limits)
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError) as error:
        return (f"it cannot be read as parquet ({_brief(error)})",)


def _careful(limits: Limits) -> dict[str, Any]:
    return {
        "thrift_string_size_limit": limits.footer_bytes,
        "thrift_container_size_limit": limits.table_columns * limits.table_row_groups,
    }


def _footer_fault(path: Path, limits: Limits) -> str | None:
    with path.open("rb") as file:
        head = file.read(4)
        size = file.seek(0, 2)
        if size < 12:
            return "it is no parquet file"
        file.seek(size - 8)
        tail = file.read(8)
    if head != _MAGIC or tail[4:] != _MAGIC:
        return "it is no parquet file"
    footer = int.from_bytes(tail[:4], "little")
    return f"its metadata has {footer:,} bytes" if footer > limits.footer_bytes else None


def _text_columns(path: Path, limits: Limits) -> list[str]:
    """Columns of text, which are kept as dictionaries: a repeated text is held once."""
    with pq.ParquetFile(path, **_careful(limits)) as file:
        names = [file.schema.column(number) for number in range(len(file.schema))]
        return [column.path for column in names if column.physical_type == "BYTE_ARRAY"]


def _metadata_faults(file: pq.ParquetFile, rows: int, limits: Limits) -> tuple[str, ...]:
    about = file.metadata
    decoded = sum(about.row_group(n).total_byte_size for n in range(about.num_row_groups))
    most = (
        ("rows", about.num_rows, limits.table_rows),
        ("columns", about.num_columns, limits.table_columns),
        ("row groups", about.num_row_groups, limits.table_row_groups),
        ("bytes once decoded", decoded, limits.table_bytes),
    )
    faults = [
        f"it has {found:,} {what}; at most {top:,}" for what, found, top in most if found > top
    ]
    if about.num_rows != rows:
        faults.append(f"it has {about.num_rows:,} rows, result.json says {rows:,}")
    strange = sorted(set(about.metadata or {}) - set(_METADATA))
    if strange:
        faults.append(f"it has metadata of another program: {strange[0][:40]!a}")
    for field in file.schema_arrow:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if isinstance(kind, pa.BaseExtensionType) or b"ARROW:extension:name" in (
            field.metadata or ()
        ):
            faults.append(f"its column {field.name[:40]!a} has an extension type")
        elif not _is_plain(kind):
            faults.append(f"its column {field.name[:40]!a} is {str(kind)[:60]}")
    return tuple(faults)


def _is_plain(kind: pa.DataType) -> bool:
    plain = (pa.types.is_int64, pa.types.is_float64, pa.types.is_null)
    texts = (pa.types.is_string, pa.types.is_large_string)
    return not isinstance(kind, pa.BaseExtensionType) and any(
        is_of(kind) for is_of in plain + texts
    )


def _content_faults(file: pq.ParquetFile, limits: Limits) -> tuple[str, ...]:
    """Decode it piece by piece, and count."""
    decoded = 0
    for batch in file.iter_batches(batch_size=_BATCH, use_threads=False):
        for column in batch.columns:
            if pa.types.is_dictionary(column.type):
                lengths = pc.call_function("binary_length", [column.dictionary])
                if (pc.call_function("max", [lengths]).as_py() or 0) > limits.label:
                    return (f"it has a text of more than {limits.label:,} bytes",)
                repeated = lengths.take(column.indices)
                decoded += pc.call_function("sum", [repeated]).as_py() or 0
            else:
                decoded += column.nbytes
        if decoded > limits.table_bytes:
            return (f"it has more than {limits.table_bytes:,} bytes once decoded",)
    return ()


def _brief(error: Exception) -> str:
    return ascii(" ".join(str(error).split())[:120]) if str(error) else type(error).__name__


@contextmanager
def limited_memory(limits: Limits = LIMITS) -> Iterator[None]:
    """Let the process take only so much more address space, where the system can limit it.

    A page of a parquet file may state any size, which is taken before it is decoded.
    """
    try:
        import resource

        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (ImportError, OSError, ValueError):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = used * resource.getpagesize() + limits.memory
    ceilings = [most, *(one for one in (soft, hard) if one != resource.RLIM_INFINITY)]
    try:
        resource.setrlimit(resource.RLIMIT_AS, (min(ceilings), hard))
        yield
    finally:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
