"""Do an SAE and a model belong together? The SAE's claims against the model and measurements."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from saeval.activations import ActivationSource
from saeval.errors import ModelError, PreflightError, UsageError
from saeval.lab.synthetic import world_model, world_name
from saeval.models import canonical_name
from saeval.models.places import local_folder
from saeval.registry.entries import Expected
from saeval.running.preflight.reconstruction import (
    ActivationSample,
    Check,
    RowStarts,
    check_numbers,
)
from saeval.sae import SAE, d_out, origin_of
from saeval.sae.site import joined, site_names

BOS_LEFT_AWAY = "Rows are read without BOS at their start, since the SAE was trained so."
BOS_UNTOLD = (
    "Rows begin with BOS, as is usual, though the tokenizer does not add it by itself, and nothing "
    "says whether the SAE was trained so. If it was not, say prepend_bos: false in a "
    "registry.yaml, or core.prepend_bos=false."
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Claims:
    """The model and sites that an SAE claims to belong to, by its registry entry or its files."""

    model: str | None = None
    """Hub id, TransformerLens name or any other name in the files, with or without `@revision`."""
    read_site: str | None = None
    write_site: str | None = None
    prepend_bos: bool | None = None
    centred: bool = False
    expected: Expected = field(default_factory=Expected)
    """Figures that its registry entry promises."""


def claims_of(sae: SAE, expected: Expected) -> Claims:
    """The claims of an SAE's origin, with the figures that its entry promises."""
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
    sae: SAE, claims: Claims, source: ActivationSource, sample: ActivationSample | None
) -> tuple[Check, ...]:
    """All checks that are possible. The numerical ones need a sample, and widths that agree."""
    checks = [check_width(sae, source), *check_model(claims, source), *check_sites(claims, source)]
    if sample is None or checks[0].status == "error":
        return tuple(checks)
    checks.append(check_bos(claims, sample))
    return (*checks, *check_numbers(sae, claims.expected, sample))


def refuse(checks: Sequence[Check]) -> None:
    """Refuse to score if a check failed.

    Raises:
        PreflightError: with the messages of all errors among the checks.
    """
    messages = [check.message for check in checks if check.status == "error"]
    if messages:
        raise PreflightError(" ".join(messages))


def warnings_of(checks: Sequence[Check]) -> tuple[str, ...]:
    """Messages of the mismatches that may be legitimate, and what else readers must know."""
    return tuple(check.message for check in checks if check.status != "error" and check.message)


def check_width(sae: SAE, source: ActivationSource) -> Check:
    """The SAE reads and writes vectors of the sites' widths."""
    sae_widths, site_widths = (sae.d_in, d_out(sae)), (source.widths.d_in, source.widths.d_out)
    expected, observed = (
        f"d_in {sae_widths[0]}, d_out {sae_widths[1]}",
        f"d_in {site_widths[0]}, d_out {site_widths[1]}",
    )
    if sae_widths == site_widths:
        return Check("width", "ok", expected, observed)
    site = f"'{source.sites}' of '{source.name}'" if source.sites.read else f"'{source.name}'"
    return Check(
        "width",
        "error",
        expected,
        observed,
        f"The SAE has {expected}, but {site} has {observed}. Give the model and site it was "
        "trained on with --model and --site.",
    )


def check_model(claims: Claims, source: ActivationSource) -> list[Check]:
    """The model is the one that the SAE names. A mismatch is an error only between hub ids."""
    model = source.model
    if model is None:
        return _check_world(claims, source)
    observed = model.name + (f"@{model.revision}" if model.revision else "")
    if claims.model is None:
        return [Check("model", "unknown", "", observed)]
    name, _, revision = claims.model.partition("@")
    claimed = canonical_name(name)
    same_name = not model.is_local and claimed.lower() == canonical_name(model.name).lower()
    if _full_name(claims.model) == _full_name(model.name) or (
        same_name and not _commits_differ(revision, model.revision)
    ):
        return [Check("model", "ok", claims.model, observed)]
    if same_name or model.is_local or "/" not in claimed:
        message = f"The SAE names the model '{claims.model}', "
        message += (
            f"not '{observed}'." if same_name else f"which cannot be compared with '{observed}'."
        )
        return [Check("model", "warning", claims.model, observed, message)]
    return [
        Check(
            "model",
            "error",
            claims.model,
            observed,
            f"The SAE was trained on '{claims.model}', not on '{model.name}'. Give "
            f"--model {claimed}, or list the SAE in a registry.yaml with 'model: {model.name}' to "
            "score it there on purpose.",
        )
    ]


def _full_name(model: str) -> str:
    """A name that can be compared: a folder's path, `lab://world/model`, or the name itself."""
    if folder := local_folder(model):
        return str(folder.resolve())
    if not model.startswith("lab/"):
        return model
    return f"lab://{model.removeprefix('lab/').removesuffix('/model')}/model"


def _check_world(claims: Claims, source: ActivationSource) -> list[Check]:
    """The synthetic world is the one that the SAE names; no check unless both are worlds."""
    claimed, world = world_name(claims.model or ""), world_name(source.name)
    if claimed is None or world is None:
        return []
    if claimed == world:
        return [Check("model", "ok", claimed, world)]
    return [
        Check(
            "model",
            "error",
            claimed,
            world,
            f"The SAE was trained on the synthetic world '{claimed}', not on '{world}'. Give "
            f"--model {world_model(claimed)}, or list the SAE in a registry.yaml with 'model: "
            f"{source.name}' to score it there on purpose.",
        )
    ]


def _commits_differ(claimed: str, loaded: str | None) -> bool:
    """Whether both are commits and differ. The commit of a branch or tag is not known here."""
    return bool(_COMMIT.fullmatch(claimed)) and loaded is not None and claimed != loaded


def check_sites(claims: Claims, source: ActivationSource) -> list[Check]:
    """The sites are those that the SAE names. Others of equal width are allowed, with a warning."""
    model = source.model
    pairs = (
        ("site", claims.read_site, joined(source.sites.read)),
        ("write site", claims.write_site, joined(source.sites.write)),
    )
    checks = []
    for name, claimed, actual in pairs:
        if model is None or claimed is None:
            continue
        try:
            claimed_path = joined(model.resolve(site) for site in site_names(claimed))
        except (ModelError, UsageError):
            claimed_path = ""
        message = ""
        if claimed_path != actual:
            message = f"The SAE names the {name} '{claimed}', and is read at '{actual}' of "
            message += f"'{model.name}'."
        checks.append(Check(name, "warning" if message else "ok", claimed, actual, message))
    return checks


def check_bos(claims: Claims, sample: ActivationSample | RowStarts) -> Check:
    """Rows begin with BOS if they did in training. BOS is never scored, but attention sees it.

    Its message also tells where BOS is left away for the SAE's sake, and where it is put before
    texts although neither the SAE nor the tokenizer asks for it.
    """
    words = {True: "rows that begin with BOS", False: "rows without BOS", None: ""}
    expected, observed = words[claims.prepend_bos], words[sample.begins_with_bos]
    adds_bos = sample.tokenizer_adds_bos
    if not expected or not observed:
        is_untold = not expected and sample.begins_with_bos and adds_bos is False
        return Check("bos", "unknown", expected, observed, BOS_UNTOLD if is_untold else "")
    if expected == observed:
        is_left_away = claims.prepend_bos is False and adds_bos is not None
        return Check("bos", "ok", expected, observed, BOS_LEFT_AWAY if is_left_away else "")
    message = f"The SAE was trained on {expected}, and is scored on {observed}."
    return Check("bos", "warning", expected, observed, message)
