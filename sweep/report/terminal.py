"""What each command shows on a terminal. Colour only repeats what the text says."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sweep.model import ENDED, Cause, Raised, ResultProblem, SchedulerStatus, State, Submission
from sweep.report import racing, spelling
from sweep.schedulers import SCHEDULERS
from sweep.state.evidence import Attempt, PartialResult

if TYPE_CHECKING:  # a command that imported the others' verbs would start slower
    from sweep.state.failures import FailureGroup
    from sweep.verbs.cancel import CancelReport
    from sweep.verbs.doctor import Finding
    from sweep.verbs.extend import ExtendReport
    from sweep.verbs.plan import PlanReport
    from sweep.verbs.retry import RetryReport, Spared
    from sweep.verbs.status import MedianUse, RunningTrial, StatusReport, Waiting
    from sweep.verbs.submit import SubmitCall, SubmitReport
    from sweep.verbs.why import WhyReport

#: The largest number of rows of a kind. --json has all.
MAX_ROWS = 20

#: The largest number of reasons to wait that are shown for a state.
MAX_REASONS = 5

#: The largest number of a parameter's values that are written out, and of the characters of one.
MAX_VALUES = 8
MAX_VALUE_CHARACTERS = 40

#: What stands where a request is left to the site.
BY_SITE = "site"

#: The largest number of trials that are named for one reason.
MAX_NAMED = 4

#: How wide a table may be in a pipe: what people mail and print. Sentences stay in one line.
PIPE_COLUMNS = 120

EMPTY_LINE = Text("")


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Raise the BrokenPipeError that rich is handling: `sweep.cli.main` ends every command alike."""
        raise


def console(*, stderr: bool = False) -> Console:
    """Make the console. A pipe gets no colour, and sentences of any length."""
    new_console = _Console(stderr=stderr, highlight=False, soft_wrap=False)
    if not new_console.is_terminal:
        new_console.width = 10_000  # other programs read lines, which must not be broken
    return new_console


def plan(report: PlanReport) -> RenderableType:
    """Show what was planned."""
    would = "would be " if report.dry_run else ""
    lines: list[RenderableType] = [
        Text(f"{report.name}: {spelling.count(report.trials, 'trial')} {would}planned for {report.kind}", "bold"),
        Text(f"{report.new} new, {report.kept} kept, {report.retired} retired"),
    ]
    axes = empty_table(["parameter", "values"], [False, False])
    for name, values in report.axes.items():
        shown = map(spelling.passed_value, values[:MAX_VALUES])
        spelled = ", ".join(spelling.shortened(value, MAX_VALUE_CHARACTERS) for value in shown)
        spelled += ", …" if len(values) > MAX_VALUES else ""
        axes.add_row(Text(name), Text(f"{len(values)}: {spelled}"))
    units = ["the site's units"] if any(group.extra for group in report.groups) else []
    heads = ["group", "trials", "walltime", "memory", "CPUs", "GPUs", *units]
    groups = empty_table(heads, [False, *[True] * 5, *[False] * len(units)])
    for index, group in enumerate(report.groups, 1):
        memory = spelling.memory(group.memory_mib) if group.memory_mib else BY_SITE
        walltime = spelling.duration(group.walltime_s) if group.walltime_s else BY_SITE
        row = (group.trials, walltime, memory, group.cpus or BY_SITE, group.gpus)
        extra = [Text(" ".join(map(spelling.unit, group.extra)))] if units else []
        groups.add_row(f"g{index}", *map(str, row), *extra)
    sample = spelling.shortened(shlex.join(report.sample).replace("\n", "⏎"), 300)
    lines += [EMPTY_LINE, axes, EMPTY_LINE, groups, EMPTY_LINE, Text(f"the first runs: {sample}")]
    if report.race:
        lines += racing.plan_lines(report.race)
    if report.jobs or not report.race:
        lines.append(Text(f"{spelling.count(len(report.jobs), 'job script')} to submit"))
    lines += _limit_lines(report)
    if report.retired_done:
        retired = spelling.count(report.retired_done, "retired trial")
        lines.append(Text(f"{retired} with a result: sweep report --retired shows them"))
    if report.ended_badly:
        hint = "sweep retry --errors, or sweep retry TRIAL, tries them again"
        lines.append(Text(f"{report.ended_badly} of them ended badly before: {hint}"))
    if not report.dry_run:
        lines.append(Text(f"in {report.folder}\nnext: sweep {_next_command(report)}"))
    return Group(*lines)


def _next_command(report: PlanReport) -> str:
    if report.race:
        return "race"
    return "submit" if report.jobs else "retry --errors" if report.ended_badly else "status"


