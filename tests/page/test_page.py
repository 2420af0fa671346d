"""The page in a browser: it opens, sorts and filters, shows all text as text, and agrees with the leaderboard."""

from __future__ import annotations

import base64
import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweep.model import Cause
from sweep.store import Store
from tests.fakes.ended import Ran, ended
from tests.page.conftest import OpenPageAt

WritePage = Callable[[Store], Path]

HOSTILE = [
    "<script>document.title='pwned'</script>",
    "<img src=x onerror=\"document.title='pwned'\">",
    "</script><b>bold</b>",
    "' \" & ` ${1} {{ 7 * 7 }}",
    "a\nb\tc",
    "x" * 10_000,
    "\u202e \x00 ü€ \ud800",
    "<a href='javascript:alert(1)'>click</a>",
]


def history(score: float) -> list[dict[str, float]]:
    return [{"epoch": n + 1, "segMeasure": score * (1 - 0.7 ** (n + 1)), "loss": 1 / (n + 1)} for n in range(10)]


def nuclei(replicates: int = 3) -> list[Ran]:
    """24 configurations; adam is better by 0.2, depth 3 by 0.05; two of the deep ones fail."""
    rng = random.Random(1)
    ran = []
    for optimizer, depth, rate in itertools.product(["adam", "sgd"], [1, 2, 3], [0.01, 0.001, 0.0001, 0.00005]):
        params = {"optimizer": optimizer, "depth": depth, "learning_rate": rate, "fixed": "same"}
        for replicate in range(replicates):
            score = 0.5 + 0.2 * (optimizer == "adam") + 0.05 * (depth == 3) + rng.gauss(0, 0.01)
            result = {"segMeasure": score, "test": {"segMeasure": score - 0.02}, "history": history(score)}
            fails = optimizer == "sgd" and depth == 3 and rate == 0.01
            ran.append(
                Ran(params, None if fails else result, replicate, rng.uniform(100, 900), 1500, Cause.WALLTIME)
            )
    return ran


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, write_page: WritePage) -> Path:
    """Write the page of a usual sweep, in a folder with an awkward name."""
    return write_page(ended(tmp_path_factory.mktemp("it's a folder"), "nuclei", nuclei()))


def test_it_opens_without_an_error_or_a_request_and_names_the_winner(page: Path, open_page: OpenPageAt) -> None:
    opened = open_page(page)
    opened.assert_clean()
    winner = opened.page.locator(".winner").inner_text()
    assert "is the best: segMeasure 0.7" in winner
    assert "(mean of 3 replicates" in winner
    assert "Expected over new seeds" in winner
    assert "may be the best as well" in winner
    assert "On the test images" in winner
    assert "python -m trainer" in winner
    assert opened.page.locator("h2").all_inner_texts() == [
        "What next", "Leaderboard", "What mattered", "What it cost", "What the cluster did", "What did not end well",
    ]  # fmt: skip
    assert "72 trials" in winner
    assert "3 of 72 did not end well" in winner
    for name in ("ranks", "importance", "effects", "heat", "parallel", "cost", "timeline", "curves"):
        assert opened.page.locator(f"#plot-{name} .main-svg").count() > 0, name
    assert "walltime" in opened.page.locator("#failures ~ div").inner_text()
    assert "The same in all: fixed = same" in opened.page.locator("section:has(#leaderboard)").inner_text()


def test_sorting_filtering_hiding(page: Path, open_page: OpenPageAt) -> None:
    opened = open_page(page)
    heads = [
        text.strip()
        for text in opened.page.locator("#leaderboard-table thead th .dt-column-title").all_inner_texts()
    ]
    assert heads[:6] == ["rank", "trial", "segMeasure", "95 % interval", "runs", "test"]
    ranks = [int(text.split()[0]) for text in opened.cells(1)[:-1]]
    assert ranks == sorted(ranks)
    place = heads.index("learning_rate") + 1
    title = opened.page.locator(f"#leaderboard-table thead th:nth-child({place}) .dt-column-title")
    title.click()
    opened.page.wait_for_selector("th[aria-sort=ascending]")
    rates = [float(text) for text in opened.cells(place)]
    assert rates == sorted(rates)  # 5e-05 is a number, and smaller than 0.0001
    title.click()
    opened.page.wait_for_selector("th[aria-sort=descending]")
    assert [float(text) for text in opened.cells(place)] == sorted(rates, reverse=True)
    opened.page.get_by_label("Filter").fill("sgd")
    assert set(opened.cells(heads.index("optimizer") + 1)) == {"sgd"}
    assert "of 12" in opened.page.locator(".dt-info").inner_text()
    opened.page.get_by_label("Filter").fill("")
    opened.page.get_by_role("button", name="Columns").click()
    opened.page.locator(".dt-button-collection").get_by_text("optimizer").click()
    assert "optimizer" not in opened.page.locator("#leaderboard-table thead").inner_text()
    opened.assert_clean()


