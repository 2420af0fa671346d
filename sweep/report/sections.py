"""What a sweep decides, on a terminal: the sections of the report, and what best, confirm and compare print."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sweep.report import advice, origin, racing, spelling
from sweep.report.table import MAX_CELL_WIDTH, TextTable, decimals_of, frame_table, leaderboard_table
from sweep.report.terminal import EMPTY_LINE, empty_table, table_columns

if TYPE_CHECKING:
    from sweep.leaderboard.analysis import Analysis, Front
    from sweep.leaderboard.comparison import Comparison
    from sweep.leaderboard.cost import Cost, GroupUse
    from sweep.leaderboard.importance import Importance, Share
    from sweep.model import Objective
    from sweep.verbs.best import BestConfiguration
    from sweep.verbs.confirm import ConfirmReport
    from sweep.verbs.replay import ReplayReport
    from sweep.verbs.report import LeaderboardReport
    from sweep.verbs.verdict import Judged, VerdictReport

#: Stands beneath a table by value whose rows differ in more than the value.
UNBALANCED = Text(f"note: {spelling.UNBALANCED}")

#: The largest number of tied configurations that are named.
MAX_NAMED = 8

#: The importance of a pair is shown from this percentage on.
MIN_PAIR_PERCENT = 1


def leaderboard_section(report: LeaderboardReport, top: int, columns: Sequence[str] = ()) -> RenderableType:
    """Show the best configurations, the counts, and how far the winner is to be trusted."""
    analysis = report.analysis
    whole = leaderboard_table(analysis.leaderboard, analysis.column, top, columns)
    table, left_out = whole.fit_to_width(table_columns(), columns)
    lines: list[RenderableType] = [
        Text(heading(report), "bold"),
        *(Text(f"warning: {warning}") for warning in report.warnings),
        EMPTY_LINE,
        _rich_table(table),
        EMPTY_LINE,
        *_beneath(table, left_out),
        Text(footer(report, top)),
    ]
    if report.best:
        lines += [Text(line) for line in (winner_line(analysis), *certainty_lines(analysis))]
    else:
        lines.append(Text(f"no trial has a {report.objective.metric} yet"))
    lines += [Text(origin.line(report.provenance))] if report.provenance else []
    lines += [Text(line) for line in (racing.result_lines(report.race) if report.race else ())]
    lines += [Text(f"note: {doubt}") for doubt in report.doubts]
    next_lines = [Text(f"- {line}") for line in advice.lines(analysis)]
    lines += [EMPTY_LINE, Text("what next", "bold"), *next_lines] if next_lines else []
    return Group(*lines)


def advice_section(analysis: Analysis) -> RenderableType:
    """Show what to do next, and which parameters did not matter."""
    lines = [*advice.lines(analysis), *filter(None, [advice.unimportant_line(analysis)])]
    lines = lines or ["the scores do not say"]
    return Group(Text("what next", "bold"), EMPTY_LINE, *(Text(f"- {line}") for line in lines))


def heading(report: LeaderboardReport) -> str:
    """Say what is ranked, by what, and which part of it."""
    where = f", where {report.where}" if report.where else ""
    return f"{report.name}: by {report.objective.metric}, {report.objective.goal}{where}"


def footer(report: LeaderboardReport, top: int) -> str:
    """Count all configurations and trials, so that none is left out in silence."""
    states = ", ".join(f"{count:,} {state}" for state, count in report.counts.items())
    retired = f"; {spelling.count(report.retired, 'trial')} retired" if report.retired else ""
    replicated = report.analysis.board.replicated
    total = len(report.analysis.leaderboard)
    rows = spelling.count(total, "configuration" if replicated else "trial")
    trials = spelling.count(sum(report.counts.values()), "trial")
    return f"{min(top, total):,} of {rows} ({f'{trials}: {states}' if replicated else states}{retired})"


def winner_score(analysis: Analysis) -> str:
    """Say which trial stands for the best configuration, and its score."""
    best = analysis.best
    assert best
    decimals = decimals_of(analysis.leaderboard)
    own = spelling.score(best.configuration.scores[best.entry.trial.replicate], decimals)
    count = len(best.replicates)
    mean = f" (mean of {count} {replicates_noun(analysis)}; {own} itself)" if count > 1 else ""
    score = spelling.score(best.score, decimals)
    return f"trial {best.entry.trial.number}, {analysis.objective.metric} {score}{mean}"


def winner_line(analysis: Analysis) -> str:
    """Say which configuration is the best."""
    best = analysis.best
    assert best
    params = ", ".join(
        f"{name}={spelling.shortened(spelling.parameter_value(value), 60)}"
        for name, value in best.entry.trial.params.items()
    )
    equal = f"; as good: trial {_trial_list(best.equal_scores)}" if best.equal_scores else ""
    return f"best: {winner_score(analysis)}{': ' if params else ''}{params}{equal}"


def certainty_lines(analysis: Analysis) -> Iterator[str]:
    """Say how sure it is that the best is the best, and which configurations are tied with it."""
    best = analysis.best
    assert best
    decimals = decimals_of(analysis.leaderboard)
    if best.optimism is not None and math.isfinite(best.low):
        yield expected_score_line(analysis)
    if best.tied:
        yield (
            f"{spelling.count(len(best.tied), 'configuration')} marked = may be the best as well: "
            f"trial {_trial_list(best.tied)}"
        )
    test = best.configuration.test(analysis.objective)
    if not math.isnan(test):
        yield f"on the test images, which no choice has seen: {spelling.score(test, decimals)}"


def replicates_noun(analysis: Analysis) -> str:
    """Return what the winner's replicates are called."""
    assert analysis.best
    return "confirming runs" if analysis.best.configuration.confirmed else "replicates"


