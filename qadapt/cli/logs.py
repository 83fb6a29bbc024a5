"""The log of a command on standard error: lines of text (``-v``), or of JSON (``--log-json``)."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from qadapt.errors import SpecError
from qadapt.model.address import mask
from qadapt.used_keys import mask_used

VARIABLE = "QADAPT_LOG"
logger = logging.getLogger("qadapt")


def json_by_environment() -> bool:
    """Whether ``QADAPT_LOG`` asks for lines of JSON."""
    return os.environ.get(VARIABLE) == "json"


def check_environment() -> None:
    """Refuse a value of ``QADAPT_LOG`` other than ``json``.

    Raises:
        SpecError
    """
    if os.environ.get(VARIABLE, "json") not in ("", "json"):
        raise SpecError(
            f"{VARIABLE} must be json; got {os.environ[VARIABLE]!r}",
            hint=f"{VARIABLE}=json writes the log as lines of JSON; -v shows it as text",
        )


def record(level: int, message: str, **fields: Any) -> None:
    """Log a message with fields; ``fields`` are keys of a line of JSON."""
    logger.log(level, message, extra={"fields": fields})


@contextlib.contextmanager
def logging_to_stderr(level: int, *, as_json: bool) -> Iterator[None]:
    """The log on standard error during the block; an inner block keeps the handler of the outer."""
    if any(isinstance(each, _Handler) for each in logger.handlers):
        yield
        return
    handler = _Handler(sys.stderr)
    handler.setFormatter(_Json() if as_json else _Text())
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Handler(logging.StreamHandler[Any]):
    """The handler of a command."""


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s  %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        from qadapt.cli.terminal_text import clean

        fields = getattr(record, "fields", {}).items()
        return clean(mask(" ".join([super().format(record), *(f"{k}={v}" for k, v in fields)])))


class _Json(logging.Formatter):
    """One object per record: ``time`` (UTC), ``level``, ``logger``, ``message`` and its fields."""

    def format(self, record: logging.LogRecord) -> str:
        from qadapt.cli.terminal_text import escaped

        found: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": mask(record.getMessage()),
        }
        for name, value in getattr(record, "fields", {}).items():
            found[name] = mask(value) if isinstance(value, str) else value
        if record.exc_info:
            found["traceback"] = mask(self.formatException(record.exc_info))
        return escaped(mask_used(json.dumps(found, ensure_ascii=False, default=str)))
