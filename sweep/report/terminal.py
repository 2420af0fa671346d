"""The reports on a terminal. Data goes to stdout, notes to stderr; colour never carries meaning."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sweep.model import Attempt, Cause, Raised, SchedulerStatus, State, Submission
from sweep.report import words

if TYPE_CHECKING:  # each command brings its own: none starts slower for the others
    from sweep.state.failures import FailureGroup
    from sweep.verbs.cancel import CancelReport
    from sweep.verbs.doctor import Finding
    from sweep.verbs.plan import PlanReport
    from sweep.verbs.retry import RetryReport
    from sweep.verbs.status import RunningTrial, StatusReport, Waiting
    from sweep.verbs.submit import SubmitCall, SubmitReport
    from sweep.verbs.why import WhyReport

#: More rows of a kind than anyone reads; --json has them all.
SHOWN = 20

#: More reasons to wait than anyone reads.
MOST_REASONS = 5

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
        memory, walltime = words.memory(group.memory_mib), words.duration(group.walltime_s)
        groups.add_row(f"g{index}", *map(str, (group.trials, walltime, memory, group.cpus, group.gpus)))
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
    limits = report.limits
    parts = [
        f"arrays of up to {limits.max_array_size:,}"
        if report.placement == "array" and report.kind != "local"
        else "",
        f"{limits.max_queued:,} of one person's tasks queued" if limits.max_queued else "",
        f"{limits.max_running:,} running" if limits.max_running else "",
        f"walltime {words.duration(limits.walltime_s)}" if limits.walltime_s else "",
        f"{limits.cpus} CPUs a node" if limits.cpus else "",
        f"{words.memory(limits.memory_mib)} a node" if limits.memory_mib else "",
        f"{limits.gpus} GPUs a node" if limits.gpus else "",
    ]
    known = ", ".join(filter(None, parts))
    if known:
        yield Text(f"{report.kind} takes: {known}")
    if report.placement == "packed" and report.jobs:
        workers = sum(job.workers for job in report.jobs)
        longest_s = max(job.asks.walltime_s for job in report.jobs)
        yield Text(f"so: {words.count(workers, 'worker')} of up to {words.duration(longest_s)}")
    if report.waves > 1:
        how = "the driver job sends" if report.driver else "sweep submit --follow sends"
        yield Text(f"so: {report.waves} waves; {how} them one after another")


def submit(report: SubmitReport) -> RenderableType:
    """Show what was sent."""
    lines = []
    if report.adopted:
        lines.append(Text(f"{words.count(report.adopted, 'job')} of an interrupted submission found and taken up"))
    if report.resumed:
        lines.append(Text(f"{words.count(report.resumed, 'trial')} paused and going on"))
    lines += _spared(report.spared)
    if report.retried.trials:
        lines.append(Text(f"{words.count(len(report.retried.trials), 'trial')} tried again"))
    lines += [
        Text(f"{unit.job}: {words.count(unit.trials, 'trial')} as job {unit.id}") for unit in report.sent[:SHOWN]
    ]
    if len(report.sent) > SHOWN:
        lines.append(Text(f"… and {len(report.sent) - SHOWN} jobs more"))
    lines.append(Text(f"{words.count(report.trials_sent, 'trial')} submitted, {report.trials_left} left"))
    if report.why_left:
        lines.append(Text(f"{report.why_left}; a later `sweep submit` sends the rest"))
    if report.driver:
        lines.append(Text(report.driver))
    return Group(*lines)


def submit_calls(calls: Sequence[SubmitCall]) -> RenderableType:
    """Show the commands that would be run."""
    trials = sum(call.trials for call in calls)
    lines = [Text(shlex.join(call.command)) for call in calls]
    return Group(*lines, Text(f"# {words.count(trials, 'trial')} in {words.count(len(calls), 'call')}"))


def retry(report: RetryReport) -> RenderableType:
    """Show what is tried again, with what, and what is not."""
    lines = [Text(f"{words.count(len(report.trials), 'trial')} planned again")]
    more: dict[Raised, list[int]] = {}
    for number, raised in report.raised.items():
        more.setdefault(raised, []).append(number)
    lines += [Text(f"with {_raised(raised)}: trial {_some(numbers)}") for raised, numbers in more.items()]
    return Group(*lines, *_spared(report.spared))


def _raised(raised: Raised) -> str:
    memory = f"memory {words.memory(raised.memory_mib)}" if raised.memory_mib else ""
    walltime = f"walltime {words.duration(raised.walltime_s)}" if raised.walltime_s else ""
    return ", ".join(filter(None, (memory, walltime)))


def _spared(spared: Mapping[str, list[int]]) -> list[Text]:
    return [Text(f"not again, {len(numbers)}: {why} (trial {_some(numbers)})") for why, numbers in spared.items()]


def _some(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:4])) + (", …" if len(numbers) > 4 else "")


def status(report: StatusReport) -> RenderableType:
    """Show where the trials stand."""
    total = max(1, report.trials)
    ended_states = (State.DONE, State.FAILED, State.CANCELLED, State.LOST)
    ended = sum(report.counts.get(state.value, 0) for state in ended_states)
    counts = ", ".join(f"{report.counts[state.value]} {state}" for state in State if state.value in report.counts)
    left = f", about {words.duration(report.time_left_s)} left" if report.time_left_s is not None else ""
    head = Text(f"{bar(ended / total)} {ended} of {report.trials} ended{left}")
    lines: list[RenderableType] = [Text(report.name, "bold"), head, Text(counts or "no trials")]
    if report.running:
        lines += [GAP, _running(report.running), GAP]
    lines += _waiting("planned", [wait for wait in report.planned if wait.cause is not Cause.NOT_SUBMITTED])
    lines += _waiting("queued", report.queued)
    if report.ended:
        lines.append(Text(_ended(report.ended)))
    if report.failures:
        lines += [GAP, *_failures(report.failures)]
    if report.retired:
        alive = f", {report.retired_alive} of them still queued or running" if report.retired_alive else ""
        lines.append(Text(f"{words.count(report.retired, 'trial')} retired by a newer grid{alive}"))
    return Group(*lines)


def _waiting(state: str, waits: Sequence[Waiting]) -> list[Text]:
    return [Text(f"{state}, {wait.count}: {wait.reason}") for wait in waits[:MOST_REASONS]]


def bar(share: float, width: int = 30) -> str:
    """Draw a progress bar that needs no colour.

    >>> bar(0.5, 6)
    '███░░░'
    """
    full = min(width, int(share * width + 1e-9))
    return "█" * full + "░" * (width - full)


def _running(trials: Sequence[RunningTrial]) -> RenderableType:
    table = table_of(
        ["running", "elapsed", "of", "CPU", "memory", "of", "by", "on", "job"], [False, *[True] * 5, *[False] * 3]
    )
    for trial in trials[:SHOWN]:
        table.add_row(
            str(trial.trial),
            words.duration(trial.elapsed_s),
            words.duration(trial.walltime_s),
            words.percent(trial.cpu_percent),
            words.memory(trial.memory_mib),
            words.memory(trial.asked_memory_mib),
            trial.witness or "–",
            Text(trial.host or "–"),
            trial.job or "–",
        )
    if len(trials) > SHOWN:
        table.add_row(f"… {len(trials) - SHOWN} more")
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


def _failures(groups: Sequence[FailureGroup]) -> Iterator[RenderableType]:
    """Show each kind of failure once: how many, why, what they share, and what one of them wrote last."""
    table = table_of(["not well ended", "trials", "why"], [False, True, False])
    for group in groups[:SHOWN]:
        alike = ""
        if group.shared:
            values = " and ".join(f"{name}={words.cell(value)}" for name, value in group.shared.params.items())
            alike = f"\n{group.shared.count} of {group.shared.total} have {values}"
        log = "".join(f"\n│ {line}" for line in group.log_tail)
        which = f"trial {_some(group.trials)}" if group.same_reason else f"trial {group.trials[0]}, for example"
        table.add_row(group.state, str(group.count), Text(f"{group.reason} ({which}){alike}{log}"))
    yield table
    if len(groups) > SHOWN:
        yield Text(f"… and {len(groups) - SHOWN} reasons more")


def cancel(report: CancelReport) -> RenderableType:
    """Show what was cancelled."""
    text = f"{words.count(len(report.trials), 'trial')} cancelled"
    if report.planned:
        text += f"; {report.planned} more only planned, and not sent until `sweep submit`"
    return Text(text)


def why(report: WhyReport) -> RenderableType:
    """Show a trial's state and the evidence for it."""
    table = table_of(["evidence", ""], [False, False])
    params = ", ".join(f"{name}={words.cell(value)}" for name, value in report.params.items())
    table.add_row("parameters", Text(params))
    table.add_row("command", Text(shlex.join(report.argv)))
    table.add_row("submitted", Text(_submission(report.submission)))
    table.add_row("scheduler", Text(_scheduler(report.scheduler)))
    table.add_row("on the node", Text(_attempt(report.attempt)))
    table.add_row("result", Text(words.shortened(_result(report), 400)))
    table.add_row("folder", Text(report.folder))
    lines: list[RenderableType] = [
        Text(f"trial {report.trial} ({report.id}) is {report.state}: {report.reason}", "bold"),
        table,
    ]
    for title, tail in (
        ("the end of its log", report.log_tail),
        ("the end of its job's log", report.job_log_tail),
    ):
        if tail:
            lines += [Text(f"{title}:", "bold"), *(Text("  " + line) for line in tail)]
    return Group(*lines)


