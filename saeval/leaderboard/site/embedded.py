"""JSON within a page: data that no string in it can turn into markup or a script."""

import json
from typing import Any

from markupsafe import Markup

_ESCAPES = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


def embedded(value: Any) -> Markup:
    """JSON for a `<script type="application/json">`: `</script>` in a string ends nothing."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return Markup(text)  # noqa: S704  every character that HTML reads is escaped above
