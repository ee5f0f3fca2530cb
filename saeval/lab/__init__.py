"""The embedded lab: trained models and SAEs with known truth, looked up by name without torch."""

from pathlib import Path

from saeval.errors import UsageError, suggestion
from saeval.lab.description import LICENCE, part_names, part_record, row_record
from saeval.registry.lab_manifest import WEIGHTS, read_rows

__all__ = ["LICENCE", "describe", "names", "part_of", "path", "text"]


def names() -> tuple[str, ...]:
    """Names of all models and SAEs of the lab: `world/model` and so on."""
    return tuple(read_rows())


def path(name: str) -> Path:
    """Folder of one model or SAE of the lab.

    Raises:
        FetchError: if the lab has nothing of that name.
    """
    from saeval.registry.fetch import lab_path

    return lab_path(name)


def part_of(model: str) -> str | None:
    """The part of the lab that a model, by name or folder, belongs to; None for any other."""
    if model.startswith(("lab/", "lab://")):
        return model.removeprefix("lab").lstrip(":/").split("/")[0]
    folder = Path(model).absolute()
    parts = folder.relative_to(WEIGHTS).parts if folder.is_relative_to(WEIGHTS) else ()
    return next(iter(parts), None)


def describe(name: str) -> str:
    """What the manifest says of a part of the lab, or of one of its models or SAEs, as text.

    Args:
        name: `world`, `othello`, `world/model`, `world/topk-16` and so on.

    Raises:
        UsageError: if the lab has nothing of that name.
    """
    from saeval.results.text import record_text

    record = part_record(name) or row_record(name)
    if not record:
        choices = [*part_names(), *names()]
        raise UsageError(f"The lab has no '{name}'.{suggestion(name, choices)}")
    return record_text(record)


def text(name: str = "world", *, documents: int = 1000, seed: int = 0) -> tuple[str, ...]:
    """Texts for the lab's model `name`, generated now; the model was not trained on them.

    Args:
        name: "world", whose documents have about 47 tokens, or "othello", whose texts are games
            of 59 moves.
        documents: How many texts.
        seed: Seed of the draw.

    Raises:
        UsageError: if that part of the lab reads no text.
    """
    if name == "othello":
        from saeval.lab.othello import games

        return games.texts(documents, seed)
    if name != "world":
        raise UsageError(f"lab/{name} reads no text; lab/world and lab/othello do.")
    from saeval.lab.world import World

    test_documents = World().documents(documents, seed=seed, split="test")
    return tuple(test_documents.text(i) for i in range(len(test_documents)))