def _clock(unix_time: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_time))


def _submission(submission: Submission | None) -> str:
    if submission is None:
        return "not yet"
    outcome = f"refused: {submission.refusal}" if submission.refused else f"job {submission.job_id or 'not known'}"
    return f"{_clock(submission.at)} as {submission.job_name}, {outcome}"


def _scheduler(status: SchedulerStatus | None) -> str:
    if status is None:
        return "not asked, or it did not say"
    return _pairs({name: getattr(status, name) for name in status.__dataclass_fields__})


def _attempt(attempt: Attempt | None) -> str:
    if attempt is None:
        return "it has left no record"
    if attempt.failure:
        how = attempt.error
    else:
        how = f"signal {attempt.signal}" if attempt.signal is not None else f"exit code {attempt.exit_code}"
    parts = [
        f"attempt {attempt.attempt}",
        attempt.host,
        f"began {_clock(attempt.started_at)}" if attempt.started_at is not None else "",
        f"{words.duration(attempt.elapsed_s)} elapsed" if attempt.elapsed_s is not None else "",
        f"{words.duration(attempt.cpu_s)} of CPU" if attempt.cpu_s is not None else "",
        f"peak memory {words.memory(attempt.peak_memory_mib)}" if attempt.peak_memory_mib is not None else "",
        f"was sent {', '.join(attempt.signals)}" if attempt.signals else "",
        "" if attempt.cancelled else how if attempt.ended else "has not ended",
        "cancelled before it ran" if attempt.cancelled else "",
    ]
    return ", ".join(filter(None, parts))


def _result(report: WhyReport) -> str:
    if report.result_problem:
        return report.result_problem
    if not isinstance(report.result, dict):
        return str(report.result)
    # What is nested is left out: a history of 400 epochs tells nobody anything here.
    return _pairs({name: value for name, value in report.result.items() if not isinstance(value, dict | list)})


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items() if value not in (None, "", (), []))


def doctor(findings: Iterable[Finding]) -> RenderableType:
    """Show what was found and what to do about it."""
    table = table_of(["", "what", "found", "what to do"], [False] * 4)
    for one in findings:
        table.add_row(one.level, one.what, Text(one.finding), Text(one.advice))
    return table


def table_of(heads: Sequence[str], numeric: Sequence[bool]) -> Table:
    """Make an empty table; numbers are aligned at the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for head, right in zip(heads, numeric, strict=True):
        table.add_column(escape(head), justify="right" if right else "left", overflow="fold")
    return table
