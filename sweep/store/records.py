"""What the sweep folder's files hold, as bytes and as typed records (pure).

The journal's events are defined in ``state/events.py`` and what a node writes is `Attempt`; the rest is here.
msgspec reads a line straight into its type and writes it back, far faster than ``json`` and ``dataclasses``.
msgspec refuses NaN and lone surrogates. Python's own reader then reads the line: it does not count as torn.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, get_type_hints

import msgspec

from sweep import __version__
from sweep.errors import FormatError, StoreError
from sweep.model import SchedulerStatus, Task, Trial
from sweep.node import runner
from sweep.state.events import FORMAT, KINDS, OLDEST_FORMAT, Event
from sweep.state.evidence import Attempt


class KeptResults(msgspec.Struct):
    """Results that will not change, in one file: trial number → attempt, and the result without its lists."""

    file: str
    results: dict[int, tuple[int, dict[str, Any]]]


class KeptAnswers(msgspec.Struct):
    """What was answered about one state of the sweep: question → what was printed."""

    stamp: str
    answers: dict[str, str]


class KeptTask(msgspec.Struct, frozen=True, array_like=True):
    """One task of a kept poll.

    Attributes
    ----------
    status_place : int
        The place of its status in `KeptPoll.statuses`: thousands that wait share one.
    gone_since : float or None
        Since when the scheduler says that it is gone (Unix time).
    """

    job_id: str
    index: int | None
    status_place: int
    gone_since: float | None


class KeptPoll(msgspec.Struct):
    """What the scheduler said at one moment."""

    at: float
    statuses: list[SchedulerStatus]
    tasks: list[KeptTask]


spelled_results = msgspec.msgpack.encode
spelled_kept_tasks = msgspec.msgpack.encode


def kept_tasks_of(data: bytes) -> dict[str, tuple[Task, ...]]:
    """Read the tasks of many jobs. ValueError if they are torn."""
    return msgspec.msgpack.decode(data, type=dict[str, tuple[Task, ...]])


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """Make the reader of a type when it is first needed: that takes a millisecond or two."""
    return msgspec.json.Decoder(kind)


def results_of(data: bytes) -> KeptResults:
    """Read kept results. ValueError if they are torn."""
    return msgspec.msgpack.decode(data, type=KeptResults)


def answers_of(data: bytes) -> KeptAnswers:
    """Read kept answers. ValueError if they are torn."""
    return msgspec.json.decode(data, type=KeptAnswers)


def value_of(data: bytes | str) -> Any:
    """Read JSON. ValueError or RecursionError if it is none."""
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError:
        return json.loads(data)


def object_of(data: bytes | str) -> dict[str, Any] | None:
    """Read a JSON object; None if it is none, or torn."""
    try:
        value = value_of(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def trial_of(line: bytes) -> Trial | None:
    """Read a trial's line; None if it is torn. StoreError if it is whole, and no trial."""
    try:
        trial: Trial = _decoder(Trial).decode(line)
    except msgspec.DecodeError:
        record = object_of(line)
    else:
        return trial
    if record is None:
        return None
    try:
        return msgspec.convert(record, Trial)
    except msgspec.ValidationError as error:
        raise StoreError(
            f"trials.jsonl holds a line that is no trial: {error}", "was it changed by hand?"
        ) from None


def event_of(line: bytes) -> Event | None:
    """Read an event's line; None if it is torn.

    Raises
    ------
    FormatError
        It needs another version of sweep, or it is whole and no event.
    """
    try:
        event: Event = _decoder(Event).decode(line)
    except msgspec.DecodeError:
        record = object_of(line)
        if record is None:
            return None
        _check_format(record)
        try:
            event = msgspec.convert(record, Event, str_keys=True)
        except msgspec.ValidationError as error:
            raise FormatError(
                f"journal.jsonl holds a line that is no event: {error}", "was it changed by hand?"
            ) from None
    else:
        if not OLDEST_FORMAT <= event.format <= FORMAT:
            _check_format(
                {"event": type(event).__struct_config__.tag, "format": event.format, "version": event.version}
            )
    return event


