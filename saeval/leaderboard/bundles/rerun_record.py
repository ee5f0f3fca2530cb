"""rerun.json: a maintainer computed a part of a bundle again with the SAE itself."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saeval.errors import BundleError
from saeval.leaderboard.bundles.strict_json import read_strict

SCHEMA = 1
_KEYS = {"schema", "bundle", "saeval", "created", "share", "seed", "agrees", "results"}


def confirms(path: Path, digest: str) -> None:
    """Check that a record speaks of this bundle, and found agreement.

    Args:
        path: rerun.json.
        digest: The bundle's.

    Raises:
        BundleError: if it does not.
    """
    record = read_strict(path)
    if set(record) != _KEYS or record["schema"] != SCHEMA:
        raise BundleError(f"{path.name} is not as `saeval validate --rerun` writes it.")
    if record["bundle"] != digest:
        raise BundleError(
            f"{path.name} is about another bundle ({record['bundle']!a:.20}), so it confirms "
            "nothing here. Run `saeval validate BUNDLE --rerun 0.2 --sae SAE --record` again."
        )
    if record["agrees"] is not True or not record["results"]:
        raise BundleError(f"{path.name} says that the results did not come out again.")


def rerun_text(record: Mapping[str, Any]) -> str:
    """Content of rerun.json."""
    return json.dumps({"schema": SCHEMA, **record}, indent=1, allow_nan=False) + "\n"