def _limit_lines(report: PlanReport) -> Iterator[Text]:
    """Say what the scheduler allows, and what follows from it for this sweep."""
    limits = report.limits
    parts = [
        _array_limit(report) if report.placement == "array" else "",
        f"{limits.max_idle:,} idle tasks of an array" if limits.max_idle and report.placement != "each" else "",
        f"{limits.max_queued:,} queued tasks of one user" if limits.max_queued else "",
        f"{limits.group_queued:,} queued tasks of all users of the account or QOS" if limits.group_queued else "",
        f"{limits.max_running:,} running tasks" if limits.max_running else "",
        f"walltime {spelling.duration(limits.walltime_s)}" if limits.walltime_s else "",
        f"{limits.cpus} CPUs a node" if limits.cpus else "",
        f"{spelling.memory(limits.memory_mib)} a node" if limits.memory_mib else "",
        f"{limits.gpus} GPUs a node" if limits.gpus else "",
    ]
    allowed = ", ".join(filter(None, parts))
    if allowed:
        yield Text(f"{report.kind} allows: {allowed}")
    if report.placement == "packed" and report.jobs:
        workers = sum(job.workers for job in report.jobs)
        longest_s = max(job.asks.walltime_s for job in report.jobs)
        yield Text(f"so: {spelling.count(workers, 'worker')} of up to {spelling.duration(longest_s)}")
    if report.waves > 1:
        sender = "the driver job sends" if report.driver else "sweep submit --follow sends"
        yield Text(f"so: {report.waves} waves; {sender} them one after another")


def _array_limit(report: PlanReport) -> str:
    scheduler = SCHEDULERS[report.kind]
    if not scheduler.has_arrays:
        return "no arrays"
    return f"arrays of up to {report.limits.max_array_size:,}" if scheduler.caps_arrays else ""


def submit(report: SubmitReport) -> RenderableType:
    """Show what was submitted."""
    lines = []
    if report.adopted:
        adopted = spelling.count(report.adopted, "job")
        lines.append(Text(f"{adopted} of an interrupted submission found at the scheduler and kept"))
    if report.resumed:
        lines.append(Text(f"{spelling.count(report.resumed, 'paused trial')} will go on"))
    lines += _not_retried(report.spared)
    if report.retried.trials:
        lines.append(Text(f"{spelling.count(len(report.retried.trials), 'trial')} tried again"))
    lines += [
        Text(
            f"{submitted.job}: {spelling.count(submitted.trials, 'trial')} "
            + (f"for workers of job {submitted.id} that wait" if submitted.handed else f"as job {submitted.id}")
        )
        for submitted in report.sent[:MAX_ROWS]
    ]
    if len(report.sent) > MAX_ROWS:
        lines.append(Text(f"… and {len(report.sent) - MAX_ROWS} more jobs"))
    lines.append(Text(f"{spelling.count(report.trials_sent, 'trial')} submitted, {report.trials_left} left"))
    if report.why_left:
        lines.append(Text(f"{report.why_left}; a later `sweep submit` sends the rest"))
    if report.driver:
        lines.append(Text(report.driver))
    return Group(*lines)


def submit_calls(calls: Sequence[SubmitCall]) -> RenderableType:
    """Show the commands that would be run."""
    trials = sum(call.trials for call in calls)
    lines = [Text(shlex.join(call.command)) for call in calls]
    return Group(*lines, Text(f"# {spelling.count(trials, 'trial')} in {spelling.count(len(calls), 'call')}"))


def retry(report: RetryReport) -> RenderableType:
    """Show which trials are tried again, with which request, and which ones are not."""
    lines = [Text(f"{spelling.count(len(report.trials), 'trial')} planned again")]
    by_request: dict[Raised, list[int]] = {}
    for number, raised in report.raised.items():
        by_request.setdefault(raised, []).append(number)
    lines += [
        Text(f"with {_raised_text(raised)}: trial {_trial_list(numbers)}")
        for raised, numbers in by_request.items()
    ]
    return Group(*lines, *_not_retried(report.spared))


def extend(report: ExtendReport) -> RenderableType:
    """Show which trials go on, and from where to where."""
    by_reached: dict[int, list[int]] = {}
    for number, reached in report.reached.items():
        by_reached.setdefault(reached, []).append(number)
    return Group(
        *(
            Text(f"to entry {report.until} of its history, from {reached}: trial {_trial_list(numbers)}")
            for reached, numbers in sorted(by_reached.items())
        )
    )


def _raised_text(raised: Raised) -> str:
    memory = f"memory {spelling.memory(raised.memory_mib)}" if raised.memory_mib else ""
    walltime = f"walltime {spelling.duration(raised.walltime_s)}" if raised.walltime_s else ""
    return ", ".join(filter(None, (memory, walltime)))


def _not_retried(spared: Sequence[Spared]) -> list[Text]:
    return [
        Text(f"not tried again, {len(group.trials)}: {group.reason} (trial {_trial_list(group.trials)})")
        for group in spared
    ]


