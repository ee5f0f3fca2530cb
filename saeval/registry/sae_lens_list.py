"""Adds to registry.yaml the SAEs that SAELens's list of published SAEs has and registry.yaml lacks.

    python -m saeval.registry.sae_lens_list registry.yaml [pretrained_saes.yaml]

rewrites the parts of registry.yaml between markers from the list in the installed sae-lens, or in
the file that is named. It takes over facts: repository, path, model, hook, and figures. Ids are
SAELens's own, `release/id`. SAEs that cannot be read exactly are left out; a comment lists them.
"""

import importlib.metadata
import importlib.util
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from saeval.config.strict_yaml import parse_yaml
from saeval.errors import RegistryError
from saeval.registry.entries import Entry, Expected, Source
from saeval.registry.families import families_yaml, wrap_items
from saeval.registry.file import read_registry_file
from saeval.registry.model_names import canonical_name

PARTS = ("sae_lens", "sae_lens sets")
"""Names of the two parts of registry.yaml that are rewritten: entries, and sets of them."""


@dataclass(frozen=True)
class ListedSAE:
    """One SAE as SAELens lists it."""

    release: str
    id: str
    repository: str
    path: str
    model: str
    l0: float | None
    scale: float | None
    """Constant that the training activations were multiplied by, if the list gives it."""
    centred: bool

    @property
    def layer(self) -> str | None:
        """The layer's number in the id, or else in the path."""
        names = (self.id, self.path)
        matches = (re.search(r"(?:blocks\.|layer_?|\bl|\bL|-l)(\d+)", name) for name in names)
        return next((match[1] for match in matches if match), None)


Rule = Callable[[ListedSAE, Entry], Entry]
"""Adds to an entry what SAELens's list implies for SAEs of one format."""


def _residual_rule(sae: ListedSAE, entry: Entry) -> Entry:
    return replace(entry, site=f"blocks.{sae.layer}.hook_resid_post")


def _sae_lens_rule(sae: ListedSAE, entry: Entry) -> Entry:
    """SAELens's own format: most ids are the hook. The l0 of the list was measured."""
    hook = re.match(r"blocks\.\d+\.hook_(?:resid_(?:pre|mid|post)|mlp_out|attn_out)", sae.id)
    return replace(entry, site=hook[0] if hook else None, expected=Expected(l0=sae.l0))


def _dictionary_learning_rule(sae: ListedSAE, entry: Entry) -> Entry:
    layer = re.search(r"resid_post_layer_(\d+)", sae.path)
    return replace(entry, site=f"blocks.{layer[1]}.hook_resid_post" if layer else None)


def _gemma_scope_rule(sae: ListedSAE, entry: Entry) -> Entry:
    """The first release: the repository gives model and hook, the folder the measured l0."""
    size, tuning, output = re.findall(r"gemma-scope-(\d+b)-(pt|it)-(res|mlp|att)", sae.repository)[
        0
    ]
    hook = {"res": "hook_resid_post", "mlp": "hook_mlp_out", "att": "attn.hook_z"}[output]
    embedding = "embedding" in sae.path
    return replace(
        entry,
        model=f"google/gemma-2-{size}" + "-it" * (tuning == "it"),
        site="hook_embed" if embedding else f"blocks.{sae.layer}.{hook}",
        expected=Expected(l0=sae.l0),
        prepend_bos=True,
    )


def _gemma_scope_2_rule(sae: ListedSAE, entry: Entry) -> Entry:
    """The second release. Its l0 is a target of the training, not a measured figure."""
    hooks = {
        "resid_post": ("hook_resid_post", None),
        "mlp_out": ("hook_mlp_out", None),
        "attn_out": ("attn.hook_z", None),
        "transcoder": ("mlp.hook_in", "hook_mlp_out"),
    }
    read, write = hooks[sae.path.split("/")[0].removesuffix("_all")]
    return replace(
        entry,
        site=f"blocks.{sae.layer}.{read}",
        write_site=f"blocks.{sae.layer}.{write}" if write else None,
        prepend_bos=True,
    )


def _gemma_scope_transcoder_rule(sae: ListedSAE, entry: Entry) -> Entry:
    """They read the norm's output before its gain, which is computed from the stream before it."""
    return replace(
        entry,
        site=f"blocks.{sae.layer}.hook_resid_mid",
        write_site=f"blocks.{sae.layer}.hook_mlp_out",
        expected=Expected(l0=sae.l0),
        prepend_bos=True,
    )


