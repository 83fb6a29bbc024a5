"""Containers end with the tests, even if these are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live import Unavailable, containers
from live.plugin import saw
from starting import missing

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]
TESTS = Path(__file__).parents[1]
# A test run that starts a container, prints its id, and waits.
RUN = """
import sys, time
from live import containers
container = containers.start("weaviate")
print(container.inner.id, containers.owner(), flush=True)
time.sleep(600)
"""


@pytest.fixture
def run(request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """The process, its container's id and the label's value."""
    try:
        like = containers.Container("weaviate")
    except Unavailable as reason:
        missing(reason)
    with subprocess.Popen(
        [sys.executable, "-c", RUN], cwd=TESTS, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        identity, owner = process.stdout.readline().split()
        saw(request.config, "weaviate", like.image.rpartition(":")[2], f"faults, {like.way}")
        yield process, identity, owner
        process.kill()


def _there(identity: str) -> bool:
    client: Any = containers._client()
    # Another container, or this one, may go while they are looked at one by one.
    found = client.containers.list(all=True, ignore_removed=True)
    return any(each.id == identity for each in found)


def _gone(identity: str) -> bool:
    end = time.monotonic() + 60
    while _there(identity) and time.monotonic() < end:
        time.sleep(0.2)
    return not _there(identity)


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_container_is_removed_after_its_tests(run, sign) -> None:
    process, identity, _ = run
    assert _there(identity)
    process.send_signal(sign)
    assert _gone(identity)


def test_without_a_reaper_the_next_run_removes_it(run) -> None:
    process, identity, owner = run
    reaper = _reaper_of(owner)
    os.kill(reaper, signal.SIGKILL)
    process.kill()
    process.wait()
    time.sleep(1)
    assert _there(identity)
    containers._remove_leftovers(containers._client())
    assert _gone(identity)


def test_a_container_of_a_running_test_run_is_kept(run) -> None:
    _, identity, _ = run
    containers._remove_leftovers(containers._client())
    assert _there(identity)


def test_ports_are_published_on_loopback_only(run) -> None:
    client: Any = containers._client()
    ports = client.containers.get(run[1]).attrs["NetworkSettings"]["Ports"]
    addresses = {each["HostIp"] for bound in ports.values() for each in bound or ()}
    assert addresses == {"127.0.0.1"}


def _reaper_of(owner: str) -> int:
    """The process id of the reaper of these containers."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if f"qadapt.tests={owner}".encode() in words:
            return int(entry.parent.name)
    raise AssertionError(f"no reaper of {owner}")
