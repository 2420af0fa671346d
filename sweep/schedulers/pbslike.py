"""What OpenPBS and Torque have in common: qsub and qdel, and the form of ``qstat -f``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sweep.errors import SchedulerBusy, SchedulerRefused, SchedulerSilent
from sweep.model import TaskRef
from sweep.schedulers.base import Call, Reply, SubmitRequest, Talk, silent, smallest

#: One job as qstat shows it, nested attributes written with a dot: ``resources_used.cput``.
Record = dict[str, str]


#: What a refusal is about, by qsub's words. The first group, if there is one, is a resource's name.
_BLAME: tuple[tuple[str, str], ...] = (
    (r"Resource_List\.(\w+)", ""),
    (r"select\.(\w+)", ""),
    (r"max (walltime|mem|ncpus|nodect)", ""),
    (r"illegal (-\w) value", ""),
    (r"[Uu]nknown queue|queue not found|Queue is not enabled|Unauthorized", "-q"),
    (r"[Aa]rray", "-J"),
    (r"queue and/or server resource limits", "-l"),
    (r"[Aa]ccount", "-A"),
)


def blamed(said: str, table: Sequence[tuple[str, str]]) -> str:
    """Return the directive that a refusal is about; empty if its words tell none.

    >>> blamed("qsub: Unknown resource Resource_List.foo", _BLAME), blamed("no", _BLAME)
    ('foo', '')
    """
    for words, directive in table:
        found = re.search(words, said, re.IGNORECASE)
        if found:
            return directive or found[1]
    return ""


def submit(
    request: SubmitRequest,
    busy: Collection[int],
    no_server: Collection[int],
    array: tuple[str, ...] = (),
    after: tuple[str, ...] = (),
) -> Talk[str]:
    """Submit a script with qsub; what varies from call to call is given here, not in the script.

    `busy` and `no_server` are the exit codes that mean "not now" and "I did not reach the server"; `array` and
    `after` are the request's, as the dialect spells them.
    """
    # Only plain tokens survive -v: quotes are refused, commas cut, backslashes doubled.
    task = () if request.index is None else ("-v", f"SWEEP_TASK={request.index}")
    call = Call(("qsub", "-N", request.job_name, *task, *array, *after, request.script))
    reply = yield call
    found = re.search(r"^\d+(\[\])?\.\S+$", reply.stdout, re.MULTILINE)
    if reply.exit_code == 0 and found:
        return found[0]
    if (
        reply.exit_code is None
        or reply.exit_code == 0
        or reply.exit_code in no_server
        or "qsub" not in reply.stderr
    ):
        raise SchedulerSilent(f"qsub: {reply.said or 'no job id in its answer'}")
    if reply.exit_code in busy:
        raise SchedulerBusy(f"qsub will not take more now: {reply.said}")
    raise SchedulerRefused(
        f"qsub refused: {reply.said}", "change the grid and plan again", blamed(reply.stderr, _BLAME)
    )


def cancel(jobs: Sequence[str], tasks: Sequence[TaskRef], harmless: Collection[int]) -> Talk[None]:
    """Delete single jobs, subjobs and arrays in calls of their own: mixed, OpenPBS's qdel aborts.

    `harmless` are the exit codes that mean "it has ended, or never was".
    """
    arrays = tuple(job for job in jobs if "[]" in job)
    singles = tuple(job for job in jobs if "[]" not in job)
    subjobs = tuple(task.job_id.replace("[]", f"[{task.index}]", 1) for task in tasks)
    for ids in (singles, subjobs, arrays):
        if ids:
            call = Call(("qdel", *ids), timeout_s=120)  # 8192 queued subjobs took it 20 s
            reply = yield call
            if reply.exit_code != 0 and reply.exit_code not in harmless:
                raise silent(call, reply)


def read_text(text: str) -> dict[str, Record]:
    """Read ``qstat -f``: full id → record. Long values are folded with a newline and a tab, anywhere."""
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


def read_answer(call: Call, reply: Reply) -> dict[str, Record]:
    """Read ``qstat -f`` about jobs of ours. That all is well and nobody is there is no answer to that."""
    records = read_text(reply.stdout)
    if reply.exit_code == 0 and not records:
        raise silent(call, replace(reply, stderr="", stdout=f"it makes no sense: {reply.stdout[:80]!r}"))
    return records


def read_json(text: str, what: str = "Jobs") -> dict[str, Record] | None:
    """Read ``qstat -f -F json``; None if it does not parse, which one odd job of anyone's may cause."""
    try:
        document = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    jobs = document.get(what, {}) if isinstance(document, dict) else None
    if not isinstance(jobs, dict):
        return None
    return {job: _flat(record) for job, record in jobs.items() if isinstance(record, dict)}


