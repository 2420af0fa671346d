"""What a race writes into the journal with each of its decisions, and what these add up to (pure)."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from sweep.state.settings import RaceRules

#: Why a race confirms nothing more: one of the best is known, or nobody can tell.
TOLD, NOISE = "told", "noise"


class Judged(msgspec.Struct, frozen=True, array_like=True):
    """How far a trial of a race had come as of a decision, and what it had cost.

    Attributes
    ----------
    attempt : int
        The attempt that has ended.
    core_s : float
        Core-seconds of all its attempts.
    ended : bool
        It goes no further: it was trained whole, or did not end well.
    scores : tuple of float or None
        Its score at each rung that it has reached; None where the history has none there.
    second : float or None
        The second objective, once it was trained whole.
    """

    number: int
    attempt: int
    core_s: float
    ended: bool
    scores: tuple[float | None, ...] = ()
    second: float | None = None


class RaceMove(msgspec.Struct, frozen=True, omit_defaults=True):
    """A trial that a race begins, or lets go on.

    Attributes
    ----------
    rung : int
        The rung that it is to reach, from 0.
    until : int
        The same in entries of its history; 0: it runs to its end.
    how : str
        Why it was chosen: a value of `sweep.race.standing.How`.
    forecast : float or None
        The score that was expected of it after the whole training.
    """

    number: int
    rung: int
    until: int = 0
    how: str = ""
    forecast: float | None = None


class RungLoss(msgspec.Struct, frozen=True):
    """How many later winners a rung has dropped, by an estimate: see `sweep.race.losses`.

    Attributes
    ----------
    until : int
        The rung, in entries of the history.
    dropped, drawn : int
        Trials whose score there is too low to go on; and those of them that chance drew and that have ended.
    winners, found : int
        What has won of the drawn; and of all others that were trained whole.
    lost : float
        How many more winners are among the dropped, of which nobody knows.
    at_least : int
        With 95 %, no fewer.
    """

    until: int
    dropped: int
    drawn: int
    winners: int
    found: int
    lost: float
    at_least: int

    @property
    def too_many(self) -> bool:
        """Whether the rung has, with 95 %, dropped more winners than the race has found."""
        return self.at_least > self.found


class RaceStep(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a race decided, and what it went by.

    Attributes
    ----------
    wave : int
        From 1. 0: a stage of the confirmation.
    seed : int
        What the decision drew by, with `wave`.
    judged : list of Judged
        The trials that had come further since the decision before.
    moves : list of RaceMove
        What the wave runs.
    cutoffs : dict
        Rung → the score below which nothing went on from it.
    budget_core_s, spent_core_s, reserved_core_s, grid_core_s : float
        What the race may cost, had cost, what of it is kept for the confirmation, and what the grid would cost.
    first_rung : int
        The rung that configurations are begun for. Those below it tell too little of the end.
    losses : list of RungLoss
        What is known to be lost on the rungs up to that one.
    finalists : list of int
        Where it is over: the trials to confirm, the most promising first.
    over : str
        Why nothing more is begun: a value of `sweep.race.standing.Over`. Empty: the race goes on.
    phase_winner : int or None
        The trial whose values are fixed from now on, which ends a phase. None: this step ends none.
    phase_alike : int
        How many others may have been the best of the phase as well.
    closed : str
        Why nothing more is confirmed: ``told``, or ``noise`` where nobody can tell which is best. Empty: it is not
        known yet.
    """

    wave: int = 0
    seed: int = 0
    judged: list[Judged] = []
    moves: list[RaceMove] = []
    cutoffs: dict[int, float] = {}
    budget_core_s: float = 0.0
    spent_core_s: float = 0.0
    reserved_core_s: float = 0.0
    grid_core_s: float = 0.0
    first_rung: int = 0
    losses: list[RungLoss] = []
    finalists: list[int] = []
    over: str = ""
    phase_winner: int | None = None
    phase_alike: int = 0
    closed: str = ""


