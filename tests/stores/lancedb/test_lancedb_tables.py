"""Tables of other programs, ids, vectors, types, addresses, wrapped connections, conflicts."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from lancedb_helpers import DIM, ROWS, table

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.cli import main
from qadapt.errors import (
    AddressError,
    AuthError,
    BusyError,
    InputError,
    NotFoundError,
    StorageError,
    StoreError,
    UnsupportedError,
)
from qadapt.model.address import Address
from qadapt.stores.lancedb import connection, vector_index
from qadapt.testing.data import Sample


@pytest.fixture
def shop(raw: Any, sample: Sample) -> Any:
    """A table of another program: another id, an index, typed columns."""
    from lancedb.index import IvfRq

    made = raw.create_table(
        "shop",
        table(
            {
                "sku": [f"s{at:04d}" for at in range(ROWS)],
                "number": list(range(ROWS)),
                "emb": sample.rows,
                "small": sample.rows[:, :8],
            }
        ),
    )
    made.create_index("emb", config=IvfRq(distance_type="cosine", num_bits=4))
    return made


def test_the_id_of_a_table_of_another_program_is_named(
    database: Database, folder: Path, shop: Any, sample: Sample
) -> None:
    with pytest.raises(InputError, match="no column 'id'") as caught:
        database["shop"].info()
    assert "sku, number" in str(caught.value.hint)
    with qa.open(f"lancedb:{folder}?id=sku") as chosen:
        made = chosen["shop"]
        assert list(made.info().vectors) == ["emb", "small"]
        vector = made.info().vectors["emb"]
        assert (vector.metric, vector.quantization) == (qa.Metric.COSINE, qa.rotational(bits=4))
        assert vector.status.state is qa.State.ACTIVE
        assert made.search(sample.rows[7], k=1, vector="emb").ids.tolist() == [["s0007"]]
        new = {"emb": sample.rows[:1], "small": sample.rows[:1, :8]}
        made.write(qa.Batch(["s0007"], new, [{"number": -1}]))
        assert made.count() == ROWS
        assert made.fetch(["s0007"], vectors=()).payloads == [{"number": -1}]
        made.delete(["s0007", "unknown"])
        assert made.count() == ROWS - 1
        with pytest.raises(InputError, match="not a column of 'shop'"):
            made.write(qa.Batch(["x"], new, [{"colour": "red"}]))
    with qa.open(f"lancedb:{folder}?id=skew") as wrong, pytest.raises(NotFoundError, match="sku"):
        wrong["shop"].info()
    with qa.open(f"lancedb:{folder}?id=emb") as wrong, pytest.raises(NotFoundError, match="emb"):
        wrong["shop"].info()


def test_rows_that_are_not_in_the_order_of_their_ids_are_read_in_it(
    database: Database, sample: Sample
) -> None:
    made = database.create("mixed", dim=DIM)
    order = np.random.default_rng(0).permutation(500)
    for part in np.split(order, 5):
        made.write(qa.Batch(part.tolist(), {"": sample.rows[part]}))
    pages = list(made.read(page=120))
    assert [key for page in pages for key in page.ids] == list(range(500))
    assert max(map(len, pages)) == 120
    whole = qa.Batch.concat(pages).vectors[""]
    assert whole.tobytes() == sample.rows[:500].tobytes()
    assert made.fetch([7, 3]).vectors[""].tobytes() == sample.rows[[7, 3]].tobytes()


def test_a_read_shows_one_version_while_rows_are_written(
    articles: Collection, sample: Sample, folder: Path
) -> None:
    """In this process, and in another one that gets the number of the version."""
    store = articles._store
    with store.consistent_reads("articles") as shown, qa.open(f"lancedb:{folder}") as other:
        articles.write(qa.Batch([ROWS], {"": sample.rows[:1]}))
        assert sum(map(len, articles.read(vectors=(), payload=False))) == ROWS
        with other._store.consistent_reads("articles", shown):
            assert sum(map(len, other["articles"].read(vectors=(), payload=False))) == ROWS
    assert sum(map(len, articles.read(vectors=(), payload=False))) == ROWS + 1


def test_missing_vectors_and_float16(database: Database, sample: Sample) -> None:
    half = qa.Vector(DIM, datatype="float16")
    made = database.create("two", vectors={"title": qa.Vector(DIM), "body": half})
    mask = np.array([False, True, False])
    rows = {"title": sample.rows[:3], "body": sample.rows[3:6]}
    made.write(qa.Batch([1, 2, 3], rows, missing={"body": mask}))
    made.write(qa.Batch([4], {"title": sample.rows[:1]}))
    found = made.fetch([1, 2, 3, 4])
    assert found.missing["body"].tolist() == [False, True, False, True]
    wanted = sample.rows[3:6].astype(np.float16).astype(np.float32)
    assert found.vectors["body"][[0, 2]].tobytes() == wanted[[0, 2]].tobytes()
    hits = made.search(sample.rows[3], k=4, vector="body")
    assert sorted(key for key in hits.ids[0].tolist() if key is not None) == [1, 3]
    info = made.info().vectors["body"]
    assert (info.datatype, info.metric) == ("float16", qa.Metric.COSINE)


def test_vectors_that_qadapt_does_not_read_are_named(database: Database, raw: Any) -> None:
    import pyarrow as pa

    bits = pa.FixedSizeListArray.from_arrays(pa.array(range(40), pa.uint8()), 8)
    raw.create_table("bits", table({"id": [1, 2, 3, 4, 5], "v": np.eye(5), "code": bits}))
    made = database["bits"]
    assert any("vectors of uint8" in note for note in made.info().notes)
    with pytest.raises(UnsupportedError, match="uint8"):
        made.write(qa.Batch([9], {"v": np.ones((1, 5))}))
    assert "code" in made._store.uncopied("bits")


# -- addresses and connections -------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["s3://bucket/data", "gs://bucket/data", "az://container/data", "db://name"]
)
def test_addresses_of_object_stores_and_of_the_cloud_are_kept(text: str) -> None:
    address = Address.parse(f"lancedb:{text}?region=eu-west-1#articles")
    assert (address.location, address.collection) == (text, "articles")
    assert address.identity == f"lancedb:{text}"
    assert Address.parse(address.reopen).location == text
    assert not address.is_local
    with pytest.raises(AddressError, match="folder or file"):
        _ = address.path


def test_arguments_of_object_stores_and_of_the_cloud(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By contract: none of these services was reached."""
    monkeypatch.setenv("LANCEDB_API_KEY", "a-key")
    cloud = Address.parse("lancedb:db://name?region=us-east-1")
    assert connection._arguments(cloud) == {"region": "us-east-1", "api_key": "a-key"}
    stored = Address.parse("lancedb:s3://bucket/x?region=eu-west-1&endpoint=http://127.0.0.1:9000")
    wanted = {"aws_region": "eu-west-1", "aws_endpoint": "http://127.0.0.1:9000"}
    assert connection._arguments(stored) == {"storage_options": wanted}
    assert "a-key" not in str(cloud) + repr(cloud) + cloud.reopen


