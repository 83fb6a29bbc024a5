"""A missing or stopped Docker engine is reported as the reason, and nothing leaks."""

from __future__ import annotations

import gc
import socket
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from live import Unavailable

pytest.importorskip("docker")
containers: Any = pytest.importorskip("live.containers")
pytest.importorskip("testcontainers")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX: unix sockets")


@pytest.fixture
def asked_anew() -> Iterator[None]:
    """Results about the engine are cached neither from earlier tests nor for later ones."""
    containers._client.cache_clear()
    yield
    containers._client.cache_clear()


def _left_over(folder: Path) -> Path:
    """A socket file whose engine has ended without removing it."""
    path = folder / "docker.sock"
    with socket.socket(socket.AF_UNIX) as ended:
        ended.bind(str(path))
    return path


@pytest.mark.parametrize("there", [True, False])
def test_a_socket_file_without_an_engine_leaks_nothing(
    asked_anew: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    path = _left_over(tmp_path) if there else tmp_path / "docker.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    gc.collect()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(Unavailable, match=r"no Docker engine answers at .*docker\.sock"):
            containers._client()
        gc.collect()
    assert not [str(each.message) for each in told]
