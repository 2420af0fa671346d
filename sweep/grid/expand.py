"""A checked grid → its trials. Pure: the same grid, the same trials, in the same order."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from sweep.errors import nearest
from sweep.grid import units
from sweep.grid.expressions import (
    NAMES,
    Command,
    Context,
    EachValue,
    Expression,
    ExpressionError,
    Remembered,
    Template,
)
from sweep.grid.schema import Grid
from sweep.grid.source import KeyPath, Source
from sweep.model import Resources, Trial, canonical

#: More trials than anyone means without saying so.
MOST_TRIALS = 1_000_000

Params = dict[str, Any]


#: Spells what is hashed. Not to be changed: it would make every trial of every sweep another one.
_CONTENT = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def trial_id(params: Mapping[str, Any], replicate: int) -> str:
    """Hash a trial's content, 16 hex digits: at a million trials, two collide once in 10^7 plans."""
    same = {name: canonical(value) for name, value in params.items()}  # 1 and 1.0 are one value
    content = _CONTENT.encode([same, replicate])
    return _hashed(content)


def _hashed(content: str) -> str:
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class _Identities:
    """`trial_id` of a grid's trials, each value of which is spelled once."""

    def __init__(self) -> None:
        self.spelled = EachValue(lambda name, value: (name, _CONTENT.encode({name: canonical(value)})[1:-1]))

    def __call__(self, params: Mapping[str, Any], replicate: int) -> str:
        content = ",".join([piece for _, piece in sorted(self.spelled(params))])
        return _hashed(f"[{{{content}}},{replicate}]")


def trial_seed(base: int, replicate: int) -> int:
    """Draw a replicate's seed in [0, 2^31).

    All configurations share the seed of a replicate, so that they can be compared in pairs.
    """
    return int.from_bytes(hashlib.sha256(f"{base}/{replicate}".encode()).digest()[:4], "big") >> 1


def expand(grid: Grid, source: Source, env: Mapping[str, str], most: int = MOST_TRIALS) -> list[Trial]:
    """Write out the trials of a grid, numbered by their place in it: drafts, until a plan numbers them.

    Parameters
    ----------
    grid : Grid
        The checked grid.
    source : Source
        Where it came from, for the places of errors.
    env : mapping of str to str
        The environment that ``{{ env.HOME }}`` reads.
    most : int
        Refuse to expand to more than this.

    Raises
    ------
    GridError
        An expression fails, two axes share a name, or there are no trials, or too many.
    """
    groups = _axes(grid, source)
    known = frozenset(name for _, group in groups for name in group) | set(NAMES)
    configurations: Iterable[Params] = (
        _one_at_a_time(grid, groups, source)
        if grid.design == "one_at_a_time"
        else _product(grid, groups, most, source)
    )
    kept = _without_excluded(grid, configurations, known, source, env)
    fill = _Filler(grid, source, known, env)
    wanted = ((params, replicate) for params in kept for replicate in range(grid.replicates))
    drafts = [fill(params, replicate, number) for number, (params, replicate) in enumerate(wanted)]
    if not drafts:
        raise source.error(("exclude",), "the grid expands to no trial: all are excluded", "loosen an exclusion")
    return drafts


def again(grid: Grid, source: Source, env: Mapping[str, str], wanted: Iterable[tuple[Params, int]]) -> list[Trial]:
    """Write out further replicates of configurations that the grid has: (parameters, replicate) each."""
    known = frozenset(name for _, group in _axes(grid, source) for name in group) | set(NAMES)
    fill = _Filler(grid, source, known, env)
    return [fill(params, replicate, place) for place, (params, replicate) in enumerate(wanted)]


# --- which configurations ---------------------------------------------------------------------------------

Group = list[Params]


def _axes(grid: Grid, source: Source) -> list[tuple[KeyPath, dict[str, list[Any]]]]:
    """Collect the axes: one dict a group of parameters that vary together."""
    groups: list[tuple[KeyPath, dict[str, list[Any]]]] = [
        (("parameters", name), {name: axis}) for name, axis in grid.parameters.items()
    ]
    for index, zipped in enumerate(grid.zip):
        path: KeyPath = ("zip", index)
        lengths = {name: len(axis) for name, axis in zipped.items()}
        if not zipped:
            raise source.error(path, "an empty group", "name the parameters that vary together, or take it out")
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} has {n}" for name, n in lengths.items())
            raise source.error(path, f"zipped parameters need equally many values: {told}", "pair them up")
        groups.append((path, zipped))
    seen: set[str] = set()
    for path, group in groups:
        for name in group:
            if name in seen:
                raise source.error((*path, name), f"the parameter {name!r} is there twice", "keep one of the two")
            seen.add(name)
    return groups


def _steps(group: dict[str, list[Any]]) -> Group:
    return [dict(zip(group, values, strict=True)) for values in zip(*group.values(), strict=True)]


