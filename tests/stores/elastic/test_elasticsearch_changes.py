"""Changes in place and by a copy, with undo."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from slow import SLOW

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import PlanStaleError, ReadOnlyError, UnsupportedError
from qadapt.stores.base import silent
from qadapt.stores.elastic import copy_switch
from qadapt.stores.elastic.elasticsearch.in_place import NEWEST

KINDS = [*NEWEST, "bbq_hnsw"]
# A row of the table with a graph, one without.
SOME = KINDS if SLOW else ["int8_hnsw", "bbq_flat"]


@pytest.mark.server
@pytest.mark.parametrize("kind", SOME)
def test_the_server_accepts_exactly_the_types_of_the_table(raw: Any, name: str, kind: str) -> None:
    for at, wanted in enumerate(each for each in KINDS if each != kind):
        index = f"{name}_{at}"
        definition = {"type": "dense_vector", "dims": 64, "index_options": {"type": kind}}
        raw("PUT", f"/{index}", {"mappings": {"properties": {"v": definition}}})
        changed = {**definition, "index_options": {"type": wanted}}
        answer = raw("PUT", f"/{index}/_mapping", {"properties": {"v": changed}})
        assert ("acknowledged" in answer) == (wanted in NEWEST.get(kind, ())), (kind, wanted)


def test_fewer_bits_in_place_more_bits_by_a_copy(
    database: Database, name: str, articles: Collection
) -> None:
    steps = [articles.plan("scalar").steps, articles.plan("binary").steps]
    assert [[step.symbol.value for step in each] for each in steps] == [["±"], ["±"]]
    articles.plan("binary:rescore=4").apply(yes=True)
    plan = articles.plan("scalar")
    assert [step.symbol.value for step in plan.steps] == [">", "-/+"]
    plan.apply(yes=True)
    info = articles.info()
    assert info.vectors[""].status.state is qa.State.ACTIVE
    assert database.aliases()[name] == f"{name}_v2"
    assert articles.count() == 1500
    database.drop(name)
    assert name not in database


def test_the_mapping_holds_the_oversampling_of_other_clients(
    raw: Any, name: str, articles: Collection
) -> None:
    articles.plan("binary:rescore=6").apply(yes=True)

    def oversample() -> Any:
        field = raw("GET", f"/{name}")[name]["mappings"]["properties"]["embedding"]
        return field["index_options"]["rescore_vector"]["oversample"]

    assert oversample() == 6
    change = articles.plan("binary:rescore=2").apply(yes=True)
    assert [step.symbol.value for step in change.plan.steps][:1] == ["~"]
    assert oversample() == 2
    change.undo()
    assert oversample() == 6


def test_an_alias_is_moved_and_moved_back_while_searches_go_on(
    database: Database, name: str, sample: Any, articles: Collection
) -> None:
    alias = f"{name}_alias"
    database.switch_alias(alias, name)
    collection = database[alias]
    assert collection.count() == len(sample.rows)  # the reader, another client, finds rows, too
    failures: list[BaseException] = []
    found: list[int] = []
    stop = threading.Event()

    def search() -> None:
        with qa.open(database._store.address) as other:
            mine = other[alias]
            while not stop.is_set():
                try:
                    found.append(int((mine.search(sample.queries[0], k=5).ids != None).sum()))  # noqa: E711
                except BaseException as error:  # noqa: BLE001 - asserted below
                    failures.append(error)
                    return

    reader = threading.Thread(target=search)
    reader.start()
    try:
        change = collection.plan("scalar", strategy="alias").apply(yes=True)
        copy = database.aliases()[alias]
        assert copy == f"{name}_v2"
        assert collection.info().vectors[""].status.state is qa.State.ACTIVE
        change.undo()
    finally:
        stop.set()
        reader.join()
    assert database.aliases()[alias] == name
    assert collection.info().vectors[""].quantization == qa.none()
    assert failures == []
    assert set(found) == {5}


def test_an_index_that_is_replaced_keeps_its_other_aliases(
    database: Database, raw: Any, name: str, articles: Collection
) -> None:
    other = f"{name}_red"
    raw("POST", "/_aliases", {"actions": [{"add": {
        "index": name, "alias": other, "filter": {"term": {"qadapt.id": "7"}}}}]})  # fmt: skip
    vectors = articles.fetch([3, 7]).vectors[""].tobytes()
    articles.plan(metric="euclidean").apply(yes=True)
    shown = raw("GET", f"/{name}_v2/_alias")[f"{name}_v2"]["aliases"]
    assert set(shown) == {name, other}
    assert shown[other]["filter"] == {"term": {"qadapt.id": "7"}}
    assert articles.info().vectors[""].metric is qa.Metric.EUCLIDEAN
    assert articles.fetch([3, 7]).vectors[""].tobytes() == vectors


def test_writes_are_refused_while_rows_are_copied(
    database: Database, raw: Any, name: str, articles: Collection
) -> None:
    store: Any = database._store
    with (
        copy_switch.writes_blocked(store, store.index(name), f"{name}_v2"),
        pytest.raises(ReadOnlyError, match="blocked by"),
    ):
        articles.write(qa.Batch([1], {"": np.ones((1, 64))}))
    articles.write(qa.Batch([1], {"": np.ones((1, 64))}))
    assert "blocks" not in raw("GET", f"/{name}")[name]["settings"]["index"]


def test_bfloat16_and_fewer_dimensions_by_a_copy(
    database: Database, name: str, sample: Any, articles: Collection, since: Callable[[str], None]
) -> None:
    since("9.3.0")
    articles.plan("float16:originals=none", accept="differs").apply(yes=True)
    vector = articles.info().vectors[""]
    assert vector.datatype == "bfloat16"
    hits = articles.search(sample.queries, k=10)
    assert hits.how.scores == "approximate"
    assert any("bfloat16" in note for note in hits.how.notes)


def test_a_change_of_several_shards_reaches_all_of_them(
    database: Database, raw: Any, name: str, sample: Any
) -> None:
    made = database.create(f"{name}_one", dim=64)
    mappings = raw("GET", f"/{name}_one")[f"{name}_one"]["mappings"]
    raw("PUT", f"/{name}", {"mappings": mappings, "settings": {"index.number_of_shards": 3}})
    del made
    collection = database[name]
    collection.write(qa.Batch(list(range(600)), {"": sample.rows[:600]}))
    plan = collection.plan("scalar:rescore=2")
    assert any("3 shards" in note for note in plan.notes)
    plan.apply(yes=True)
    assert collection.info().vectors[""].status.state is qa.State.ACTIVE
    hits = collection.search(sample.queries[0], k=5)
    count = hits.how.candidates  # 10, and more on 8.19
    assert f"each of 3 shards rescores its own {count} candidates" in hits.how.notes
    assert sorted(key for page in collection.read(page=100) for key in page.ids) == list(range(600))
    exact = collection.search(sample.queries, k=10, exact=True)
    scores = sample.queries @ sample.rows[:600].T
    assert exact.ids.tolist() == np.argsort(-scores, axis=1, kind="stable")[:, :10].tolist()


def test_original_vectors_on_disk_and_the_graph_are_set_in_the_mapping(
    raw: Any, name: str, articles: Collection, since: Callable[[str], None]
) -> None:
    since("9.3.0")
    wanted = qa.Quantization.parse("scalar:originals=disk").replace(native={"m": 24})
    articles.plan(wanted).apply(yes=True)

    def options() -> Any:
        return raw("GET", f"/{name}")[name]["mappings"]["properties"]["embedding"]["index_options"]

    assert (options()["on_disk_rescore"], options()["m"]) == (True, 24)
    assert articles.info().vectors[""].quantization.originals == "disk"
    assert not articles.plan(wanted).changes
    articles.plan("binary").apply(yes=True)
    assert options()["m"] == 24
    plan = articles.plan(qa.binary(native={"m": 8}))
    assert [step.symbol.value for step in plan.steps] == ["-/+"], "a graph cannot get fewer links"


def test_a_type_that_another_client_set_is_named(
    database: Database, raw: Any, name: str, articles: Collection, since: Callable[[str], None]
) -> None:
    """Between the check of the plan and the request; codes of 8 bits do not replace sign bits."""
    since("8.19.0")
    (step, *_) = articles.plan("scalar").steps
    articles.plan("binary").apply(yes=True)
    with pytest.raises(
        PlanStaleError, match="at the same time: its index has the type bbq"
    ) as told:
        database._store.run(name, step.request, silent, 30)
    assert "qadapt plan" in str(told.value.hint)
    assert str(articles.info().vectors[""].quantization.kind) == "binary"


def test_the_block_of_a_killed_change_is_removed_by_the_next_one(
    database: Database, raw: Any, name: str, articles: Collection
) -> None:
    database.switch_alias(f"{name}_alias", name)
    meta = raw("GET", f"/{name}")[name]["mappings"]["_meta"]["qadapt"]
    raw("PUT", f"/{name}/_mapping", {"_meta": {"qadapt": {**meta, "blocked": True}}})
    raw("PUT", f"/{name}/_settings", {"index.blocks.write": True})
    aliased = database[f"{name}_alias"]
    aliased.plan("scalar", strategy="alias").apply(yes=True).undo()
    aliased.write(qa.Batch([1], {"": np.ones((1, 64))}))
    assert raw("GET", f"/{name}")[name]["mappings"]["_meta"]["qadapt"] == meta


def test_what_a_copy_would_lose_is_refused(database: Database, raw: Any, name: str) -> None:
    codes = {"type": "int8_hnsw"}
    properties = {
        "embedding": {"type": "dense_vector", "dims": 64, "index_options": codes},
        "picture": {"type": "dense_vector", "dims": 64, "element_type": "byte"},
    }
    raw("PUT", f"/{name}", {"mappings": {"properties": properties}})
    with pytest.raises(UnsupportedError, match="'picture' has the element type byte"):
        database[name].plan("none")


def test_an_alias_with_a_filter_is_refused(
    database: Database, raw: Any, name: str, articles: Collection
) -> None:
    alias = f"{name}_red"
    raw("POST", "/_aliases", {"actions": [{"add": {
        "index": name, "alias": alias, "filter": {"term": {"qadapt.id": "7"}}}}]})  # fmt: skip
    with pytest.raises(UnsupportedError, match="an alias with a filter"):
        database[alias].count()
