"""Start containers for fault tests, or skip the test with the reason."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest
from live import Unavailable
from live.containers import Container
from live.plugin import saw

# CI builds their images only where there is Maven and a JDK.
WITHOUT_IMAGE = ("elasticsearch", "opensearch")


def missing(why: object, *, required: bool = True) -> NoReturn:
    """Skip; fail if CI requires fault tests of this engine."""
    if required and os.environ.get("QADAPT_TEST_CONTAINERS") == "1" and os.environ.get("CI"):
        pytest.fail(f"faults are required: {why}", pytrace=False)
    pytest.skip(f"no container: {why}")


def started_for(
    config: pytest.Config, engine: str, disk: str | None = None, **environment: str
) -> Container:
    """A healthy engine in a container, which the line at the end of the run names."""
    try:
        found = Container(engine, disk, **environment).start()
    except Unavailable as reason:
        missing(reason, required=engine not in WITHOUT_IMAGE)
    saw(config, engine, found.version, f"faults, {found.way}")
    return found
