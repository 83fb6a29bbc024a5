"""Every kind and width on the live engine: applied, verified, undone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from edge_helpers import OFF, Texts, carry_out, evidence, fill, plan, state, status, take_back
from embeddings import DIM
from reference import asymmetric, binary_recall, hamming, recall, rescored, top

from qadapt.errors import UnsupportedError
from qadapt.model import (
    Batch,
    MatchLevel,
    Quantization,
    Rescore,
    State,
    Symbol,
    Vector,
    binary,
    none,
    scalar,
)
from qadapt.stores.base import Progress, silent
from qadapt.stores.qdrant import mapping
from qadapt.stores.qdrant.edge.profile import RULES
from qadapt.stores.qdrant.edge.store import EdgeStore

# Maximum recall of codes only, and minimum recall with rescoring: a share, or the recall of this
# numpy function.
KINDS = {
    "scalar:bits=7": (0.999, 0.999),
    "product:ratio=4": (0.999, 0.999),
    "product:ratio=8": (0.98, 0.99),
    "product:ratio=16": (0.95, 0.99),
    "product:ratio=32": (0.9, 0.96),
    "product:ratio=64": (0.8, 0.88),
    "binary": (0.7, hamming),
    "binary:bits=1.5": (0.75, hamming),
    "binary:bits=2": (0.8, hamming),
    "binary:query_bits=4": (0.85, asymmetric),
    "binary:query_bits=8": (0.85, asymmetric),
    "rotational:bits=1": (0.85, hamming),
    "rotational:bits=1.5": (0.9, 0.95),
    "rotational:bits=2": (0.95, 0.98),
    "rotational:bits=4": (0.99, 0.999),
    "rotational:bits=8": (0.9999, 0.999),
}

# Those of which more is expected than of others; the conformance suite applies all kinds.
FEW = ("scalar:bits=7", "binary", "rotational:bits=4")


@pytest.mark.parametrize(
    "asked",
    [pytest.param(kind, marks=() if kind in FEW else pytest.mark.long) for kind in KINDS],
)
def test_quantization_is_built_verified_and_undone(
    store: EdgeStore, texts: Texts, asked: str
) -> None:
    most, least = KINDS[asked]
    texts = texts.first(600 if asked.startswith("product") else 1000)  # k-means is slow
    count = len(texts.docs)
    fill(store, texts.batch)
    assert texts.recall(store) == 1
    quantization = Quantization.parse(asked)
    steps = plan(store, quantization)
    assert [step.symbol for step in steps] == [Symbol.BLOCKING]
    assert steps[0].estimate.stops == "searches and writes"

    carry_out(store, steps)
    info = store.info("c").vectors[""]
    assert info.status.state is State.ACTIVE
    assert mapping.satisfies(info.quantization, store.map(quantization, info.vector).target)
    assert evidence(store, "rows in codes, including deleted rows") >= count
    # In addition to its codes, a growing segment contains whole blocks.
    expected = steps[0].estimate.codes_disk
    assert info.code_bytes is not None
    assert expected <= info.code_bytes <= expected + 4096
    assert plan(store, quantization) == []

    if callable(least):
        exact = texts.queries @ texts.docs.T
        least = recall(rescored(least(texts.docs, texts.queries), exact, 4), top(exact)) - 0.05
    coarse = texts.recall(store, rescore=OFF)
    if asked == "binary":
        assert coarse == pytest.approx(binary_recall(texts.docs, texts.queries), abs=0.02)
    assert 0.3 < coarse <= most
    default = texts.recall(store)
    assert default == pytest.approx(coarse, abs=0.02)
    assert texts.recall(store, rescore=Rescore(4)) >= max(least, coarse)
    assert texts.recall(store, exact=True) == 1

    take_back(store, steps)
    assert state(store) is State.ABSENT
    assert store.info("c").vectors[""].code_bytes == 0
    assert texts.recall(store, rescore=OFF) == 1


def test_tested_kinds_are_the_declared_kinds() -> None:
    declared = {rule.feature for rule in RULES if ":" in rule.feature}
    tested = set()
    for asked in KINDS:
        quantization = Quantization.parse(asked)
        width = quantization.ratio or quantization.bits
        tested.add(f"native-{quantization.kind}:{width:g}")
    assert declared - tested == {"native-scalar:8"}
    assert not tested - declared


def test_eight_bits_are_reported_as_seven(store: EdgeStore, texts: Texts) -> None:
    fill(store, texts.batch)
    mapped = store.map(scalar(), Vector(DIM))
    assert mapped.match.level is MatchLevel.DIFFERS
    carry_out(store, plan(store, "scalar"))
    assert store.info("c").vectors[""].quantization == mapped.target == scalar(7, per="collection")
    assert plan(store, "scalar") == []


def test_quantization_and_placement_are_replaced(store: EdgeStore, texts: Texts) -> None:
    fill(store, texts.batch)
    first = plan(store, "binary")
    carry_out(store, first)
    second = plan(store, "rotational:bits=2,codes=disk,originals=disk")
    carry_out(store, second)
    info = store.info("c").vectors[""]
    assert str(info.quantization) == "rotational:bits=2,codes=disk,originals=disk"
    assert info.status.state is State.ACTIVE
    assert second[0].estimate.codes_ram == second[0].estimate.originals_ram == 0
    take_back(store, second)
    assert store.info("c").vectors[""].quantization == binary()
    take_back(store, first)
    assert store.info("c").vectors[""].quantization == none()


def test_settings_dropped_or_rejected_by_the_engine_change_nothing(
    store: EdgeStore, texts: Texts
) -> None:
    from qadapt.errors import StoreError

    fill(store, texts.batch)
    carry_out(store, plan(store, "binary"))
    before = store.info("c")
    for native, word in (({"hologram": 1}, "did not store"), ({"encoding": "x"}, "QuantizationC")):
        for step in plan(store, binary(native=native)):
            with pytest.raises(StoreError, match=word):
                store.run("c", step.request, silent, 60)
    assert store.info("c").fingerprint == before.fingerprint
    assert state(store) is State.ACTIVE


def test_unsupported_kinds_are_rejected(store: EdgeStore, texts: Texts) -> None:
    fill(store, texts.batch.rows(0, 10))
    for asked in ("scalar:bits=4", "rotational:bits=3", "float16", "binary:query_bits=32"):
        with pytest.raises(UnsupportedError, match="edge does not support"):
            plan(store, asked)


def test_codes_are_built_from_stored_datatypes(store: EdgeStore, texts: Texts) -> None:
    """Original vectors are rounded to the datatype; codes are built from these."""
    kept = {"float16": 1e-3, "turbo16": 1e-3, "turbo8": 0.02, "turbo4": 0.2}
    vectors = {name: Vector(DIM, datatype=name) for name in kept}  # type: ignore[arg-type]
    store.create("c", vectors, {"turbo8": binary()})
    batch = Batch(list(range(500)), dict.fromkeys(kept, texts.docs[:500]))
    store.write("c", batch)
    found = Batch.concat(list(store.read("c"))).vectors
    for name, error in kept.items():
        assert np.abs(found[name] - texts.docs[:500]).max() < error
        assert store.info("c").vectors[name].datatype == name
    carry_out(store, plan(store, "binary", "turbo8"))
    assert state(store, "turbo8") is State.ACTIVE
    assert state(store, "float16") is State.ACTIVE
    assert state(store, "turbo16") is State.ABSENT
    carry_out(store, plan(store, "scalar", "turbo4"))
    assert state(store, "turbo4") is State.ACTIVE


def test_float16_is_set_at_creation(store: EdgeStore, texts: Texts) -> None:
    store.create("c", {"": Vector(DIM)}, {"": Quantization.parse("float16")})
    store.write("c", texts.batch)
    info = store.info("c").vectors[""]
    assert info.datatype == "float16"
    assert str(info.quantization) == "float16"
    assert info.float_bytes == pytest.approx(2 * DIM * 2000, rel=0.02)
    assert info.status.state is State.ACTIVE
    assert plan(store, "float16") == []


def test_progress_is_reported_during_a_rebuild(store: EdgeStore, texts: Texts) -> None:
    fill(store, texts.batch)
    reported: list[Progress] = []
    carry_out(store, plan(store, "binary"), reported.append)
    assert reported[0].stage == "rebuilding"
    assert reported[0].unit == "segments"
    assert (reported[0].done, reported[0].total) == (0, 1)
    assert reported[-1].done == reported[-1].total == 1


def test_rows_written_after_a_rebuild_are_searched(store: EdgeStore, texts: Texts) -> None:
    """They are searched at once, and get codes when the engine is let to build them."""
    fill(store, texts.batch.rows(0, 1000))
    carry_out(store, plan(store, "scalar"))
    store.write("c", texts.batch.rows(1000, 1100))
    seen = status(store)
    assert seen.state is State.ACTIVE
    assert "100 of 1,100 rows" in seen.reason
    store.write("c", texts.batch.rows(1100, 2000))
    assert texts.recall(store) > 0.97
    # 1,000 rows more than the 1,000 KB of the threshold: they wait for the engine.
    store.write("c", texts.batch.rows(0, 10))
    seen = status(store)
    assert seen.state is State.BUILDING
    assert seen.progress is not None and 0.4 < seen.progress < 0.6
    steps = plan(store, "scalar")
    assert [dict(step.request) for step in steps] == [{"op": "edge.optimize"}]
    carry_out(store, steps)
    assert state(store) is State.ACTIVE
    assert status(store).reason == ""
    assert plan(store, "scalar") == []


@pytest.mark.parametrize("datatype", ["bfloat16", "int8"])
def test_datatypes_of_other_stores_are_refused(store: EdgeStore, datatype: Any) -> None:
    with pytest.raises(UnsupportedError, match=datatype):
        store.create("c", {"": Vector(4, datatype=datatype)}, {})
    assert store.collections() == []


@pytest.mark.parametrize(
    ("place", "memory"), [("ram", "pinned"), ("cached", "cached"), ("disk", "cold")]
)
def test_codes_are_active_on_each_memory_tier(
    store: EdgeStore, texts: Texts, place: str, memory: str
) -> None:
    few = texts.first(300)
    fill(store, few.batch)
    carry_out(store, plan(store, f"binary:codes={place}"))
    info = store.info("c").vectors[""]
    assert info.status.state is State.ACTIVE
    assert info.quantization.codes == place
    assert evidence(store, "edge_config.json: effective quantization") == {
        "binary": {"memory": memory}
    }
    assert few.recall(store, rescore=Rescore(30)) == 1