def _trial_list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:MAX_NAMED])) + (", …" if len(numbers) > MAX_NAMED else "")


def status(report: StatusReport) -> RenderableType:
    """Show how many trials are in each state, which ones run, what the queued ones wait for, what failed."""
    total = max(1, report.trials)
    ended = sum(report.counts.get(state.value, 0) for state in ENDED)
    counts = ", ".join(f"{report.counts[state.value]} {state}" for state in State if state.value in report.counts)
    left = f", about {spelling.duration(report.time_left_s)} left" if report.time_left_s is not None else ""
    head = Text(f"{progress_bar(ended / total)} {ended} of {report.trials} ended{left}")
    lines: list[RenderableType] = [Text(report.name, "bold"), head, Text(counts or "no trials")]
    if report.race:
        lines.append(racing.progress(report.race))
    if report.running:
        lines += [EMPTY_LINE, _running_table(report.running), EMPTY_LINE]
    lines += _waiting_lines("planned", [wait for wait in report.planned if wait.cause is not Cause.NOT_SUBMITTED])
    lines += _waiting_lines("queued", report.queued)
    lines += _waiting_lines("held", report.held)
    if report.ended.elapsed_s is not None:
        lines.append(Text(_usage_line(report.ended)))
    if report.failures:
        lines += [EMPTY_LINE, *_failure_lines(report.failures)]
    if report.retired:
        active = f", {report.retired_alive} of them still queued or running" if report.retired_alive else ""
        lines.append(Text(f"{spelling.count(report.retired, 'trial')} retired by a newer grid{active}"))
    return Group(*lines)


def _waiting_lines(state: str, waits: Sequence[Waiting]) -> list[Text]:
    return [Text(f"{state}, {wait.count}: {wait.reason}") for wait in waits[:MAX_REASONS]]


def progress_bar(share: float, width: int = 30) -> str:
    """Draw a progress bar without colour. `share` is from 0 to 1.

    >>> progress_bar(0.5, 6)
    '███░░░'
    """
    full = min(width, int(share * width + 1e-9))
    return "█" * full + "░" * (width - full)


def _running_table(trials: Sequence[RunningTrial]) -> RenderableType:
    table = empty_table(
        ["running", "elapsed", "of", "CPU", "memory", "of", "by", "on", "job"], [False, *[True] * 5, *[False] * 3]
    )
    for trial in trials[:MAX_ROWS]:
        table.add_row(
            f"{trial.trial} (suspended)" if trial.suspended else str(trial.trial),
            spelling.duration(trial.elapsed_s),
            spelling.duration(trial.walltime_s or None),
            spelling.percent(trial.cpu_percent),
            spelling.memory(trial.memory_mib),
            spelling.memory(trial.asked_memory_mib or None),
            trial.witness or "–",
            Text(trial.host or "–"),
            trial.job or "–",
        )
    if len(trials) > MAX_ROWS:
        table.add_row(f"… {len(trials) - MAX_ROWS} more")
    return table


def _usage_line(used: MedianUse) -> str:
    """Say what the trials that are done used: medians."""
    parts = [spelling.duration(used.elapsed_s)]
    if used.cpu_percent is not None:
        parts.append(f"{spelling.percent(used.cpu_percent)} of the CPUs")
    if used.peak_memory_mib is not None:
        share = spelling.percent(used.memory_percent)
        parts.append(f"{spelling.memory(used.peak_memory_mib)} at most, {share} of the memory asked for")
    return f"done, medians: {', '.join(parts)}"


def _failure_lines(groups: Sequence[FailureGroup]) -> Iterator[RenderableType]:
    """Show each kind of failure once: how many trials, why, what they share, and the end of one trial's log."""
    table = empty_table(["did not end well", "trials", "why"], [False, True, False])
    for group in groups[:MAX_ROWS]:
        shared = ""
        if group.shared:
            values = " and ".join(
                f"{name}={spelling.parameter_value(value)}" for name, value in group.shared.params.items()
            )
            shared = f"\n{group.shared.count} of {group.shared.total} have {values}"
        if group.node:
            shared += f"\n{group.on_node} of {group.count} were on node {group.node}"
        log = "".join(f"\n│ {line}" for line in group.log_tail)
        trials = (
            f"trial {_trial_list(group.trials)}" if group.same_reason else f"trial {group.trials[0]}, for example"
        )
        others = "".join(f"\n{reason} (trial {number}, for example)" for number, reason in group.others)
        table.add_row(group.state, str(group.count), Text(f"{group.reason} ({trials}){others}{shared}{log}"))
    yield table
    if len(groups) > MAX_ROWS:
        yield Text(f"… and {len(groups) - MAX_ROWS} more reasons")


