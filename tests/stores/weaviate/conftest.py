"""Fixtures: a store on the live Weaviate, and a unique collection name."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from weaviate_articles import Floats

from qadapt.model.address import Address
from qadapt.stores.weaviate.store import WeaviateStore


@pytest.fixture
def store(live: Callable[[str], str]) -> Iterator[WeaviateStore]:
    """A store on a server that other tests share."""
    pytest.importorskip("weaviate")
    opened = WeaviateStore.open(Address.parse(live("weaviate")))
    yield opened
    opened.close()


@pytest.fixture
def name(store: WeaviateStore) -> Iterator[str]:
    """A unique name; collections and aliases that start with it are dropped."""
    found = f"T{uuid.uuid4().hex[:12]}"
    yield found
    for alias in store.aliases():
        if alias.startswith(found):
            store.drop_alias(alias)
    for each in store.collections():
        if each.startswith(found):
            store.drop(each)


@pytest.fixture(scope="module")
def docs(embeddings: Any) -> Floats:
    """1,500 rows of 256 dimensions."""
    found: Floats = embeddings.docs[:1500]
    return found
