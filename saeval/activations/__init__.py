"""What tasks see: token rows, their activations, an SAE's codes of them, and spliced runs."""

from saeval.activations.array_source import ArraySource, array_source, read_array
from saeval.activations.model_source import BATCH_TOKENS, ModelSource, model_source
from saeval.activations.protocol import ActivationSource, Batch
from saeval.activations.rows import TokenRows
from saeval.activations.store import Store

__all__ = [
    "BATCH_TOKENS",
    "ActivationSource",
    "ArraySource",
    "Batch",
    "ModelSource",
    "Store",
    "TokenRows",
    "array_source",
    "model_source",
    "read_array",
]
