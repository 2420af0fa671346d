"""What the sweep folder's files hold, as bytes and as objects (pure).

msgspec reads a line straight into a `Trial` and writes it back, far faster than ``json`` and ``dataclasses``.
What it will not read, NaN and half characters, falls to Python's own reader, so that nothing is torn that was not.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from sweep.errors import StoreError
from sweep.model import Attempt, SchedulerStatus, Trial


class Results(msgspec.Struct):
    """Results that will not change, in one file: trial number → attempt, and the result without its lists."""

    file: str
    results: dict[int, tuple[int, dict[str, Any]]]


class Answers(msgspec.Struct):
    """What was answered about one state of the sweep: question → what was printed."""

    stamp: str
    answers: dict[str, str]


class KeptPoll(msgspec.Struct):
    """The scheduler's word at one moment. Of a task: job id, index, its word's place, since when it is gone."""

    at: float
    statuses: list[SchedulerStatus]
    tasks: list[tuple[str, int | None, int, float | None]]


_TRIALS = msgspec.json.Decoder(Trial)
_RESULTS = msgspec.msgpack.Decoder(Results)
_ANSWERS = msgspec.json.Decoder(Answers)
_POLL = msgspec.json.Decoder(KeptPoll)

results_of = _RESULTS.decode
packed = msgspec.msgpack.encode
answers_of = _ANSWERS.decode


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
        return _TRIALS.decode(line)
    except msgspec.DecodeError:
        record = object_of(line)
    if record is None:
        return None
    try:
        return msgspec.convert(record, Trial)
    except msgspec.ValidationError as error:
        raise StoreError(
            f"trials.jsonl holds a line that is no trial: {error}", "was it changed by hand?"
        ) from None


def poll_of(data: str) -> KeptPoll | None:
    """Read what was kept of the scheduler's word; None if it is torn, or another version's."""
    try:
        return _POLL.decode(data)
    except msgspec.DecodeError:
        record = object_of(data)
    try:
        return msgspec.convert(record, KeptPoll)
    except msgspec.ValidationError:
        return None


def attempt_of(number: int, data: bytes) -> Attempt | None:
    """Read an attempt's claim or exit record; None if it is half written."""
    record = object_of(data)
    if record is None:
        return None
    names = Attempt.__dataclass_fields__.keys() & record.keys() - {"number", "signals"}
    return Attempt(number, signals=tuple(record.get("signals", ())), **{name: record[name] for name in names})


def spelled(thing: Any) -> bytes:
    """Write a trial, an event, `Answers` or a `KeptPoll` as a line of JSON."""
    try:
        return msgspec.json.encode(thing)
    except UnicodeEncodeError:  # half a character in a value: JSON can spell it, UTF-8 cannot
        return json.dumps(msgspec.to_builtins(thing)).encode()


def encoded(text: str) -> bytes:
    """Encode as UTF-8: a path's undecodable bytes as they were, half characters of a result's spelled out."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")
