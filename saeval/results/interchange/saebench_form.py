"""The form of SAEBench's results: what is missing or odd, before anything is made of it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

_NAMES = ("eval_type_id", "sae_lens_id", "sae_lens_release_id")
_TEXTS = ("model_name", "hook_name", "architecture")
_WIDTHS = ("d_in", "d_sae")
_LAST_MILLI = 253_402_300_799_999
"""Of the year 9999."""


def form_faults(content: Mapping[str, Any]) -> Iterator[str]:
    """What is missing, or of another kind than SAEBench writes.

    Args:
        content: The object, of any content.
    """
    lacking = [name for name in ("eval_result_metrics", *_NAMES) if name not in content]
    if lacking:
        yield f"it lacks {', '.join(lacking)}"
        return
    for name in _NAMES:
        if not isinstance(content[name], str) or not content[name]:
            yield f"its {name} is {content[name]!r:.80}, which is no name"
    yield from _metric_faults(content["eval_result_metrics"])
    yield from _detail_faults(content.get("eval_result_details"))
    yield from _config_faults(content)
    millis = content.get("datetime_epoch_millis") or 0
    if type(millis) not in (int, float) or not 0 <= millis <= _LAST_MILLI:
        yield f"its datetime_epoch_millis is {millis!r:.80}"


def _metric_faults(metrics: Any) -> Iterator[str]:
    if isinstance(metrics, dict):
        categories = [{} if category is None else category for category in metrics.values()]
    else:
        categories = [metrics]
    if not all(isinstance(category, dict) for category in categories):
        yield "its eval_result_metrics is no object of categories, each an object of metrics"
        return
    counts = Counter(name for category in categories for name in category)
    doubled = [name for name, count in counts.items() if count > 1]
    if doubled:
        yield f"it gives {doubled[0]!r:.80} in two categories"


def _detail_faults(details: Any) -> Iterator[str]:
    rows = details or []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        yield "its eval_result_details is no list of objects"


def _config_faults(content: Mapping[str, Any]) -> Iterator[str]:
    for name in ("eval_config", "sae_cfg_dict"):
        if not isinstance(content.get(name) or {}, dict):
            yield f"its {name} is no object"
            return
    config = content.get("sae_cfg_dict") or {}
    for name in _TEXTS:
        if not isinstance(config.get(name), str | None):
            yield f"its sae_cfg_dict has {name} {config[name]!r:.80}, which is no text"
    for name in _WIDTHS:
        if config.get(name) is not None and type(config[name]) is not int:
            yield f"its sae_cfg_dict has {name} {config[name]!r:.80}, which is no whole number"
