"""The vector of a copy by version, and conversion of its rows. No engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qadapt.errors import UnsupportedError
from qadapt.model import Kind, Metric, Quantization, Vector
from qadapt.stores.milvus import copy_rows, copy_switch, mapping, vector_layout
from qadapt.stores.milvus.filters import Fields
from qadapt.stores.milvus.ids import PrimaryKey
from qadapt.stores.milvus.index_params import Index
from qadapt.stores.milvus.schema import Field, Layout
from qadapt.stores.milvus.snapshot import Snapshot
from qadapt.stores.milvus.version import ServerVersion

SQ = Index("vector_hnsw_sq", "HNSW_SQ", "COSINE", {"M": "24", "sq_type": "SQ8"}, {})
IVF = Index("vector_ivf_flat", "IVF_FLAT", "COSINE", {"nlist": "77"}, {})


def snapshot(
    index: Index | None, form: vector_layout.Form = vector_layout.FLOAT, dim: int = 4
) -> Snapshot:
    """A collection of one vector."""
    field = Field("vector", Vector(dim), index, True, form)
    layout = Layout(
        name="articles",
        base="articles",
        partition=None,
        real="articles_v1",
        keys=PrimaryKey("id"),
        vectors={"": field},
        others={},
        fields=Fields(),
        reserved=frozenset(),
        auto_id=False,
        partition_key=None,
        consistency="Session",
        bits={},
        raw={},
    )
    return Snapshot(layout, True, 10, {}, {}, 10)


def target_vector(look: Snapshot, vector: Vector, version: str) -> dict[str, Any]:
    """The vector in the target."""
    return copy_switch.target_definitions(look, "", vector, ServerVersion(version))


def test_another_metric_or_datatype_keeps_the_index() -> None:
    found = target_vector(snapshot(SQ), Vector(4, Metric.DOT), "2.6.22")
    (index,) = found["indexes"].values()
    assert (index["index_type"], index["metric_type"]) == ("HNSW_SQ", "IP")
    assert index["params"] == {"M": "24", "efConstruction": "200", "sq_type": "SQ8"}
    found = target_vector(
        snapshot(IVF), Vector(4, datatype="bfloat16"), "v2.4.23".removeprefix("v")
    )
    assert found["datatype"] == "bfloat16"
    assert found["indexes"]["vector"]["params"] == {"nlist": "77"}


def test_int8_supports_only_graph_indexes_and_cosine() -> None:
    found = target_vector(snapshot(IVF), Vector(4, datatype="int8"), "2.6.22")
    assert found["indexes"]["vector"]["index_type"] == "HNSW"
    with pytest.raises(UnsupportedError, match="scaling"):
        target_vector(snapshot(IVF), Vector(4, Metric.DOT, "int8"), "2.6.22")
    pq = Index("own", "IVF_PQ", "COSINE", {"nlist": "77", "m": "4"}, {})
    with pytest.raises(UnsupportedError, match="IVF_PQ"):
        target_vector(snapshot(pq), Vector(4, datatype="int8"), "2.6.22")


@pytest.mark.parametrize(
    ("version", "dim", "form"),
    [
        ("2.3.5", 8, vector_layout.ARRAY),
        ("2.4.23", 8, vector_layout.SIDECAR_FIELD),
        ("2.5.27", 8, vector_layout.SIDECAR_FIELD),
    ],
)
def test_sign_bits_by_alias_are_an_array_or_a_second_field(
    version: str, dim: int, form: str
) -> None:
    engine = ServerVersion(version)
    mapped = mapping.to_native(Quantization(Kind.BINARY), Vector(dim), engine)
    found = copy_switch.wanted(snapshot(IVF, dim=dim), "", Vector(dim), mapped, engine)
    assert found["form"] == form
    assert found["indexes"]["qadapt_bits_vector"]["index_type"] == "BIN_FLAT"
    assert ("vector" in found["indexes"]) == (form == vector_layout.SIDECAR_FIELD)


def test_too_many_dimensions_for_an_array_are_refused() -> None:
    engine = ServerVersion("2.3.5")
    mapped = mapping.to_native(Quantization(Kind.BINARY), Vector(4097), engine)
    with pytest.raises(UnsupportedError, match="4,096"):
        copy_switch.wanted(snapshot(IVF, dim=4097), "", Vector(4097), mapped, engine)


def test_rows_are_converted_during_the_copy() -> None:
    row = {"id": "a", "vector": [1.0, -0.5, 0.25, 0.0], "more": {"x": 1}, "raw": [b"\x01"]}
    old = snapshot(IVF).layout

    def sent(field: Field) -> dict[str, Any]:
        return copy_rows._changed([row], old, field)[0]

    same = sent(Field("vector", Vector(4), None, True))
    assert same == {**row, "raw": b"\x01"}
    small = sent(Field("vector", Vector(4, datatype="int8"), None, True))
    assert np.asarray(small["vector"]).tolist() == [127, -64, 32, 0]
    array = sent(Field("vector", Vector(4), None, True, vector_layout.ARRAY))
    assert array["vector"] == row["vector"]
    assert array["qadapt_bits_vector"] == b"\xa0"
    back = copy_rows._changed(
        [array], snapshot(None, vector_layout.ARRAY).layout, Field("vector", Vector(4), None, True)
    )[0]
    assert np.asarray(back["vector"]).tolist() == row["vector"]
    assert "qadapt_bits_vector" not in back
