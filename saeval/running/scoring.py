"""One job on loaded SAEs: its result is found by the key of its inputs, or computed and stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from saeval.errors import SaevalError
from saeval.evidence import Evidence, Missing, on_data
from saeval.results.from_evidence import scores_of
from saeval.results.key import result_key
from saeval.results.portable import portable
from saeval.results.score import Labels, Result
from saeval.results.verification import find_verified
from saeval.running.identity import default_data
from saeval.running.job_keys import key_inputs, prepared_key
from saeval.running.jobs import Job
from saeval.running.loading import LoadedSAEs, naming_member
from saeval.running.null_floors import (
    NullFloors,
    needs_null,
    null_floors,
    with_floors,
)
from saeval.running.origin_record import claims_rows, data_facts, origin_record
from saeval.running.outcome import Outcome, failed_result, outcome_of, under_label, write_outcome
from saeval.running.preflight.checks import refuse, warnings_of
from saeval.running.preflight.members import (
    Checks,
    check_members,
    check_structure,
    recheck_bos,
)
from saeval.running.prepared_cache import load_or_prepare
from saeval.running.progress import Clock, ProgressStep
from saeval.running.record import run_of_result
from saeval.running.session import Session
from saeval.task import Member, Prepared


@dataclass(frozen=True)
class Attempt:
    """One job on loaded SAEs."""

    saes: LoadedSAEs
    job: Job
    labels: Labels
    session: Session
    clock: Clock


@dataclass(frozen=True)
class Preparation:
    """What the task prepared, or why it could not."""

    members: tuple[Member, ...] = ()
    """Each SAE with the content prepared for it; empty if preparing failed."""
    failure: Exception | None = None


@dataclass(frozen=True)
class Computed:
    """What came of an attempt."""

    outcome: Outcome
    checks: Checks
    """Checks of the preflight that were made before an error, or all of them."""
    preparation: Preparation
    null: NullFloors | None = None
    """The null SAEs that set floors; None where no metric's floor is theirs."""


def result_of(
    saes: LoadedSAEs, job: Job, labels: Labels, session: Session, checks: Checks
) -> tuple[Result, Checks]:
    """The result of one job: found if its inputs were scored before, else computed and stored.

    Args:
        saes: The SAEs.
        job: The task under a seed.
        labels: Names that the result gets.
        session: Of the run.
        checks: Of the preflight, if an earlier job of these SAEs has run it; else none.

    Returns:
        The result, and the checks for the next job.

    Raises:
        ResultError: if it cannot be written.
    """
    clock = Clock(labels.sae or labels.set or "", session.tell, session.total)
    attempt = Attempt(saes, job, labels, session, clock)
    preparation = None if job.declares_inputs else try_to_prepare(attempt, checks)
    inputs = key_inputs(saes, job, session, preparation.members if preparation else ())
    attempt = replace(attempt, labels=replace(labels, result_id=result_key(inputs)))
    stored = None
    if not session.options.force and not (preparation and preparation.failure):
        finding = find_verified(session.root, str(attempt.labels.result_id))
        session.warn(finding.warnings)
        stored = finding.result
    if stored is not None and stored.status != "failed":
        return _reuse_result(attempt, stored, checks)
    computed = compute(attempt, preparation or try_to_prepare(attempt, checks), checks)
    return _write_result(attempt, inputs, computed), computed.checks


def try_to_prepare(attempt: Attempt, checks: Checks) -> Preparation:
    """The task's preparation, or the error that stopped it. Only an interrupt is raised."""
    try:
        refuse(checks)
        return Preparation(prepare_members(attempt))
    except Exception as error:  # noqa: BLE001  one task's mistake does not end the run
        return Preparation(failure=error)


def compute(attempt: Attempt, preparation: Preparation, checks: Checks) -> Computed:
    """Check, then score. Every error but an interrupt becomes the outcome."""
    job, clock = attempt.job, attempt.clock
    null: NullFloors | None = None
    try:
        if preparation.failure is not None:
            raise preparation.failure
        if checks:
            members = preparation.members
            sources, rows = zip(*((m.source, m.prepared.rows) for m in members), strict=True)
            checks = recheck_bos(checks, attempt.saes.members, sources, rows)
        else:
            with attempt.saes.clock.phase("preflight"):
                checks = run_preflight(attempt.saes, preparation.members)
        refuse(checks)
        with clock.phase("score", job.task.name, job.seed) as phase:
            phase.tokens += _count_tokens(preparation.members)
            yielded = list(job.score_members(preparation.members))
            evidence = _on_stated_data(yielded, attempt, preparation)
        if needs_null(evidence):
            if not job.is_group:
                with clock.phase("null", job.task.name, job.seed):
                    null = _null_floors(attempt, preparation)
            evidence = with_floors(evidence, null.values if null else {})
        with clock.phase("summarise", job.task.name, job.seed):
            outcome = Outcome(scores_of(evidence, attempt.labels), evidence)
    except Exception as error:  # noqa: BLE001  one task's mistake does not end the run
        outcome = outcome_of(error, attempt.labels)
    return Computed(outcome, checks, preparation, null)


def _null_floors(attempt: Attempt, preparation: Preparation) -> NullFloors:
    """What null SAEs score in the place of the one SAE of an attempt."""
    (member,), saes, session = preparation.members, attempt.saes, attempt.session
    return null_floors(
        member,
        attempt.job,
        lambda job: prepared_key(saes, saes.members[0], job, session),
        session.opening.store,
    )