def cap(text: str | None, user: str) -> int | None:
    """Read a limit such as ``[u:PBS_GENERIC=5],[o:PBS_ALL=100]``: the one that holds for this person.

    >>> cap("[u:PBS_GENERIC=5],[u:eve=9],[o:PBS_ALL=100]", "eve"), cap("20", "eve"), cap(None, "eve")
    (9, 20, None)
    """
    if not text:
        return None
    if text.isdigit():
        return int(text)
    given = {who: int(most) for who, most in re.findall(r"([ugop]:[^=\]\s]+)=(\d+)", text)}
    return smallest(given.get(f"u:{user}", given.get("u:PBS_GENERIC")), given.get("o:PBS_ALL"))


def attributes(text: str) -> dict[str, Record]:
    """Read ``qstat -Q -f`` or ``qstat -B -f``: name → its attributes."""
    return read_text(re.sub(r"^(?:Queue|Server):", "Job Id:", text, flags=re.MULTILINE))


def tightest(records: Sequence[Mapping[str, str]], user: str) -> dict[str, int | None]:
    """Take the limits that both dialects spell alike from a server's and a queue's attributes."""

    def least(name: str, read: Callable[[str | None], float | None]) -> int | None:
        found = [read(record.get(name)) for record in records]
        return smallest(*(None if one is None else int(one) for one in found))

    return {
        "max_running": least("max_run", lambda text: cap(text, user)),
        "walltime_s": least("resources_max.walltime", seconds),
        "memory_mib": least("resources_max.mem", mib),
        "cpus": least("resources_max.ncpus", whole),
    }


def _flat(record: Mapping[str, Any]) -> Record:
    """Spell nested attributes as the text form does. The JSON writer guesses types, so all is text again."""
    out: Record = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            out.update({f"{name}.{inner}": str(one) for inner, one in value.items()})
        else:
            out[name] = str(value)
    return out


def whole_job(full_id: str) -> str:
    """Name the array that a subjob belongs to.

    >>> whole_job("2[0].vm"), whole_job("11.vm")
    ('2[].vm', '11.vm')
    """
    return re.sub(r"\[\d+\]", "[]", full_id, count=1)


def ref(full_id: str) -> tuple[str, int | None]:
    """Split ``19[3].vm`` into its number and index.

    >>> ref("19[3].vm"), ref("11.vm"), ref("19[].vm:16001")
    (('19', 3), ('11', None), ('19', None))
    """
    found = re.match(r"(\d+)(?:\[(\d*)\])?", full_id)
    if not found:
        return full_id, None
    return found[1], int(found[2]) if found[2] else None


def by_task(records: Mapping[str, Record], tasks: Sequence[TaskRef]) -> dict[TaskRef, Record]:
    """Match records to the tasks asked about, whatever server name the ids carry."""
    known = {ref(full_id): record for full_id, record in records.items()}
    pairs = ((task, known.get((ref(task.job_id)[0], task.index))) for task in tasks)
    return {task: record for task, record in pairs if record is not None}


def seconds(text: str | None) -> float | None:
    """Seconds of ``HH:MM:SS``, or of plain seconds.

    >>> seconds("00:10:05"), seconds("43"), seconds(None)
    (605.0, 43.0, None)
    """
    if not text or not re.fullmatch(r"\d+(:\d+)*", text):
        return None
    total = 0.0
    for part in text.split(":"):
        total = total * 60 + int(part)
    return total


def mib(text: str | None) -> float | None:
    """MiB of ``167588kb``.

    >>> mib("2048kb"), mib("1gb"), mib(None)
    (2.0, 1024.0, None)
    """
    found = re.fullmatch(r"(\d+)(b|kb|mb|gb|tb)", text or "")
    if not found:
        return None
    return int(found[1]) * {"b": 2**-20, "kb": 2**-10, "mb": 1.0, "gb": 2.0**10, "tb": 2.0**20}[found[2]]


def whole(text: str | None) -> int | None:
    """Read a whole number, or None."""
    return int(text) if text and re.fullmatch(r"-?\d+", text) else None
