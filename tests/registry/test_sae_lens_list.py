"""SAELens's list becomes registry entries: its facts, our loaders, nothing twice."""

from collections import Counter
from pathlib import Path
from textwrap import dedent

import pytest

from saeval.config import plugins
from saeval.errors import RegistryError
from saeval.registry import sae_lens_list
from saeval.registry.entries import Source
from saeval.registry.lookup import load_registry, registry_files

LIST = """
    zoo-res:
      model: gpt2-small
      repo_id: org/zoo
      config_overrides: {model_from_pretrained_kwargs: {center_writing_weights: true}}
      saes:
      - {id: blocks.0.hook_resid_pre, path: blocks.0, l0: 12.5, variance_explained: 0.9}
      - {id: blocks.1.hook_resid_pre, path: blocks.1, l0: 14.0}
      - {id: blocks.2.hook_resid_pre, path: known}
    scope-res:
      model: gemma-2-2b
      repo_id: google/gemma-scope-2b-pt-res
      conversion_func: gemma_2
      saes: [{id: layer_3/width_16k/average_l0_59, path: layer_3/width_16k/average_l0_59, l0: 59}]
    scope-transcoders:
      model: gemma-2-2b
      repo_id: google/gemma-scope-2b-pt-transcoders
      conversion_func: gemma_2_transcoder
      saes: [{id: layer_3/width_16k/average_l0_9, path: layer_3/width_16k/average_l0_9, l0: 9}]
    distilled:
      model: deepseek-ai/DeepSeek-R1-Distill-Llama-8B
      repo_id: org/distilled
      conversion_func: llama_scope_r1_distill
      saes: [{id: l15r, path: L15R, norm_scaling_factor: 0.125}]
    across:
      model: gemma-2-2b
      repo_id: org/clt
      conversion_func: mntss_clt_layer_transcoder
      saes: [{id: layer_0, path: "0"}]
    corrected:
      model: mistral-7b
      repo_id: org/corrected
      config_overrides: {normalize_activations: expected_average_only_in}
      saes: [{id: blocks.8.hook_resid_pre, path: blocks.8}]
"""
OURS = """
    models:
      google/gemma-2-2b: {family: Gemma 2, layers: 26, d_model: 2304}
    saes:
      - {id: mine/known, source: hf://org/zoo/known, model: openai-community/gpt2}
      # begin: sae_lens
      # end: sae_lens
    sets:
      # begin: sae_lens sets
      # end: sae_lens sets
      mine/both: {kind: members, members: [mine/known, zoo-res/blocks.0.hook_resid_pre]}
"""


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    """A registry of ours and a list of theirs."""
    ours, theirs = tmp_path / "registry.yaml", tmp_path / "sae_lens" / "pretrained_saes.yaml"
    theirs.parent.mkdir()
    empty = OURS.replace(", zoo-res/blocks.0.hook_resid_pre", "")
    ours.write_text(dedent(empty).lstrip())
    theirs.write_text(dedent(LIST))
    return ours, theirs


def test_a_list_becomes_entries(paths: tuple[Path, Path]) -> None:
    """Repository, model, hook and figures arrive; what is known, or cannot be read, does not."""
    ours, theirs = paths
    sae_lens_list.main([str(ours), str(theirs)])
    registry = load_registry([ours])
    found = registry.entries
    assert set(found) == {
        "mine/known",
        "zoo-res/blocks.0.hook_resid_pre",
        "zoo-res/blocks.1.hook_resid_pre",
        "scope-res/layer_3/width_16k/average_l0_59",
        "scope-transcoders/layer_3/width_16k/average_l0_9",
        "distilled/l15r",
    }
    first = found["zoo-res/blocks.0.hook_resid_pre"]
    assert first.source == "hf://org/zoo/blocks.0"
    assert (first.model, first.site) == ("openai-community/gpt2", "blocks.0.hook_resid_pre")
    assert (first.expected.l0, first.centred, first.loader) == (12.5, True, "sae_lens")
    scope = found["scope-res/layer_3/width_16k/average_l0_59"]
    assert (scope.site, scope.expected.l0) == ("blocks.3.hook_resid_post", 59.0)
    transcoder = found["scope-transcoders/layer_3/width_16k/average_l0_9"]
    assert transcoder.site == "blocks.3.hook_resid_mid"
    assert transcoder.write_site == "blocks.3.hook_mlp_out"
    assert found["distilled/l15r"].input_scale == 0.125
    assert registry.sets["zoo-res"].members == (
        "zoo-res/blocks.0.hook_resid_pre",
        "zoo-res/blocks.1.hook_resid_pre",
    )


def test_what_is_left_out_is_said(paths: tuple[Path, Path]) -> None:
    """The part says where it is from, how many it lists, and which releases it lacks and why."""
    ours, theirs = paths
    sae_lens_list.main([str(ours), str(theirs)])
    text = ours.read_text()
    assert "lists beside the above: 5 SAEs" in text
    assert "- across: layers of a cross-layer transcoder" in text
    assert "- corrected: its files are corrected by the list (normalize_activations)" in text


def test_writing_again_changes_nothing(paths: tuple[Path, Path]) -> None:
    """What the part held before is replaced, and the rest stays as it was written."""
    ours, theirs = paths
    sae_lens_list.main([str(ours), str(theirs)])
    once = ours.read_text()
    sae_lens_list.main([str(ours), str(theirs)])
    assert ours.read_text() == once
    assert "mine/known" in once


@pytest.mark.parametrize(
    "text, reason",
    [
        ("a: {model: m, repo_id: o/r, conversion_func: novel, saes: []}", "'a' as 'novel'"),
        ("a: {model: m}\na: {model: n}", "'a' stands twice"),
    ],
)
def test_a_list_that_is_not_understood(paths: tuple[Path, Path], text: str, reason: str) -> None:
    """A format without a rule, or a release listed twice, stops before anything is written."""
    ours, theirs = paths
    before = ours.read_text()
    theirs.write_text(text)
    with pytest.raises(RegistryError, match=reason):
        sae_lens_list.main([str(ours), str(theirs)])
    assert ours.read_text() == before


def test_every_entry_of_ours_can_be_fetched_and_read() -> None:
    """Sources parse, loaders exist, and no files are listed under two ids of the same loader."""
    entries = load_registry(registry_files()).entries.values()
    assert len(entries) > 13_000
    assert {entry.loader for entry in entries} - {None} <= set(plugins.find(plugins.LOADERS))
    sources = [Source.parse(entry.source) for entry in entries]
    assert {source.scheme for source in sources} == {"hf", "lab"}
    places = Counter((one.repository, one.path) for one in sources if one.scheme == "hf")
    assert not [place for place, count in places.items() if count > 1]
    sites = [site for entry in entries for site in (entry.site, entry.write_site) if site]
    assert not [site for site in sites if "None" in site]
