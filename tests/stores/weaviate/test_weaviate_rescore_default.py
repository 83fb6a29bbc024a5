"""Rescoring that the index holds as its default, and settings in the note of a class."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.model import Rescore
from qadapt.stores.weaviate import native_rescore, schema

SETTINGS = {"vectors": {"": {"rescore": {"oversampling": 4.0, "source": "originals"}}}}


def index(kind: str, name: str, **block: Any) -> dict[str, Any]:
    return {"vectorIndexType": kind, "vectorIndexConfig": {name: {"enabled": True, **block}}}


@pytest.mark.parametrize(
    ("native", "rescore", "fields"),
    [
        (index("hnsw", "rq", bits=8, rescoreLimit=20), Rescore(4), {"rq": {"rescoreLimit": 40}}),
        (index("hnsw", "sq", rescoreLimit=20), Rescore(2.55), {"sq": {"rescoreLimit": 26}}),
        (
            index("hnsw", "rq", bits=8, rescoreLimit=20),
            Rescore(candidates=200),
            {"rq": {"rescoreLimit": 200}},
        ),
        (index("flat", "bq", rescoreLimit=-1), Rescore(4), {"bq": {"rescoreLimit": 40}}),
        (index("hnsw", "rq", bits=8, rescoreLimit=20), Rescore(2), {}),
        (index("hnsw", "rq", bits=8, rescoreLimit=100), Rescore(4), {}),
        (index("hnsw", "rq", bits=8, rescoreLimit=0), Rescore(4), {}),
        (index("hnsw", "rq", bits=8, rescoreLimit=20), Rescore(source="off"), {}),
        (index("hnsw", "rq", bits=8, rescoreLimit=20), None, {}),
        (index("hnsw", "bq"), Rescore(4), {}),
        (index("hfresh", "rq", bits=1, rescoreLimit=350), Rescore(50), {}),
        ({"vectorIndexType": "hnsw", "vectorIndexConfig": {}}, Rescore(4), {}),
        (
            {
                "vectorIndexType": "dynamic",
                "vectorIndexConfig": {"hnsw": {"rq": {"enabled": True, "rescoreLimit": 20}}},
            },
            Rescore(4),
            {"hnsw": {"rq": {"rescoreLimit": 40}}},
        ),
    ],
)
def test_a_limit_below_the_candidates_is_raised(
    native: dict[str, Any], rescore: Rescore | None, fields: dict[str, Any]
) -> None:
    assert native_rescore.held(native, rescore) == fields


@pytest.mark.parametrize("text", ["", "Our articles.", 'Ours.\nqadapt: {"dims": {"": 7}}'])
def test_settings_are_added_to_the_note_and_removed_again(text: str) -> None:
    raw = {"class": "Articles", "description": text}
    changed = schema.with_settings(raw, SETTINGS)
    assert schema.note_of(changed)["settings"] == SETTINGS
    assert schema.note_of(changed).get("dims") == schema.note_of(raw).get("dims")
    assert changed["description"].startswith(text.partition("\n")[0])
    assert schema.with_settings(changed, {}) == raw
    assert schema.with_settings(changed, SETTINGS) == changed


@pytest.mark.server
def test_the_index_holds_the_rescoring_of_a_plan(live: Callable[[str], str]) -> None:
    name = f"Held{uuid.uuid4().hex[:8]}"
    rows = np.random.default_rng(0).standard_normal((600, 32)).astype(np.float32)
    with qa.open(live("weaviate")) as database:
        collection = database.create(name, dim=32)
        try:
            ids = [str(uuid.UUID(int=at + 1)) for at in range(len(rows))]
            collection.write(qa.Batch(ids, {"": rows}))
            collection.plan("rotational:bits=8,rescore=4").apply(yes=True)
            assert limit_of(database, name) == 40
            assert not collection.plan("rotational:bits=8,rescore=4").changes
            change = collection.plan("rotational:bits=8,rescore=9").apply(yes=True)
            assert limit_of(database, name) == 90
            change.undo()
            assert limit_of(database, name) == 40
            assert collection.info().vectors[""].quantization.rescore == Rescore(4)
        finally:
            database.drop(name)


@pytest.mark.server
def test_the_index_holds_the_rescoring_of_a_new_collection_until_it_goes(
    live: Callable[[str], str],
) -> None:
    name = f"Held{uuid.uuid4().hex[:8]}"
    with qa.open(live("weaviate")) as database:
        collection = database.create(
            name,
            dim=32,
            quantization='rotational:bits=8,rescore=6,native={"rq":{"rescoreLimit":30}}',
        )
        try:
            assert (limit_of(database, name), limits_of(database, name)) == (
                60, {"": {"was": 30, "raised": 60}},
            )  # fmt: skip
            collection.write(qa.Batch([str(uuid.UUID(int=1))], {"": np.ones((1, 32))}))
            plan = collection.plan("rotational:bits=8,rescore=9")
            wanted = "rescoreLimit is set 60 -> 90 with the rescoring, and set back to 30 when the"
            assert any(note.startswith(wanted) for note in plan.notes)
            change = plan.apply(yes=True)
            assert limits_of(database, name) == {"": {"was": 30, "raised": 90}}
            change.undo()
            assert limits_of(database, name) == {"": {"was": 30, "raised": 60}}
            plan = collection.plan("rotational:bits=8")
            assert "rescoreLimit is set 60 -> 30 with the rescoring" in plan.notes
            change = plan.apply(yes=True)
            assert (limit_of(database, name), limits_of(database, name)) == (30, {})
            change.undo()
            assert limit_of(database, name) == 60
            # A limit that another client set later is kept.
            collection.plan('rotational:bits=8,rescore=6,native={"rq":{"rescoreLimit":100}}').apply(
                yes=True
            )
            collection.plan("rotational:bits=8").apply(yes=True)
            assert (limit_of(database, name), limits_of(database, name)) == (100, {})
        finally:
            database.drop(name)


def limits_of(database: Any, name: str) -> Any:
    raw = schema.describe(database._store.connection, name).raw
    return schema.note_of(raw).get("limits", {})


def limit_of(database: Any, name: str) -> Any:
    raw = schema.describe(database._store.connection, name).raw
    return raw["vectorIndexConfig"]["rq"]["rescoreLimit"]