def _llama_scope_rule(sae: ListedSAE, entry: Entry) -> Entry:  # noqa: ARG001, all rules take it
    """The files give hooks and scales; for the distilled model the list gives the scales."""
    return replace(entry, prepend_bos=True)


def _hook_z_rule(sae: ListedSAE, entry: Entry) -> Entry:
    site = f"blocks.{sae.layer}.attn.hook_z"
    return replace(entry, site=site, expected=Expected(l0=sae.l0))


def _transcoder_rule(sae: ListedSAE, entry: Entry) -> Entry:
    read, write = (f"blocks.{sae.layer}.{hook}" for hook in ("mlp.hook_in", "hook_mlp_out"))
    return replace(entry, site=read, write_site=write)


RULES: Mapping[str, tuple[str, Rule]] = {
    "sae_lens": ("sae_lens", _sae_lens_rule),
    "gemma_2": ("gemma_scope", _gemma_scope_rule),
    "gemma_2_transcoder": ("gemma_scope", _gemma_scope_transcoder_rule),
    "gemma_3": ("gemma_scope", _gemma_scope_2_rule),
    "llama_scope": ("llama_scope", _llama_scope_rule),
    "llama_scope_r1_distill": ("llama_scope", _llama_scope_rule),
    "dictionary_learning_1": ("dictionary_learning", _dictionary_learning_rule),
    "connor_rob_hook_z": ("hook_z", _hook_z_rule),
    "mwhanna_transcoder": ("circuit_tracer", _transcoder_rule),
    "goodfire": ("goodfire", _residual_rule),
    "deepseek_r1": ("goodfire", _residual_rule),
    "qwen_scope": ("qwen_scope", _residual_rule),
}
"""By SAELens's name of a format: the name of our loader for it, and its rule."""
SCALED = {"sae_lens", "llama_scope_r1_distill"}
"""Formats whose files lack the scale of the input that the list gives."""
LEFT_OUT = {
    "mntss_clt_layer_transcoder": "layers of a cross-layer transcoder, which writes at many sites",
    "temporal": "temporal SAEs, whose latents depend on the whole text",
}
"""Formats that no loader reads, and why."""
CORRECTIONS = {"normalize_activations"}
"""Settings of releases that the list corrects and an entry cannot: such releases are left out."""


def read_list(text: str) -> tuple[list[tuple[str, ListedSAE]], dict[str, str]]:
    """The SAEs of SAELens's list with their formats, and the releases left out with the reasons.

    Raises:
        RegistryError: if the text is not such a list, or names a format that has no rule.
    """
    try:
        releases = parse_yaml(text)
    except ValueError as error:
        raise RegistryError(f"The list of SAELens is no YAML: {error}.") from error
    saes, left_out = [], {}
    for release, fields in releases.items():
        format_name = fields.get("conversion_func") or "sae_lens"
        overrides = fields.get("config_overrides") or {}
        if format_name in LEFT_OUT:
            left_out[release] = LEFT_OUT[format_name]
        elif corrections := CORRECTIONS & set(overrides):
            left_out[release] = f"its files are corrected by the list ({', '.join(corrections)})"
        elif format_name not in RULES:
            raise RegistryError(
                f"SAELens lists '{release}' as '{format_name}', which no rule is for."
            )
        else:
            saes += [(format_name, sae) for sae in _release_saes(release, fields, overrides)]
    return saes, left_out


def _release_saes(
    release: str, fields: Mapping[str, Any], overrides: Mapping[str, Any]
) -> Iterator[ListedSAE]:
    processing = overrides.get("model_from_pretrained_kwargs") or {}
    for item in fields["saes"]:
        if "id" in item and "path" in item and "saes" not in item:
            yield ListedSAE(
                release=release,
                id=str(item["id"]),
                repository=fields["repo_id"],
                path=str(item["path"]),
                model=canonical_name(fields["model"]),
                l0=item.get("l0"),
                scale=item.get("norm_scaling_factor"),
                centred=processing.get("center_writing_weights") is True,
            )


