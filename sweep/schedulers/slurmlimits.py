"""What Slurm says of its limits: slurm.conf's, the partition's, the nodes', and the accounting's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from sweep.model import Limits
from sweep.schedulers.base import Place, smallest

#: Slurm's own default (slurm.conf(5), MaxArraySize), where it does not say.
DEFAULT_MAX_ARRAY_SIZE = 1001


def read(place: Place, config: str, partitions: str, nodes: str, whose: str, grades: str) -> Limits:
    """Read the answers to ``scontrol show config``, ``scontrol show partition``, sinfo and sacctmgr.

    What did not answer is empty, and limits nothing.
    """
    chosen = _chosen(partitions, place.queue)
    names = {one["PartitionName"] for one in chosen}
    has = [fields[1:] for fields in _rows(nodes, 4) if fields[0].rstrip("*") in names]
    own, quality = _associations(whose, place, names), dict(_grades(grades))
    mine = [quality[name] for one in own for name in one[5:7] if name in quality]
    return Limits(
        max_array_size=max(1, _number(_value(config, "MaxArraySize")) or DEFAULT_MAX_ARRAY_SIZE),
        max_queued=smallest(
            _number(_value(config, "MaxJobCount")), _most(one[3] for one in own), _most(one[1] for one in mine)
        ),
        max_running=smallest(_most(one[2] for one in own), _most(one[0] for one in mine)),
        walltime_s=smallest(
            _most(_seconds(one.get("MaxTime", "")) for one in chosen),
            _most(_seconds(one[4]) for one in own),
            _most(_seconds(one[2]) for one in mine),
        ),
        memory_mib=smallest(_most(one[1] for one in has), _most(one.get("MaxMemPerNode", "") for one in chosen)),
        cpus=smallest(_most(one[0] for one in has), _most(one.get("MaxCPUsPerNode", "") for one in chosen)),
        gpus=max((_gpus(one[2]) for one in has), default=None),
    )


def _value(text: str, name: str) -> str:
    found = re.search(rf"^{name}\s*=\s*(\S+)", text, re.MULTILINE)
    return found[1] if found else ""


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d+", text) else None


def _most(values: Iterable[str | int | None]) -> int | None:
    """Return the largest of several; None, no limit, if one of them is none.

    >>> _most(["4", "16"]), _most(["4", "UNLIMITED"]), _most([])
    (16, None, None)
    """
    numbers = [_number(one) if isinstance(one, str) else one for one in values]
    known = [one for one in numbers if one is not None]
    return max(known) if known and len(known) == len(numbers) else None


def _chosen(text: str, queue: str | None) -> list[dict[str, str]]:
    """Return the partitions that a job may go to: those named, or the default one."""
    blocks = [dict(re.findall(r"(\w+)=(\S+)", block)) for block in re.split(r"\n\s*\n", text)]
    known = [block for block in blocks if "PartitionName" in block]
    if queue:
        return [block for block in known if block["PartitionName"] in queue.split(",")]
    return [block for block in known if block.get("Default") == "YES"]


def _rows(text: str, fields: int) -> Iterator[list[str]]:
    rows = (line.split("|") for line in text.splitlines())
    return (row for row in rows if len(row) == fields)


def _associations(text: str, place: Place, partitions: set[str]) -> list[list[str]]:
    """Return the rows that this job may count against. A row's partition is usually empty: it is for all."""
    rows = [row for row in _rows(text, 7) if row[1] in ("", *partitions)]
    return [row for row in rows if row[0] == place.account] if place.account else rows


def _grades(text: str) -> Iterator[tuple[str, list[str]]]:
    return ((row[0], row[1:]) for row in _rows(text, 4))


def _seconds(text: str) -> int | None:
    """Read a time limit, ``[days-]hours:minutes:seconds``, in seconds.

    >>> _seconds("1-00:00:00"), _seconds("00:05:00"), _seconds("UNLIMITED")
    (86400, 300, None)
    """
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", text)
    if not found:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _gpus(text: str) -> int:
    """Count the GPUs of a node's generic resources.

    >>> _gpus("gpu:a100:4(S:0-1)"), _gpus("gpu:2,shard:8"), _gpus("(null)")
    (4, 2, 0)
    """
    return sum(int(count) for count in re.findall(r"(?:^|,)gpu(?::[\w.-]+)?:(\d+)", text))
