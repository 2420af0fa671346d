"""Configurations as numbers, for the forest (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.leaderboard.entries import plain
from sweep.model import canonical

#: So many levels of a parameter say what a model of its own effect can tell.
MOST_LEVELS = 12


@dataclass(frozen=True)
class Space:
    """The configurations of a sweep, in the plan's order.

    Attributes
    ----------
    codes : ndarray of int, (configurations, parameters)
        Of each parameter, which of its values it is; the values of a numeric one are in order.
    features : ndarray of float32, (configurations, features)
        What a tree splits by: a numeric parameter's place among its values; for any other parameter a column for
        each of its values.
    numeric : tuple of bool
        Of each parameter, whether all its values are numbers.
    """

    codes: NDArray[np.intp]
    features: NDArray[np.float32]
    numeric: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.codes)

    def of(self, rows: slice | NDArray[np.intp]) -> Space:
        """Return some of the configurations, by the same numbers."""
        return Space(self.codes[rows], self.features[rows], self.numeric)

    @cached_property
    def levels(self) -> NDArray[np.intp]:
        """The codes, those of a parameter with many values in a few levels of as many."""
        counts = self.codes.max(axis=0) + 1
        return np.where(counts > MOST_LEVELS, self.codes * MOST_LEVELS // counts, self.codes)


def encode(configurations: Sequence[Mapping[str, Any]]) -> Space:
    """Turn configurations into numbers. A parameter that a configuration lacks has a value of its own."""
    names = list(dict.fromkeys(name for configuration in configurations for name in configuration))
    codes, columns, numbers = [], [], []
    for name in names:
        of_all = [canonical(configuration.get(name)) for configuration in configurations]
        keys = [value if _is_number(value) else (type(value).__name__, plain(value)) for value in of_all]
        numeric = all(map(_is_number, of_all))
        values = sorted(set(keys)) if numeric else list(dict.fromkeys(keys))
        place = {key: index for index, key in enumerate(values)}
        own = np.array([place[key] for key in keys], dtype=np.intp)
        codes.append(own)
        numbers.append(numeric)
        if numeric or len(values) <= 2:
            columns.append(own.astype(np.float32))
        else:
            columns += [(own == index).astype(np.float32) for index in range(len(values))]
    empty = np.zeros((len(configurations), 1))
    return Space(
        np.column_stack(codes) if codes else empty.astype(np.intp),
        np.column_stack(columns).astype(np.float32) if columns else empty.astype(np.float32),
        tuple(numbers) if columns else (True,),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def covering(space: Space, open_: NDArray[np.intp], count: int, random: np.random.Generator) -> list[int]:
    """Choose configurations so that all values of all parameters occur about equally often.

    Parameters
    ----------
    open_ : ndarray of int
        Those to choose from.
    count : int
        How many.
    """
    used = [np.zeros(int(own.max()) + 1) for own in space.levels.T]
    chosen: list[int] = []
    left = random.permutation(open_)
    while len(chosen) < count and len(left):
        candidates = left[:64]  # enough to find one with rare values
        crowding = sum(used_values[own] for used_values, own in zip(used, space.levels[candidates].T, strict=True))
        best = int(np.argmin(crowding))
        chosen.append(int(candidates[best]))
        for used_values, code in zip(used, space.levels[candidates[best]], strict=True):
            used_values[code] += 1
        left = np.delete(left, best)
        left = np.concatenate([left[63:], left[:63]])  # the next ones come to the front
    return chosen
