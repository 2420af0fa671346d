"""What Slurm's squeue, sacct and sstat print → rows and statuses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from sweep.errors import SchedulerError
from sweep.model import Outcome, SchedulerStatus, TaskRef, TaskState
from sweep.schedulers.base import Call, CallFailure, Reply, no_answer

#: squeue(1), "JOB STATE CODES" (22.05 to 24.11). COMPLETING counts as running, because the record
#: may not be there yet. A state of a newer Slurm is an error that names this file.
STATES: dict[str, tuple[TaskState, Outcome | None]] = {
    "PENDING": (TaskState.PENDING, None),
    "CONFIGURING": (TaskState.PENDING, None),  # has its nodes, which are booting
    "REQUEUED": (TaskState.PENDING, None),
    "REQUEUE_HOLD": (TaskState.PENDING, None),
    "REQUEUE_FED": (TaskState.PENDING, None),
    "SPECIAL_EXIT": (TaskState.PENDING, None),  # requeued and held, with a mark
    "RESV_DEL_HOLD": (TaskState.PENDING, None),
    "RUNNING": (TaskState.RUNNING, None),
    "COMPLETING": (TaskState.RUNNING, None),
    "STAGE_OUT": (TaskState.RUNNING, None),
    "SIGNALING": (TaskState.RUNNING, None),
    "STOPPED": (TaskState.SUSPENDED, None),
    "SUSPENDED": (TaskState.SUSPENDED, None),
    "RESIZING": (TaskState.RUNNING, None),
    "COMPLETED": (TaskState.ENDED, Outcome.COMPLETED),
    "FAILED": (TaskState.ENDED, Outcome.FAILED),
    "CANCELLED": (TaskState.ENDED, Outcome.CANCELLED),
    "REVOKED": (TaskState.ENDED, Outcome.CANCELLED),  # runs on another cluster of the federation
    "DEADLINE": (TaskState.ENDED, Outcome.TIMEOUT),
    "TIMEOUT": (TaskState.ENDED, Outcome.TIMEOUT),
    "OUT_OF_MEMORY": (TaskState.ENDED, Outcome.OUT_OF_MEMORY),
    "NODE_FAIL": (TaskState.ENDED, Outcome.NODE_FAIL),
    "BOOT_FAIL": (TaskState.ENDED, Outcome.NODE_FAIL),
    "LAUNCH_FAILED": (TaskState.ENDED, Outcome.LAUNCH),
    "PREEMPTED": (TaskState.ENDED, Outcome.PREEMPTED),
}


def lines_of(call: Call, reply: Reply, fields: int) -> list[str]:
    """Return the lines of a reply. SchedulerSilent if one has too few fields: no task is ABSENT because of it."""
    lines = reply.stdout.splitlines() if reply.exit_code == 0 else []
    # With --clusters, a line says which cluster comes next. -h takes it away, though not in every version.
    lines = [line for line in lines if line.strip() and not line.startswith("CLUSTER: ")]
    if any(line.count("|") < fields - 1 for line in lines):
        raise no_answer(
            call,
            replace(reply, stderr="", failure=CallFailure.NONE, stdout=f"it makes no sense: {lines[0][:80]!r}"),
        )
    return lines


def keeps_no_accounting(reply: Reply) -> bool:
    """Whether this cluster keeps no accounting. Accounting that is down is another case."""
    return (
        "accounting storage is disabled" in reply.stderr + reply.stdout or reply.failure is CallFailure.NOT_FOUND
    )


def read_squeue(text: str) -> dict[TaskRef, SchedulerStatus]:
    """Read ``squeue -h -r -o '%i|%T|%r|%M|%j'``."""
    rows = (line.partition("|") for line in text.splitlines())
    return {task_ref(job): status for job, _, rest in rows if (status := _squeue_status(rest))}


@lru_cache(maxsize=1024)  # thousands of pending tasks have the same row
def _squeue_status(row: str) -> SchedulerStatus | None:
    fields = row.split("|", 3)
    if len(fields) < 4:
        return None
    state, reason, elapsed, name = fields
    return _status(state, reason="" if reason == "None" else reason, elapsed_s=_seconds(elapsed), name=name)


def read_sacct(text: str) -> dict[TaskRef, SchedulerStatus]:
    """Read ``sacct -n -P --format=JobID,State,ExitCode,ElapsedRaw,TotalCPU,MaxRSS,JobName``, jobs and steps.

    CPU time and exit code are in the job's own row. Peak memory is in the rows of its steps (``12_3.batch``).
    """
    statuses: dict[TaskRef, SchedulerStatus] = {}
    peaks: dict[TaskRef, float] = {}
    for line in text.splitlines():
        job, _, rest = line.partition("|")
        if rest.count("|") < 5:
            continue
        task, step, _ = job.partition(".")
        if step:
            ref = task_ref(task)
            peaks[ref] = max(peaks.get(ref, 0.0), _mib(rest.split("|", 5)[4]) or 0.0)
        elif task.endswith("]"):
            statuses |= dict.fromkeys(_task_refs(task), _sacct_status(rest))
        else:
            statuses[task_ref(task)] = _sacct_status(rest)
    return statuses | {ref: _with_peak(statuses[ref], peak) for ref, peak in peaks.items() if ref in statuses}


@lru_cache(maxsize=1024)
def _sacct_status(row: str) -> SchedulerStatus:
    state, exit_code, elapsed, cpu, _, name = row.split("|", 5)
    code, _, number = exit_code.partition(":")
    return _status(
        state,
        exit_code=int(code) if code.isdigit() else None,
        signal=int(number) if number.isdigit() and number != "0" else None,
        elapsed_s=float(elapsed) if elapsed.isdigit() else None,
        cpu_s=_seconds(cpu),
        # The database has half of the row, and does not know the name yet.
        name="" if name == "allocation" else name,
    )


def read_sstat(text: str, task_of: Mapping[str, TaskRef]) -> dict[TaskRef, SchedulerStatus]:
    """Read ``sstat -n -P --noconvert --format=JobID,AveCPU,MaxRSS``. `task_of` maps raw ids to tasks."""
    statuses = {}
    for line in text.splitlines():
        step, _, rest = line.partition("|")
        cpu, _, peak = rest.partition("|")
        ref = task_of.get(step.partition(".")[0])
        if ref:
            statuses[ref] = SchedulerStatus(TaskState.RUNNING, cpu_s=_seconds(cpu), peak_memory_mib=_mib(peak))
    return statuses


def merge_statuses(
    squeue: dict[TaskRef, SchedulerStatus], sacct: dict[TaskRef, SchedulerStatus]
) -> dict[TaskRef, SchedulerStatus]:
    """Take each task's status from the command that knows best.

    sacct knows best about a task that has left the queue. It never overrules squeue about a task that is still in
    the queue: the accounting may lag behind, and may show an older job of the same id after the controller's id
    counter has restarted.
    """
    merged = dict(sacct)
    for ref, in_squeue in squeue.items():
        in_sacct = sacct.get(ref)
        if in_sacct and in_sacct.state is in_squeue.state is TaskState.ENDED:
            # The database may not have the name of a job that has just ended.
            merged[ref] = replace(
                in_sacct,
                job_name=in_sacct.job_name or in_squeue.job_name,
                reason=in_sacct.reason or in_squeue.reason,
            )
        else:
            merged[ref] = in_squeue
    return merged


def _status(
    state: str,
    *,
    name: str,
    reason: str = "",
    exit_code: int | None = None,
    signal: int | None = None,
    elapsed_s: float | None = None,
    cpu_s: float | None = None,
) -> SchedulerStatus:
    base = state.split()[0] if state else ""  # "CANCELLED by 1000"
    if base not in STATES:
        raise SchedulerError(
            f"unknown Slurm state {state!r}", "add it to STATES in sweep/schedulers/slurmoutput.py"
        )
    task_state, outcome = STATES[base]
    if outcome is Outcome.FAILED and (reason == "JobLaunchFailure" or (exit_code, signal) == (0, 53)):
        outcome = Outcome.LAUNCH  # 0:53: the folder or the output path is bad, and there is no output
    cancelled_by = ""
    if base == "CANCELLED" and " by " in state:
        cancelled_by = f"user {state.rpartition(' ')[2]}"
        reason = f"cancelled by {cancelled_by}"
    # The accounting says 0 s of CPU for a job that has not ended.
    if task_state is not TaskState.ENDED:
        exit_code = signal = cpu_s = None
    return SchedulerStatus(
        task_state,
        outcome,
        reason,
        exit_code,
        signal,
        elapsed_s,
        cpu_s,
        job_name=name,
        cancelled_by=cancelled_by,
    )


def _with_peak(status: SchedulerStatus, peak_mib: float | None) -> SchedulerStatus:
    if not peak_mib:
        return status
    return replace(status, peak_memory_mib=peak_mib)


def _task_refs(text: str) -> list[TaskRef]:
    """Return the tasks that one row stands for. Tasks that never began share a row.

    >>> [ref.index for ref in _task_refs("9_[6-7,9%3]")]
    [6, 7, 9]
    """
    match = re.fullmatch(r"(\d+)_\[([\d,-]+)(?:%\d+)?\]", text)
    if not match:
        return [task_ref(text)]
    spans = (part.partition("-") for part in match[2].split(","))
    return [TaskRef(match[1], i) for first, _, last in spans for i in range(int(first), int(last or first) + 1)]


def task_ref(text: str) -> TaskRef:
    """Read a task as squeue and sacct name it: ``12_3``, ``12``."""
    job, _, index = text.partition("_")
    return TaskRef(job, int(index) if index.isdigit() else None)


def _seconds(text: str) -> float | None:
    """Read ``[D-]HH:MM:SS`` or ``MM:SS[.mmm]``, in seconds.

    >>> _seconds("1-02:00:03"), _seconds("00:01.678"), _seconds("INVALID")
    (93603.0, 1.678, None)
    """
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)", text)
    if not match:
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + seconds


def _mib(text: str) -> float | None:
    """Read ``94716K``, ``1.5G`` or plain bytes, in MiB.

    >>> _mib("94720K"), _mib(""), _mib("1048576")
    (92.5, None, 1.0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text)
    return (
        float(match[1]) * {"": 1 / 2**20, "K": 1 / 1024, "M": 1, "G": 1024, "T": 2**20}[match[2]]
        if match
        else None
    )
