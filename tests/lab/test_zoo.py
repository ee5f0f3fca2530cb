"""The zoo: its names, its sets, and members that are what the manifest says."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from saeval.errors import LoadError, UsageError
from saeval.lab.build import BuildSettings
from saeval.lab.page import DOCS, page, write_page
from saeval.lab.zoo.grounds import world_ground
from saeval.lab.zoo.listing import REGISTRY, listing
from saeval.lab.zoo.members import MEMBERS, NULLS, ORACLE, ZooMember, zoo_sets
from saeval.lab.zoo.part import build_member
from saeval.registry.lab_manifest import WEIGHTS, is_whole, read_rows, write_rows
from saeval.registry.lookup import Registry, load_registry, resolve
from saeval.running.run import load_sae
from saeval.sae.loaders.saeval_format import load, save

LARGEST = 40e6
"""Bytes of all weights together."""
BUILT = [member for member in MEMBERS if member.name in read_rows()]
KINDS = (
    ZooMember("world", "relu", 16), ZooMember("world", "transcoder", 16),
    *(ZooMember("world", null, 16) for null in NULLS),
    ZooMember("synthetic/base", "topk", 8), ZooMember("synthetic/base", ORACLE, 8),
)  # fmt: skip
"""One member of every kind that the builder tells apart."""


@pytest.fixture(scope="module")
def registry() -> Registry:
    """All registries, read once."""
    return load_registry()


def toy(folder: Path) -> BuildSettings:
    """Where a toy is built: next to the world's model, at a fraction of the work."""
    weights, manifest = folder / "weights", folder / "manifest.json"
    (weights / "world").mkdir(parents=True)
    (weights / "world" / "model").symlink_to(WEIGHTS / "world" / "model")
    write_rows([read_rows()["world/model"]], manifest)
    return BuildSettings(weights, manifest, folder / "checkpoints", share=0.001)


def place(member: ZooMember) -> str:
    """What the lab calls the model or world that it reads."""
    return member.ground if member.ground.startswith("synthetic/") else f"{member.ground}/model"


def test_names_are_what_users_type() -> None:
    """Architecture, target L0, seed; nulls have neither."""
    names = {member.name for member in MEMBERS}
    assert len(names) == len(MEMBERS)
    assert {
        "world/topk-16", "world/topk-16-s1", "town/matryoshka-32", "world/random", "world/pca",
        "othello/topk-16", "synthetic/base/topk-8", "synthetic/base/frozen-decoder",
    } <= names  # fmt: skip


def test_sets_hold_what_differs_in_one_respect() -> None:
    """Seeds share all but the seed, sparsities all but the target, checkpoints all but the time."""
    found = {
        group.name: group
        for ground in ("world", "town")
        for group in zoo_sets([m for m in MEMBERS if m.ground == ground])
    }
    assert found["world/topk-seeds"].members == (
        "world/topk-16", "world/topk-16-s1", "world/topk-16-s2",
    )  # fmt: skip
    assert found["town/relu-sparsities"].members == (
        "town/relu-16", "town/relu-8", "town/relu-32",
    )  # fmt: skip
    assert len(found["world/topk-checkpoints"].members) == 5
    assert found["world/topk-checkpoints"].members[-1] == "world/topk-16"
    assert not any(null in name for name in found for null in NULLS)


def test_the_listing_is_the_manifests() -> None:
    """registry.yaml is what `python -m saeval.lab list` would write now."""
    assert REGISTRY.read_text(encoding="utf-8") == listing(read_rows())


def test_the_page_is_the_manifests() -> None:
    """docs/lab.md is what `python -m saeval.lab page` would write now."""
    assert (DOCS / "lab.md").read_text(encoding="utf-8") == page(read_rows())


def test_the_page_shows_oracles_and_is_for_checkouts(tmp_path: Path) -> None:
    """Each ground's table has its oracle; where there is no docs/, it says so."""
    tables = page(read_rows()).split("## SAEs of ")[1:]
    built = {row.rpartition("/")[0] for row in read_rows() if row.endswith(f"/{ORACLE}")}
    shown = {each[5:].partition("`")[0] for each in tables if f"| `{ORACLE}` |" in each}
    assert shown == built
    with pytest.raises(UsageError, match="Run this in a checkout"):
        write_page(tmp_path / "docs")


def test_every_weight_is_as_measured_and_all_are_small() -> None:
    """Each folder hashes to its row; together they stay below what a checkout should weigh."""
    rows = read_rows()
    assert [name for name, row in rows.items() if not is_whole(row)] == []
    assert sum(row.size for row in rows.values()) < LARGEST


