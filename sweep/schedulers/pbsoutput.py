"""What the commands of OpenPBS and Torque print → records, ids and amounts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sweep.errors import SchedulerSilent
from sweep.model import TaskRef
from sweep.schedulers.base import Call, Reply, no_answer

#: One job as qstat shows it. Nested attributes have a dot in their name: ``resources_used.cput``.
Record = dict[str, str]


def spelled(task: TaskRef) -> str:
    """Spell a task as qstat and qdel take it.

    >>> spelled(TaskRef("17[].vm", 0)), spelled(TaskRef("18.vm"))
    ('17[0].vm', '18.vm')
    """
    return task.job_id if task.index is None else task.job_id.replace("[]", f"[{task.index}]", 1)


def array_id(full_id: str) -> str:
    """Return the id of the array that a subjob belongs to. A single job keeps its id.

    >>> array_id("2[0].vm"), array_id("11.vm")
    ('2[].vm', '11.vm')
    """
    return re.sub(r"\[\d+\]", "[]", full_id, count=1)


def split_id(full_id: str) -> tuple[str, int | None]:
    """Split ``19[3].vm`` into the job's number and the task's index.

    >>> split_id("19[3].vm"), split_id("11.vm"), split_id("19[].vm:16001")
    (('19', 3), ('11', None), ('19', None))
    """
    match = re.match(r"(\d+)(?:\[(\d*)\])?", full_id)
    if not match:
        return full_id, None
    return match[1], int(match[2]) if match[2] else None


def read_text(text: str) -> dict[str, Record]:
    """Read ``qstat -f``: full id → record. qstat may fold a value anywhere, with a newline and a tab."""
    records: dict[str, Record] = {}
    current: Record = {}
    for line in text.replace("\n\t", "").splitlines():
        if line.startswith("Job Id:"):
            current = records[line.partition(":")[2].strip()] = {}
        else:
            name, equals, value = line.partition(" = ")
            if equals:
                current[name.strip()] = value
    return records


def read_text_reply(call: Call, reply: Reply) -> dict[str, Record]:
    """Read ``qstat -f`` about our jobs. SchedulerSilent if it succeeds and shows no job: then it is broken."""
    records = read_text(reply.stdout)
    if reply.exit_code == 0 and not records:
        raise no_sense(call, reply)
    return records


def no_sense(call: Call, reply: Reply) -> SchedulerSilent:
    """Make the error for a call that succeeded, and whose answer is none."""
    return no_answer(call, replace(reply, stderr="", stdout=f"it makes no sense: {reply.stdout[:80]!r}"))


def read_json(text: str, section: str = "Jobs") -> dict[str, Record] | None:
    """Read ``qstat -f -F json``. None: it does not parse. One odd job of any user may cause that."""
    try:
        document = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    records = document.get(section, {}) if isinstance(document, dict) else None
    if not isinstance(records, dict):
        return None
    return {name: _flat(record) for name, record in records.items() if isinstance(record, dict)}


def _flat(record: Mapping[str, Any]) -> Record:
    """Name nested attributes as the text form does. Values become text, because PBS's JSON guesses their types."""
    flat: Record = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            flat.update({f"{name}.{inner_name}": str(inner) for inner_name, inner in value.items()})
        else:
            flat[name] = str(value)
    return flat


def read_attributes(text: str) -> dict[str, Record]:
    """Read ``qstat -Q -f`` or ``qstat -B -f``: name of the queue or server → its attributes."""
    return read_text(re.sub(r"^(?:Queue|Server):", "Job Id:", text, flags=re.MULTILINE))


def records_of_tasks(records: Mapping[str, Record], tasks: Sequence[TaskRef]) -> dict[TaskRef, Record]:
    """Match records to the tasks asked about. The server's name in the ids may differ, and is not compared."""
    by_id = {split_id(full_id): record for full_id, record in records.items()}
    pairs = ((task, by_id.get((split_id(task.job_id)[0], task.index))) for task in tasks)
    return {task: record for task, record in pairs if record is not None}


def parse_seconds(text: str | None) -> float | None:
    """Read ``HH:MM:SS`` or plain seconds, in seconds.

    >>> parse_seconds("00:10:05"), parse_seconds("43"), parse_seconds(None)
    (605.0, 43.0, None)
    """
    if not text or not re.fullmatch(r"\d+(:\d+)*", text):
        return None
    total = 0.0
    for part in text.split(":"):
        total = total * 60 + int(part)
    return total


def parse_mib(text: str | None) -> float | None:
    """Read an amount of memory such as ``167588kb``, in MiB.

    >>> parse_mib("2048kb"), parse_mib("1gb"), parse_mib(None)
    (2.0, 1024.0, None)
    """
    match = re.fullmatch(r"(\d+)(b|kb|mb|gb|tb)", text or "")
    if not match:
        return None
    return int(match[1]) * {"b": 2**-20, "kb": 2**-10, "mb": 1.0, "gb": 2.0**10, "tb": 2.0**20}[match[2]]


def parse_int(text: str | None) -> int | None:
    """Read a whole number. None: the text is none."""
    return int(text) if text and re.fullmatch(r"-?\d+", text) else None
