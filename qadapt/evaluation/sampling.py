"""Read the rows of a collection that have a vector, without payloads."""

from __future__ import annotations

import numpy as np

from qadapt.errors import InputError
from qadapt.model import Batch
from qadapt.stores.base import ReadRequest, Store


def whole_of(store: Store, collection: str, name: str) -> Batch:
    """Read all rows; an empty batch from an empty collection."""
    pages = list(store.read(collection, ReadRequest(vectors=[name], payload=False)))
    return Batch.concat(pages) if pages else Batch([], {})


def present(batch: Batch, name: str, collection: str) -> Batch:
    """The rows that have the vector, reduced to that vector.

    Raises:
        InputError: no row has the vector.
    """
    if not len(batch) or (name in batch.missing and batch.missing[name].all()):
        raise InputError(
            f"the collection {collection!r} has no rows with this vector, so nothing can "
            "be measured",
            hint="write vectors first",
        )
    gone = batch.missing.get(name)
    if gone is None or not gone.any():
        return Batch(batch.ids, {name: batch.vectors[name]})
    there = np.flatnonzero(~gone).tolist()
    return Batch([batch.ids[at] for at in there], {name: batch.vectors[name][there]})
