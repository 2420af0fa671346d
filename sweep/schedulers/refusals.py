"""What a submit command says when it does not take a job: not now, never, or a line of the script (pure).

Each scheduler has its own list, as a table; ``docs/schedulers.md`` has it, too. The first row that fits decides.
What is in no row is told with its text, and may be repeated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from sweep.errors import SchedulerBusy, SchedulerError, SchedulerRefused, SchedulerSilent


class Kind(StrEnum):
    """What a refusal means for the jobs that wait."""

    NO_ANSWER = "no answer"  # it leaves open whether the job was submitted
    NOW = "not now"  # the same call may be accepted later
    LINE = "the grid's"  # a line of the script has to be another one
    NEVER = "never"  # somebody at the site has to change something
    UNKNOWN = "unknown"  # the list does not have it


class SlurmRow(NamedTuple):
    """A pattern in sbatch's messages, what it means, and the option that it is about (or its group)."""

    pattern: str
    kind: Kind
    directive: str = ""


#: slurm_errno.c (22.05 to 25.11), and the limits that sbatch names in a line of its own (job_reason_string).
SLURM: tuple[SlurmRow, ...] = (
    SlurmRow(r"Unable to contact|Socket timed out|Connection (refused|timed out)|Zero Bytes", Kind.NO_ANSWER),
    SlurmRow(r"Message (send|receive) failure|Communication (connection|shutdown) failure", Kind.NO_ANSWER),
    SlurmRow(r"standby mode|fetch_config|cannot stat file|controller", Kind.NO_ANSWER),
    # The limits on jobs in the queue, of the user, the account with all its users, and the QOS.
    SlurmRow(r"(Assoc|QOS)(Max|Grp)SubmitJob", Kind.NOW),
    SlurmRow(r"MaxJobCount|Maximum number of jobs|too many|Duplicate job id", Kind.NOW),
    SlurmRow(r"Rate limit exceeded|temporarily", Kind.NOW),
    SlurmRow(r"Required partition not available|Partition in DOWN state", Kind.NOW),
    SlurmRow(r"maintenance reservation|reservation (is in use|not usable now)", Kind.NOW),
    SlurmRow(r"submissions disabled|presently disabled", Kind.NOW),
    SlurmRow(r"Required node not available|nodes are busy|Licenses currently unavailable", Kind.NOW),
    SlurmRow(r"Burst Buffer resource limit exceeded|breached requested QOS usage threshold", Kind.NOW),
    SlurmRow(r"I/O error writing script|Unable to connect to database|internal error", Kind.NOW),
    SlurmRow(r"authentication (error|credential)|credential expired|job credential", Kind.NOW),
    # The other limits of an association or a QOS are about what one job asks for.
    SlurmRow(r"(Assoc|QOS)\w*Wall", Kind.LINE, "--time"),
    SlurmRow(r"(Assoc|QOS)\w*Mem", Kind.LINE, "--mem"),
    SlurmRow(r"(Assoc|QOS)\w*CPU", Kind.LINE, "--cpus-per-task"),
    SlurmRow(r"(Assoc|QOS)\w*GRES", Kind.LINE, "--gres"),
    SlurmRow(r"(Assoc|QOS)(Max|Min|Grp)", Kind.LINE),
    # Without such a line, older versions do not say which limit it was: most often the one on jobs in the queue.
    SlurmRow(r"violates accounting/QOS policy", Kind.NOW),
    SlurmRow(r"Access/permission denied|group not permitted|Invalid user id", Kind.NEVER),
    SlurmRow(r"Rejecting authentication|Invalid or unknown association", Kind.NEVER),
    SlurmRow(r"unrecognized option '(?P<option>--[\w-]+)", Kind.LINE),
    SlurmRow(r"account", Kind.LINE, "--account"),
    SlurmRow(r"partition", Kind.LINE, "--partition"),
    SlurmRow(r"qos", Kind.LINE, "--qos"),
    SlurmRow(r"time limit|--time|WallDuration|time specified|time-min", Kind.LINE, "--time"),
    SlurmRow(r"memory", Kind.LINE, "--mem"),
    SlurmRow(r"gres|generic resource", Kind.LINE, "--gres"),
    SlurmRow(r"feature", Kind.LINE, "--constraint"),
    SlurmRow(r"array", Kind.LINE, "--array"),
    SlurmRow(r"node name", Kind.LINE, "--exclude"),
    SlurmRow(r"processors|CPU count|node configuration|Task count", Kind.LINE, "--cpus-per-task"),
    SlurmRow(r"Node count", Kind.LINE, "--nodes"),
    SlurmRow(r"reservation", Kind.LINE, "--reservation"),
    SlurmRow(r"license", Kind.LINE, "--licenses"),
    SlurmRow(r"cluster", Kind.LINE, "--clusters"),
    SlurmRow(r"dependency", Kind.LINE, "--dependency"),
)

