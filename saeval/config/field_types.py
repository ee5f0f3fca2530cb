"""A value read from YAML, as the type of the field it is meant for."""

import types
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin


def conform(value: Any, hint: Any) -> Any:
    """The value as `hint` asks: lists become tuples, whole numbers floats, texts paths.

    Types that YAML cannot write pass unchecked.

    Raises:
        ValueError: whose text says what the type asks for, such as `a whole number`.
    """
    if (type(value) is hint and hint in _EXACT) or (hint is Path and isinstance(value, Path)):
        return value
    origin, arguments = _parts(hint)
    if origin in (Union, types.UnionType):
        return _one_of(value, arguments)
    if origin is Literal:
        known = "one of " + ", ".join(map(str, arguments))
        return _kept(value, asked=known, fits=value in arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _kept(value, asked="a mapping", fits=isinstance(value, Mapping))
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return _sequence(value, origin, arguments)
    return _plain(value, hint)


@cache
def _parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    return get_origin(hint), get_args(hint)


def _sequence(value: Any, origin: type, arguments: Sequence[Any]) -> Any:
    _kept(value, asked="a list, such as [1, 2]", fits=isinstance(value, list | tuple))
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        _kept(value, asked=f"a list of {len(arguments)}", fits=len(value) == len(arguments))
        return tuple(conform(item, hint) for item, hint in zip(value, arguments, strict=True))
    items = (conform(item, arguments[0] if arguments else Any) for item in value)
    return list(items) if origin is list else tuple(items)


def _plain(value: Any, hint: Any) -> Any:
    if hint not in _PLAIN:
        return value
    asked, kinds = _PLAIN[hint]
    # bool is a subclass of int, and never meant as one.
    kept = _kept(
        value,
        asked=asked,
        fits=isinstance(value, kinds) and (hint is bool or not isinstance(value, bool)),
    )
    try:
        return hint(kept) if hint in (float, Path) else kept
    except ValueError as error:
        raise ValueError(asked) from error


_EXACT = {bool, int, str, type(None)}
"""Types whose values are what their hint asks for, without a further look."""
_PLAIN: Mapping[Any, tuple[str, tuple[type, ...]]] = {
    bool: ("true or false", (bool,)),
    int: ("a whole number", (int,)),
    float: ("a number", (int, float, str)),  # YAML 1.1 reads 1e-3 as text
    str: ("text (in quotes where YAML reads it as something else)", (str,)),
    Path: ("a path", (str, Path)),
    type(None): ("null", (type(None),)),
}


def _one_of(value: Any, members: Sequence[Any]) -> Any:
    if type(value) in members and type(value) in _EXACT:
        return value
    asked = []
    for member in members:
        try:
            return conform(value, member)
        except ValueError as error:
            asked.append(str(error))
    raise ValueError(" or ".join(dict.fromkeys(asked)))


def _kept(value: Any, *, asked: str, fits: bool) -> Any:
    if not fits:
        raise ValueError(asked)
    return value