def test_wrong_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANCEDB_API_KEY", raising=False)
    with pytest.raises(AuthError) as missing:
        qa.open("lancedb:db://name")
    assert "LANCEDB_API_KEY" in str(missing.value.hint)
    with pytest.raises(AddressError, match="no store for 'ftp://host/x'"):
        qa.open("lancedb:ftp://host/x")
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(StorageError, match="is a file"):
        qa.open(f"lancedb:{file}")
    with pytest.raises(AddressError, match="colour"):
        qa.open(f"lancedb:{tmp_path}?colour=red")
    with qa.open(f"lancedb:{tmp_path / 'new'}") as database:
        assert database.collections() == []
        with pytest.raises(NotFoundError):
            database["articles"].info()
        with pytest.raises(InputError, match="valid table name"):
            database.create("a/b", dim=4)


def test_a_connection_of_the_user_is_wrapped(articles: Collection, raw: Any) -> None:
    with qa.wrap(raw) as database:
        made = database["articles"]
        assert made.count() == ROWS
        made.plan("rotational:bits=2").apply(yes=True)
    assert articles.info().vectors[""].status.state is qa.State.ACTIVE
    assert raw.open_table("articles").count_rows() == ROWS, "the connection stays open"
    with pytest.raises(UnsupportedError, match="cannot wrap"):
        connection.wrapped(object())


