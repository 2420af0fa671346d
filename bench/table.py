"""Put all measurements into ``docs/performance.md``, between its two marks: ``python -m bench.table``."""

from __future__ import annotations

import json
from typing import Any

from bench.harness import MEASURED, ROOT

PAGE = ROOT / "docs" / "performance.md"
MARKS = ("<!-- measured: python -m bench.table -->", "<!-- end -->")

#: The benchmarks in the order of the table. Files of other names are left out.
ORDER = ("start", "plan", "scheduler_calls", "report", "node_overhead", "end_to_end", "end_to_end_sleep",
         "local_makespan", "files", "watch", "preload", "trainer_steps")  # fmt: skip


def number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def line(row: dict[str, Any]) -> str:
    beside = f"{number(row['other'])} ({row['beside']})" if row["other"] is not None else row["beside"]
    ratio = ""
    if row["ratio"] is not None:
        ratio = f"{row['ratio']:.2f}"
        if row["rounds"] > 1:
            ratio += f" ({row['ratio_low']:.2f}–{row['ratio_high']:.2f})"
    met = {True: "met", False: "**missed**", None: ""}[row["met"]]
    ours = f"{number(row['ours'])} {row['unit']}" if row["ours"] is not None else f"– {row['note']}"
    return f"| {row['what']} | {ours} | {beside} | {ratio} | {row['goal']} | {met} |"


def main() -> None:
    lines = [
        "| what | ours | floor or peer | ratio (least–most) | goal | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    machines = {}
    for name in ORDER:
        path = MEASURED / f"{name}.json"
        if path.exists():
            measured = json.loads(path.read_text(encoding="utf-8"))
            machines[name] = measured["machine"]
            lines += [line(row) for row in measured["rows"]]
    loads = ", ".join(f"{name} {machine['load'][0]:g}" for name, machine in machines.items())
    host = next(iter(machines.values()))
    where = (
        f"{host['cpu']}, {host['cores']} cores, {host['memory_gib']:g} GiB, {host['system']}, "
        f"Python {host['python']}. Load of the last minute, at the end of each: {loads}."
    )
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    table = "\n".join(lines)
    PAGE.write_text(f"{before}{MARKS[0]}\n\n{where}\n\n{table}\n\n{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
