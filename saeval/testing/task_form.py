"""Is it a task? Checks that need no run of it."""

import ast
import dataclasses
import inspect
import textwrap
from typing import Any

from saeval.config.plugins import Plugin, check_task_class, load_task
from saeval.running.identity import task_identity, task_inputs


def check_form(task: Any) -> Any:
    """The task as a configured object, after a check that saeval would accept its class.

    Args:
        task: Name of an installed task, a class, or an object with its fields set.

    Raises:
        AssertionError: if a field or the class is not documented, or `inputs` is not deterministic.
        UsageError: if the class is no task, or a field or input is not JSON-like.
    """
    if isinstance(task, str):
        task = load_task(task)
    cls = task if inspect.isclass(task) else type(task)
    name = getattr(cls, "name", cls.__name__)
    check_task_class(Plugin(str(name), f"{cls.__module__}:{cls.__qualname__}", "this test"), cls)
    _check_documented(cls)
    configured = cls() if task is cls else task
    task_identity(configured)
    _check_inputs(configured)
    return configured


def _check_documented(cls: type) -> None:
    """Check docstrings of the class and of each field, which `saeval describe` shows."""
    try:
        tree: Any = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    except (OSError, TypeError, SyntaxError) as error:
        raise AssertionError(
            f"{cls.__name__} has no source to read its documentation from ({error}). Define it in "
            "a file."
        ) from error
    if not ast.get_docstring(tree):
        raise AssertionError(
            f"The class {cls.__name__} has no docstring, which `saeval ls tasks` shows. Say in one "
            "sentence what the task asks of an SAE."
        )
    fields = {field.name for field in dataclasses.fields(cls)}
    for node, following in zip(tree.body, [*tree.body[1:], ast.Pass()], strict=True):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        if node.target.id in fields and not _is_text(following):
            raise AssertionError(
                f"The field '{node.target.id}' of {cls.__name__} has no docstring beneath it, "
                "which `saeval describe` shows to those who would set it. Say what it means, in "
                "which unit, and what None stands for."
            )


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _check_inputs(task: Any) -> None:
    """Check that `inputs` gives equal answers when it is called twice."""
    for model in ("gpt2", None) if callable(getattr(task, "inputs", None)) else ():
        if task_inputs(task, model) != task_inputs(task, model):
            raise AssertionError(
                f"`inputs({model!r})` of {task.name} gives another answer each time, so that no "
                "result would ever be found again. Hash the content of the data, not its time or "
                "place."
            )
