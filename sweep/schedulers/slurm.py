"""Slurm: sbatch, squeue, sacct, scancel."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from sweep.errors import SchedulerError, SchedulerSilent
from sweep.model import Limits, SchedulerStatus, TaskRef, TaskState
from sweep.schedulers import refusals, slurmlimits, slurmrefusals
from sweep.schedulers.base import (
    Call,
    Place,
    PollAnswer,
    Reply,
    Scheduler,
    SoughtJob,
    SubmitRequest,
    Talk,
    Variables,
    absent,
    confirmed,
    no_answer,
)
from sweep.schedulers.directives import Objection, Requests, Speaker, option
from sweep.schedulers.slurmids import (
    cluster_of,
    id_on,
    number_of,
    option_for,
    spelled,
    tasks_by_cluster,
    with_cluster,
)
from sweep.schedulers.slurmoutput import (
    keeps_no_accounting,
    lines_of,
    merge_statuses,
    read_sacct,
    read_squeue,
    read_sstat,
    task_ref,
)

_SQUEUE_FORMAT = "%i|%T|%r|%M|%j"
_SACCT_FORMAT = "JobID,State,ExitCode,ElapsedRaw,TotalCPU,MaxRSS,JobName"

#: One argument of a command line holds 128 KiB, which is about 16,000 ids.
_MAX_IDS = 10_000


class Slurm(Scheduler):
    """Runs and reads the commands of Slurm."""

    kind = "slurm"
    clients = ("sbatch", "squeue", "scancel", "scontrol")
    variables = Variables(
        # SLURM_MPI_TYPE: how srun starts MPI programs is the site's own setting; Slurm does not set it in a job.
        cluster=frozenset(
            {"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT", "SLURM_SACK_KEY", "SLURM_SACK_JWKS", "SLURM_MPI_TYPE"}
        ),
        own="(SLURM|SLURMD|SBATCH|SALLOC)_.*",
        questions="(SQUEUE|SACCT|SINFO|SSTAT|SCANCEL|SCONTROL|SACCTMGR|SPRIO|SREPORT|SDIAG)_.*",
        job="SLURM_JOB_ID",
        options="SBATCH_.*|SLURM_CLUSTERS",
    )
    can_exclude_nodes = True
    further_keys = ("qos", "cluster")
    speakers: Mapping[str, Speaker] = {
        "queue": Speaker(("SBATCH_PARTITION",), ("--partition", "-p")),
        "account": Speaker(("SBATCH_ACCOUNT",), ("--account", "-A")),
        "qos": Speaker(("SBATCH_QOS",), ("--qos", "-q")),
        "cluster": Speaker(("SBATCH_CLUSTERS", "SLURM_CLUSTERS"), ("--clusters", "--cluster", "-M")),
    }
    example_queue = "a-partition"
    example_directive = "--constraint=avx2"

    def version(self) -> Talk[str]:
        """Ask for the version, and whether the controller is up."""
        yield from _ping()
        call = Call(("sbatch", "--version"))
        reply = yield call
        if reply.exit_code != 0:
            raise no_answer(call, reply)
        return reply.stdout.strip()

    def limits(self, place: Place) -> Talk[Limits]:
        """Ask scontrol and sinfo for the limits of cluster, partitions and nodes, and sacctmgr for the user's.

        Of several clusters, the first is asked.
        """
        first = place.cluster.split(",")[0]
        on = option_for(first)
        yield from _ping(first)
        config = yield Call(("scontrol", *on, "show", "config"))
        partitions = yield Call(("scontrol", "-a", *on, "show", "partition"))
        nodes = yield Call(("sinfo", "-h", "-N", *on, "-o", "%P|%c|%m|%G"))
        cluster = (f"cluster={first}",) if first else ()
        columns = "format=Account,Partition,MaxJobs,MaxSubmit,MaxWall,QOS,DefaultQOS"
        associations = yield Call(
            ("sacctmgr", "-n", "-P", "show", "assoc", f"user={place.user}", *cluster, columns)
        )
        columns = "format=Account,ParentName,GrpSubmit"
        groups = yield Call(("sacctmgr", "-n", "-P", "show", "assoc", "user=", *cluster, columns))
        columns = "format=Name,MaxJobsPU,MaxSubmitPU,MaxWall,GrpSubmit,MaxSubmitPA"
        qos = yield Call(("sacctmgr", "-n", "-P", "show", "qos", columns))
        return slurmlimits.read(
            place, config.stdout, partitions.stdout, nodes.stdout, associations.stdout, groups.stdout, qos.stdout
        )

    def submit(self, request: SubmitRequest) -> Talk[str]:
        """Submit with sbatch. What differs from call to call is an option here, not a line of the script.

        The id is as sbatch spells it: ``36``, or ``36;two`` of a job that went to another cluster.
        """
        # Without ALL, Slurm runs the job in a new login environment.
        task = () if request.index is None else (f"--export=ALL,SWEEP_TASK={request.index}",)
        array = (f"--array={self.array_of(request)}",) if request.span else ()
        after = (f"--dependency=afterany:{number_of(request.after)}",) if request.after else ()
        exclude = (f"--exclude={','.join(request.exclude)}",) if request.exclude else ()
        # In the name of an output file, % begins a pattern such as %A.
        output = request.output.replace("%", "%%")
        call = Call(
            ("sbatch", "--parsable", f"--job-name={request.job_name}", f"--output={output}", "--open-mode=append",
             *task, *array, *after, *exclude, request.script),
            submits=True,
        )  # fmt: skip
        reply = yield call
        candidates = re.findall(r"^(\d+(?:;\S+)?)$", reply.stdout, re.MULTILINE)
        if reply.exit_code == 0 and candidates:
            return (yield from confirmed(self, request, reply, candidates))
        raise _submit_error(reply)

    def find(self, jobs: Sequence[SoughtJob], cluster: str = "") -> Talk[dict[str, str]]:
        """Ask squeue for the names, and sacct where the cluster keeps accounting; of several clusters, each."""
        job_names = sorted({job.job_name for job in jobs})
        ids: dict[str, str] = {}
        for name in cluster.split(","):
            ids |= yield from _find_on(name, job_names)
        return ids

    def poll(self, tasks: Sequence[TaskRef]) -> Talk[PollAnswer]:
        """Ask with at most three calls, for each cluster that our jobs are on: scontrol ping, squeue, sacct.

        The ping comes first because every other command waits 9 s for a controller that is down. sacct is asked
        only where a task is not in the queue: squeue knows best about those that are.
        """
        statuses: dict[TaskRef, SchedulerStatus] = {}
        notes: tuple[str, ...] = ()
        for cluster, on_cluster in tasks_by_cluster(tasks).items():
            answer = yield from _poll_cluster(cluster, on_cluster)
            statuses |= answer.statuses
            notes += answer.notes
        return PollAnswer(statuses, notes)

    def usage(self, tasks: Sequence[TaskRef]) -> Talk[dict[TaskRef, SchedulerStatus]]:
        """Ask squeue for the raw ids, then sstat. sstat knows the tasks of an array only by their raw ids.

        It knows only its own cluster, and has no option for another one.
        """
        here = [task for task in tasks if not cluster_of(task.job_id)]
        if not here:
            return {}
        ids = ",".join(sorted({task.job_id for task in here}, key=int))
        call = Call(("squeue", "-h", "-a", "-r", "-t", "running", f"--jobs={ids}", "-o", "%i|%A"))
        reply = yield call
        if reply.exit_code != 0 and "Invalid job id" not in reply.stderr:
            raise no_answer(call, reply)
        rows = (line.partition("|") for line in reply.stdout.splitlines())
        task_of = {raw_id: task_ref(name) for name, _, raw_id in rows}
        steps = [f"{raw_id}.batch" for raw_id, task in task_of.items() if task in set(here)]
        if not steps:
            return {}
        columns = "--format=JobID,AveCPU,MaxRSS"
        sstat = yield Call(("sstat", "-n", "-P", "--noconvert", "-j", ",".join(steps), columns), 120.0)
        return read_sstat(sstat.stdout, task_of)

    def queued(self, place: Place) -> Talk[int]:
        """Ask squeue for the user's tasks."""
        count = 0
        for cluster in place.cluster.split(","):
            yield from _ping(cluster)
            call = Call(("squeue", "-h", "-a", "-r", *option_for(cluster), f"--user={place.user}", "-o", "%i"))
            reply = yield call
            if reply.exit_code != 0:
                raise no_answer(call, reply)
            count += len(re.findall(r"^\d", reply.stdout, re.MULTILINE))
        return count

    def cancel(self, jobs: Sequence[str], tasks: Sequence[TaskRef]) -> Talk[None]:
        """Cancel with at most two calls a cluster: first the pending tasks of `jobs`, then the rest.

        Pending tasks go first: else one of them starts on the resources that a cancelled task frees. Only whole
        jobs are named with ``--state``: with it, one task of a pending array takes the whole array along (22.05).
        scancel says nothing about ended and unknown jobs.
        """
        targets = [*(TaskRef(job) for job in jobs), *tasks]
        for cluster, on_cluster in tasks_by_cluster(targets).items():
            whole = [number_of(task.job_id) for task in on_cluster if task.index is None]
            single = [spelled(task) for task in on_cluster if task.index is not None]
            calls = [("scancel", *option_for(cluster), "--state=PENDING", *whole)] if whole else []
            calls.append(("scancel", *option_for(cluster), *single, *whole))
            for argv in calls:
                call = Call(argv)
                reply = yield call
                if reply.exit_code != 0 and "Invalid job id" not in reply.stderr:
                    raise no_answer(call, reply)

    def spell(self, task: TaskRef) -> str:
        """Spell a task as scancel and squeue take it: ``106_3``, ``106_3 --clusters=two``."""
        return " ".join((spelled(task), *option_for(cluster_of(task.job_id))))

    def unfit_folder(self, folder: str) -> str:
        """Refuse a backslash: every job would fail at its start."""
        return "a backslash, which Slurm drops from a job's output path" if "\\" in folder else ""

    def objections(self, requests: Requests) -> Iterator[Objection]:
        """Refuse to ask for memory in two ways: sbatch would take one of them."""
        names = ("mem-per-cpu", "mem-per-gpu", "mem")
        in_directives = any(option(requests.directives, (f"--{name}",)) for name in names)
        in_units = next((name for name in names if name in requests.units), "")
        if requests.memory and (in_directives or in_units):
            yield Objection(
                ("scheduler", "extra") if in_directives else ("resources", "extra", in_units),
                f"this asks for memory, and so does resources: {{memory: {requests.memory}}}",
                "leave one of them out: resources: {memory: null}",
            )


