"""How large a bundle, its files and its tables may be."""

from dataclasses import dataclass

_MB = 1_000_000


@dataclass(frozen=True)
class Limits:
    """Most that is accepted of each kind; what exceeds it is refused before it is read."""

    files: int = 2_000
    file_bytes: int = 32 * _MB
    json_bytes: int = 8 * _MB
    total_bytes: int = 100 * _MB
    ratio: int = 200
    """Bytes of an archive's file over the bytes it takes in the archive. JSON reaches about 40."""
    json_depth: int = 24
    text: int = 20_000
    """Characters of one text."""
    table_rows: int = 1_000_000
    table_columns: int = 200
    table_row_groups: int = 1_000
    table_bytes: int = 256 * _MB
    """Of a table once decoded, every repeated text counted."""
    label: int = 2_000
    """Characters of one text in a table."""
    footer_bytes: int = 4 * _MB
    """Of the metadata at the end of a parquet file."""
    memory: int = 3_000 * _MB
    """Address space that checking may take beyond what the process has, where the system can
    limit it."""


LIMITS = Limits()