def expected_score_line(analysis: Analysis) -> str:
    """Say what new runs of the winner score on average: less than it did, because it was chosen by its score."""
    best = analysis.best
    assert best
    assert best.expected is not None
    decimals = decimals_of(analysis.leaderboard)
    expected = spelling.score(best.expected, decimals)
    interval = spelling.interval(best.low, best.high, decimals)
    candidates = f"{best.compared:,} confirmed ones" if best.configuration.confirmed else f"{best.compared:,}"
    why = (
        f" (the best of {candidates} is about {best.optimism:.{decimals}f} too good)" if best.compared > 1 else ""
    )
    return f"expected over new seeds: {expected}, 95 % interval of that mean {interval}{why}"


def _trial_list(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - MAX_NAMED} more" if len(numbers) > MAX_NAMED else ""
    return ", ".join(map(str, numbers[:MAX_NAMED])) + more


def _rich_table(table: TextTable) -> Table:
    rich_table = empty_table(table.heads, table.numeric)
    for row in table.rows:
        rich_table.add_row(*(Text(spelling.shortened(cell, MAX_CELL_WIDTH)) for cell in row))
    return rich_table


def frame_section(
    title: str, frame: Any, decimals: int, top: int | None = None, metric: str = ""
) -> RenderableType:
    """Show the first `top` rows of a frame that is not the leaderboard: by value, or trial by trial."""
    rows = frame if top is None else frame.head(top)
    return _table_section(title, frame_table(rows, decimals, metric))


def pareto_section(front: Front, metric: str, top: int | None) -> RenderableType:
    """Show the rows of the leaderboard that are on the Pareto front. `metric` is the metric's column."""
    measures = ", ".join(
        f"{name} ({'less' if less else 'more'} is better)" for name, less in front.less_is_better.items()
    )
    return _table_section(f"Pareto front of {measures}", leaderboard_table(front.table, metric, top))


def _table_section(title: str, whole: TextTable) -> RenderableType:
    table, left_out = whole.fit_to_width(table_columns())
    return Group(Text(title, "bold"), EMPTY_LINE, _rich_table(table), EMPTY_LINE, *_beneath(table, left_out))


def _beneath(table: TextTable, left_out: Sequence[str]) -> Iterator[Text]:
    """Say what the table does not show."""
    if table.fixed:
        fixed = ", ".join(f"{name}={spelling.shortened(value, 60)}" for name, value in table.fixed.items())
        yield Text(f"the same in all: {fixed}")
    if left_out:
        yield Text(f"left out, for want of width: {', '.join(left_out)}")


def best(best: BestConfiguration, report: LeaderboardReport) -> RenderableType:
    """Show the best configuration. The command that repeats it is printed after this."""
    table = empty_table(["parameter", "value"], [False, False])
    for name, value in best.parameters.items():
        table.add_row(Text(name), Text(spelling.parameter_value(value)))
    return Group(
        Text(f"{best.sweep}: {winner_score(report.analysis)}", "bold"),
        table,
        *(Text(line) for line in certainty_lines(report.analysis)),
        *([Text(origin.line(report.provenance))] if report.provenance else []),
        *(Text(f"note: {note}") for note in (*report.warnings, *report.doubts)),
        Text("to repeat it:"),
    )


