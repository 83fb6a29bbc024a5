"""A BINARY_VECTOR of another program: named as such, and its rows go into a code index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qadapt.code_index import CodeIndex
from qadapt.codecs import quantize
from qadapt.errors import InputError, UnsupportedError
from qadapt.model import Batch
from qadapt.stores.milvus.store import MilvusStore

NAME = "Binary_vector_foreign"


def test_rows_of_a_binary_vector_are_codes_of_an_index(server: MilvusStore, tmp_path: Path) -> None:
    from pymilvus import DataType

    vectors = np.random.default_rng(0).standard_normal((60, 64)).astype(np.float32)
    packed = quantize(vectors, "ubinary")
    client = server.connection.client
    if client.has_collection(NAME):
        client.drop_collection(NAME)
    schema = client.create_schema(auto_id=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("bits", DataType.BINARY_VECTOR, dim=64)
    index = client.prepare_index_params()
    index.add_index("bits", index_type="BIN_FLAT", metric_type="HAMMING")
    client.create_collection(NAME, schema=schema, index_params=index)
    try:
        client.insert(NAME, [{"id": i, "bits": row.tobytes()} for i, row in enumerate(packed)])
        client.load_collection(NAME)
        with pytest.raises(UnsupportedError, match=r"BINARY_VECTOR; CodeIndex\.add takes"):
            server.reader.read_again(NAME).field("bits")
        info = server.info(NAME)
        assert info.vectors == {}
        assert info.notes == (
            "the field 'bits' is a BINARY_VECTOR; CodeIndex.add takes its rows as codes of the "
            "kind 'ubinary'",
        )
        assert "'bits' is a BINARY_VECTOR" in str(info)
        assert "bits is a BINARY_VECTOR" in server.uncopied(NAME)["other-vectors"]
        with pytest.raises(InputError, match=r"vectors that qadapt cannot write: bits"):
            server.write(NAME, Batch([100], {}))
        rows = client.query(
            NAME, filter="id >= 0", output_fields=["id", "bits"], limit=100,
            consistency_level="Strong",
        )  # fmt: skip
        with CodeIndex.create(tmp_path / "i", 64, rescore_codes=None) as codes:
            codes.add([row["id"] for row in rows], codes=[row["bits"] for row in rows],
                      kind="ubinary")  # fmt: skip
            hits = codes.search(vectors, 1, source="bits")
            assert len(codes) == 60 and (hits.ids[:, 0] == np.arange(60)).mean() > 0.95
    finally:
        client.drop_collection(NAME)