def _find_on(cluster: str, job_names: Sequence[str]) -> Talk[dict[str, str]]:
    names, on = ",".join(job_names), option_for(cluster)
    yield from _ping(cluster)
    squeue_call = Call(("squeue", "-h", "-a", *on, "-t", "all", f"--name={names}", "-o", "%F|%j"))
    squeue = yield squeue_call
    if squeue.exit_code != 0:
        raise no_answer(squeue_call, squeue)
    sacct_call = Call(
        ("sacct", "-n", "-P", "-X", *on, "-S", "now-30days", f"--name={names}", "--format=JobID,JobName")
    )
    sacct = yield sacct_call
    if sacct.exit_code != 0 and not keeps_no_accounting(sacct):
        raise no_answer(sacct_call, sacct)
    ids = {}
    for line in [*lines_of(sacct_call, sacct, 2), *lines_of(squeue_call, squeue, 2)]:
        number, _, name = line.partition("|")
        if name in job_names:
            ids[name] = id_on(re.split(r"[_+.]", number)[0], cluster)
    return ids


def _poll_cluster(cluster: str, tasks: Sequence[TaskRef]) -> Talk[PollAnswer]:
    yield from _ping(cluster)
    ids = sorted({number_of(job_id) for job_id in {task.job_id for task in tasks}}, key=int)
    statuses: dict[TaskRef, SchedulerStatus] = {}
    notes: tuple[str, ...] = ()
    for start in range(0, len(ids), _MAX_IDS):
        jobs = (*option_for(cluster), f"--jobs={','.join(ids[start : start + _MAX_IDS])}")
        squeue_call = Call(("squeue", "-h", "-a", "-r", "-t", "all", *jobs, "-o", _SQUEUE_FORMAT))
        squeue = yield squeue_call
        # squeue fails where it knows none of the ids. That is an answer: all these jobs have left the queue.
        if squeue.exit_code != 0 and "Invalid job id" not in squeue.stderr:
            raise no_answer(squeue_call, squeue)
        lines = lines_of(squeue_call, squeue, 5)
        statuses |= with_cluster(read_squeue("\n".join(lines)), cluster)
        if all(task in statuses and statuses[task].state is not TaskState.ENDED for task in tasks):
            continue
        sacct_call = Call(("sacct", "-n", "-P", "--noconvert", *jobs, f"--format={_SACCT_FORMAT}"), 120.0)
        sacct = yield sacct_call
        if sacct.exit_code != 0 and not keeps_no_accounting(sacct):
            # The accounting exists and is down. Only it can say whether a job that left the queue has ended.
            notes = (f"sacct did not answer ({sacct.summary}); jobs that left the queue are not judged",)
        lines = lines_of(sacct_call, sacct, 7) if sacct.exit_code == 0 else []
        statuses = merge_statuses(statuses, with_cluster(read_sacct("\n".join(lines)), cluster))
    if notes:
        return PollAnswer({task: statuses[task] for task in tasks if task in statuses}, notes)
    not_named = absent()
    return PollAnswer({task: statuses.get(task, not_named) for task in tasks})


def _ping(cluster: str = "") -> Talk[None]:
    call = Call(("scontrol", *option_for(cluster), "ping"), timeout_s=20)
    reply = yield call
    if " is UP" not in reply.stdout:
        raise no_answer(call, reply)


def _submit_error(reply: Reply) -> SchedulerError:
    if reply.exit_code is None or reply.exit_code == 0 or "sbatch" not in reply.stderr:
        return SchedulerSilent(f"sbatch: {reply.summary or 'no job id in its answer'}")
    kind, directive = slurmrefusals.meaning(reply.stderr)
    return refusals.error_of("sbatch", kind, reply.stderr, reply.summary, directive)