def test_curves_of_any_row_by_keyboard(page: Path, open_page: OpenPageAt) -> None:
    opened = open_page(page)
    assert {trace["name"] for trace in opened.figure("curves")} == {f"trial {opened.cells(2)[0]}"}
    third = opened.page.locator("button.pick").nth(2)
    third.focus()
    opened.page.keyboard.press("Enter")
    assert third.get_attribute("aria-pressed") == "true"
    names = {trace["name"] for trace in opened.figure("curves")}
    assert names == {f"trial {number}" for number in (opened.cells(2)[0], opened.cells(2)[2])}
    opened.page.keyboard.press("Space")
    assert len({trace["name"] for trace in opened.figure("curves")}) == 1


def test_curves_by_time_and_smoothed_by_keyboard(page: Path, open_page: OpenPageAt) -> None:
    opened = open_page(page)
    plain = opened.figure("curves")
    assert plain[0]["x"] == [*range(1, 11)]
    assert opened.page.locator("#curves-caption").inner_text() == ""
    opened.page.get_by_label("Across").select_option("core-hours")
    caption = opened.page.locator("#curves-caption")
    assert "elapsed time was spread evenly over its history" in caption.inner_text()
    in_core_hours = opened.figure("curves")
    row = opened.page.locator("#leaderboard-table tbody tr").first
    heads = opened.page.locator("#leaderboard-table thead th .dt-column-title").all_inner_texts()
    minutes, seconds = row.inner_text().split("\t")[[head.strip() for head in heads].index("elapsed")].split(":")
    elapsed_s = 60 * int(minutes) + int(seconds)
    ends = [trace["x"][-1] for trace in in_core_hours[:3]]  # of the three replicates, on two CPUs each
    assert sum(ends) / 3 == pytest.approx(2 * elapsed_s / 3600, rel=0.01)
    assert in_core_hours[0]["x"][4] == pytest.approx(ends[0] / 2)
    opened.page.get_by_label("Smoothing").focus()
    for _ in range(10):
        opened.page.keyboard.press("ArrowRight")
    assert opened.page.locator("output").inner_text() == "0.50"
    assert "counts 0.50 times as much as the next" in caption.inner_text()
    smoothed = opened.figure("curves")
    assert [trace["y"] for trace in smoothed[::2]] == [trace["y"] for trace in plain]  # pale, as it was
    first, second = plain[0]["y"][:2]
    assert smoothed[1]["y"][:2] == pytest.approx([first, (0.5 * first + second) / 1.5])
    assert sum(trace["showlegend"] for trace in smoothed) == 1
    opened.assert_clean()


def test_curves_go_by_the_historys_own_times(tmp_path: Path, write_page: WritePage, open_page: OpenPageAt) -> None:
    timed = [{"segMeasure": 0.1, "seconds": 30}, {"segMeasure": 0.2, "seconds": 90}]
    ran = [
        Ran({"x": 2}, {"segMeasure": 0.9, "history": timed}),
        Ran({"x": 1}, {"segMeasure": 0.8, "history": [0.1, 0.2]}, elapsed_s=600.0),
    ]
    opened = open_page(write_page(ended(tmp_path, "timed", ran)))
    opened.page.get_by_label("Across").select_option("time")
    caption = opened.page.locator("#curves-caption")
    assert caption.inner_text() == "The time of an epoch is the sum of the seconds in the history."
    assert opened.figure("curves")[0]["x"] == [30, 120]
    opened.page.locator("button.pick").nth(1).click()
    assert "For the others the trial's elapsed time was spread evenly" in caption.inner_text()
    assert [trace["x"] for trace in opened.figure("curves")] == [[0.5, 2], [5, 10]]  # minutes
    opened.assert_clean()


