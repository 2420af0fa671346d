"""`sweep page --serve`: to who has the address, up to date by itself, and nothing to anyone else."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from sweep.clock import Clock
from sweep.errors import UsageError
from sweep.report import html
from sweep.server import Exhibit, listening
from sweep.shell import Shell
from sweep.verbs.serve import Served, serve
from tests.conftest import Sandbox
from tests.fakes.ended import Ran, ended

if TYPE_CHECKING:
    from playwright.sync_api import Browser

#: A trial that ends when its file is there.
TRIAL = """
import json, os, pathlib, sys, time
while not pathlib.Path(f"go-{sys.argv[1]}").exists():
    time.sleep(0.05)
score = int(sys.argv[1]) / 10
history = [{"epoch": n, "segMeasure": score * n / 3} for n in (1, 2, 3)]
result = {"segMeasure": score, "history": history} | ({"test": {"segMeasure": score}} if score == 0.6 else {})
pathlib.Path(os.environ["SWEEP_RESULT"]).write_text(json.dumps(result))
"""


@contextlib.contextmanager
def served(sandbox: Sandbox, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Serve the page; yields its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sweep", "page", "--serve", "--interval", "1", "--json", *options],
        cwd=sandbox.path, env=sandbox.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # Who runs the tests in the background may have them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        assert process.stdout
        lines: list[str] = []
        while not lines or lines[-1] not in ("}\n", ""):
            lines.append(process.stdout.readline())
        address = json.loads("".join(lines))
        port = urlsplit(address["url"]).port
        assert f"-L {port}:127.0.0.1:{port} " in address["ssh"]
        yield address["url"], process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def running(sandbox: Sandbox) -> Sandbox:
    """A sweep of six trials, three of which have ended."""
    sandbox.write("trial.py", TRIAL)
    sandbox.write(
        "grid.yaml",
        "name: live\ncommand: [python3, trial.py, '{{ x }}']\nparameters: {x: [1, 2, 3, 4, 5, 6]}\n"
        "resources: {walltime: 10min, memory: 50MiB}\nsubmit: {placement: packed, workers: 1, per_worker: 2}\n",
    )
    for x in (1, 2, 3):
        sandbox.write(f"go-{x}", "")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    deadline = time.monotonic() + 120
    while json.loads(sandbox.sweep("status", "--json").out)["counts"].get("done") != 3:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return sandbox


def test_what_is_new_comes_and_the_reader_loses_nothing(running: Sandbox, browser: Browser) -> None:
    with served(running) as (url, process):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        fetched: list[str] = []
        page.on("request", lambda request: fetched.append(request.url))
        page.goto(url)
        page.wait_for_selector("html[data-ready]", timeout=120_000)
        assert "What is new comes by itself" in page.locator("#live").inner_text()
        page.locator(".dt-search input").fill("done")
        page.locator("#leaderboard-table thead th:nth-child(4) .dt-column-title").click()  # in the order of x
        page.wait_for_selector("th[aria-sort=ascending]")
        page.locator("button.pick").nth(1).click()
        column = [
            text.strip() for text in page.locator("#leaderboard-table tbody tr td:nth-child(4)").all_inner_texts()
        ]
        assert column == ["1", "2", "3"]
        pressed = page.locator("button.pick[aria-pressed=true]").count()
        page.locator("summary").click()
        page.evaluate("scrollTo(0, 300)")
        for x in (4, 5):
            running.write(f"go-{x}", "")
        page.wait_for_function(
            "document.querySelector('.winner b').textContent.startsWith('0.5')", timeout=120_000
        )
        column = [
            text.strip() for text in page.locator("#leaderboard-table tbody tr td:nth-child(4)").all_inner_texts()
        ]
        assert column == ["1", "2", "3", "4", "5"]
        assert page.locator(".dt-search input").input_value() == "done"
        assert page.locator("button.pick[aria-pressed=true]").count() == pressed
        assert page.evaluate("scrollY") == 300
        assert page.evaluate("document.querySelector('details').open")
        assert page.locator("#plot-ranks .main-svg").count() > 0
        running.write("go-6", "")  # its result brings a column
        page.wait_for_function(
            "document.getElementById('live').textContent.includes('has ended')", timeout=120_000
        )
        page.wait_for_selector("html[data-ready]", timeout=120_000)
        heads = page.locator("#leaderboard-table thead th .dt-column-title").all_inner_texts()
        place = heads.index("x") + 1
        assert "test" in heads
        column = page.locator(f"#leaderboard-table tbody tr td:nth-child({place})").all_inner_texts()
        assert [text.strip() for text in column] == ["1", "2", "3", "4", "5", "6"]
        assert page.locator(".dt-search input").input_value() == "done"
        assert errors == []
        assert all(each.startswith((url, "blob:", "data:")) for each in fetched)
        context.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def ask(url: str, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    """Ask the server that has this address for something else."""
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(url).port or 0, timeout=30)
    connection.request(method, path, headers=headers)
    reply = connection.getresponse()
    return reply.status, reply.read()


def test_who_has_not_the_whole_address_gets_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    ended(sandbox.path / "results", "a", [Ran({"x": x}, {"segMeasure": x / 10}) for x in range(3)])
    with served(sandbox, "a") as (url, _):
        own = urlsplit(url).path
        status, body = ask(url, own)
        assert status == 200
        assert b"Leaderboard" in body
        assert len(ask(url, f"{own}news")[1]) < len(body) / 4  # without the scripts
        assert ask(url, own, "HEAD") == (200, b"")
        for path, method, headers in [
            ("/", "GET", {}),
            (own.rstrip("/"), "GET", {}),
            (f"{own}../", "GET", {}),
            (f"{own}../../etc/passwd", "GET", {}),
            (f"{own}report.html", "GET", {}),
            (own[:-2] + "/", "GET", {}),
            (f"/{'x' * 32}/", "GET", {}),
            (own.upper(), "GET", {}),
            (own, "POST", {}),
            (own, "DELETE", {}),
            (own, "GET", {"Host": "evil.example"}),
            (own, "GET", {"Host": f"evil.example:{urlsplit(url).port}"}),
            (own, "GET", {"Host": "127.0.0.1.evil.example"}),
        ]:
            assert ask(url, path, method, **headers) == (404, b""), (path, method, headers)
        assert ask(url, own, Host="localhost:9")[0] == 200  # the other end of ssh may have another port
        assert ask(url, f"{own}news", **{"If-None-Match": "else"})[0] == 200


class Fast(Clock):
    """A clock whose sleeps take no time."""

    def __init__(self) -> None:
        self.slept_s = 0.0

    def elapsed_s(self) -> float:
        return self.slept_s

    def sleep(self, seconds: float) -> None:
        self.slept_s += seconds


def test_it_ends_when_nobody_has_read_it_for_hours(tmp_path: Path) -> None:
    store, clock = ended(tmp_path, "a", [Ran({"x": x}, {"segMeasure": x / 10}) for x in range(3)]), Fast()
    said: list[Served] = []
    serve(store, Shell(clock=clock), html.page_and_news, said.append, unread_s=7200.0)
    assert len(said) == 1
    assert 7200 <= clock.slept_s < 7300


def test_who_asks_is_a_reader() -> None:
    clock = Fast()
    exhibit = Exhibit(clock)
    exhibit.show("page", "news")
    clock.sleep(100.0)
    assert exhibit.unread_s == 100.0
    environ: dict[str, Any] = {"HTTP_HOST": "localhost", "REQUEST_METHOD": "GET", "PATH_INFO": "/"}
    start: Callable[..., None] = lambda *_: None  # noqa: E731
    assert [*exhibit(environ, start)] == [b""]
    assert exhibit.unread_s == 100.0  # a stranger is none
    assert [*exhibit({**environ, "PATH_INFO": f"/{exhibit.token}/"}, start)] == [b"page"]
    assert exhibit.unread_s == 0.0


def test_a_port_that_is_taken(sandbox: Sandbox) -> None:
    with listening(Exhibit(), 0) as port:
        with pytest.raises(UsageError, match=f"port {port} cannot be had"), listening(Exhibit(), port):
            pass
        ended(sandbox.path / "results", "a", [Ran({"x": 1}, {"segMeasure": 0.1})])
        ran = sandbox.sweep("page", "a", "--serve", "--port", str(port), code=2)
        assert "leave --port out" in ran.err
    assert "goes with --serve" in sandbox.sweep("page", "a", "--port", "8000", code=2).err
    assert "choose one" in sandbox.sweep("page", "a", "--serve", "--watch", code=2).err
