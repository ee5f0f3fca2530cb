"""What SAELens's own list of published SAEs knows and ours lacks, written into registry.yaml.

    python -m saeval.registry.sae_lens_list registry.yaml [pretrained_saes.yaml]

rewrites the part of registry.yaml between two markers from the list in the installed sae-lens, or
in the file that is named. Facts are taken over: repository, path, model, hook, and figures; ids are
SAELens's own, `release/id`. What cannot be read exactly is left out, and the part says so.
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
from saeval.registry.families import wrapped, written
from saeval.registry.file import read_registry_file
from saeval.registry.model_names import canonical_name

PARTS = ("sae_lens", "sae_lens sets")
"""Names of the two parts of registry.yaml that are written here: entries, and their releases."""


@dataclass(frozen=True)
class Listed:
    """One SAE as SAELens lists it."""

    release: str
    id: str
    repository: str
    path: str
    model: str
    l0: float | None
    scale: float | None
    """Constant that training activations were multiplied by, where the list tells it."""
    centred: bool

    @property
    def layer(self) -> str | None:
        """The layer's number in the id, else in the path."""
        names = (self.id, self.path)
        hits = (re.search(r"(?:blocks\.|layer_?|\bl|\bL|-l)(\d+)", name) for name in names)
        return next((hit[1] for hit in hits if hit), None)


Rule = Callable[[Listed, Entry], Entry]


def _residual(listed: Listed, entry: Entry) -> Entry:
    return replace(entry, site=f"blocks.{listed.layer}.hook_resid_post")


def _by_id(listed: Listed, entry: Entry) -> Entry:
    """SAELens's own format: most ids are the hook. Its l0 is measured."""
    hook = re.match(r"blocks\.\d+\.hook_(?:resid_(?:pre|mid|post)|mlp_out|attn_out)", listed.id)
    return replace(entry, site=hook[0] if hook else None, expected=Expected(l0=listed.l0))


def _dictionary_learning(listed: Listed, entry: Entry) -> Entry:
    found = re.search(r"resid_post_layer_(\d+)", listed.path)
    return replace(entry, site=f"blocks.{found[1]}.hook_resid_post" if found else None)


def _gemma_scope(listed: Listed, entry: Entry) -> Entry:
    """The first release: the repository tells model and hook, the folder the measured l0."""
    size, tuned, kind = re.findall(r"gemma-scope-(\d+b)-(pt|it)-(res|mlp|att)", listed.repository)[
        0
    ]
    hook = {"res": "hook_resid_post", "mlp": "hook_mlp_out", "att": "attn.hook_z"}[kind]
    embedding = "embedding" in listed.path
    return replace(
        entry,
        model=f"google/gemma-2-{size}" + "-it" * (tuned == "it"),
        site="hook_embed" if embedding else f"blocks.{listed.layer}.{hook}",
        expected=Expected(l0=listed.l0),
        prepend_bos=True,
    )


def _gemma_scope_2(listed: Listed, entry: Entry) -> Entry:
    """The second release, whose l0 is a target and no figure."""
    hooks = {
        "resid_post": ("hook_resid_post", None),
        "mlp_out": ("hook_mlp_out", None),
        "attn_out": ("attn.hook_z", None),
        "transcoder": ("mlp.hook_in", "hook_mlp_out"),
    }
    read, write = hooks[listed.path.split("/")[0].removesuffix("_all")]
    return replace(
        entry,
        site=f"blocks.{listed.layer}.{read}",
        write_site=f"blocks.{listed.layer}.{write}" if write else None,
        prepend_bos=True,
    )


def _gemma_scope_transcoder(listed: Listed, entry: Entry) -> Entry:
    """They read the norm's value before its gain, which is computed from the stream before it."""
    return replace(
        entry,
        site=f"blocks.{listed.layer}.hook_resid_mid",
        write_site=f"blocks.{listed.layer}.hook_mlp_out",
        expected=Expected(l0=listed.l0),
        prepend_bos=True,
    )


def _llama_scope(listed: Listed, entry: Entry) -> Entry:  # noqa: ARG001, all rules take it
    """The files tell hooks and scales; for the distilled model's the list tells the scale."""
    return replace(entry, prepend_bos=True)


def _hook_z(listed: Listed, entry: Entry) -> Entry:
    site = f"blocks.{listed.layer}.attn.hook_z"
    return replace(entry, site=site, expected=Expected(l0=listed.l0))


def _one_layer(listed: Listed, entry: Entry) -> Entry:
    read, write = (f"blocks.{listed.layer}.{hook}" for hook in ("mlp.hook_in", "hook_mlp_out"))
    return replace(entry, site=read, write_site=write)


RULES: Mapping[str, tuple[str, Rule]] = {
    "sae_lens": ("sae_lens", _by_id),
    "gemma_2": ("gemma_scope", _gemma_scope),
    "gemma_2_transcoder": ("gemma_scope", _gemma_scope_transcoder),
    "gemma_3": ("gemma_scope", _gemma_scope_2),
    "llama_scope": ("llama_scope", _llama_scope),
    "llama_scope_r1_distill": ("llama_scope", _llama_scope),
    "dictionary_learning_1": ("dictionary_learning", _dictionary_learning),
    "connor_rob_hook_z": ("hook_z", _hook_z),
    "mwhanna_transcoder": ("circuit_tracer", _one_layer),
    "goodfire": ("goodfire", _residual),
    "deepseek_r1": ("goodfire", _residual),
    "qwen_scope": ("qwen_scope", _residual),
}
"""SAELens's names of formats, our loaders of them, and what the list tells of each."""
LEFT_OUT = {
    "mntss_clt_layer_transcoder": "layers of a cross-layer transcoder, which writes at many sites",
    "temporal": "temporal SAEs, whose latents depend on the whole text",
}
"""Formats that are not read, and why."""
ARITHMETIC = {"normalize_activations"}
"""What the list corrects in configurations and no entry can: such releases are left out."""


