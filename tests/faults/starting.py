"""Start containers for fault tests, or skip the test with the reason."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest
from live import Unavailable
from live.containers import Container
from live.plugin import saw


def missing(why: object) -> NoReturn:
    """Skip; fail if CI requires fault tests."""
    if os.environ.get("QADAPT_TEST_CONTAINERS") == "1" and os.environ.get("CI"):
        pytest.fail(f"faults are required: {why}", pytrace=False)
    pytest.skip(f"no container: {why}")


def started_for(
    config: pytest.Config, engine: str, disk: str | None = None, **environment: str
) -> Container:
    """A healthy engine in a container, which the line at the end of the run names."""
    try:
        found = Container(engine, disk, **environment).start()
    except Unavailable as reason:
        missing(reason)
    saw(config, engine, found.version, f"faults, {found.way}")
    return found
