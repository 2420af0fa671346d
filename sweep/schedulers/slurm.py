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
    Place,
    PollAnswer,
    Reply,
    SubmitRequest,
    Talk,
    absent,
    silent,
)

#: squeue(1), "JOB STATE CODES" (22.05 to 24.11). COMPLETING is still running to us: its record may not be
#: there yet. What a newer Slurm adds is an error that names this file.
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

#: sbatch's words for "not now" and for "I don't know"; all else is "no".
_BUSY = re.compile(r"temporarily|MaxSubmit|Maximum number of jobs|too many|rate limit", re.IGNORECASE)
_SILENT = re.compile(
    r"Unable to contact|Socket timed out|Connection refused|Zero Bytes|cannot stat file|controller|fetch_config",
    re.IGNORECASE,
)

#: What a refusal is about, by sbatch's words (slurm_errno.c, and those it prints itself).
_BLAME: tuple[tuple[str, str], ...] = (
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

#: One argument of a command line holds 128 KiB, which is some 16,000 ids.
_MOST_IDS = 10_000


class Slurm:
    """Talks to Slurm's commands."""

    kind = "slurm"
    clients: tuple[str, ...] = ("sbatch", "squeue", "scancel", "scontrol")
    grace_s = SHARED_GRACE_S
    avoids = True

    def version(self) -> Talk[str]:
        """Ask for the version, and whether the controller is up."""
        yield from _ping()
        call = Call(("sbatch", "--version"))
        reply = yield call
        if reply.exit_code != 0:
            raise silent(call, reply)
        return reply.stdout.strip()

    def limits(self, place: Place) -> Talk[Limits]:
        """Ask the controller for its own, the partition's and the nodes', the accounting for the person's."""
        yield from _ping()
        config = yield Call(("scontrol", "show", "config"))
        partitions = yield Call(("scontrol", "show", "partition"))
        nodes = yield Call(("sinfo", "-h", "-N", "-o", "%P|%c|%m|%G"))
        form = "format=Account,Partition,MaxJobs,MaxSubmit,MaxWall,QOS,DefaultQOS"
        whose = yield Call(("sacctmgr", "-n", "-P", "show", "assoc", f"user={place.user}", form))
        form = "format=Name,MaxJobsPU,MaxSubmitPU,MaxWall"
        grades = yield Call(("sacctmgr", "-n", "-P", "show", "qos", form))
        return slurmlimits.read(place, config.stdout, partitions.stdout, nodes.stdout, whose.stdout, grades.stdout)

    def submit(self, request: SubmitRequest) -> Talk[str]:
        """Submit with ``--parsable``; what varies from call to call is given here, not in the script."""
        # ALL, or Slurm runs the job through a fresh login environment.
        task = () if request.index is None else (f"--export=ALL,SWEEP_TASK={request.index}",)
        array = (f"--array={request.array}",) if request.array else ()
        after = (f"--dependency=afterany:{request.after}",) if request.after else ()
        # A % begins a pattern such as %A in the name of an output file.
        output = request.output.replace("%", "%%")
        call = Call(
            ("sbatch", "--parsable", f"--job-name={request.job_name}", f"--output={output}", "--open-mode=append",
             *task, *array, *after, request.script)
        )  # fmt: skip
        reply = yield call
        # "36", or "36;cluster" in a federation.
        found = re.search(r"^(\d+)(?:;\S+)?$", reply.stdout, re.MULTILINE)
        if reply.exit_code == 0 and found:
            return found[1]
        raise _refusal(reply)

    def find(self, job_names: Sequence[str]) -> Talk[dict[str, str]]:
        """Ask squeue for the names and, where there is one, the accounting."""
        names = ",".join(job_names)
        yield from _ping()
        call = Call(("squeue", "-h", "-a", "-t", "all", f"--name={names}", "-o", "%F|%j"))
        reply = yield call
        if reply.exit_code != 0:
            raise silent(call, reply)
        accounting = Call(
            ("sacct", "-n", "-P", "-X", "-S", "now-30days", f"--name={names}", "--format=JobID,JobName")
        )
        ended = yield accounting
        if ended.exit_code != 0 and not _no_accounting(ended):
            raise silent(accounting, ended)
        found = {}
        for line in [*_rows(accounting, ended, 2), *_rows(call, reply, 2)]:
            job_id, _, name = line.partition("|")
            if name in job_names:
                found[name] = re.split(r"[_+.]", job_id)[0]
        return found

    def poll(self, tasks: Sequence[TaskRef]) -> Talk[PollAnswer]:
        """Three calls: is the controller up (a dead one costs 9 s a question), the living, the ended.

        While all of them live, the third is saved: of the living, squeue knows best.
        """
        yield from _ping()
        ids = sorted({task.job_id for task in tasks}, key=int)
        told: dict[TaskRef, SchedulerStatus] = {}
        notes: tuple[str, ...] = ()
        for start in range(0, len(ids), _MOST_IDS):
            which = f"--jobs={','.join(ids[start : start + _MOST_IDS])}"
            call = Call(("squeue", "-h", "-a", "-r", "-t", "all", which, "-o", _SQUEUE_FORMAT))
            living = yield call
            # All ids unknown is an error to squeue, and an answer to us.
            if living.exit_code != 0 and "Invalid job id" not in living.stderr:
                raise silent(call, living)
            told |= read_squeue("\n".join(_rows(call, living, 5)))
            if all(task in told and told[task].state is not TaskState.ENDED for task in tasks):
                continue
            accounting = Call(("sacct", "-n", "-P", "--noconvert", which, f"--format={_SACCT_FORMAT}"), 120.0)
            ended = yield accounting
            if ended.exit_code != 0 and not _no_accounting(ended):
                # It exists and is down: who is not in the queue may have ended, which only it could say.
                notes = (f"sacct did not answer ({ended.said}); jobs that left the queue are not judged",)
            rows = _rows(accounting, ended, 7) if ended.exit_code == 0 else []
            told = merged(told, read_sacct("\n".join(rows)))
        if notes:
            return PollAnswer({task: told[task] for task in tasks if task in told}, notes)
        nowhere = absent()
        return PollAnswer({task: told.get(task, nowhere) for task in tasks})

    def usage(self, tasks: Sequence[TaskRef]) -> Talk[dict[TaskRef, SchedulerStatus]]:
        """Ask squeue for the raw ids, then sstat, which knows an array's tasks by these alone."""
        if not tasks:
            return {}
        ids = ",".join(sorted({task.job_id for task in tasks}, key=int))
        call = Call(("squeue", "-h", "-a", "-r", "-t", "running", f"--jobs={ids}", "-o", "%i|%A"))
        reply = yield call
        if reply.exit_code != 0 and "Invalid job id" not in reply.stderr:
            raise silent(call, reply)
        raw = {key: _ref(name) for name, _, key in (line.partition("|") for line in reply.stdout.splitlines())}
        steps = [f"{key}.batch" for key, ref in raw.items() if ref in set(tasks)]
        if not steps:
            return {}
        form = "--format=JobID,AveCPU,MaxRSS"
        told = yield Call(("sstat", "-n", "-P", "--noconvert", "-j", ",".join(steps), form), 120.0)
        return read_sstat(told.stdout, raw)

    def cancel(self, jobs: Sequence[str], tasks: Sequence[TaskRef]) -> Talk[None]:
        """Two calls at most, first what waits: a place that becomes free is not taken by what is to go as well.

        scancel is silent about ended and unknown jobs. With ``--state``, one task of a waiting array takes all of
        the array with it (22.05): that is for whole jobs alone.
        """
        calls = [("scancel", "--state=PENDING", *jobs)] if jobs else []
        calls.append(("scancel", *(f"{task.job_id}_{task.index}" for task in tasks), *jobs))
        for argv in calls:
            call = Call(argv)
            reply = yield call
            if reply.exit_code != 0 and "Invalid job id" not in reply.stderr:
                raise silent(call, reply)


def _ping() -> Talk[None]:
    call = Call(("scontrol", "ping"), timeout_s=20)
    reply = yield call
    if " is UP" not in reply.stdout:
        raise silent(call, reply)


def _rows(call: Call, reply: Reply, fields: int) -> list[str]:
    """Return the lines of an answer. One that is no row at all is no answer: nobody is absent by it."""
    lines = [line for line in reply.stdout.splitlines() if line.strip()] if reply.exit_code == 0 else []
    if any(line.count("|") < fields - 1 for line in lines):
        raise silent(call, replace(reply, stderr="", failure="", stdout=f"it makes no sense: {lines[0][:80]!r}"))
    return lines


def _no_accounting(reply: Reply) -> bool:
    """Whether this cluster keeps no accounting, as opposed to keeping one that is down."""
    return "accounting storage is disabled" in reply.stderr + reply.stdout or reply.failure == "not found"


def _refusal(reply: Reply) -> SchedulerError:
    mute = reply.exit_code is None or reply.exit_code == 0 or "sbatch" not in reply.stderr
    if mute or _SILENT.search(reply.stderr):
        return SchedulerSilent(f"sbatch: {reply.said or 'no job id in its answer'}")
    if _BUSY.search(reply.stderr):
        return SchedulerBusy(f"sbatch will not take more now: {reply.said}")
    return SchedulerRefused(
        f"sbatch refused: {reply.said}", "change the grid and plan again", pbslike.blamed(reply.stderr, _BLAME)
    )


# --- reading ----------------------------------------------------------------------------------------------


def read_squeue(text: str) -> dict[TaskRef, SchedulerStatus]:
    """Read ``squeue -h -r -o '%i|%T|%r|%M|%j'``."""
    rows = (line.partition("|") for line in text.splitlines())
    return {_ref(job): status for job, _, rest in rows if (status := _living(rest))}


@lru_cache(maxsize=1024)  # of thousands that wait, each row says the same
def _living(rest: str) -> SchedulerStatus | None:
    fields = rest.split("|", 3)
    if len(fields) < 4:
        return None
    state, reason, elapsed, name = fields
    return _status(state, reason="" if reason == "None" else reason, elapsed_s=_seconds(elapsed), name=name)


def read_sacct(text: str) -> dict[TaskRef, SchedulerStatus]:
    """Read ``sacct -n -P --format=JobID,State,ExitCode,ElapsedRaw,TotalCPU,MaxRSS,JobName`` with its steps.

    CPU time and exit code stand on the job's own row, peak memory on those of its steps (``12_3.batch``).
    """
    statuses: dict[TaskRef, SchedulerStatus] = {}
    peaks: dict[TaskRef, float] = {}
    for line in text.splitlines():
        job, _, rest = line.partition("|")
        if rest.count("|") < 5:
            continue
        task, step, _ = job.partition(".")
        if step:
            ref = _ref(task)
            peaks[ref] = max(peaks.get(ref, 0.0), _mib(rest.split("|", 5)[4]) or 0.0)
        elif task.endswith("]"):
            statuses |= dict.fromkeys(_refs(task), _accounted(rest))
        else:
            statuses[_ref(task)] = _accounted(rest)
    return statuses | {ref: _with_peak(statuses[ref], peak) for ref, peak in peaks.items() if ref in statuses}


@lru_cache(maxsize=1024)
def _accounted(rest: str) -> SchedulerStatus:
    state, exit_code, elapsed, cpu, _, name = rest.split("|", 5)
    code, _, number = exit_code.partition(":")
    return _status(
        state,
        exit_code=int(code) if code.isdigit() else None,
        signal=int(number) if number.isdigit() and number != "0" else None,
        elapsed_s=float(elapsed) if elapsed.isdigit() else None,
        cpu_s=_seconds(cpu),
        # A row that the database has half of: its name is not known yet.
        name="" if name == "allocation" else name,
    )


def read_sstat(text: str, raw: Mapping[str, TaskRef]) -> dict[TaskRef, SchedulerStatus]:
    """Read ``sstat -n -P --noconvert --format=JobID,AveCPU,MaxRSS``, by the tasks' raw ids."""
    statuses = {}
    for line in text.splitlines():
        step, _, rest = line.partition("|")
        cpu, _, peak = rest.partition("|")
        ref = raw.get(step.partition(".")[0])
        if ref:
            statuses[ref] = SchedulerStatus(TaskState.RUNNING, cpu_s=_seconds(cpu), peak_memory_mib=_mib(peak))
    return statuses


def merged(
    living: dict[TaskRef, SchedulerStatus], ended: dict[TaskRef, SchedulerStatus]
) -> dict[TaskRef, SchedulerStatus]:
    """Take each task's word from the one who knows best: squeue for the living, sacct for the ended.

    The accounting may lag behind, and after an id counter's restart tells of an older job of the same id,
    so it never overrules what squeue says of a job that is still in the queue.
    """
    out = dict(ended)
    for ref, status in living.items():
        known = ended.get(ref)
        if known and known.state is status.state is TaskState.ENDED:
            # Of a job that has just ended, the database may not have the name yet.
            out[ref] = replace(
                known, job_name=known.job_name or status.job_name, reason=known.reason or status.reason
            )
        else:
            out[ref] = status
    return out


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
    job_state, outcome = STATES[base]
    if outcome is Outcome.FAILED and (reason == "JobLaunchFailure" or (exit_code, signal) == (0, 53)):
        outcome = Outcome.LAUNCH  # a bad folder or output path: 0:53, and no output anywhere
    cancelled_by = ""
    if base == "CANCELLED" and " by " in state:
        cancelled_by = f"user {state.rpartition(' ')[2]}"
        reason = f"cancelled by {cancelled_by}"
    # Of a job that has not ended, the accounting says 0 s of CPU.
    if job_state is not TaskState.ENDED:
        exit_code = signal = cpu_s = None
    return SchedulerStatus(
        job_state,
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


def _refs(text: str) -> list[TaskRef]:
    """Write out a row that stands for several tasks that never began.

    >>> [str(ref) for ref in _refs("9_[6-7,9%3]")]
    ['9[6]', '9[7]', '9[9]']
    """
    found = re.fullmatch(r"(\d+)_\[([\d,-]+)(?:%\d+)?\]", text)
    if not found:
        return [_ref(text)]
    spans = (part.partition("-") for part in found[2].split(","))
    return [TaskRef(found[1], i) for first, _, last in spans for i in range(int(first), int(last or first) + 1)]


def _ref(text: str) -> TaskRef:
    job, _, index = text.partition("_")
    return TaskRef(job, int(index) if index.isdigit() else None)


def _seconds(text: str) -> float | None:
    """Seconds of ``[D-]HH:MM:SS`` or ``MM:SS[.mmm]``.

    >>> _seconds("1-02:00:03"), _seconds("00:01.678"), _seconds("INVALID")
    (93603.0, 1.678, None)
    """
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)", text)
    if not found:
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + seconds


def _mib(text: str) -> float | None:
    """MiB of ``94716K``, ``1.5G`` or plain bytes.

    >>> _mib("94720K"), _mib(""), _mib("1048576")
    (92.5, None, 1.0)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text)
    return (
        float(found[1]) * {"": 1 / 2**20, "K": 1 / 1024, "M": 1, "G": 1024, "T": 2**20}[found[2]]
        if found
        else None
    )
