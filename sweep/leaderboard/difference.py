"""Two configurations → whether the one is better than the other, and how many further runs would tell (pure)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sweep.leaderboard import statistics
from sweep.leaderboard.entries import score_of
from sweep.leaderboard.ranking import Board, Configuration, expected, noise_of_a_run

#: So many further runs of each are looked ahead. Who would need more will not find out by runs.
MOST_RUNS = 1000

#: Differences that are no larger than this share of a score come of rounding.
ROUNDING = 1e-12


class Answer(StrEnum):
    """Whether the candidate is better than the base."""

    BETTER = "better"
    NOT_BETTER = "not better"
    OPEN = "cannot be told"

    @property
    def exit_code(self) -> int:
        """The exit code of `sweep verdict`; 2 is for failures."""
        return {Answer.BETTER: 0, Answer.NOT_BETTER: 1, Answer.OPEN: 3}[self]

    @property
    def words(self) -> str:
        """The words between the candidate and the base."""
        return f"{self} from" if self is Answer.OPEN else f"is {self} than"


@dataclass(frozen=True)
class Side:
    """A configuration on the board that it was ranked on."""

    board: Board
    configuration: Configuration

    @property
    def scores(self) -> dict[int, float]:
        """Seed → score, of the scores that count."""
        objective = self.board.objective
        scores = ((entry.trial.seed, score_of(entry, objective)) for entry in self.configuration.counted)
        return {seed: score for seed, score in scores if score is not None}

    @property
    def expected(self) -> float:
        """What new runs score on average, by those of its board."""
        return expected(self.board, self.configuration)


@dataclass(frozen=True)
class Difference:
    """How a candidate differs from a base.

    Attributes
    ----------
    difference, low, high : float
        Candidate − base in the metric's own units, without what is too good in the best of a board, or too bad in
        the worst; and its 95 % interval, NaN where the noise is unknown.
    shared_seeds : int
        How many seeds were compared in pairs; 0: other seeds were compared.
    further_runs : int or None
        About how many further runs of each would tell, if the difference is what it seems. 0 where it is told
        already, None where no feasible number would.
    """

    answer: Answer
    difference: float
    low: float
    high: float
    shared_seeds: int
    further_runs: int | None


def judge(base: Side, candidate: Side, at_least: float = 0.0) -> Difference:
    """Judge whether a candidate is better than a base.

    Parameters
    ----------
    base, candidate : Side
        Both have a score, by the same objective.
    at_least : float
        By how much it has to be better, in the metric's units.

    Notes
    -----
    Student's interval of the differences in pairs of the same seed. Where both are on one board, with the noise
    of all of it, moderated as for the ties (Smyth, *Stat. Appl. Genet. Mol. Biol.* 3, 2004). Without two shared
    seeds, Welch's (*Biometrika* 34, 1947).
    """
    sign = -1.0 if base.board.objective.minimize else 1.0
    ours, theirs = candidate.scores, base.scores
    shared = [seed for seed in ours if seed in theirs]
    if len(shared) > 1:
        pairs = np.array([[ours[seed], theirs[seed]] for seed in shared])
        error, freedom = _error_of_pairs(base, candidate, pairs)
        gain = sign * float((pairs[:, 0] - pairs[:, 1]).mean())
    else:
        error, freedom = _error_apart([*ours.values()], [*theirs.values()])
        gain = sign * (candidate.configuration.mean - base.configuration.mean)
    shrunk = candidate.expected - candidate.configuration.mean - (base.expected - base.configuration.mean)
    gain += sign * shrunk
    if abs(gain) <= ROUNDING * max(abs(candidate.configuration.mean), abs(base.configuration.mean)):
        gain = 0.0
    half = _student(freedom) * error
    if math.isnan(half):
        answer = Answer.OPEN
    elif gain - half > at_least:
        answer = Answer.BETTER
    else:
        answer = Answer.NOT_BETTER if gain + half <= at_least else Answer.OPEN
    low, high = sorted((sign * (gain - half), sign * (gain + half)))
    runs = len(shared) if len(shared) > 1 else min(len(ours), len(theirs))
    more = _further_runs(abs(gain - at_least), error, runs) if answer is Answer.OPEN else 0
    return Difference(answer, sign * gain, low, high, len(shared) if len(shared) > 1 else 0, more)


def _error_of_pairs(base: Side, candidate: Side, pairs: np.ndarray) -> tuple[float, float]:
    """Return the standard error of the mean difference, and its degrees of freedom."""
    count = len(pairs)
    if base.board is candidate.board:
        noise = noise_of_a_run(base.board, candidate.configuration, base.configuration)
        if noise is not None:
            variance, freedom = noise
            return math.sqrt(variance / count), freedom
    differences = pairs[:, 0] - pairs[:, 1]
    largest = ROUNDING * float(np.abs(pairs).max())
    alike = float(np.ptp(differences)) <= largest < abs(float(differences.mean()))
    if alike and float(np.ptp(pairs, axis=0).max()) > largest:
        # Alike in all pairs, although the runs differ: by chance, or in coarse steps. That is no certainty.
        return _error_apart(pairs[:, 0].tolist(), pairs[:, 1].tolist())
    error = float(differences.std(ddof=1) / math.sqrt(count))
    return (error if error > largest else 0.0), count - 1.0


def _error_apart(ours: list[float], theirs: list[float]) -> tuple[float, float]:
    """Return the standard error of the difference of two means, and Welch's degrees of freedom."""
    if min(len(ours), len(theirs)) < 2:
        return math.nan, math.nan
    a, b = (np.var(scores, ddof=1) / len(scores) if np.ptp(scores) > 0 else 0.0 for scores in (ours, theirs))
    spread = a**2 / (len(ours) - 1) + b**2 / (len(theirs) - 1)
    return float(np.sqrt(a + b)), float((a + b) ** 2 / spread) if spread > 0 else 1.0


def _student(freedom: float) -> float:
    if math.isnan(freedom):
        return math.nan
    return statistics.student_bound(freedom)


def _further_runs(distance: float, error: float, runs: int) -> int | None:
    """Return how many more runs of each make the interval smaller than the distance."""
    if math.isnan(error):
        return 1 if runs < 2 else None
    deviation = error * math.sqrt(runs)
    for more in range(1, MOST_RUNS + 1):
        if _student(runs + more - 1.0) * deviation / math.sqrt(runs + more) < distance:
            return more
    return None
