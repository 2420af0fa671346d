"""The journal's events, each a line of ``journal.jsonl``: one definition for who writes and who reads (pure).

``docs/formats.md`` lists them. To add one, define it here, add it to `Event`, and let ``ledger.py`` add it up.

Each line says which version of sweep wrote it, and which format a reader has to know, where that is not the
oldest. So a version that meets what it does not know can say which one knows it.
"""

from __future__ import annotations

import msgspec

from sweep.model import Raised, Verdict
from sweep.state.settings import Settings

#: The formats of the sweep's folder (its journal, trials, jobs and records) that this version reads. It writes the
#: oldest one whose readers do right by what it writes.
#: Format 2 has clusters in submissions and in jobs' ids, and requests that are left to the site.
OLDEST_FORMAT, FORMAT = 1, 2


class _Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event"):
    """One line of the journal.

    Attributes
    ----------
    at : float
        Unix time; set when it is appended.
    version : str
        The version of sweep that appended it; empty in the oldest folders.
    format : int
        The oldest format whose readers do right by it.
    """

    at: float = 0.0
    version: str = ""
    format: int = OLDEST_FORMAT


class Planned(_Event, frozen=True, kw_only=True, tag="planned"):
    """A plan was written. Its jobs are those that `submit` sends.

    Attributes
    ----------
    format : int
        As of every event, and always written: folders without it are older than any that can be read.
    jobs : list of str
        The jobs with trials that were not sent yet, in order.
    workers : dict
        Packed job → its number of workers.
    last_job : int
        The number of the last of these jobs: no number is used twice.
    home : str
        The sweep's folder, which the jobs' scripts name. A copy or a moved folder has another one.
    """

    format: int
    jobs: list[str]
    settings: Settings
    workers: dict[str, int] = {}
    last_job: int = 0
    home: str = ""
    new: int = 0
    kept: int = 0
    retired: int = 0


class Submitting(_Event, frozen=True, kw_only=True, tag="submitting"):
    """The submit command is about to be called."""

    token: str
    job: str
    job_name: str
    index: int | None = None
    span: tuple[int, int] | None = None
    workers: int = 0
    open: int = 0
    cluster: str = ""


class Submitted(_Event, frozen=True, kw_only=True, tag="submitted"):
    """The scheduler answered with the job's id, or was found to know the job (`adopted`)."""

    token: str
    id: str
    adopted: bool = False


class Unanswered(_Event, frozen=True, kw_only=True, tag="unanswered"):
    """The call has ended and brought no answer: the job exists by now, or never will."""

    token: str


class Refused(_Event, frozen=True, kw_only=True, tag="refused"):
    """The scheduler did not accept the job, or does not know it."""

    token: str
    reason: str = ""


class Exhausted(_Event, frozen=True, kw_only=True, tag="exhausted"):
    """A packed job's workers have ended, or the driver job runs: the job may be submitted again."""

    token: str


class Cancelled(_Event, frozen=True, kw_only=True, tag="cancelled"):
    """A person asked to cancel trials. `everything`: all of them, and `submit --follow` then stops."""

    trials: list[int]
    by: str = ""
    everything: bool = False


class NotCancelled(_Event, frozen=True, kw_only=True, tag="not cancelled"):
    """The scheduler could not be asked to cancel these."""

    trials: list[int]


class Retry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Another attempt of one trial.

    Attributes
    ----------
    rule : str
        The rule of the grid's ``retry`` that it falls under; ``asked`` where a person's word alone gives it.
    raised : Raised
        What it asks for from now on.
    avoid : tuple of str
        Nodes that it is not to run on, beside those that earlier attempts avoid.
    """

    number: int
    attempt: int
    rule: str = ""
    raised: Raised = Raised()
    avoid: tuple[str, ...] = ()


class Retried(_Event, frozen=True, kw_only=True, tag="retried"):
    """Further attempts were planned."""

    trials: list[Retry]
    jobs: list[str]
    workers: dict[str, int] = {}


class Confirmed(_Event, frozen=True, kw_only=True, tag="confirmed"):
    """Trials were added that run the best configurations again.

    Attributes
    ----------
    raised : dict
        Trial number → what it asks for beyond the grid's.
    """

    trials: list[int]
    jobs: list[str]
    workers: dict[str, int] = {}
    raised: dict[int, Raised] = {}


class TrialEnd(msgspec.Struct, frozen=True, array_like=True):
    """How one attempt ended, which nothing will change. An array: a journal holds thousands of them."""

    number: int
    attempt: int
    verdict: Verdict


class Observed(_Event, frozen=True, kw_only=True, tag="observed"):
    """Trials were seen to have ended."""

    trials: list[TrialEnd]


Event = (
    Planned
    | Submitting
    | Submitted
    | Unanswered
    | Refused
    | Exhausted
    | Cancelled
    | NotCancelled
    | Retried
    | Confirmed
    | Observed
)

#: The kinds of events, as a line names them.
KINDS = frozenset(kind.__struct_config__.tag for kind in Event.__args__)


def format_of(event: Event) -> int:
    """Return the oldest format whose readers do right by an event.

    Who passed over a cluster would ask another one about the job, and cancel somebody else's.
    """
    if isinstance(event, Submitting) and event.cluster:
        return 2
    if isinstance(event, Submitted) and ";" in event.id:
        return 2
    if isinstance(event, Planned) and event.settings.cluster:
        return 2
    return event.format
