"""What is said of a race on the terminal: its plan, its steps, where it is, and what it has come to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from sweep.report import spelling

if TYPE_CHECKING:
    from sweep.jobs.racing import RacePlan
    from sweep.state.racing import RungLoss
    from sweep.steps.checkpoints import ParkedDisk
    from sweep.steps.raced import RaceProgress, RaceResult, TrialRace
    from sweep.verbs.race import RaceReport

#: Why a race runs a trial, in words: the values of `sweep.race.standing.How`.
HOW = {
    "first wave": "begin so that every value of every parameter occurs",
    "forecast": "begin: the forest expects most of it",
    "sampled": "begin: one of the forest's trees expects most of it",
    "random": "begin, drawn at random",
    "order": "begin, in the grid's order",
    "optuna": "begin: Optuna proposes it",
    "audit": "run to the end whatever the score, drawn at random",
    "spared": "train to the end all the same, drawn at random of what scores too low on the first rung",
    "promoted": "go on to the next rung",
    "finish": "train to the end: the forest, or one of its trees, expects most of it",
}

#: Why nothing more is begun, in words: the values of `sweep.race.standing.Over`.
OVER = {"budget": "the budget is spent", "all": "every configuration was trained or goes no further"}


def plan_lines(race: RacePlan) -> Iterator[Text]:
    """Say what the race of a plan may cost at most."""
    core_h = "" if race.core_h is None else f"{spelling.hours(race.core_h)} core-hours"
    of_grid = "" if race.grid_core_h is None else f" of the grid's {spelling.hours(race.grid_core_h)}"
    trainings = "" if race.trainings is None else f"as much as {race.trainings:,.0f} whole trainings"
    parts = ", ".join(filter(None, (trainings, f"at most {core_h}{of_grid}" if core_h else "")))
    yield Text(
        f"the race: {parts}, in about {race.waves} waves; {race.confirming} of the trainings confirm its best"
    )
    if race.phases:
        phases = "; then ".join(f"{', '.join(names)} ({count:,} choices)" for names, count in race.phases)
        yield Text(
            f"in phases: {phases}. They have equal parts of the budget; what one leaves is for the next ones"
        )
    if len(race.rungs) > 1:
        rungs = ", ".join(map(str, race.rungs[:-1]))
        yield Text(
            f"trials are judged at {rungs} entries of their history, and the best go on. A command that cannot go "
            f"on begins anew: that costs up to {race.begun_anew:.1f} times as much"
        )


def race(report: RaceReport) -> RenderableType:
    """Show what a step of a race decided, and why."""
    lines: list[RenderableType] = [*_phase_lines(report)]
    if report.alike:
        lines.append(
            Text(f"cannot be told which is best: {report.alike} of the other finalists may be it as well")
        )
    if report.finished:
        lines.append(Text("the race is over: sweep report shows the winner"))
    elif report.confirming:
        would = "would " if report.dry_run else ""
        confirming = spelling.count(len(report.confirming), "trial")
        lines.append(Text(f"{confirming} {would}confirm the best (stage {report.stage} of {report.stages})"))
    elif report.over:
        waits = (
            f"{spelling.count(report.open, 'trial')} to end first"
            if report.open
            else "the best are confirmed next"
        )
        stages = f"confirmation: {report.stage} of {report.stages} stages"
        if report.phase_winner is None:
            lines.append(Text(f"no more is begun, {OVER[report.over]}: {waits} ({stages})"))
    elif report.open:
        runs = f"wave {report.wave} runs" if report.wave else "before the first wave, others run"
        lines.append(Text(f"{runs}: {report.open} left; nothing to decide yet"))
    else:
        would = "would be " if report.dry_run else ""
        lines.append(Text(f"wave {report.wave}: {spelling.count(len(report.moves), 'trial')} {would}run", "bold"))
        lines += [Text(f"  {count:5} {HOW[how]}") for how, count in (report.how or {}).items()]
        lines += [
            Text(f"  after {rung} entries, a trial goes on from {spelling.score(score)}")
            for rung, score in sorted((report.cutoffs or {}).items())
            if rung not in report.passed
        ]
        if report.passed:
            rungs = ", ".join(map(str, report.passed))
            lines.append(Text(f"  {rungs} entries tell too little of the end: nothing is dropped there"))
    if report.budget_core_h:
        left_h = max(0.0, report.budget_core_h - report.spent_core_h)
        reserved_h = report.reserved_core_h
        kept = f" ({spelling.hours(reserved_h)} of it to confirm)" if reserved_h else ""
        lines.append(
            Text(
                f"{spelling.hours(report.spent_core_h)} core-hours spent, {spelling.hours(left_h)} left{kept}; "
                f"the whole grid: about {spelling.hours(report.grid_core_h)}"
            )
        )
    return Group(*lines, *_disk_lines(report.disk, dry_run=report.dry_run))


def _phase_lines(report: RaceReport) -> Iterator[Text]:
    """Say which phase it is, and how the one before has ended."""
    if report.phase_winner is not None:
        would = "would be " if report.dry_run else ""
        others = f"; {report.phase_alike} others may be as good, and cost no less" if report.phase_alike else ""
        yield Text(f"a phase is decided: the values of trial {report.phase_winner} {would}fixed{others}")
    if report.phases:
        yield Text(f"phase {report.phase} of {report.phases}")


def _disk_lines(disk: ParkedDisk, *, dry_run: bool) -> Iterator[Text]:
    """Say what the checkpoints of trials that have stopped take, and what of them was removed."""
    if disk.freed:
        removed = "would be removed" if dry_run else "removed"
        freed = spelling.memory(disk.freed_bytes / 2**20)
        yield Text(f"checkpoints of {spelling.count(len(disk.freed), 'stopped trial')} {removed}: {freed}")
    if disk.kept_bytes:
        yield Text(f"checkpoints of stopped trials take {spelling.memory(disk.kept_bytes / 2**20)}")


def progress(race: RaceProgress) -> Text:
    """Say where a race is, and what it has cost."""
    if not race.wave:
        return Text("race: not begun; sweep race decides on its first wave")
    state = (
        f"no more is begun, {OVER[race.over]}; confirmation: {race.stage} of {race.stages} stages"
        if race.over
        else ""
    )
    parked = ", ".join(f"{count:,} at {rung}" for rung, count in race.parked.items())
    spent, budget = spelling.hours(race.spent_core_h), spelling.hours(race.budget_core_h)
    saved = spelling.hours(max(0.0, race.grid_core_h - race.budget_core_h))
    parts = [
        f"race: wave {race.wave}",
        f"phase {race.phase} of {race.phases}" if race.phases else "",
        state,
        f"{race.begun:,} of {race.configurations:,} begun, {race.whole:,} whole",
        f"stopped: {parked}" if parked else "",
        f"{spent} of {budget} core-hours spent, about {saved} saved",
    ]
    return Text("; ".join(filter(None, parts)))


def of_trial(step: TrialRace) -> Text:
    """Say when a race ran a trial, why, and what kept it from going on."""
    how_far = f", to entry {step.until} of its history" if step.until else ""
    parts = [f"wave {step.wave}: {HOW.get(step.how, step.how)}{how_far}"]
    if step.forecast is not None:
        parts.append(f"{spelling.score(step.forecast)} was expected at the end")
    if step.score is not None:
        parts.append(f"it scored {spelling.score(step.score)}")
    if step.cutoff is not None:
        parts.append(f"trials go on from there with {spelling.score(step.cutoff)}")
    return Text("; ".join(parts))


def result_lines(race: RaceResult) -> Iterator[str]:
    """Say how much of the grid was run, what that cost, and what may have been missed."""
    run = race.progress
    parked = ", ".join(f"{count:,} after {rung}" for rung, count in run.parked.items())
    yield (
        f"raced: {run.begun:,} of {run.configurations:,} configurations begun, {run.whole:,} trained to the end"
        f"{f'; stopped: {parked} entries of their history' if parked else ''}"
    )
    yield from _phase_results(race)
    share = f"{100 * run.spent_core_h / run.grid_core_h:.3g} %" if run.grid_core_h else "a part"
    so_far = "" if run.over else " so far"
    yield (
        f"{spelling.hours(run.spent_core_h)} core-hours{so_far}, {share} of what the whole grid takes once "
        f"(about {spelling.hours(run.grid_core_h)})"
    )
    for rung, own in enumerate(race.agreements):
        passed = "; it was passed by: nothing is dropped there" if rung < race.passed else ""
        yield (
            f"rung {own.until}: its order agrees with that at the end by {own.correlation:.2f} (rank correlation, "
            f"{own.drawn} drawn at random); it would have dropped {own.dropped} of their best {own.best}{passed}"
        )
    yield from map(_loss_line, race.losses)
    if race.further:
        rounds = spelling.count(race.further, "further stage")
        yield f"the finalists could not be told apart: what was left of the budget ran some again, in {rounds}"
    if race.cannot_tell:
        yield (
            f"cannot be told which is best: {race.alike} of the other {race.finalists - 1} finalists may be it as "
            "well. Take the cheapest of them, or tell them apart by more runs: sweep confirm --replicates N"
        )
    if race.audit is None:
        yet = "" if run.over else " yet"
        yield f"none that chance alone chose has ended: nothing says{yet} what the race may have missed"
        return
    drawn, better = race.audit.drawn, race.audit.better
    some = (
        f"{better:,} of {drawn:,} configurations"
        if better
        else f"none of {spelling.count(drawn, 'configuration')}"
    )
    every = f"the {race.among:,} of this phase" if race.phases else "all"
    yield (
        f"{some} drawn at random and trained to the end scored better than the winner: with 95 %, at most "
        f"{100 * race.audit.at_most:.2g} % of {every} do"
    )


def _phase_results(race: RaceResult) -> Iterator[str]:
    """Say what each phase has fixed, and which interactions phases cannot see."""
    for index, phase in enumerate(race.phases, 1):
        names = ", ".join(phase.names)
        if phase.winner is None:
            yield f"phase {index}: {names}"
            continue
        values = ", ".join(f"{name} = {spelling.parameter_value(value)}" for name, value in phase.winner.items())
        alike = f", the cheapest of {phase.alike + 1} that may be the best" if phase.alike else ""
        yield f"phase {index}: {values} (trial {phase.trial}{alike})"
    for index, phase in enumerate(race.phases[:-1], 1):
        later = ", ".join(name for each in race.phases[index:] for name in each.names)
        names = ", ".join(phase.names)
        yield f"not seen: whether another choice of {names} is better with other values of {later}"


def _loss_line(own: RungLoss) -> str:
    """Say how many later winners a rung has dropped.

    >>> from sweep.state.racing import RungLoss
    >>> _loss_line(RungLoss(1, dropped=210, drawn=6, winners=1, found=7, lost=34.0, at_least=1))[:63]
    'rung 1 has dropped about 34 (with 95 %, at least 1) that would '
    """
    passed = ", more than it kept: trials begin for the next rung" if own.too_many else ""
    return (
        f"rung {own.until} has dropped about {own.lost:,.0f} (with 95 %, at least {own.at_least:,}) that would "
        f"have come to what the best {own.found:,} that were trained to the end did{passed}; by {own.drawn:,} of "
        f"the {own.dropped:,} that scored too low there, drawn at random and trained to the end"
    )
