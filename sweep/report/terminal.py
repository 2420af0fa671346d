"""The reports on a terminal. Data goes to stdout, talk to stderr; colour never carries meaning."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sweep.report import words
from sweep.verbs.status import SHOWN

if TYPE_CHECKING:  # each command brings its own: none starts slower for the others
    from sweep.verbs.cancel import CancelReport
    from sweep.verbs.doctor import Finding
    from sweep.verbs.plan import PlanReport
    from sweep.verbs.retry import RetryReport
    from sweep.verbs.status import StatusReport
    from sweep.verbs.submit import SubmitReport

#: In the order in which trials pass through them.
STATES = ("planned", "submitting", "queued", "running", "done", "paused", "failed", "cancelled", "lost")


#: An empty line.
GAP = Text("")


def console(*, stderr: bool = False) -> Console:
    """Make the console; a pipe gets no colour and lines of any length."""
    made = Console(stderr=stderr, highlight=False, soft_wrap=False)
    if not made.is_terminal:
        made.width = 10_000  # a pipe takes lines of any length
    return made


def plan(report: PlanReport) -> RenderableType:
    """Show what was planned."""
    would = "would be " if report.dry_run else ""
    lines: list[RenderableType] = [
        Text(f"{report.name}: {words.count(report.trials, 'trial')} {would}planned for {report.kind}", "bold"),
        Text(f"{report.new} new, {report.kept} kept, {report.retired} retired"),
    ]
    axes = table_of(["parameter", "values"], [False, False])
    for name, values in report.axes.items():
        spelled = ", ".join(words.cell(value) for value in values[:8]) + (", …" if len(values) > 8 else "")
        axes.add_row(Text(name), Text(f"{len(values)}: {spelled}"))
    groups = table_of(["group", "trials", "walltime", "memory", "CPUs", "GPUs"], [False, *[True] * 5])
    for index, group in enumerate(report.groups, 1):
        memory = words.memory(group["memory_mib"])
        walltime = words.duration(group["walltime_s"])
        groups.add_row(f"g{index}", *map(str, (group["trials"], walltime, memory, group["cpus"], group["gpus"])))
    sample = words.shortened(shlex.join(report.sample).replace("\n", "⏎"), 300)
    lines += [GAP, axes, GAP, groups, GAP, Text(f"the first runs: {sample}")]
    lines += [Text(f"{words.count(len(report.jobs), 'job script')} to submit"), *_limits(report)]
    if report.retired_done:
        old = words.count(report.retired_done, "retired trial")
        lines.append(Text(f"{old} with a result: sweep report --retired shows them"))
    if report.ended_badly:
        hint = "sweep retry --errors, or sweep retry TRIAL, tries them again"
        lines.append(Text(f"{report.ended_badly} of them ended badly before: {hint}"))
    if not report.dry_run:
        then = "submit" if report.jobs else "retry --errors" if report.ended_badly else "status"
        lines.append(Text(f"in {report.folder}\nnext: sweep {then}"))
    return Group(*lines)


def _limits(report: PlanReport) -> Iterator[Text]:
    """Say what the scheduler takes, and what that does to this sweep."""
    has = report.limits
    told = [
        f"arrays of up to {has['max_array_size']:,}"
        if report.placement == "array" and report.kind != "local"
        else "",
        f"{has['max_queued']:,} of one person's tasks queued" if has["max_queued"] else "",
        f"{has['max_running']:,} running" if has["max_running"] else "",
        f"walltime {words.duration(has['walltime_s'])}" if has["walltime_s"] else "",
        f"{has['cpus']} CPUs a node" if has["cpus"] else "",
        f"{words.memory(has['memory_mib'])} a node" if has["memory_mib"] else "",
        f"{has['gpus']} GPUs a node" if has["gpus"] else "",
    ]
    known = ", ".join(filter(None, told))
    if known:
        yield Text(f"{report.kind} takes: {known}")
    if report.placement == "packed" and report.jobs:
        workers = sum(job["workers"] for job in report.jobs)
        longest = max((job["asks"]["walltime_s"] for job in report.jobs), default=0)
        yield Text(f"so: {words.count(workers, 'worker')} of up to {words.duration(longest)}")
    if report.waves > 1:
        how = "the driver job sends" if report.driver else "sweep submit --follow sends"
        yield Text(f"so: {report.waves} waves; {how} them one after another")


def submit(report: SubmitReport) -> RenderableType:
    """Show what was sent, or would be."""
    lines: list[RenderableType] = []
    if report.dry_run:
        lines = [Text(shlex.join(one["command"])) for one in report.sent]
        return Group(*lines, Text(f"# {words.count(report.trials_left, 'trial')} in {len(report.sent)} calls"))
    if report.adopted:
        lines.append(Text(f"{words.count(report.adopted, 'job')} of an interrupted submission found and taken up"))
    if report.resumed:
        lines.append(Text(f"{words.count(report.resumed, 'trial')} paused and going on"))
    lines += [Text(f"not again, {len(some)}: {why} (trial {_some(some)})") for why, some in report.spared.items()]
    if report.retried.get("trials"):
        lines.append(Text(f"{words.count(len(report.retried['trials']), 'trial')} tried again"))
    for one in report.sent[:SHOWN]:
        lines.append(Text(f"{one['job']}: {words.count(int(str(one['trials'])), 'trial')} as job {one['id']}"))
    if len(report.sent) > SHOWN:
        lines.append(Text(f"… and {len(report.sent) - SHOWN} jobs more"))
    lines.append(Text(f"{words.count(report.trials_sent, 'trial')} submitted, {report.trials_left} left"))
    if report.why_left:
        lines.append(Text(f"{report.why_left}; a later `sweep submit` sends the rest"))
    if report.driver:
        lines.append(Text(report.driver))
    return Group(*lines)


def retry(report: RetryReport) -> RenderableType:
    """Show what is tried again, with what, and what is not."""
    lines = [Text(f"{words.count(len(report.trials), 'trial')} planned again")]
    more: dict[str, list[int]] = {}
    for number, raised in report.raised.items():
        spelled = {"memory_mib": words.memory, "walltime_s": words.duration}
        text = ", ".join(f"{name.partition('_')[0]} {spelled[name](value)}" for name, value in raised.items())
        more.setdefault(text, []).append(number)
    lines += [Text(f"with {text}: trial {_some(numbers)}") for text, numbers in more.items()]
    lines += [
        Text(f"not again, {len(numbers)}: {why} (trial {_some(numbers)})")
        for why, numbers in report.spared.items()
    ]
    return Group(*lines)


def _some(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:4])) + (", …" if len(numbers) > 4 else "")


def status(report: StatusReport) -> RenderableType:
    """Show where the trials stand."""
    total = max(1, report.trials)
    ended = sum(report.counts.get(state, 0) for state in ("done", "failed", "cancelled", "lost"))
    counts = ", ".join(f"{report.counts[state]} {state}" for state in STATES if state in report.counts)
    left = f", about {words.duration(report.time_left_s)} left" if report.time_left_s is not None else ""
    head = Text(f"{bar(ended / total)} {ended} of {report.trials} ended{left}")
    lines: list[RenderableType] = [Text(report.name, "bold"), head, Text(counts or "no trials")]
    if report.running:
        lines += [GAP, _running(report.running), GAP]
    for reason, n in list(report.planned_because.items())[:5]:
        if reason != "not submitted yet":
            lines.append(Text(f"planned, {n}: {reason}"))
    for reason, n in list(report.queued_because.items())[:5]:
        lines.append(Text(f"queued, {n}: {reason}"))
    if report.ended:
        lines.append(Text(_ended(report.ended)))
    if report.failures:
        lines += [GAP, *_failures(report.failures)]
    if report.retired:
        alive = f", {report.retired_alive} of them still queued or running" if report.retired_alive else ""
        lines.append(Text(f"{words.count(report.retired, 'trial')} retired by a newer grid{alive}"))
    return Group(*lines)


def bar(share: float, width: int = 30) -> str:
    """Draw a progress bar that needs no colour.

    >>> bar(0.5, 6)
    '███░░░'
    """
    full = min(width, int(share * width + 1e-9))
    return "█" * full + "░" * (width - full)


def _running(rows: list[dict[str, Any]]) -> RenderableType:
    table = table_of(
        ["running", "elapsed", "of", "CPU", "memory", "of", "by", "on", "job"], [False, *[True] * 5, *[False] * 3]
    )
    for row in rows[:SHOWN]:
        table.add_row(
            str(row["trial"]),
            words.duration(row["elapsed_s"]),
            words.duration(row["walltime_s"]),
            words.percent(row["cpu_percent"]),
            words.memory(row["memory_mib"]),
            words.memory(row["asked_memory_mib"]),
            row["witness"] or "–",
            Text(row["host"] or "–"),
            row["job"] or "–",
        )
    if len(rows) > SHOWN:
        table.add_row(f"… {len(rows) - SHOWN} more")
    return table


def _ended(used: dict[str, float]) -> str:
    """Say what the trials that are done used, in the median."""
    parts = [words.duration(used.get("elapsed_s"))]
    if "cpu_percent" in used:
        parts.append(f"{words.percent(used['cpu_percent'])} of the CPUs")
    if "peak_memory_mib" in used:
        share = words.percent(used.get("memory_percent"))
        parts.append(f"{words.memory(used['peak_memory_mib'])} at most, {share} of the memory asked for")
    return f"done, in the median: {', '.join(parts)}"


def _failures(rows: list[dict[str, Any]]) -> Iterator[RenderableType]:
    """Show each kind of failure once: how many, why, what they share, and what one of them wrote last."""
    table = table_of(["not well ended", "trials", "why"], [False, True, False])
    for row in rows[:SHOWN]:
        shared = row["shared"]
        alike = ""
        if shared:
            values = " and ".join(f"{name}={words.cell(value)}" for name, value in shared["params"].items())
            alike = f"\n{shared['count']} of {shared['total']} have {values}"
        log = "".join(f"\n│ {line}" for line in row.get("log_tail", ()))
        table.add_row(
            row["state"], str(row["count"]), Text(f"{row['reason']} (trial {_some(row['trials'])}){alike}{log}")
        )
    yield table
    if len(rows) > SHOWN:
        yield Text(f"… and {len(rows) - SHOWN} reasons more")


def cancel(report: CancelReport) -> RenderableType:
    """Show what was cancelled."""
    text = f"{words.count(len(report.trials), 'trial')} cancelled"
    if report.planned:
        text += f"; {report.planned} more only planned, and not sent until `sweep submit`"
    return Text(text)


def why(told: dict[str, Any]) -> RenderableType:
    """Show a trial's state and the evidence for it."""
    lines: list[RenderableType] = [
        Text(f"trial {told['trial']} ({told['id']}) is {told['state']}: {told['reason']}", "bold"),
    ]
    table = table_of(["evidence", ""], [False, False])
    table.add_row("parameters", Text(", ".join(f"{name}={words.cell(v)}" for name, v in told["params"].items())))
    table.add_row("command", Text(shlex.join(told["argv"])))
    table.add_row("submitted", Text(_submission(told["submission"])))
    table.add_row("scheduler", Text(_pairs(told["scheduler"] or {}) or "not asked, or it did not say"))
    table.add_row("on the node", Text(_attempt(told["attempt"])))
    result = told["result"]
    table.add_row(
        "result", Text(words.shortened(_pairs(_plain(result)) if isinstance(result, dict) else str(result), 400))
    )
    table.add_row("folder", Text(told["folder"]))
    lines.append(table)
    for name, title in (("log_tail", "the end of its log"), ("job_log_tail", "the end of its job's log")):
        if told[name]:
            lines += [Text(f"{title}:", "bold"), *(Text("  " + line) for line in told[name])]
    return Group(*lines)


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _submission(one: dict[str, Any] | None) -> str:
    if not one:
        return "not yet"
    outcome = f"refused: {one['refused']}" if one["refused"] else f"job {one['job_id'] or 'not known'}"
    return f"{_clock(one['at'])} as {one['job_name']}, {outcome}"


