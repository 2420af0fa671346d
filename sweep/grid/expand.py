"""A checked grid → its trials. Pure: the same grid gives the same trials in the same order."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from sweep.errors import InvalidValue, nearest
from sweep.grid import units
from sweep.grid.expressions import (
    NAMES,
    Command,
    Context,
    Expression,
    ExpressionError,
    Memoized,
    PerValue,
    Template,
)
from sweep.grid.schema import Grid
from sweep.grid.source import KeyPath, Source
from sweep.model import Resources, Trial, canonical

#: The largest number of trials that needs no confirmation.
MAX_TRIALS = 1_000_000

Params = dict[str, Any]

#: Encodes what is hashed. A change of it would change the id of every trial of every sweep.
_CONTENT = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def trial_id(params: Mapping[str, Any], replicate: int) -> str:
    """Hash a trial's content to 16 hex digits. Among a million trials, two collide once in 10^7 plans."""
    canonical_params = {name: canonical(value) for name, value in params.items()}  # 1 and 1.0 are one value
    return _hashed(_CONTENT.encode([canonical_params, replicate]))


def _hashed(content: str) -> str:
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class _TrialIds:
    """Computes `trial_id` for all trials of a grid, and encodes each value once."""

    def __init__(self) -> None:
        self.encoded = PerValue(lambda name, value: (name, _CONTENT.encode({name: canonical(value)})[1:-1]))

    def __call__(self, params: Mapping[str, Any], replicate: int) -> str:
        content = ",".join([piece for _, piece in sorted(self.encoded(params))])
        return _hashed(f"[{{{content}}},{replicate}]")


def trial_seed(base: int, replicate: int) -> int:
    """Return a replicate's seed, in [0, 2^31).

    A replicate has the same seed in all configurations, so that they can be compared in pairs.
    """
    return int.from_bytes(hashlib.sha256(f"{base}/{replicate}".encode()).digest()[:4], "big") >> 1


def expand(grid: Grid, source: Source, env: Mapping[str, str], max_trials: int = MAX_TRIALS) -> list[Trial]:
    """Return the trials of a grid, numbered from 0 in its order. A plan gives them their final numbers.

    Parameters
    ----------
    grid : Grid
        The checked grid.
    source : Source
        The document it came from, for the positions of errors.
    env : mapping of str to str
        The environment that ``{{ env.HOME }}`` reads.
    max_trials : int
        Refuse to expand to more trials than this.

    Raises
    ------
    GridError
        An expression fails, two axes share a name, or the grid has no trials or too many.
    """
    groups = _groups(grid, source)
    names = _allowed_names(groups)
    configurations: Iterable[Params] = (
        _one_at_a_time(grid, groups, source)
        if grid.design == "one_at_a_time"
        else _product(grid, groups, max_trials, source)
    )
    remaining = _without_excluded(grid, configurations, names, source, env)
    make_trial = _TrialMaker(grid, source, names, env)
    configured = ((params, replicate) for params in remaining for replicate in range(grid.replicates))
    trials = [make_trial(params, replicate, number) for number, (params, replicate) in enumerate(configured)]
    if not trials:
        raise source.error(
            ("exclude",), "the grid has no trial: all are excluded", "take out or narrow one of the expressions"
        )
    return trials


def make_trials(
    grid: Grid, source: Source, env: Mapping[str, str], configured: Iterable[tuple[Params, int]]
) -> list[Trial]:
    """Make trials of given parameters and replicates, such as further replicates of a configuration of the grid.

    Parameters
    ----------
    grid, source, env
        As in `expand`.
    configured : iterable of (dict, int)
        The parameters and the replicate of each trial.
    """
    make_trial = _TrialMaker(grid, source, _allowed_names(_groups(grid, source)), env)
    return [make_trial(params, replicate, number) for number, (params, replicate) in enumerate(configured)]


# --- which configurations ---------------------------------------------------------------------------------

#: Parameters that vary together: name → values, equally many of each.
Group = dict[str, list[Any]]