@pytest.mark.parametrize("width", [1280, 380])
def test_no_labels_lie_over_each_other(
    tmp_path: Path, write_page: WritePage, open_page: OpenPageAt, width: int
) -> None:
    """Many values, and long ones: the labels of each figure are apart, and a title is clear of its axis's labels."""
    losses = ["categorical_crossentropy_with_weights", "dice_and_focal_and_boundary", "dice"]
    rates = [1e-5 * 2**power for power in range(24)]
    ran = [
        Ran({"learning_rate": rate, "loss_function": loss, "dropout": n % 4 / 10 or 0, "network.base_width": 16 * (1 + n % 2)},
            {"segMeasure": 0.5 + 0.1 * rng.random() - 0.01 * abs(n - 12)}, elapsed_s=rng.uniform(100, 9000))
        for rng in [random.Random(4)] for n, rate in enumerate(rates) for loss in losses
    ]  # fmt: skip
    opened = open_page(write_page(ended(tmp_path, "labels", ran)), width=width)
    for name in ("ranks", "importance", "effects", "heat", "cost", "timeline"):
        boxes = opened.page.evaluate(LABELS, name)
        assert len(boxes) > 3, name
        for a, b in itertools.combinations(boxes, 2):
            apart = (
                a["right"] <= b["left"]
                or b["right"] <= a["left"]
                or a["bottom"] <= b["top"]
                or b["bottom"] <= a["top"]
            )
            assert apart, f"{name}: {a['text']!r} lies over {b['text']!r}"
    opened.assert_clean()


#: The places of all labels and titles of a figure's axes, a pixel smaller on each side.
LABELS = """name => [...document.querySelectorAll(
    `#plot-${name} :is(.xtick text, .ytick text, .annotation-text, text[class*=title], .legendtext)`
)].map(element => {
    const {left, right, top, bottom} = element.getBoundingClientRect();
    return {text: element.textContent, left: left + 1, right: right - 1, top: top + 1, bottom: bottom - 1};
})"""


def test_the_figures_say_what_the_tables_say(page: Path, open_page: OpenPageAt) -> None:
    opened = open_page(page)
    opened.page.locator("summary").click()
    tables = opened.page.locator("details table")
    shares = {
        row.split("\t")[0]: float(row.split("\t")[1].rstrip(" %"))
        for row in tables.nth(0).locator("tbody").inner_text().splitlines()
    }
    bars = opened.figure("importance")[0]
    assert bars["y"][0] == "optimizer"
    for name, percent in zip(bars["y"], bars["x"], strict=True):
        assert shares[name] == pytest.approx(percent, abs=0.06)
    by_name = dict(zip(opened.page.locator("details h3").all_inner_texts()[1:], range(1, 9), strict=False))
    rows = tables.nth(by_name["optimizer"]).locator("tbody tr").all_inner_texts()
    means = {row.split("\t")[0]: float(row.split("\t")[4]) for row in rows}
    effect = next(trace for trace in opened.figure("effects") if trace["text"] == ["adam", "sgd"])
    assert dict(zip(effect["text"], effect["y"], strict=True)) == pytest.approx(means, abs=1e-3)
    ranks = {trace["name"]: trace for trace in opened.figure("ranks")}
    assert sum(len(trace["x"]) for trace in ranks.values()) == 23
    [winner] = ranks["the best"]["text"]
    assert opened.page.locator("#leaderboard-table tbody tr").first.inner_text().split("\t")[1] in winner
    points = sum(len(trace["x"]) for trace in opened.figure("cost") if trace["mode"] == "markers")
    assert points == 23  # all that have a score
    ended_trials = next(trace for trace in opened.figure("timeline") if trace["name"] == "ended")
    assert ended_trials["y"][-1] == 72


def test_without_a_script_all_tables_are_there(page: Path, open_page: OpenPageAt) -> None:
    opened = open_page(page, ready=False, script=False)
    assert opened.page.locator("#leaderboard-table tbody tr").count() == 24
    assert opened.page.locator("#leaderboard-table tbody tr").last.is_visible()
    assert "is the best" in opened.page.locator(".winner").inner_text()
    assert "need JavaScript" in opened.page.locator("noscript").inner_text()
    assert not opened.page.locator("#plot-effects").is_visible()


