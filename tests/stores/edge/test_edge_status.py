"""The status of a vector whose codes are missing, incomplete or ignored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edge_helpers import OFF, Texts, carry_out, evidence, fill, plan, state, status, take_back
from embeddings import DIM

from qadapt.errors import NotFoundError, SpecError, UnsupportedError
from qadapt.model import Batch, Quantization, State, Vector, binary, none, scalar
from qadapt.stores.base import silent
from qadapt.stores.qdrant.edge import schema
from qadapt.stores.qdrant.edge.store import EdgeStore


def folder_of(store: EdgeStore) -> Path:
    """The folder of ``c``, which is closed afterwards."""
    store.close()
    return store.address.path / "c"


def edit(store: EdgeStore, change: Any) -> None:
    """Change the file of ``c`` without the store."""
    folder = folder_of(store)
    settings = schema.read(folder)
    change(settings)
    schema.write(folder, settings)


def test_quantization_below_the_threshold_is_ignored_until_applied(
    store: EdgeStore, texts: Texts
) -> None:
    """Small collections: configured, but without effect."""
    store.create("c", {"": Vector(DIM)}, {"": scalar()})
    store.write("c", texts.batch)
    store.run("c", {"op": "edge.optimize"}, silent, 60)
    observation = status(store)
    assert observation.state is State.IGNORED
    assert "at least 10,000 KB" in observation.reason
    assert "2,000.0 KB (2,000 rows)" in observation.reason
    assert "2,000 KB" in observation.advice
    assert texts.recall(store, rescore=OFF) == 1

    steps = plan(store, "scalar")
    assert steps[0].request["optimizers"] == {"indexing_threshold": 2000}
    assert "lowered to 2,000 KB" in steps[0].reason
    assert steps[0].reverse is not None
    assert steps[0].reverse["optimizers"] == {"indexing_threshold": None}
    carry_out(store, steps)
    assert state(store) is State.ACTIVE
    assert texts.recall(store, rescore=OFF) < 1
    take_back(store, steps)
    assert state(store) is State.IGNORED
    assert texts.recall(store, rescore=OFF) == 1
    take_back(store, steps)
    assert state(store) is State.IGNORED


def test_wide_codes_without_statistics_are_ignored(store: EdgeStore, texts: Texts) -> None:
    """Rows added to an empty segment of two-bit codes are compared by 1 bit."""
    store.create("c", {"": Vector(DIM)}, {"": binary(2)})
    store.run("c", {"op": "edge.optimize"}, silent, 60)
    store.write("c", texts.batch)
    observation = status(store)
    assert observation.state is State.IGNORED
    assert "all 2,000 rows" in observation.reason and "by 1 bit" in observation.reason
    coarse = texts.recall(store, rescore=OFF)
    steps = plan(store, "binary:bits=2")
    assert steps[0].request["by_way_of_none"]
    carry_out(store, steps)
    assert state(store) is State.ACTIVE
    assert texts.recall(store, rescore=OFF) > coarse + 0.03
    assert plan(store, "binary:bits=2") == []
    take_back(store, steps)
    assert state(store) is State.ACTIVE


def test_some_rows_without_statistics_are_reported(store: EdgeStore, texts: Texts) -> None:
    fill(store, texts.batch.rows(0, 1000))
    carry_out(store, plan(store, "scalar"))
    carry_out(store, plan(store, "binary:bits=1.5"))
    store.write("c", texts.batch.rows(1000, 1100))
    observation = status(store)
    assert observation.state is State.ACTIVE
    assert "100 of 1,100 rows" in observation.reason and "by 1 bit until" in observation.reason
    assert evidence(store, "rows with wider codes compared by 1 bit") == 100


@pytest.mark.parametrize(
    "text", ["scalar", pytest.param("product:ratio=4", marks=pytest.mark.long), "binary:bits=2"]
)
def test_deleted_and_replaced_rows_have_no_codes(store: EdgeStore, texts: Texts, text: str) -> None:
    """An indexed segment keeps its codes when its last row is deleted, but no search uses them."""
    fill(store, texts.batch.rows(0, 500))
    carry_out(store, plan(store, text))
    store.run("c", {"op": "edge.optimize"}, silent, 60)
    store.write("c", texts.batch.rows(500, 560))
    store.delete("c", range(499))
    assert state(store) is State.ACTIVE
    store.delete("c", [499])
    observation = status(store)
    if text.startswith("binary"):
        # The segment that grows has codes too.
        assert observation.state is State.ACTIVE
        return
    assert observation.state is State.IGNORED
    assert "(60 rows)" in observation.reason
    assert evidence(store, "rows in codes, including deleted rows") == 500
    assert evidence(store, "live rows in codes, at most") == 0
    carry_out(store, plan(store, text))
    assert state(store) is State.ACTIVE
    assert evidence(store, "live rows in codes, at most") == 60


def test_replaced_rows_count_in_their_new_segment(store: EdgeStore, texts: Texts) -> None:
    fill(store, texts.batch.rows(0, 500))
    carry_out(store, plan(store, "scalar"))
    store.write("c", texts.batch.rows(0, 200))
    assert evidence(store, "live rows in codes, at most") == 300
    assert "up to 200 of 500 rows" in status(store).reason
    store.delete("c", [1, 2, 3, 400])
    assert evidence(store, "live rows in codes, at most") == 299
    store.delete("c", range(200))
    assert (state(store), status(store).reason) == (State.ACTIVE, "")


def test_wide_codes_whose_measured_rows_were_deleted(store: EdgeStore, texts: Texts) -> None:
    """The remaining rows are compared by 1 bit, although a segment without live rows has wider
    codes."""
    store.create("c", {"": Vector(DIM)}, {})
    store.write("c", texts.batch.rows(0, 500))
    carry_out(store, plan(store, "scalar"))
    carry_out(store, plan(store, "binary:bits=2"))
    store.write("c", texts.batch.rows(500, 560))
    assert evidence(store, "rows with wider codes compared by 1 bit") == 60
    store.delete("c", range(500))
    assert state(store) is State.IGNORED
    assert "by 1 bit" in status(store).reason


def test_hundred_rows_can_be_indexed(store: EdgeStore, texts: Texts) -> None:
    fill(store, texts.batch.rows(0, 100))
    carry_out(store, plan(store, "product:ratio=4"))
    assert state(store) is State.ACTIVE


def test_too_few_rows_for_an_index_are_an_error(store: EdgeStore) -> None:
    rng = np.random.default_rng(0)
    fill(store, Batch(list(range(63)), {"": rng.standard_normal((63, 4))}))
    with pytest.raises(
        UnsupportedError, match="at least 1 KB of vectors; the collection has 63 rows of 4"
    ):
        plan(store, "scalar")
    carry_out(store, plan(store, "binary"))
    assert state(store) is State.ACTIVE
    store.write("c", Batch([63], {"": rng.standard_normal((1, 4))}))
    carry_out(store, plan(store, "scalar"))
    assert state(store) is State.ACTIVE


def test_disabled_indexing_is_reported(store: EdgeStore, texts: Texts) -> None:
    fill(store, texts.batch)

    def never(settings: dict[str, Any]) -> None:
        settings["optimizers"] = {"indexing_threshold": 0}
        settings["vectors"][""]["quantization_config"] = {"scalar": {"type": "int8"}}

    edit(store, never)
    observation = status(store)
    assert observation.state is State.IGNORED
    assert "disables indexing" in observation.reason
    steps = plan(store, "scalar")
    assert "from 0 (never) to 2,000 KB" in steps[0].reason
    carry_out(store, steps)
    assert state(store) is State.ACTIVE
    take_back(store, steps)
    assert schema.threshold(schema.read(folder_of(store))) == 0


@pytest.mark.parametrize("asked", ["scalar", "binary", "rotational:bits=1"])
def test_status_without_rows_is_unknown(store: EdgeStore, asked: str) -> None:
    store.create("c", {"": Vector(8)}, {"": Quantization.parse(asked)})
    assert state(store) is State.UNKNOWN
    assert plan(store, asked) == []


def test_quantization_without_rows_is_set_and_undone(store: EdgeStore) -> None:
    store.create("c", {"": Vector(8)}, {})
    steps = plan(store, "binary")
    carry_out(store, steps)
    assert store.info("c").vectors[""].quantization == binary()
    take_back(store, steps)
    assert state(store) is State.ABSENT


def test_manual_configuration_is_building(store: EdgeStore, texts: Texts) -> None:
    """Settings and their rollback take effect only when the engine builds."""
    fill(store, texts.batch)
    edit(store, lambda s: s["vectors"][""].update(quantization_config={"binary": {}}))
    observation = status(store)
    assert (observation.state, observation.progress) == (State.BUILDING, 0)
    assert texts.recall(store, rescore=OFF) == 1
    carry_out(store, plan(store, "binary"))
    assert state(store) is State.ACTIVE

    edit(store, lambda s: s["vectors"][""].pop("quantization_config"))
    observation = status(store)
    assert observation.state is State.BUILDING
    assert "still hold codes" in observation.reason
    assert store.info("c").vectors[""].quantization == none()
    assert texts.recall(store, rescore=OFF) < 1
    how = store.search("c", texts.queries[:1], _search()).how
    assert how.scores == "approximate"
    assert [dict(step.request) for step in plan(store, "none")] == [{"op": "edge.optimize"}]
    carry_out(store, plan(store, "none"))
    assert state(store) is State.ABSENT


def _search() -> Any:
    from qadapt.stores.base import SearchRequest

    return SearchRequest(k=1, rescore=OFF)


def test_named_vectors_have_their_own_quantization(store: EdgeStore, texts: Texts) -> None:
    n = 600
    names = {"title": Vector(DIM), "body": Vector(DIM, metric="dot"), "": Vector(16, "euclidean")}  # type: ignore[arg-type]
    batch = Batch(
        list(range(n)),
        {"title": texts.docs[:n], "body": texts.docs[n : 2 * n], "": texts.docs[:n, :16]},
        [{} for _ in range(n)],
    )
    fill(store, batch, names)
    carry_out(store, plan(store, "scalar", "title"))
    carry_out(store, plan(store, "rotational:bits=2", "body"))
    states = {name: info.status.state for name, info in store.info("c").vectors.items()}
    assert states == {"title": State.ACTIVE, "body": State.ACTIVE, "": State.ABSENT}
    binary_steps = plan(store, "binary", "")
    carry_out(store, binary_steps)
    carry_out(store, plan(store, "none", "title"))
    found = {str(name): str(v.quantization) for name, v in store.info("c").vectors.items()}
    assert found == {"title": "none", "body": "rotational:bits=2", "": "binary"}
    assert state(store, "title") is State.ABSENT
    assert state(store, "") is State.ACTIVE
    with pytest.raises(NotFoundError, match="vector 'titel' does not exist"):
        plan(store, "binary", "titel")


def test_collection_quantization_is_moved_to_vectors(store: EdgeStore, texts: Texts) -> None:
    """A shard of another program: removed from one vector, the others are unchanged."""
    batch = Batch(list(range(300)), {"a": texts.docs[:300], "b": texts.docs[300:600]})
    fill(store, batch, {"a": Vector(DIM), "b": Vector(DIM)})

    def common(settings: dict[str, Any]) -> None:
        settings["quantization_config"] = {"binary": {}}

    edit(store, common)
    store.run("c", {"op": "edge.optimize"}, silent, 60)
    assert state(store, "a") is state(store, "b") is State.ACTIVE
    before = store.info("c")
    assert before.vectors["a"].quantization == binary()

    steps = plan(store, "none", "a")
    carry_out(store, steps)
    assert state(store, "a") is State.ABSENT
    assert state(store, "b") is State.ACTIVE
    assert "quantization_config" not in store.info("c").config
    take_back(store, steps)
    assert state(store, "a") is state(store, "b") is State.ACTIVE


def test_fingerprint_covers_only_settings(store: EdgeStore, texts: Texts) -> None:
    """The engine completes its file while loading, which is not a change."""
    fill(store, texts.batch)
    first = store.info("c").fingerprint
    store.close()
    assert store.info("c").fingerprint == first
    store.write("c", texts.batch.rows(0, 5))
    assert store.info("c").fingerprint == first
    steps = plan(store, "binary")
    carry_out(store, steps)
    changed = store.info("c").fingerprint
    assert changed != first
    store.close()
    assert store.info("c").fingerprint == changed
    take_back(store, steps)
    assert store.info("c").fingerprint == first


def test_several_indexed_segments(store: EdgeStore, texts: Texts) -> None:
    fill(store, texts.batch.rows(0, 1000))

    def small(settings: dict[str, Any]) -> None:
        settings["optimizers"] = {
            "indexing_threshold": 100,
            "max_segment_size": 1000,
            "default_segment_number": 4,
        }

    edit(store, small)
    store.run("c", {"op": "edge.optimize"}, silent, 60)
    store.write("c", texts.batch.rows(1000, 2000))
    carry_out(store, plan(store, "binary"))
    assert state(store) is State.ACTIVE
    indexed = evidence(store, "segments indexed")
    assert indexed > 1
    assert evidence(store, "segments with the configured codes") >= indexed
    how = store.search("c", texts.queries[:1], _search().__class__(k=1)).how
    assert any("each of" in note for note in how.notes)


@pytest.mark.parametrize(
    "request_",
    [
        {"op": "edge.explode"},
        {"op": "edge.configure"},
        {"op": "edge.configure", "vector": "", "quantisation_config": None},
    ],
)
def test_unknown_requests_are_rejected(store: EdgeStore, request_: dict[str, Any]) -> None:
    store.create("c", {"": Vector(8)}, {})
    with pytest.raises(SpecError):
        store.run("c", request_, silent, 60)


def test_damaged_configuration_is_an_error(store: EdgeStore) -> None:
    from qadapt.errors import IntegrityError

    store.create("c", {"": Vector(8)}, {})
    folder = folder_of(store)
    for text in ("{bad", json.dumps({"vectors": 3})):
        (folder / schema.FILE).write_text(text)
        with pytest.raises(IntegrityError):
            schema.read(folder)
        with pytest.raises(IntegrityError):
            store.info("c")
    # Dropping it helps.
    store.drop("c")
    assert store.collections() == []
