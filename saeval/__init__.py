"""saeval decides how good a sparse autoencoder is. The names that users import, loaded on use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saeval import errors
    from saeval.cli.display import progress
    from saeval.results.loading import load_results
    from saeval.running.run import evaluate, load_sae
    from saeval.running.train.trainer import train_sae
    from saeval.sae import SAE
    from saeval.task import GroupTask, Task

__version__ = "0.1.0"

__all__ = [
    "SAE",
    "GroupTask",
    "Task",
    "__version__",
    "errors",
    "evaluate",
    "load_results",
    "load_sae",
    "progress",
    "train_sae",
]

_HOMES = {
    "SAE": "saeval.sae",
    "GroupTask": "saeval.task",
    "Task": "saeval.task",
    "evaluate": "saeval.running.run",
    "load_results": "saeval.results.loading",
    "load_sae": "saeval.running.run",
    "progress": "saeval.cli.display",
    "train_sae": "saeval.running.train.trainer",
}


def __getattr__(name: str) -> Any:
    """Import the module a public name lives in, when it is first asked for."""
    if name == "errors":
        return import_module("saeval.errors")
    if name not in _HOMES:
        raise AttributeError(f"module 'saeval' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
