"""Slurm's limits: those of slurm.conf, the partition, the nodes and the accounting."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from sweep.errors import SchedulerRefused
from sweep.model import Limits
from sweep.schedulers.base import Place, smallest

#: Slurm's own default (slurm.conf(5), MaxArraySize).
DEFAULT_MAX_ARRAY_SIZE = 1001


def read(
    place: Place, config: str, partitions: str, nodes: str, associations: str, groups: str, qos: str
) -> Limits:
    """Read Slurm's limits from the output of six commands. A command that failed has none, and limits nothing.

    Parameters
    ----------
    place : Place
        Where the jobs go.
    config : str
        The output of ``scontrol show config``.
    partitions : str
        The output of ``scontrol show partition``.
    nodes : str
        Partition, CPUs, MiB and generic resources of each node, by sinfo.
    associations : str
        Account, partition, MaxJobs, MaxSubmit, MaxWall, QOS and default QOS of the user, by sacctmgr.
    groups : str
        Account, parent account and GrpSubmit of each account, by sacctmgr.
    qos : str
        Name, MaxJobsPU, MaxSubmitPU, MaxWall, GrpSubmit and MaxSubmitPA of each QOS, by sacctmgr.
    """
    candidates = _candidate_partitions(partitions, place.queue)
    _check_partitions(partitions, candidates, place)
    names = {partition["PartitionName"] for partition in candidates}
    node_rows = [fields[1:] for fields in _rows(nodes, 4) if fields[0].rstrip("*") in names]
    user_rows = _user_rows(associations, place, names)
    qos_by_name = {row[0]: row[1:] for row in _rows(qos, 6)}
    qos_rows = [qos_by_name[name] for row in user_rows for name in row[5:7] if name in qos_by_name]
    array_size = _number(_value(config, "MaxArraySize"))
    group_queued = smallest(
        _largest(_of_accounts(groups, [row[0]]) for row in user_rows),
        _largest(smallest(_number(row[3]), _number(row[4])) for row in qos_rows),
    )
    return Limits(
        # 0 switches arrays off: a job of one task is none.
        max_array_size=DEFAULT_MAX_ARRAY_SIZE if array_size is None else max(1, array_size),
        max_queued=smallest(
            _number(_value(config, "MaxJobCount")),
            _largest(row[3] for row in user_rows),
            _largest(row[1] for row in qos_rows),
            group_queued,
        ),
        group_queued=group_queued,
        max_running=smallest(_largest(row[2] for row in user_rows), _largest(row[0] for row in qos_rows)),
        walltime_s=smallest(
            _largest(_seconds(partition.get("MaxTime", "")) for partition in candidates),
            _largest(_seconds(row[4]) for row in user_rows),
            _largest(_seconds(row[2]) for row in qos_rows),
        ),
        memory_mib=smallest(
            _largest(row[1] for row in node_rows),
            _largest(partition.get("MaxMemPerNode", "") for partition in candidates),
        ),
        cpus=smallest(
            _largest(row[0] for row in node_rows),
            _largest(partition.get("MaxCPUsPerNode", "") for partition in candidates),
        ),
        gpus=max((_gpus(row[2]) for row in node_rows), default=None),
    )


def _value(text: str, name: str) -> str:
    match = re.search(rf"^{name}\s*=\s*(\S+)", text, re.MULTILINE)
    return match[1] if match else ""


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d+", text) else None


def _largest(limits: Iterable[str | int | None]) -> int | None:
    """Return the largest of several limits. None: one of them is no number, so there is no limit.

    >>> _largest(["4", "16"]), _largest(["4", "UNLIMITED"]), _largest([])
    (16, None, None)
    """
    numbers = [_number(limit) if isinstance(limit, str) else limit for limit in limits]
    finite = [number for number in numbers if number is not None]
    return max(finite) if finite and len(finite) == len(numbers) else None


def _candidate_partitions(text: str, queue: str | None) -> list[dict[str, str]]:
    """Return the partitions that a job may go to: those that `queue` names, or the default one."""
    blocks = [dict(re.findall(r"(\w+)=(\S+)", block)) for block in re.split(r"\n\s*\n", text)]
    partitions = [block for block in blocks if "PartitionName" in block]
    if queue:
        return [partition for partition in partitions if partition["PartitionName"] in queue.split(",")]
    return [partition for partition in partitions if partition.get("Default") == "YES"]


def _check_partitions(text: str, candidates: list[dict[str, str]], place: Place) -> None:
    """Raise SchedulerRefused if a partition is not there, or takes none of this user's jobs."""
    names = {partition["PartitionName"] for partition in candidates}
    missing = [name for name in (place.queue or "").split(",") if name and name not in names]
    if missing and "PartitionName=" in text:
        known = ", ".join(re.findall(r"PartitionName=(\S+)", text))
        raise SchedulerRefused(f"there is no partition {missing[0]!r} on this cluster", f"it has: {known}")
    for partition in candidates if place.queue else []:
        reason = _why_shut(partition, place)
        if reason:
            raise SchedulerRefused(
                f"the partition {partition['PartitionName']!r} does not take the jobs of {place.user}: {reason}",
                "name another one; `scontrol show partition` shows whom it takes",
            )


