"""Keys of a job: all that decides what its task prepares, and what the result is."""

from collections.abc import Sequence
from typing import Any

from saeval.running.identity import prepared_sha256
from saeval.running.jobs import Job
from saeval.running.loading import LoadedSAE, LoadedSAEs
from saeval.running.session import Session
from saeval.task import Member


def prepared_key(saes: LoadedSAEs, member: LoadedSAE, job: Job, session: Session) -> dict[str, Any]:
    """All that decides what the task prepares where a member reads.

    A task that does not declare its inputs is prepared anew in every run, so the run's id stands
    in their place.
    """
    if job.declares_inputs:
        inputs = job.inputs(session.sources.model_name(member.place))
    else:
        inputs = {"run": session.run_id}
    return {"source": saes.source(member), "seed": job.seed, **job.identity, "inputs": inputs}


def key_inputs(
    saes: LoadedSAEs, job: Job, session: Session, members: Sequence[Member]
) -> dict[str, Any]:
    """All that decides the result of a job.

    If all members read one source, its identity and the task's inputs there are single values.
    Otherwise both are lists in the order of the members.

    Args:
        saes: The SAEs.
        job: The task under a seed.
        session: Of the run.
        members: The SAEs with their prepared content, which enters the key for a task that does not
            declare its inputs. Empty where preparing failed.
    """
    keys = [prepared_key(saes, member, job, session) for member in saes.members]
    if not job.declares_inputs:
        contents = {
            id(scored_member.prepared): prepared_sha256(scored_member.prepared)
            for scored_member in members
        }
        hashes = [contents[id(scored_member.prepared)] for scored_member in members] or [
            None
        ] * len(keys)
        keys = [
            {**key, "inputs": {"prepared": content_hash}}
            for key, content_hash in zip(keys, hashes, strict=True)
        ]
    inputs = {"saes": [member.hash for member in saes.members], **keys[0]}
    if any(key != keys[0] for key in keys):
        inputs |= {name: [key[name] for key in keys] for name in ("source", "inputs")}
    return inputs
