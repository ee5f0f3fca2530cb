"""The error for text files in another encoding than UTF-8."""

from pathlib import Path

from saeval.errors import DataError


def not_utf8(path: Path, error: UnicodeDecodeError) -> DataError:
    """What is wrong with a file that is not UTF-8, and how it is converted."""
    return DataError(
        f"'{path}' is not UTF-8 ({error.reason} at byte {error.start}). Convert it: iconv -f "
        f"latin1 -t utf-8 '{path.name}' > 'utf8-{path.name}', or from whatever encoding it is in."
    )
