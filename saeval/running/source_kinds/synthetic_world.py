"""Synthetic worlds of the lab, named like models: activations from a known dictionary."""

from collections.abc import Sequence
from dataclasses import dataclass

from saeval.activations import ActivationSource
from saeval.config.options import DEFAULT_TASKS
from saeval.errors import ModelError, UsageError
from saeval.lab.synthetic import (
    SITE,
    WORLDS,
    find_spec,
    world_identity,
    world_name,
    world_source,
)
from saeval.running.opening import Opening
from saeval.running.places import SiteSpec
from saeval.running.preflight.checks import Claims


@dataclass(frozen=True)
class SyntheticWorlds:
    """The worlds, each with one site and a test sample that is drawn when it is first needed."""

    opening: Opening

    def place(self, claims: Claims) -> SiteSpec:
        """The world that the user or else the SAE names; its only site unless another is named."""
        site = self.opening.site or claims.read_site or SITE
        model = str(self.opening.model or claims.model)
        return SiteSpec(model, site, claims.write_site, claims.centred)

    def check(self) -> None:
        """Check that the world that the user names exists.

        Raises:
            UsageError: if it does not, with the names of the worlds.
        """
        world_identity(str(world_name(str(self.opening.model))))

    def identity(self, place: SiteSpec) -> str:
        """sha256 of all that determines the world's test sample."""
        return world_identity(self._world(place))

    def open(self, place: SiteSpec) -> ActivationSource:
        """The test sample as a source.

        Raises:
            ModelError: if the world does not exist, or lacks the site.
            UsageError: if it lacks the site that the user names.
        """
        return world_source(self._world(place))

    def default_tasks(self, model: str) -> Sequence[str]:
        """Worlds have tasks of their own, since their true latents are known."""
        return DEFAULT_TASKS["synthetic worlds"]

    def bytes_to_load(self, model: str) -> int | None:
        """Nothing: a world is computed on this machine."""
        return 0

    def _world(self, place: SiteSpec) -> str:
        world = str(world_name(place.model))
        if find_spec(world) is None:
            raise ModelError(f"There is no synthetic world '{world}', only {', '.join(WORLDS)}.")
        other_sites = {place.read_site, place.write_site or SITE} - {SITE}
        if other_sites or place.centred:
            lacking = f"'{min(other_sites)}'" if other_sites else "centred activations"
            raise (UsageError if self.opening.site else ModelError)(
                f"The synthetic world '{world}' has but one site, '{SITE}', and no {lacking}. Give "
                f"--site {SITE}, or the model that the SAE was trained on with --model."
            )
        return world
