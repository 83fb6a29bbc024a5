"""Journal lines: one event each, with a checksum over it and the previous line.

The checksum detects modified, lost, duplicated and reordered lines. It does not cover the time,
because only the order of lines matters.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

FORMAT = 1

Event = dict[str, Any]

# Required fields of each event.
_STEP: Mapping[str, type] = {"step": int}
_RECALL: Mapping[str, type] = {"recall": float}
_KNOWN: Mapping[str, Mapping[str, type]] = {
    "begun": {},
    "resumed": {},
    "step begun": _STEP,
    "step done": _STEP,
    "step taken back": _STEP,
    "seen": {},
    "recall before": _RECALL,
    "recall after": _RECALL,
    "applied": {},
    "failed": {},
    "undo begun": {},
    "undone": {},
}
# Types of fields.
_OPTIONAL: Mapping[str, type] = {
    "sequence": int, "format": int, "qadapt": str, "address": str, "collection": str, "plan": str,
    "action": str, "state": str, "fingerprint": str, "error": str,
}  # fmt: skip
_LARGEST = 2**53


class DamageError(Exception):
    """Problem of a journal; the message does not contain the id of the change."""


def encode(event: Event, before: str) -> bytes:
    """Format an event.

    Args:
        before: checksum of the previous line; empty for the first.
    """
    whole = {**event, "sum": _checksum(event, before)}
    # ASCII, because file names in messages may not be valid UTF-8.
    return json.dumps(whole).encode() + b"\n"


def split(content: bytes) -> list[bytes]:
    """Complete lines; the text after the last newline is empty or was truncated by a crash."""
    return content.split(b"\n")[:-1]


def last_sum(content: bytes) -> str:
    """Checksum of the last complete line; empty if there is none."""
    lines = split(content)
    try:
        found = json.loads(lines[-1])["sum"] if lines else ""
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return found if isinstance(found, str) else ""


def decode(content: bytes, steps: int | None = None) -> list[Event]:
    """Parse all events, oldest first.

    Args:
        steps: number of steps of the plan; None if unknown.

    Raises:
        DamageError
    """
    events = []
    before = ""
    for number, line in enumerate(split(content), start=1):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DamageError(f"line {number} is not JSON: {error}") from error
        problem = _problem(event, before, steps)
        if problem is not None:
            raise DamageError(f"line {number}: {problem}")
        before = event.get("sum", "")
        events.append(event)
    return events


def readable(content: bytes) -> Iterator[Event]:
    """Parse a damaged journal: the lines that are JSON objects, unchecked."""
    for line in content.split(b"\n"):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            yield event


def _problem(event: Any, before: str, steps: int | None) -> str | None:
    if not isinstance(event, dict):
        return "not an object"
    name = event.get("event")
    if not isinstance(name, str) or name not in _KNOWN:
        return f"unknown event {name!r:.60}"
    if not _is_time(event.get("at")):
        return f"invalid time: {event.get('at')!r:.60}"
    for key, kind in _KNOWN[name].items():
        if key not in event:
            return f"{name!r} without {key!r}"
        if not _is(event[key], kind):
            return f"{key!r} is {event[key]!r:.60}"
    for key, kind in _OPTIONAL.items():
        if key in event and not _is(event[key], kind):
            return f"{key!r} is {event[key]!r:.60}"
    if "step" in event and steps is not None and not event["step"] < steps:
        return f"step {event['step']} of a plan of {steps}"
    if "sum" in event and event["sum"] != _checksum(event, before):
        return "the checksum does not match: this line or an earlier one was modified or lost"
    return None


def _is(value: Any, kind: type) -> bool:
    if kind is int:
        return type(value) is int and 0 <= value < _LARGEST
    if kind is float:
        number = type(value) in (int, float)
        return number and 0 <= value <= 1 and math.isfinite(value)
    return isinstance(value, kind)


def _is_time(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _checksum(event: Event, before: str) -> str:
    held = {key: value for key, value in event.items() if key not in ("at", "sum")}
    text = before + json.dumps(held, sort_keys=True)
    return f"{zlib.crc32(text.encode()):08x}"


def digest(plan: Mapping[str, Any]) -> str:
    """Checksum of the plan document without its creation time."""
    held = {key: value for key, value in plan.items() if key != "created"}
    return f"{zlib.crc32(json.dumps(held, sort_keys=True).encode()):08x}"
