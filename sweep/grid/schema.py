"""grid.yaml, version 1: what may stand in it. ``docs/grid.md`` explains it, ``sweep schema`` prints it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from sweep.errors import GridError, nearest
from sweep.grid import axes, units
from sweep.grid.expressions import RESERVED
from sweep.grid.source import KeyPath, Source

_AXIS_SCHEMA = {
    "description": "the values, or a short form of them",
    "oneOf": [
        {"type": "array", "minItems": 1},
        *(
            {
                "type": "object",
                "properties": {kind: {"type": "array", "items": {"type": "number"}}},
                "required": [kind],
                "additionalProperties": False,
            }
            for kind in ("range", "linspace", "logspace", "geomspace")
        ),
    ],
}


def _one_line(text: str) -> str:
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise ValueError(f"{text!r} has a newline or control character in it; a script's directive is one line")
    return text


def _sweep_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", name):
        raise ValueError(
            f"the name {name!r} cannot name a folder and a job; use up to 64 letters, digits, . _ + -, "
            "beginning with a letter or digit"
        )
    return name


def _word(text: str) -> str:
    if not re.fullmatch(r"[\w.+@:/,=-]+", _one_line(text)):
        raise ValueError(f"{text!r} has a character that a scheduler's directive cannot carry; use one plain word")
    return text


def _parameter(name: str) -> str:
    if name in RESERVED:
        hint = (
            "write `replicates: 3`, and {{ seed }} in the command" if name == "seed" else "call it something else"
        )
        raise ValueError(f"the parameter name {name!r} is reserved; {hint}")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(f"the parameter name {name!r} cannot stand in an expression; use letters, digits and _")
    return name


def _result_file(name: str) -> str:
    if (
        not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name)
        or name == "log.txt"
        or name.startswith("attempt-")
    ):
        raise ValueError(
            f"the result's file {name!r} cannot stand in a trial's folder; use a plain name such as result.json"
        )
    return name


def _shell_line(line: str) -> str:
    if "\0" in line:
        raise ValueError(f"{line!r} has a NUL byte in it")
    return line


def _walltime(text: str) -> str:
    units.walltime_s(text)
    return text


def _memory(text: str) -> str:
    units.memory_mib(text)
    return text


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Axis = Annotated[list[Any], BeforeValidator(axes.values), WithJsonSchema(_AXIS_SCHEMA)]
Axes = dict[Annotated[str, AfterValidator(_parameter)], Axis]
PlainWord = Annotated[str, AfterValidator(_word)]
OneLine = Annotated[str, AfterValidator(_one_line)]
ShellLine = Annotated[str, AfterValidator(_shell_line)]
Walltime = Annotated[str, AfterValidator(_walltime)]
Memory = Annotated[str, AfterValidator(_memory)]
#: A number, or an expression of the parameters that gives one.
Amount = Annotated[
    str, BeforeValidator(_number_as_text), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}]})
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ObjectiveSpec(_Part):
    """What makes one trial better than another."""

    metric: str = Field(
        "segMeasure", min_length=1, description="a number in the result file; a.b reaches into an object"
    )
    goal: Literal["maximize", "minimize"] = "maximize"
    file: Annotated[str, AfterValidator(_result_file)] = Field(
        "segMeasure.json", description="the result file's name in the trial's folder"
    )


class ResourcesSpec(_Part):
    """What one trial asks of a node: values, or expressions of the parameters."""

    walltime: Amount = Field("01:00:00", description="hours:minutes:seconds, or 90min, 4h")
    memory: Amount = Field("2GiB", description="with its unit: 8GiB, 500MiB")
    cpus: Amount = "1"
    gpus: Amount = "0"


class LimitsSpec(_Part):
    """What one job may ask for, instead of what the scheduler says of itself."""

    walltime: Walltime | None = Field(None, description="the queue's: 2-00:00:00, or 48h")
    memory: Memory | None = Field(None, description="of one node: 250GiB")
    cpus: int | None = Field(None, ge=1, description="of one node")
    gpus: int | None = Field(None, ge=0, description="of one node")


class SchedulerSpec(_Part):
    """Where the jobs go."""

    kind: Literal["local", "slurm", "pbs", "torque"] = "local"
    queue: PlainWord | None = Field(None, description="queue (PBS, Torque) or partition (Slurm)")
    account: PlainWord | None = None
    extra: list[OneLine] = Field([], description="further directives, as they stand")
    limits: LimitsSpec = LimitsSpec()
    python: OneLine = Field("python3", description="the interpreter that runs node.py on the node: 3.6 or newer")


#: A module's name, as it stands behind ``import``.
Module = Annotated[str, Field(pattern=r"^[^\W\d]\w*(\.[^\W\d]\w*)*$")]


class SubmitSpec(_Part):
    """How the trials become jobs."""

    placement: Literal["array", "each", "packed"] = Field(
        "array", description="one array per group, one job per trial, or workers that pull trials"
    )
    workers: int = Field(1, ge=1, description="packed: so many workers per group, each a task of one array")
    per_worker: int = Field(1, ge=1, description="packed: so many trials side by side in one worker")
    worker_walltime: Walltime | None = Field(None, description="packed: else enough for all, within the limit")
    preload: list[Module] = Field([], description="packed: modules that the trials, forked, find imported")
    driver: bool = Field(False, description="send the next wave from a job of its own, not from a login node")
    max_queued: int | None = Field(None, ge=1, description="of our tasks, at most so many in the queue at once")
    throttle: int | None = Field(None, ge=1, description="of an array's tasks, at most so many running at once")
    max_array_size: int | None = Field(None, ge=1, description="instead of what the scheduler says of itself")

    @model_validator(mode="after")
    def _nothing_in_vain(self) -> SubmitSpec:
        """Refuse what would have no effect: who writes it means something else."""
        packed = ("workers", "per_worker", "worker_walltime", "preload")
        vain = [name for name in packed if name in self.model_fields_set] if self.placement != "packed" else []
        if vain:
            raise ValueError(f"{vain[0]} means nothing with placement {self.placement}; write placement: packed")
        if self.throttle and self.placement == "each":
            raise ValueError("throttle is an array's, and placement is each; use max_queued")
        return self


class RetryRule(_Part):
    """How often a cause of failure is answered by another attempt, and what that attempt gets more of."""

    times: int = Field(ge=0, description="attempts more, at most")


class RaiseMemory(RetryRule):
    """Out of memory: more memory, from the measured peak where that is the larger."""

    times: int = Field(3, ge=0)
    factor: float = Field(1.5, gt=1)
    ceiling: Memory | None = Field(None, description="at most so much: 64GiB; and never more than a node has")


class RaiseWalltime(RetryRule):
    """Walltime exceeded: more time."""

    times: int = Field(2, ge=0)
    factor: float = Field(2.0, gt=1)
    ceiling: Walltime | None = Field(None, description="at most so long: 48h; and never more than the queue's")


class RetrySpec(_Part):
    """What is tried again by itself, by cause. A program's own error is not, unless told."""

    out_of_memory: RaiseMemory = RaiseMemory()
    walltime: RaiseWalltime = RaiseWalltime()
    node_failure: RetryRule = Field(RetryRule(times=3), description="and pre-emption")
    error: RetryRule = Field(RetryRule(times=0), description="of the program or its environment")
    resume: RetryRule = Field(RetryRule(times=1000), description="of a command that ended with 75 to go on later")


