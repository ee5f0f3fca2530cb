"""FVU at each site by itself, for SAEs that write at several sites together."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from saeval.activations import ActivationSource, slices
from saeval.evidence import Evidence, Missing, units

from . import metrics as declared
from .measuring import RowPlan, counted_activations
from .row_sums import Statistics
from .site_sums import site_sums


def spreads(source: ActivationSource, plan: RowPlan) -> pd.DataFrame:
    """Squared deviations from the mean in each unit, one column per write site."""
    columns = {}
    for site, columns_of_site in slices(source.sites.write, source.widths.write).items():
        parts = ((unit, y[:, columns_of_site]) for unit, y in counted_activations(source, plan))
        columns[site] = site_sums(parts, plan.units).statistics["sq_dev"]
    return pd.DataFrame(columns)


def site_evidence(
    errors: Statistics, spread: Statistics, tokens: np.ndarray, unit: str
) -> Iterator[Evidence | Missing]:
    """FVU of each site, as a part that is named by the site.

    Args:
        errors: Squared errors of each unit, by site.
        spread: Squared deviations from the site's mean, likewise.
        tokens: Counted tokens of each unit.
        unit: What a unit is called.
    """
    sites = list(errors)
    if not sites:
        return
    ids = np.tile(np.arange(len(tokens)), len(sites))
    table = units(
        "rows_of_sites",
        unit,
        {
            "sq_err": np.concatenate([errors[site] for site in sites]),
            "sq_dev": np.concatenate([spread[site] for site in sites]),
        },
        part=np.repeat(sites, len(tokens)),
        unit_id=ids,
        cluster=ids,
        weight=np.tile(tokens > 0, len(sites)),
    )
    for site in sites:
        if not spread[site].sum() > 0:
            yield declared.FVU.missing(f"Undefined: {declared.FVU.undefined}.", part=site)
            continue
        yield declared.FVU.evidence(table, {"num": "sq_err", "den": "sq_dev"}, part=site)
