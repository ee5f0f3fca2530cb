"""The site in a real browser: tables sort and filter, plots are drawn, and nothing is asked for."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from board_results import BOARD, NULL, answers, plant, plant_l0

from saeval.leaderboard.build import build_board
from saeval.leaderboard.site.serve import serving
from saeval.leaderboard.site.write import write_site
from saeval.leaderboard.sources import Source

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four SAEs of two architectures and L0s, a null, and a hostile submission, in two metrics."""
    root = tmp_path_factory.mktemp("chromium")
    for number, (sae, l0) in enumerate({"a": 8, "b": 8, "c": 32, "d": 32}.items()):
        about = {"architecture": "topk" if sae in "ac" else "relu"}
        metrics = {
            "right": answers(0.5 + 0.1 * number, units=40, seed=number),
            "quick": answers(0.9 - 0.2 * number, units=40, seed=10 + number),
        }
        plant(root / "ours", sae, metrics, about=about)
        plant_l0(root / "ours", sae, l0, about)
    for name in ("random",):
        plant(root / "ours", name, {"right": answers(0.3, units=40, seed=9)}, about=NULL)
        plant_l0(root / "ours", name, 8, NULL)
    hostile = '</script><script>window.owned = 1</script><img src=x onerror="window.owned = 2">'
    metrics = {"right": answers(0.4, units=40, seed=30), "quick": answers(0.4, units=40, seed=31)}
    plant(root / "theirs", hostile, metrics, about={"architecture": hostile})
    plant_l0(root / "theirs", hostile, 8, {"architecture": hostile})
    board = replace(
        BOARD, required=False, columns=("right", "quick"), l0_groups=((4.0, 16.0), (16.0, 64.0))
    )
    sources = [Source(root / "ours"), Source(root / "theirs", "recomputed", hostile, "x")]
    return write_site([build_board(board, sources)], root / "site").parent


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium with a new profile, ended when the tests are done."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        profile = tmp_path_factory.mktemp("profile")
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=list(FLAGS), env={"HOME": str(profile)}
        )
        yield chromium
        chromium.close()


class _Watched:
    """A page, with what it complains of and what it asks for."""

    def __init__(self, browser: Any, width: int, scheme: str, *, script: bool = True) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            java_script_enabled=script,
        )
        self.context.set_default_timeout(120_000)  # other tests may keep the machine busy
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def names(self) -> list[str]:
        """Names of the SAEs that the table shows, from the top."""
        return self.page.locator("#board tbody th.name a:visible").all_inner_texts()

    def wait_for(self, names: str) -> None:
        """Until the maintainers' SAEs stand in this order."""
        self.until(lambda: [n for n in self.names() if "<" not in n] == names.split())

    def until(self, holds: Callable[[], bool]) -> None:
        """Until it holds, at most for a minute. The policy forbids to wait within the page."""
        for _ in range(1200):
            if holds():
                return
            self.page.wait_for_timeout(50)
        raise AssertionError("it never came to hold")


@pytest.fixture
def watched(browser: Any, site: Path) -> Iterator[_Watched]:
    """The board's page, opened from its file, which must not complain or ask for anything."""
    one = _Watched(browser, 1280, "light")
    one.page.goto((site / "boards" / "quizzes.html").as_uri())
    one.page.wait_for_selector("#plot-l0 .main-svg")
    yield one
    assert one.complaints == []
    assert all(url.startswith((site.as_uri(), "data:", "blob:")) for url in one.asked)
    assert one.page.evaluate("window.owned") is None
    one.context.close()


def test_heads_sort_by_mouse_and_by_keyboard(watched: _Watched) -> None:
    """A click sorts by value, and Enter on the focused head turns the order round."""
    watched.page.locator("#board thead th", has_text="right").click()
    watched.wait_for("random a b c d")
    watched.page.locator("#board thead th:has-text('right') [role=button]").focus()
    watched.page.keyboard.press("Enter")
    watched.wait_for("d c b a random")