#: OpenPBS's errors (pbs_error.h), as the client ends with them: modulo 256. 255 and 1 are the client's own.
PBS: Mapping[int, tuple[Kind, str]] = {
    160: (Kind.NO_ANSWER, "system error"),
    162: (Kind.NO_ANSWER, "the server does not answer"),
    255: (Kind.NO_ANSWER, "the server does not answer"),
    185: (Kind.NOW, "no free connections"),
    13: (Kind.NOW, "the server's table of connections is full"),
    212: (Kind.NOW, "the server is shutting down"),
    104: (Kind.NOW, "try again later"),
    57: (Kind.NOW, "the server could not save the job"),
    196: (Kind.NOW, "resources temporarily unavailable"),
    250: (Kind.NOW, "a floating license is unavailable"),
    173: (Kind.NOW, "the queue is not enabled"),
    198: (Kind.NOW, "the most jobs in the queue"),
    38: (Kind.NOW, "a limit on jobs, of a user, a group or a project"),
    39: (Kind.NOW, "a limit on resources, of a user, a group or a project"),
    159: (Kind.NEVER, "no permission"),
    174: (Kind.NEVER, "no access to the queue"),
    175: (Kind.NEVER, "the user is not known where jobs run"),
    197: (Kind.NEVER, "the group is not known where jobs run"),
    171: (Kind.NEVER, "credential not valid"),
    166: (Kind.LINE, "a value of a resource"),
    170: (Kind.LINE, "the queue's name"),
    187: (Kind.LINE, "a resource that is not known"),
    188: (Kind.LINE, "more than the queue's limits"),
    191: (Kind.LINE, "no destination of the routing queue takes it"),
    201: (Kind.LINE, "the account"),
    3: (Kind.LINE, "the array is too large"),
    2: (Kind.LINE, "an option"),
}

#: Torque's errors (pbs_error_db.h), in the same way. They are numbered in the order of that file.
TORQUE: Mapping[int, tuple[Kind, str]] = {
    111: (Kind.NO_ANSWER, "the server does not answer"),
    237: (Kind.NO_ANSWER, "time out"),
    248: (Kind.NO_ANSWER, "no connection to the socket"),
    249: (Kind.NO_ANSWER, "the request was not written"),
    250: (Kind.NO_ANSWER, "the reply was not read"),
    251: (Kind.NO_ANSWER, "the connection was closed"),
    16: (Kind.NO_ANSWER, "no connection to the server"),
    29: (Kind.NO_ANSWER, "the server was not reached"),
    17: (Kind.NOW, "the server puts it off"),
    187: (Kind.NOW, "no free connections"),
    198: (Kind.NOW, "resources temporarily unavailable"),
    200: (Kind.NOW, "the most jobs in the queue"),
    228: (Kind.NOW, "the most jobs of a user in the queue"),
    175: (Kind.NOW, "the queue is not enabled"),
    255: (Kind.NOW, "the queue is currently not available"),
    214: (Kind.NOW, "the server is shutting down"),
    243: (Kind.NOW, "the server is out of memory"),
    30: (Kind.NOW, "the server is busy"),
    159: (Kind.NEVER, "no permission"),
    162: (Kind.NEVER, "no access from this host"),
    176: (Kind.NEVER, "no access to the queue"),
    177: (Kind.NEVER, "the user is not known where jobs run"),
    199: (Kind.NEVER, "the group is not known where jobs run"),
    168: (Kind.LINE, "a value of a resource"),
    172: (Kind.LINE, "the queue's name"),
    189: (Kind.LINE, "a resource that is not known"),
    190: (Kind.LINE, "more than the queue's limits"),
    193: (Kind.LINE, "no destination of the routing queue takes it"),
    203: (Kind.LINE, "the account"),
    208: (Kind.LINE, "the job to wait for"),
    231: (Kind.LINE, "the queue takes no batch jobs"),
    235: (Kind.LINE, "the array"),
    241: (Kind.LINE, "the queue takes no arrays"),
    2: (Kind.LINE, "an option"),
}


def of_slurm(message: str) -> tuple[Kind, str]:
    """Look up sbatch's message: what it means, and the option that it is about.

    >>> of_slurm("sbatch: error: AssocGrpSubmitJobsLimit")
    (<Kind.NOW: 'not now'>, '')
    >>> of_slurm("sbatch: error: invalid partition specified: nosuch")
    (<Kind.LINE: "the grid's">, '--partition')
    """
    for pattern, kind, directive in SLURM:
        match = re.search(pattern, message, re.IGNORECASE)
        if match:
            return kind, directive or next(iter(match.groupdict().values()), "")
    return Kind.UNKNOWN, ""


def error_of(client: str, kind: Kind, answer: str, summary: str, directive: str = "") -> SchedulerError:
    """Make the error for a refusal.

    Parameters
    ----------
    client : str
        The submit command.
    answer : str
        All that it wrote on stderr.
    summary : str
        The first lines of that.
    directive : str
        What in the script it is about.
    """
    if kind is Kind.NO_ANSWER:
        return SchedulerSilent(f"{client}: {summary}")
    if kind is Kind.NOW:
        return SchedulerBusy(f"{client} will not take more now: {summary}")
    return SchedulerRefused(f"{client} refused: {summary}", _HINTS[kind], directive, answer)


_HINTS: Mapping[Kind, str] = {
    Kind.LINE: "change the grid and plan again",
    Kind.NEVER: "ask the cluster's staff: another grid would not be taken either",
    Kind.UNKNOWN: "if that may pass, repeat `sweep submit`; else change the grid and plan again",
}


def blamed(message: str, directives: Sequence[tuple[str, str]]) -> str:
    """Return the directive that a message is about. Empty: it does not say.

    Parameters
    ----------
    directives : sequence of (str, str)
        A pattern, and the directive; an empty one is the pattern's first group.
    """
    for pattern, directive in directives:
        match = re.search(pattern, message, re.IGNORECASE)
        if match:
            return directive or match[1]
    return ""
