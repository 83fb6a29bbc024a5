"""Names of cached files: digests of a collection's content and of what was asked about it."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

from qadapt.model import Vector
from qadapt.stores.base import ReadRequest, Store

if TYPE_CHECKING:
    from qadapt.evaluation.ground_truth import Queries

PROBES = 64  # rows that are compared to detect a changed collection


def change_count(store: Store, collection: str) -> str | None:
    """The engine's count of all changes of a collection; None if a change could be overlooked."""
    counter = store.change_counter(collection)
    return counter.value if counter is not None and counter.complete else None


def cache_key(
    store: Store, collection: str, name: str, vector: Vector, queries: Queries, *asked: object
) -> str:
    """Digest of a vector's content, of the queries, and of the JSON values ``asked``, 32 digits.

    The content is represented by the number of rows and the first rows.
    """
    about = [store.address.identity, collection, name, vector.to_dict(), *asked]
    digest = hashlib.sha256()
    digest.update(json.dumps([*about, list(queries.own)], default=str).encode())
    digest.update(np.ascontiguousarray(queries.vectors).tobytes())
    head = next(
        store.read(collection, ReadRequest(vectors=[name], payload=False, page=PROBES)), None
    )
    if head is not None:
        digest.update(json.dumps(list(head.ids)).encode())
        digest.update(np.ascontiguousarray(head.vectors[name]).tobytes())
    return digest.hexdigest()[:32]
