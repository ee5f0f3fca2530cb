"""A crosscoder from end to end: two sites are read, rebuilt and spliced together."""

from pathlib import Path

import pytest
import tiny_models
import torch
from core_oracles import tiny_source, words_file
from tiny_runs import sae_folder, topk
from torch import Tensor

import saeval
from saeval.errors import LoadError, RegistryError, UsageError
from saeval.registry.entries import Entry
from saeval.registry.file import read_registry_file
from saeval.results.score import Score
from saeval.sae import traits_of
from saeval.sae.loaders import load_folder, saeval_format

SITES = ("transformer.h.0:out", "transformer.h.1:out")
CORE = {"core": {"context": tiny_models.CONTEXT, "overflow": "truncate"}}


class Crosscoder:
    """Each latent pair holds one number of x, its sign in which of the two fires: exact."""

    def __init__(self, width: int, *, lost: int = 0) -> None:
        self.d_in, self.read_site = width, ["layers.0", "layers.1"]
        kept = torch.cat([torch.zeros(lost), torch.ones(width - lost)])
        self.W_dec = torch.cat([torch.diag(kept), -torch.diag(kept)])

    def encode(self, x: Tensor) -> Tensor:
        """Positive parts, then negative ones."""
        return torch.cat([x.relu(), (-x).relu()], 1)

    def decode(self, acts: Tensor) -> Tensor:
        """Their difference."""
        return acts @ self.W_dec


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a tiny model, with texts beside it that it would write itself."""
    folder = tmp_path_factory.mktemp("gpt2")
    words_file(folder, tiny_source(folder))
    return str(folder / "gpt2")


def texts_of(model: str) -> str:
    """The texts beside a model."""
    return str(Path(model).with_name("words.txt"))


def scores_of(sae: object, model: str, out: Path) -> dict[tuple[str | None, str | None], Score]:
    """All that core says, by metric and part."""
    results = saeval.evaluate(
        {"mine": sae}, "core", model=model, data=texts_of(model), config=CORE, output_path=out
    )
    assert not results.failed
    return {(str(score.metric), score.part): score for score in results.scores}


def test_an_exact_crosscoder_costs_nothing(gpt2: str, tmp_path: Path) -> None:
    """FVU is 0 at each site and together, and its splice recovers the whole loss."""
    scores = scores_of(Crosscoder(32), gpt2, tmp_path)
    for part in (None, *SITES):
        assert scores["fvu", part].value == pytest.approx(0, abs=1e-10)
    assert scores["ce_loss_score", None].value == pytest.approx(1, abs=1e-5)
    assert scores["kl_div_with_sae", None].value == pytest.approx(0, abs=1e-6)


def test_what_is_lost_at_one_site_shows_there(gpt2: str, tmp_path: Path) -> None:
    """Blind to the first site, FVU is 0 at the second; together it is the sums' ratio."""
    scores = scores_of(Crosscoder(32, lost=16), gpt2, tmp_path)
    first, second, both = (scores["fvu", part] for part in (*SITES, None))
    assert second.value == pytest.approx(0, abs=1e-10)
    assert first.value is not None
    assert both.value is not None
    assert first.value > 1 - 1e-9  # zeros leave at least the variance about the mean
    assert 0 < both.value < first.value
    assert (first.n, first.unit_of_n) == (both.n, both.unit_of_n)
    # The second site, which is rebuilt, hides from the model that the first is not.
    assert scores["ce_loss_score", None].value == pytest.approx(1, abs=1e-5)


def test_one_site_has_no_parts(gpt2: str, tmp_path: Path) -> None:
    """An ordinary SAE's FVU stands alone, as ever."""
    scores = scores_of(topk(read_site="layers.1"), gpt2, tmp_path)
    assert [part for metric, part in scores if metric == "fvu"] == [None]


@pytest.mark.parametrize("sites", [["layers.0", "layers.1"], "layers.0, layers.1"])
def test_files_name_several_sites(tmp_path: Path, sites: str | list[str]) -> None:
    """As a list or with commas, in saeval.json and in a registry alike."""
    folder = sae_folder(tmp_path / "sae", width=32)
    config = folder / saeval_format.CONFIG
    text = config.read_text().replace('"read_site": "layers.1"', f'"read_site": {_json(sites)}')
    config.write_text(text)
    assert traits_of(load_folder(folder)).read_sites == ("layers.0", "layers.1")
    registry = tmp_path / "registry.yaml"
    registry.write_text(
        f"saes:\n- id: mine\n  source: file://sae\n  site: {_json(sites)}\n  write_site: [a, b]\n"
    )
    (entry,) = read_registry_file(registry).entries
    told = traits_of(load_folder(folder, entry=entry))
    assert told.read_sites == ("layers.0", "layers.1")
    assert told.write_sites == ("a", "b")


def _json(sites: str | list[str]) -> str:
    return str(sites).replace("'", '"') if isinstance(sites, list) else f'"{sites}"'


@pytest.mark.parametrize("sites", ['["layers.0", 3]', '["layers.0", "layers.0"]', '"layers.0,"'])
def test_sites_that_are_no_names_are_refused(tmp_path: Path, sites: str) -> None:
    """A number, a name that stands twice, and a name that is left out."""
    folder = sae_folder(tmp_path / "sae", width=32)
    config = folder / saeval_format.CONFIG
    text = config.read_text().replace('"read_site": "layers.1"', f'"read_site": {sites}')
    config.write_text(text)
    with pytest.raises(LoadError, match="of its origin"):
        load_folder(folder)
    if "3" in sites:
        registry = tmp_path / "registry.yaml"
        registry.write_text(f"saes:\n- id: mine\n  source: file://sae\n  site: {sites}\n")
        with pytest.raises(RegistryError, match="'site' must be text"):
            read_registry_file(registry)


def test_other_sites_than_named_are_told(gpt2: str, tmp_path: Path) -> None:
    """--site takes several with commas; a width that does not fit names them."""
    results = saeval.evaluate(
        {"mine": Crosscoder(32)}, "core", model=gpt2, site="layers.1,layers.2",
        data=texts_of(gpt2), config=CORE, output_path=tmp_path,
    )  # fmt: skip
    warned = results[0].provenance["warnings"]
    assert any("transformer.h.1:out,transformer.h.2:out" in message for message in warned)
    wrong = saeval.evaluate(
        {"mine": Crosscoder(16)}, "core", model=gpt2, data=texts_of(gpt2), config=CORE,
        output_path=tmp_path,
    )  # fmt: skip
    assert "d_in 32" in str(wrong.scores[0].reason)
    with pytest.raises(UsageError, match="each once"):
        saeval.evaluate(
            {"mine": Crosscoder(32)}, "core", model=gpt2, site="layers.1,layers.1",
            data=texts_of(gpt2), config=CORE, output_path=tmp_path,
        )  # fmt: skip


def test_entries_name_several_sites_with_commas() -> None:
    """The field stays one text, so that nothing that is stored changes its form."""
    assert Entry("a", "file://a", site="x,y").site == "x,y"
