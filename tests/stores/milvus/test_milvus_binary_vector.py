"""BINARY_VECTOR fields: vectors of the datatype bit, of qadapt and of other programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.code_index import CodeIndex
from qadapt.codecs import pack_bits, quantize
from qadapt.errors import InputError, UnsupportedError
from qadapt.model import Batch, State, Vector
from qadapt.stores.base import SearchRequest
from qadapt.stores.milvus.store import MilvusStore

NAME = "Binary_vector"
DIM, ROWS = 64, 300


@pytest.fixture
def bits() -> np.ndarray:
    """Packed sign bits, uint8 ``(300, 8)``; all rows differ."""
    packed = pack_bits(np.random.default_rng(0).standard_normal((ROWS, DIM)))
    assert len(np.unique(packed, axis=0)) == ROWS
    return packed


@pytest.fixture
def clean(server: MilvusStore) -> Iterator[MilvusStore]:
    """The server without the collection of these tests."""
    client = server.connection.client
    if client.has_collection(NAME):
        client.drop_collection(NAME)
    yield server
    server.forget(NAME)
    if client.has_collection(NAME):
        client.drop_collection(NAME)


def foreign(server: MilvusStore, packed: np.ndarray, metric: str) -> Any:
    """A collection of another program."""
    from pymilvus import DataType

    client = server.connection.client
    schema = client.create_schema(auto_id=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("bits", DataType.BINARY_VECTOR, dim=DIM)
    index = client.prepare_index_params()
    index.add_index("bits", index_type="BIN_FLAT", metric_type=metric)
    client.create_collection(NAME, schema=schema, index_params=index)
    client.insert(NAME, [{"id": i, "bits": row.tobytes()} for i, row in enumerate(packed)])
    client.load_collection(NAME)
    return client


def signs(packed: np.ndarray) -> np.ndarray:
    """The bits as -1 and 1, float32."""
    return (2.0 * np.unpackbits(packed, axis=1) - 1).astype(np.float32)


def expected_scores(packed: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Cosines of -1 and 1, best first."""
    differ = np.bitwise_count(packed ^ query).sum(axis=1, dtype=np.int64)
    return np.sort(1 - 2 * differ / DIM)[::-1].astype(np.float32)


def test_a_collection_of_bits_is_created_written_read_and_searched(
    clean: MilvusStore, bits: np.ndarray
) -> None:
    clean.create(NAME, {"": Vector(DIM, datatype="bit")}, {})
    clean.write(NAME, Batch(range(ROWS), {"": bits}, [{"n": i} for i in range(ROWS)],
                            kind="ubinary"))  # fmt: skip
    described = clean.connection.client.describe_collection(NAME)
    kinds = {each["name"]: each["type"].name for each in described["fields"]}
    assert kinds["vector"] == "BINARY_VECTOR"
    info = clean.info(NAME)
    vector = info.vectors[""]
    assert (vector.datatype, vector.dim, str(vector.metric)) == ("bit", DIM, "cosine")
    assert (vector.index["index_type"], vector.index["metric_type"]) == ("BIN_FLAT", "HAMMING")
    assert vector.status.state is State.ABSENT and str(vector.quantization) == "none"
    assert vector.float_bytes == ROWS * DIM // 8
    read = clean.fetch(NAME, [7, 3])
    np.testing.assert_array_equal(read.vectors[""], signs(bits[[7, 3]]))
    hits = clean.search(NAME, signs(bits[:3]), SearchRequest(k=20))
    assert list(hits.ids[:, 0]) == [0, 1, 2]
    assert hits.how.scores == "exact"
    for row in range(3):
        np.testing.assert_array_equal(hits.scores[row], expected_scores(bits, bits[row])[:20])
    exact = clean.search(NAME, signs(bits[:3]), SearchRequest(k=20, exact=True))
    np.testing.assert_allclose(exact.scores, hits.scores, atol=1e-6)
    some = clean.search(NAME, signs(bits[:1]), SearchRequest(k=3, filter={"n": {"lt": 5}}))
    assert set(some.ids[0]) <= set(range(5))


def test_floats_are_not_written_to_bits(clean: MilvusStore, bits: np.ndarray) -> None:
    clean.create(NAME, {"": Vector(DIM, datatype="bit")}, {})
    floats = np.random.default_rng(1).standard_normal((2, DIM)).astype(np.float32)
    with pytest.raises(InputError, match=r"bit can store -1 and 1 \(as of numpy\.where"):
        clean.write(NAME, Batch([1, 2], {"": floats}))
    assert clean.count(NAME) == 0
    clean.write(NAME, Batch([1], {"": signs(bits[:1]) / 8}))  # normalized
    np.testing.assert_array_equal(clean.fetch(NAME, [1]).vectors[""], signs(bits[:1]))