def _attempt(one: dict[str, Any] | None) -> str:
    if not one:
        return "it has left no record"
    parts = [f"attempt {one['number']}", one.get("host", ""), f"began {_clock(one.get('started_at', 0))}"]
    parts += [f"{words.duration(one['elapsed_s'])} elapsed"] if "elapsed_s" in one else []
    parts += [f"{words.duration(one['cpu_s'])} of CPU"] if "cpu_s" in one else []
    parts += [f"peak memory {words.memory(one['peak_memory_mib'])}"] if "peak_memory_mib" in one else []
    parts += [f"was sent {', '.join(one['signals'])}"] if "signals" in one else []
    how = f"signal {one['signal']}" if "signal" in one else f"exit code {one.get('exit_code')}"
    how = one.get("error") or how
    return ", ".join([*filter(None, parts), how if one.get("ended") else "has not ended"])


def _plain(result: dict[str, Any]) -> dict[str, Any]:
    """Leave out of a result what is nested: a history of 400 epochs tells nobody anything here."""
    return {name: value for name, value in result.items() if not isinstance(value, dict | list)}


def _pairs(said: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in said.items() if value not in (None, "", (), []))


def doctor(findings: Iterable[Finding]) -> RenderableType:
    """Show what was found and what to do about it."""
    table = table_of(["", "what", "found", "what to do"], [False] * 4)
    for one in findings:
        table.add_row(one.verdict, one.what, Text(one.found), Text(one.advice))
    return table


def table_of(heads: Sequence[str], numeric: Sequence[bool]) -> Table:
    """Make an empty table; numbers are aligned at the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for head, right in zip(heads, numeric, strict=True):
        table.add_column(escape(head), justify="right" if right else "left", overflow="fold")
    return table
