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

#: WebGL without a graphics card. Containers have no sandbox and little shared memory.
FLAGS = ["--no-sandbox", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage"]


def _browser() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if path := shutil.which(name):
            return path
    return ""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start the browser. Without one, skip, or fail where SWEEP_REQUIRE_BROWSER is set."""
    path = _browser()
    if not path:
        if os.environ.get("SWEEP_REQUIRE_BROWSER"):
            pytest.fail("SWEEP_REQUIRE_BROWSER is set, and there is no Chromium on PATH")
        pytest.skip("no Chromium on PATH. To try it: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@dataclass
class OpenPage:
    """An open page, the errors and warnings of its console, and the addresses that it fetched."""

    page: Page
    errors: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)

    def assert_clean(self) -> None:
        assert self.errors == []
        assert self.fetched == []

    def cells(self, column: int) -> list[str]:
        """Read a column of the leaderboard as it is shown."""
        return [
            text.strip()
            for text in self.page.locator(f"#leaderboard-table tbody tr td:nth-child({column})").all_inner_texts()
        ]

    def figure(self, name: str) -> Any:
        """Read the data of a figure from the page."""
        return self.page.evaluate(f"document.getElementById('plot-{name}').data")


OpenPageAt = Callable[..., OpenPage]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPageAt]:
    """Return a function that opens a file in the browser. With `ready` it waits for the page's script."""
    contexts = []

    def open_at(
        path: Path, *, ready: bool = True, width: int = 1280, scheme: Any = "light", script: bool = True
    ) -> OpenPage:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script, offline=True
        )
        contexts.append(context)
        page = context.new_page()
        opened = OpenPage(page)
        page.on("pageerror", lambda error: opened.errors.append(str(error)))
        page.on("console", lambda message: opened.errors.append(message.text) if _is_error(message) else None)
        page.on(
            "request", lambda request: opened.fetched.append(request.url) if _leaves(request.url, path) else None
        )
        page.goto(path.as_uri())
        if ready:
            page.wait_for_selector("html[data-ready]", timeout=120_000)
        return opened

    yield open_at
    for context in contexts:
        context.close()


def _is_error(message: Any) -> bool:
    # WebGL without a graphics card warns of stalls.
    return message.type in ("error", "warning") and "GPU stall" not in message.text


def _leaves(url: str, path: Path) -> bool:
    """Return whether an address is outside the page's own file."""
    return url != path.as_uri() and not url.startswith(("blob:", "data:"))


@pytest.fixture(scope="session")
def write_page() -> Callable[[Store], Path]:
    """Return a function that writes a sweep's page."""

    def write(store: Store) -> Path:
        [written] = pages(store, Shell(), html.page)
        return written.path

    return write
