"""Batches of embeddings in the forms of services."""

from __future__ import annotations

import base64

import numpy as np
import pytest

import qadapt as qa
from qadapt.errors import InputError, SpecError

ROWS = np.array([[1, -1, 1, 1, -1, -1, -1, 1], [-1] * 8], dtype=np.float32)


@pytest.mark.parametrize(
    ("codes", "kind"),
    [
        (np.array([[0b10110001], [0]], dtype=np.uint8), "ubinary"),
        ([[0b10110001], [0]], "ubinary"),
        ([b"\xb1", b"\0"], "ubinary"),
        ([[b"\xb1"], [b"\0"]], "ubinary"),
        (np.array([[0b10110001 - 128], [-128]], dtype=np.int8), "binary"),
        (ROWS.astype(np.int8), "int8"),
        ((ROWS + 128).astype(np.uint8), "uint8"),
        (ROWS.astype(np.int64), "numbers"),
        ((ROWS.view(np.uint32) >> 16).astype(np.uint16), "bfloat16"),
        ((ROWS.view(np.uint32) >> 16).astype(np.uint16).view("V2"), "bfloat16"),
        ([base64.b64encode(row.tobytes()).decode() for row in ROWS], "base64"),
    ],
)
def test_a_batch_decodes_the_kind(codes: object, kind: str) -> None:
    batch = qa.Batch([1, 2], {"a": codes}, kind=kind)  # type: ignore[dict-item]
    np.testing.assert_array_equal(batch.vectors["a"], ROWS)
    assert batch.vectors["a"].dtype == np.float32


def test_kinds_by_name_and_invalid_ones() -> None:
    batch = qa.Batch([1, 2], {"a": ROWS.astype(np.int8), "b": ROWS}, kind={"a": "int8"})
    np.testing.assert_array_equal(batch.vectors["a"], batch.vectors["b"])
    with pytest.raises(SpecError, match="unknown vector"):
        qa.Batch([1, 2], {"a": ROWS}, kind={"b": "int8"})
    with pytest.raises(SpecError, match="unknown kind"):
        qa.Batch([1, 2], {"a": ROWS}, kind="bits")
    with pytest.raises(InputError, match="must be integers; got an array of float32"):
        qa.Batch([1, 2], {"a": ROWS}, kind="ubinary")
    with pytest.raises(InputError, match="equally many bytes"):
        qa.Batch([1, 2], {"a": [b"a", b"ab"]}, kind="ubinary")  # type: ignore[dict-item]
