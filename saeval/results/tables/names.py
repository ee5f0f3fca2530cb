"""Short names of SAEs that still tell them apart, and what makes them whole again."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from saeval.results.text import one_line, shortened, width_of

NULL = " (null)"
"""Stands behind the name of an SAE that is there to be beaten."""


@dataclass(frozen=True)
class Names:
    """Names as a table shows them."""

    shown: Mapping[str, str]
    """Short names, safe to print, by whole ones."""
    common: str
    """What all whole names begin with, safe to print, and no short one; empty: nothing."""
    legend: tuple[str, ...]
    """Lines with the whole names of those that were shortened otherwise."""


def short_names(names: Sequence[str], width: int, nulls: Collection[str] = ()) -> Names:
    """Names without the folders that all share, each in at most `width` columns.

    Of absolute paths the ends stay, no longer than it takes to tell them apart: half an absolute
    path would be another path. A name that is still too long, or looks like another once it is
    safe to print, loses its middle and gets a number, under which the legend has it whole.

    Args:
        names: Whole names, each once.
        width: Columns, at least 16.
        nulls: Those that are marked as nulls, within that width.
    """
    ends = _ends(names)
    texts = [one_line(end) for end in ends.values()]
    shown, whole = {}, []
    for name, text in zip(ends, texts, strict=True):
        suffix = NULL if name in nulls else ""
        if width_of(text + suffix) > width or texts.count(text) > 1:
            whole.append(f"{len(whole) + 1}: {one_line(name)}")
            mark = f"{len(whole)} "
            shown[name] = mark + shortened(text, width - len(mark + suffix)) + suffix
        else:
            shown[name] = text + suffix
    common, others = _left_out(ends)
    return Names(shown, common, (*others, *whole))


def _ends(names: Sequence[str]) -> dict[str, str]:
    split = [name.split("/") for name in names]
    least = min(map(len, split), default=1)
    if len(names) == 1:
        return {name: name for name in names}
    if all(name.startswith("/") for name in names):
        for kept in range(1, least - 1):
            ends = ["/".join(parts[-kept:]) for parts in split]
            if len(set(ends)) == len(names):
                return dict(zip(names, ends, strict=True))
        return {name: name for name in names}
    shared = 0
    while shared + 1 < least and len({parts[shared] for parts in split}) == 1:
        shared += 1
    return {name: "/".join(parts[shared:]) for name, parts in zip(names, split, strict=True)}


def _left_out(ends: Mapping[str, str]) -> tuple[str, list[str]]:
    """What all names begin with, or, where that differs, those that were cut whole."""
    cut = {name: end for name, end in ends.items() if end != name}
    before = {name.removesuffix(end) for name, end in cut.items()}
    if len(before) == 1 and len(cut) == len(ends):
        return one_line(before.pop()), []
    return "", [f"{one_line(end)}: {one_line(name)}" for name, end in cut.items()]