def test_filters_leave_what_they_say(watched: _Watched) -> None:
    """Architecture, L0, a search and the box for nulls, and how many are shown."""
    page = watched.page
    page.select_option("#architecture", "relu")
    assert sorted(watched.names()) == ["b", "d"]
    page.select_option("#group", "16 to 64")
    assert watched.names() == ["d"]
    assert page.inner_text("#count") == "1 of 6 shown"
    page.select_option("#architecture", "")
    page.select_option("#group", "")
    page.uncheck("#nulls")
    assert "random" not in watched.names()
    page.check("#nulls")
    page.fill("#search", "rand")
    assert watched.names() == ["random"]


def test_chosen_saes_are_compared_side_by_side(watched: _Watched) -> None:
    """Each ticked SAE against the first, with interval and verdict; unticking takes it away."""
    page = watched.page
    page.locator("tr:has(a[title='a']) .choose").check()
    assert page.locator("#compare-result table").count() == 0
    page.locator("tr:has(a[title='d']) .choose").check()
    cells = page.locator("#compare-result tbody tr").all_inner_texts()
    assert len(cells) == 2
    assert "right" in cells[0]
    assert "+0.300" in cells[0]
    assert "better" in cells[0]
    assert "quick" in cells[1]
    assert "-0.600" in cells[1]
    assert "worse" in cells[1]
    page.locator("tr:has(a[title='a']) .choose").uncheck()
    assert page.locator("#compare-result table").count() == 0


def test_plots_follow_the_choice(watched: _Watched) -> None:
    """Both plots are drawn, with a point for each SAE, and drawn anew for another metric."""
    page = watched.page
    assert page.locator("#plot-metrics .main-svg").count()
    points = page.locator("#plot-l0 .scatterlayer .point").count()
    assert points == 6
    assert "right" in page.text_content("#plot-l0 .ytitle")
    page.select_option("#metric", "1")
    watched.until(lambda: "quick" in page.text_content("#plot-l0 .ytitle"))
    page.select_option("#across", "1")
    watched.until(lambda: "quick" in page.text_content("#plot-metrics .xtitle"))


def test_a_key_shows_where_it_is(watched: _Watched) -> None:
    """The first Tab finds the link to the content; focus has an outline everywhere."""
    page = watched.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    seen = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        style = "getComputedStyle(document.activeElement)"
        assert page.evaluate(f"{style}.outlineStyle") != "none"
        seen.add(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"search", "architecture", "group", "nulls"} <= seen


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pages_fit_and_have_contrast(browser: Any, site: Path, width: int, scheme: str) -> None:
    """No page is wider than its window, and text stands out from its paper, light and dark."""
    one = _Watched(browser, width, scheme)
    for path in sorted(site.rglob("*.html")):
        one.page.goto(path.as_uri())
        assert one.page.evaluate("document.documentElement.scrollWidth") <= width, path.name
        ink, paper = (
            sum(
                map(
                    int,
                    one.page.evaluate(f"getComputedStyle(document.body).{name}")[4:-1].split(","),
                )
            )
            for name in ("color", "backgroundColor")
        )
        dark, bright = (ink, paper) if scheme == "light" else (paper, ink)
        assert dark < 150
        assert bright > 600
    assert one.complaints == []
    one.context.close()


def test_the_table_reads_without_scripts(browser: Any, site: Path) -> None:
    """All SAEs, values and ranks stand in the HTML; what needs a script is not shown."""
    one = _Watched(browser, 1280, "light", script=False)
    one.page.goto((site / "boards" / "quizzes.html").as_uri())
    assert len(one.names()) == 6
    assert "1 of 2" in one.page.inner_text("#board")
    assert (
        not one.page.locator("#filters, #plots, #compare, .choose").locator("visible=true").count()
    )
    one.context.close()


def test_it_works_from_a_server_too(browser: Any, site: Path) -> None:
    """Served on loopback, the page asks that server alone, and links lead on."""
    one = _Watched(browser, 1280, "light")
    with serving(site, 0) as server:
        one.page.goto(server.address)
        one.page.click("text=Quizzes")
        one.page.wait_for_selector("#plot-l0 .main-svg")
        one.page.click("#board a[title='a']")
        assert one.page.inner_text("h1") == "a"
        assert all(url.startswith((server.address, "data:", "blob:")) for url in one.asked)
    assert one.complaints == []
    one.context.close()
