"""The embedded lab: trained models and SAEs with known truth, looked up by name without torch."""

from pathlib import Path

from saeval.errors import UsageError, suggestion
from saeval.lab.description import LICENCE, part_names, part_record, row_record
from saeval.registry.lab_manifest import WEIGHTS, read_rows

__all__ = [
    "DOCUMENT_PARTS",
    "LICENCE",
    "describe",
    "document_part",
    "names",
    "part_of",
    "path",
    "text",
]

DOCUMENT_PARTS = ("world", "town")
"""Parts whose models read documents, from the worlds of `saeval.lab.text_worlds`."""


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


def document_part(model: str) -> str | None:
    """The part of the lab whose documents a model, by name or folder, reads; None for any other."""
    part = part_of(model)
    return part if part in DOCUMENT_PARTS else None


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
        name: "world", whose documents have about 47 tokens, "town", about 35 tokens with some of
            more than 128, or "othello", whose texts are games of 59 moves.
        documents: How many texts.
        seed: Seed of the draw.

    Raises:
        UsageError: if that part of the lab reads no text.
    """
    if name == "othello":
        from saeval.lab.othello import games

        return games.texts(documents, seed)
    if name not in DOCUMENT_PARTS:
        parts = ", ".join(f"lab/{part}" for part in DOCUMENT_PARTS)
        raise UsageError(f"lab/{name} reads no text; {parts} and lab/othello do.")
    from saeval.lab.text_worlds import text_world

    test_documents = text_world(name).documents(documents, seed=seed, split="test")
    return tuple(test_documents.text(i) for i in range(len(test_documents)))
