"""Payload indexes are planned by key, created after the copy, and verified in the target.

Where other tools copy rows and leave filters slow or refused
(https://github.com/zilliztech/vts/issues/79, schema constraints lost).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from migration_help import rows

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import StoreError, UnsupportedError
from qadapt.migration.text import plan_lines
from qadapt.model import CollectionSchema
from qadapt.stores.base import PAYLOAD_KINDS

Ends = Callable[[str], Database]
PAYLOAD = {
    "keyword": "red", "integer": 7, "float": 0.5, "bool": True, "text": "a word",
    "datetime": "2024-02-29T12:00:00Z", "geo": {"lat": 1.0, "lon": 2.0},
    "uuid": "00000000-0000-0000-0000-000000000007",
}  # fmt: skip
EVERY = {kind: kind for kind in PAYLOAD_KINDS}


@pytest.fixture
def indexed(edge: Database) -> Collection:
    """100 rows with a payload index of each kind."""
    return index_every_kind(edge, 100)


def index_every_kind(edge: Database, count: int) -> Collection:
    made = edge.create("docs", dim=64, metric="dot")
    payloads = [{**PAYLOAD, "integer": at} for at in range(count)]
    made.write(qa.Batch(range(count), {"": rows(count, dim=64)}, payloads))
    for key, kind in EVERY.items():
        edge._store.create_payload_index("docs", key, kind)
    return made


def test_every_kind_of_index_is_copied_and_survives_quantization(
    edge: Database, ends: Ends
) -> None:
    there, indexed = ends("edge"), index_every_kind(edge, 500)
    indexed.plan("scalar").apply(yes=True)
    plan = qa.plan_migration(indexed, (there, "docs"))
    assert plan.payload_indexes == EVERY
    assert plan.losses == ()
    assert ("index", "integer (integer), created after the copy") in plan_lines(plan)
    done = qa.migrate(indexed, (there, "docs"))
    assert done.state == "done"
    assert there._store.payload_indexes("docs") == EVERY
    assert done.status[""].state is qa.State.ACTIVE
    # The engine's own count: the index covers all rows, also those written before it.
    shard = there._store.shard("docs")  # type: ignore[attr-defined]
    with shard.use("look at") as opened:
        schema = opened.info().payload_schema
        assert {key: schema[key].points for key in EVERY} == dict.fromkeys(EVERY, 500)
    assert qa.migrate(indexed, (there, "docs")).state == "done"  # repeating it changes nothing


@pytest.mark.parametrize("engine", ["local", "lite"])
def test_unsupported_indexes_are_refused_by_key(
    indexed: Collection, ends: Ends, name: str, engine: str
) -> None:
    there = ends(engine)
    with pytest.raises(UnsupportedError, match=r"payload-indexes: bool \(bool\)") as caught:
        qa.migrate(indexed, (there, name))
    assert "--allow payload-indexes" in str(caught.value)
    assert there.collections() == []
    done = qa.migrate(indexed, (there, name), allow=["payload-indexes"])
    assert (done.state, done.plan.payload_indexes) == ("done", {})


def test_automatic_indexes_of_weaviate_are_noted(
    indexed: Collection, ends: Ends, name: str
) -> None:
    there = ends("weaviate")
    plan = qa.plan_migration(indexed, (there, name), trial_copy=False)
    (loss,) = plan.losses
    assert loss.name == "payload-indexes"
    assert [kind for kind in EVERY if f"{kind} ({kind})" in loss.detail] == [
        "datetime", "text", "geo",
    ]  # fmt: skip
    assert any("weaviate indexes bool, float, integer" in note for note in plan.notes)


def test_index_settings_are_copied_within_a_family_and_reported_elsewhere(
    edge: Database, ends: Ends, name: str
) -> None:
    engine = pytest.importorskip("qdrant_edge")
    made = edge.create("docs", dim=4, metric="dot")
    made.write(qa.Batch(range(5), {"": rows(5, dim=4)}, [{"body": "A word"}] * 5))
    params = engine.TextIndexParams(lowercase=False)
    with edge._store.shard("docs").change("index") as opened:  # type: ignore[attr-defined]
        opened.update(engine.UpdateOperation.create_field_index("body", params))
    there = ends("edge")
    plan = qa.plan_migration(made, (there, "docs"))
    settings = {"body": {"lowercase": False, "tokenizer": "word"}}
    assert (plan.losses, plan.payload_index_settings) == ((), settings)
    assert ("index", "body (text, lowercase False, tokenizer word), created after the copy") in (
        plan_lines(plan)
    )
    qa.migrate(made, (there, "docs"))
    assert there._store.payload_indexes("docs") == {"body": "text"}
    assert there._store.payload_index_settings("docs") == settings
    with there._store.shard("docs").use("look at") as opened:  # type: ignore[attr-defined]
        assert opened.info().payload_schema["body"].params.lowercase is False
    other = qa.plan_migration(made, (ends("lite"), name), trial_copy=False)
    assert [loss.name for loss in other.losses] == ["payload-indexes"]
    assert other.losses[0].detail.startswith("body (text): Milvus Lite")


def test_an_existing_target_keeps_its_index(indexed: Collection, ends: Ends) -> None:
    there = ends("edge")
    there.create("docs", dim=64, metric="dot")
    there._store.create_payload_index("docs", "integer", "keyword")
    plan = qa.plan_migration(indexed, (there, "docs"), allow=["existing-target"])
    reported = {loss.name: loss.detail for loss in plan.losses}
    assert reported["payload-indexes"] == (
        "integer (integer): the target has an index of kind keyword"
    )
    assert set(plan.payload_indexes) == set(EVERY) - {"integer"}


def test_an_index_that_the_target_does_not_list_is_an_error(
    indexed: Collection, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = ends("edge")
    kind = type(there._store)
    with monkeypatch.context() as patched:
        patched.setattr(kind, "create_payload_index", lambda *_: None)
        with pytest.raises(StoreError, match="does not list them"):
            qa.migrate(indexed, (there, "docs"))
    done = qa.migrate(indexed, (there, "docs"))
    assert (done.resumed, done.metrics.rows) == (True, 0)
    assert there._store.payload_indexes("docs") == EVERY


def test_an_unknown_kind_of_index_is_refused(edge: Database, indexed: Collection) -> None:
    with pytest.raises(UnsupportedError, match="'fuzzy'; expected one of: keyword"):
        edge._store.create_payload_index("docs", "n", "fuzzy")


# Settings of each kind of index that the engine accepts and returns.
SETTINGS: dict[str, dict[str, Any]] = {
    "keyword": {"is_tenant": True, "on_disk": True, "prefix": True},
    "integer": {"lookup": True, "range": False, "is_principal": True},
    "float": {"is_principal": True, "enable_hnsw": False},
    "bool": {"on_disk": True},
    "datetime": {"is_principal": True, "memory": "cold"},
    "text": {
        "tokenizer": "multilingual", "min_token_len": 2, "max_token_len": 20, "lowercase": True,
        "phrase_matching": True, "ascii_folding": True, "scoring": {"type": "bm25"},
        "stopwords": {"languages": ["english", "german"], "custom": ["foo"]},
        "stemmer": {"type": "snowball", "language": "german"},
    },
    "geo": {"on_disk": True},
    "uuid": {"is_tenant": True},
}  # fmt: skip


def test_settings_of_each_kind_are_copied(edge: Database, ends: Ends) -> None:
    made = edge.create("docs", dim=4, metric="dot")
    made.write(qa.Batch(range(20), {"": rows(20, dim=4)}, [PAYLOAD] * 20))
    for kind, settings in SETTINGS.items():
        edge._store.create_payload_index("docs", kind, kind, settings)
    assert edge._store.payload_index_settings("docs") == SETTINGS
    there = ends("edge")
    done = qa.migrate(made, (there, "docs"))
    assert (done.state, done.plan.losses) == ("done", ())
    assert there._store.payload_indexes("docs") == EVERY
    assert there._store.payload_index_settings("docs") == SETTINGS


@pytest.mark.parametrize(
    "settings",
    [
        {"stopwords": "french", "tokenizer": "word"},
        {"stemmer": {"type": "none"}, "tokenizer": "word"},
    ],
)
def test_alternative_forms_of_settings_are_read_back(
    edge: Database, settings: dict[str, Any]
) -> None:
    edge.create("docs", dim=4, metric="dot")
    edge._store.create_payload_index("docs", "body", "text", settings)
    assert edge._store.payload_index_settings("docs") == {"body": settings}


def test_an_unknown_setting_is_named(edge: Database) -> None:
    asked = {"lookup": True, "quantum": 1, "memory": "warm"}
    fitted, problem = edge._store.adapt_payload_index("n", "integer", asked, CollectionSchema())
    assert (fitted, problem) == ({"lookup": True}, None)
    edge.create("docs", dim=4, metric="dot")
    with pytest.raises(UnsupportedError, match="no Memory 'warm'"):
        edge._store.create_payload_index("docs", "n", "integer", {"memory": "warm"})


def test_a_setting_that_the_target_does_not_have_is_an_error(
    edge: Database, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = edge.create("docs", dim=4, metric="dot")
    made.write(qa.Batch(range(5), {"": rows(5, dim=4)}, [{"n": 1}] * 5))
    edge._store.create_payload_index("docs", "n", "integer", {"lookup": True, "range": False})
    there = ends("edge")
    store = type(there._store)
    real = store.create_payload_index

    def forgetful(self: Any, collection: str, key: str, kind: str, settings: Any = None) -> None:
        real(self, collection, key, kind)

    with monkeypatch.context() as patched:
        patched.setattr(store, "create_payload_index", forgetful)
        with pytest.raises(StoreError, match="n: lookup is None, expected True"):
            qa.migrate(made, (there, "docs"))


def test_settings_that_the_target_lacks_are_a_named_loss(
    edge: Database, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = edge.create("docs", dim=4, metric="dot")
    made.write(qa.Batch(range(5), {"": rows(5, dim=4)}, [{"n": 1}] * 5))
    edge._store.create_payload_index("docs", "n", "integer", {"lookup": True, "range": True})
    there = ends("edge")
    newer = {"n": {"lookup": True, "range": True, "quantum": 1}}
    with monkeypatch.context() as patched:
        patched.setattr(edge._store, "payload_index_settings", lambda _: newer)
        with pytest.raises(UnsupportedError, match=r"settings of the index of n \(quantum\)"):
            qa.migrate(made, (there, "docs"))
        qa.migrate(made, (there, "docs"), allow=["payload-indexes"])
    assert there._store.payload_index_settings("docs") == {"n": {"lookup": True, "range": True}}