def test_what_bits_cannot_have_is_refused(clean: MilvusStore) -> None:
    for vector in (Vector(60, datatype="bit"), Vector(64, "dot", "bit")):
        with pytest.raises(UnsupportedError, match="multiple of 8 dimensions"):
            clean.create(NAME, {"": vector}, {})
    for text in ("scalar", "binary", "rotational:bits=1", "product", "float16"):
        mapped = clean.map(qa.Quantization.of(text), Vector(64, datatype="bit"))
        assert mapped.native is None
        assert "a BINARY_VECTOR holds bits" in str(mapped.match.differences)


def test_commands_on_a_collection_of_bits(
    clean: MilvusStore, bits: np.ndarray, tmp_path: Path
) -> None:
    np.save(tmp_path / "codes.npy", bits)
    url = str(clean.address)
    with qa.open(url) as db:
        made = qa.import_file(tmp_path / "codes.npy", (db, NAME), kind="ubinary")
        assert made.rows == ROWS and made.quantization == {}
        col = db[NAME]
        assert col.info().vectors[""].datatype == "bit"
        assert col.verify(k=10).recall.value == 1
        with pytest.raises(UnsupportedError, match="a BINARY_VECTOR holds bits"):
            col.plan("scalar")
        assert col.doctor().findings == ()
        with pytest.raises(InputError, match=r"queries: the datatype bit can store"):
            col.search(np.linspace(-1, 1, DIM), k=3)
        np.testing.assert_array_equal(col.search(signs(bits[5:6])[0], k=1).ids, [[5]])
        qa.export_file(col, tmp_path / "out.parquet")
        qa.migrate((db, NAME), f"edge:{tmp_path / 'edge'}#{NAME}")
    with qa.open(f"edge:{tmp_path / 'edge'}") as edge:
        there = edge[NAME]
        assert there.info().vectors[""].datatype == "float32" and there.info().count == ROWS
        hits = there.search(signs(bits[:1])[0], k=5, exact=True)
        np.testing.assert_allclose(hits.scores[0], expected_scores(bits, bits[0])[:5], atol=1e-6)


def test_an_import_of_bits_with_a_quantization_writes_floats(
    clean: MilvusStore, tmp_path: Path
) -> None:
    # Milvus indexes segments of at least 1,024 rows.
    np.save(tmp_path / "codes.npy", pack_bits(np.random.default_rng(0).normal(size=(1500, DIM))))
    qa.import_file(
        tmp_path / "codes.npy", f"{clean.address}#{NAME}", kind="ubinary", quantization="scalar"
    )
    assert clean.info(NAME).vectors[""].datatype == "float32"


def test_lite_refuses_bits_and_imports_them_as_floats(
    lite: MilvusStore, bits: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedError, match="does not support vectors of the datatype bit"):
        lite.create(NAME, {"": Vector(DIM, datatype="bit")}, {})
    np.save(tmp_path / "codes.npy", bits)
    url = str(lite.address)
    lite.close()
    qa.import_file(tmp_path / "codes.npy", f"{url}#{NAME}", kind="ubinary")
    with qa.open(url) as db:
        assert db[NAME].info().vectors[""].datatype == "float32"


def test_bits_of_another_program_are_read_and_searched(
    clean: MilvusStore, bits: np.ndarray
) -> None:
    foreign(clean, bits, "HAMMING")
    vector = clean.info(NAME).vectors["bits"]
    assert (vector.datatype, vector.dim) == ("bit", DIM)
    clean.write(NAME, Batch([ROWS], {"bits": ~bits[:1]}, kind="ubinary"))
    hits = clean.search(NAME, signs(~bits[:1]), SearchRequest(k=2, vector="bits"))
    assert hits.ids[0, 0] == ROWS and hits.scores[0, 0] == 1


def test_rows_of_a_binary_vector_are_codes_of_an_index(clean: MilvusStore, tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((60, DIM)).astype(np.float32)
    client = foreign(clean, quantize(vectors, "ubinary"), "JACCARD")
    with pytest.raises(UnsupportedError, match=r"JACCARD.*CodeIndex\.add takes"):
        clean.reader.read_again(NAME).field("bits")
    info = clean.info(NAME)
    assert info.vectors == {}
    assert info.notes == (
        "the field 'bits' is a BINARY_VECTOR with the metric JACCARD; qadapt supports HAMMING; "
        "CodeIndex.add takes its rows as codes of the kind 'ubinary'",
    )
    assert "bits is a BINARY_VECTOR" in clean.uncopied(NAME)["other-vectors"]
    with pytest.raises(InputError, match=r"vectors that qadapt cannot write: bits"):
        clean.write(NAME, Batch([100], {}))
    rows = client.query(
        NAME, filter="id >= 0", output_fields=["id", "bits"], limit=100,
        consistency_level="Strong",
    )  # fmt: skip
    with CodeIndex.create(tmp_path / "i", DIM, rescore_codes=None) as codes:
        codes.add([row["id"] for row in rows], codes=[row["bits"] for row in rows],
                  kind="ubinary")  # fmt: skip
        hits = codes.search(vectors, 1, source="bits")
        assert len(codes) == 60 and (hits.ids[:, 0] == np.arange(60)).mean() > 0.95
