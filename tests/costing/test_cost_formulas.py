"""Formulas computed by hand, and cost documents; no engine."""

from __future__ import annotations

import pytest

import qadapt as qa
from qadapt.costing import Cost, Prices, as_seen, cost, memory
from qadapt.errors import InputError, SpecError, UnsupportedError
from qadapt.model import CollectionInfo, Server, Status, VectorInfo

GIB = 1024**3


def part(found: object, name: str) -> int:
    """Bytes on disk."""
    return next((p.disk for p in found.components if p.name == name), 0)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("store", "setting", "dim", "each"),
    [
        # docs/engines/qdrant.md#padding: at 100 dimensions.
        ("qdrant", "scalar", 100, 116),
        ("qdrant", "binary", 100, 16),
        ("qdrant", "binary:bits=1.5", 100, 32),
        ("qdrant", "rotational:bits=4", 100, 58),
        ("qdrant", "rotational:bits=8", 100, 104),
        ("qdrant", "product:ratio=16", 256, 64),
        # docs/engines/weaviate.md#code-sizes: 3.92, 3.84, 7.38, 27.4, 32 times at 384 dimensions.
        ("weaviate", "scalar:per=collection", 384, 392),
        ("weaviate", "scalar", 384, 400),
        ("weaviate", "rotational:bits=8", 384, 400),
        ("weaviate", "rotational:bits=4", 384, 208),
        ("weaviate", "rotational:bits=1", 384, 56),
        ("weaviate", "rotational:bits=1", 128, 40),
        ("weaviate", "binary", 384, 48),
        ("weaviate", "product:segments=96", 384, 96),
        ("milvus", "rotational:bits=1", 384, 48 + 8),
    ],
)
def test_bytes_of_a_code(store: str, setting: str, dim: int, each: int) -> None:
    found = memory(1000, qa.Vector(dim), f"{setting}{',' if ':' in setting else ':'}codes=ram",
                   store)  # fmt: skip
    assert next(p.ram for p in found.components if p.name == "codes") == 1000 * each


def test_milvus_scalar_codes_and_their_ranges() -> None:
    found = memory(1000, qa.Vector(384), "scalar", "milvus")
    assert part(found, "codes") == 1000 * 384 + 8 * 384
    assert part(found, "graph") == round(1000 * (4 * (32 + 16 / 15) + 12))


def test_originals_leave_ram_only_where_they_are_put_on_disk() -> None:
    vector, rows = qa.Vector(768), 1_000_000
    floats = 4 * 768 * rows
    stay = memory(rows, vector, "binary", "qdrant")
    leave = memory(rows, vector, "binary:codes=ram,originals=disk", "qdrant")
    assert stay.ram - leave.ram == floats
    assert stay.disk == leave.disk
    assert "originals=disk" in stay.notes[0] and not leave.notes
    # Weaviate drops its cache of vectors automatically.
    assert memory(rows, vector, "none", "weaviate").ram > floats
    assert memory(rows, vector, "binary", "weaviate").ram < floats / 5
    # Milvus keeps the vectors in a float index, and always in storage.
    assert part(memory(rows, vector, "none", "milvus"), "originals") == 2 * floats
    assert memory(rows, vector, "scalar", "milvus").ram < floats / 2


def test_codes_follow_originals_to_disk_unless_they_are_pinned() -> None:
    vector = qa.Vector(256)
    cold = memory(1000, vector, "scalar:originals=disk", "qdrant")
    pinned = memory(1000, vector, "scalar:originals=disk,codes=ram", "qdrant")
    assert pinned.ram - cold.ram == 260 * 1000


def test_a_refined_index_of_milvus_holds_a_copy() -> None:
    wanted = qa.scalar(native={"refine": "true", "refine_type": "FP32"})
    found = memory(1000, qa.Vector(64), wanted, "milvus")
    assert next(p.ram for p in found.components if p.name == "refinement") == 1000 * 64 * 4


def test_half_floats_halve_the_originals() -> None:
    found = memory(1000, qa.Vector(64), "float16", "qdrant")
    assert part(found, "originals") == 1000 * 128 and part(found, "codes") == 0


@pytest.mark.parametrize(
    ("store", "setting"),
    [("weaviate", "float16"), ("weaviate", "binary:bits=2"), ("qdrant", "rotational:bits=3"),
     ("milvus", "product:ratio=5"), ("weaviate", "product:segments=7")],
)  # fmt: skip
def test_an_unsupported_kind_has_no_footprint(store: str, setting: str) -> None:
    with pytest.raises(UnsupportedError):
        memory(10, qa.Vector(384), setting, store)
    found = cost(10, 384, settings=[setting], stores=[store])
    assert found.lines[0].footprint is None and found.lines[0].unsupported_reason


