"""Croissant 1.0 metadata (JSON-LD of MLCommons) for published evidence: files, tables, columns."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saeval.errors import UsageError
from saeval.results.interchange.stored import Stored

_SCHEMA = "https://schema.org/"
_CROISSANT = "http://mlcommons.org/croissant/"
_CONTEXT = {
    "@language": "en",
    "@vocab": _SCHEMA,
    "sc": _SCHEMA,
    "cr": _CROISSANT,
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "recordSet": "cr:recordSet",
    "field": "cr:field",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "source": "cr:source",
    "extract": "cr:extract",
    "column": "cr:column",
    "fileObject": "cr:fileObject",
    "key": "cr:key",
    "citeAs": "cr:citeAs",
    "isLiveDataset": "cr:isLiveDataset",
    "md5": "cr:md5",
    "references": "cr:references",
    "repeated": "cr:repeated",
    "format": "cr:format",
    "includes": "cr:includes",
    "fileSet": "cr:fileSet",
    "fileProperty": "cr:fileProperty",
    "jsonPath": "cr:jsonPath",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "regex": "cr:regex",
    "replace": "cr:replace",
    "separator": "cr:separator",
    "subField": "cr:subField",
    "transform": "cr:transform",
    "data": {"@id": "cr:data", "@type": "@json"},
    "equivalentProperty": "cr:equivalentProperty",
    "samplingRate": "cr:samplingRate",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": f"{_CROISSANT}RAI/",
}
_TYPES = {"int64": "sc:Integer", "double": "sc:Float"}


@dataclass(frozen=True)
class About:
    """What only the publisher knows."""

    name: str
    description: str = "Evidence of saeval: one row per unit behind every score."
    url: str = "https://example.org/"
    license: str = "unknown"


def croissant(results: Iterable[Stored], root: Path, about: About) -> dict[str, Any]:
    """Content of croissant.json, to lie in the folder of the results.

    Args:
        results: Whose evidence is published.
        root: The folder of results, from which files are named.
        about: Name, description, address and licence.

    Raises:
        UsageError: if there is no evidence, as for imported results, or it lies elsewhere.
    """
    tables = [
        (stored, name, stored.record["tables"][name])
        for stored in results
        for name in stored.record["tables"]
    ]
    if not tables:
        raise UsageError("These results have no evidence to describe.")
    newest = max(stored.created for stored, _, _ in tables)
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": f"{_CROISSANT}1.0",
        "name": about.name,
        "description": about.description,
        "url": about.url,
        "license": about.license,
        "version": "1.0.0",
        "datePublished": newest.date().isoformat(),
        "distribution": [_file(stored, table, root) for stored, _, table in tables],
        "recordSet": [_records(stored, name, table, root) for stored, name, table in tables],
    }


def _place(stored: Stored, root: Path, file: str) -> str:
    folder = stored.folder.resolve()
    if not folder.is_relative_to(root.resolve()):
        raise UsageError(f"'{folder}' does not lie below '{root}'.")
    return (folder / file).relative_to(root.resolve()).as_posix()


def _file(stored: Stored, table: dict[str, Any], root: Path) -> dict[str, Any]:
    place = _place(stored, root, table["file"])
    return {
        "@type": "cr:FileObject",
        "@id": place,
        "name": place,
        "contentUrl": place,
        "contentSize": f"{(stored.folder / table['file']).stat().st_size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": table["sha256"],
    }


def _records(stored: Stored, name: str, table: dict[str, Any], root: Path) -> dict[str, Any]:
    import pyarrow.parquet as pq

    place = _place(stored, root, table["file"])
    identifier = place.removesuffix(".parquet")
    schema = pq.read_schema(stored.folder / table["file"])
    result = stored.result
    return {
        "@type": "cr:RecordSet",
        "@id": identifier,
        "name": identifier,
        "description": (
            f"'{name}' of {stored.label} in {result.task} version {result.task_version}, seed "
            f"{result.seed}: one {table['unit']} a row, {table['rows']} rows."
        ),
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{identifier}/{field.name}",
                "name": f"{identifier}/{field.name}",
                "description": _ROLES.get(field.name, f"Statistic '{field.name}'."),
                "dataType": _TYPES.get(str(field.type), "sc:Text"),
                "source": {"fileObject": {"@id": place}, "extract": {"column": field.name}},
            }
            for field in schema
        ],
    }


_ROLES = {
    "part": "Part of the data that the unit belongs to.",
    "unit_id": "Name of the unit within its part.",
    "cluster": "Units of one cluster are not independent.",
    "weight": "How much the unit counts.",
}
