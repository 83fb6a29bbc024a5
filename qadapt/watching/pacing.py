"""Durations, and a limit of queries per second."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable

from qadapt.errors import SpecError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(text: str, what: str) -> float:
    """Seconds of a duration such as ``90s``, ``15m``, ``1h`` or ``2d``.

    Raises:
        SpecError: not a duration, or not above 0.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if found is None or float(found[1]) <= 0:
        raise SpecError(
            f"{what} must be a duration above 0; got {text!r}", hint="for example 30s, 15m, 1h, 1d"
        )
    return float(found[1]) * _UNITS[found[2]]


class Pace:
    """Waits so that at most ``rate`` queries are sent in a second.

    Args:
        rate: queries per second, above 0.
        sleep, clock: replaced by tests.

    Raises:
        SpecError: not a rate.
    """

    def __init__(
        self,
        rate: float,
        *,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not (math.isfinite(rate) and rate > 0):
            raise SpecError(
                f"the number of queries per second must be above 0; got {rate:g}",
                hint="for example --rate 10",
            )
        self._gap = 1 / rate
        self._sleep, self._clock = sleep, clock
        self._next = -math.inf

    def wait(self) -> None:
        """Wait until the next query may be sent."""
        now = self._clock()
        if now < self._next:
            self._sleep(self._next - now)
            now = self._next
        self._next = now + self._gap
