"""Open stores for the tests of Milvus: the live server, Lite in a fresh file, and recorders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from milvus_helpers import NAME

from qadapt.model.address import Address
from qadapt.stores.milvus.store import MilvusStore
from qadapt.testing.data import Sample, clustered


@pytest.fixture
def server(live: Callable[[str], str]) -> Iterator[MilvusStore]:
    """A live, shared server without the collection of these tests."""
    pytest.importorskip("pymilvus")
    opened = MilvusStore.open(Address.parse(live("milvus")))
    ours = {NAME, f"{NAME}_plain", *(f"{NAME}_v{number}" for number in range(1, 5))}
    for alias, target in opened.aliases().items():
        if {alias, target} & ours:
            opened.drop_alias(alias)
    for name in ours.intersection(opened.collections()):
        opened.drop(name)
    yield opened
    opened.close()


@pytest.fixture
def lite(live: Callable[[str], str]) -> Iterator[MilvusStore]:
    """An empty file of Milvus Lite."""
    opened = MilvusStore.open(Address.parse(live("milvus-lite")))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def sample() -> Sample:
    """Rows that quantization can hurt, enough for a segment that is indexed."""
    return clustered(2000, 64)


@pytest.fixture(params=["server", "lite"])
def either(request: pytest.FixtureRequest) -> MilvusStore:
    """The server, and Lite."""
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


@pytest.fixture
def at() -> Iterator[Callable[[str], tuple[MilvusStore, Any]]]:
    """``at("2.6.8")``: a store on a recorder that reports this version."""
    from milvus_contract import Recorder, start

    opened: list[Any] = []

    def open_at(text: str) -> tuple[MilvusStore, Any]:
        version, _, options = text.partition("?")
        recorder = Recorder(version)
        server, port = start(recorder)
        try:
            store = MilvusStore.open(Address.parse(f"milvus+http://127.0.0.1:{port}?{options}"))
        except BaseException:
            server.stop(0).wait()
            raise
        opened.append((store, server))
        return store, recorder

    yield open_at
    for store, server in opened:
        store.close()
        server.stop(0).wait()
