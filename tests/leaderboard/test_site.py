"""The site's files: whole, self-contained, and harmless whatever a submission calls itself."""

import json
import re
import threading
import urllib.error
import urllib.request
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from board_results import BOARD, NULL, answers, plant, plant_l0

from saeval.errors import UsageError
from saeval.leaderboard.build import BuiltBoard, build_board
from saeval.leaderboard.site import assets
from saeval.leaderboard.site.embedded import embedded
from saeval.leaderboard.site.serve import serving
from saeval.leaderboard.site.write import write_site
from saeval.leaderboard.sources import Source

HOSTILE = (
    "<script>alert(1)</script>",
    '"onmouseover="alert(1)',
    "javascript:alert(1)",
    "</script><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}",
    "../../../etc/passwd",
)


class _Page(HTMLParser):
    """What a page holds that a browser acts on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def _pages(site: Path) -> dict[Path, _Page]:
    return {path: _Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> BuiltBoard:
    """A board with two SAEs and a null of the maintainers, and hostile submissions."""
    root = tmp_path_factory.mktemp("site")
    for number, sae in enumerate(("a", "b")):
        plant(root / "ours", sae, {"right": answers(0.9, units=40, seed=number)})
        plant_l0(root / "ours", sae, 8 + number)
    plant(root / "ours", "random", {"right": answers(0.3, units=40, seed=9)}, about=NULL)
    sources = [Source(root / "ours")]
    for number, name in enumerate(HOSTILE):
        theirs = root / f"theirs{number}"
        about = dict.fromkeys(("architecture", "source", "model", "read_site", "loader"), name)
        values = answers(0.5, units=40, seed=20 + number)
        plant(theirs, name, {"right": values}, about={**about, "id": name})
        sources.append(Source(theirs, "recomputed", name, name))
    return build_board(replace(BOARD, title="<b>Quizzes</b>", required=False), sources)


@pytest.fixture(scope="module")
def site(built: BuiltBoard, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its site."""
    return write_site([built], tmp_path_factory.mktemp("out") / "site").parent


def test_every_link_leads_to_a_file_of_the_site(site: Path) -> None:
    """Links and what pages load are relative, and there; nothing leads elsewhere."""
    pages = _pages(site)
    assert len(pages) == 1 + 1 + 3 + len(HOSTILE) + 2
    for path, page in pages.items():
        for tag, attributes in page.tags:
            for name in ("href", "src"):
                target = attributes.get(name) or ""
                if not target or target.startswith("#") or target == "data:,":
                    continue
                file = (path.parent / target.partition("#")[0]).resolve()
                assert file.is_file(), f"{path.name}: <{tag} {name}={target}>"
                assert file.is_relative_to(site.resolve())


def test_hostile_names_are_text(site: Path) -> None:
    """No tag, attribute or script comes of a name, on any page."""
    for page in _pages(site).values():
        tags = {tag for tag, _ in page.tags}
        assert not tags & {"img", "b"} - {"b"}, tags
        scripts = [own for tag, own in page.tags if tag == "script"]
        assert all(own.get("src") or own.get("type") == "application/json" for own in scripts)
        for _, attributes in page.tags:
            assert not [name for name in attributes if name.startswith("on")]
            assert not str(attributes.get("href")).startswith("javascript:")
            assert "style" not in attributes
    (board,) = (site / "boards").glob("*.html")
    text = board.read_text(encoding="utf-8")
    assert "&lt;b&gt;Quizzes" in text
    assert "{{ 7 * 7 }}" in text
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    labels = {sae["label"] for sae in json.loads(data)["saes"]}
    assert set(HOSTILE) <= labels


def test_every_page_forbids_what_is_not_its_own(site: Path) -> None:
    """A Content-Security-Policy stands first, which allows no inline script and no other host."""
    for page in _pages(site).values():
        policies = [own for tag, own in page.tags if "http-equiv" in own]
        assert len(policies) == 1
        policy = str(policies[0]["content"])
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "http" not in policy


def test_embedded_json_cannot_end_its_script() -> None:
    """Whatever a string holds, JSON reads it back and HTML sees no markup."""
    value = {"name": "</script><!--<script>&\u2028"}
    text = str(embedded(value))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value


def test_a_page_of_an_sae_has_its_scores_evidence_and_command(site: Path) -> None:
    """Scores with intervals, evidence to download, and one command, quoted."""
    (page,) = (site / "saes" / "quizzes").glob("a-*.html")
    text = page.read_text(encoding="utf-8")
    assert text.count('<pre class="command"') == 1
    assert "saeval run --sae a --tasks core,quiz --seeds 0" in text
    assert "beats 1 of 1 null" in text
    downloads = re.findall(r'href="(../../evidence/[^"]+)"', text)
    assert {Path(name).name for name in downloads} == {
        *("result.json", "right.parquet", "l0.parquet")
    }
    (hostile,) = (site / "saes" / "quizzes").glob("script-alert*.html")
    assert "saeval run --sae &#39;&lt;script&gt;" in hostile.read_text(encoding="utf-8")