def _on_stated_data(
    yielded: Sequence[Evidence | Missing], attempt: Attempt, preparation: Preparation
) -> list[Evidence | Missing]:
    """Evidence that says what it was measured on, where the task itself did not say it."""
    if all(isinstance(entry, Missing) or entry.units.data for entry in yielded):
        return list(yielded)
    distinct = {id(member.prepared): member for member in preparation.members}
    data: dict[str, str] = {}
    for number, member in enumerate(distinct.values()):
        stored = member.source.stored_rows is not None
        identity = member.source.identity if stored else None
        about = default_data(member.prepared, identity, attempt.job.seed)
        data |= {f"{name}_{number}" if number else name: text for name, text in about.items()}
    return list(on_data(yielded, data))


def prepare_members(attempt: Attempt) -> tuple[Member, ...]:
    """Open all sources, and have the task prepare once at each.

    Raises:
        PreflightError: if an SAE cannot belong to its source, whatever rows are read.
        NotApplicable: if the task cannot be served at one of them.
        SaevalError: if a source cannot be opened.
    """
    saes, job, session, clock = attempt.saes, attempt.job, attempt.session, attempt.clock
    store, count = session.opening.store, len(saes.members)
    sources, contents = {}, {}
    with saes.clock.phase("model"):
        for identity, member in saes.first_readers.items():
            with naming_member(member.named_sae.label, count):
                sources[identity] = session.sources.open(member.place)
    sources_of_members = [sources[saes.source(member)] for member in saes.members]
    refuse(check_structure(saes.members, sources_of_members))
    with clock.phase("prepare", job.task.name, job.seed) as phase:
        for identity, member in saes.first_readers.items():
            key = prepared_key(saes, member, job, session)
            make = partial(job.task.prepare, sources[identity], job.seed)
            with naming_member(member.named_sae.label, count):
                contents[identity], is_new = load_or_prepare(store, key, make)
            phase.tokens += _row_tokens(contents[identity]) if is_new else 0
    return tuple(
        Member(member.named_sae.label, member.sae, contents[identity], sources[identity])
        for member in saes.members
        for identity in [saes.source(member)]
    )


def run_preflight(saes: LoadedSAEs, members: Sequence[Member]) -> Checks:
    """The preflight, on the rows that the task reads."""
    sources = [member.source for member in members]
    return check_members(saes.members, sources, [member.prepared.rows for member in members])


def _reuse_result(attempt: Attempt, stored: Result, checks: Checks) -> tuple[Result, Checks]:
    """A stored result. Equal weights may come with other claims, which are then checked."""
    session, labels, saes = attempt.session, attempt.labels, attempt.saes
    label = labels.sae or labels.set or ""
    session.tell(ProgressStep("found", label, labels.task, labels.seed, total=session.total))
    warnings = stored.provenance.get("warnings", ())
    if portable(stored.provenance.get("claims")) != portable(claims_rows(saes)):
        try:
            checks = checks or _checked_without_rows(saes, session)
            refuse(checks)
        except SaevalError as error:
            return failed_result(labels, error, session.root), checks
        warnings = warnings_of(checks)
    session.warn(warnings)
    return under_label(session.root, stored, labels, _run_of(attempt)), checks


def _checked_without_rows(saes: LoadedSAEs, session: Session) -> Checks:
    """The preflight on sample rows, where no task has prepared any."""
    sources = [session.sources.open(member.place) for member in saes.members]
    with saes.clock.phase("preflight"):
        return check_members(saes.members, sources, [None] * len(sources))


def _write_result(attempt: Attempt, inputs: Mapping[str, Any], computed: Computed) -> Result:
    """Write what came of an attempt, and report it."""
    session, labels, saes = attempt.session, attempt.labels, attempt.saes
    facts = data_facts(computed.preparation.members)
    notices = [notice for item in facts if (notice := item.get("notice"))]
    warnings = [*warnings_of(computed.checks), *dict.fromkeys(notices)]
    null = computed.null
    warnings += [null.warning] if null and null.warning else []
    session.warn(warnings)
    about: dict[str, Any] = {"key": inputs}
    if facts:
        about["data"] = facts[0] if len(facts) == 1 else facts
    about["phases"] = {**saes.clock.timer.record(), **attempt.clock.timer.record()}
    about["warnings"] = warnings
    about |= origin_record(saes, session)
    if null:
        about["null_floors"] = dict(null.about)
    about["preflight"] = [check.row() for check in computed.checks]
    result = write_outcome(
        session.root,
        labels,
        computed.outcome,
        provenance=about,
        run=_run_of(attempt),
    )
    label = labels.sae or labels.set or ""
    session.tell(ProgressStep("computed", label, labels.task, labels.seed, total=session.total))
    return result


def _run_of(attempt: Attempt) -> dict[str, Any]:
    members = attempt.saes.members
    named_saes, places = (
        [member.named_sae for member in members],
        [member.place for member in members],
    )
    return run_of_result(attempt.session, named_saes, places, attempt.job)


def _count_tokens(members: Sequence[Member]) -> int:
    distinct = {id(member.prepared): member.prepared for member in members}
    return sum(map(_row_tokens, distinct.values()))


def _row_tokens(content: Prepared) -> int:
    rows = content.rows
    return 0 if rows is None else int(rows.mask.sum())
