"""Progress for people and for programs."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import TYPE_CHECKING, Any

from qadapt.cli import logs
from qadapt.cli.output import Output
from qadapt.cli.progress import Reporter

if TYPE_CHECKING:
    from qadapt.stores.base import Progress


class Events(Reporter):
    """Progress as bars; with ``--json`` or ``--log-json`` as JSON lines on standard error."""

    def __init__(self, out: Output) -> None:
        super().__init__(out)
        self._reported: tuple[str, float] = ("", 0.0)

    def __call__(self, progress: Progress) -> None:
        """Show the progress."""
        if not (self._out.json or self._out.log_json):
            super().__call__(progress)
            return
        now = time.monotonic()
        whole = progress.total is not None and progress.done >= progress.total
        if self._out.quiet or (
            progress.stage == self._reported[0] and now - self._reported[1] < 1 and not whole
        ):
            return
        if whole and self._reported[0] == f"{progress.stage} done":
            return
        self._reported = (f"{progress.stage} done" if whole else progress.stage, now)
        event: dict[str, Any] = {"event": "progress", "stage": progress.stage}
        event |= {"done": progress.done, "total": progress.total, "unit": progress.unit}
        if progress.rate is not None:
            left = (progress.total or 0) - progress.done
            event |= {
                "rate": round(progress.rate, 1),
                "eta": round(left / progress.rate, 1) if progress.rate > 0 else None,
                "lag": progress.lag,
            }
        if progress.share is not None:
            event["share"] = round(progress.share, 4)
        if progress.left is not None:
            event["left"] = round(progress.left, 1)
        if self._out.log_json:
            logs.record(logging.INFO, event.pop("event"), **event)
            return
        sys.stderr.write(json.dumps(event) + "\n")
        sys.stderr.flush()
