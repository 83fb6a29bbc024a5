"""Rows to migrate, and reading them back."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from qadapt.api import Collection
from qadapt.migration.row_codec import decode

DIM = 16


def rows(count: int, *, dim: int = DIM, seed: int = 0) -> np.ndarray:
    """float32 ``(count, dim)``, of many lengths."""
    made = np.random.default_rng(seed)
    lengths = made.uniform(0.1, 30, (count, 1))
    return (made.standard_normal((count, dim)) * lengths).astype(np.float32)


def everything(collection: Collection) -> dict[Any, tuple[bytes, dict[str, Any]]]:
    """All decoded rows: the bytes of their vectors, and their payloads, by id."""
    found: dict[Any, tuple[bytes, dict[str, Any]]] = {}
    for batch in map(decode, collection.read()):
        payloads = batch.payloads or [{}] * len(batch)
        for at, key in enumerate(batch.ids):
            assert key not in found
            parts = [batch.vectors[name][at].tobytes() for name in sorted(batch.vectors)]
            found[key] = (b"".join(parts), dict(payloads[at]))
    return found


# Extreme values, for hypothesis.
TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12
) | st.sampled_from(["äöüäö", '{"a": 1}', "[1]", "null", "", " x "])
NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([2**53, 2**53 + 1, -(2**63), 127, 128, -129, 2**31, 2**24 + 1]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
)
ANY = st.one_of(TEXT, NUMBERS, st.booleans(), st.none())
JSON = st.recursive(
    ANY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