def test_a_forked_process_opens_its_own_connection(tmp_path: Path) -> None:
    """The threads of lancedb do not survive a fork: the child gets an error, not a deadlock."""
    if not hasattr(os, "fork"):
        pytest.skip("needs POSIX: fork")
    program = (
        "import os, sys, numpy as np, qadapt as qa\n"
        "db = qa.open('lancedb:' + sys.argv[1])\n"
        "made = db.create('a', dim=4)\n"
        "made.write(qa.Batch([1], {'': np.ones((1, 4))}))\n"
        "pid = os.fork()\n"
        "if not pid:\n"
        "    try:\n"
        "        made.count()\n"
        "    except qa.errors.StoreError as error:\n"
        "        print(error.message, flush=True)\n"
        "    os._exit(0)\n"
        "os.waitpid(pid, 0)\n"
        "print(made.count())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(tmp_path / "f")],
        capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    assert "opened in the parent process" in done.stdout
    assert done.stdout.splitlines()[-1] == "1"


# -- conflicts -----------------------------------------------------------------------------------


def test_a_commit_conflict_is_retried() -> None:
    """The message of the engine for two builds at the same time, recorded from 0.40.0."""
    said = "lance error: Retryable commit conflict for version 7: CreateIndex"
    pauses: list[float] = []
    calls = iter([RuntimeError(said), RuntimeError(said), None])

    def build() -> str:
        error = next(calls)
        if error is not None:
            raise error
        return "built"

    assert connection.retried("index 'v'", build, pauses.append) == "built"
    assert len(pauses) == 2
    calls = iter([RuntimeError(said)] * 9)
    with pytest.raises(BusyError, match="could not index 'v'"):
        connection.retried("index 'v'", build, pauses.append)
    calls = iter([RuntimeError("disk on fire")])
    with pytest.raises(StoreError, match="disk on fire"):
        connection.retried("index 'v'", build, pauses.append)


@pytest.mark.slow
def test_builds_of_two_clients_at_the_same_time_both_succeed(
    articles: Collection, folder: Path
) -> None:
    errors: list[Exception] = []
    store = articles._store
    request = {"op": "lancedb.build_index", "vector": "", "index": {"type": "IVF_SQ"}}

    def build(address: str) -> None:
        try:
            with qa.open(address) as other:
                other["articles"]._store.run("articles", request, lambda _: None, 60)
        except Exception as error:  # noqa: BLE001 - compared below
            errors.append(error)

    threads = [threading.Thread(target=build, args=(f"lancedb:{folder}",)) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert errors == []
    assert store.info("articles").vectors[""].status.state is qa.State.ACTIVE


def test_commits_of_rows_differ_from_those_of_indexes(articles: Collection, raw: Any) -> None:
    """What decides whether an undo may restore a version."""
    from lancedb.index import IvfSq

    handle = raw.open_table("articles")
    start = handle.version
    handle.create_index("vector", config=IvfSq(distance_type="cosine"))
    handle.drop_index("vector_idx")
    assert vector_index.unchanged_through(handle, start)
    handle.merge_insert("id").when_matched_update_all().execute(
        handle.search().where("id = 3").to_arrow()
    )
    handle.optimize()
    assert handle.count_rows() == ROWS
    assert not vector_index.unchanged_through(handle, start)
    assert not vector_index.unchanged_through(handle, handle.version + 1)


def test_the_command_line_reads_a_table_of_another_program(
    folder: Path, shop: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (
        [f"lancedb:{folder}?id=sku", "shop"],
        [f"lancedb:{folder}", "shop", "--id", "sku"],
    ):
        assert main(["inspect", *words]) == 0
        assert "active" in capsys.readouterr().out
    assert main(["inspect", f"lancedb:{folder}", "shop"]) != 0
    assert "?id=COLUMN" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "ids"),
    [
        (pa.int8(), [-128, 127]),
        (pa.uint8(), [0, 255]),
        (pa.int32(), [-(2**31), 5]),
        (pa.uint64(), [1, 2**63, 2**64 - 1]),
    ],
    ids=str,
)
def test_ids_have_the_range_of_their_column(
    database: Database, raw: Any, sample: Sample, kind: Any, ids: list[int]
) -> None:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(sample.rows[: len(ids)].ravel()), DIM)
    raw.create_table("narrow", pa.table({"id": pa.array(ids, kind), "vector": vectors}))
    found = database["narrow"]
    assert [key for page in found.read(page=1) for key in page.ids] == ids
    assert found.fetch([*ids, 2**70, -1 - 2**40]).ids == ids
    found.write(qa.Batch(ids[-1:], {"": sample.rows[5:6]}))
    assert np.array_equal(found.fetch(ids[-1:]).vectors[""], sample.rows[5:6])
    found.delete([2**70, ids[0]])
    assert found.count() == len(ids) - 1
    with pytest.raises(InputError, match="does not fit") as error:
        found.write(qa.Batch([2**64], {"": sample.rows[:1]}))
    assert str(ids[-1]) in str(error.value.hint) or kind == pa.int32()


@pytest.mark.parametrize("name", ["title-vector", "v 2", "it's", "ünï", "select"])
def test_an_index_of_a_vector_with_any_name_is_found(
    database: Database, sample: Sample, name: str
) -> None:
    """Without it, the index is built and the change waits for it."""
    made = database.create("named", vectors={name: qa.Vector(DIM)})
    made.write(qa.Batch(range(300), {name: sample.rows[:300]}))
    for setting in ("scalar", "rotational:bits=4"):
        assert made.plan(setting, vector=name).apply(yes=True).status.state is qa.State.ACTIVE
    assert made.search(sample.rows[7], k=1, vector=name).ids.tolist() == [[7]]
    change = made.plan("rotational:bits=4", vector=name, metric="euclidean").apply(yes=True)
    assert made.info().vectors[name].metric.value == "euclidean"
    change.undo()
    assert made.info().vectors[name].metric.value == "cosine"