def importance_section(importance: Importance) -> RenderableType:
    """Show the share of the score's variance that each parameter, and each strong pair, explains."""
    lines: list[RenderableType] = [Text("what mattered: share of the score's variance", "bold"), EMPTY_LINE]
    table = empty_table(["parameter", "share", "±", ""], [False, True, True, False])
    for share in shown_shares(importance):
        table.add_row(*_share_cells(share), Text("█" * round(share.percent / 5)))
    if importance.single:
        explained = f"a forest explains {max(0.0, importance.r2):.0%} of the scores it has not seen"
        lines += [table, EMPTY_LINE, Text(explained)]
    return Group(*lines, *(Text(f"note: {warning}") for warning in importance.warnings))


def shown_shares(importance: Importance) -> list[Share]:
    """Return the shares of all parameters and of the pairs that are strong enough to be shown."""
    return [*importance.single, *[share for share in importance.pairs if share.percent >= MIN_PAIR_PERCENT]]


def _share_cells(share: Share) -> tuple[Text, str, str]:
    """Spell the names, the percentage and its standard deviation over the trees."""
    return Text(" × ".join(share.names)), f"{share.percent:.1f} %", f"{share.sd:.1f}"


def cost_section(cost: Cost) -> RenderableType:
    """Show what the sweep used and wasted, and which request would have been enough."""
    allotted, used = spelling.hours(cost.allotted_core_h), spelling.hours(cost.used_core_h)
    share = f", {100 * cost.used_core_h / cost.allotted_core_h:.0f} %" if cost.allotted_core_h else ""
    lines: list[RenderableType] = [
        Text("what it cost", "bold"),
        Text(f"{allotted} core-hours allotted, {used} used{share}"),
    ]
    table = empty_table(["wasted by", "core-hours"], [False, True])
    for cause, wasted in cost.wasted_core_h.items():
        table.add_row(Text(cause), spelling.hours(wasted))
    lines += [EMPTY_LINE, table, EMPTY_LINE] if cost.wasted_core_h else []
    lines += [Text(line) for group_use in cost.requests for line in request_lines(group_use)]
    lines.append(
        Text(
            f"asked for and not used: {spelling.hours(cost.unused_memory_gib_h)} GiB-hours of memory, "
            f"{spelling.hours(cost.unused_walltime_core_h)} core-hours of walltime"
        )
    )
    if cost.unknown:
        attempts = spelling.count(cost.unknown, "attempt")
        lines.append(Text(f"not counted: {attempts} whose elapsed time is not known"))
    return Group(*lines)


def request_lines(use: GroupUse) -> Iterator[str]:
    """Say what a group of trials requested, and what would have been enough."""
    group = f"{spelling.count(use.trials, 'trial')} of {spelling.count(use.asked.cores, 'CPU')}"
    for resource, requested, used, enough, ran_out, spell in (
        (
            "memory",
            use.asked.memory_mib,
            use.memory_mib,
            use.enough_memory_mib,
            use.out_of_memory,
            spelling.memory,
        ),
        (
            "walltime",
            use.asked.walltime_s,
            use.walltime_s,
            use.enough_walltime_s,
            use.out_of_walltime,
            spelling.duration,
        ),
    ):
        if not requested:
            if math.isfinite(used):
                yield f"{group}: {resource}: left to the site; 99 % stayed under {spell(used)}"
        elif math.isinf(used):
            yield f"{group}: {resource}: asked {spell(requested)}, and {ran_out} ran out of it"
        elif not math.isnan(used):
            advice = f"99 % stayed under {spell(used)}; {spell(enough)} would be enough"
            yield f"{group}: {resource}: asked {spell(requested)}, {advice}"


def confirm(report: ConfirmReport) -> RenderableType:
    """Show which configurations are run again."""
    would = "would have " if report.dry_run else ""
    lines: list[RenderableType] = [
        Text(
            f"{spelling.count(len(report.configurations), 'configuration')} {would}to be confirmed by "
            f"{spelling.count(report.replicates, 'run')}, each with fresh seeds, the same for all",
            "bold",
        )
    ]
    table = empty_table(["trial", "score", "new trials", "parameters"], [True, True, False, False])
    for configuration in report.configurations:
        params = ", ".join(
            f"{name}={spelling.parameter_value(value)}" for name, value in configuration.parameters.items()
        )
        new_trials = _trial_range(configuration.trials) or f"none: it has {configuration.had}"
        score = spelling.score(configuration.score)
        table.add_row(str(configuration.trial), score, new_trials, Text(spelling.shortened(params, 80)))
    trials = spelling.count(len(report.trials), "trial")
    lines += [table, Text(f"{trials} {'would be ' if report.dry_run else ''}planned")]
    if report.unfinished:
        lines.append(Text(f"note: {report.unfinished} trials have not ended; the best may still change"))
    return Group(*lines)


