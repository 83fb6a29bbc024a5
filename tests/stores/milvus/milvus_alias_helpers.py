"""Helpers for tests that change a collection behind an alias."""

from __future__ import annotations

from typing import Any

import numpy as np
from milvus_helpers import NAME

from qadapt.model import Batch, Metric, Quantization, Step, Vector
from qadapt.stores.change import ChangeRequest
from qadapt.stores.milvus.store import MilvusStore

BITS = 'binary:native={"index_type":"BIN_FLAT"}'
FIRST, SECOND = f"{NAME}_v1", f"{NAME}_v2"
PLAIN = f"{NAME}_plain"


def fill(store: MilvusStore, array: np.ndarray[Any, Any], metric: str = "cosine") -> None:
    """``articles_v1`` with these rows, written out of order, and the alias ``articles``."""
    store.create(FIRST, {"": Vector(array.shape[1], Metric.of(metric))}, {})
    order = np.random.default_rng(0).permutation(len(array)).tolist()
    payloads = [{"group": row % 7, "tags": ["a", {"b": row}]} for row in order]
    store.write(FIRST, Batch(order, {"": array[order]}, payloads))
    store.switch_alias(NAME, FIRST)


def alias_plan(store: MilvusStore, text: str) -> list[Step]:
    """The steps of a change by alias."""
    return list(
        store.plan_change(
            ChangeRequest(store.inspect(NAME), "", Quantization.parse(text), strategy="alias")
        ).steps
    )


def whole(store: MilvusStore, name: str) -> Batch:
    """All rows by key."""
    return Batch.concat(list(store.read(name)))


def same(left: Batch, right: Batch) -> bool:
    """Whether ids, vectors and payloads are equal, bit for bit."""
    floats = left.vectors[""].tobytes() == right.vectors[""].tobytes()
    return left.ids == right.ids and left.payloads == right.payloads and floats
