"""Partitioned collections to migrate: tenants of Weaviate and partitions of Milvus."""

from __future__ import annotations

import uuid
from typing import Any

from migration_help import DIM, everything, rows

import qadapt as qa
from qadapt.api import Database
from qadapt.model import CollectionSchema, Vector
from qadapt.stores.base import Store

SIZES = {"red": 60, "blue": 40, "green-1": 20}
PLACES = {"red": "red", "blue": "blue", "green-1": "green_x2d_1"}


def store_of(database: Database) -> Store:
    """The store of a database; the public API cannot create partitions."""
    store: Store = database._store
    return store


def keys(count: int) -> list[str]:
    """UUIDs, the same in each partition."""
    return [str(uuid.UUID(int=at + 1)) for at in range(count)]


def fill(database: Database, name: str, sizes: dict[str, int]) -> None:
    """Create a partitioned collection; each id occurs in all partitions, with different rows."""
    collection_schema = CollectionSchema(partitions=tuple(sizes), is_partitioned=True)
    store_of(database).create(name, {"": Vector(DIM, qa.Metric.DOT)}, {}, collection_schema)
    for seed, (part, size) in enumerate(sizes.items()):
        payloads = [{"n": at, "of": part} for at in range(size)]
        batch = qa.Batch(keys(size), {"": rows(size, seed=seed)}, payloads)
        if size:
            database[f"{name}@{part}"].write(batch)


def contents(database: Database, name: str) -> dict[str, dict[Any, Any]]:
    """All rows by partition, empty partitions included."""
    names = store_of(database).collection_schema(name).partitions
    return {part: everything(database[f"{name}@{part}"]) for part in names}


def renamed(found: dict[str, dict[Any, Any]], places: dict[str, str]) -> dict[str, dict[Any, Any]]:
    """The same content under the partition names of another store."""
    return {places[part]: content for part, content in found.items()}