def _groups(grid: Grid, source: Source) -> list[tuple[KeyPath, Group]]:
    """Collect the groups of parameters, each with its path. A parameter that varies alone is a group of one."""
    groups: list[tuple[KeyPath, Group]] = [
        (("parameters", name), {name: axis}) for name, axis in grid.parameters.items()
    ]
    for index, zipped in enumerate(grid.zip):
        path: KeyPath = ("zip", index)
        lengths = {name: len(axis) for name, axis in zipped.items()}
        if not zipped:
            raise source.error(path, "an empty group", "name the parameters that vary together, or take it out")
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{name} has {n}" for name, n in lengths.items())
            message = f"zipped parameters need equally many values: {counts}"
            raise source.error(path, message, "give each of them as many values as the others")
        groups.append((path, zipped))
    seen: set[str] = set()
    for path, group in groups:
        for name in group:
            if name in seen:
                raise source.error((*path, name), f"the parameter {name!r} is there twice", "keep one of the two")
            seen.add(name)
    if grid.objective.second and grid.objective.second.metric in seen:
        raise source.error(
            ("objective", "second", "metric"),
            f"the second objective is {grid.objective.second.metric!r}, and so is a parameter",
            "write it into the result under another name",
        )
    return groups


def _allowed_names(groups: list[tuple[KeyPath, Group]]) -> frozenset[str]:
    """Return the names that expressions may use."""
    return frozenset(name for _, group in groups for name in group) | set(NAMES)


def _steps(group: Group) -> list[Params]:
    """Return the combinations of a group's values: the first of each parameter, then the second of each."""
    return [dict(zip(group, values, strict=True)) for values in zip(*group.values(), strict=True)]


def _product(grid: Grid, groups: list[tuple[KeyPath, Group]], max_trials: int, source: Source) -> Iterator[Params]:
    if grid.baseline is not None:
        raise source.error(
            ("baseline",), "a baseline without `design: one_at_a_time`", "add the design, or take the baseline out"
        )
    steps = [_steps(group) for _, group in groups]
    total = grid.replicates
    for steps_of_group in steps:
        total *= len(steps_of_group)
    if total > max_trials:
        message = f"the grid has {total:,} trials, more than {max_trials:,}"
        raise source.error(("parameters",), message, "add --yes to plan so many")
    return ({name: value for part in parts for name, value in part.items()} for parts in itertools.product(*steps))


def _one_at_a_time(grid: Grid, groups: list[tuple[KeyPath, Group]], source: Source) -> Iterator[Params]:
    """Yield the baseline, then each other step of each group with the other groups at the baseline."""
    baseline = _baseline(grid, groups, source)
    names = [name for _, group in groups for name in group]
    ordered_baseline = {name: baseline[name] for name in names}
    variants = [{**ordered_baseline, **step} for _, group in groups for step in _steps(group)]
    seen = set()
    for params in [ordered_baseline, *variants]:
        key = trial_id(params, 0)
        if key not in seen:
            seen.add(key)
            yield params


def _baseline(grid: Grid, groups: list[tuple[KeyPath, Group]], source: Source) -> Params:
    """Return the baseline. It must have one of the values of each parameter, and nothing else."""
    axes = {name: values for _, group in groups for name, values in group.items()}
    baseline = grid.baseline
    if baseline is None:
        raise source.error(
            ("design",), "one_at_a_time needs a baseline", "give a value for every parameter in `baseline:`"
        )
    for name in baseline:
        if name not in axes:
            raise source.error(("baseline", name), f"the baseline names {name!r}", nearest(name, axes))
    for name, values in axes.items():
        if name not in baseline:
            raise source.error(("baseline",), f"the baseline has no value for {name!r}", "add one")
        if canonical(baseline[name]) not in map(canonical, values):
            message = f"the baseline's {name} is {baseline[name]!r}, which is not among its values"
            raise source.error(("baseline", name), message, "use one of its values, or add this one to them")
    return baseline