@pytest.mark.parametrize("member", BUILT, ids=lambda member: member.name)
def test_a_member_is_listed_at_its_l0_and_better_than_random(
    member: ZooMember, registry: Registry
) -> None:
    """Its id is in the registry; L0 lies within 10 % of its target, FVU below the random null's."""
    rows = read_rows()
    figures = rows[member.name].figures
    assert resolve(f"lab/{member.name}", registry).members
    assert figures["l0"] == pytest.approx(member.k, rel=0.1)
    if member.method not in ("random", "transcoder"):
        assert figures["fvu"] < rows[f"{member.ground}/random"].figures["fvu"]


def test_a_listed_sae_measures_as_its_manifest_says() -> None:
    """lab/world/topk-16, loaded by id, has the L0, FVU and CE score of its row."""
    rows = read_rows()
    ground = world_ground(WEIGHTS, rows["world/model"], mlp=False, share=0.5)
    expected = rows["world/topk-16"].figures
    found = ground.figures(load_sae("lab/world/topk-16"))
    assert found["l0"] == pytest.approx(expected["l0"], rel=0.01)
    assert found["fvu"] == pytest.approx(expected["fvu"], rel=0.1)
    assert found["ce_loss_score"] == pytest.approx(expected["ce_loss_score"], abs=0.01)


def test_building_twice_gives_the_same_bits(tmp_path: Path) -> None:
    """The smallest toy of a member and its checkpoints, built in two places."""
    member = ZooMember("world", "topk", 16, checkpoints=(0.5,))
    rows = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        rows.append(list(build_member(member, toy(tmp_path / name))))
    assert [row.name for row in rows[0]] == ["world/topk-16-at-50", "world/topk-16"]
    assert [row.sha256 for row in rows[0]] == [row.sha256 for row in rows[1]]


@pytest.mark.parametrize("member", KINDS, ids=lambda member: member.name)
def test_every_kind_of_member_is_built(member: ZooMember, tmp_path: Path) -> None:
    """A toy of each: its files are those of its row, which says how to make and what it reaches."""
    site = toy(tmp_path)
    (row,) = build_member(member, site)
    assert row.name == member.name
    assert is_whole(row, site.weights)
    assert {"fvu", "l0", "dead"} <= set(row.figures)
    assert row.recipe["method"] == member.method
    assert ("seed" in row.recipe) == (member.method not in ("pca", "neurons", ORACLE))
    sae: Any = load(site.weights / member.name)
    assert sae.origin.model == f"lab://{place(member)}"


def test_a_checkpoint_says_when_it_was_kept(tmp_path: Path) -> None:
    """Its row tells it from the SAE that it became."""
    early, late = build_member(ZooMember("world", "topk", 16, checkpoints=(1 / 16,)), toy(tmp_path))
    assert early.about == late.about.replace(".", ", after 6.25 % of its training.")
    assert early.recipe["seen"] < late.recipe["seen"]


def test_a_random_null_is_kept_as_its_seed(tmp_path: Path) -> None:
    """The file holds the mean and three numbers; loading draws the same directions again."""
    null = load_sae("lab/world/random")
    assert isinstance(null.W_dec, torch.Tensor)
    save(null, tmp_path, torch.float16)
    assert (tmp_path / "saeval.safetensors").stat().st_size < 1000
    assert torch.equal(load(tmp_path).W_dec, null.W_dec)


def test_a_random_null_with_other_directions_is_refused(tmp_path: Path) -> None:
    """What its seed does not give would be lost."""
    null = load_sae("lab/world/random")
    with pytest.raises(UsageError, match="directions"):
        save(replace(null, W_dec=-null.W_dec), tmp_path)  # type: ignore[type-var]


@pytest.mark.parametrize("field, value", [("k", 0), ("d_sae", "many"), ("seed", None)])
def test_a_random_null_needs_its_numbers(tmp_path: Path, field: str, value: object) -> None:
    """A file that lacks one, or gives no number, is refused by name."""
    save(load_sae("lab/world/random"), tmp_path)
    text = (tmp_path / "saeval.json").read_text()
    before = {"k": '"k": 16', "d_sae": '"d_sae": 1024,\n    "k"', "seed": '"seed": 770001\n  },'}
    after = {
        "k": f'"k": {value}', "d_sae": f'"d_sae": "{value}",\n    "k"', "seed": '"seed": null\n  },'
    }  # fmt: skip
    assert before[field] in text
    (tmp_path / "saeval.json").write_text(text.replace(before[field], after[field], 1))
    with pytest.raises(LoadError, match=field):
        load(tmp_path)
