"""`saeval validate`: is this an SAE that can be scored, and does it belong to this model?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from saeval.errors import SaevalError
from saeval.models.loading import pick_device
from saeval.running.loading import LoadedSAE
from saeval.running.named_saes import NamedSAE, find_saes
from saeval.running.opening import Opening
from saeval.running.preflight.checks import claims_of
from saeval.running.preflight.members import check_members, check_structure
from saeval.running.preflight.reconstruction import Check
from saeval.running.preflight.sample_rows import rows_to_look_at
from saeval.running.sources import Sources
from saeval.running.user_data import read_data
from saeval.sae import SAE, content_hash, d_out, origin_of
from saeval.training.texts import read_texts

MOST_TEXTS = 64
"""Texts read of the user's file; the checks look at a few hundred tokens."""


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


def verdicts(
    source: str,
    *,
    model: str | None,
    site: str | None,
    data: str | None,
    device: str,
    registry: str | None = None,
) -> Iterator[Verdict]:
    """Every SAE that a name means, loaded and checked.

    Args:
        source: As for `--sae`.
        model: The model that the SAEs should belong to; None: the one that each SAE names.
        site: Where they are read; None: the site that each SAE names.
        data: File of texts that are read, or of activations that take the place of a model; None:
            the lab's texts for a model of the lab, a page of English for others.
        device: As for `--device`.
        registry: As for `--registry`.

    Raises:
        UsageError: if the name means nothing.
        DataError: if the data cannot be read.
        SaevalError: if an SAE, or the model of `model`, cannot be loaded.
    """
    named_saes = find_saes(source, registry)
    user_data = read_data(data, Path())
    texts = (
        None
        if user_data.texts is None
        else list(islice(read_texts(Path(user_data.texts)), MOST_TEXTS))
    )
    opening = Opening(model=model, site=site, array=user_data.array, device=pick_device(device))
    sources = Sources(opening)
    sources.check()
    is_required = model is not None or user_data.array is not None
    for named_sae in named_saes:
        yield _verdict(named_sae, sources, texts, device=opening.device, is_required=is_required)


def _verdict(
    named_sae: NamedSAE,
    sources: Sources,
    texts: Sequence[str] | None,
    *,
    device: str,
    is_required: bool,
) -> Verdict:
    """Load an SAE, and check it where it reads, if that source can be opened.

    A source that the user named must open (`is_required`). One that only the SAE names may fail.
    """
    sae = named_sae.load(device)
    facts, claims = _sae_facts(sae), claims_of(sae, named_sae.expected)
    if not is_required and claims.model is None:
        return Verdict(named_sae.label, facts)
    try:
        place = sources.place(claims)
        sources.keep_only([place])
        source = sources.open(place)
    except SaevalError as error:
        if is_required:
            raise
        # A model that only the SAE names may be out of reach, which says nothing against the SAE.
        unknown_model = Check("model", "unknown", str(claims.model), "", str(error))
        return Verdict(named_sae.label, facts, (unknown_model,))
    member = LoadedSAE(named_sae, sae, facts["hash"], claims, place)
    checks = check_structure([member], [source])
    if not any(check.status == "error" for check in checks):
        checks = check_members([member], [source], [rows_to_look_at(source, texts)])
    return Verdict(named_sae.label, facts, checks)


def _sae_facts(sae: SAE) -> dict[str, Any]:
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
