"""Short names of SAEs that are still distinct, and a legend with the full names."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from saeval.results.text import one_line, shortened, width_of

NULL = " (null)"
"""Marks an SAE that is a null: a baseline that real SAEs should beat."""


@dataclass(frozen=True)
class Names:
    """Names in the form that a table shows."""

    short: Mapping[str, str]
    """Full name -> short name, safe to print."""
    common: str
    """Common beginning of all full names that the short ones omit, safe to print; may be empty."""
    legend: tuple[str, ...]
    """Lines with the full names of SAEs whose names were shortened in another way."""


def short_names(names: Sequence[str], width: int, nulls: Collection[str] = ()) -> Names:
    """Names without the folders that all share, each in at most `width` columns.

    An absolute path keeps only its end, as much as makes it distinct. A name that is still too
    long, or equals another once it is safe to print, loses its middle and gets a number, under
    which the legend has it in full.

    Args:
        names: Full names, each once.
        width: Columns, at least 16.
        nulls: Names to be marked as nulls; the mark counts towards the width.
    """
    shortened_paths = _shorten_paths(names)
    texts = [one_line(end) for end in shortened_paths.values()]
    short, numbered = {}, []
    for name, text in zip(shortened_paths, texts, strict=True):
        suffix = NULL if name in nulls else ""
        if width_of(text + suffix) > width or texts.count(text) > 1:
            numbered.append(f"{len(numbered) + 1}: {one_line(name)}")
            mark = f"{len(numbered)} "
            short[name] = mark + shortened(text, width - len(mark + suffix)) + suffix
        else:
            short[name] = text + suffix
    common, cut_names = _common_start(shortened_paths)
    return Names(short, common, (*cut_names, *numbered))


def _shorten_paths(names: Sequence[str]) -> dict[str, str]:
    split = [name.split("/") for name in names]
    least = min(map(len, split), default=1)
    if len(names) == 1:
        return {name: name for name in names}
    if all(name.startswith("/") for name in names):
        for count in range(1, least - 1):
            tails = ["/".join(parts[-count:]) for parts in split]
            if len(set(tails)) == len(names):
                return dict(zip(names, tails, strict=True))
        return {name: name for name in names}
    shared = 0
    while shared + 1 < least and len({parts[shared] for parts in split}) == 1:
        shared += 1
    return {name: "/".join(parts[shared:]) for name, parts in zip(names, split, strict=True)}


def _common_start(tails: Mapping[str, str]) -> tuple[str, list[str]]:
    """The beginning cut from all names; if it differs, a legend line per cut name instead."""
    cut = {name: end for name, end in tails.items() if end != name}
    prefixes = {name.removesuffix(end) for name, end in cut.items()}
    if len(prefixes) == 1 and len(cut) == len(tails):
        return one_line(prefixes.pop()), []
    return "", [f"{one_line(end)}: {one_line(name)}" for name, end in cut.items()]