@dataclass
class Race:
    """What a race has decided so far.

    Attributes
    ----------
    waves : list of RaceStep
        Its decisions under the metric that ranks today, on the rungs of today.
    moves : dict
        Trial number → the newest of its moves, and the wave that made it.
    judged : dict
        Trial number → how far it had come, as of the newest decision that looked.
    stage : int
        How many stages of its confirmation were planned since it was over.
    phases : list of RaceStep
        The steps that ended its phases so far.
    closed : str
        Why no further stage is: ``told`` or ``noise``.
    rules : RaceRules or None
        Those of the newest plan that has a race.
    configurations : str
        What that plan chooses among: `Planned.configurations`.
    same_order : int
        The first of the waves, by its place among them, that drew from these configurations, in this phase.
    changed : str
        Why it begins anew, until it does: ``objective`` or ``rungs``.
    """

    waves: list[RaceStep] = field(default_factory=list)
    moves: dict[int, tuple[RaceMove, int]] = field(default_factory=dict)
    judged: dict[int, Judged] = field(default_factory=dict)
    stage: int = 0
    phases: list[RaceStep] = field(default_factory=list)
    closed: str = ""
    rules: RaceRules | None = None
    configurations: str = ""
    same_order: int = 0
    changed: str = ""

    def add(self, step: RaceStep) -> None:
        """Add a decision."""
        if step.phase_winner is not None:
            self.phases.append(step)
            self._take_up()
            self.same_order = len(self.waves)
            return
        if not step.wave:
            self.stage += not step.closed
            self.closed = step.closed
            return
        self.waves.append(step)
        self.changed = ""
        self.judged.update({judged.number: judged for judged in step.judged})
        self.moves.update({move.number: (move, step.wave) for move in step.moves})

    def begin_anew(self, changed: str) -> None:
        """Forget what was decided by a metric, or on rungs, of before. What runs because of it goes on.

        Parameters
        ----------
        changed : str
            Which of the two has changed: ``objective`` or ``rungs``.
        """
        self.waves, self.judged, self.stage, self.closed = [], {}, 0, ""
        self.same_order, self.phases = 0, []
        self.changed = changed if self.moves else ""

    def look_again(self) -> None:
        """Have the next decision read all results again: there is another second objective."""
        if not (self.last and self.last.over):
            self.judged = {}

    def go_by(self, rules: RaceRules | None, configurations: str) -> None:
        """Go by a new plan: with other rungs it begins anew; what was over may go on by any other change.

        Where nobody could tell which is best, another budget goes to further replicates, and begins nothing.

        Parameters
        ----------
        rules : RaceRules or None
            None: the plan has no race. Another one may.
        """
        if rules is None:
            return
        last = self.last
        if self.rules and self.rules.rungs != rules.rungs:
            self.begin_anew("rungs")  # scores are kept by the rung's place among them
        elif last and last.over and (self.rules, self.configurations) != (rules, configurations):
            same = self.rules and rules.with_budget_of(self.rules) == self.rules
            if self.closed == NOISE and same and self.configurations == configurations:
                budget_core_s = rules.budget_core_s(last.grid_core_s)
                self.waves[-1] = msgspec.structs.replace(last, budget_core_s=budget_core_s)
            else:
                self._take_up()
            self.closed = ""
        phases = (rules.phases, rules.first)
        if self.configurations != configurations or (
            self.rules and (self.rules.phases, self.rules.first) != phases
        ):
            self.same_order, self.phases = len(self.waves), []
        self.rules, self.configurations = rules, configurations

    def _take_up(self) -> None:
        """Let what was over go on."""
        if self.waves:
            self.waves[-1] = msgspec.structs.replace(self.waves[-1], over="", finalists=[])
        self.stage, self.closed = 0, ""

    @property
    def last(self) -> RaceStep | None:
        """The newest decision on a wave."""
        return self.waves[-1] if self.waves else None

    @property
    def is_finished(self) -> bool:
        """Whether it has nothing left to decide."""
        last = self.last
        return bool(last and last.over and (self.closed or not last.finalists))

    def has_more_phases(self, rules: RaceRules) -> bool:
        """Whether another phase follows this one."""
        return len(self.phases) + 1 < len(rules.phases)