def _check_format(record: Mapping[str, object]) -> None:
    """Refuse an event that an older or newer version of sweep wrote, and that this one would not do right by."""
    kind, by = record.get("event"), record.get("version")
    format_ = record.get("format", None if kind == "planned" else OLDEST_FORMAT)
    known = not isinstance(kind, str) or kind in KINDS
    if known and isinstance(format_, int) and OLDEST_FORMAT <= format_ <= FORMAT:
        return
    reads = f"format {FORMAT}" if FORMAT == OLDEST_FORMAT else f"formats {OLDEST_FORMAT} to {FORMAT}"
    this = f"this is sweep {__version__}, which reads {reads}"
    if isinstance(format_, int) and format_ >= OLDEST_FORMAT:
        what = f"format {format_}" if format_ > FORMAT else f"an event {kind!r}"
        raise FormatError(
            f"the sweep's folder has {what}{f', which sweep {by} wrote' if by else ''}; {this}",
            f"use sweep {by} or a newer one" if by else "use the newer version of sweep that wrote it",
        )
    raise FormatError(
        f"the sweep's folder has format {'none' if format_ is None else repr(format_)}; {this}",
        "plan the grid again under another name, or remove the folder if its results are not needed",
    )


def text_of(line: bytes) -> tuple[str, str] | None:
    """Read a kept text: its digest, and the text; None if the line is torn."""
    record = object_of(line)
    if record is None:
        return None
    digest, text = record.get("digest"), record.get("text")
    return (digest, text) if isinstance(digest, str) and isinstance(text, str) else None


def poll_of(data: str) -> KeptPoll | None:
    """Read what was kept of a poll; None if it is torn, or no poll."""
    try:
        poll: KeptPoll = _decoder(KeptPoll).decode(data)
    except msgspec.DecodeError:
        record = object_of(data)
        try:
            poll = msgspec.convert(record, KeptPoll)
        except msgspec.ValidationError:
            return None
    return poll if all(0 <= task.status_place < len(poll.statuses) for task in poll.tasks) else None


def attempt_of(data: bytes) -> Attempt | None:
    """Read an attempt's claim or exit record; None if it is half written, or no object."""
    try:
        attempt: Attempt = _decoder(Attempt).decode(data)
    except msgspec.DecodeError:
        record = object_of(data)
    else:
        return attempt
    return None if record is None else _attempt_from(record)


def _attempt_from(record: dict[str, Any]) -> Attempt:
    """Take from a record that is whole what can be read: a trial is not lost for one odd value in it."""
    kinds = get_type_hints(Attempt)
    values = {}
    for name in kinds.keys() & record.keys():
        with contextlib.suppress(msgspec.ValidationError):
            values[name] = msgspec.convert(record[name], kinds[name])
    return Attempt(**values)


def spelled_tasks(tasks: Sequence[Task], offsets: Mapping[int, int]) -> str:
    """Write a job's tasks, each a line of fixed width: trial number, attempt, offset of the trial's line."""
    return "".join([runner.TASK_LINE % (number, attempt, offsets[number]) for number, attempt in tasks])


def tasks_of(text: str) -> tuple[Task, ...]:
    """Read a job's tasks."""
    fields = [line.split() for line in text.splitlines()]
    return tuple([Task(int(number), int(attempt)) for number, attempt, _ in fields])


def spelled(record: Any) -> bytes:
    """Write a trial, an event, kept answers or a kept poll as a line of JSON."""
    try:
        return msgspec.json.encode(record)
    except UnicodeEncodeError:  # half a character in a value: JSON can spell it, UTF-8 cannot
        return json.dumps(msgspec.to_builtins(record)).encode()


def encoded(text: str) -> bytes:
    """Encode as UTF-8: a path's undecodable bytes as they were, half characters of a result's spelled out."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")
