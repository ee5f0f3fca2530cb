"""YAML read strictly: plain values only, and one value a key."""

from typing import Any

import yaml

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is ten times as fast


def parse_yaml(text: str) -> Any:
    """The value that a YAML text holds; None if it holds nothing.

    Raises:
        ValueError: if it is no YAML, or names one key twice, with the line where it can be told.
            Which of two values counts is not guessed.
    """
    try:
        loader = Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if twice := repeated_key(node):
            raise ValueError(f"line {twice[1]}: the key '{twice[0]}' stands twice")
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise ValueError(f"{where}{getattr(error, 'problem', None) or error}") from error


def repeated_key(node: yaml.Node) -> tuple[str, int] | None:
    """The first key that stands twice in one mapping, at whatever depth, and its line."""
    ahead, visited = [node], set()
    while ahead:
        one = ahead.pop()
        if id(one) in visited:  # an alias: what it stands for was looked at where it is written
            continue
        visited.add(id(one))
        if isinstance(one, yaml.MappingNode):
            names: set[str] = set()
            for key, value in one.value:
                if str(key.value) in names:
                    return str(key.value), key.start_mark.line + 1
                names.add(str(key.value))
                ahead.append(value)
        elif isinstance(one, yaml.SequenceNode):
            ahead.extend(one.value)
    return None
