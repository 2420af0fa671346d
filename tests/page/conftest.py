"""The page in a real browser: the machine's own Chromium, driven by playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sweep.report import html
from sweep.shell import Shell
from sweep.store import Store
from sweep.verbs.page import pages

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

#: WebGL without a graphics card; no setting up of things that need the network.
FLAGS = ["--no-sandbox", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage"]


def _browser() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if found := shutil.which(name):
            return found
    return ""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start the browser, or skip; or fail where SWEEP_REQUIRE_BROWSER is set."""
    path = _browser()
    if not path:
        if os.environ.get("SWEEP_REQUIRE_BROWSER"):
            pytest.fail("SWEEP_REQUIRE_BROWSER is set, and there is no Chromium on PATH")
        pytest.skip("no Chromium on PATH")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield made
        made.close()


@dataclass
class Opened:
    """An open page, and what it said and asked for."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def clean(self) -> None:
        """Nothing went wrong, and nothing was fetched."""
        assert self.said == []
        assert self.asked == []

    def cells(self, column: int) -> list[str]:
        """Read a column of the leaderboard as it is shown."""
        return [
            text.strip() for text in self.page.locator(f"#board tbody tr td:nth-child({column})").all_inner_texts()
        ]

    def figure(self, name: str) -> Any:
        """Read a figure's data out of the page."""
        return self.page.evaluate(f"document.getElementById('plot-{name}').data")


Open = Callable[..., Opened]


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Open a file; `ready` waits for its scripts."""
    contexts = []

    def open_(
        path: Path, *, ready: bool = True, width: int = 1280, scheme: Any = "light", script: bool = True
    ) -> Opened:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script, offline=True
        )
        contexts.append(context)
        page = context.new_page()
        made = Opened(page)
        page.on("pageerror", lambda error: made.said.append(str(error)))
        page.on("console", lambda message: made.said.append(message.text) if _matters(message) else None)
        page.on("request", lambda request: made.asked.append(request.url) if _fetched(request.url, path) else None)
        page.goto(path.as_uri())
        if ready:
            page.wait_for_selector("html[data-ready]", timeout=120_000)
        return made

    yield open_
    for context in contexts:
        context.close()


def _matters(message: Any) -> bool:
    return message.type in ("error", "warning") and "GPU stall" not in message.text  # the software WebGL's own


def _fetched(url: str, path: Path) -> bool:
    return url != path.as_uri() and not url.startswith(("blob:", "data:"))


@pytest.fixture(scope="session")
def paged() -> Callable[[Store], Path]:
    """Write a sweep's page."""

    def write(store: Store) -> Path:
        [made] = pages(store, Shell(), html.page)
        return made.path

    return write
