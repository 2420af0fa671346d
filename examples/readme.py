"""Make what README.md shows, from the demo's sweep: `python examples/readme.py`, after `make demo`.

It replaces the lines between the two markers by what `sweep report` prints, and docs/page.png by a picture of
the page.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
README, PICTURE, PAGE = ROOT / "README.md", ROOT / "docs" / "page.png", ROOT / "results" / "demo" / "report.html"

#: What is between these two is made here.
BEGIN, END = "<!-- made by examples/readme.py -->", "<!-- end -->"

#: The commands that are shown with their output.
COMMANDS = ("sweep status", "sweep report --top 5")


def printed(command: str) -> str:
    """Run a command; return it with its output, as a terminal shows both."""
    argv = [sys.executable, "-m", *command.split()]
    done = subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    return "\n".join([f"$ {command}", *lines])


def pictured() -> None:
    """Take a picture of the first screen of the page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1150}, color_scheme="light")
        page.goto(PAGE.as_uri())
        page.wait_for_selector("html[data-ready=yes]")
        # Where the picture was made is nobody's matter.
        page.locator(".winner pre").evaluate(
            "(shown, own) => { shown.textContent = shown.textContent.replace(own, '~/sweep'); }", str(ROOT)
        )
        taken = page.screenshot()
        browser.close()
    # A few colours are enough, and take a third of the bytes.
    Image.open(io.BytesIO(taken)).convert("RGB").quantize(128).save(PICTURE, optimize=True)


def main() -> None:
    """Replace both."""
    shown = "\n\n".join(printed(command) for command in COMMANDS)
    text = README.read_text(encoding="utf-8")
    block = f"{BEGIN}\n\n```\n{shown}\n```\n\n{END}"
    text, count = re.subn(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: block, text, flags=re.DOTALL)
    assert count == 1, f"README.md needs {BEGIN} and {END} once each"
    README.write_text(text, encoding="utf-8")
    pictured()


if __name__ == "__main__":
    main()
