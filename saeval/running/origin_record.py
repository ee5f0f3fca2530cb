"""What a result says of its origin: the SAEs, their source, their claims, data and machine."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from saeval.results.provenance import provenance
from saeval.running.loading import LoadedSAE, LoadedSAEs
from saeval.running.session import Session
from saeval.sae import d_out, origin_of
from saeval.sae.site import joined
from saeval.task import Member


def origin_record(saes: LoadedSAEs, session: Session) -> dict[str, Any]:
    """The SAEs, the sources they read, their claims, and the machine that computed."""
    opening = session.opening
    sources = [_source_record(saes, member, session) for member in saes.first_readers.values()]
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "saes": [_sae_record(member) for member in saes.members],
        "source": sources[0] if len(sources) == 1 else sources,
        "claims": claims_rows(saes),
        **provenance(device=opening.device, dtype=str(opening.dtype).removeprefix("torch.")),
    }


def data_facts(members: Sequence[Member]) -> list[dict[str, Any]]:
    """Facts that the task prepared about its data, once per distinct preparation."""
    distinct = {id(member.prepared): member.prepared for member in members}
    return [dict(content.facts) for content in distinct.values()]


def claims_rows(saes: LoadedSAEs) -> list[dict[str, Any]]:
    """What each SAE says of the model and site it belongs to."""
    return [asdict(member.claims) for member in saes.members]


def _source_record(saes: LoadedSAEs, member: LoadedSAE, session: Session) -> dict[str, Any]:
    source = session.sources.opened(member.place)
    model = source.model if source else None
    return {
        "identity": saes.source(member),
        "name": source.name if source else None,
        "model": model.identity if model else None,
        "site": joined(source.sites.read) or None if source else None,
        "write_site": joined(source.sites.write) or None if source else None,
        "centred": member.place.centred if member.place else False,
        "prepend_bos": member.place.prepend_bos if member.place else None,
    }


def _sae_record(member: LoadedSAE) -> dict[str, Any]:
    origin = origin_of(member.sae)
    fields = ("architecture", "loader", "model", "read_site", "write_site", "prepend_bos")
    return {
        "label": member.named_sae.label,
        "hash": member.hash,
        **member.named_sae.source(),
        **{name: getattr(origin, name) for name in fields},
        "null": origin.metadata.get("null"),
        "d_in": member.sae.d_in,
        "d_out": d_out(member.sae),
        "d_sae": member.sae.d_sae,
    }
