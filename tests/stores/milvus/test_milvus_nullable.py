"""Rows without a vector: Milvus Lite returns zeros for a null."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from milvus_helpers import NAME

import qadapt as qa
from qadapt.api import Database
from qadapt.stores.milvus.store import MilvusStore


def test_a_null_in_lite_is_a_missing_vector(lite: MilvusStore, tmp_path: Path) -> None:
    kinds: Any = pytest.importorskip("pymilvus").DataType
    client = lite.connection.client
    schema = client.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field("id", kinds.INT64, is_primary=True)
    schema.add_field("a", kinds.FLOAT_VECTOR, dim=4)
    schema.add_field("b", kinds.FLOAT_VECTOR, dim=4, nullable=True)
    indexes = client.prepare_index_params()
    for field in ("a", "b"):
        indexes.add_index(field, index_type="FLAT", metric_type="L2")
    client.create_collection(NAME, schema=schema, index_params=indexes)
    rows = [
        {"id": at, "a": [at, 1, 2, 3], "b": [1, at, 2, 3] if at % 2 else None} for at in range(20)
    ]
    client.insert(NAME, rows)

    batch = lite.fetch(NAME, range(20))
    lacking = np.arange(20) % 2 == 0
    assert batch.missing["b"].tolist() == lacking.tolist() and "a" not in batch.missing
    target = f"edge:{tmp_path / 'copy'}#copy"
    done = qa.migrate((Database(lite), NAME), target)
    assert done.check is not None and done.check.passed
    with qa.open(f"edge:{tmp_path / 'copy'}") as db:
        assert db["copy"].fetch(range(20)).missing["b"].tolist() == lacking.tolist()
