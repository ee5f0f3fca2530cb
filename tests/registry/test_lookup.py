"""Registries are strict about what they list, and clear about what a name means."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from saeval.errors import RegistryError, UsageError
from saeval.registry.entries import Entry, FolderRef, Source
from saeval.registry.lookup import Registry, lasting_files, load_registry, registry_files, resolve

TWO = """
    models:
      org/model: {family: GPT-2, layers: 2, d_model: 16}
    saes:
      - {id: zoo/a, source: "file://a", loader: saeval, site: layers.1, expected: {l0: 8, fvu: 0.2}}
      - id: zoo/b
        source: hf://org/repo/b
        revision: main
    sets:
      zoo/both: {kind: members, members: [zoo/b, "zoo/*"]}
"""


def _write(folder: Path, text: str, name: str = "registry.yaml") -> Path:
    path = folder / name
    path.write_text(dedent(text))
    return path


def _load(folder: Path, text: str) -> Registry:
    return load_registry([_write(folder, text)])


# saeval's own -------------------------------------------------------------------------------------


def test_own_registry_is_whole() -> None:
    """The shipped registry loads; its models are listed; every set has members to compare."""
    registry = load_registry(registry_files())
    hub = [entry for entry in registry.entries.values() if entry.source.startswith("hf://")]
    assert len(hub) > 500
    assert {entry.model for entry in hub} <= set(registry.models)
    assert all(len(group.members) > 1 for group in registry.sets.values())


def test_the_lab_is_listed_first() -> None:
    """What runs without a network stands before what has to be fetched, in every list."""
    registry = load_registry()
    for names in (registry.entries, registry.sets, registry.models):
        ours = [name.startswith(("lab/", "lab://")) for name in names]
        assert any(ours)
        assert ours == sorted(ours, reverse=True)


def test_own_registry_knows_the_field() -> None:
    """The releases people ask for resolve to their repositories, with what is known of them."""
    registry = load_registry()
    res_jb = registry.entries["gpt2-small/res-jb/layer-8"]
    assert res_jb.source == "hf://jbloom/GPT2-Small-SAEs-Reformatted/blocks.8.hook_resid_pre"
    assert (res_jb.centred, res_jb.expected.l0, res_jb.sha256) == (True, 60.0, None)
    topk = registry.entries["saebench/pythia-160m/16k/topk-2"]
    assert topk.source.endswith(
        "width-2pow14_date-0108/TopK_pythia-160m-deduped__0108/resid_post_layer_8/trainer_2"
    )
    assert len(resolve("gemma-scope/2b-res/16k", registry).members) == 26
    assert "meta-llama/Llama-3.1-8B" in registry.models


def test_registry_is_light() -> None:
    """Loading the registry imports neither torch nor pandas nor numpy."""
    script = """
        import sys
        from saeval.registry.lookup import load_registry
        assert load_registry().entries
        assert not {"torch", "pandas", "numpy", "huggingface_hub"} & set(sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


# Files --------------------------------------------------------------------------------------------


def test_entries_are_read_as_written(tmp_path: Path) -> None:
    """Every field arrives, what is left out is None, and a set lists each member once, in order."""
    registry = _load(tmp_path, TWO)
    first, second = registry.entries.values()
    assert (first.id, first.loader, first.site) == ("zoo/a", "saeval", "layers.1")
    assert (first.expected.l0, first.expected.fvu, first.model) == (8.0, 0.2, None)
    assert (second.revision, second.sha256, second.centred) == ("main", None, None)
    assert first.file == tmp_path / "registry.yaml"
    assert registry.sets["zoo/both"].members == ("zoo/b", "zoo/a")
    assert registry.models["org/model"].d_model == 16


def test_families_expand(tmp_path: Path) -> None:
    """`each` gives every combination, or row by row, and placeholders keep numbers as numbers."""
    registry = _load(
        tmp_path,
        """
        saes:
          - each: {layer: 0..1, width: [{width: 4k, power: 12}, {width: 16k, power: 14}]}
            id: r/{width}/{layer}
            source: hf://org/r/2pow{power}/layer_{layer}
          - each: [{layer: 0, l0: 41}, {layer: 1, l0: 52}]
            id: s/{layer}
            source: hf://org/s/{layer}
            expected: {l0: "{l0}"}
        sets:
          r/{width}:
            each: {width: [4k, 16k]}
            kind: layers
            members: ["r/{width}/*"]
        models:
          org/{n}: {each: {n: [2]}, family: X, layers: "{n}", d_model: 8}
        """,
    )
    assert list(registry.entries) == ["r/4k/0", "r/16k/0", "r/4k/1", "r/16k/1", "s/0", "s/1"]
    assert registry.entries["r/16k/1"].source == "hf://org/r/2pow14/layer_1"
    assert registry.entries["s/1"].expected.l0 == 52.0
    assert registry.sets["r/16k"].members == ("r/16k/0", "r/16k/1")
    assert registry.models["org/2"].layers == 2


@pytest.mark.parametrize(
    "text,fault",
    [
        ("saes: [{id: a, source: 'file://a', sites: x}]", r"unknown field 'sites'\. Did you mean"),
        ("saes: [{id: a, source: 'file://a', file: x}]", "unknown field 'file'"),
        ("saes: [{id: a}]", "lacks the field 'source'"),
        ("saes: [{source: 'file://a'}]", "lacks the field 'id'"),
        ("saes: [{id: a, source: 'file://a', loader: 3}]", "'loader' must be text"),
        ("saes: [{id: a, source: 'file://a', centred: 'yes'}]", "'centred' must be true or false"),
        ("saes: [{id: a, source: 'file://a', expected: 8}]", "'expected' must be a mapping"),
        ("saes: [{id: a, source: 'file://a', expected: {l1: 8}}]", "unknown field 'l1'"),
        ("saes: [{id: a, source: 'file://a', expected: {l0: 0}}]", "l0 must be above 0, not 0"),
        ("saes: [{id: a, source: 'ftp://a'}]", "'ftp://a' is no source"),
        ("saes: [{id: a, source: 'hf://a'}]", "'hf://a' is malformed"),
        ("saes: [{id: a, source: 'file://a', revision: main}]", "belongs to hf:// sources only"),
        ("saes: [{id: a, source: 'hf://o/r@x', revision: y}]", "contradicts the source"),
        ("saes: [{id: a, source: 'file://a', sha256: abc}]", "must be 64 lower-case hexadecimal"),
        ("saes: [{id: 'a b', source: 'file://a'}]", "id 'a b' must be letters"),
        ("saes: [{id: '../a', source: 'file://a'}]", r"id '\.\./a' must be letters"),
        ("saes: [{id: a, id: b, source: 'file://a'}]", "the key 'id' stands twice"),
        ("saes: [a]", "expected a mapping of fields, not 'a'"),
        ("saes: {a: b}", "'saes' must be a list"),
        ("sae: []", r"unknown section 'sae'\. Did you mean 'saes'"),
        ("- a", "must be a mapping with 'saes'"),
        ("saes: [", "is not YAML"),
        ("saes: !!python/object/apply:os.getcwd []", "is not YAML"),
        ("sets: {s: {kind: seeds, members: [a]}}", "Set 's': nothing is called 'a'"),
        ("sets: {s: {kind: moods, members: [a]}}", "'kind' must be one of seeds, layers"),
        ("sets: {s: {kind: seeds}}", "lacks the field 'members'"),
        ("sets: {s: {kind: seeds, members: []}}", "has no members"),
        ("saes: [{each: {n: 1}, id: a, source: 'file://a'}]", r"must be a list or a range"),
        ("saes: [{each: 1, id: a, source: 'file://a'}]", "'each' must map names"),
        ("saes: [{each: {n: [1]}, id: 'a{m}', source: 'file://a'}]", r"no value for \{m\}"),
        ("models: {m: {family: x, layers: two, d_model: 1}}", "'layers' must be a whole number"),
    ],
)
def test_malformed_registry_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    """Each fault is refused by a message that names it, and the file it stands in."""
    with pytest.raises(RegistryError, match=fault):
        _load(tmp_path, text)


def test_fault_names_file_and_line(tmp_path: Path) -> None:
    """The message leads to the line on which the entry begins."""
    text = TWO.replace("revision: main", "revison: main")
    with pytest.raises(RegistryError, match=r"registry\.yaml:6: entry 'zoo/b' has the unknown"):
        _load(tmp_path, text)


def test_unreadable_registry_is_refused(tmp_path: Path) -> None:
    """A file that is not text is refused by name."""
    path = tmp_path / "registry.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RegistryError, match=r"Cannot read the registry '.*registry\.yaml'"):
        load_registry([path])


def test_duplicates_are_refused(tmp_path: Path) -> None:
    """One id twice is refused within a file, across files (naming both), and between id and set."""
    twice = "saes: [{id: a, source: 'file://a'}, {id: a, source: 'file://b'}]"
    with pytest.raises(RegistryError, match="id 'a' is listed twice"):
        _load(tmp_path, twice)
    one = _write(tmp_path, "saes: [{id: a, source: 'file://a'}]", "one.yaml")
    two = _write(tmp_path, "saes: [{id: a, source: 'file://b'}]", "two.yaml")
    with pytest.raises(RegistryError, match=r"'a' is listed in '.*one\.yaml' and in '.*two\.yaml'"):
        load_registry([one, two])
    both = TWO.replace("zoo/both:", "zoo/a:")
    with pytest.raises(RegistryError, match="'zoo/a' names both an SAE and a set"):
        _load(tmp_path, both)


def test_users_registries_add_to_saevals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry in the configuration folder and one in the working folder are both read."""
    work, config = tmp_path / "work", tmp_path / "config"
    work.mkdir()
    config.mkdir()
    _write(work, "saes: [{id: mine/work, source: 'file://a'}]")
    _write(config, "saes: [{id: mine/config, source: 'file://a'}]")
    monkeypatch.chdir(work)
    monkeypatch.setenv("SAEVAL_CONFIG", str(config))
    registry = load_registry()
    assert {"mine/work", "mine/config", "gpt2-small/res-jb/layer-8"} <= set(registry.entries)
    assert registry.entries["mine/work"].file == work / "registry.yaml"


def test_same_file_twice_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of saeval's own registry in the working folder is no duplicate."""
    (tmp_path / "registry.yaml").write_bytes(lasting_files()[1].read_bytes())
    monkeypatch.chdir(tmp_path)
    assert "gpt2-small/res-jb/layer-8" in load_registry().entries


# Names --------------------------------------------------------------------------------------------


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Two entries and a set, in a working folder of their own."""
    monkeypatch.chdir(tmp_path)
    return _load(tmp_path, TWO)


def test_names_resolve_in_order(zoo: Registry, tmp_path: Path) -> None:
    """An id is one entry, a set its members and itself, a glob entries without a set."""
    assert resolve("zoo/a", zoo).members == (zoo.entries["zoo/a"],)
    group = resolve("zoo/both", zoo)
    assert [getattr(one, "id", "") for one in group.members] == ["zoo/b", "zoo/a"]
    assert group.group is zoo.sets["zoo/both"]
    glob = resolve("zoo/*", zoo)
    assert (len(glob.members), glob.group) == (2, None)
    (tmp_path / "my_sae").mkdir()
    assert resolve("my_sae", zoo).members == (FolderRef("my_sae", str(tmp_path / "my_sae")),)
    assert resolve("hf://o/r/p@v1", zoo).members == (FolderRef("hf://o/r/p@v1", "hf://o/r/p@v1"),)


def test_id_wins_over_folder_and_says_so(zoo: Registry, tmp_path: Path) -> None:
    """Where an id and a folder share a name, the id is taken, with a note on how to get at it."""
    (tmp_path / "zoo" / "a").mkdir(parents=True)
    found = resolve("zoo/a", zoo)
    assert isinstance(found.members[0], Entry)
    assert found.note is not None
    assert "also a folder here" in found.note
    assert isinstance(resolve("./zoo/a", zoo).members[0], FolderRef)
    assert resolve("zoo/b", zoo).note is None


@pytest.mark.parametrize(
    "text,reason",
    [
        ("zoo/c", r"No SAE, set or folder is called 'zoo/c'\. Did you mean 'zoo/(a|b|both)'"),
        ("zoo/c*", r"No registry id matches 'zoo/c\*'"),
        ("./none", r"There is no folder or file '\./none'"),
        ("file://a", "write the folder's path itself"),
        ("https://example.org/a", "is no source"),
    ],
)
def test_unknown_names_say_what_to_do(zoo: Registry, text: str, reason: str) -> None:
    """Each wrong name is refused with what was probably meant or what to write."""
    with pytest.raises(UsageError, match=reason):
        resolve(text, zoo)


@pytest.mark.parametrize(
    "text,parts",
    [
        ("hf://org/repo", ("hf", "org/repo", "", None)),
        ("hf://org/repo/a/b@refs/pr/1", ("hf", "org/repo", "a/b", "refs/pr/1")),
        ("file://a/b", ("file", "", "a/b", None)),
        ("lab://world/topk-16", ("lab", "", "world/topk-16", None)),
    ],
)
def test_sources_parse_and_print(text: str, parts: tuple[str, str, str, str | None]) -> None:
    """Each form of source is taken apart, and written back as it was."""
    source = Source.parse(text)
    assert (source.scheme, source.repository, source.path, source.revision) == parts
    assert str(source) == text


@pytest.mark.parametrize(
    "text",
    [
        *("hf://org/repo/../x", "hf://org//x", "hf://org/repo@", "hf://org/re po", "hf:org/repo"),
        *("hf://org/a\\b", "file://", "lab://x@y", "s3://a/b"),
    ],
)
def test_malformed_sources_are_refused(text: str) -> None:
    """Whatever is not exactly one of the three forms is refused."""
    with pytest.raises(UsageError):
        Source.parse(text)


def test_a_registry_beside_the_usual_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more file is read last, once if it is the working folder's, and must be there."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    more = _write(tmp_path / "here", "saes: [{id: mine/a, source: 'file://a'}]")
    registry = load_registry(registry_files(more))
    assert registry.entries["mine/a"].file == more
    assert registry.files[-1] == more
    monkeypatch.chdir(tmp_path)
    assert registry_files("here/registry.yaml") == registry.files
    with pytest.raises(RegistryError, match="Cannot read the registry"):
        registry_files(tmp_path / "none.yaml")