@pytest.mark.parametrize("width", [1280, 380])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_read_by_all(page: Path, open_page: OpenPageAt, width: int, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    opened = open_page(page, width=width, scheme=scheme)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    violations = Axe().run(opened.page, options={"runOnly": ["wcag2a", "wcag2aa"]}).response["violations"]
    assert [
        (
            violation["id"],
            violation["nodes"][0]["html"][:200],
            violation["nodes"][0].get("failureSummary", "")[:300],
        )
        for violation in violations
    ] == []
    levels = [
        int(level)
        for level in opened.page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => h.tagName[1])")
    ]
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    ink, paper = opened.page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    assert (_light(ink), _light(paper)) == ((False, True) if scheme == "light" else (True, False))


def _light(colour: str) -> bool:
    return sum(int(part) for part in colour.strip("rgb()").split(",")[:3]) > 3 * 128


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_prints_with_its_figures_and_all_tables(page: Path, open_page: OpenPageAt, scheme: str) -> None:
    opened = open_page(page, scheme=scheme)
    heads = opened.page.locator("#leaderboard-table thead tr:first-child th .dt-column-title").all_inner_texts
    on_screen = heads()
    assert opened.page.pdf()[:5] == b"%PDF-"
    opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    opened.page.emulate_media(media="print")
    opened.page.set_viewport_size({"width": 703, "height": 1000})  # A4 within its margins
    assert not opened.page.locator("header nav").is_visible()
    for part in (".winner", "#plot-ranks .main-svg", "#plot-effects .main-svg", "details table"):
        assert opened.page.locator(part).first.is_visible(), part
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 703
    colours = opened.page.evaluate("getComputedStyle(document.querySelector('#leaderboard-table td')).color")
    assert not _light(colours)
    # Else its last columns would be cut off: the page is as wide as its longest line, and a table may be wider.
    assert (
        opened.page.evaluate("document.getElementById('leaderboard-table').getBoundingClientRect().right") <= 703
    )
    assert [head for head in on_screen if head not in heads()] == ["CPU", "CPU %", "memory %", "witness"]
    opened.page.emulate_media(media="screen")
    opened.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert heads() == on_screen
    assert not opened.page.locator("details table").first.is_visible()


def test_hostile_names_and_values_stay_text(tmp_path: Path, write_page: WritePage, open_page: OpenPageAt) -> None:
    ran = [
        Ran({"<b>name</b>": value, "constructor": index % 2, "__proto__": 1, "y": index}, {"segMeasure": 0.5 + index / 100,
            "history": [{"segMeasure": 0.1, "loss": "<b>"}], "<i>metric</i>": 1})
        for index, value in enumerate(HOSTILE)
    ]  # fmt: skip
    ran += [Ran({"<b>name</b>": "f", "constructor": 1, "__proto__": 1, "y": 99}, None)]
    opened = open_page(write_page(ended(tmp_path, "<b>&'hostile'", ran)))
    opened.assert_clean()
    assert opened.page.title() == "<b>&'hostile' – sweep report"
    assert opened.page.locator("main b").count() == 1  # the score of the winner
    assert opened.page.locator("main img, main script, main a[href^=javascript]").count() == 0
    text = opened.page.locator("#leaderboard-table").inner_text()
    assert HOSTILE[0] in text.replace("…", "") or "<script>document" in text
    assert "<a href='javascript:alert(1)'>click</a>" in text
    assert "<b>name</b>" in text
    figure_text = opened.page.evaluate(
        "[...document.querySelectorAll('.plot text')].map(element => element.textContent).join(' ')"
    )
    assert "<b>name</b>" in figure_text
    assert opened.page.evaluate("document.querySelectorAll('.plot a').length") == opened.page.evaluate(
        "document.querySelectorAll('.plot .modebar a').length"
    )


