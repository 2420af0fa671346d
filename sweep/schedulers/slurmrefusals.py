"""What sbatch says when it does not take a job, and what that means. The first row that fits decides."""

from __future__ import annotations

import re
from typing import NamedTuple

from sweep.schedulers.refusals import Kind


class Row(NamedTuple):
    """A pattern in sbatch's messages, what it means, and the option that it is about (or its group)."""

    pattern: str
    kind: Kind
    directive: str = ""


#: slurm_errno.c (22.05 to 25.11), and the limits that sbatch names in a line of its own (job_reason_string).
REFUSALS: tuple[Row, ...] = (
    Row(r"Unable to contact|Socket timed out|Connection (refused|timed out)|Zero Bytes", Kind.NO_ANSWER),
    Row(r"Message (send|receive) failure|Communication (connection|shutdown) failure", Kind.NO_ANSWER),
    Row(r"standby mode|fetch_config|cannot stat file|controller", Kind.NO_ANSWER),
    # The limits on jobs in the queue, of the user, the account with all its users, and the QOS.
    Row(r"(Assoc|QOS)(Max|Grp)SubmitJob", Kind.NOW),
    Row(r"MaxJobCount|Maximum number of jobs|too many|Duplicate job id", Kind.NOW),
    Row(r"Rate limit exceeded|temporarily", Kind.NOW),
    Row(r"Required partition not available|Partition in DOWN state", Kind.NOW),
    Row(r"maintenance reservation|reservation (is in use|not usable now)", Kind.NOW),
    Row(r"submissions disabled|presently disabled", Kind.NOW),
    Row(r"Required node not available|nodes are busy|Licenses currently unavailable", Kind.NOW),
    Row(r"Burst Buffer resource limit exceeded|breached requested QOS usage threshold", Kind.NOW),
    Row(r"I/O error writing script|Unable to connect to database|internal error", Kind.NOW),
    Row(r"authentication (error|credential)|credential expired|job credential", Kind.NOW),
    # The other limits of an association or a QOS are about what one job asks for.
    Row(r"(Assoc|QOS)\w*Wall", Kind.LINE, "--time"),
    Row(r"(Assoc|QOS)\w*Mem", Kind.LINE, "--mem"),
    Row(r"(Assoc|QOS)\w*CPU", Kind.LINE, "--cpus-per-task"),
    Row(r"(Assoc|QOS)\w*GRES", Kind.LINE, "--gres"),
    Row(r"(Assoc|QOS)(Max|Min|Grp)", Kind.LINE),
    # Without such a line, older versions do not say which limit it was: most often the one on jobs in the queue.
    Row(r"violates accounting/QOS policy", Kind.NOW),
    Row(r"Access/permission denied|group not permitted|Invalid user id", Kind.NEVER),
    Row(r"Rejecting authentication|Invalid or unknown association", Kind.NEVER),
    Row(r"unrecognized option '(?P<option>--[\w-]+)", Kind.LINE),
    Row(r"account", Kind.LINE, "--account"),
    Row(r"partition", Kind.LINE, "--partition"),
    Row(r"qos", Kind.LINE, "--qos"),
    Row(r"time limit|--time|WallDuration|time specified|time-min", Kind.LINE, "--time"),
    Row(r"memory", Kind.LINE, "--mem"),
    Row(r"gres|generic resource", Kind.LINE, "--gres"),
    Row(r"feature", Kind.LINE, "--constraint"),
    Row(r"array", Kind.LINE, "--array"),
    Row(r"node name", Kind.LINE, "--exclude"),
    Row(r"processors|CPU count|node configuration|Task count", Kind.LINE, "--cpus-per-task"),
    Row(r"Node count", Kind.LINE, "--nodes"),
    Row(r"reservation", Kind.LINE, "--reservation"),
    Row(r"license", Kind.LINE, "--licenses"),
    Row(r"cluster", Kind.LINE, "--clusters"),
    Row(r"dependency", Kind.LINE, "--dependency"),
)


def meaning(message: str) -> tuple[Kind, str]:
    """Look up sbatch's message: what it means, and the option that it is about.

    >>> meaning("sbatch: error: AssocGrpSubmitJobsLimit")
    (<Kind.NOW: 'not now'>, '')
    >>> meaning("sbatch: error: invalid partition specified: nosuch")
    (<Kind.LINE: "the grid's">, '--partition')
    """
    for pattern, kind, directive in REFUSALS:
        match = re.search(pattern, message, re.IGNORECASE)
        if match:
            return kind, directive or next(iter(match.groupdict().values()), "")
    return Kind.UNKNOWN, ""