class Grid(_Part):
    """A sweep, as a person writes it."""

    version: Literal[1] = 1
    name: Annotated[str, AfterValidator(_sweep_name)]
    command: str | list[str] = Field(description="split into arguments, then filled in")
    parameters: Axes = Field({}, description="the product of these, in the order written")
    zip: list[Axes] = Field([], description="parameters that vary together")
    exclude: list[str] = Field([], description="expressions; a trial that fits one is left out")
    design: Literal["product", "one_at_a_time"] = "product"
    baseline: dict[str, Any] | None = Field(None, description="for one_at_a_time: a value for every parameter")
    replicates: int = Field(1, ge=1, le=1_000_000)
    seed: int = Field(0, ge=0, description="what every trial's own seed is drawn from")
    objective: ObjectiveSpec = ObjectiveSpec()
    resources: ResourcesSpec = ResourcesSpec()
    scheduler: SchedulerSpec = SchedulerSpec()
    environment: list[ShellLine] = Field([], description="shell commands before the trial's, one a line")
    submit: SubmitSpec = SubmitSpec()
    retry: RetrySpec | None = Field(None, description="with it, `sweep submit --follow` retries by itself")
    workdir: ShellLine | None = Field(None, description="where the command runs; else where it was planned")


_PARTS: dict[KeyPath, type[BaseModel]] = {
    (): Grid,
    ("objective",): ObjectiveSpec,
    ("resources",): ResourcesSpec,
    ("scheduler",): SchedulerSpec,
    ("scheduler", "limits"): LimitsSpec,
    ("submit",): SubmitSpec,
    ("retry",): RetrySpec,
    ("retry", "out_of_memory"): RaiseMemory,
    ("retry", "walltime"): RaiseWalltime,
    ("retry", "node_failure"): RetryRule,
    ("retry", "error"): RetryRule,
    ("retry", "resume"): RetryRule,
}


def check(source: Source) -> Grid:
    """Check a document against the model.

    Raises
    ------
    GridError
        The first thing wrong, in the order of the file, with its place.
    """
    try:
        return Grid.model_validate(source.data)
    except ValidationError as error:
        found = [_readable(source, one) for one in error.errors()]
    first = min(found, key=lambda problem: (problem.line, problem.column))
    if len(found) > 1:
        first.hint += f"\n{len(found) - 1} more after that" if first.hint else f"{len(found) - 1} more after that"
    raise first


def _readable(source: Source, problem: Any) -> GridError:
    """Turn pydantic's problem into ours."""
    path: KeyPath = tuple(step for step in problem["loc"] if step not in ("[key]", "str", "list[str]"))
    kind, value, key = problem["type"], problem["input"], str(path[-1]) if path else ""
    if kind == "extra_forbidden":
        known = _PARTS.get(path[:-1], Grid).model_fields
        return source.error(path, f"unknown key {key!r}", nearest(key, known))
    if kind == "missing":
        return source.error(path, f"the key {key!r} is missing", "see docs/grid.md, or `sweep init` for a start")
    if kind == "value_error":
        message, _, hint = str(problem["ctx"]["error"]).partition("; ")
        return source.error(path, _about(path, message), hint)
    if kind == "literal_error":
        choices = re.findall(r"'([^']+)'|\b(\d+)\b", problem["ctx"]["expected"])
        return source.error(path, f"{key} is {value!r}", nearest(str(value), [a or b for a, b in choices]))
    return source.error(path, f"{key or 'the grid'} is {value!r}", problem["msg"].lower())


def _about(path: KeyPath, message: str) -> str:
    """Name the parameter that a message is about, where it does not say so itself."""
    if path and path[0] in ("parameters", "zip") and not message.startswith("the parameter name"):
        return f"{path[-1]}: {message}"
    return message
