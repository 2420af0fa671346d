"""The limits that OpenPBS and Torque spell alike: of a user, of a queue, and of those that a queue leads to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sweep.errors import SchedulerRefused
from sweep.model import Limits
from sweep.schedulers.base import Call, Place, Talk, smallest
from sweep.schedulers.pbsoutput import Record, parse_int, parse_mib, parse_seconds

#: The exit codes of a qstat about a queue that is not there: OpenPBS's, Torque's.
_UNKNOWN_QUEUE = (170, 172)


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
