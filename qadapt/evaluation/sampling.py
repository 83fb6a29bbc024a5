"""Read the rows of a collection that have a vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from qadapt.errors import InputError
from qadapt.model import Batch
from qadapt.stores.base import ReadRequest, Store


def whole_of(
    store: Store, collection: str, name: str, *, payload: bool = False, filter: Any = None
) -> Batch:
    """Read all rows, or those that match; an empty batch from an empty collection."""
    request = ReadRequest(vectors=[name], payload=payload, filter=filter)
    pages = list(store.read(collection, request))
    return Batch.concat(pages) if pages else Batch([], {})


def present(batch: Batch, name: str, collection: str, fields: Sequence[str] = ()) -> Batch:
    """The rows that have the vector, reduced to that vector and some payload fields.

    Raises:
        InputError: no row has the vector.
    """
    if not len(batch) or (name in batch.missing and batch.missing[name].all()):
        raise InputError(
            f"the collection {collection!r} has no rows with this vector, so nothing can "
            "be measured",
            hint="write vectors first",
        )
    payloads = None
    if fields:
        rows = batch.payloads or ({},) * len(batch)
        payloads = [{key: row[key] for key in fields if key in row} for row in rows]
    gone = batch.missing.get(name)
    if gone is None or not gone.any():
        return Batch(batch.ids, {name: batch.vectors[name]}, payloads)
    there = np.flatnonzero(~gone).tolist()
    return Batch(
        [batch.ids[at] for at in there],
        {name: batch.vectors[name][there]},
        None if payloads is None else [payloads[at] for at in there],
    )
