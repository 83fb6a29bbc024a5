"""Fixtures of fault tests: an engine in a separate container, and proxies in front of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from live import Unavailable
from live.containers import Container
from proxies import Haproxy, Toxiproxy
from rigs import Rig
from starting import WITHOUT_IMAGE, missing, started_for

from qadapt.stores import registry


@pytest.fixture(
    params=[
        "milvus",
        "weaviate",
        *(pytest.param(e, marks=pytest.mark.extended) for e in WITHOUT_IMAGE),
    ]
)
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine that is available as a container here."""
    if request.param not in registry.names():
        pytest.skip(f"qadapt does not support {request.param}")
    return str(request.param)


@pytest.fixture(scope="session")
def containers() -> Iterator[dict[str, Container]]:
    """One container per engine, shared by the tests; each test restores it."""
    started: dict[str, Container] = {}
    yield started
    for container in started.values():
        container.stop()


@pytest.fixture
def container(
    request: pytest.FixtureRequest, engine: str, containers: dict[str, Container]
) -> Iterator[Container]:
    """A healthy engine in a container."""
    if engine not in containers:
        containers[engine] = started_for(request.config, engine)
    found = containers[engine]
    yield found
    found.inner.reload()
    if found.inner.status == "paused":
        found.inner.unpause()
    elif found.inner.status != "running":
        found.inner.start()
    found.wait()


@pytest.fixture
def small(request: pytest.FixtureRequest, engine: str) -> Iterator[Callable[..., Container]]:
    """``small("64m", NAME="value")``: a separate container with its data on a small tmpfs."""
    started: list[Container] = []

    def start(disk: str, **environment: str) -> Container:
        started.append(started_for(request.config, engine, disk, **environment))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def proxied() -> Iterator[Callable[..., Any]]:
    """``proxied(Toxiproxy, container)``: a proxy in front of a container."""
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
