"""The tables of docs/plugins.md list every member of what a task can ask, in its own words."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "plugins.md"
_TABLE = re.compile(r"<!-- members of (\S+):(\w+) -->\n\n((?:\|.*\n)*)")


def table(module: str, name: str) -> str:
    """A row for each field, property and method of a class, with what its docstring begins with."""
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
    cls = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    rows = []
    for node, below in zip(cls.body, [*cls.body[1:], ast.Pass()], strict=True):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            rows.append((_called(node), _first(ast.get_docstring(node) or "")))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            text = below.value if isinstance(below, ast.Expr) else None
            doc = text.value if isinstance(text, ast.Constant) else ""
            rows.append((node.target.id, _first(str(doc))))
    listed = [f"| `{member}` | {doc} |" for member, doc in rows]
    return "\n".join(["| member | what |", "|---|---|", *listed]) + "\n"


def _called(node: ast.FunctionDef) -> str:
    """A property's name, or a method's with its parameters."""
    decorators = {ast.unparse(one) for one in node.decorator_list}
    if decorators & {"property", "cached_property"}:
        return node.name
    given = [one.arg for one in node.args.args if one.arg not in ("self", "cls")]
    named = [f"{one.arg}=..." for one in node.args.kwonlyargs]
    return f"{node.name}({', '.join([*given, *named])})"


def _first(doc: str) -> str:
    """First paragraph, on one line."""
    return " ".join(doc.strip().partition("\n\n")[0].split()).replace("|", "\\|")


def test_tables_list_every_member() -> None:
    """Each table has the members of its class as the source documents them, and no others."""
    found = _TABLE.findall(PAGE.read_text(encoding="utf-8"))
    assert len(found) == 5
    for module, name, rows in found:
        expected = table(module, name)
        assert rows == expected, f"docs/plugins.md should list {name} so:\n{expected}"


def test_every_member_is_documented() -> None:
    """No member stands in a table without a word."""
    for module, name, _ in _TABLE.findall(PAGE.read_text(encoding="utf-8")):
        assert "|  |" not in table(module, name), f"a member of {name} has no docstring"
