"""YAML read strictly: plain values only, and one value per key."""

from typing import Any

import yaml

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is ten times as fast


def parse_yaml(text: str) -> Any:
    """The value that a YAML text holds; None if it holds nothing.

    Raises:
        ValueError: if it is no YAML, or names one key twice. The message has the line if it is
            known.
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
        position = f"line {mark.line + 1}: " if mark else ""
        raise ValueError(f"{position}{getattr(error, 'problem', None) or error}") from error


def repeated_key(node: yaml.Node) -> tuple[str, int] | None:
    """The first key that stands twice in one mapping, at any depth, and its line."""
    pending, visited = [node], set()
    while pending:
        current = pending.pop()
        if id(current) in visited:  # an alias of a node that was visited where it is defined
            continue
        visited.add(id(current))
        if isinstance(current, yaml.MappingNode):
            names: set[str] = set()
            for key, value in current.value:
                if str(key.value) in names:
                    return str(key.value), key.start_mark.line + 1
                names.add(str(key.value))
                pending.append(value)
        elif isinstance(current, yaml.SequenceNode):
            pending.extend(current.value)
    return None
