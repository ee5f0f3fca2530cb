"""SAEs meet the activations they read: checked against them, then scored, one result at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from saeval.activations import ActivationSource, TokenRows
from saeval.errors import ModelError, NotApplicable, SaevalError
from saeval.evidence import Evidence, Missing
from saeval.results.key import result_key
from saeval.results.provenance import provenance
from saeval.results.reading import find_result
from saeval.results.score import Labels, Result
from saeval.running.jobs import Job
from saeval.running.named_saes import Subject
from saeval.running.outcome import attempt, failed_result, keep
from saeval.running.preflight.checks import (
    Claims,
    claims_of,
    preflight,
    prepared_rows,
    refuse,
    warnings_of,
)
from saeval.running.preflight.reconstruction import Check, take_sample
from saeval.running.preflight.sample_rows import PASSAGES
from saeval.running.prepared_cache import prepared
from saeval.running.progress import Clock, Step
from saeval.running.record import repeating
from saeval.running.session import Session
from saeval.running.sources import Place
from saeval.sae import SAE, content_hash, d_out, origin_of
from saeval.task import Prepared

SAMPLE_CONTEXT = 128
"""Tokens a passage at most, where a task brings no rows to look at."""


@dataclass
class Meeting:
    """One SAE, or the members of a set, at the place where they read."""

    subjects: Sequence[Subject]
    saes: Sequence[SAE]
    hashes: Sequence[str]
    claims: Sequence[Claims]
    place: Place | None
    session: Session
    clock: Clock
    identity: str = ""
    """Of the source at that place, known without opening it; empty until they have met."""
    checks: tuple[Check, ...] = ()
    """Of the preflight, once it was held on real activations."""


def meet(subjects: Sequence[Subject], label: str, session: Session) -> Meeting:
    """Load SAEs and find out where they read. No model is loaded if its files are known.

    Raises:
        NotApplicable: if the members of a set read at different places.
        SaevalError: if an SAE or the source cannot be had.
    """
    meeting = gather(subjects, label, session)
    identify(meeting)
    return meeting


def gather(subjects: Sequence[Subject], label: str, session: Session) -> Meeting:
    """Load SAEs, and see which place they name.

    Raises:
        NotApplicable: if they name different ones.
        SaevalError: if an SAE cannot be had.
    """
    clock = Clock(label, session.tell, session.total)
    with clock.phase("load"):
        saes = [_loaded(subject, session) for subject in subjects]
        hashes = [content_hash(sae) for sae in saes]
    pairs = zip(saes, subjects, strict=True)
    claims = [claims_of(sae, subject.expected) for sae, subject in pairs]
    places = {session.sources.place(claim) for claim in claims}
    if len(places) != 1:
        raise NotApplicable(f"The members of '{label}' read at {len(places)} different places.")
    return Meeting(subjects, saes, hashes, claims, places.pop(), session, clock)


def _loaded(subject: Subject, session: Session) -> SAE:
    """An SAE; an object that does not tell its width is as wide as the site it reads."""
    origin, device = subject.widthless, session.opening.device
    if origin is None:
        return subject.load(device)
    claims = Claims(origin.model, origin.read_site, origin.write_site)
    place = session.sources.place(replace(claims, centred=origin.centred))
    return subject.load(device, d_in=session.sources.open(place).d_in)


def identify(meeting: Meeting) -> None:
    """Find out what is to be read at the place, by content.

    Raises:
        SaevalError: if it cannot be had.
    """
    with meeting.clock.phase("model"):
        meeting.identity = meeting.session.sources.identity(meeting.place)


def prepared_key(meeting: Meeting, job: Job) -> dict[str, Any]:
    """All that decides what the task prepares there."""
    inputs = job.inputs(meeting.session.sources.model_name(meeting.place))
    return {"source": meeting.identity, "seed": job.seed, **job.identity, "inputs": inputs}


def key_inputs(meeting: Meeting, job: Job) -> dict[str, Any]:
    """All that decides the result of a job."""
    return {"saes": list(meeting.hashes), **prepared_key(meeting, job)}


def result_of(meeting: Meeting, job: Job, labels: Labels) -> Result:
    """The result of one job: found if its inputs were scored before, else computed and kept.

    Raises:
        ResultError: if it cannot be written.
    """
    session, label = meeting.session, labels.sae or labels.set or ""
    inputs = key_inputs(meeting, job)
    labels = replace(labels, result_id=result_key(inputs))
    found = (
        None if session.configuration.force else find_result(session.root, str(labels.result_id))
    )
    if found is not None and found.status != "failed":
        return _found(meeting, labels, found)
    clock = Clock(label, session.tell, session.total)
    record: dict[str, Any] = {"key": inputs}
    outcome = attempt(labels, clock, lambda: _evidence(meeting, job, clock, record))
    record["phases"] = {**meeting.clock.timer.record(), **clock.timer.record()}
    record["warnings"] = [
        *warnings_of(meeting.checks),
        *filter(None, [record.get("data", {}).get("notice")]),
    ]
    session.warn(record["warnings"])
    kept = keep(
        session.root,
        labels,
        outcome,
        provenance={**record, **_provenance(meeting)},
        run=repeating(session, meeting.subjects, meeting.place, job),
    )
    session.tell(Step("computed", label, labels.task, labels.seed, total=session.total))
    return kept


def _found(meeting: Meeting, labels: Labels, found: Result) -> Result:
    """A result that was there. Equal weights may come with other claims, which are then checked."""
    session, label = meeting.session, labels.sae or labels.set or ""
    session.tell(Step("found", label, labels.task, labels.seed, total=session.total))
    warnings = found.provenance.get("warnings", ())
    if found.provenance.get("claims") != _claimed(meeting):
        try:
            hold_preflight(meeting, None)
        except SaevalError as error:
            return failed_result(labels, error, session.root)
        warnings = warnings_of(meeting.checks)
    session.warn(warnings)
    return found.renamed(sae=labels.sae, set=labels.set)


def hold_preflight(meeting: Meeting, rows: TokenRows | None) -> None:
    """Check the SAEs against activations of some rows, once.

    Raises:
        PreflightError: if one does not belong here.
    """
    if not meeting.checks:
        source = meeting.session.sources.open(meeting.place)
        with meeting.clock.phase("preflight"):
            meeting.checks = _check(meeting, source, rows or rows_to_look_at(source))
    refuse(meeting.checks)


def _evidence(
    meeting: Meeting, job: Job, clock: Clock, record: dict[str, Any]
) -> Iterator[Evidence | Missing]:
    """Prepare, check, score. What is learnt on the way enters the record."""
    with meeting.clock.phase("model"):
        source = meeting.session.sources.open(meeting.place)
    if not meeting.checks:
        refuse(_check(meeting, source, None))
    with clock.phase("prepare", job.task.name, job.seed) as phase:
        ready, fresh = _prepared(meeting, job, source)
        rows = prepared_rows(ready)
        tokens = 0 if rows is None else int(rows.mask.sum())
        phase.tokens += tokens if fresh else 0
    record["data"] = dict(ready.facts)
    hold_preflight(meeting, rows)
    with clock.phase("score", job.task.name, job.seed) as phase:
        phase.tokens += tokens
        if job.is_group:
            yield from job.task.score_group(meeting.saes, ready, source, job.seed)
        else:
            yield from job.task.score(meeting.saes[0], ready, source, job.seed)


def _prepared(meeting: Meeting, job: Job, source: ActivationSource) -> tuple[Prepared, bool]:
    """What the task prepared, and whether that was computed now."""
    key = prepared_key(meeting, job)
    computed: list[bool] = []

    def make() -> Prepared:
        computed.append(True)
        return job.task.prepare(source, job.seed)

    return prepared(meeting.session.opening.store, key, make), bool(computed)


def _check(meeting: Meeting, source: ActivationSource, rows: TokenRows | None) -> tuple[Check, ...]:
    """Preflight of every member: without rows, what needs no activations."""
    sample = None if rows is None else take_sample(source, rows)
    checks: list[Check] = []
    for sae, claims in zip(meeting.saes, meeting.claims, strict=True):
        checks += preflight(sae, claims, source, sample)
    return tuple(checks)


def _claimed(meeting: Meeting) -> list[dict[str, Any]]:
    return [asdict(claims) for claims in meeting.claims]


def rows_to_look_at(source: ActivationSource) -> TokenRows | None:
    """Rows for the preflight where a task prepared none; None where nothing can be read."""
    if source.stored_rows is not None:
        return source.stored_rows
    context = min(SAMPLE_CONTEXT, source.context)
    try:
        return source.tokenize(PASSAGES, name="passages", context=context, overflow="truncate")
    except ModelError:  # without a tokenizer there is nothing to look at
        return None


def _provenance(meeting: Meeting) -> dict[str, Any]:
    opening = meeting.session.opening
    source = meeting.session.sources.opened(meeting.place)
    model = source.model if source else None
    members = [
        _about(*member)
        for member in zip(meeting.subjects, meeting.saes, meeting.hashes, strict=True)
    ]
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "saes": members,
        "source": {
            "identity": meeting.identity,
            "name": source.name if source else None,
            "model": model.identity if model else None,
            "site": str(source.site) if source and source.site else None,
            "write_site": str(source.write_site) if source and source.write_site else None,
            "centred": meeting.place.centred if meeting.place else False,
        },
        "claims": _claimed(meeting),
        "preflight": [check.row() for check in meeting.checks],
        **provenance(device=opening.device, dtype=str(opening.dtype).removeprefix("torch.")),
    }


def _about(subject: Subject, sae: SAE, digest: str) -> dict[str, Any]:
    origin = origin_of(sae)
    shown = ("architecture", "loader", "model", "read_site", "write_site", "prepend_bos")
    return {
        "label": subject.label,
        "hash": digest,
        **subject.source(),
        **{name: getattr(origin, name) for name in shown},
        "null": origin.metadata.get("null"),
        "d_in": sae.d_in,
        "d_out": d_out(sae),
        "d_sae": sae.d_sae,
    }
