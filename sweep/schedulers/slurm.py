"""Slurm: sbatch, squeue, sacct, scancel."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from sweep.errors import SchedulerBusy, SchedulerError, SchedulerRefused, SchedulerSilent
from sweep.model import Limits, Outcome, SchedulerStatus, TaskRef, TaskState
from sweep.schedulers import pbslike, slurmlimits
from sweep.schedulers.base import (
    SHARED_GRACE_S,
    Call,
    CallFailure,
    Place,
    PollAnswer,
    Reply,
    SoughtJob,
    SubmitRequest,
    Talk,
    absent,
    no_answer,
)

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
    "STOPPED": (TaskState.RUNNING, None),
    "SUSPENDED": (TaskState.RUNNING, None),
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

#: sbatch's messages that mean "not now", and those that leave open whether the job was submitted. Any other
#: message is a refusal.
_BUSY = re.compile(r"temporarily|MaxSubmit|Maximum number of jobs|too many|rate limit", re.IGNORECASE)
_NO_ANSWER = re.compile(
    r"Unable to contact|Socket timed out|Connection refused|Zero Bytes|cannot stat file|controller|fetch_config",
    re.IGNORECASE,
)

#: A pattern in sbatch's message (slurm_errno.c, and its own) → the option it is about. Empty: the pattern's first
#: group names it.
_DIRECTIVES: tuple[tuple[str, str], ...] = (
    (r"unrecognized option '(--[\w-]+)", ""),
    (r"account", "--account"),
    (r"partition", "--partition"),
    (r"qos", "--qos"),
    (r"time limit|--time|WallDuration", "--time"),
    (r"memory", "--mem"),
    (r"gres|generic resource", "--gres"),
    (r"feature", "--constraint"),
    (r"array", "--array"),
    (r"node name", "--exclude"),
    (r"processors|CPU count|node configuration", "--cpus-per-task"),
    (r"reservation", "--reservation"),
)

_SQUEUE_FORMAT = "%i|%T|%r|%M|%j"
_SACCT_FORMAT = "JobID,State,ExitCode,ElapsedRaw,TotalCPU,MaxRSS,JobName"

#: One argument of a command line holds 128 KiB, which is about 16,000 ids.
_MAX_IDS = 10_000


class Slurm:
    """Runs and reads the commands of Slurm."""

    kind = "slurm"
    clients: tuple[str, ...] = ("sbatch", "squeue", "scancel", "scontrol")
    grace_s = SHARED_GRACE_S
    can_exclude_nodes = True

    def version(self) -> Talk[str]:
        """Ask for the version, and whether the controller is up."""
        yield from _ping()
        call = Call(("sbatch", "--version"))
        reply = yield call
        if reply.exit_code != 0:
            raise no_answer(call, reply)
        return reply.stdout.strip()

    def limits(self, place: Place) -> Talk[Limits]:
        """Ask scontrol and sinfo for the limits of cluster, partitions and nodes, and sacctmgr for the user's."""
        yield from _ping()
        config = yield Call(("scontrol", "show", "config"))
        partitions = yield Call(("scontrol", "show", "partition"))
        nodes = yield Call(("sinfo", "-h", "-N", "-o", "%P|%c|%m|%G"))
        columns = "format=Account,Partition,MaxJobs,MaxSubmit,MaxWall,QOS,DefaultQOS"
        associations = yield Call(("sacctmgr", "-n", "-P", "show", "assoc", f"user={place.user}", columns))
        columns = "format=Name,MaxJobsPU,MaxSubmitPU,MaxWall"
        qos = yield Call(("sacctmgr", "-n", "-P", "show", "qos", columns))
        return slurmlimits.read(
            place, config.stdout, partitions.stdout, nodes.stdout, associations.stdout, qos.stdout
        )

    def submit(self, request: SubmitRequest) -> Talk[str]:
        """Submit with sbatch. What differs from call to call is an option here, not a line of the script."""
        # Without ALL, Slurm runs the job in a new login environment.
        task = () if request.index is None else (f"--export=ALL,SWEEP_TASK={request.index}",)
        array = (f"--array={request.array}",) if request.array else ()
        after = (f"--dependency=afterany:{request.after}",) if request.after else ()
        # In the name of an output file, % begins a pattern such as %A.
        output = request.output.replace("%", "%%")
        call = Call(
            ("sbatch", "--parsable", f"--job-name={request.job_name}", f"--output={output}", "--open-mode=append",
             *task, *array, *after, request.script)
        )  # fmt: skip
        reply = yield call
        # "36", or "36;cluster" in a federation.
        job_id = re.search(r"^(\d+)(?:;\S+)?$", reply.stdout, re.MULTILINE)
        if reply.exit_code == 0 and job_id:
            return job_id[1]
        raise _submit_error(reply)

    def find(self, jobs: Sequence[SoughtJob]) -> Talk[dict[str, str]]:
        """Ask squeue for the names, and sacct where the cluster keeps accounting."""
        job_names = {job.job_name for job in jobs}
        names = ",".join(sorted(job_names))
        yield from _ping()
        squeue_call = Call(("squeue", "-h", "-a", "-t", "all", f"--name={names}", "-o", "%F|%j"))
        squeue = yield squeue_call
        if squeue.exit_code != 0:
            raise no_answer(squeue_call, squeue)
        sacct_call = Call(
            ("sacct", "-n", "-P", "-X", "-S", "now-30days", f"--name={names}", "--format=JobID,JobName")
        )
        sacct = yield sacct_call
        if sacct.exit_code != 0 and not _no_accounting(sacct):
            raise no_answer(sacct_call, sacct)
        ids = {}
        for line in [*_lines(sacct_call, sacct, 2), *_lines(squeue_call, squeue, 2)]:
            job_id, _, name = line.partition("|")
            if name in job_names:
                ids[name] = re.split(r"[_+.]", job_id)[0]
        return ids

    def poll(self, tasks: Sequence[TaskRef]) -> Talk[PollAnswer]:
        """Ask with at most three calls: scontrol ping, squeue, sacct.

        The ping comes first because every other command waits 9 s for a controller that is down. sacct is asked
        only where a task is not in the queue: squeue knows best about those that are.
        """
        yield from _ping()
        ids = sorted({task.job_id for task in tasks}, key=int)
        statuses: dict[TaskRef, SchedulerStatus] = {}
        notes: tuple[str, ...] = ()
        for start in range(0, len(ids), _MAX_IDS):
            jobs = f"--jobs={','.join(ids[start : start + _MAX_IDS])}"
            squeue_call = Call(("squeue", "-h", "-a", "-r", "-t", "all", jobs, "-o", _SQUEUE_FORMAT))
            squeue = yield squeue_call
            # squeue fails where it knows none of the ids. That is an answer: all these jobs have left the queue.
            if squeue.exit_code != 0 and "Invalid job id" not in squeue.stderr:
                raise no_answer(squeue_call, squeue)
            statuses |= read_squeue("\n".join(_lines(squeue_call, squeue, 5)))
            if all(task in statuses and statuses[task].state is not TaskState.ENDED for task in tasks):
                continue
            sacct_call = Call(("sacct", "-n", "-P", "--noconvert", jobs, f"--format={_SACCT_FORMAT}"), 120.0)
            sacct = yield sacct_call
            if sacct.exit_code != 0 and not _no_accounting(sacct):
                # The accounting exists and is down. Only it can say whether a job that left the queue has ended.
                notes = (f"sacct did not answer ({sacct.summary}); jobs that left the queue are not judged",)
            lines = _lines(sacct_call, sacct, 7) if sacct.exit_code == 0 else []
            statuses = merge_statuses(statuses, read_sacct("\n".join(lines)))
        if notes:
            return PollAnswer({task: statuses[task] for task in tasks if task in statuses}, notes)
        not_named = absent()
        return PollAnswer({task: statuses.get(task, not_named) for task in tasks})

    def usage(self, tasks: Sequence[TaskRef]) -> Talk[dict[TaskRef, SchedulerStatus]]:
        """Ask squeue for the raw ids, then sstat. sstat knows the tasks of an array only by their raw ids."""
        if not tasks:
            return {}
        ids = ",".join(sorted({task.job_id for task in tasks}, key=int))
        call = Call(("squeue", "-h", "-a", "-r", "-t", "running", f"--jobs={ids}", "-o", "%i|%A"))
        reply = yield call
        if reply.exit_code != 0 and "Invalid job id" not in reply.stderr:
            raise no_answer(call, reply)
        rows = (line.partition("|") for line in reply.stdout.splitlines())
        task_of = {raw_id: _task_ref(name) for name, _, raw_id in rows}
        steps = [f"{raw_id}.batch" for raw_id, task in task_of.items() if task in set(tasks)]
        if not steps:
            return {}
        columns = "--format=JobID,AveCPU,MaxRSS"
        sstat = yield Call(("sstat", "-n", "-P", "--noconvert", "-j", ",".join(steps), columns), 120.0)
        return read_sstat(sstat.stdout, task_of)

    def cancel(self, jobs: Sequence[str], tasks: Sequence[TaskRef]) -> Talk[None]:
        """Cancel with at most two calls: first the pending tasks of `jobs`, then the rest.

        Pending tasks go first: else one of them starts on the resources that a cancelled task frees. Only whole
        jobs are named with ``--state``: with it, one task of a pending array takes the whole array along (22.05).
        scancel says nothing about ended and unknown jobs.
        """
        calls = [("scancel", "--state=PENDING", *jobs)] if jobs else []
        calls.append(("scancel", *(f"{task.job_id}_{task.index}" for task in tasks), *jobs))
        for argv in calls:
            call = Call(argv)
            reply = yield call
            if reply.exit_code != 0 and "Invalid job id" not in reply.stderr:
                raise no_answer(call, reply)