def test_cost_is_bytes_times_prices() -> None:
    found = cost(1_000_000, 1024, "binary", prices=Prices(ram=3.8, disk=0.1), replicas=2)
    assert found.after is not None and found.after.footprint is not None
    one = found.after.footprint
    for scale, factor in zip(found.after.scales, (1, 10, 100), strict=True):
        assert scale.rows == factor * 1_000_000
        assert scale.monthly == pytest.approx((scale.ram * 3.8 + scale.disk * 0.1) / GIB)
        # The bits of a link grow with the rows, all else is in proportion.
        assert 1 <= scale.ram / (2 * factor * one.ram) < 1.02


def test_without_prices_there_is_no_cost() -> None:
    found = cost(1000, 64, "scalar")
    assert all(s.monthly is None for line in found.lines for s in line.scales)
    assert any("no prices given" in note for note in found.notes)
    ram = cost(1000, 64, "scalar", prices=Prices(ram=2))
    assert any("RAM only" in note for note in ram.notes)


def test_the_article_s_table() -> None:
    # 250 million vectors of 1024 dimensions at 3.8 for a GiB and month: 953.67 GiB, 3623; binary
    # 29.80 GiB, 113.25 (https://huggingface.co/blog/embedding-quantization).
    vector, rows = qa.Vector(1024), 250_000_000
    floats = part(memory(rows, vector, "none", "qdrant"), "originals")
    bits = part(memory(rows, vector, "binary", "qdrant"), "codes")
    assert floats / GIB == pytest.approx(953.67, abs=0.01)
    assert Prices(ram=3.8).monthly(floats, 0) == pytest.approx(3623.96, abs=0.01)
    assert Prices(ram=3.8).monthly(bits, 0) == pytest.approx(113.25, abs=0.01)


def test_it_is_a_document() -> None:
    found = cost(1000, 64, "scalar", prices=Prices(1, 2))
    assert Cost.from_json(found.to_json()) == found
    stores = {
        "chroma",
        "clickhouse",
        "elasticsearch",
        "lancedb",
        "milvus",
        "opensearch",
        "pgvector",
        "qdrant",
        "sqlite-vec",
        "weaviate",
    }
    assert {line.store for line in found.lines} == stores


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Prices(ram=-1), SpecError),
        (lambda: Prices(ram=float("nan")), SpecError),
        (lambda: cost(10, 4, replicas=0), InputError),
        (lambda: cost(10, 4, scales=[0]), InputError),
        (lambda: cost(-10, 4), InputError),
        (lambda: cost(10, 0), SpecError),
        (lambda: memory(1, qa.Vector(4), "scalar", "qdrand"), SpecError),
    ],
)
def test_refused(make: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        make()  # type: ignore[operator]


def test_every_datatype_has_a_width_per_store() -> None:
    from qadapt.footprint import WIDTH
    from qadapt.model.vector import DATATYPES

    assert set(WIDTH) == set(DATATYPES)
    for datatype in DATATYPES:
        found = cost(1000, 64, datatype=datatype, settings=["none"])
        floats = {line.store: part(line.footprint, "originals") for line in found.lines}
        assert floats["weaviate"] == 1000 * 64 * 4
    whole = memory(1000, qa.Vector(64, datatype="uint8"), "none", "qdrant")
    assert part(whole, "originals") == 1000 * 64


@pytest.mark.parametrize(
    ("index", "quantization", "names"),
    [
        ({"index_type": "IVF_SQ8", "params": {"nlist": "64"}}, qa.scalar(),
         {"codes", "originals", "lists"}),
        ({"index_type": "HNSW", "params": {"M": "16"}}, qa.none(), {"originals", "graph"}),
        ({"index_type": "HNSW", "params": {"M": "16"}}, qa.binary(),
         {"codes", "originals", "graph"}),
        ({"index_type": "DISKANN", "params": {}}, qa.product(ratio=8), {"codes", "originals"}),
        ({}, qa.none(), {"originals"}),
    ],
)  # fmt: skip
def test_cost_of_a_live_milvus_index_uses_its_parameters(
    index: dict[str, object], quantization: qa.Quantization, names: set[str]
) -> None:
    vector = VectorInfo(
        name="", dim=64, metric=qa.Metric.COSINE, datatype="float32", count=5000, index=index,
        quantization=quantization, status=Status(qa.State.ACTIVE), code_bytes=40_000,
        float_bytes=5000 * 256,
    )  # fmt: skip
    info = CollectionInfo("c", 5000, {"": vector}, Server("milvus", "2.3.5"))
    assert {each.name for each in as_seen(info, "").components} == names


def test_no_rows_cost_nothing() -> None:
    assert memory(0, qa.Vector(64), "scalar", "qdrant").disk == 0