@pytest.mark.parametrize(
    "ran",
    [
        [],
        [Ran({"x": 1}, {"segMeasure": 0.5})],
        [Ran({"x": n}, None) for n in range(3)],
        [Ran({"x": n, "y": n % 3}, {"segMeasure": 0.5}) for n in range(12)],
        [Ran({}, {"segMeasure": 0.5})],
        [Ran({"v": n / 7, "name": f"name {n}"}, {"segMeasure": n / 100}) for n in range(60)],
        [Ran({"x": [1, {"a": n}]}, {"segMeasure": n, "images": 7, "history": "none"}) for n in range(9)],
    ],
    ids=["empty", "one", "all failed", "all equal", "no parameter", "many values", "lists"],
)
def test_odd_sweeps_have_a_page(
    tmp_path: Path, write_page: WritePage, open_page: OpenPageAt, ran: list[Ran]
) -> None:
    opened = open_page(write_page(ended(tmp_path, "odd", ran)))
    opened.assert_clean()
    assert opened.page.locator("h1").inner_text() == "odd"


#: One red pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)


def test_pictures_that_results_name_are_in_the_page(
    tmp_path: Path, write_page: WritePage, open_page: OpenPageAt
) -> None:
    images = [
        "own.png",
        {"path": str(tmp_path / "else.png"), "caption": "<i>the worst</i> objects"},
        "missing.png",
        "secret.txt",
        "drawing.svg",
        "nul\0.png",
        7,
    ]

    def leave(folder: Path, ran: Ran) -> None:
        (folder / "own.png").write_bytes(PNG)
        (folder / "secret.txt").write_text("secret")
        (folder / "drawing.svg").write_text("<svg onload='alert(1)'/>")

    (tmp_path / "else.png").write_bytes(PNG)
    ran = [Ran({"x": n}, {"segMeasure": n / 10, "images": images}) for n in range(8)]
    opened = open_page(write_page(ended(tmp_path, "pictured", ran, leave=leave)))
    opened.assert_clean()
    assert opened.page.locator("#pictures ~ h3").all_inner_texts() == [
        f"Rank {n}, trial {8 - n}: x={8 - n}" for n in range(1, 6)
    ]
    pictures = opened.page.locator(".pictures img")
    assert pictures.count() == 10
    assert pictures.nth(1).get_attribute("alt") == "<i>the worst</i> objects"
    assert pictures.nth(0).evaluate("image => image.naturalWidth") == 1
    assert "secret" not in opened.page.locator("#pictures ~ div").first.inner_html()
    assert "svg" not in opened.page.locator("#pictures ~ div").first.inner_html()


def test_8192_trials_are_under_8_mb_and_all_can_be_found(
    tmp_path: Path, write_page: WritePage, open_page: OpenPageAt
) -> None:
    axes: dict[str, list[Any]] = {f"p{n}": [0, 1] for n in range(13)}
    rng = random.Random(2)
    ran = []
    for values in itertools.product(*axes.values()):
        score = 0.3 + 0.04 * sum(values) + rng.gauss(0, 0.02)
        epochs = [
            {"epoch": n, "segMeasure": rng.random(), "loss": rng.random(), "seconds": rng.random()}
            for n in range(30)
        ]
        ran.append(Ran(dict(zip(axes, values, strict=True)), {"segMeasure": score, "history": epochs}))
    path = write_page(ended(tmp_path, "big", ran))
    assert path.stat().st_size < 8_000_000
    opened = open_page(path)
    opened.assert_clean()
    assert "of 8,192" in opened.page.locator(".dt-info").inner_text()
    opened.page.locator(".dt-paging button.last").click()
    assert opened.cells(1)[-1] == "8192"
    assert opened.page.get_by_role("button", name="Columns").is_visible()


def test_no_value_of_many_is_left_out(tmp_path: Path, write_page: WritePage, open_page: OpenPageAt) -> None:
    ran = [Ran({"v": n * n, "name": f"name {n % 55}"}, {"segMeasure": n / 100}) for n in range(80)]
    opened = open_page(write_page(ended(tmp_path, "many", ran)))
    opened.page.locator("summary").click()
    tables = opened.page.locator("details div table")
    for place in (0, 1):
        rows = tables.nth(place).locator("tbody tr").all_inner_texts()
        assert len(rows) <= 40
        assert sum(int(row.split("\t")[1]) for row in rows) == 80
    assert tables.nth(0).locator("tbody tr").last.inner_text().startswith("5041 – 6241")
    assert sorted(opened.figure("parallel")[0]["dimensions"][0]["values"]) == [*range(80)]