def test_a_page_of_imported_numbers_promises_neither_evidence_nor_a_command(
    tmp_path: Path,
) -> None:
    """It says who published them, and that no command gives the same ones."""
    plant(tmp_path / "ours", "a", {"right": answers(0.9, units=40)})
    plant(tmp_path / "theirs", "published", {"right": answers(0.8, units=40)})
    sources = [Source(tmp_path / "ours"), Source(tmp_path / "theirs", "imported", "ann", "try")]
    made = build_board(replace(BOARD, required=False), sources)
    write_site([made], tmp_path / "site")
    (page,) = (tmp_path / "site/saes").rglob("published-*.html")
    text = page.read_text(encoding="utf-8")
    assert "saeval run" not in text
    assert "from which every score above follows" not in text
    assert "There is no command that gives the same ones" in text
    (other,) = (tmp_path / "site/saes").rglob("a-*.html")
    assert "saeval run" in other.read_text(encoding="utf-8")


def test_only_evidence_is_copied(built: BuiltBoard, tmp_path: Path) -> None:
    """A result that names another file, or has a link in its place, gives nothing away."""
    row = built.row("a")
    (filed,) = row.entrant.of("quiz")
    secret = tmp_path / "secret.parquet"
    secret.write_text("secret")
    folder = tmp_path / filed.folder.name
    folder.mkdir()
    (folder / "result.json").write_bytes((filed.folder / "result.json").read_bytes())
    (folder / "link.parquet").symlink_to(secret)
    names = ("../secret.parquet", str(secret), "link.parquet")
    forged = replace(filed, folder=folder, result=replace(filed.result, evidence=names))
    entrant = replace(row.entrant, filed=(forged,))
    rows = tuple(replace(r, entrant=entrant) if r is row else r for r in built.rows)
    write_site([replace(built, rows=rows)], tmp_path / "site")
    copied = [path.name for path in (tmp_path / "site" / "evidence").rglob("*") if path.is_file()]
    assert "link.parquet" not in copied
    assert "secret.parquet" not in copied


def test_equal_boards_give_equal_sites(built: BuiltBoard, site: Path, tmp_path: Path) -> None:
    """Every file of a site built again is the same, also in the place of an earlier one."""
    write_site([built], tmp_path / "again")
    (tmp_path / "again" / "boards" / "stale.html").write_text("")
    write_site([built], tmp_path / "again")
    first = {p.relative_to(site): p.read_bytes() for p in site.rglob("*") if p.is_file()}
    again = tmp_path / "again"
    assert first == {p.relative_to(again): p.read_bytes() for p in again.rglob("*") if p.is_file()}


def test_a_folder_of_other_things_is_left_alone(built: BuiltBoard, tmp_path: Path) -> None:
    """A site is not written over what it did not write."""
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="holds other files"):
        write_site([built], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_without_itables_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install is said before anything is written."""
    monkeypatch.setattr(assets, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"saeval\[site\]"):
        assets.check_assets()


def test_the_bundle_becomes_a_plain_script() -> None:
    """What the module exports by default is set on window; another form is refused."""
    module = 'var a=1,b="x";export{b as jQuery,a as default};/* licence */'
    script = assets.as_script(module)
    assert "window.DataTable=a;" in script
    assert "export{" not in script
    assert "/* licence */" in script
    with pytest.raises(UsageError, match="another form"):
        assets.as_script("window.DataTable = 1;")


def test_the_server_serves_this_machine_until_it_is_stopped(site: Path) -> None:
    """On loopback; no listing of folders; nothing above the site; it ends with its block."""
    before = threading.active_count()
    with serving(site, 0) as server:
        assert server.address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(server.address) as answer:
            assert answer.read() == (site / "index.html").read_bytes()
        for path in ("saes/", "../secret", "%2e%2e/%2e%2e/etc/passwd"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(server.address + path)
        port = int(server.address.rstrip("/").rpartition(":")[2])
        with pytest.raises(UsageError, match=f"Port {port} cannot be used"), serving(site, port):
            pass
    assert threading.active_count() == before
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(server.address, timeout=2)


def test_there_must_be_a_site_to_serve(tmp_path: Path) -> None:
    """An empty folder is an error that says how to build one."""
    with pytest.raises(UsageError, match="build --site"), serving(tmp_path, 0):
        pass
