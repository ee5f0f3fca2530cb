"""The digest of a result: by it, an edit of result.json is noticed."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

DIGEST = "digest"
"""Field of result.json that holds the digest. Results of older versions have none."""
_NOT_COVERED = (DIGEST, "working_folder", "run")
"""Fields that say where and how a result was asked for, which no score depends on."""
_NOT_COVERED_OF_PROVENANCE = ("created", "phases")
"""Times, which differ between two runs that give the same result."""


def record_digest(record: Mapping[str, Any]) -> str:
    """sha256 of what result.json says of a result: the same for two runs that give the same.

    It covers labels, status, reason, every score, how each is computed, the hash of every evidence
    file, and the provenance with the inputs of the key. It leaves out times, the run's
    configuration and the working folder.

    Args:
        record: Content of result.json, with its digest or without.
    """
    covered = {name: field for name, field in record.items() if name not in _NOT_COVERED}
    provenance = covered.get("provenance")
    if isinstance(provenance, Mapping):
        covered["provenance"] = {
            name: field
            for name, field in provenance.items()
            if name not in _NOT_COVERED_OF_PROVENANCE
        }
    text = json.dumps(covered, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
