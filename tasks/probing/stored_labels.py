"""Stored activations that came with labels, as a data set."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from saeval.activations import TokenRows
from saeval.errors import NotApplicable

from .._draws import generator
from .._texts.data_set import DataSet, LabelledTexts
from .._texts.labelled import TEST_SHARE
from .rows import check_has_tests


def labelled_rows(rows: TokenRows, seed: int) -> DataSet:
    """Units of stored activations as a data set; a quarter of each label's are test rows.

    Raises:
        NotApplicable: if they came without labels.
    """
    if rows.labels is None:
        raise NotApplicable(
            f"'{rows.name}' holds activations without texts or labels, so there is nothing to "
            "probe for. Put whole numbers `labels`, one for each row, beside `activations` in a "
            ".safetensors file; or give a model, and labelled texts with probing.data."
        )
    labels = rows.labels.tolist()
    units = LabelledTexts(tuple(range(len(rows))), tuple((str(label),) for label in labels))
    key = hashlib.sha256(repr(labels).encode()).hexdigest()
    order = generator(seed, f"split/{key}").permutation(len(rows))
    labels_in_order = pd.Series(rows.labels[order])
    rank = labels_in_order.groupby(labels_in_order).cumcount().to_numpy()
    size = labels_in_order.groupby(labels_in_order).transform("size").to_numpy()
    is_test = rank < np.round(size * TEST_SHARE)
    parts = (units.take(order[~is_test]), units.take(order[is_test]))
    data_set = DataSet(Path(rows.name).stem, *parts, key=key)
    check_has_tests(data_set)
    return data_set
