"""Open stores for the tests of Milvus: the live server, and Lite in a fresh file."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
