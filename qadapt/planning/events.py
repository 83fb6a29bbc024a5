"""Events in the journal of a change.

``started``, ``resumed``, ``step started``, ``step done``, ``step reversed``, ``status read``,
``recall before``, ``recall after``, ``applied``, ``failed``, ``undo started``, ``undone``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

Event = dict[str, Any]

# Required fields of each event.
_STEP: Mapping[str, type] = {"step": int}
_RECALL: Mapping[str, type] = {"recall": float}
_KNOWN: Mapping[str, Mapping[str, type]] = {
    "started": {"sequence": int},
    "resumed": {},
    "step started": _STEP,
    "step done": _STEP,
    "step reversed": _STEP,
    "status read": {},
    "recall before": _RECALL,
    "recall after": _RECALL,
    "applied": {},
    "failed": {},
    "undo started": {},
    "undone": {},
}
# Types of optional fields.
_OPTIONAL: Mapping[str, type] = {
    "action": str,
    "state": str,
    "fingerprint": str,
    "error": str,
    "ground_truth": str,
    "reason": str,
}
_LARGEST = 2**53


def problem_of(event: Any, steps: int) -> str | None:
    """Explain why an event is invalid; None if it is valid.

    Args:
        steps: number of steps of the plan.
    """
    if not isinstance(event, dict):
        return "not an object"
    name = event.get("event")
    if not isinstance(name, str) or name not in _KNOWN:
        return f"unknown event {name!r:.60}"
    if not _is_time(event.get("at")):
        return f"invalid time: {event.get('at')!r:.60}"
    for key in _KNOWN[name]:
        if key not in event:
            return f"{name!r} without {key!r}"
    for key, kind in {**_OPTIONAL, **_KNOWN[name]}.items():
        if key in event and not _is(event[key], kind):
            return f"{key!r} is {event[key]!r:.60}"
    if event.get("proof") not in (None, "none", "weak", "sufficient"):
        return f"'proof' is {event['proof']!r:.60}"
    if "step" in _KNOWN[name] and event["step"] >= steps:
        return f"step {event['step']} of a plan of {steps}"
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
