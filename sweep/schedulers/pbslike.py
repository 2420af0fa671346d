"""What OpenPBS and Torque share: qsub, qdel, and the output of ``qstat -f``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sweep.errors import SchedulerRefused, SchedulerSilent
from sweep.model import Limits, TaskRef
from sweep.schedulers import refusals
from sweep.schedulers.base import (
    Call,
    Place,
    Reply,
    Scheduler,
    SubmitRequest,
    Talk,
    confirmed,
    no_answer,
    smallest,
)

#: One job as qstat shows it. Nested attributes have a dot in their name: ``resources_used.cput``.
Record = dict[str, str]


#: qstat makes two connections for every id, from ports of which a server has some hundred for all of its users:
#: 200 ids take it half a minute, 400 end in a time-out, and other people's commands wait as long. So no look asks
#: for more ids than this; from there on it asks once for everything.
MOST_IDS = 20

#: The exit codes of a qstat about a queue that is not there: OpenPBS's, Torque's.
_UNKNOWN_QUEUE = (170, 172)

#: A pattern in qsub's message → the directive it is about. Empty: the pattern's first group names it.
_DIRECTIVES: tuple[tuple[str, str], ...] = (
    (r"Resource_List\.(\w+)", ""),
    (r"select\.(\w+)", ""),
    (r"max (walltime|mem|ncpus|nodect)", ""),
    (r"illegal (-\w) value", ""),
    (r"[Uu]nknown queue|queue not found|Queue is not enabled|Unauthorized", "-q"),
    (r"[Aa]rray", "-J"),
    (r"queue and/or server resource limits", "-l"),
    (r"[Aa]ccount", "-A"),
)


def submit(
    scheduler: Scheduler,
    request: SubmitRequest,
    errors: Mapping[int, tuple[refusals.Kind, str]],
    array: tuple[str, ...] = (),
    after: tuple[str, ...] = (),
) -> Talk[str]:
    """Submit a script with qsub. What differs from call to call is an option here, not a line of the script.

    Parameters
    ----------
    scheduler : Scheduler
        Which of the two it is: it is asked for the id where the answer has several lines.
    request : SubmitRequest
        What to submit.
    errors : mapping of int to (Kind, str)
        What qsub's exit codes mean.
    array, after : tuple of str
        qsub's options for the request's array and for the job to wait for.
    """
    # -v takes only plain words. It refuses quotes, cuts at commas and doubles backslashes.
    task = () if request.index is None else ("-v", f"SWEEP_TASK={request.index}")
    call = Call(("qsub", "-N", request.job_name, *task, *array, *after, request.script), submits=True)
    reply = yield call
    candidates = re.findall(r"^\d+(?:\[\])?(?:\.\S+)?$", reply.stdout, re.MULTILINE)
    if reply.exit_code == 0 and candidates:
        return (yield from confirmed(scheduler, request, reply, candidates))
    if reply.exit_code is None or reply.exit_code == 0 or "qsub" not in reply.stderr:
        raise SchedulerSilent(f"qsub: {reply.summary or 'no job id in its answer'}")
    kind = errors.get(reply.exit_code, (refusals.Kind.UNKNOWN, ""))[0]
    directive = refusals.blamed(reply.stderr, _DIRECTIVES)
    raise refusals.error_of("qsub", kind, reply.stderr, reply.summary, directive)


def cancel(jobs: Sequence[str], tasks: Sequence[TaskRef], harmless: Collection[int]) -> Talk[None]:
    """Delete single jobs, subjobs and arrays in separate calls. OpenPBS's qdel aborts where they are mixed.

    `harmless` are the exit codes that mean "the job has ended" or "there is no such job".
    """
    arrays = tuple(job for job in jobs if "[]" in job)
    singles = tuple(job for job in jobs if "[]" not in job)
    subjobs = tuple(spell(task) for task in tasks)
    for ids in (singles, subjobs, arrays):
        if ids:
            call = Call(("qdel", *ids), timeout_s=120)  # 8192 queued subjobs took it 20 s
            reply = yield call
            if reply.exit_code != 0 and reply.exit_code not in harmless:
                raise no_answer(call, reply)


def spell(task: TaskRef) -> str:
    """Spell a task as qstat and qdel take it.

    >>> spell(TaskRef("17[].vm", 0)), spell(TaskRef("18.vm"))
    ('17[0].vm', '18.vm')
    """
    return task.job_id if task.index is None else task.job_id.replace("[]", f"[{task.index}]", 1)


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


def limit_of_user(text: str | None, user: str) -> int | None:
    """Read the limit that holds for a user from text such as ``[u:PBS_GENERIC=5],[o:PBS_ALL=100]``.

    >>> limit_of_user("[u:PBS_GENERIC=5],[u:eve=9],[o:PBS_ALL=100]", "eve")
    9
    >>> limit_of_user("20", "eve"), limit_of_user(None, "eve")
    (20, None)
    """
    if not text:
        return None
    if text.isdigit():
        return int(text)
    limits = {entity: int(number) for entity, number in re.findall(r"([ugop]:[^=\]\s]+)=(\d+)", text)}
    return smallest(limits.get(f"u:{user}", limits.get("u:PBS_GENERIC")), limits.get("o:PBS_ALL"))


def read_attributes(text: str) -> dict[str, Record]:
    """Read ``qstat -Q -f`` or ``qstat -B -f``: name of the queue or server → its attributes."""
    return read_text(re.sub(r"^(?:Queue|Server):", "Job Id:", text, flags=re.MULTILINE))


def ways(
    place: Place,
    server: Record,
    default: str,
    call: tuple[str, ...],
    read: Callable[[str], Mapping[str, Record]],
) -> Talk[dict[str, list[Record]]]:
    """Ask for the queue of a place and, of a routing queue, for all that it leads to.

    Parameters
    ----------
    server : dict
        The server's attributes.
    default : str
        The queue where neither the place nor the server names one.
    call : tuple of str
        The command that shows the attributes of the queues that are appended, or of all.
    read : callable
        Reads its output: name of the queue → its attributes.

    Returns
    -------
    dict
        Name of each queue that may run the job → the attributes that hold there: the server's and the queues'.

    Raises
    ------
    SchedulerRefused
        There is no such queue, or it does not take this user's jobs.
    """
    name = place.queue or server.get("default_queue", default)
    reply = yield Call((*call, name))
    if place.queue and reply.exit_code in _UNKNOWN_QUEUE:
        raise SchedulerRefused(f"there is no queue {name!r} on this server", "`qstat -Q` lists them")
    own = read(reply.stdout).get(name, {})
    if not _lets_in(own, place):
        raise SchedulerRefused(
            f"the queue {name!r} does not take the jobs of {place.user}",
            "name another one; `qstat -Q -f` shows whom it takes (acl_users, acl_groups)",
        )
    if own.get("queue_type") != "Route":
        return {name: [server, own]}
    reply = yield Call(call)
    destinations = _destinations(name, read(reply.stdout), place)
    return {way: [server, own, queue] for way, queue in destinations.items()}


def _lets_in(queue: Mapping[str, str], place: Place) -> bool:
    """Whether the queue's lists of users and groups let this user in. Without a list, everyone is."""
    lists = (("acl_user_enable", "acl_users", (place.user,)), ("acl_group_enable", "acl_groups", place.groups))
    return all(
        queue.get(switch, "").lower() != "true" or any(_is_listed(queue.get(entries, ""), name) for name in names)
        for switch, entries, names in lists
        if names
    )


