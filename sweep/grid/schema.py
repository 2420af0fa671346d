"""The model of grid.yaml, version 1. ``docs/grid.md`` explains it, ``sweep schema`` prints it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from sweep.errors import GridError, InvalidValue, nearest
from sweep.grid import axes, units
from sweep.grid.expressions import RESERVED
from sweep.grid.race import ConfirmSpec, ConfirmStageSpec, RaceSpec
from sweep.grid.requirement import parse as parse_requirement
from sweep.grid.section import Section
from sweep.grid.source import KeyPath, Source
from sweep.grid.stop import parse as parse_stop
from sweep.schedulers import ALWAYS_HERE, SCHEDULERS

_AXIS_SCHEMA = {
    "description": "A list of values, or a short form of one.",
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
        raise InvalidValue(f"{text!r} has a newline or control character", "a directive of a script is one line")
    return text


def _sweep_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", name):
        raise InvalidValue(
            f"the name {name!r} cannot name a folder and a job",
            "use up to 64 letters, digits, . _ + -, and begin with a letter or digit",
        )
    return name


def _word(text: str) -> str:
    if not re.fullmatch(r"[\w.+@:/,=-]+", _one_line(text)):
        raise InvalidValue(
            f"{text!r} has a character that a scheduler's directive cannot carry", "use one plain word"
        )
    return text


def _unit(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][\w.-]*", name):
        raise InvalidValue(f"{name!r} cannot name a unit of a site's", "write its name alone, such as mpiprocs")
    return name


def _parameter(name: str) -> str:
    if name in RESERVED:
        hint = "write `replicates: 3`, and {{ seed }} in the command" if name == "seed" else "choose another name"
        raise InvalidValue(f"the parameter name {name!r} is reserved", hint, names_parameter=True)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise InvalidValue(
            f"the parameter name {name!r} cannot be used in an expression",
            "use letters, digits and _",
            names_parameter=True,
        )
    return name


def _result_file(name: str) -> str:
    if (
        not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name)
        or name == "log.txt"
        or name.startswith("attempt-")
    ):
        raise InvalidValue(
            f"the result file {name!r} cannot be in a trial's folder", "use a plain name such as result.json"
        )
    return name


def _shell_line(line: str) -> str:
    if "\0" in line:
        raise InvalidValue(f"{line!r} has a NUL byte", "take it out")
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
#: A number, or an expression of the parameters that computes one.
Amount = Annotated[
    str, BeforeValidator(_number_as_text), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}]})
]


def _requirement(text: str) -> str:
    parse_requirement(text)
    return text


def _stop_rule(text: str) -> str:
    return parse_stop(text).text


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class SecondObjectiveSpec(Section):
    """A second objective. It ranks nothing: a race and the report look for what nothing beats in both."""

    metric: str = Field(
        min_length=1,
        description="A number in the result file, or what a trial took: elapsed_s, cpu_s or peak_memory_mib.",
    )
    goal: Literal["minimize", "maximize"] = Field(
        "minimize", description="Whether a small or a large number is better."
    )


class ObjectiveSpec(Section):
    """What makes one trial better than another."""

    metric: str = Field(
        "segMeasure",
        min_length=1,
        description="The number in the result file that ranks the trials. a.b is the key b of the object a.",
    )
    goal: Literal["maximize", "minimize"] = Field(
        "maximize", description="Whether a large or a small number is better."
    )
    file: Annotated[str, AfterValidator(_result_file)] = Field(
        "segMeasure.json", description="The name of the result file in the trial's folder."
    )
    require: list[Annotated[str, AfterValidator(_requirement)]] = Field(
        default_factory=list,
        description="What a configuration has to meet, like f1 > 0.8: a number of the result, >, >=, < or <=, and "
        "a bound. What fails it is ranked below all that meet it.",
    )
    second: SecondObjectiveSpec | None = Field(
        None, description="A second objective, for what nothing beats in both. null: there is none."
    )

    @model_validator(mode="after")
    def _refuse_the_same_twice(self) -> ObjectiveSpec:
        if self.second and self.second.metric == self.metric:
            raise InvalidValue(
                f"the second objective is {self.metric!r}, as is the first", "name another number, or leave it out"
            )
        return self


class ResourcesSpec(Section):
    """What one trial asks for: values, or expressions of the parameters. null leaves a request to the site."""

    walltime: Amount | None = Field(
        "01:00:00",
        description="The trial's walltime: hours:minutes:seconds, or 90min, 4h. null: the site's default.",
    )
    memory: Amount | None = Field(
        "2GiB", description="The trial's memory, with its unit: 8GiB, 500MiB. null: the site's default."
    )
    cpus: Amount | None = Field("1", description="The number of CPUs. null: the site's default.")
    gpus: Amount | None = Field("0", description="The number of GPUs. null: none are asked for.")
    extra: dict[Annotated[str, AfterValidator(_unit)], Amount | None] = Field(
        {},
        description="The site's own units: a part of the chunk on PBS ({mpiprocs: 4}), a resource or a property "
        "on Torque, an option on Slurm ({gpus-per-node: 'a100:1'}). null: the name alone.",
    )


class LimitsSpec(Section):
    """The most that one job may ask for. It replaces what the scheduler reports."""

    walltime: Walltime | None = Field(None, description="The longest walltime of the queue: 2-00:00:00, or 48h.")
    memory: Memory | None = Field(None, description="The memory of the largest node: 250GiB.")
    cpus: int | None = Field(None, ge=1, description="The number of CPUs of the largest node.")
    gpus: int | None = Field(None, ge=0, description="The number of GPUs of the largest node.")


def _scheduler(name: Any) -> Any:
    """Refuse what no scheduler is called."""
    if name not in list(SCHEDULERS):
        raise InvalidValue(f"kind is {name!r}", nearest(str(name), SCHEDULERS))
    return name


#: A scheduler's name in the registry.
Kind = Annotated[str, BeforeValidator(_scheduler)]


class SchedulerSpec(Section):
    """The scheduler that the jobs are submitted to, and how."""

    kind: Kind = Field(
        ALWAYS_HERE,
        description="Which scheduler it is.",
        json_schema_extra=lambda schema: schema.update(enum=list(SCHEDULERS)),
    )
    queue: PlainWord | None = Field(None, description="The queue (PBS, Torque) or partition (Slurm).")
    account: PlainWord | None = Field(None, description="The account that the jobs are charged to.")
    qos: PlainWord | None = Field(None, description="Slurm: the quality of service.")
    cluster: PlainWord | None = Field(None, description="Slurm: the cluster, where a site has several.")
    extra: list[OneLine] = Field([], description="Further directives. They are copied into the script unchanged.")
    limits: LimitsSpec = LimitsSpec()
    warning: Walltime | None = Field(
        None,
        description="How long before its walltime a trial is warned by SIGUSR1, if it has a handler for that. By "
        "default two minutes, or a quarter of the walltime if that is less.",
    )
    python: OneLine = Field(
        "python3", description="The interpreter that runs node.py on the node. It must be Python 3.6 or newer."
    )

    @model_validator(mode="after")
    def _refuse_what_only_some_have(self) -> SchedulerSpec:
        for name in ("qos", "cluster"):
            if getattr(self, name) and name not in SCHEDULERS[self.kind].further_keys:
                raise InvalidValue(f"{name} means nothing to {self.kind}", "take it out, or use `extra`")
        return self


#: A module's name, as ``import`` takes it.
Module = Annotated[str, Field(pattern=r"^[^\W\d]\w*(\.[^\W\d]\w*)*$")]


class SubmitSpec(Section):
    """How the trials become jobs."""

    placement: Literal["array", "each", "packed"] = Field(
        "array",
        description="array: one array for each group of equal resources. each: one job for each trial. "
        "packed: workers that run one trial after another.",
    )
    workers: int = Field(
        1, ge=1, description="Packed: the number of workers for each group. Each worker is a task of one array."
    )
    per_worker: int = Field(
        1, ge=1, description="Packed: the number of trials that run side by side in one worker."
    )
    worker_walltime: Walltime | None = Field(
        None,
        description="Packed: the walltime of a worker. By default it is enough for the worker's share of the "
        "trials, within the queue's limit.",
    )
    linger: Walltime | None = Field(
        None,
        description="Packed: how long a worker with nothing left to run waits for more trials. They then need not "
        "queue. For a race, with `sweep submit --follow`.",
    )
    preload: list[Module] = Field(
        [], description="Packed: modules that a worker imports once. Its trials are forked and find them imported."
    )
    driver: bool = Field(
        False, description="Whether a job, not a process on the login node, submits the next wave."
    )
    max_queued: int | None = Field(
        None, ge=1, description="The largest number of our tasks in the queue. Every task of an array counts."
    )
    throttle: int | None = Field(
        None, ge=1, description="The largest number of tasks of one array that run at once."
    )
    max_array_size: int | None = Field(
        None, ge=1, description="The largest number of tasks in one array. It replaces what the scheduler reports."
    )

    @model_validator(mode="after")
    def _refuse_keys_without_effect(self) -> SubmitSpec:
        """Refuse a key that has no effect with this placement, because it shows a mistake."""
        packed = ("workers", "per_worker", "worker_walltime", "linger", "preload")
        useless = [name for name in packed if name in self.model_fields_set] if self.placement != "packed" else []
        if useless:
            raise InvalidValue(
                f"{useless[0]} means nothing with placement {self.placement}", "write placement: packed"
            )
        if self.linger and self.driver:
            raise InvalidValue(
                "the driver job begins when the workers have ended, and with linger they wait for it",
                "take one of the two out",
            )
        if self.throttle and self.placement == "each":
            raise InvalidValue("throttle is for arrays, and placement is each", "use max_queued")
        return self


class RetryRuleSpec(Section):
    """How often a trial is tried again after one cause of failure."""

    times: int = Field(ge=0, description="The largest number of further attempts.")


class RaiseMemory(RetryRuleSpec):
    """Out of memory: the next attempt asks for more memory."""

    times: int = Field(3, ge=0, description="The largest number of further attempts.")
    factor: float = Field(
        1.5, gt=1, description="What the memory is multiplied by. The measured peak is multiplied if it is larger."
    )
    ceiling: Memory | None = Field(
        None, description="The most memory to ask for: 64GiB. No attempt asks for more than a node has."
    )


class RaiseWalltime(RetryRuleSpec):
    """Walltime exceeded: the next attempt asks for more time."""

    times: int = Field(2, ge=0, description="The largest number of further attempts.")
    factor: float = Field(2.0, gt=1, description="What the walltime is multiplied by.")
    ceiling: Walltime | None = Field(
        None, description="The longest walltime to ask for: 48h. No attempt asks for more than the queue allows."
    )


class RetrySpec(Section):
    """Which failures are tried again, by cause. By default, a program's own error is not."""

    out_of_memory: RaiseMemory = RaiseMemory()
    walltime: RaiseWalltime = RaiseWalltime()
    node_failure: RetryRuleSpec = Field(
        RetryRuleSpec(times=3), description="After a node failure or a pre-emption."
    )
    error: RetryRuleSpec = Field(
        RetryRuleSpec(times=0),
        description="After an error of the program or its environment, or a result that is missing or not valid.",
    )
    resume: RetryRuleSpec = Field(
        RetryRuleSpec(times=1000),
        description="After exit code 75: the command has saved its work and wants to go on.",
    )


