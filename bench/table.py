"""Put all that was measured into ``docs/performance.md``, between its two marks: ``python -m bench.table``."""

from __future__ import annotations

import json
from typing import Any

from bench.harness import MEASURED, ROOT

PAGE = ROOT / "docs" / "performance.md"
MARKS = ("<!-- measured: python -m bench.table -->", "<!-- end -->")

#: In the order of the table; files of others are left out.
ORDER = ("start", "plan", "scheduler_calls", "report", "node_overhead", "end_to_end", "end_to_end_sleep",
         "local_makespan", "files", "watch", "preload", "trainer_steps")  # fmt: skip


def number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def line(one: dict[str, Any]) -> str:
    beside = f"{number(one['other'])} ({one['beside']})" if one["other"] is not None else one["beside"]
    ratio = ""
    if one["ratio"] is not None:
        ratio = f"{one['ratio']:.2f}"
        if one["rounds"] > 1:
            ratio += f" ({one['ratio_low']:.2f}–{one['ratio_high']:.2f})"
    met = {True: "met", False: "**missed**", None: ""}[one["met"]]
    ours = f"{number(one['ours'])} {one['unit']}" if one["ours"] is not None else f"– {one['note']}"
    return f"| {one['what']} | {ours} | {beside} | {ratio} | {one['goal']} | {met} |"


def main() -> None:
    lines = [
        "| what | ours | floor or peer | ratio (least–most) | goal | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    machines = {}
    for name in ORDER:
        path = MEASURED / f"{name}.json"
        if path.exists():
            made = json.loads(path.read_text(encoding="utf-8"))
            machines[name] = made["machine"]
            lines += [line(one) for one in made["rows"]]
    loads = ", ".join(f"{name} {one['load'][0]:g}" for name, one in machines.items())
    some = next(iter(machines.values()))
    where = (
        f"{some['cpu']}, {some['cores']} cores, {some['memory_gib']:g} GiB, {some['system']}, "
        f"Python {some['python']}. Load of the last minute, at the end of each: {loads}."
    )
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    table = "\n".join(lines)
    PAGE.write_text(f"{before}{MARKS[0]}\n\n{where}\n\n{table}\n\n{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