def _why_shut(partition: dict[str, str], place: Place) -> str:
    """Say which of a partition's lists shuts this user out. Slurm opens all partitions to root."""
    lists = (("Groups", place.groups), ("Accounts", (place.account,)), ("Qos", (place.qos,)))
    for name, own in lists:
        known = [value for value in own if value]
        allowed, denied = partition.get(f"Allow{name}", "ALL"), partition.get(f"Deny{name}", "")
        if not known or place.user == "root":
            continue
        if allowed != "ALL" and not set(known) & set(allowed.split(",")):
            return f"Allow{name}={allowed}"
        if name != "Groups" and set(known) & set(denied.split(",")):
            return f"Deny{name}={denied}"
    return ""


def _rows(text: str, fields: int) -> Iterator[list[str]]:
    rows = (line.split("|") for line in text.splitlines())
    return (row for row in rows if len(row) == fields)


def _user_rows(text: str, place: Place, partitions: set[str]) -> list[list[str]]:
    """Return the associations whose limits hold for the job. One without a partition holds for all partitions."""
    rows = [row for row in _rows(text, 7) if row[1] in ("", *partitions)]
    return [row for row in rows if row[0] == place.account] if place.account else rows


def _of_accounts(groups: str, accounts: Iterable[str]) -> int | None:
    r"""Return the smallest limit on the jobs of all users of an account in the queue, of it and its parents.

    >>> _of_accounts("root||\nlab|root|50\nteam|lab|", ["team"]), _of_accounts("root||", ["root"])
    (50, None)
    """
    rows = {row[0]: row[1:] for row in _rows(groups, 3)}
    limits = []
    for name in accounts:
        account, seen = name, set[str]()
        while account in rows and account not in seen:
            seen.add(account)
            parent, limit = rows[account]
            limits.append(_number(limit))
            account = parent
    return smallest(*limits)


def _seconds(text: str) -> int | None:
    """Read a time limit, ``[days-]hours:minutes:seconds``, in seconds.

    >>> _seconds("1-00:00:00"), _seconds("00:05:00"), _seconds("UNLIMITED")
    (86400, 300, None)
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", text)
    if not match:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _gpus(text: str) -> int:
    """Count the GPUs of a node's generic resources.

    >>> _gpus("gpu:a100:4(S:0-1)"), _gpus("gpu:2,shard:8"), _gpus("(null)")
    (4, 2, 0)
    """
    return sum(int(count) for count in re.findall(r"(?:^|,)gpu(?::[\w.-]+)?:(\d+)", text))
