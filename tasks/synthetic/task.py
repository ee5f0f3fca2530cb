"""Synthetic: how well an SAE recovers the dictionary that its activations were made from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from saeval.activations import ActivationSource, TokenRows, read_codes
from saeval.config.counts import Limit, check_counts, limited_count
from saeval.errors import NotApplicable, UsageError
from saeval.evidence import DIGEST_LENGTH, Evidence, Missing, on_data
from saeval.lab.synthetic import SyntheticWorld, evaluation_sample, world_of
from saeval.sae import SAE, traits_of
from saeval.task import Prepared

from .evidence import recovery_evidence
from .tables import CodesAndTruth, recovery_tables


@dataclass(frozen=True)
class Synthetic:
    """Directions and firing of an SAE's latents against the features planted in a world.

    Nothing is drawn anew, so that the seed changes nothing.
    """

    name: ClassVar[str] = "synthetic"
    version: ClassVar[int] = 2
    headline: ClassVar[tuple[str, ...]] = (
        "mcc",
        "f1",
        "coverage",
        "uniqueness",
        "f1_nearest",
        "dead",
        "shrinkage",
    )

    covered_from: float = 0.8
    """|cosine| with the closest latent from which a feature counts as covered. Source: arXiv
    2602.14111."""
    limit: Limit | None = None
    """Read no more activations than this, or such a share of them (0.1); None: all that the world
    is evaluated on."""

    def __post_init__(self) -> None:
        if not 0 < self.covered_from <= 1:
            raise UsageError(
                f"synthetic.covered_from must be above 0 and at most 1, not {self.covered_from}."
            )
        check_counts(self, {"limit": 1})

    def prepare(self, source: ActivationSource, seed: int) -> Prepared:
        """Choose the activations.

        Raises:
            NotApplicable: if the source is no synthetic world, so that there is no truth.
        """
        world, rows = _world_and_rows(source)
        rows = rows.take(slice(0, limited_count(self.limit, len(rows))))
        truth = evaluation_sample(world.spec.name).truth[: len(rows)]
        facts = {
            "data": source.name,
            "digest": source.identity,
            "activations": len(rows),
            "features": world.spec.features,
            "l0": truth.nnz / len(rows),
        }
        return Prepared(facts=facts, rows=rows)

    def inputs(self, model: str | None) -> None:
        """Nothing is read that neither the model nor a field decides."""

    def score(
        self, sae: SAE, prepared: Prepared, source: ActivationSource, seed: int
    ) -> Iterator[Evidence | Missing]:
        """Match latents with features by their directions; then compare when they fire."""
        world, rows = _world_and_rows(source)[0], prepared.required_rows
        traits = traits_of(sae)
        if traits.several_sites:
            raise NotApplicable(
                f"A synthetic world has a single site, and this SAE reads or writes "
                f"{', '.join(dict.fromkeys((*traits.read_sites, *traits.write_sites)))} "
                "together. Score it on the model that it was trained on."
            )
        W_dec = sae.W_dec.detach().double().cpu().numpy()
        tables = recovery_tables(
            W_dec, _codes_and_truth(sae, source, rows, world), world, self.covered_from
        )
        data = {"activations": source.identity, "rows": rows.digest[:DIGEST_LENGTH]}
        yield from on_data(recovery_evidence(tables, world.kind), data)


def _codes_and_truth(
    sae: SAE, source: ActivationSource, rows: TokenRows, world: SyntheticWorld
) -> Iterator[CodesAndTruth]:
    """Codes of an SAE and true magnitudes of the features, batch by batch."""
    truth = evaluation_sample(world.spec.name).truth
    for batch, codes in read_codes(source, sae, rows):
        yield codes, truth[rows.ids[batch.rows, 0]]


def _world_and_rows(source: ActivationSource) -> tuple[SyntheticWorld, TokenRows]:
    """The world that a source reads, and all its rows.

    Raises:
        NotApplicable: if it reads none.
    """
    world, rows = world_of(source), source.stored_rows
    if world is None or rows is None:
        raise NotApplicable(
            f"Nobody knows the true features of '{source.name}': only synthetic worlds, such as "
            "lab://synthetic/base, have a truth to be scored against."
        )
    return world, rows
