"""The report as one self-contained page."""

from __future__ import annotations

import shlex

from sweep.render import environment
from sweep.report import words
from sweep.report.table import shown
from sweep.verbs.report import Report


def page(report: Report) -> str:
    """Render the page: winner, leaderboard, counts. No script, nothing fetched, everything escaped."""
    table = shown(report.frame, report.column)
    best = report.best
    template = environment().get_template("report.html.j2")
    return template.render(
        name=report.name,
        metric=report.objective.metric,
        goal=report.objective.goal,
        counts=report.counts,
        trials=len(report.frame),
        best=best,
        score=words.score(best.score) if best else "",
        params={name: words.cell(value) for name, value in best.entry.trial.params.items()} if best else {},
        command=shlex.join(best.entry.trial.argv) if best else "",
        table=table,
    )
