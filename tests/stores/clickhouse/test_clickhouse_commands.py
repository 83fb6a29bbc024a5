"""Cost, predictions, copies, code for other clients, wrapped clients, one folder per process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import chdb
import numpy as np
import pytest
from clickhouse_helpers import DIM, ROWS, Raw
from slow import some

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.costing import memory
from qadapt.errors import StoreError, UnsupportedError
from qadapt.model.address import Address
from qadapt.quantizers.models import NEAR
from qadapt.stores.clickhouse.schema import Codec, Index
from qadapt.testing.data import Sample, clustered


def test_a_second_folder_in_one_process_is_refused(database: Database, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="this process has") as error:
        qa.open(f"clickhouse:{tmp_path / 'other'}")
    assert "one data folder per process" in str(error.value.hint)
    assert database.collections() == []


def test_a_folder_of_another_process_is_refused(database: Database, address: str) -> None:
    """In a subprocess, because this process has the folder open."""
    folder = Address.parse(address).path
    code = (
        "import qadapt as qa\n"
        f"try:\n    qa.open('clickhouse:{folder}')\n"
        "except qa.errors.BusyError as error:\n    print(error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "another process has the folder open" in done.stdout


def test_a_connection_of_the_user_is_wrapped_and_stays_open(
    database: Database, address: str, sample: Sample
) -> None:
    connection = chdb.connect(str(Address.parse(address).path))
    with qa.wrap(connection) as wrapped:
        made = wrapped.create("wrapped", dim=DIM)
        made.write(qa.Batch(range(20), {"": sample.rows[:20]}))
        assert made.search(sample.rows[3], k=1).ids.tolist() == [[3]]
        wrapped.drop("wrapped")
    assert connection.query("SELECT 1", "TSV").bytes() == b"1\n"
    connection.close()


@pytest.mark.parametrize("setting", some(["none", "scalar", "binary", "rotational:bits=1"], 2))
def test_the_formulas_give_the_bytes_of_the_codes(articles: Collection, setting: str) -> None:
    if setting != "none":
        articles.plan(setting).apply(yes=True)
    parts = {
        part.name: part.disk
        for part in memory(ROWS, qa.Vector(DIM), setting, "clickhouse").components
    }
    vector = articles.info().vectors[""]
    assert parts.get("codes", 0) == (vector.code_bytes or 0)
    assert parts["originals"] == vector.float_bytes == ROWS * DIM * 4


def test_the_formula_of_the_graph_is_near_the_size_of_the_index(
    raw: Raw, articles: Collection
) -> None:
    """Without compression, as in memory."""
    articles.plan("float16").apply(yes=True)
    ((size,),) = raw.rows(
        "SELECT toInt64(sum(secondary_indices_uncompressed_bytes)) AS n FROM system.parts "
        f"WHERE table = 'articles' AND database = '{raw.database}' AND active"
    )
    components = memory(ROWS, qa.Vector(DIM), "float16", "clickhouse").components
    parts = {part.name: part.ram for part in components}
    assert parts["codes"] + parts["graph"] == pytest.approx(size, rel=0.03)


def unreachable(collection: Collection, vectors: np.ndarray) -> np.ndarray:
    """Which rows the graph lost: a search by their own vectors does not find them."""
    found = collection.search(vectors, k=10).ids
    missing: np.ndarray = ~(found == np.arange(len(vectors))[:, None]).any(axis=1)
    return missing


@pytest.mark.parametrize(("rows", "dim"), [(1000, 64)])
def test_predictions_are_near_the_engine(database: Database, rows: int, dim: int) -> None:
    """On data and dimensions that no figure of the model was derived from.

    The engine builds a graph with several threads, and loses up to 5 % of the rows when these
    compete for a processor (docs/engines/clickhouse.md#evidence). No prediction knows that, so the
    hits that are lost so are counted as found.
    """
    data = clustered(rows, dim, queries=60, k=10, seed=dim)
    made = database.create("predicted", dim=dim)
    made.write(qa.Batch(range(rows), {"": 2 * data.rows}))
    predicted = made.simulate(
        "scalar:rescore=off", queries=2 * data.queries, k=10, sample_rows=rows
    )
    assert predicted.results[0].recall is not None
    made.plan("scalar:rescore=off").apply(yes=True)
    found = made.search(2 * data.queries, k=10).ids
    right = (found[:, :, None] == data.truth[:, None, :]).any(axis=1)
    lost = unreachable(made, 2 * data.rows)[data.truth] & ~right
    assert lost.mean() < 0.1
    theirs = float((right | lost).mean())
    assert abs(predicted.results[0].recall.value - theirs) <= NEAR, (predicted.results, theirs)


def test_advice_finds_codes_that_save_ram(database: Database, sample: Sample) -> None:
    articles = database.create("articles", dim=DIM)
    articles.write(qa.Batch(range(400), {"": sample.rows[:400]}))
    advice = articles.advise(0.8, queries=sample.queries, codes=["rotational:bits=1"])
    assert advice.best is not None
    assert advice.best.quantization.kind is qa.Kind.ROTATIONAL


def test_codes_save_ram(articles: Collection) -> None:
    found = articles.cost("rotational:bits=1")
    assert found.before is not None
    assert found.after is not None
    assert found.before.footprint is not None
    assert found.after.footprint is not None
    assert found.after.footprint.ram < found.before.footprint.ram / 10
    assert found.after.footprint.disk > found.before.footprint.disk


# -- copies --------------------------------------------------------------------------------------


def test_rows_are_copied_to_edge_and_back(
    database: Database, sample: Sample, address: str, tmp_path: Path
) -> None:
    pytest.importorskip("qdrant_edge")
    ids: list[Any] = [f"00000000-0000-0000-0000-{at:012x}" for at in range(300)]
    made = database.create("articles", dim=DIM)
    payloads = [{"group": at % 7, "list": ["a", at], "none": None} for at in range(300)]
    made.write(qa.Batch(ids, {"": sample.rows[:300]}, payloads))
    made.plan("binary:rescore=4").apply(yes=True)
    source, there = f"{address}#articles", f"edge:{tmp_path}/edge"
    first = qa.migrate(source, there)
    assert first.state == "done", first
    assert qa.check(source, f"{there}#articles").passed
    database.drop("articles")
    second = qa.migrate(f"{there}#articles", address)
    assert second.state == "done", second
    assert qa.check(f"{there}#articles", source).passed
    copy = database["articles"]
    found = copy.fetch(ids)
    assert found.ids == ids
    assert found.payloads == payloads
    np.testing.assert_allclose(found.vectors[""], sample.rows[:300], atol=1e-6)
    vector = copy.info().vectors[""]
    assert (vector.quantization, vector.status.state) == (qa.binary(rescore=4), qa.State.ACTIVE)


# -- other clients -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting", some(["none", "binary:rescore=4", "scalar", "rotational:bits=1,rescore=2"], 2)
)
def test_pasted_code_returns_the_ids_of_qadapt(
    articles: Collection, sample: Sample, setting: str
) -> None:
    if setting != "none":
        articles.plan(setting).apply(yes=True)
    found = articles.client_params(k=5)
    assert set(found.code) == {"chdb", "sql"}
    assert "{q:Array(Float32)}" in found.code["sql"]
    defined: dict[str, Any] = {}
    exec(compile(found.code["chdb"], "pasted.py", "exec"), defined)  # the code that users paste
    for query in sample.queries[:5]:
        ours = articles.search(query, k=5).ids[0].tolist()
        assert [int(each) for each in defined["search"](query.tolist())] == ours
    defined["connection"].close()


def test_code_of_a_server_has_no_password(
    articles: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", "secret-word")
    store = articles._store
    monkeypatch.setattr(store, "address", Address.parse("clickhouse+https://host?user=me"))
    code = articles.client_params(k=5).code["clickhouse-connect"]
    compile(code, "pasted.py", "exec")
    assert "host='host', port=8443, secure=True" in code
    assert "os.environ['CLICKHOUSE_PASSWORD']" in code
    assert "secret-word" not in code


# -- definitions ---------------------------------------------------------------------------------


def test_definitions_of_indexes_and_codecs_are_parsed() -> None:
    text = "vector_similarity('hnsw', 'L2Distance', 16, 'i8', 24, 100)"
    index = Index.parse("ix", "`v`", text, 5, 1)
    assert index is not None
    assert (index.function, index.dim, index.quantization, index.m) == ("L2Distance", 16, "i8", 24)
    assert index.type_full == text
    short = Index.parse("ix", "v", "vector_similarity('hnsw','cosineDistance',8)", 0, 1)
    assert short is not None
    assert (short.quantization, short.m, short.ef) == ("bf16", 32, 128)
    assert Index.parse("ix", "v", "minmax", 0, 1) is None
    assert Codec.parse("CODEC(Quantized('rabitq', 16, 0))") == Codec("rabitq", 16)
    assert Codec.parse("CODEC(Quantized('product', 16, 8, 4))") == Codec("product", 16, (8, 4))
    assert Codec.parse("CODEC(ZSTD(1))") is None


def test_unknown_native_settings_are_refused(articles: Collection) -> None:
    for native, word in (
        ({"methods": "x"}, "methods"),
        ({"m": 1}, "m must be"),
        ({"using": "graph"}, "graph"),
        ({"quantization": "u8"}, "u8"),
    ):
        with pytest.raises(qa.errors.SpecError, match=word):
            articles.plan(qa.binary(native=native))
    with pytest.raises(UnsupportedError, match="no sign bits"):
        articles.plan(qa.binary(native={"using": "codec"}))
