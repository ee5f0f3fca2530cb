"""One job on loaded SAEs: its result is found by the key of its inputs, or computed and kept."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from saeval.errors import SaevalError
from saeval.results.from_evidence import scores_of
from saeval.results.key import result_key
from saeval.results.portable import portable
from saeval.results.provenance import provenance
from saeval.results.reading import find_result
from saeval.results.score import Labels, Result
from saeval.running.identity import prepared_sha256
from saeval.running.jobs import Job
from saeval.running.loading import Loaded, LoadedSAE, told_of
from saeval.running.outcome import Outcome, failed_result, keep, outcome_of, under_label
from saeval.running.preflight.checks import refuse, warnings_of
from saeval.running.preflight.members import Checks, check_members, check_structure
from saeval.running.prepared_cache import prepared
from saeval.running.progress import Clock, Step
from saeval.running.record import repeating
from saeval.running.session import Session
from saeval.sae import d_out, origin_of
from saeval.sae.site import joined
from saeval.task import Member, Prepared


@dataclass(frozen=True)
class Attempt:
    """One job on loaded SAEs."""

    loaded: Loaded
    job: Job
    labels: Labels
    session: Session
    clock: Clock


@dataclass(frozen=True)
class Ready:
    """What the task prepared, or why it could not."""

    members: tuple[Member, ...] = ()
    """With what was prepared for each; none if that failed."""
    failure: Exception | None = None


@dataclass(frozen=True)
class Computed:
    """What came of an attempt."""

    outcome: Outcome
    checks: Checks
    """Of the preflight, so far as it came."""
    ready: Ready


def prepared_key(loaded: Loaded, member: LoadedSAE, job: Job, session: Session) -> dict[str, Any]:
    """All that decides what the task prepares where a member reads.

    For a task that does not tell what it reads, that is one run.
    """
    if job.declares_inputs:
        inputs = job.inputs(session.sources.model_name(member.place))
    else:
        inputs = {"run": session.run_id}
    return {"source": loaded.source(member), "seed": job.seed, **job.identity, "inputs": inputs}


def key_inputs(
    loaded: Loaded, job: Job, session: Session, members: Sequence[Member]
) -> dict[str, Any]:
    """All that decides the result of a job.

    Members that read one source share its identity, and what the task finds there; for others,
    both are lists in the order of the members.

    Args:
        loaded: The SAEs.
        job: The task under a seed.
        session: Of the run.
        members: What was prepared, for a task that does not tell what it reads: then that enters
            the key. None of them, where preparing failed.
    """
    keys = [prepared_key(loaded, member, job, session) for member in loaded.members]
    if not job.declares_inputs:
        contents = {id(each.prepared): prepared_sha256(each.prepared) for each in members}
        told = [contents[id(each.prepared)] for each in members] or [None] * len(keys)
        keys = [{**key, "inputs": {"prepared": one}} for key, one in zip(keys, told, strict=True)]
    inputs = {"saes": [member.hash for member in loaded.members], **keys[0]}
    if any(key != keys[0] for key in keys):
        inputs |= {name: [key[name] for key in keys] for name in ("source", "inputs")}
    return inputs


def result_of(
    loaded: Loaded, job: Job, labels: Labels, session: Session, checks: Checks
) -> tuple[Result, Checks]:
    """The result of one job: found if its inputs were scored before, else computed and kept.

    Args:
        loaded: The SAEs.
        job: The task under a seed.
        labels: What the result is called.
        session: Of the run.
        checks: Of the preflight, if an earlier job of these SAEs held it; else none.

    Returns:
        The result, and the checks for the next job.

    Raises:
        ResultError: if it cannot be written.
    """
    clock = Clock(labels.sae or labels.set or "", session.tell, session.total)
    attempt = Attempt(loaded, job, labels, session, clock)
    ready = None if job.declares_inputs else make_ready(attempt, checks)
    inputs = key_inputs(loaded, job, session, ready.members if ready else ())
    attempt = replace(attempt, labels=replace(labels, result_id=result_key(inputs)))
    stored = None
    if not session.options.force and not (ready and ready.failure):
        stored = find_result(session.root, str(attempt.labels.result_id))
    if stored is not None and stored.status != "failed":
        return _found_again(attempt, stored, checks)
    computed = compute(attempt, ready or make_ready(attempt, checks), checks)
    return _kept(attempt, inputs, computed), computed.checks


def make_ready(attempt: Attempt, checks: Checks) -> Ready:
    """What the task prepares. Whatever goes wrong, but for an interrupt, is told later."""
    try:
        refuse(checks)
        return Ready(prepare(attempt))
    except Exception as error:  # noqa: BLE001  one task's mistake does not end the run
        return Ready(failure=error)


def compute(attempt: Attempt, ready: Ready, checks: Checks) -> Computed:
    """Check, then score. Whatever goes wrong, but for an interrupt, becomes the outcome."""
    job, clock = attempt.job, attempt.clock
    try:
        if ready.failure is not None:
            raise ready.failure
        if not checks:
            with attempt.loaded.clock.phase("preflight"):
                checks = check_ready(attempt.loaded, ready.members)
        refuse(checks)
        with clock.phase("score", job.task.name, job.seed) as phase:
            phase.tokens += _tokens(ready.members)
            evidence = list(job.evidence(ready.members))
        with clock.phase("summarise", job.task.name, job.seed):
            outcome = Outcome(scores_of(evidence, attempt.labels), evidence)
    except Exception as error:  # noqa: BLE001  one task's mistake does not end the run
        outcome = outcome_of(error, attempt.labels)
    return Computed(outcome, checks, ready)


def prepare(attempt: Attempt) -> tuple[Member, ...]:
    """Open all sources, and have the task prepare once at each.

    Raises:
        PreflightError: if an SAE cannot belong here, whatever is read.
        NotApplicable: if the task cannot be served at one of them.
        SaevalError: if a source cannot be opened.
    """
    loaded, job, session, clock = attempt.loaded, attempt.job, attempt.session, attempt.clock
    store, count = session.opening.store, len(loaded.members)
    sources, contents = {}, {}
    with loaded.clock.phase("model"):
        for identity, member in loaded.first_readers.items():
            with told_of(member.named.label, count):
                sources[identity] = session.sources.open(member.place)
    read = [sources[loaded.source(member)] for member in loaded.members]
    refuse(check_structure(loaded.members, read))
    with clock.phase("prepare", job.task.name, job.seed) as phase:
        for identity, member in loaded.first_readers.items():
            key = prepared_key(loaded, member, job, session)
            make = partial(job.task.prepare, sources[identity], job.seed)
            with told_of(member.named.label, count):
                contents[identity], is_new = prepared(store, key, make)
            phase.tokens += _row_tokens(contents[identity]) if is_new else 0
    return tuple(
        Member(member.named.label, member.sae, contents[identity], sources[identity])
        for member in loaded.members
        for identity in [loaded.source(member)]
    )


def check_ready(loaded: Loaded, members: Sequence[Member]) -> Checks:
    """The preflight, on the rows that the task reads."""
    sources = [member.source for member in members]
    return check_members(loaded.members, sources, [member.prepared.rows for member in members])


def _found_again(attempt: Attempt, stored: Result, checks: Checks) -> tuple[Result, Checks]:
    """A result that was there. Equal weights may come with other claims, which are then checked."""
    session, labels, loaded = attempt.session, attempt.labels, attempt.loaded
    label = labels.sae or labels.set or ""
    session.tell(Step("found", label, labels.task, labels.seed, total=session.total))
    warnings = stored.provenance.get("warnings", ())
    if portable(stored.provenance.get("claims")) != portable(_claimed(loaded)):
        try:
            checks = checks or _checked_without_rows(loaded, session)
            refuse(checks)
        except SaevalError as error:
            return failed_result(labels, error, session.root), checks
        warnings = warnings_of(checks)
    session.warn(warnings)
    return under_label(session.root, stored, labels, _repeating(attempt)), checks


def _checked_without_rows(loaded: Loaded, session: Session) -> Checks:
    """The preflight where no task prepared rows."""
    sources = [session.sources.open(member.place) for member in loaded.members]
    with loaded.clock.phase("preflight"):
        return check_members(loaded.members, sources, [None] * len(sources))


def _kept(attempt: Attempt, inputs: Mapping[str, Any], computed: Computed) -> Result:
    """The result as it was written."""
    session, labels, loaded = attempt.session, attempt.labels, attempt.loaded
    facts = _facts(computed.ready.members)
    notices = [notice for each in facts if (notice := each.get("notice"))]
    warnings = [*warnings_of(computed.checks), *dict.fromkeys(notices)]
    session.warn(warnings)
    about: dict[str, Any] = {"key": inputs}
    if facts:
        about["data"] = facts[0] if len(facts) == 1 else facts
    about["phases"] = {**loaded.clock.timer.record(), **attempt.clock.timer.record()}
    about["warnings"] = warnings
    about |= _provenance(loaded, session)
    about["preflight"] = [check.row() for check in computed.checks]
    written = keep(
        session.root,
        labels,
        computed.outcome,
        provenance=about,
        run=_repeating(attempt),
    )
    label = labels.sae or labels.set or ""
    session.tell(Step("computed", label, labels.task, labels.seed, total=session.total))
    return written


def _repeating(attempt: Attempt) -> dict[str, Any]:
    members = attempt.loaded.members
    named_saes, places = [each.named for each in members], [each.place for each in members]
    return repeating(attempt.session, named_saes, places, attempt.job)


def _facts(members: Sequence[Member]) -> list[dict[str, Any]]:
    """What was prepared says of the data, once for each distinct place."""
    distinct = {id(member.prepared): member.prepared for member in members}
    return [dict(content.facts) for content in distinct.values()]


def _tokens(members: Sequence[Member]) -> int:
    distinct = {id(member.prepared): member.prepared for member in members}
    return sum(map(_row_tokens, distinct.values()))


def _row_tokens(content: Prepared) -> int:
    rows = content.rows
    return 0 if rows is None else int(rows.mask.sum())


def _claimed(loaded: Loaded) -> list[dict[str, Any]]:
    return [asdict(member.claims) for member in loaded.members]


def _provenance(loaded: Loaded, session: Session) -> dict[str, Any]:
    opening = session.opening
    sources = [_about_source(loaded, member, session) for member in loaded.first_readers.values()]
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "saes": [_about(member) for member in loaded.members],
        "source": sources[0] if len(sources) == 1 else sources,
        "claims": _claimed(loaded),
        **provenance(device=opening.device, dtype=str(opening.dtype).removeprefix("torch.")),
    }


def _about_source(loaded: Loaded, member: LoadedSAE, session: Session) -> dict[str, Any]:
    source = session.sources.opened(member.place)
    model = source.model if source else None
    return {
        "identity": loaded.source(member),
        "name": source.name if source else None,
        "model": model.identity if model else None,
        "site": joined(source.sites.read) or None if source else None,
        "write_site": joined(source.sites.write) or None if source else None,
        "centred": member.place.centred if member.place else False,
    }


def _about(member: LoadedSAE) -> dict[str, Any]:
    origin = origin_of(member.sae)
    shown = ("architecture", "loader", "model", "read_site", "write_site", "prepend_bos")
    return {
        "label": member.named.label,
        "hash": member.hash,
        **member.named.source(),
        **{name: getattr(origin, name) for name in shown},
        "null": origin.metadata.get("null"),
        "d_in": member.sae.d_in,
        "d_out": d_out(member.sae),
        "d_sae": member.sae.d_sae,
    }