def _ping() -> Talk[None]:
    call = Call(("scontrol", "ping"), timeout_s=20)
    reply = yield call
    if " is UP" not in reply.stdout:
        raise no_answer(call, reply)


def _lines(call: Call, reply: Reply, fields: int) -> list[str]:
    """Return the lines of a reply. SchedulerSilent if one has too few fields: no task is ABSENT because of it."""
    lines = [line for line in reply.stdout.splitlines() if line.strip()] if reply.exit_code == 0 else []
    if any(line.count("|") < fields - 1 for line in lines):
        raise no_answer(
            call,
            replace(reply, stderr="", failure=CallFailure.NONE, stdout=f"it makes no sense: {lines[0][:80]!r}"),
        )
    return lines


def _no_accounting(reply: Reply) -> bool:
    """Whether this cluster keeps no accounting. Accounting that is down is another case."""
    return (
        "accounting storage is disabled" in reply.stderr + reply.stdout or reply.failure is CallFailure.NOT_FOUND
    )


def _submit_error(reply: Reply) -> SchedulerError:
    no_message = reply.exit_code is None or reply.exit_code == 0 or "sbatch" not in reply.stderr
    if no_message or _NO_ANSWER.search(reply.stderr):
        return SchedulerSilent(f"sbatch: {reply.summary or 'no job id in its answer'}")
    if _BUSY.search(reply.stderr):
        return SchedulerBusy(f"sbatch will not take more now: {reply.summary}")
    return SchedulerRefused(
        f"sbatch refused: {reply.summary}",
        "change the grid and plan again",
        pbslike.blamed_directive(reply.stderr, _DIRECTIVES),
    )


