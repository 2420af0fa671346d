"""What a sweep is there to decide, on a terminal: leaderboard, winner, what mattered, what it cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sweep.leaderboard.comparison import Comparison
from sweep.leaderboard.cost import Cost, GroupUse
from sweep.leaderboard.importance import Importance, Share
from sweep.model import Objective
from sweep.report import words
from sweep.report.table import Shown, decimals_of, plain, shown
from sweep.report.terminal import GAP, console, table_of
from sweep.verbs.report import Report

if TYPE_CHECKING:
    from sweep.verbs.confirm import ConfirmReport
    from sweep.verbs.report import BestConfiguration

#: Beside a table by value that compares more than the values.
UNBALANCED = Text(
    "note: not every value has a score with the same values of the other parameters: they differ in these, too"
)

#: Of those that tie, so many are named.
NAMED = 8


def leaderboard(report: Report, top: int, only: Sequence[str] = ()) -> RenderableType:
    """Show the best configurations, the counts, and how far the winner is to be trusted."""
    view, gone = shown(report.frame, report.column, top, only).fitting(console().width, only)
    lines: list[RenderableType] = [Text(heading(report), "bold"), GAP, frame(view), GAP, *_beside(view, gone)]
    lines.append(Text(footer(report, top)))
    if report.best:
        lines += [Text(line) for line in winner(report)]
    else:
        lines.append(Text(f"no trial has a {report.objective.metric} yet"))
    lines += [Text(f"note: {doubt}") for doubt in report.doubts]
    return Group(*lines)


def heading(report: Report) -> str:
    """Say what is ranked by what."""
    where = f", where {report.where}" if report.where else ""
    return f"{report.name}: by {report.objective.metric}, {report.objective.goal}{where}"


def footer(report: Report, top: int) -> str:
    """Count what there is: nothing is dropped in silence."""
    counts = ", ".join(f"{n} {state}" for state, n in report.counts.items())
    rest = f"; {words.count(report.retired, 'trial')} retired" if report.retired else ""
    total = len(report.frame)
    trials = sum(report.counts.values())
    of = words.count(total, "configuration" if report.board.replicated else "trial")
    told = f"{words.count(trials, 'trial')}: {counts}" if report.board.replicated else counts
    return f"{min(top, total)} of {of} ({told}{rest})"


def winner(report: Report) -> Iterator[str]:
    """Say which is best, how sure that is, and what is tied with it."""
    best = report.best
    assert best
    digits = decimals_of(report.frame)
    params = ", ".join(
        f"{name}={words.shortened(words.cell(value), 60)}" for name, value in best.entry.trial.params.items()
    )
    own = words.score(best.configuration.scores[best.entry.trial.replicate], digits)
    several = f" (mean of {len(best.replicates)} {runs(report)}; {own} itself)" if len(best.replicates) > 1 else ""
    score = words.score(best.score, digits)
    equal = f"; as good: trial {_some(best.equal_scores)}" if best.equal_scores else ""
    what = f"{score}{several}{': ' if params else ''}{params}{equal}"
    yield f"best: trial {best.entry.trial.number}, {report.objective.metric} {what}"
    if best.optimism is not None and math.isfinite(best.low):
        yield expectation(report)
    if best.tied:
        yield (
            f"{words.count(len(best.tied), 'configuration')} marked = cannot be told from it: "
            f"trial {_some(best.tied)}"
        )
    test = best.configuration.test(report.objective)
    if not math.isnan(test):
        yield f"on the test images, which no choice has seen: {words.score(test, digits)}"


def runs(report: Report) -> str:
    """Call the winner's replicates what they are."""
    assert report.best
    return "confirming runs" if report.best.configuration.confirmed else "replicates"


