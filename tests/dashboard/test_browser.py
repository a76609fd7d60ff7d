"""The page in a real Chromium: followed live, without JavaScript, by keyboard, on a phone, in the dark."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from keepstep.runs.lifecycle import Line
from tests.dashboard.worlds import Place, Site
from tests.servers import absent, program

_QUIET = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        absent("playwright", "pip install playwright")
    path = program("chromium", "Chromium")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=[*_QUIET.split(), "--no-first-run"])
        yield found
        found.close()


@pytest.fixture
def site(place: Place) -> Iterator[Site]:
    """A page with runs, one of them failed, one under way."""
    place.ran(
        lines=[Line("action", {"action": "copy", "source": "a", "target": "b/" * 90, "size": 1, "reason": "r"})]
    )
    place.ran(outcome="failed")
    place.runs("quiet")
    with place.served() as found:
        yield found


def paged(browser: Any, site: Site, path: str = "/", **options: Any) -> tuple[Any, list[str]]:
    """A page, and what its console said."""
    page = browser.new_context(**options).new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(site.url + path)
    return page, said


def test_it_is_followed_live(browser: Any, site: Site, place: Place) -> None:
    """A run's progress and its end appear without a reload, and the console has nothing to say of the policy."""
    page, said = paged(browser, site)
    page.evaluate("window.isTheSame = true")
    run = place.runs("reports")
    shown = {"planned": 8, "size": 10, "done": 5, "bytes": 6, "failed": 0}
    place.history.beat(run.id, at=datetime.now(UTC), progress=shown)
    page.wait_for_selector("text=5 of 8 objects", timeout=60_000)
    assert page.evaluate("window.isTheSame") and "2 running" in page.text_content("#summary")
    assert said == []
    page.context.close()


def test_it_is_complete_without_javascript(browser: Any, site: Site) -> None:
    """Everything is there, and links lead on; it refreshes itself."""
    page, _ = paged(browser, site, java_script_enabled=False)
    assert "2 jobs: 1 failing, 1 running" in page.content()
    page.locator(".strip a.bad").first.click()
    page.wait_for_load_state()
    assert "/runs/" in page.url and "failed" in page.content()
    assert 'http-equiv="refresh"' in page.content()
    page.context.close()


def test_it_can_be_used_by_keyboard(browser: Any, site: Site) -> None:
    """The first stop is the link to the content; every link is reached, and shows that it is."""
    page, _ = paged(browser, site)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    stops = set()
    for _ in range(page.locator("a").count() - 1):
        page.keyboard.press("Tab")
        stops.add(page.evaluate("document.activeElement.href"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert {f"{site.url}/jobs/reports", f"{site.url}/spend"} <= stops
    page.context.close()


@pytest.mark.parametrize("path", ["/", "/jobs/reports", "/spend", "run"])
def test_it_fits_a_phone(browser: Any, site: Site, place: Place, path: str) -> None:
    """320 pixels wide, nothing has to be scrolled sideways, however long a name is."""
    path = f"/runs/{place.history.recent('reports')[-1].id}" if path == "run" else path
    page, said = paged(browser, site, path, viewport={"width": 320, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320 and said == []
    page.context.close()


_CONTRAST = """() => {
  const channel = (c) => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const light = (rgb) => { const [r, g, b] = rgb.match(/[\\d.]+/g).map(Number);
    return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b); };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  return [...document.querySelectorAll("h2, p, a, th, td, .sign, .small")].map((each) => {
    const ink = light(getComputedStyle(each).color);
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  });
}"""
"""WCAG 2.2, contrast ratio."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_in_light_and_dark(browser: Any, site: Site, scheme: str) -> None:
    """All text has a contrast of 4.5 at the least (WCAG AA), and the dark page is dark."""
    page, _ = paged(browser, site, color_scheme=scheme)
    assert min(page.evaluate(_CONTRAST)) >= 4.5
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") is (scheme == "light")
    page.context.close()
