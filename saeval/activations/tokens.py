"""Texts -> token rows, by a stated policy for long texts and for BOS."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from saeval.activations.beginnings import beginnings
from saeval.activations.rows import TokenRows, check_ids, mask_padding, pad_rows
from saeval.errors import DataError, ModelError, TooFewTokens, UsageError
from saeval.models import LoadedModel

logger = logging.getLogger(__name__)

Overflow = Literal["error", "truncate", "pack"]
TEXTS_AT_ONCE = 128
"""Texts per call of the tokenizer, which keeps much more of each text than its ids meanwhile."""


@dataclass(frozen=True)
class Policy:
    """How texts become rows."""

    context: int
    """Most tokens per row, BOS included; with packing, exactly so many."""
    overflow: str
    """What happens to longer texts: `error`, `truncate`, or `pack` (join all texts, cut rows)."""
    begin: bool
    """Whether rows begin with BOS; encoders then get all special tokens they were trained with."""


def tokenize(model: LoadedModel, texts: Sequence[str], name: str, policy: Policy) -> TokenRows:
    """Token rows of texts.

    Raises:
        DataError: if there is no text, an empty one, or one longer than the context allows.
        ModelError: if the model has no tokenizer, or no BOS where one is asked for.
        UsageError: if the policy is unknown.
    """
    if policy.overflow not in ("error", "truncate", "pack"):
        raise UsageError(
            f"'{policy.overflow}' is no way to treat long texts; choose error, truncate or pack."
        )
    if model.tokenizer is None:
        raise ModelError(
            f"{model.name} came without a tokenizer, so texts cannot be read. Put its tokenizer "
            "files beside the model, or give ready token rows."
        )
    if policy.begin and model.bos_id is None:
        raise ModelError(
            f"{model.name} has no BOS token, but rows are to begin with one. Say "
            "prepend_bos: false."
        )
    _check_texts(texts, name, policy)
    documents = _documents(model, texts, policy)
    if policy.overflow == "pack":
        return pad_rows(name, _pack_rows(model, documents, name, policy), model.special_ids)
    for i, ids in enumerate(documents):
        if not ids:
            raise DataError(
                f"Text {i} of '{name}' gives no token: {texts[i][:40]!r}. Leave it out."
            )
        if len(ids) > policy.context:
            raise DataError(
                f"Text {i} of '{name}' has {len(ids)} tokens, more than the {policy.context} a row "
                "may have. Shorten it, raise the task's `context`, or set its `overflow` to "
                "truncate or pack, such as --set core.overflow=pack."
            )
    return pad_rows(name, documents, model.special_ids)


def default_begin(model: LoadedModel) -> bool:
    """By default rows begin with BOS if the model has one, as is usual in the field."""
    return model.bos_id is not None


def tokenizer_adds_bos(model: LoadedModel) -> bool | None:
    """Whether the tokenizer by itself begins every text with BOS; None without one or the other."""
    if model.tokenizer is None or model.bos_id is None:
        return None
    return list(model.tokenizer("")["input_ids"])[:1] == [model.bos_id]


def ready_rows(model: LoadedModel, ids: np.ndarray, name: str, context: int) -> TokenRows:
    """Token rows from ready-made ids. Padding is a trailing run of the padding id.

    If the padding id is also BOS or EOS, padding cannot be told from text, so every position is
    attended. Special tokens do not count in any case, and tokens to their left do not change.

    Raises:
        DataError: if the rows do not fit the model.
    """
    ids = check_ids(name, ids, model.vocab_size, context)
    ambiguous = model.pad_id in (model.bos_id, model.eos_id)
    attention = mask_padding(ids, None if ambiguous else model.pad_id)
    if not attention.any(1).all():
        row = int(np.argmin(attention.any(1)))
        raise DataError(f"Row {row} of '{name}' is padding throughout. Leave it out.")
    if not ambiguous and (ids[:, 0] == model.pad_id).any():
        row = int(np.argmax(ids[:, 0] == model.pad_id))
        raise DataError(f"Row {row} of '{name}' begins with padding. Put padding at the end.")
    mask = attention & ~np.isin(ids, list(model.special_ids))
    return TokenRows(name, ids, attention, mask)


def _check_texts(texts: Sequence[str], name: str, policy: Policy) -> None:
    if isinstance(texts, str) or any(not isinstance(text, str) for text in texts):
        raise DataError(f"'{name}' is no list of texts. Give a list of strings.")
    if not texts:
        raise DataError(f"'{name}' holds no texts. Give at least one.")
    empty = [i for i, text in enumerate(texts) if not text.strip()]
    if empty and policy.overflow == "pack" and len(empty) < len(texts):
        logger.info("%d empty texts of '%s' add nothing to its packed rows.", len(empty), name)
    elif empty:
        raise DataError(
            f"Text {empty[0]} of '{name}' is empty"
            f"{f', as are {len(empty) - 1} more' if len(empty) > 1 else ''}. Leave it out."
        )


def _documents(model: LoadedModel, texts: Sequence[str], policy: Policy) -> list[list[int]]:
    """Ids of each text, with the special tokens of a row unless rows are packed."""
    tokenizer = model.tokenizer
    with_specials = policy.begin and not model.has_logits and tokenizer.cls_token_id is not None
    with_specials = with_specials and policy.overflow != "pack"
    truncate = policy.overflow == "truncate"
    if truncate and (not with_specials or tokenizer.truncation_side == "right"):
        texts = beginnings(tokenizer, texts, policy.context)
    if with_specials:
        limit = {"truncation": True, "max_length": policy.context} if truncate else {}
        return tokenizer(list(texts), verbose=False, **limit)["input_ids"]
    start = [model.bos_id] if policy.begin and policy.overflow != "pack" else []
    end = policy.context if truncate else None
    documents = []
    for first in range(0, len(texts), TEXTS_AT_ONCE):
        part = list(texts[first : first + TEXTS_AT_ONCE])
        encoded = tokenizer(part, add_special_tokens=False, verbose=False)["input_ids"]
        documents += [[*start, *ids][:end] if ids else [] for ids in encoded]
    return documents


def _pack_rows(
    model: LoadedModel, documents: Sequence[list[int]], name: str, policy: Policy
) -> list[list[int]]:
    """Documents end to end, with one separator between two, cut into rows of equal length.

    The separator is BOS, or EOS if the model has no BOS. If rows begin with BOS, every row does,
    and what does not fit continues in the next row. An incomplete last row is dropped, as is
    usual in the field.
    """
    separator = model.eos_id if model.bos_id is None else model.bos_id
    begin = [model.bos_id] if policy.begin and model.bos_id is not None else []
    rows: list[list[int]] = []
    row: list[int] = []
    for number, document in enumerate(filter(None, documents)):
        # A row that begins with BOS here needs no separator besides.
        needs_separator = number > 0 and separator is not None and (row or not begin)
        remaining = [separator, *document] if needs_separator else document
        while remaining:
            row = row or [*begin]
            room = policy.context - len(row)
            row, remaining = row + remaining[:room], remaining[room:]
            if len(row) == policy.context:
                rows.append(row)
                row = []
    if not rows:
        raise TooFewTokens(
            f"The texts of '{name}' together hold {len(row)} tokens, too few to fill one row of "
            f"{policy.context}. Give more text, or a smaller context."
        )
    return rows