def expectation(report: Report) -> str:
    """Say what a new run of the winner is expected to score, the best of many being too good."""
    best = report.best
    assert best
    assert best.expected is not None
    digits = decimals_of(report.frame)
    expected = words.score(best.expected, digits)
    interval = words.interval(best.low, best.high, digits)
    many = f"{best.compared:,} confirmed ones" if best.configuration.confirmed else f"{best.compared:,}"
    why = f" (the best of {many} is about {best.optimism:.{digits}f} too good)" if best.compared > 1 else ""
    return f"expected over new seeds: {expected}, 95 % interval of that mean {interval}{why}"


def _some(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - NAMED} more" if len(numbers) > NAMED else ""
    return ", ".join(map(str, numbers[:NAMED])) + more


def frame(view: Shown) -> Table:
    """Show a table of texts."""
    table = table_of(view.heads, view.numeric)
    for row in view.rows:
        table.add_row(*(Text(words.shortened(value, 40)) for value in row))
    return table


def some_table(title: str, made: Any, digits: int, top: int | None = None, metric: str = "") -> RenderableType:
    """Show another table than the leaderboard: by value, undominated, trial by trial."""
    part = made if top is None else made.head(top)
    view, gone = plain(part, digits, metric).fitting(console().width)
    return Group(Text(title, "bold"), GAP, frame(view), GAP, *_beside(view, gone))


def undominated(title: str, kept: Any, report: Report, top: int | None) -> RenderableType:
    """Show the rows of the leaderboard that nothing beats."""
    view, gone = shown(kept, report.column, top).fitting(console().width)
    return Group(Text(title, "bold"), GAP, frame(view), GAP, *_beside(view, gone))


def _beside(view: Shown, gone: Sequence[str]) -> Iterator[Text]:
    """Say what the table does not show."""
    if view.fixed:
        fixed = ", ".join(f"{name}={words.shortened(value, 60)}" for name, value in view.fixed.items())
        yield Text(f"the same in all: {fixed}")
    if gone:
        yield Text(f"left out, as the terminal is narrow: {', '.join(gone)}")


def best(best: BestConfiguration, report: Report) -> RenderableType:
    """Show the best configuration; the command that repeats it comes after this."""
    table = table_of(["parameter", "value"], [False, False])
    for name, value in best.parameters.items():
        table.add_row(Text(name), Text(words.cell(value)))
    first, *rest = winner(report)
    return Group(
        Text(f"{best.sweep}: {first.partition(': ')[2].partition(': ')[0]}", "bold"),
        table,
        *(Text(line) for line in rest),
        *(Text(f"note: {doubt}") for doubt in report.doubts),
        Text("to repeat it:"),
    )


def importance(made: Importance) -> RenderableType:
    """Show what mattered."""
    lines: list[RenderableType] = [Text("what mattered: share of the score's variance", "bold"), GAP]
    table = table_of(["parameter", "share", "±", ""], [False, True, True, False])
    for share in [*made.single, *[one for one in made.pairs if one.percent >= 1]]:
        table.add_row(*spelled(share), Text("█" * round(share.percent / 5)))
    if made.single:
        lines += [table, GAP, Text(f"a forest explains {max(0.0, made.r2):.0%} of the scores it has not seen")]
    return Group(*lines, *(Text(f"note: {one}") for one in made.warnings))


def spelled(share: Share) -> tuple[Text, str, str]:
    """Spell a share: names, percent, and the trees' standard deviation."""
    return Text(" × ".join(share.names)), f"{share.percent:.1f} %", f"{share.sd:.1f}"


def cost(made: Cost) -> RenderableType:
    """Show what it cost."""
    used = f", {100 * made.used_core_h / made.allotted_core_h:.0f} %" if made.allotted_core_h else ""
    lines: list[RenderableType] = [
        Text("what it cost", "bold"),
        Text(f"{hours(made.allotted_core_h)} core-hours allotted, {hours(made.used_core_h)} used{used}"),
    ]
    table = table_of(["wasted by", "core-hours"], [False, True])
    for cause, wasted in made.wasted_core_h.items():
        table.add_row(Text(cause), hours(wasted))
    lines += [GAP, table, GAP] if made.wasted_core_h else []
    lines += [Text(line) for one in made.requests for line in requests(one)]
    lines.append(
        Text(
            f"asked for and not used: {hours(made.unused_memory_gib_h)} GiB-hours of memory, "
            f"{hours(made.unused_walltime_core_h)} core-hours of walltime"
        )
    )
    if made.unknown:
        lines.append(Text(f"of {words.count(made.unknown, 'attempt')} nobody knows what it took"))
    return Group(*lines)


