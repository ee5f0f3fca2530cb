"""Values read from YAML, converted to the types of the fields they are meant for."""

import types
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin


def conform(value: Any, hint: Any) -> Any:
    """The value in the type of `hint`: lists become tuples, whole numbers floats, texts paths.

    A type that YAML cannot write is not checked.

    Raises:
        ValueError: whose text names a value of the type, such as `a whole number`.
    """
    if (type(value) is hint and hint in _EXACT) or (hint is Path and isinstance(value, Path)):
        return value
    origin, arguments = _origin_and_arguments(hint)
    if origin in (Union, types.UnionType):
        return _one_of(value, arguments)
    if origin is Literal:
        choices = "one of " + ", ".join(map(str, arguments))
        return _require(value, expected=choices, fits=value in arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _require(value, expected="a mapping", fits=isinstance(value, Mapping))
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return _sequence(value, origin, arguments)
    return _simple_value(value, hint)


@cache
def _origin_and_arguments(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    return get_origin(hint), get_args(hint)


def _sequence(value: Any, origin: type, arguments: Sequence[Any]) -> Any:
    _require(value, expected="a list, such as [1, 2]", fits=isinstance(value, list | tuple))
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        _require(value, expected=f"a list of {len(arguments)}", fits=len(value) == len(arguments))
        return tuple(conform(item, hint) for item, hint in zip(value, arguments, strict=True))
    items = (conform(item, arguments[0] if arguments else Any) for item in value)
    return list(items) if origin is list else tuple(items)


def _simple_value(value: Any, hint: Any) -> Any:
    if hint not in _SIMPLE:
        return value
    expected, kinds = _SIMPLE[hint]
    # bool is a subclass of int, but `true` is never meant as the number 1.
    checked = _require(
        value,
        expected=expected,
        fits=isinstance(value, kinds) and (hint is bool or not isinstance(value, bool)),
    )
    try:
        return hint(checked) if hint in (float, Path) else checked
    except ValueError as error:
        raise ValueError(expected) from error


_EXACT = {bool, int, str, type(None)}
"""Types whose values are right if `type(value)` is the hint, with no further check."""
_SIMPLE: Mapping[Any, tuple[str, tuple[type, ...]]] = {
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
    expectations = []
    for member in members:
        try:
            return conform(value, member)
        except ValueError as error:
            expectations.append(str(error))
    raise ValueError(" or ".join(dict.fromkeys(expectations)))


def _require(value: Any, *, expected: str, fits: bool) -> Any:
    if not fits:
        raise ValueError(expected)
    return value
