"""The lines of a journal: one event each, with a checksum over it and the line before.

So a changed, lost, doubled or moved line is noticed. The time of an event is not in its checksum:
what is done and taken back depends on the order of lines, never on a clock.
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

# What each event must hold.
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
# What an event may hold.
_OPTIONAL: Mapping[str, type] = {
    "sequence": int, "format": int, "qadapt": str, "address": str, "collection": str, "plan": str,
    "action": str, "state": str, "fingerprint": str, "error": str,
}  # fmt: skip
_LARGEST = 2**53


class DamageError(Exception):
    """What is wrong with a journal, without the name of its change."""


def encode(event: Event, before: str) -> bytes:
    """The line of an event.

    Args:
        before: the checksum of the line before; empty for the first.
    """
    whole = {**event, "sum": _checksum(event, before)}
    # ASCII: names of files in messages may hold what UTF-8 cannot.
    return json.dumps(whole).encode() + b"\n"


def split(content: bytes) -> list[bytes]:
    """The whole lines; what follows the last newline is empty, or was torn by a crash."""
    return content.split(b"\n")[:-1]


def last_sum(content: bytes) -> str:
    """The checksum of the last whole line; empty for none."""
    lines = split(content)
    try:
        found = json.loads(lines[-1])["sum"] if lines else ""
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return found if isinstance(found, str) else ""


def decode(content: bytes, steps: int | None = None) -> list[Event]:
    """All events, oldest first.

    Args:
        steps: of the plan; None where it is not known.

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
    """The events of those lines of a damaged journal that are JSON objects, unchecked."""
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
        return f"no time: {event.get('at')!r:.60}"
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
        return "its checksum does not match: the line, or one before it, was changed or lost"
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
    """The checksum of a plan's document, without the time of its making."""
    held = {key: value for key, value in plan.items() if key != "created"}
    return f"{zlib.crc32(json.dumps(held, sort_keys=True).encode()):08x}"