def new_entries(saes: Iterable[tuple[str, ListedSAE]], registered: Iterable[Entry]) -> list[Entry]:
    """Entries for the listed SAEs, except those whose files another entry names already."""
    addresses = {_address(entry.source) for entry in registered}
    added = []
    for format_name, sae in saes:
        loader, rule = RULES[format_name]
        source = f"hf://{sae.repository}/{sae.path}"
        if _address(source) in addresses:
            continue
        addresses.add(_address(source))
        entry = Entry(
            id=f"{sae.release}/{sae.id}",
            source=source,
            loader=loader,
            model=sae.model,
            centred=sae.centred or None,
            input_scale=sae.scale if format_name in SCALED else None,
        )
        added.append(rule(sae, entry))
    return added


def _address(source: str) -> tuple[str, str]:
    parsed = Source.parse(source)
    return parsed.repository, parsed.path


def replace_part(registry: str, part_name: str, part: str) -> str:
    """The text of registry.yaml with the content between a part's two markers replaced.

    Raises:
        RegistryError: if a marker is missing.
    """
    begin, end = f"  # begin: {part_name}\n", f"  # end: {part_name}\n"
    before, begin_line, rest = registry.partition(begin)
    _, end_line, after = rest.partition(end)
    if not begin_line or not end_line:
        raise RegistryError(f"The registry lacks the lines '{begin.strip()}' and '{end.strip()}'.")
    return f"{before}{begin}{part}{end}{after}"


def entries_part(added: Sequence[Entry], left_out: Mapping[str, str], version: str) -> str:
    """The part with entries: a comment on its source and what is left out, then the families."""
    reasons: dict[str, list[str]] = {}
    for release, reason in left_out.items():
        reasons.setdefault(reason, []).append(release)
    lines = [
        f"What SAELens {version} lists beside the above: {len(added):,} SAEs, under its own ids.",
        "Written by `python -m saeval.registry.sae_lens_list`; edit what stands above, not this.",
        "Source: sae_lens/pretrained_saes.yaml. Left out:",
        *(f"- {', '.join(releases)}: {reason}" for reason, releases in reasons.items()),
    ]
    return "".join(f"  # {line}\n" for line in lines) + families_yaml(added)


def releases_part(added: Sequence[Entry]) -> str:
    """The part with sets: one for each release that has several members."""
    counts = Counter(entry.id.split("/")[0] for entry in added)
    releases = [release for release, count in counts.items() if count > 1]
    lines = wrap_items("each: {release: [", releases, "]}")
    fields = [*lines, "kind: members", 'members: ["{release}/*"]']
    return "  '{release}':\n    " + "\n    ".join(fields) + "\n"


def _unpacked_version(source: Path) -> str:
    """Version of an unpacked wheel, from the name of its metadata folder."""
    metadata = sorted(source.absolute().parents[1].glob("sae_lens-*.dist-info"))
    return metadata[0].name.split("-")[1].removesuffix(".dist") if metadata else "(version unknown)"


def main(arguments: Sequence[str]) -> None:
    """Rewrite a registry from the installed list, or from the file that is named.

    Raises:
        RegistryError: if SAELens is not installed, or either file is not what it should be.
    """
    path = Path(arguments[0])
    if len(arguments) > 1:
        source = Path(arguments[1])
        version = _unpacked_version(source)
    else:
        spec = importlib.util.find_spec("sae_lens")
        if spec is None or spec.origin is None:
            raise RegistryError("sae-lens is not installed. Name its pretrained_saes.yaml.")
        source = Path(spec.origin).with_name("pretrained_saes.yaml")
        version = importlib.metadata.version("sae-lens")
    registry = path.read_text(encoding="utf-8")
    for name in PARTS:
        registry = replace_part(registry, name, "")
    # Entries that an earlier run wrote must not count as registered: they are taken out first.
    empty = path.with_suffix(".part")
    empty.write_text(registry, encoding="utf-8")
    try:
        registered = read_registry_file(empty)
    finally:
        empty.unlink()
    saes, left_out = read_list(source.read_text(encoding="utf-8"))
    spellings = {model.id.lower(): model.id for model in registered.models}
    added = [
        replace(entry, model=spellings.get((entry.model or "").lower(), entry.model))
        for entry in new_entries(saes, registered.entries)
    ]
    registry = replace_part(registry, PARTS[0], entries_part(added, left_out, version))
    registry = replace_part(registry, PARTS[1], releases_part(added))
    path.write_text(registry, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
