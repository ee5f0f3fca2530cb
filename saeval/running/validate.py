"""`saeval validate`: is this an SAE that can be scored, and does it belong to this model?"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saeval.errors import UsageError
from saeval.models.loading import pick_device
from saeval.running.named_saes import NamedSAE, find_saes
from saeval.running.opening import Opening
from saeval.running.preflight.checks import claims_of, preflight
from saeval.running.preflight.reconstruction import Check, take_sample
from saeval.running.preflight.sample_rows import rows_to_look_at
from saeval.running.sources import Sources
from saeval.running.user_data import read_data
from saeval.sae import SAE, content_hash, d_out, origin_of


@dataclass(frozen=True)
class Verdict:
    """One SAE that could be loaded, and how its checks went."""

    label: str
    facts: dict[str, Any]
    checks: tuple[Check, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether a check found an error."""
        return any(check.status == "error" for check in self.checks)

    def row(self) -> dict[str, Any]:
        """All of it as one JSON object."""
        checks = [check.row() for check in self.checks]
        return {"sae": self.label, **self.facts, "preflight": checks}


def validated(
    source: str, *, model: str | None, site: str | None, data: str | None, device: str
) -> Iterator[Verdict]:
    """Every SAE that a name means, loaded and checked.

    Args:
        source: As for `--sae`.
        model: What it should belong to; None: only loaded.
        site: Where it is read; None: where it says.
        data: File of activations that take the place of a model.
        device: As for `--device`.

    Raises:
        UsageError: if the name means nothing, or `data` holds no activations.
        SaevalError: if an SAE or the model cannot be had.
    """
    given = read_data(data, Path())
    if given.texts is not None:
        raise UsageError(f"'{data}' holds texts; validate takes a file of activations as --data.")
    opening = Opening(model=model, site=site, array=given.array, device=pick_device(device))
    for named_sae in find_saes(source):
        yield validate(named_sae, opening)


def validate(named_sae: NamedSAE, opening: Opening) -> Verdict:
    """Load an SAE; check it against a model or stored activations where there are some.

    Raises:
        SaevalError: if the SAE or the model cannot be had.
    """
    sae = named_sae.load(opening.device)
    facts = _facts(sae)
    if opening.model is None and opening.array is None:
        return Verdict(named_sae.label, facts)
    claims = claims_of(sae, named_sae.expected)
    sources = Sources(opening)
    sources.check()
    source = sources.open(sources.place(claims))
    rows = rows_to_look_at(source)
    structure = preflight(sae, claims, source, None)
    if rows is None or any(check.status == "error" for check in structure):
        return Verdict(named_sae.label, facts, structure)
    return Verdict(
        named_sae.label, facts, preflight(sae, claims, source, take_sample(source, rows))
    )


def _facts(sae: SAE) -> dict[str, Any]:
    origin = origin_of(sae)
    return {
        "loader": origin.loader,
        "architecture": origin.architecture,
        "d_in": sae.d_in,
        "d_sae": sae.d_sae,
        "d_out": d_out(sae),
        "model": origin.model,
        "read_site": origin.read_site,
        "write_site": origin.write_site,
        "prepend_bos": origin.prepend_bos,
        "centred": origin.centred,
        "hash": content_hash(sae),
    }