def _product(grid: Grid, groups: list[Any], most: int, source: Source) -> Iterator[Params]:
    if grid.baseline is not None:
        raise source.error(
            ("baseline",), "a baseline without `design: one_at_a_time`", "add the design, or drop it"
        )
    steps = [_steps(group) for _, group in groups]
    total = grid.replicates
    for group in steps:
        total *= len(group)
    if total > most:
        raise source.error(("parameters",), f"the grid expands to {total:,} trials", "add --yes if you mean it")
    return ({name: value for part in parts for name, value in part.items()} for parts in itertools.product(*steps))


def _one_at_a_time(grid: Grid, groups: list[Any], source: Source) -> Iterator[Params]:
    """Yield the baseline, then each other value of each group with the rest at the baseline."""
    baseline = _baseline(grid, groups, source)
    names = [name for _, group in groups for name in group]
    centre = {name: baseline[name] for name in names}
    variants = [{**centre, **step} for _, group in groups for step in _steps(group)]
    seen = set()
    for params in [centre, *variants]:
        key = trial_id(params, 0)
        if key not in seen:
            seen.add(key)
            yield params


def _baseline(grid: Grid, groups: list[Any], source: Source) -> Params:
    """Check that the baseline has one of each parameter's values, and nothing else."""
    axes = {name: values for _, group in groups for name, values in group.items()}
    baseline = grid.baseline
    if baseline is None:
        raise source.error(
            ("design",), "one_at_a_time needs a baseline", "give every parameter's value in `baseline:`"
        )
    for name in baseline:
        if name not in axes:
            raise source.error(("baseline", name), f"the baseline names {name!r}", nearest(name, axes))
    for name, values in axes.items():
        if name not in baseline:
            raise source.error(("baseline",), f"the baseline has no value for {name!r}", "give one")
        if canonical(baseline[name]) not in map(canonical, values):
            what = f"the baseline's {name} is {baseline[name]!r}, which is not among its values"
            raise source.error(("baseline", name), what, "add it to them, if it is no slip")
    return baseline


def _without_excluded(
    grid: Grid,
    configurations: Iterable[Params],
    known: frozenset[str],
    source: Source,
    env: Mapping[str, str],
) -> Iterator[Params]:
    rules = []
    for index, rule in enumerate(grid.exclude):
        path: KeyPath = ("exclude", index)
        with_names = known - {"replicate", "seed", "trial"}
        rules.append((path, _placed(source, path, Expression, rule, with_names)))
    if not rules:
        yield from configurations
        return
    for params in configurations:
        context = {**params, "params": params, "sweep": grid.name, "env": env}
        if not any(_placed(source, path, rule, context) for path, rule in rules):
            yield params


# --- what each trial is ------------------------------------------------------------------------------------


class _Filler:
    """Fills in the command and the resources of one trial after another."""

    def __init__(self, grid: Grid, source: Source, known: frozenset[str], env: Mapping[str, str]) -> None:
        self.grid, self.source, self.env = grid, source, env
        self.command = _placed(source, ("command",), Command, grid.command, known)
        self.amounts = {
            name: _placed(source, ("resources", name), Template, text, known)
            for name, text in grid.resources.model_dump().items()
        }
        names = frozenset[str]().union(*(amount.names for amount in self.amounts.values()))
        self.resources = Remembered(names, self._resources)
        self.parsed: dict[tuple[str, ...], Resources] = {}
        self.seeds: dict[int, int] = {}
        self.identity = _Identities()

    def __call__(self, params: Params, replicate: int, number: int) -> Trial:
        identity, seed = self.identity(params, replicate), self.seeds.get(replicate)
        if seed is None:
            seed = self.seeds[replicate] = trial_seed(self.grid.seed, replicate)
        context: Context = {
            **params,
            "params": params,
            "replicate": replicate,
            "seed": seed,
            "trial": identity,
            "sweep": self.grid.name,
            "env": self.env,
        }
        argv = _placed(self.source, ("command",), self.command, context)
        return Trial(number, identity, params, replicate, seed, self.resources(context), argv)

    def _resources(self, context: Context) -> Resources:
        texts = tuple(
            [_placed(self.source, ("resources", name), amount, context) for name, amount in self.amounts.items()]
        )
        if texts not in self.parsed:
            spelled = dict(zip(self.amounts, texts, strict=True))
            self.parsed[texts] = Resources(
                walltime_s=self._amount("walltime", spelled, units.walltime_s),
                memory_mib=self._amount("memory", spelled, units.memory_mib),
                cpus=self._amount("cpus", spelled, lambda text: units.count(text, "cpus", 1)),
                gpus=self._amount("gpus", spelled, lambda text: units.count(text, "gpus", 0)),
            )
        return self.parsed[texts]

    def _amount(self, name: str, spelled: dict[str, str], parse: Callable[[str], int]) -> int:
        try:
            return parse(spelled[name])
        except ValueError as error:
            message, _, hint = str(error).partition("; ")
            raise self.source.error(("resources", name), message, hint) from None


T = TypeVar("T")


def _placed(source: Source, path: KeyPath, make: Callable[..., T], *arguments: Any) -> T:
    """Call `make`, and give an expression's error its place in the file."""
    try:
        return make(*arguments)
    except ExpressionError as error:
        raise source.error(path, str(error), error.hint) from None
