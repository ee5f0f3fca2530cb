"""What tasks see: token rows, their activations, an SAE's codes of them, and spliced runs."""

from saeval.activations.array_files import read_array
from saeval.activations.array_source import ArraySource, array_source
from saeval.activations.beginnings import beginnings
from saeval.activations.memo import Memo
from saeval.activations.model_source import BATCH_TOKENS, ModelSource, model_source
from saeval.activations.predictions import Predictions, predictions
from saeval.activations.protocol import ActivationSource, Batch, Widths, has_logits, slices
from saeval.activations.reading import (
    EVERY_TOKEN,
    AtPositions,
    EveryToken,
    Pooled,
    Selection,
    read_acts,
    read_codes,
    read_x,
)
from saeval.activations.rows import TokenRows
from saeval.activations.store import Store

__all__ = [
    "BATCH_TOKENS",
    "EVERY_TOKEN",
    "ActivationSource",
    "ArraySource",
    "AtPositions",
    "Batch",
    "EveryToken",
    "Memo",
    "ModelSource",
    "Pooled",
    "Predictions",
    "Selection",
    "Store",
    "TokenRows",
    "Widths",
    "array_source",
    "beginnings",
    "has_logits",
    "model_source",
    "predictions",
    "read_acts",
    "read_array",
    "read_codes",
    "read_x",
    "slices",
]
