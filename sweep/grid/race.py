"""The model of the grid's ``race``."""

from __future__ import annotations

import itertools
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from sweep.errors import InvalidValue
from sweep.grid import units
from sweep.grid.section import Section

_FRACTION_SCHEMA = {"anyOf": [{"type": "string", "pattern": r"^\d+/\d+$"}, {"type": "number"}]}


def _disk(text: str) -> str:
    try:
        units.memory_mib(text)
    except InvalidValue as error:
        raise InvalidValue(f"disk {text!r} is no size", error.hint) from None
    return text


def _file_pattern(pattern: str) -> str:
    if "/" in pattern or "\0" in pattern or not pattern.strip("*?. "):
        raise InvalidValue(
            f"checkpoints {pattern!r} does not name files of a trial's folder", "write a pattern such as '*.ckpt'"
        )
    return pattern


def _budget(text: str) -> str:
    units.budget(text)
    return text


def _fraction(value: Any) -> float:
    share = units.fraction(value)
    if not 0 < share < 1:
        raise InvalidValue(f"keep is {value}", "write a share between 0 and 1, such as 1/3")
    return share


class ConfirmStageSpec(Section):
    """A stage of a race's confirmation."""

    top: int = Field(5, ge=1, description="How many of the best are run again.")
    replicates: int = Field(5, ge=2, description="Until each of them has so many fresh replicates.")


class ConfirmSpec(ConfirmStageSpec):
    """How a race is decided: its best are run again with seeds that had no part in choosing them."""

    top: int = Field(20, ge=1, description="How many of the best are run again.")
    replicates: int = Field(3, ge=2, description="Until each of them has so many fresh replicates.")
    then: ConfirmStageSpec | None = Field(
        None, description="A second stage: fewer configurations, more replicates."
    )

    @model_validator(mode="after")
    def _refuse_a_wider_second_stage(self) -> ConfirmSpec:
        if self.then and (self.then.top >= self.top or self.then.replicates <= self.replicates):
            raise InvalidValue(
                f"the second stage has top {self.then.top} and replicates {self.then.replicates}, the first "
                f"{self.top} and {self.replicates}",
                "the second is for fewer configurations and more replicates",
            )
        return self


class RaceSpec(Section):
    """Which trials are run: those that promise most are begun, and the best of them go on."""

    budget: Annotated[str, AfterValidator(_budget)] = Field(
        "5%",
        description="The most that the race may cost, the confirmation included: 5% of what the whole grid "
        "would cost, or 200 core-hours.",
    )
    rungs: list[Annotated[int, Field(ge=1)]] = Field(
        [1, 3, 9, 27],
        min_length=1,
        max_length=20,
        description="How far a trial is trained before it is judged, in entries of its history. The last one is "
        "the whole training. [27] alone: every trial that is begun runs to its end.",
    )
    keep: Annotated[float, BeforeValidator(_fraction), WithJsonSchema(_FRACTION_SCHEMA)] = Field(
        1 / 3, description="The share of the trials on a rung that goes on: 1/3, or 0.25."
    )
    propose: Literal["forest", "random", "order", "optuna"] = Field(
        "forest",
        description="What chooses the configurations to begin: a forest of trees that learns from the scores so "
        "far, chance, the order of the grid, or Optuna.",
    )
    from_: list[Annotated[str, Field(min_length=1)]] = Field(
        [],
        alias="from",
        description="Earlier sweeps of the same parameters, by name or folder. The forest begins with what they "
        "learnt; none of their scores decides.",
    )
    wave: int | None = Field(
        None,
        ge=1,
        description="The largest number of trials of one decision. By default about a dozen spend the budget.",
    )
    audit: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="The share of the budget that is spent on configurations drawn at random and run to the end: "
        "what they reach says what the race may have missed.",
    )
    checkpoints: Annotated[str, AfterValidator(_file_pattern)] | None = Field(
        "*checkpoint*",
        description="The names of the files, in a trial's folder, that it goes on from. Those of trials that have "
        "stopped on a rung are removed when the race is over. null: none is touched.",
    )
    disk: Annotated[str, AfterValidator(_disk)] | None = Field(
        None,
        description="The most that these checkpoints may take, such as 20GiB: those of the worst are "
        "removed first. Should one of these go on, it begins anew. By default there is no limit.",
    )
    confirm: ConfirmSpec | None = Field(
        None,
        description="How the winner is decided. By default the top 20 × 3 and then the top 5 × 5, or fewer where "
        "that would take more than a quarter of the budget.",
    )

    @model_validator(mode="after")
    def _refuse_rungs_that_do_not_rise(self) -> RaceSpec:
        if any(higher <= lower for lower, higher in itertools.pairwise(self.rungs)):
            raise InvalidValue(f"the rungs {self.rungs} do not rise", "write them in order: [1, 3, 9, 27]")
        return self

    @model_validator(mode="after")
    def _refuse_sweeps_that_nothing_learns_from(self) -> RaceSpec:
        if self.from_ and self.propose != "forest":
            raise InvalidValue(
                f"from: the forest alone learns from earlier sweeps, and propose is {self.propose}",
                "write propose: forest, or take from out",
            )
        return self