def _trial_range(numbers: Sequence[int]) -> str:
    if not numbers:
        return ""
    consecutive = [*numbers] == [*range(numbers[0], numbers[-1] + 1)]
    return f"{numbers[0]} to {numbers[-1]}" if consecutive and len(numbers) > 1 else ", ".join(map(str, numbers))


def compare(a: str, b: str, comparison: Comparison, objective: Objective, top: int) -> RenderableType:
    """Show two sweeps side by side. `a` and `b` are their names."""
    rows = len(comparison.table)
    lines = [
        frame_section(f"{objective.metric}: {a} (a) and {b} (b)", comparison.table, 4, top),
        Text(
            f"{min(top, rows)} of {spelling.count(rows, 'configuration')} in both, over all runs with shared seeds"
        ),
    ]
    if rows > 1:
        lines.append(Text(_difference_line(comparison, objective)))
    lines.append(Text(f"only in {a}: {comparison.only_a}; only in {b}: {comparison.only_b}"))
    return Group(*lines)


def verdict(report: VerdictReport) -> RenderableType:
    """Show whether a candidate is better than a base, by how much, and what would tell."""
    candidate, base = report.candidate, report.base
    lines = [f"{report.metric}: {_judged(candidate)} {report.answer.words} {_judged(base)}"]
    amount = f"difference {report.difference:+.4g}"
    if report.at_least:
        amount += f", asked for {report.at_least:g} at least"
    if report.interval:
        amount += f", 95 % interval {spelling.interval(*report.interval)}"
    how = (
        f"over {report.shared_seeds} seeds that both have"
        if report.shared_seeds
        else f"{spelling.count(candidate.runs, 'run')} against {base.runs}, no two seeds shared"
    )
    lines.append(f"{amount} ({how})")
    for side, what in ((candidate, "candidate"), (base, "base")):
        if abs(side.score - side.expected) > abs(report.difference) / 100:
            why = "the best of a sweep are too good on average, and the worst too bad"
            lines.append(f"of new runs, {side.expected:.4g} is expected of the {what}: {why}")
    if report.interval is None:
        lines.append(
            "one run says nothing of the noise: run both again with further seeds (replicates, sweep confirm)"
        )
    elif report.further_runs:
        runs = spelling.count(report.further_runs, "further run")
        lines.append(f"about {runs} of each would tell, if the difference is what it seems")
    elif report.further_runs is None:
        lines.append("no feasible number of runs would tell")
    return Group(*map(Text, lines))


def _judged(side: Judged) -> str:
    return f"trial {side.trial} of {side.sweep}, {side.score:.4g}"


def _difference_line(comparison: Comparison, objective: Objective) -> str:
    """Say whether the second sweep is better than the first, and by how much."""
    mean = comparison.mean
    interval = f"(95 % interval of the difference {spelling.interval(comparison.low, comparison.high)})"
    if not mean or comparison.low <= 0 <= comparison.high:
        return f"on average no difference can be told {interval}"
    better = "better" if (mean > 0) is not objective.minimize else "worse"
    return f"b is on average {spelling.score(abs(mean))} {better} {interval}"


#: The ways of a replay, in words.
WAYS = {
    "whole grid": "the whole grid, once",
    "race": "this race",
    "random": "random choice, same cost",
    "first rung": "all to the first rung",
}


def replay(report: ReplayReport) -> RenderableType:
    """Show what a race would have come to, beside other ways to choose."""
    rules, total = report.rules, report.configurations
    heads = ["way", "cost", "core-hours", "begun", "winner's place", "worst", "below the best"]
    table = empty_table(heads, [False, *[True] * 6])
    for way in report.ways:
        table.add_row(
            WAYS[way.name],
            f"{100 * way.share:.1f} %",
            spelling.hours(way.core_h),
            f"{way.begun:,.0f}",
            f"{way.place:,}",
            f"{way.worst_place:,}",
            spelling.score(way.below_best),
        )
    budget = f"{100 * rules.share:.3g} %" if rules.share else f"{rules.core_hours:g} core-hours"
    rungs = ", ".join(map(str, rules.rungs))
    confirm = ", then ".join(f"the top {stage.top} × {stage.replicates}" for stage in rules.confirm)
    seeds = spelling.count(report.seeds, "seed")
    return Group(
        Text(f"{report.name}, raced on paper: {spelling.count(total, 'configuration')}, {seeds}", "bold"),
        Text(f"budget {budget}, rungs {rungs}, keep {rules.keep:.3g}, {rules.propose}; confirmed: {confirm}"),
        EMPTY_LINE,
        table,
        EMPTY_LINE,
        Text(f"cost is a share of one run of the whole grid, {spelling.hours(report.grid_core_h)} core-hours"),
        Text("place: the winner's among all, by the mean of its replicates; median and worst over the seeds"),
    )