def _is_listed(entries: str, name: str) -> bool:
    """Whether an access list has this name. The first entry that fits decides; a minus excludes.

    >>> _is_listed("pbsother@*", "eve"), _is_listed("-eve@*,+", "eve"), _is_listed("eve@n1,bob", "eve")
    (False, False, True)
    """
    for entry in entries.split(","):
        listed = entry.strip().lstrip("+-").partition("@")[0]
        if listed in (name, "*", ""):
            return bool(entry.strip()) and not entry.strip().startswith("-")
    return False


def _destinations(name: str, queues: Mapping[str, Record], place: Place) -> dict[str, Record]:
    """Return the queues that a routing queue leads this user's jobs to. Another server's has no attributes here.

    Raises
    ------
    SchedulerRefused
        There is none.
    """
    found: dict[str, Record] = {}
    waiting = [name]
    seen = set()
    while waiting:
        current = waiting.pop(0)
        queue = queues.get(current.partition("@")[0], {})
        if current in seen or not _lets_in(queue, place) or queue.get("enabled", "True").lower() == "false":
            continue
        seen.add(current)
        if queue.get("queue_type", "").lower().startswith("r"):
            waiting += [word.strip("[]' \"") for word in queue.get("route_destinations", "").split(",")]
        else:
            found[current] = queue
    if not found:
        raise SchedulerRefused(
            f"none of the queues that {name!r} leads to takes the jobs of {place.user}",
            "name another queue; `qstat -Q -f` shows them",
        )
    return found


def either(limits: Mapping[str, Limits]) -> Limits:
    """Return the limits of a job that has to fit one of several queues: in each resource, the largest."""
    largest: dict[str, Any] = {
        name: None if None in values else max(values)
        for name in ("walltime_s", "memory_mib", "cpus", "gpus")
        for values in [[getattr(limit, name) for limit in limits.values()]]
    }
    return replace(next(iter(limits.values())), **largest, one_of=dict(limits) if len(limits) > 1 else {})


def shared_limits(records: Sequence[Mapping[str, str]], user: str) -> dict[str, int | None]:
    """Read the limits that OpenPBS and Torque spell alike, from the attributes of a server and a queue."""

    def lowest(attribute: str, parse: Callable[[str | None], float | None]) -> int | None:
        limits = [parse(record.get(attribute)) for record in records]
        return smallest(*(None if limit is None else int(limit) for limit in limits))

    return {
        "max_running": lowest("max_run", lambda text: limit_of_user(text, user)),
        "walltime_s": lowest("resources_max.walltime", parse_seconds),
        "memory_mib": lowest("resources_max.mem", parse_mib),
        "cpus": lowest("resources_max.ncpus", parse_int),
    }


def _flat(record: Mapping[str, Any]) -> Record:
    """Name nested attributes as the text form does. Values become text, because PBS's JSON guesses their types."""
    flat: Record = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            flat.update({f"{name}.{inner_name}": str(inner) for inner_name, inner in value.items()})
        else:
            flat[name] = str(value)
    return flat


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
