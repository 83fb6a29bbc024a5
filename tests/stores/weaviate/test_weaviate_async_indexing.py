"""Quantization on a server that builds its indexes asynchronously."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from weaviate_articles import Floats, articles, raw, recall, state

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import ApplyError, UnsupportedError
from qadapt.model.address import Address
from qadapt.stores.weaviate.store import WeaviateStore

pytest.importorskip("weaviate")
pytestmark = pytest.mark.timeout(300)

ACTIVE, IGNORED = qa.State.ACTIVE, qa.State.IGNORED


@pytest.fixture(scope="module")
def docs(embeddings: Any) -> Floats:
    """3,000 real rows of 256 dimensions."""
    found: Floats = embeddings.docs[:3000]
    return found


@pytest.fixture(scope="module")
def queries(embeddings: Any) -> Floats:
    found: Floats = embeddings.queries[:100]
    return found


def test_with_async_indexing(
    weaviate_server: Callable[..., Any], docs: Floats, queries: Floats
) -> None:
    """BQ needs a restart, PQ its limit of rows, and a dynamic index its threshold."""
    server = weaviate_server(ASYNC_INDEXING="true", ASYNC_INDEXING_STALE_TIMEOUT="1s")
    with closing(WeaviateStore.open(Address.parse(server.url))) as store:
        for_rq = articles(store, "Rotated", docs)
        for_rq.plan("scalar").apply(yes=True)
        assert state(for_rq) is ACTIVE

        for_bq = articles(store, "Binary", docs)
        with pytest.raises(ApplyError, match="at its next restart") as error:
            for_bq.plan("binary").apply(yes=True, timeout=60)
        assert "restart the server" in str(error.value.hint)
        assert state(for_bq) is IGNORED

        for_pq = articles(store, "Products", docs, "product:segments=32")
        _wait_indexed(for_pq)
        assert state(for_pq) is IGNORED
        for_pq.plan("product:segments=32").apply(yes=True, timeout=120)
        assert raw(store, "Products")["vectorIndexConfig"]["pq"]["trainingLimit"] < len(docs)
        assert state(for_pq) is ACTIVE
        for_sq = articles(store, "Scalars", docs)
        for_sq.plan("scalar:per=collection").apply(yes=True, timeout=60)
        assert state(for_sq) is ACTIVE

        _dynamic(store, docs, queries)
    server.restart()
    with closing(WeaviateStore.open(Address.parse(server.url))) as store:
        again = Database(store)["Binary"]
        assert state(again) is ACTIVE, "BQ came with the restart"
        assert not again.plan("binary").changes


def _dynamic(store: WeaviateStore, docs: Floats, queries: Floats) -> None:
    native = {"vectorIndexType": "dynamic", "threshold": 1000}
    collection = articles(store, "Dynamic", docs[:800], qa.product(segments=32, native=native))
    _wait_indexed(collection)
    status = collection.info().vectors[""].status
    assert (status.state, "flat up to 1,000" in status.reason) == (IGNORED, True)
    with pytest.raises(UnsupportedError, match="flat up to"):
        collection.plan("product:segments=32")
    collection = articles(store, "Binaries", docs, qa.binary(native=native))
    end = time.monotonic() + 90
    while state(collection) is not ACTIVE and time.monotonic() < end:
        time.sleep(0.5)
    assert state(collection) is ACTIVE, collection.info().vectors[""].status
    assert recall(collection.search(queries, k=10, rescore=10), docs, queries) > 0.9
    change = collection.plan("scalar").apply(yes=True)
    assert Database(store).aliases()["Binaries"] == "Binaries_v2"
    assert change.state == "applied"


def _wait_indexed(collection: Collection) -> None:
    end = time.monotonic() + 60
    while state(collection) is qa.State.BUILDING and time.monotonic() < end:
        time.sleep(0.3)
