"""Number of threads of a scan."""

from __future__ import annotations

import os

from qadapt.errors import SpecError

VARIABLE = "QADAPT_THREADS"

_threads: int | None = None


def use_threads(count: int | None) -> None:
    """Set the number of threads of all scans in this process.

    Args:
        count: at least 1; 0 is one thread per core that the process may use. None restores the
            default: the environment variable ``QADAPT_THREADS``, else 1.

    Raises:
        SpecError: not an integer of at least 0.
    """
    global _threads
    _threads = None if count is None else _checked(count, "threads")


def scan_threads() -> int:
    """Number of threads of a scan, at least 1.

    Raises:
        SpecError: ``QADAPT_THREADS`` is not an integer of at least 0.
    """
    if _threads is not None:
        return _threads
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return 1
    return _checked(int(text) if text.isdecimal() and len(text) < 20 else text, VARIABLE)


def _checked(count: object, what: str) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise SpecError(
            f"{what} must be an integer of at least 0; got {count!r}",
            hint=f"for example {what}=2; 0 is one thread per core",
        )
    return count or cores()


def cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
