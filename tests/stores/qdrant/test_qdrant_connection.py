"""Addresses, clients and names."""

from __future__ import annotations

from typing import Any

import pytest
from qdrant_helpers import info_of, serve, telemetry_of

import qadapt as qa
from qadapt.errors import AddressError, BusyError, InputError, UnsupportedError
from qadapt.model.address import Address
from qadapt.stores.qdrant.server.connection import address_of, check_name, connect


def test_an_unknown_address_option_is_rejected() -> None:
    with pytest.raises(AddressError, match="did you mean 'timeout'"):
        connect(Address.parse("qdrant+http://localhost:6333?timeuot=3"))
    with pytest.raises(AddressError, match="timeout"):
        connect(Address.parse("qdrant+http://localhost:6333?timeout=soon"))


def test_addresses_become_the_clients_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    from qadapt.stores.qdrant.server import connection

    def settings(text: str) -> dict[str, Any]:
        return connection._server_settings(Address.parse(text))

    assert settings("qdrant+https://h:1/pre?timeout=9") == {
        "url": "https://h:1/pre",
        "timeout": 9,
        "check_compatibility": False,
    }
    over = settings("qdrant+grpc://h:7?rest=8")
    assert (over["url"], over["prefer_grpc"], over["grpc_port"]) == ("http://h:8", True, 7)
    assert settings("qdrant+grpc://[::1]")["url"] == "http://[::1]:6333"
    both = settings("qdrant+http://h:6333?grpc=77")
    assert (both["prefer_grpc"], both["grpc_port"]) == (True, 77)


def test_a_wrapped_client_is_never_closed() -> None:
    from qdrant_client import AsyncQdrantClient

    server = serve(info_of({"size": 4, "distance": "Dot"}))
    store = server.store()
    assert str(store.address) == "qdrant+http://qdrant.test:6333"
    store.close()
    assert store.collections() == ["articles"]
    with pytest.raises(UnsupportedError, match="AsyncQdrantClient"):
        address_of(AsyncQdrantClient(location=":memory:"))


def test_wrapping_an_unsupported_object_lists_supported_clients() -> None:
    with pytest.raises(UnsupportedError, match="qdrant"):
        qa.wrap(object())


def test_wrap_accepts_an_existing_client() -> None:
    server = serve(info_of({"size": 4, "distance": "Dot"}), telemetry_of("articles", []))
    client = server.store().connection.client
    with qa.wrap(client, disabled=["native-rescore"]) as database:
        assert "articles" in database
        assert not database.capabilities().native("native-rescore")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "x" * 256])
def test_invalid_collection_names_are_rejected(name: str) -> None:
    with pytest.raises(InputError):
        check_name(name)


# The client leaves the handle of its lock file to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_local_folder_in_use_is_busy(tmp_path: Any) -> None:
    with qa.open(f"qdrant:{tmp_path}"), pytest.raises(BusyError, match="could not open"):
        qa.open(f"qdrant:{tmp_path}")
