"""The journal's events, each a line of ``journal.jsonl``: one definition for who writes and who reads (pure).

``docs/formats.md`` lists them. To add one, define it here, add it to `Event`, and let ``ledger.py`` add it up.

Each line says which version of sweep wrote it, and which format a reader has to know, where that is not the
oldest. So a version that meets what it does not know can say which one knows it.
"""

from __future__ import annotations

import msgspec

from sweep.model import Raised, Verdict
from sweep.state.provenance import Provenance
from sweep.state.racing import RaceStep
from sweep.state.settings import Settings

#: The formats of the sweep's folder (its journal, trials, jobs and records) that this version reads. It writes the
#: oldest one whose readers do right by what it writes.
#: Format 2 has clusters in submissions and in jobs' ids, and requests that are left to the site. Format 3 has
#: decisions.
OLDEST_FORMAT, FORMAT = 1, 3
LEFT_TO_SITE_FORMAT, CLUSTER_FORMAT, DECISION_FORMAT = 2, 2, 3


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


class TrialEnd(msgspec.Struct, frozen=True, array_like=True):
    """How one attempt ended, which nothing will change. An array: a journal holds thousands of them."""

    number: int
    attempt: int
    verdict: Verdict


class NextAttempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An attempt that is to run, as far as it differs from the trial's first.

    Attributes
    ----------
    rule : str
        The rule of the grid's ``retry`` that it falls under; ``asked`` where a person's word alone gives it.
        Empty: it is the trial's first.
    raised : Raised
        What it asks for from now on.
    avoid : tuple of str
        Nodes that it is not to run on, beside those that earlier attempts avoid.
    variables : dict or None
        What its command gets in its environment. None: what the attempt before it got.
    """

    number: int
    attempt: int
    rule: str = ""
    raised: Raised = Raised()
    avoid: tuple[str, ...] = ()
    variables: dict[str, str] | None = None


class Decided(_Event, frozen=True, kw_only=True, tag="decided"):
    """Somebody decided what is to run next. A plan is a decision, too: see `Planned`.

    Attributes
    ----------
    by : str
        Who: ``plan``, ``retry``, ``confirm``. Empty in the plans of older versions.
    saw : str
        A digest of what they saw: equal ones were decided on the same facts.
    jobs : list of str
        The new jobs, in order. `submit` sends them.
    workers : dict
        Packed job → its number of workers.
    last_job : int
        The highest number of all these jobs: none is used twice.
    dropped : list of str
        Jobs that are not to be sent any more; the new ones have what remains of them.
    attempts : list of NextAttempt
        The attempts that differ from the trials' first.
    confirming : list of int
        Trials that were added to confirm their configurations.
    ends : list of TrialEnd
        What the scheduler has not confirmed to be over, and is settled by this decision.
    held : dict
        Trial number → why it is not to be sent, until a decision gives it an attempt or releases it.
    released : list of int
        Trials that are held no longer.
    race : RaceStep or None
        What a race went by, and why these trials.
    """

    by: str = ""
    saw: str = ""
    jobs: list[str] = []
    workers: dict[str, int] = {}
    last_job: int = 0
    dropped: list[str] = []
    attempts: list[NextAttempt] = []
    confirming: list[int] = []
    ends: list[TrialEnd] = []
    held: dict[int, str] = {}
    released: list[int] = []
    race: RaceStep | None = None


class Planned(Decided, frozen=True, kw_only=True, tag="planned"):
    """A plan was written. Its jobs are those that `submit` sends, and no other's are.

    Attributes
    ----------
    format : int
        As of every event, and always written: folders without it are older than any that can be read.
    home : str
        The sweep's folder, which the jobs' scripts name. A copy or a moved folder has another one.
    configurations : str
        Where the grid has a race: a digest of what it chooses among, and of the seed that it draws by.
    provenance : Provenance or None
        Who planned, and what code was there. None: an older version did not look.
    learnt : str
        The digest of the text that has what earlier sweeps know of the race's; empty: it begins without.
    """

    format: int
    jobs: list[str]  # written even if there are none: the oldest readers know no default
    settings: Settings
    home: str = ""
    new: int = 0
    kept: int = 0
    retired: int = 0
    configurations: str = ""
    provenance: Provenance | None = None
    learnt: str = ""


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


class Retried(_Event, frozen=True, kw_only=True, tag="retried"):
    """Further attempts were planned, by a version before format 3."""

    trials: list[NextAttempt]
    jobs: list[str]
    workers: dict[str, int] = {}


class Confirmed(_Event, frozen=True, kw_only=True, tag="confirmed"):
    """Trials were added that run the best configurations again, by a version before format 3.

    Attributes
    ----------
    raised : dict
        Trial number → what it asks for beyond the grid's.
    """

    trials: list[int]
    jobs: list[str]
    workers: dict[str, int] = {}
    raised: dict[int, Raised] = {}


class Observed(_Event, frozen=True, kw_only=True, tag="observed"):
    """Trials were seen to have ended."""

    trials: list[TrialEnd]


Event = (
    Decided
    | Planned
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

    Who passed over a cluster would ask another one about the job, and cancel somebody else's. Who does not know a
    decision would not send what it gave another attempt, and send what it holds.
    """
    if isinstance(event, Planned) and (event.held or event.released):
        return DECISION_FORMAT
    if isinstance(event, Planned):
        return CLUSTER_FORMAT if event.settings.cluster else event.format
    if isinstance(event, Decided):
        return DECISION_FORMAT
    if isinstance(event, Submitting) and event.cluster:
        return CLUSTER_FORMAT
    if isinstance(event, Submitted) and ";" in event.id:
        return CLUSTER_FORMAT
    return event.format
