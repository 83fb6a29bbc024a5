"""Wait for a collection that the server loads after a restart.

tests/migration/test_migration_kill.py tests this with a real server.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from qadapt.errors import BusyError
from qadapt.stores import polling
from qadapt.stores.milvus import loading


class Connection:
    """Returns these load states in order, then the last one."""

    def __init__(self, *states: str) -> None:
        self.states = list(states)
        self.client = SimpleNamespace(get_load_state=self.state)

    def state(self, name: str) -> dict[str, Any]:
        """As pymilvus gives it: a member of an enum."""
        assert name == "Docs"
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return {"state": SimpleNamespace(name=state)}

    def call(self, doing: str, work: Callable[..., Any], *args: Any) -> Any:
        return work(*args)


def wait(connection: Any, limit: float) -> None:
    loading.wait_while_loading(connection, "Docs", limit)


def test_reads_wait_while_the_server_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "PAUSE", 0.01)
    connection = Connection("Loading", "Loading", "Loaded")
    wait(connection, 10)
    assert connection.states == ["Loaded"]
    wait(connection, 10)  # at once


def test_a_released_collection_does_not_wait() -> None:
    wait(Connection("NotLoad"), 10)


def test_a_load_timeout_has_a_hint() -> None:
    with pytest.raises(BusyError, match="Docs") as caught:
        wait(Connection("Loading"), 0)
    assert "get_load_state" in str(caught.value.hint)
