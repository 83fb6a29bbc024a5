"""Rows to migrate, and what came of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from qadapt.api import Collection
from qadapt.migration.carrier import home

DIM = 16


def rows(count: int, *, dim: int = DIM, seed: int = 0) -> np.ndarray:
    """float32 ``(count, dim)``, of many lengths."""
    made = np.random.default_rng(seed)
    lengths = made.uniform(0.1, 30, (count, 1))
    return (made.standard_normal((count, dim)) * lengths).astype(np.float32)


def everything(collection: Collection) -> dict[Any, tuple[bytes, dict[str, Any]]]:
    """All rows as they really are: the bytes of their vectors, and their payloads, by id."""
    found: dict[Any, tuple[bytes, dict[str, Any]]] = {}
    for batch in map(home, collection.read()):
        payloads = batch.payloads or [{}] * len(batch)
        for at, key in enumerate(batch.ids):
            assert key not in found
            parts = [batch.vectors[name][at].tobytes() for name in sorted(batch.vectors)]
            found[key] = (b"".join(parts), dict(payloads[at]))
    return found
