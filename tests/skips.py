"""A test that is skipped for any reason other than these is a failure.

A test never skips because a file or a package is missing: files are part of the repository or made
by a fixture, and packages are in the extras ``dev`` and ``engines``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Generator
from typing import Any

import pytest

# Permitted reasons of a machine, as regular expressions from the start of the reason.
ALLOWED = (
    # ``--require-live`` names those that must be there.
    r"no live engine '(qdrant|milvus|weaviate)'",
    r"no container: ",
    r"no Chromium on PATH",
    r"no pgbouncer on PATH",
    r"needs the environment of `make test-[a-z0-9-]+`",
    r"optional engine: ",  # the extras fast, faiss and usearch
    r"needs POSIX",
    r"needs Linux",
    r"needs Python ",
    r"only one client can open ",  # a test of two clients
    r"this server is ",  # older or newer than the test's subject
    r"the store does not support ",  # of the conformance suite, for features a store lacks
)
# Packages without a wheel for every platform.
PARTIAL = ("milvus_lite", "qdrant_edge", "faiss", "chdb")
_MISSING = re.compile(r"could not import '(\w+)|no live engine '(edge|milvus-lite|clickhouse)'")


def is_allowed(reason: str, platform: str = sys.platform) -> bool:
    """Whether a skip with this reason is permitted."""
    reason = reason.removeprefix("Skipped: ")
    found = _MISSING.match(reason)
    if found:
        return platform != "linux" and (found[2] is not None or found[1] in PARTIAL)
    return any(re.match(pattern, reason) for pattern in ALLOWED)


def reason_of(report: Any) -> str | None:
    """The reason of a skip; None where the report is of something else, such as an xfail."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return None
    return str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)


def _judge(report: Any) -> Any:
    reason = reason_of(report)
    if reason is not None and not is_allowed(reason):
        report.outcome = "failed"
        report.longrepr = (
            f"{reason}\nA test may not be skipped for this reason; tests/skips.py lists those that "
            "it may be. `make test` installs all packages that tests need."
        )
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    return _judge((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    return _judge((yield))