def read_list(text: str) -> tuple[list[tuple[str, Listed]], dict[str, str]]:
    """The SAEs of SAELens's list with their formats, and the releases left out with the reason.

    Raises:
        RegistryError: if it is no such list, or names a format that no rule is for.
    """
    try:
        found = parse_yaml(text)
    except ValueError as error:
        raise RegistryError(f"The list of SAELens is no YAML: {error}.") from error
    listed, left_out = [], {}
    for release, about in found.items():
        form = about.get("conversion_func") or "sae_lens"
        overrides = about.get("config_overrides") or {}
        if form in LEFT_OUT:
            left_out[release] = LEFT_OUT[form]
        elif wrong := ARITHMETIC & set(overrides):
            left_out[release] = f"its files are corrected by the list ({', '.join(wrong)})"
        elif form not in RULES:
            raise RegistryError(f"SAELens lists '{release}' as '{form}', which no rule is for.")
        else:
            listed += [(form, one) for one in _of_release(release, about, overrides)]
    return listed, left_out


def _of_release(
    release: str, about: Mapping[str, Any], overrides: Mapping[str, Any]
) -> Iterator[Listed]:
    processing = overrides.get("model_from_pretrained_kwargs") or {}
    for one in about["saes"]:
        if "id" in one and "path" in one and "saes" not in one:
            yield Listed(
                release=release,
                id=str(one["id"]),
                repository=about["repo_id"],
                path=str(one["path"]),
                model=canonical_name(about["model"]),
                l0=one.get("l0"),
                scale=one.get("norm_scaling_factor"),
                centred=processing.get("center_writing_weights") is True,
            )


def entries(listed: Iterable[tuple[str, Listed]], known: Iterable[Entry]) -> list[Entry]:
    """Registry entries for what is listed, less those whose files a known entry names already."""
    places = {_place(entry.source) for entry in known}
    made = []
    for form, one in listed:
        loader, rule = RULES[form]
        source = f"hf://{one.repository}/{one.path}"
        if _place(source) in places:
            continue
        places.add(_place(source))
        entry = Entry(
            id=f"{one.release}/{one.id}",
            source=source,
            loader=loader,
            model=one.model,
            centred=one.centred or None,
            input_scale=one.scale if form in ("sae_lens", "llama_scope_r1_distill") else None,
        )
        made.append(rule(one, entry))
    return made


def _place(source: str) -> tuple[str, str]:
    parsed = Source.parse(source)
    return parsed.repository, parsed.path


def replaced(registry: str, name: str, part: str) -> str:
    """registry.yaml with what stands between the two lines of a part replaced.

    Raises:
        RegistryError: if a line is missing.
    """
    begin, end = f"  # begin: {name}\n", f"  # end: {name}\n"
    before, found, rest = registry.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise RegistryError(f"The registry lacks the lines '{begin.strip()}' and '{end.strip()}'.")
    return f"{before}{begin}{part}{end}{after}"


def written_entries(made: Sequence[Entry], left_out: Mapping[str, str], version: str) -> str:
    """The part with entries: where it comes from, what is left out, and families of them."""
    reasons: dict[str, list[str]] = {}
    for release, why in left_out.items():
        reasons.setdefault(why, []).append(release)
    lines = [
        f"What SAELens {version} lists beside the above: {len(made):,} SAEs, under its own ids.",
        "Written by `python -m saeval.registry.sae_lens_list`; edit what stands above, not this.",
        "Source: sae_lens/pretrained_saes.yaml. Left out:",
        *(f"- {', '.join(releases)}: {why}" for why, releases in reasons.items()),
    ]
    return "".join(f"  # {line}\n" for line in lines) + written(made)


def written_releases(made: Sequence[Entry]) -> str:
    """The part with sets: one of each release that has several members."""
    counts = Counter(entry.id.split("/")[0] for entry in made)
    several = [release for release, count in counts.items() if count > 1]
    lines = wrapped("each: {release: [", several, "]}")
    fields = [*lines, "kind: members", 'members: ["{release}/*"]']
    return "  '{release}':\n    " + "\n    ".join(fields) + "\n"


def _unpacked_version(source: Path) -> str:
    """Version of a wheel that was unpacked, by the folder of its metadata."""
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
        registry = replaced(registry, name, "")
    empty = path.with_suffix(".part")
    empty.write_text(registry, encoding="utf-8")
    try:
        known = read_registry_file(empty)
    finally:
        empty.unlink()
    listed, left_out = read_list(source.read_text(encoding="utf-8"))
    spelt = {model.id.lower(): model.id for model in known.models}
    made = [
        replace(entry, model=spelt.get((entry.model or "").lower(), entry.model))
        for entry in entries(listed, known.entries)
    ]
    registry = replaced(registry, PARTS[0], written_entries(made, left_out, version))
    registry = replaced(registry, PARTS[1], written_releases(made))
    path.write_text(registry, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
