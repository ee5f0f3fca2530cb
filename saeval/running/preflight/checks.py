"""Do an SAE and a model belong together? What it says of itself, and what is measured."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from saeval.activations import ActivationSource
from saeval.errors import ModelError, PreflightError, UsageError
from saeval.lab.synthetic import world_model, world_name
from saeval.models import canonical_name
from saeval.models.places import local_folder
from saeval.registry.entries import Expected
from saeval.running.preflight.reconstruction import Check, Sample, check_numbers
from saeval.sae import SAE, d_out, origin_of
from saeval.sae.site import joined, site_names

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Claims:
    """What an SAE says of where it belongs: its registry entry first, else its own files."""

    model: str | None = None
    """Hub id, TransformerLens name or whatever the files hold, with or without `@revision`."""
    read_site: str | None = None
    write_site: str | None = None
    prepend_bos: bool | None = None
    centred: bool = False
    expected: Expected = field(default_factory=Expected)
    """Figures that its entry promises."""


def claims_of(sae: SAE, expected: Expected) -> Claims:
    """What an SAE's origin says, and what its entry promises."""
    origin = origin_of(sae)
    return Claims(
        origin.model,
        origin.read_site,
        origin.write_site,
        origin.prepend_bos,
        origin.centred,
        expected,
    )


def preflight(
    sae: SAE, claims: Claims, source: ActivationSource, sample: Sample | None
) -> tuple[Check, ...]:
    """Every check that can be made. The numerical ones need a sample and fitting widths."""
    checks = [check_width(sae, source), *check_model(claims, source), *check_sites(claims, source)]
    if sample is None or checks[0].status == "error":
        return tuple(checks)
    checks.append(check_bos(claims, sample))
    return (*checks, *check_numbers(sae, claims.expected, sample))


def refuse(checks: Sequence[Check]) -> None:
    """Do nothing if all is well.

    Raises:
        PreflightError: with every error among the checks.
    """
    wrong = [check.message for check in checks if check.status == "error"]
    if wrong:
        raise PreflightError(" ".join(wrong))


def warnings_of(checks: Sequence[Check]) -> tuple[str, ...]:
    """Messages of the mismatches that may be legitimate."""
    return tuple(check.message for check in checks if check.status == "warning")


def check_width(sae: SAE, source: ActivationSource) -> Check:
    """The SAE reads and writes vectors as wide as the sites'."""
    mine, theirs = (sae.d_in, d_out(sae)), (source.widths.d_in, source.widths.d_out)
    expected, observed = f"d_in {mine[0]}, d_out {mine[1]}", f"d_in {theirs[0]}, d_out {theirs[1]}"
    if mine == theirs:
        return Check("width", "ok", expected, observed)
    place = f"'{source.sites}' of '{source.name}'" if source.sites.read else f"'{source.name}'"
    return Check(
        "width",
        "error",
        expected,
        observed,
        f"The SAE has {expected}, but {place} has {observed}. Give the model and site it was "
        "trained on with --model and --site.",
    )


def check_model(claims: Claims, source: ActivationSource) -> list[Check]:
    """The model is the one the SAE names; an error only where both are hub ids."""
    model = source.model
    if model is None:
        return _check_world(claims, source)
    observed = model.name + (f"@{model.revision}" if model.revision else "")
    if claims.model is None:
        return [Check("model", "unknown", "", observed)]
    name, _, revision = claims.model.partition("@")
    named = canonical_name(name)
    same = not model.is_local and named.lower() == canonical_name(model.name).lower()
    if _in_full(claims.model) == _in_full(model.name) or (
        same and not _other_commit(revision, model.revision)
    ):
        return [Check("model", "ok", claims.model, observed)]
    if same or model.is_local or "/" not in named:
        message = f"The SAE names the model '{claims.model}', "
        message += f"not '{observed}'." if same else f"which cannot be compared with '{observed}'."
        return [Check("model", "warning", claims.model, observed, message)]
    return [
        Check(
            "model",
            "error",
            claims.model,
            observed,
            f"The SAE was trained on '{claims.model}', not on '{model.name}'. Give "
            f"--model {named}, or list the SAE in a registry.yaml with 'model: {model.name}' to "
            "score it there on purpose.",
        )
    ]


def _in_full(model: str) -> str:
    """A folder by its path, a model of the lab as `lab://world/model`; others as they are named."""
    if folder := local_folder(model):
        return str(folder.resolve())
    if not model.startswith("lab/"):
        return model
    return f"lab://{model.removeprefix('lab/').removesuffix('/model')}/model"


def _check_world(claims: Claims, source: ActivationSource) -> list[Check]:
    """The synthetic world is the one the SAE names, where both are worlds."""
    claimed, read = world_name(claims.model or ""), world_name(source.name)
    if claimed is None or read is None:
        return []
    if claimed == read:
        return [Check("model", "ok", claimed, read)]
    return [
        Check(
            "model",
            "error",
            claimed,
            read,
            f"The SAE was trained on the synthetic world '{claimed}', not on '{read}'. Give "
            f"--model {world_model(claimed)}, or list the SAE in a registry.yaml with 'model: "
            f"{source.name}' to score it there on purpose.",
        )
    ]


def _other_commit(named: str, loaded: str | None) -> bool:
    """Whether both are commits and differ; what a branch or tag means is not known here."""
    return bool(_COMMIT.fullmatch(named)) and loaded is not None and named != loaded


def check_sites(claims: Claims, source: ActivationSource) -> list[Check]:
    """The sites are those the SAE names; others of equal width are allowed, and recorded."""
    model = source.model
    pairs = (
        ("site", claims.read_site, joined(source.sites.read)),
        ("write site", claims.write_site, joined(source.sites.write)),
    )
    checks = []
    for name, named, given in pairs:
        if model is None or named is None:
            continue
        try:
            meant = joined(model.resolve(site) for site in site_names(named))
        except (ModelError, UsageError):
            meant = ""
        message = ""
        if meant != given:
            message = (
                f"The SAE names the {name} '{named}', and is read at '{given}' of '{model.name}'."
            )
        checks.append(Check(name, "warning" if message else "ok", named, given, message))
    return checks


def check_bos(claims: Claims, sample: Sample) -> Check:
    """Rows begin with BOS as in training. It is never scored, but attention sees it."""
    words = {True: "rows begin with BOS", False: "rows without BOS", None: ""}
    expected, observed = words[claims.prepend_bos], words[sample.begins_with_bos]
    if not expected or not observed:
        return Check("bos", "unknown", expected, observed)
    if expected == observed:
        return Check("bos", "ok", expected, observed)
    message = f"The SAE was trained on {expected}, and is scored on {observed}."
    return Check("bos", "warning", expected, observed, message)