class Grid(Section):
    """A sweep: the trials to run, and how to run them."""

    version: Literal[1] = Field(1, description="The version of this format.")
    name: Annotated[str, AfterValidator(_sweep_name)] = Field(
        description="The name of the sweep's folder and of its jobs."
    )
    command: str | list[str] = Field(
        description="The program and its arguments. A line is split into arguments first and filled in afterwards."
    )
    parameters: Axes = Field(
        {}, description="Name → values. The sweep is the product of all parameters, in the order written."
    )
    zip: list[Axes] = Field([], description="Groups of parameters that vary together.")
    exclude: list[str] = Field([], description="Expressions. A configuration that fits one of them is left out.")
    design: Literal["product", "one_at_a_time"] = Field(
        "product",
        description="product: all combinations. one_at_a_time: the baseline, then each other value of each "
        "parameter with the rest at the baseline.",
    )
    baseline: dict[str, Any] | None = Field(None, description="For one_at_a_time: a value for every parameter.")
    replicates: int = Field(1, ge=1, le=1_000_000, description="How often each configuration runs.")
    seed: int = Field(0, ge=0, description="The number that every replicate's own seed is computed from.")
    objective: ObjectiveSpec = ObjectiveSpec()
    resources: ResourcesSpec = ResourcesSpec()
    scheduler: SchedulerSpec = SchedulerSpec()
    environment: list[ShellLine] = Field(
        [], description="Shell commands that run before each trial's command. Each line is one complete command."
    )
    submit: SubmitSpec = SubmitSpec()
    retry: RetrySpec | None = Field(
        None, description="Which failures are tried again. With it, `sweep submit --follow` retries by itself."
    )
    race: RaceSpec | None = Field(
        None,
        description="Train a part of the grid: what promises most begins, the best go on. `sweep race` decides.",
    )
    stop: Annotated[list[Annotated[str, AfterValidator(_stop_rule)]], BeforeValidator(_as_list)] = Field(
        default_factory=list,
        json_schema_extra={"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        description="A rule, or several, by which a running trial is ended early: history[-1] < 0.2 after 5.",
    )
    workdir: ShellLine | None = Field(
        None, description="The folder that the command runs in. By default it is where the sweep was planned."
    )


_SECTIONS: dict[KeyPath, type[BaseModel]] = {
    (): Grid,
    ("objective",): ObjectiveSpec,
    ("objective", "second"): SecondObjectiveSpec,
    ("resources",): ResourcesSpec,
    ("scheduler",): SchedulerSpec,
    ("scheduler", "limits"): LimitsSpec,
    ("submit",): SubmitSpec,
    ("retry",): RetrySpec,
    ("retry", "out_of_memory"): RaiseMemory,
    ("retry", "walltime"): RaiseWalltime,
    ("retry", "node_failure"): RetryRuleSpec,
    ("retry", "error"): RetryRuleSpec,
    ("retry", "resume"): RetryRuleSpec,
    ("race",): RaceSpec,
    ("race", "confirm"): ConfirmSpec,
    ("race", "confirm", "then"): ConfirmStageSpec,
}


def check(source: Source) -> Grid:
    """Check a document against the model.

    Raises
    ------
    GridError
        The first mistake in the order of the file, with its position.
    """
    try:
        return Grid.model_validate(source.data)
    except ValidationError as error:
        mistakes = [_grid_error(source, problem) for problem in error.errors()]
    first = min(mistakes, key=lambda mistake: (mistake.line, mistake.column))
    if len(mistakes) > 1:
        others = f"{len(mistakes) - 1} more after that"
        first.hint += f"\n{others}" if first.hint else others
    raise first


def _grid_error(source: Source, problem: Any) -> GridError:
    """Turn one of pydantic's errors into a GridError."""
    path: KeyPath = tuple(step for step in problem["loc"] if step not in ("[key]", "str", "list[str]"))
    kind, value, key = problem["type"], problem["input"], str(path[-1]) if path else ""
    if kind == "extra_forbidden":
        fields = _SECTIONS.get(path[:-1], Grid).model_fields
        keys = [field.alias or name for name, field in fields.items()]
        return source.error(path, f"unknown key {key!r}", nearest(key, keys))
    if kind == "missing":
        return source.error(path, f"the key {key!r} is missing", "see docs/grid.md, or start from `sweep init`")
    if kind == "value_error":
        error: InvalidValue = problem["ctx"]["error"]
        return source.error(path, _with_parameter(path, error), error.hint)
    if kind == "literal_error":
        choices = re.findall(r"'([^']+)'|\b(\d+)\b", problem["ctx"]["expected"])
        return source.error(path, f"{key} is {value!r}", nearest(str(value), [a or b for a, b in choices]))
    return source.error(path, f"{key or 'the grid'} is {value!r}", problem["msg"].lower())


def _with_parameter(path: KeyPath, error: InvalidValue) -> str:
    """Put the parameter's name before a message about its values."""
    about_parameter = bool(path) and path[0] in ("parameters", "zip")
    return f"{path[-1]}: {error}" if about_parameter and not error.names_parameter else str(error)
