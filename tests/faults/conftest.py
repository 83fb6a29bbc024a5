"""Fixtures of the faults: an engine in a container of the test's own, and proxies before it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest
from live import Unavailable
from live.containers import Container
from proxies import Haproxy, Toxiproxy
from rigs import Rig

from qadapt.stores import registry


def missing(why: object) -> NoReturn:
    """Skip; where CI runs them, the faults must have been tested."""
    if os.environ.get("QADAPT_TEST_CONTAINERS") == "1" and os.environ.get("CI"):
        pytest.fail(f"faults are required: {why}", pytrace=False)
    pytest.skip(str(why))


@pytest.fixture(params=["milvus", "weaviate"])
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine that can be had in a container here."""
    if request.param not in registry.names():
        pytest.skip(f"qadapt has no store {request.param} yet")
    return str(request.param)


@pytest.fixture
def contain(engine: str) -> Iterator[Callable[..., Container]]:
    """``contain(disk="64m", NAME="value")``: a container of this test's own."""
    started: list[Container] = []

    def start(**how: Any) -> Container:
        try:
            container = Container(engine, **how)
        except Unavailable as reason:
            missing(reason)
        started.append(container)
        return container.start()

    yield start
    for container in started:
        container.stop()


@pytest.fixture
def proxied() -> Iterator[Callable[..., Any]]:
    """``proxied(Toxiproxy, container)``: a proxy before a container."""
    started: list[Toxiproxy | Haproxy] = []

    def start(kind: Callable[[Container], Any], container: Container) -> Any:
        try:
            started.append(kind(container))
        except Unavailable as reason:
            missing(reason)
        return started[-1]

    yield start
    for proxy in started:
        proxy.stop()


@pytest.fixture
def rig() -> Iterator[Callable[..., Rig]]:
    """``rig(url)``: a filled collection there."""
    opened: list[Rig] = []

    def start(url: str, **how: Any) -> Rig:
        opened.append(Rig(url, **how))
        return opened[-1]

    yield start
    for each in opened:
        each.close()
