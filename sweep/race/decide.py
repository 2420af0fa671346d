"""One decision of a race: which configurations begin, which go on, whether it is over (pure)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.race import costs
from sweep.race import forecast as forecasts
from sweep.race.agreement import agreements, first_rung
from sweep.race.audit import audit_order, chance_drawn
from sweep.race.front import by_both
from sweep.race.losses import dropped_order, losses
from sweep.race.propose import promising, proposed
from sweep.race.space import Space
from sweep.race.standing import How, Move, Over, Standing, Wave
from sweep.state.settings import USUAL_WAVES, RaceRules

#: This share of what a wave may cost trains to the end what the forest expects most of, begun or not; the rest is
#: for the rungs. On tables with learning curves, races that left all to the rungs found less (`bench/race.py`).
TO_THE_END = 0.8

#: What is set aside for the confirmation takes its finalists to cost at most so many times the mean. Where they
#: cost more, fewer are confirmed: a race that kept enough for all of them would hardly begin any other.
DEAREST = 2.0

#: Where the budget is a share, the grid's cost is an estimate, which may fall when much of the budget is spent. So
#: much of it the confirmation may take all the same.
ESTIMATED = 0.05

#: The first wave takes no more than this share of the budget, even if its starts are all that a training takes.
FIRST_WAVE = 0.5

#: So much of the audit goes to what was dropped on the first rung, where there is more than one rung: it says what
#: that rung loses. The rest goes to what was drawn from all, which says what the race has missed.
SPARED = 0.25

#: A wave has at least so many trials, where the budget allows it.
SMALLEST_WAVE = 8


def decide(
    space: Space,
    standing: Standing,
    rules: RaceRules,
    seed: int,
    wave: int,
    jobs: int = 1,
    earlier: forecasts.Earlier | None = None,
) -> Wave:
    """Decide on the next wave.

    Parameters
    ----------
    seed, wave : int
        What is drawn at random is drawn from these two.
    jobs : int
        How many cores may be used. The decision is the same with any number.
    earlier : Earlier, optional
        What earlier sweeps learnt, for the forest alone.
    """
    return _Decider(space, standing, rules, seed, wave, jobs, earlier).decide()


class _Decider:
    """Works one decision out.

    Attributes
    ----------
    moves : list of Move
        What is taken so far.
    left_s, wave_s : float
        Core-seconds that are left of the budget, and of this wave's share of it.
    most : int
        The largest number of moves.
    """

    def __init__(
        self,
        space: Space,
        standing: Standing,
        rules: RaceRules,
        seed: int,
        wave: int,
        jobs: int,
        earlier: forecasts.Earlier | None,
    ) -> None:
        self.space, self.standing, self.rules, self.seed = space, standing, rules, seed
        self.random = random = np.random.default_rng([seed, wave])
        self.moves: list[Move] = []
        self.moving: set[int] = set()
        self.shares = np.array(rules.shares)
        self.forecast = (
            forecasts.forecast(space, standing.scores, random, jobs, earlier)
            if rules.propose == "forest"
            else None
        )
        self.second = forecasts.expected(space, standing.second, random, jobs)
        reached = np.where(standing.reached > 0, self.shares[standing.reached - 1], np.nan)
        self.costs = costs.forecast(space, reached, standing.starts, standing.core_s, standing.asked_core_s)
        self.whole_s = self.costs.whole_s
        self.grid_s = float(self.whole_s.sum())
        self.budget_s = rules.budget_core_s(self.grid_s)
        self.ranking = self._ranking()
        drawn = chance_drawn(len(space), seed, standing.ended)
        first = first_rung(agreements(standing.scores[drawn], rules.rungs, rules.keep))
        self.first, self.losses = losses(standing, rules, seed, first)

    def _part_s(self, trained: Any) -> Any:
        """Return what it costs each configuration to begin or go on, and to train for that share of the whole."""
        return self.costs.start_s + trained * self.costs.training_s

    def _ranking(self) -> NDArray[np.float64]:
        """Return how good each configuration is thought to be at the last rung; NaN where nothing is known."""
        last = self.standing.scores[:, -1]
        if self.forecast is None:
            return last
        # One score is noisy, and the neighbours know something, too.
        return np.where(np.isfinite(last), 0.5 * (last + self.forecast.mean), np.nan)

    def decide(self) -> Wave:
        standing, rules = self.standing, self.rules
        busy = standing.busy
        spent_s = float(standing.core_s.sum()) + standing.others_core_s + self._running_s(busy)
        reserve_s = rules.confirm_runs * min(self._finalist_s(), DEAREST * float(self.whole_s.mean()))
        race_s = max(0.0, self.budget_s - reserve_s)
        self.left_s = self.budget_s - reserve_s - spent_s
        self.most = rules.wave or len(self.space)
        if not standing.target.any():
            # By what they ask for they may seem too dear: some tell what they really take.
            first_s = self._part_s(self.shares[self.first])
            self.left_s = max(self.left_s, SMALLEST_WAVE * float(np.mean(first_s)))
            # And nobody knows what a start takes. Were it a whole training, it takes no more than this.
            scouts = int(FIRST_WAVE * race_s / float(self.whole_s.mean()))
            self.most = min(self.most, max(SMALLEST_WAVE, scouts))
        self._audit(spent_s, race_s)
        self.wave_s = min(self.left_s, race_s / USUAL_WAVES)
        cutoffs, promotions, others = self._promotions()
        self._take(self._to_the_end(), TO_THE_END * self.wave_s)
        self._take(promotions, self.wave_s)
        self._begin()
        if not self.moves and not busy.any():  # all have begun, and budget is left: those below the cutoffs go on
            self._take(others, self.wave_s)
        over = None if self.moves or busy.any() else self._over()
        return Wave(
            tuple(self.moves),
            cutoffs,
            self.budget_s,
            spent_s,
            reserve_s,
            self.grid_s,
            self.first,
            tuple(self.losses),
            self._finalists(self.budget_s - spent_s) if over else (),
            over,
        )

    def _running_s(self, busy: NDArray[np.bool_]) -> float:
        """Return what those that run are expected to cost until they have come where they are to."""
        standing = self.standing
        started = np.where(standing.reached > 0, self.shares[standing.reached - 1], 0.0)
        aimed = np.where(standing.target > 0, self.shares[standing.target - 1], 0.0)
        return float(self._part_s(aimed - started)[busy].sum())

    def _over(self) -> Over:
        """Say why nothing more can be begun."""
        untried = (self.standing.target == 0).any()
        return Over.BUDGET if untried or self.left_s <= 0 else Over.ALL

    def _take(self, wanted: list[Move], wave_s: float) -> None:
        """Take the moves that a part of the wave's budget pays for; at least one, where the race's budget does."""
        spent_s = 0.0
        for move in wanted:
            cost_s = self._cost_s(move)
            if len(self.moves) >= self.most:
                break
            if (
                move.configuration in self.moving
                or cost_s > self.left_s
                or (spent_s and spent_s + cost_s > wave_s)
            ):
                continue
            self._add(move)
            spent_s += cost_s
        self.wave_s -= spent_s

    def _add(self, move: Move) -> None:
        self.moves.append(move)
        self.moving.add(move.configuration)
        self.left_s -= self._cost_s(move)

    def _finalist_s(self) -> float:
        known = np.flatnonzero(np.isfinite(self.ranking))
        if not len(known):
            return float(self.whole_s.mean())
        best = known[np.argsort(-self.ranking[known])][: max(stage.top for stage in self.rules.confirm)]
        return float(self.whole_s[best].mean())

    def _cost_s(self, move: Move) -> float:
        reached = self.standing.reached[move.configuration]
        before = self.shares[reached - 1] if reached else 0.0
        part = self.shares[move.rung] - before
        return float(self.costs.start_s + part * self.costs.training_s[move.configuration])

    # --- what chance chose -----------------------------------------------------------------------------------

    def _audit(self, spent_s: float, race_s: float) -> None:
        """Take configurations that run to the end whatever their scores, more of them as the budget is spent."""
        each_s = float(self.whole_s.mean())
        if not race_s or not each_s:
            return
        count, last = int(self.rules.audit * race_s / each_s), len(self.rules.rungs)
        progress = min(1.0, spent_s / race_s + 1 / USUAL_WAVES)
        spared = int(SPARED * count) if last > 1 else 0
        self._draw(audit_order(len(self.space), self.seed), math.ceil((count - spared) * progress), How.AUDIT)
        if self.first < last - 1:
            dropped = dropped_order(self.standing, self.first, self.rules.keep, self.seed)
            self._draw(dropped, math.ceil(spared * progress), How.SPARED)

    def _draw(self, order: NDArray[np.intp], count: int, how: How) -> None:
        """Train the beginning of an order of chance to the end."""
        standing, last = self.standing, len(self.rules.rungs)
        for row in order[:count]:
            waits = not standing.ended[row] and standing.target[row] == standing.reached[row] < last
            if waits and int(row) not in self.moving:
                move = self._move(row, last - 1, how)
                # Nobody is passed over: what was drawn has to stay the beginning of the order.
                if len(self.moves) >= self.most or self._cost_s(move) > self.left_s:
                    break
                self._add(move)

    # --- going on -------------------------------------------------------------------------------------------

    def _to_the_end(self) -> list[Move]:
        """Choose what is trained to the end, begun or not, where trainings can be stopped before."""
        standing, last = self.standing, len(self.rules.rungs) - 1
        if self.forecast is None or not last:
            return []
        waits = ~standing.ended & (standing.target == standing.reached) & (standing.reached <= last)
        waits[[*self.moving]] = False
        trained = np.where(standing.reached > 0, self.shares[standing.reached - 1], 0.0)
        waits &= self._part_s(1.0 - trained) <= self.left_s
        mean_s = float(self.costs.training_s.mean()) or float(self.whole_s.mean()) or 1.0
        count = min(len(self.space), 1 + int(3 * self.wave_s / mean_s))  # what goes on costs less than the mean
        chosen = promising(self.forecast, np.flatnonzero(waits), count, self.random, self.second)
        return [self._move(row, last, How.FINISH) for row, _ in chosen]

    def _promotions(self) -> tuple[dict[int, float], list[Move], list[Move]]:
        """Find who goes on, from the highest rung down: on each rung the best share of all that reached it.

        Returns
        -------
        cutoffs : dict of int to float
            Rung → the lowest score among that share.
        moves, others : list of Move
            Those of that share that wait there, and those that wait below it, the best first.
        """
        standing, rungs = self.standing, len(self.rules.rungs)
        cutoffs: dict[int, float] = {}
        moves: list[Move] = []
        others: list[Move] = []
        for rung in range(rungs - 2, -1, -1):
            here = np.flatnonzero(np.isfinite(standing.scores[:, rung]))
            places = int(len(here) * self.rules.keep)
            value = self._promise(rung)
            order = here[np.argsort(-value[here], kind="stable")]
            waits = (standing.reached == rung + 1) & (standing.target == rung + 1) & ~standing.ended
            if places and self.second is None:
                cutoffs[rung] = float(standing.scores[order[places - 1], rung])
            upper = max(rung + 1, self.first)
            moves += [self._move(row, upper, How.PROMOTED) for row in order[:places] if waits[row]]
            others += [self._move(row, upper, How.PROMOTED) for row in order[places:] if waits[row]]
        return cutoffs, moves, others

    def _promise(self, rung: int) -> NDArray[np.float64]:
        """Return what ranks the configurations on a rung: the score there, and what the forest expects later."""
        own = self.standing.scores[:, rung]
        here = np.isfinite(own)
        if self.forecast is None:
            promise = own
        elif rung < self.first:
            promise = np.where(here, self.forecast.mean, np.nan)
        else:
            promise = 0.5 * _standardised(own, here) + 0.5 * _standardised(self.forecast.mean, here)
        return promise if self.second is None else by_both(promise, self.second)

    def _move(self, configuration: int, rung: int, how: How) -> Move:
        expected = None if self.forecast is None else float(self.forecast.mean[configuration])
        return Move(int(configuration), rung, how, expected)

    # --- beginning ------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Take configurations to begin, as far as what is left of the wave's budget goes."""
        begin_s = self._part_s(self.shares[self.first])
        waits = (self.standing.target == 0) & (begin_s <= self.left_s)
        waits[[*self.moving]] = False
        rows = np.flatnonzero(waits)
        most = min(self.most - len(self.moves), len(rows))
        if most <= 0:
            return
        mean_s = float(np.mean(begin_s[rows]))
        # What is expected of most may cost more than the mean.
        wave_s = self.wave_s if self.moves else max(self.wave_s, min(self.left_s, SMALLEST_WAVE * mean_s))
        count = min(most, int(wave_s / mean_s)) if mean_s else most
        by, second = self.rules.propose, self.second
        chosen = proposed(by, self.space, self.standing, self.forecast, rows, count, self.random, second)
        self._take([self._move(row, self.first, how) for row, how in chosen], wave_s)

    # --- the end --------------------------------------------------------------------------------------------

    def _finalists(self, left_s: float) -> tuple[int, ...]:
        """Choose the best of those whose confirmation the budget pays for, and the very best if it pays for none.

        The first are those that were trained to the end; where they are too few, the farthest of the others.
        """
        standing = self.standing
        if not self.rules.core_hours:
            left_s = max(left_s, ESTIMATED * self.budget_s)
        ranking = self.ranking if self.second is None else by_both(self.ranking, self.second)
        known = np.flatnonzero(np.isfinite(ranking))
        finalists = [*known[np.argsort(-ranking[known], kind="stable")]]
        for rung in range(len(self.rules.rungs) - 2, -1, -1):
            promise = self._promise(rung)
            here = np.flatnonzero(np.isfinite(promise) & (standing.reached == rung + 1) & ~standing.ended)
            finalists += [*here[np.argsort(-promise[here], kind="stable")]]
        affordable: list[int] = []
        for row in map(int, finalists):
            if self._confirmation_s([*affordable, row]) <= left_s:
                affordable.append(row)
            if len(affordable) == max((stage.top for stage in self.rules.confirm), default=0):
                break
        return tuple(affordable or map(int, finalists[:1]))

    def _confirmation_s(self, finalists: list[int]) -> float:
        """Return what confirming these costs, the dearest of them in all its stages."""
        dearest_first = np.sort(self.whole_s[finalists])[::-1]
        total_s, had = 0.0, 0
        for stage in self.rules.confirm:
            total_s += float(dearest_first[: stage.top].sum()) * max(0, stage.replicates - had)
            had = max(had, stage.replicates)
        return total_s


def _standardised(values: NDArray[np.float64], where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Turn values into their ranks among those of `where`, from 0 to 1."""
    ranks = np.full(len(values), np.nan)
    own = values[where]
    ranks[where] = np.argsort(np.argsort(own)) / max(1, len(own) - 1)
    return ranks
