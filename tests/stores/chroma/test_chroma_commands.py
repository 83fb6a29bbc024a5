"""Client-side codes over Chroma; cost, predictions, copies, and code for other clients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.cli import main
from qadapt.costing import memory
from qadapt.errors import UnsupportedError
from qadapt.quantizers.models import NEAR
from qadapt.testing.data import Sample

ROWS, DIM = 1200, 64


@pytest.fixture
def empty(database: Database) -> Collection:
    return database.create("empty", dim=DIM)


# -- client-side codes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "offer"),
    [
        ("scalar", "use client-side codes"),
        ("binary", "use client-side codes"),
        ("binary:bits=2", "scalar or binary: use client-side codes"),
        ("rotational:bits=4", "scalar or binary: use client-side codes"),
        ("product:ratio=16", "scalar or binary: use client-side codes"),
        ("float16", "scalar or binary: use client-side codes"),
        ("scalar:originals=none", "omit originals"),
    ],
)
def test_a_native_quantization_is_refused_with_what_would_do(
    empty: Collection, database: Database, setting: str, offer: str
) -> None:
    for accept in ("exact", "differs"):
        with pytest.raises(UnsupportedError) as caught:
            empty.plan(setting, accept=accept)
        assert offer in str(caught.value.hint)
    with pytest.raises(UnsupportedError, match="chroma"):
        database.create("other", dim=4, quantization=setting)
    assert "other" not in database


@pytest.mark.parametrize("setting", ["rotational:bits=4", "binary:bits=2"])
def test_codes_that_qadapt_does_not_have_are_refused_with_client_codes_too(
    empty: Collection, setting: str
) -> None:
    with pytest.raises(UnsupportedError, match="refuses or drops `quantize`") as caught:
        empty.plan(setting, accept="client")
    assert "scalar or binary" in str(caught.value.hint)


def test_client_codes_are_verified_by_the_sequence_number(
    articles: Collection, client: Any, sample: Sample
) -> None:
    articles.plan("binary:rescore=10", accept="client").apply(yes=True)
    vector = articles.info().vectors[""]
    assert (vector.status.state, vector.quantized_by) == (qa.State.ACTIVE, "qadapt")
    evidence = {each.signal: each.value for each in vector.status.evidence}
    assert evidence["change counter"] == "sequence number: unchanged"
    hits = articles.search(sample.queries, k=10)
    assert (hits.how.searcher, hits.how.rescorer) == ("qadapt", "qadapt")
    # Written by qadapt: the codes follow. One row replaced by another client: it is noticed.
    articles.write(qa.Batch([3, "new"], {"": sample.rows[:2]}))
    assert articles.info().vectors[""].status.state is qa.State.ACTIVE
    client.get_collection("articles").upsert(ids=["5"], embeddings=-sample.rows[5:6])
    status = articles.info().vectors[""].status
    assert status.state is qa.State.IGNORED
    assert "1 of 1,201 compared rows" in status.reason
    assert articles.search(sample.queries, k=10).how.searcher == "store"
    articles.plan("binary:rescore=10", accept="client").apply(yes=True)
    assert articles.info().vectors[""].status.state is qa.State.ACTIVE


@pytest.mark.parametrize(
    ("filter", "native"),
    [({"group": [1, 2]}, True), ({"group": {"gte": 1, "lt": 3}}, True),
     ({"not": {"group": {"gte": 3}}, "group": {"gt": 0}}, False)],
)  # fmt: skip
def test_client_codes_are_searched_with_filters(
    articles: Collection, sample: Sample, filter: Any, native: bool
) -> None:
    """Of ids that `where` selects, or of those whose payloads match."""
    wanted = [row for row in range(ROWS) if row % 10 in (1, 2)]
    hits = articles.search(sample.queries, k=5, filter=filter)
    assert hits.how.searcher == ("store" if native else "qadapt")
    truth = articles.search(sample.queries, k=5, filter=filter, exact=True).ids
    scores = sample.queries @ sample.rows[wanted].T
    best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    assert truth.tolist() == [[wanted[at] for at in row] for row in best]
    articles.plan("scalar:rescore=4", accept="client").apply(yes=True)
    hits = articles.search(sample.queries, k=5, filter=filter)
    assert hits.how.searcher == "qadapt"
    assert (hits.ids == truth).mean() > 0.99


def test_an_undo_removes_the_codes(articles: Collection, sample: Sample, client: Any) -> None:
    before = client.get_collection("articles").metadata
    change = articles.plan("scalar:rescore=2", accept="client").apply(yes=True)
    assert client.get_collection("articles").metadata != before
    change.undo()
    vector = articles.info().vectors[""]
    assert (vector.quantization, vector.status.state) == (qa.none(), qa.State.ABSENT)
    assert client.get_collection("articles").metadata == before
    assert articles.search(sample.queries, k=10).how.searcher == "store"


# -- cost, predictions, measurements -------------------------------------------------------------


def test_the_formulas_give_the_sizes_of_the_files(
    database: Database, folder: Path, sample: Sample
) -> None:
    """Chroma writes the files of the graph every 1,000 rows."""
    collection = database.create("sized", dim=DIM)
    collection.write(qa.Batch(range(1000), {"": sample.rows[:1000]}))
    parts = {part.name: part for part in memory(1000, qa.Vector(DIM), "none", "chroma").components}
    (place,) = (each for each in folder.iterdir() if each.is_dir())
    size = {each.stem: each.stat().st_size for each in place.iterdir()}
    level0 = 4 * (2 * 16 + 1) * 1000
    assert parts["originals"].ram == 4 * DIM * 1000
    assert size["data_level0"] == parts["originals"].disk + level0 + parts["ids"].ram
    assert size["length"] == parts["ids"].disk - parts["ids"].ram
    links = parts["graph"].ram - level0
    assert abs(size["link_lists"] - links) / links < 0.25  # levels are random
    graph = collection.info().vectors[""].graph_bytes
    assert graph is not None
    assert graph == sum(size.values()) - parts["originals"].disk


def test_client_codes_save_no_memory_of_chroma(articles: Collection) -> None:
    plan = articles.plan("binary:rescore=4", accept="client")
    assert "saves no RAM" in str(plan)
    with pytest.raises(UnsupportedError):
        memory(ROWS, qa.Vector(DIM), "binary", "chroma")


def test_predictions_are_near_the_engine(articles: Collection, sample: Sample) -> None:
    asked = ["none"]
    predicted = articles.simulate(*asked, queries=sample.queries, k=10, sample_rows=ROWS)
    live = articles.evaluate(*asked, queries=sample.queries, k=10, live=False, concurrency=())
    for ours, theirs in zip(predicted.results, live.results, strict=True):
        assert ours.recall is not None and theirs.recall is not None
        assert abs(ours.recall.value - theirs.recall.value) <= NEAR


def test_advice_measures_client_codes(articles: Collection, sample: Sample) -> None:
    advice = articles.advise(
        0.9, queries=sample.queries[:20], codes=["none", "scalar"], accept="client"
    )
    assert advice.best is not None
    assert advice.best.quantization == qa.none(), "codes need more RAM than none"
    measured = [each.setting for each in advice.results if each.recall is not None]
    assert any("scalar" in each for each in measured)


def test_the_command_line(
    articles: Collection, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"chroma:{folder}"
    assert main(["apply", address, "articles", "binary:rescore=4", "--accept", "client", "-y"]) == 0
    capsys.readouterr()
    assert main(["inspect", address, "articles", "--json"]) == 0
    assert '"state": "active"' in capsys.readouterr().out
    assert main(["doctor", address, "articles"]) in (0, 3)
    assert main(["cost", address, "articles", "none"]) == 0
    assert "chroma" in capsys.readouterr().out


# -- copies --------------------------------------------------------------------------------------


def test_rows_are_copied_to_edge_and_back(
    database: Database, sample: Sample, folder: Path, tmp_path: Path
) -> None:
    """Cosine vectors are off by a rounding step, which a check tolerates."""
    ids: list[Any] = [f"00000000-0000-0000-0000-{at:012x}" if at % 2 else at for at in range(300)]
    made = database.create("articles", dim=DIM)
    payloads = [
        {"group": at % 7, "list": ["a", at], "none": None, "in": {"x": at}} for at in range(300)
    ]
    made.write(qa.Batch(ids, {"": sample.rows[:300]}, payloads))
    there, back = f"edge:{tmp_path}/edge", f"chroma:{tmp_path}/back"
    first = qa.migrate(f"chroma:{folder}#articles", there)
    assert first.state == "done", first
    assert qa.check(f"chroma:{folder}#articles", f"{there}#articles").passed
    with qa.open(there) as middle:
        middle["articles"].plan("binary:rescore=4").apply(yes=True)
    with pytest.raises(UnsupportedError, match="the vector would not be quantized"):
        qa.migrate(f"{there}#articles", back)
    second = qa.migrate(f"{there}#articles", back, quantization="none")
    assert second.state == "done", second
    assert qa.check(f"{there}#articles", f"{back}#articles").passed
    with qa.open(back) as copy:
        found = copy["articles"].fetch(ids)
        assert found.ids == ids
        assert found.payloads == payloads
        np.testing.assert_allclose(found.vectors[""], sample.rows[:300], atol=1e-6)
        copy["articles"].plan("binary:rescore=4", accept="client").apply(yes=True)
        vector = copy["articles"].info().vectors[""]
        assert (vector.quantization, vector.status.state) == (qa.binary(rescore=4), qa.State.ACTIVE)
    third = qa.migrate(f"{back}#articles", f"chroma:{tmp_path}/third")  # with its client-side codes
    assert third.state == "done", third
    assert qa.check(f"{back}#articles", f"chroma:{tmp_path}/third#articles").passed


# -- other clients -------------------------------------------------------------------------------


def test_pasted_code_returns_the_ids_of_qadapt(articles: Collection, sample: Sample) -> None:
    code = (
        articles.client_params(k=5)
        .code["chromadb"]
        .replace("import chromadb\n", "import chromadb\nfrom chromadb.config import Settings\n")
    )  # one process must open a folder with the same settings
    code = code.replace(
        "')\ncollection", "', settings=Settings(anonymized_telemetry=False))\ncollection"
    )
    defined: dict[str, Any] = {}
    exec(compile(code, "pasted.py", "exec"), defined)  # the code that users paste
    for query in sample.queries[:5]:
        found = defined["search"](query.tolist())
        assert list(map(int, found)) == articles.search(query, k=5).ids[0].tolist()
    defined["client"].close()


# -- collections with a named vector ---------------------------------------------------------------


def test_a_named_vector_is_refused_with_commands_that_copy_it(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = f"lancedb:{tmp_path}/l#docs", f"{database._store.address}#docs"
    rows = np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32)
    with qa.open(f"lancedb:{tmp_path}/l") as named:
        named.create("docs", vectors={"text": qa.Vector(8)})
        named["docs"].write(qa.Batch(range(200), {"text": rows}, [{"n": at} for at in range(200)]))
        with pytest.raises(UnsupportedError, match="one unnamed vector") as caught:
            qa.migrate(named["docs"], (database, "docs"))
        qa.export_file(named["docs"], tmp_path / "FILE.parquet")
    advice = str(caught.value.hint)
    assert f"qadapt export '{source}' FILE.parquet" in advice
    assert f"qadapt import FILE.parquet '{target}' --vectors '=vector:NAME'" in advice
    with pytest.raises(UnsupportedError, match="one unnamed vector") as caught:
        qa.import_file(tmp_path / "FILE.parquet", (database, "docs"))
    assert "--vectors =COLUMN" in str(caught.value.hint)
    assert "docs" not in database
    qa.import_file(tmp_path / "FILE.parquet", (database, "docs"), vectors={"": "vector:text"})
    found = database["docs"].fetch([7])
    np.testing.assert_allclose(found.vectors[""], rows[7:8], rtol=1e-6)
    assert found.payloads == [{"n": 7}]