def hours(value: float) -> str:
    """Spell hours, three digits of them."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def requests(one: GroupUse) -> Iterator[str]:
    """Say what was asked for and what would have done."""
    group = f"{words.count(one.trials, 'trial')} of {words.count(one.asked.cpus, 'CPU')}"
    for what, asked, used, enough, out, spell in (
        ("memory", one.asked.memory_mib, one.memory_mib, one.enough_memory_mib, one.out_of_memory, words.memory),
        (
            "walltime",
            one.asked.walltime_s,
            one.walltime_s,
            one.enough_walltime_s,
            one.out_of_walltime,
            words.duration,
        ),
    ):
        if math.isinf(used):
            yield f"{group}: {what}: asked {spell(asked)}, and {out} ran out of it"
        elif used == used:
            stayed = f"99 % stayed under {spell(used)}; {spell(enough)} would do"
            yield f"{group}: {what}: asked {spell(asked)}, {stayed}"


def confirm(report: ConfirmReport) -> RenderableType:
    """Show what is run again."""
    would = "would have " if report.dry_run else ""
    each = "each with fresh seeds, the same for all"
    lines: list[RenderableType] = [
        Text(
            f"{words.count(len(report.configurations), 'configuration')} {would}to be confirmed by "
            f"{words.count(report.replicates, 'run')}, {each}",
            "bold",
        )
    ]
    table = table_of(["trial", "score", "new trials", "parameters"], [True, True, False, False])
    for one in report.configurations:
        params = ", ".join(f"{name}={words.cell(value)}" for name, value in one.parameters.items())
        new = _range(one.trials) or f"none: it has {one.had}"
        table.add_row(str(one.trial), words.score(one.score), new, Text(words.shortened(params, 80)))
    lines += [
        table,
        Text(f"{words.count(len(report.trials), 'trial')} {'would be ' if report.dry_run else ''}planned"),
    ]
    if report.unfinished:
        lines.append(Text(f"note: {report.unfinished} trials have not ended; the best may still change"))
    return Group(*lines)


def _range(numbers: Sequence[int]) -> str:
    if not numbers:
        return ""
    whole = [*numbers] == [*range(numbers[0], numbers[-1] + 1)]
    return f"{numbers[0]} to {numbers[-1]}" if whole and len(numbers) > 1 else ", ".join(map(str, numbers))


def compare(a: str, b: str, made: Comparison, objective: Objective, top: int) -> RenderableType:
    """Show two sweeps side by side."""
    rows = len(made.table)
    lines = [
        some_table(f"{objective.metric}: {a} (a) and {b} (b)", made.table, 4, top),
        Text(f"{min(top, rows)} of {words.count(rows, 'configuration')} in both, over all runs with shared seeds"),
    ]
    if rows > 1:
        lines.append(Text(_difference(made, objective)))
    lines.append(Text(f"only in {a}: {made.only_a}; only in {b}: {made.only_b}"))
    return Group(*lines)


def _difference(made: Comparison, objective: Objective) -> str:
    """Say how the second sweep compares with the first."""
    interval = f"(95 % interval of the difference {words.interval(made.low, made.high)})"
    if not made.mean or made.low <= 0 <= made.high:
        return f"on average no difference can be told {interval}"
    better = "better" if (made.mean > 0) is not objective.minimize else "worse"
    return f"b is on average {words.score(abs(made.mean))} {better} {interval}"