def cancel(report: CancelReport) -> RenderableType:
    """Show what was cancelled."""
    text = f"{spelling.count(len(report.trials), 'trial')} cancelled"
    if report.planned:
        text += f"; {report.planned} more are only planned; they are not sent before the next `sweep submit`"
    lines = [f"{left.reason}: nothing cancelled (trial {_trial_list(left.trials)})" for left in report.left_alone]
    return Text("\n".join([*lines, text]))


def why(report: WhyReport) -> RenderableType:
    """Show a trial's state and the evidence for it."""
    table = empty_table(["evidence", ""], [False, False])
    params = ", ".join(f"{name}={spelling.parameter_value(value)}" for name, value in report.params.items())
    table.add_row("parameters", Text(params))
    table.add_row("command", Text(shlex.join(report.argv)))
    table.add_row("submitted", Text(_submission_text(report.submission, report.task)))
    table.add_row("scheduler", Text(_scheduler_text(report.scheduler) if report.scheduler else report.said))
    table.add_row("on the node", Text(_attempt_text(report.attempt)))
    table.add_row("result", Text(spelling.shortened(_result_text(report), 400)))
    if report.partial and (history := _history_text(report.partial, report.at)):
        table.add_row("history", Text(history))
    if report.race:
        table.add_row("race", racing.of_trial(report.race))
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


def _submission_text(submission: Submission | None, task: str) -> str:
    if submission is None:
        return "not yet"
    job = task or submission.job_id or "not known"
    reply = f"refused: {submission.refusal}" if submission.refused else f"job {job}"
    return f"{_clock(submission.at)} as {submission.job_name}, {reply}"


def _scheduler_text(status: SchedulerStatus) -> str:
    return _name_value_list({name: getattr(status, name) for name in status.__dataclass_fields__})


def _attempt_text(attempt: Attempt | None) -> str:
    if attempt is None:
        return "it has left no record"
    if attempt.failure:
        ending = attempt.error
    else:
        ending = f"signal {attempt.signal}" if attempt.signal is not None else f"exit code {attempt.exit_code}"
    parts = [
        f"attempt {attempt.attempt}",
        attempt.host,
        f"began {_clock(attempt.started_at)}" if attempt.started_at is not None else "",
        f"{spelling.duration(attempt.elapsed_s)} elapsed" if attempt.elapsed_s is not None else "",
        f"{spelling.duration(attempt.cpu_s)} of CPU" if attempt.cpu_s is not None else "",
        f"peak memory {spelling.memory(attempt.peak_memory_mib)}" if attempt.peak_memory_mib is not None else "",
        f"was sent {', '.join(attempt.signals)}" if attempt.signals else "",
        "" if attempt.cancelled else ending if attempt.ended else "has not ended",
        "cancelled before it ran" if attempt.cancelled else "",
    ]
    return ", ".join(filter(None, parts))


def _result_text(report: WhyReport) -> str:
    if report.problem is not None:
        return report.result_problem
    if not isinstance(report.result, dict):
        return str(report.result)
    # Lists and objects are left out: a history of 400 epochs would hide the rest.
    return _name_value_list(
        {name: value for name, value in report.result.items() if not isinstance(value, dict | list)}
    )


def _history_text(partial: PartialResult, now: float) -> str:
    """Say how far a trial has come. Nothing where its result has no history."""
    ago = "" if partial.written_at is None else f", {spelling.duration(max(0.0, now - partial.written_at))} ago"
    if partial.fault and partial.fault.problem is ResultProblem.TOO_LARGE:
        return f"not read, {partial.fault.words}{ago}"
    if not partial.epochs:
        return ""
    return f"epoch {partial.epochs[-1]}: {partial.metric} {spelling.score(partial.scores[-1])}{ago}"


def _name_value_list(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items() if value not in (None, "", (), []))


def doctor(findings: Iterable[Finding]) -> RenderableType:
    """Show what was checked, what was found, and what to do about it."""
    table = empty_table(["", "what", "found", "what to do"], [False] * 4)
    for finding in findings:
        table.add_row(finding.level, finding.what, Text(finding.finding), Text(finding.advice))
    return table


def table_columns() -> int:
    """Return how wide a table may be: as the terminal, or `PIPE_COLUMNS` where the output has no width."""
    output = console()
    return output.width if output.is_terminal else min(output.width, PIPE_COLUMNS)


class NarrowTable(Table):
    """A table that is no wider than `PIPE_COLUMNS` where the output has no width of its own."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it."""
        if not console.is_terminal:
            options = options.update_width(min(options.max_width, PIPE_COLUMNS))
        yield from super().__rich_console__(console, options)


def empty_table(heads: Sequence[str], numeric: Sequence[bool]) -> Table:
    """Make a table without rows. Columns of numbers are aligned at the right."""
    table = NarrowTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for head, right in zip(heads, numeric, strict=True):
        table.add_column(escape(head), justify="right" if right else "left", overflow="fold")
    return table