# --- reading the output -----------------------------------------------------------------------------------


def read_squeue(text: str) -> dict[TaskRef, SchedulerStatus]:
    """Read ``squeue -h -r -o '%i|%T|%r|%M|%j'``."""
    rows = (line.partition("|") for line in text.splitlines())
    return {_task_ref(job): status for job, _, rest in rows if (status := _squeue_status(rest))}


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
            ref = _task_ref(task)
            peaks[ref] = max(peaks.get(ref, 0.0), _mib(rest.split("|", 5)[4]) or 0.0)
        elif task.endswith("]"):
            statuses |= dict.fromkeys(_task_refs(task), _sacct_status(rest))
        else:
            statuses[_task_ref(task)] = _sacct_status(rest)
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
        raise SchedulerError(f"unknown Slurm state {state!r}", "add it to STATES in sweep/schedulers/slurm.py")
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

    >>> [str(ref) for ref in _task_refs("9_[6-7,9%3]")]
    ['9[6]', '9[7]', '9[9]']
    """
    match = re.fullmatch(r"(\d+)_\[([\d,-]+)(?:%\d+)?\]", text)
    if not match:
        return [_task_ref(text)]
    spans = (part.partition("-") for part in match[2].split(","))
    return [TaskRef(match[1], i) for first, _, last in spans for i in range(int(first), int(last or first) + 1)]


def _task_ref(text: str) -> TaskRef:
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
