"""The ids of Slurm's jobs, as sbatch spells them: ``36``, or ``36;two`` of a job on another cluster."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.model import SchedulerStatus, TaskRef


def number_of(job_id: str) -> str:
    """Return the number in a job's id."""
    return job_id.partition(";")[0]


def cluster_of(job_id: str) -> str:
    """Return the cluster that a job's id names. Empty: the one that the commands belong to.

    >>> cluster_of("106;two"), cluster_of("106")
    ('two', '')
    """
    return job_id.partition(";")[2]


def id_on(number: str, cluster: str) -> str:
    """Make the id of a job on a cluster."""
    return f"{number};{cluster}" if cluster else number


def option_for(cluster: str) -> tuple[str, ...]:
    """Return the option by which a command asks that cluster. None, for its own."""
    return (f"--clusters={cluster}",) if cluster else ()


def spelled(task: TaskRef) -> str:
    """Spell a task as scancel takes it: ``106_3``."""
    number = number_of(task.job_id)
    return number if task.index is None else f"{number}_{task.index}"


def tasks_by_cluster(tasks: Sequence[TaskRef]) -> dict[str, list[TaskRef]]:
    """Group tasks by the cluster that their job is on."""
    by_cluster: dict[str, list[TaskRef]] = {}
    of_job: dict[str, list[TaskRef]] = {}  # thousands of tasks share an id
    for task in tasks:
        if task.job_id not in of_job:
            of_job[task.job_id] = by_cluster.setdefault(cluster_of(task.job_id), [])
        of_job[task.job_id].append(task)
    return by_cluster


def with_cluster(statuses: dict[TaskRef, SchedulerStatus], cluster: str) -> dict[TaskRef, SchedulerStatus]:
    """Put the cluster that was asked into the ids of its answer."""
    if not cluster:
        return statuses
    return {ref._replace(job_id=id_on(ref.job_id, cluster)): status for ref, status in statuses.items()}