def _without_excluded(
    grid: Grid,
    configurations: Iterable[Params],
    names: frozenset[str],
    source: Source,
    env: Mapping[str, str],
) -> Iterator[Params]:
    """Yield the configurations that no expression of `exclude` fits."""
    exclusions = []
    for index, text in enumerate(grid.exclude):
        path: KeyPath = ("exclude", index)
        exclusion_names = names - {"replicate", "seed", "trial"}  # a configuration has none of these
        exclusions.append((path, _with_position(source, path, Expression, text, exclusion_names)))
    if not exclusions:
        yield from configurations
        return
    for params in configurations:
        context = {**params, "params": params, "sweep": grid.name, "env": env}
        if not any(_with_position(source, path, excluded, context) for path, excluded in exclusions):
            yield params


# --- the trials of a configuration -------------------------------------------------------------------------


class _TrialMaker:
    """Makes one trial after another: fills in its command and its resources."""

    def __init__(self, grid: Grid, source: Source, names: frozenset[str], env: Mapping[str, str]) -> None:
        self.grid, self.source, self.env = grid, source, env
        self.command = _with_position(source, ("command",), Command, grid.command, names)
        self.amounts = {
            path: _with_position(source, path, Template, text, names)
            for path, text in _amounts(grid).items()
            if text is not None
        }
        amount_names = frozenset[str]().union(*(amount.names for amount in self.amounts.values()))
        self.resources = Memoized(amount_names, self._resources)
        self.parsed: dict[tuple[str, ...], Resources] = {}
        self.seeds: dict[int, int] = {}
        self.trial_id = _TrialIds()

    def __call__(self, params: Params, replicate: int, number: int) -> Trial:
        trial_id, seed = self.trial_id(params, replicate), self.seeds.get(replicate)
        if seed is None:
            seed = self.seeds[replicate] = trial_seed(self.grid.seed, replicate)
        context: Context = {
            **params,
            "params": params,
            "replicate": replicate,
            "seed": seed,
            "trial": trial_id,
            "sweep": self.grid.name,
            "env": self.env,
        }
        argv = _with_position(self.source, ("command",), self.command, context)
        return Trial(number, trial_id, params, replicate, seed, self.resources(context), argv)

    def _resources(self, context: Context) -> Resources:
        texts = tuple(
            [_with_position(self.source, path, amount, context) for path, amount in self.amounts.items()]
        )
        if texts not in self.parsed:
            text_of = dict(zip(self.amounts, texts, strict=True))
            self.parsed[texts] = Resources(
                walltime_s=self._parsed("walltime", text_of, units.walltime_s),
                memory_mib=self._parsed("memory", text_of, units.memory_mib),
                cpus=self._parsed("cpus", text_of, lambda text: units.count(text, "cpus", 1)),
                gpus=self._parsed("gpus", text_of, lambda text: units.count(text, "gpus", 0)),
                extra=tuple((name, self._unit(name, text_of)) for name in self.grid.resources.extra),
            )
        return self.parsed[texts]

    def _parsed(self, name: str, text_of: dict[KeyPath, str], parse: Callable[[str], int]) -> int:
        """Parse an amount; 0 where it is left to the site."""
        path = ("resources", name)
        try:
            return parse(text_of[path]) if path in text_of else 0
        except InvalidValue as error:
            raise self.source.error(path, str(error), error.hint) from None

    def _unit(self, name: str, text_of: dict[KeyPath, str]) -> str:
        """Check a value of the site's own units; empty: the name alone."""
        path: KeyPath = ("resources", "extra", name)
        text = text_of.get(path, "")
        if not re.fullmatch(r"[\w.+@:/,=*-]*", text):
            raise self.source.error(
                path, f"{name} is {text!r}, which no directive can carry", "use one plain word"
            )
        return text


def _amounts(grid: Grid) -> dict[KeyPath, str | None]:
    """Return all that is requested, by its place in the grid."""
    amounts = grid.resources.model_dump()
    extra = amounts.pop("extra")
    return {
        **{("resources", name): text for name, text in amounts.items()},
        **{("resources", "extra", name): text for name, text in extra.items()},
    }


T = TypeVar("T")


def _with_position(source: Source, path: KeyPath, function: Callable[..., T], *arguments: Any) -> T:
    """Call a function, and give an expression's error its position in the file."""
    try:
        return function(*arguments)
    except ExpressionError as error:
        raise source.error(path, str(error), error.hint) from None
