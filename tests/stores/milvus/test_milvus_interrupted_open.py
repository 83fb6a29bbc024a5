"""Ctrl-C while Milvus Lite is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qadapt.model.address import Address
from qadapt.stores.milvus import connection, lite_servers
from qadapt.stores.milvus.store import MilvusStore

pytest.importorskip("pymilvus")
pytest.importorskip("milvus_lite")


@pytest.mark.parametrize("place", ["_made", "_ask_version"])
def test_ctrl_c_while_a_file_is_opened_stops_its_server(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the server goes on, and keeps the file locked."""
    address = Address.parse(f"milvus:{tmp_path / 'm.db'}")
    real = getattr(connection, place)

    def interrupted(*given: Any) -> Any:
        monkeypatch.setattr(connection.Connection, "version", property(_interrupt))
        return real(*given)

    def _interrupt(_: Any) -> str:
        raise KeyboardInterrupt

    def at_once(*given: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(connection, place, at_once if place == "_made" else interrupted)
    with pytest.raises(KeyboardInterrupt):
        MilvusStore.open(address)
    assert address.path.resolve() not in lite_servers._users
