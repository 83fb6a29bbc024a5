"""Export and import of every format: the same rows, completely or not at all."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import qadapt as qa
from qadapt.api import Database
from qadapt.cli.app import app
from qadapt.errors import AlreadyExistsError, InputError, NotFoundError, SpecError
from qadapt.files import arrays, export
from qadapt.files.layout import ColumnChoice
from qadapt.files.parquet_reader import Parquet

DIM = 8


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Database]:
    """An empty folder of the embedded engine."""
    pytest.importorskip("qdrant_edge")
    with qa.open(f"edge:{tmp_path / 'edge'}") as database:
        yield database


def rows(count: int) -> np.ndarray:
    """float32 ``(count, DIM)``."""
    return np.random.default_rng(3).standard_normal((count, DIM)).astype(np.float32)


PAYLOADS: list[dict[str, Any]] = [
    {"n": 1, "text": "a", "x": 0.5, "ok": True, "list": [1, None], "inner": {"a": {}}},
    {"n": "another type", "big": 2**63 + 1, "null": None, "json": '{"a": 1}', "": 1},
    {},
]


def test_parquet_round_trip(edge: Database, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    made = edge.create(
        "docs", vectors={"a": qa.Vector(DIM, "dot"), "b": qa.Vector(DIM, "euclidean")}
    )
    count = 12_000  # more than two pages
    gaps = np.arange(count) % 5 == 0
    payloads = [PAYLOADS[at % 3] for at in range(count)]
    keys = [*range(count - 1), 2**64 - 1]
    made.write(qa.Batch(keys, {"a": rows(count), "b": rows(count)}, payloads, {"b": gaps}))
    file = tmp_path / "docs.parquet"
    told = qa.export_file(made, file)
    # The engine lists the vectors of a collection in any order.
    assert (told.rows, sorted(told.vectors)) == (count, ["a", "b"])
    assert [each.name for each in tmp_path.glob("*docs.parquet*")] == ["docs.parquet"]
    done = qa.import_file(file, (edge, "back"))
    assert (done.rows, done.created, done.mapped) == (count, True, 0)
    assert qa.check(made, (edge, "back")).passed
    back = edge["back"].fetch([0, 1, 5, 2**64 - 1])
    assert back.missing["b"].tolist() == [True, False, True, False]
    assert [dict(each) for each in back.payloads or ()][:2] == PAYLOADS[:2]


def test_parquet_can_be_read_by_others(edge: Database, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow.parquet")
    made = edge.create("docs", dim=DIM, metric="dot", quantization="scalar:rescore=2")
    made.write(qa.Batch(range(3), {"": rows(3)}, [{"n": 5, "t": "x"}, {"n": 6}, {"n": "odd"}]))
    qa.export_file(made, tmp_path / "docs.parquet")
    table = pa.read_table(tmp_path / "docs.parquet")
    assert str(table.schema.field("vector").type) == f"fixed_size_list<element: float>[{DIM}]"
    assert str(table.schema.field("id").type) == "int64"
    found = np.stack(table.column("vector").to_numpy())
    assert found.tobytes() == rows(3).tobytes()
    assert table.column("payload.t").to_pylist() == ["x", None, None]
    assert json.loads(table.column("payload")[2].as_py()) == {"n": "odd"}
    head = Parquet(tmp_path / "docs.parquet", ColumnChoice()).head
    assert head.quantization[""].kind is qa.Kind.SCALAR
    assert head.vectors[""] == qa.Vector(DIM, "dot")


def test_quantization_and_calibration_are_in_the_metadata(edge: Database, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with qa.open(str(edge._store.address), disabled=("native-quantization",)) as blind:
        made = blind.create("docs", dim=DIM, metric="cosine")
        made.write(qa.Batch(range(300), {"": rows(300)}))
        made.plan("scalar:rescore=4", accept="client").apply(yes=True)
        qa.export_file(made, tmp_path / "docs.parquet")
    head = Parquet(tmp_path / "docs.parquet", ColumnChoice()).head
    calibration = qa.Calibration.from_json(json.dumps(head.calibration[""]))
    assert calibration.dim == DIM
    done = qa.import_file(tmp_path / "docs.parquet", (edge, "back"))
    assert done.quantization[""].kind is qa.Kind.SCALAR
    assert done.status[""].state is qa.State.ACTIVE


def test_parquet_of_others_is_read(edge: Database, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    flat = pa.array(rows(10).reshape(-1))
    table = pa.table({"id": [f"doc-{at}" for at in range(10)],
                      "embedding": pa.FixedSizeListArray.from_arrays(flat, DIM),
                      "payload.t": ["x"] * 10})  # fmt: skip
    pq.write_table(table, tmp_path / "theirs.parquet")
    done = qa.import_file(tmp_path / "theirs.parquet", (edge, "back"), metric="dot")
    assert (done.rows, done.mapped) == (10, 10)
    assert edge["back"].info().vectors["embedding"].metric is qa.Metric.DOT
    first = next(edge["back"].read())
    assert {payload["t"] for payload in first.payloads or ()} == {"x"}


@pytest.mark.parametrize("ending", ["npy", "fvecs"])
def test_npy_and_fvecs_round_trip(edge: Database, tmp_path: Path, ending: str) -> None:
    made = edge.create("docs", dim=DIM, metric="dot")
    made.write(qa.Batch(range(10, 510), {"": rows(500)}))
    file = tmp_path / f"docs.{ending}"
    assert qa.export_file(made, file).rows == 500
    assert np.asarray(arrays.open_rows(file)).tobytes() == rows(500).tobytes()
    if ending == "npy":
        assert np.load(file).shape == (500, DIM)
    done = qa.import_file(file, (edge, "back"), metric="dot")
    assert done.rows == 500
    assert edge["back"].fetch([10]).vectors[""].tobytes() == rows(500)[:1].tobytes()
    arrays.ids_of(file).unlink()
    qa.import_file(file, (edge, "numbered"), metric="dot")
    assert edge["numbered"].fetch([0, 499]).ids == [0, 499]


def test_a_failed_export_leaves_nothing(
    edge: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = edge.create("docs", dim=DIM, metric="dot")
    made.write(qa.Batch(range(10), {"": rows(10)}))
    folder = tmp_path / "out"
    folder.mkdir()
    mine = folder / "docs.npy"
    mine.write_bytes(b"mine")
    with pytest.raises(InputError, match="already exists"):
        qa.export_file(made, mine)

    def broken(*_: Any, **__: Any) -> Any:
        raise NotFoundError("it is gone")

    monkeypatch.setattr(arrays.Writer, "write", broken)
    with pytest.raises(NotFoundError, match="gone"):
        qa.export_file(made, mine, overwrite=True)
    assert [each.name for each in folder.iterdir()] == ["docs.npy"]
    assert mine.read_bytes() == b"mine"


def test_unreadable_files_are_reported(edge: Database, tmp_path: Path) -> None:
    made = edge.create("docs", dim=DIM, metric="dot")
    with pytest.raises(SpecError, match="unknown file type"):
        qa.export_file(made, tmp_path / "docs.csv")
    with pytest.raises(InputError, match="does not exist"):
        qa.import_file(tmp_path / "none.npy", (edge, "x"))
    bad = tmp_path / "bad.fvecs"
    bad.write_bytes(b"\x08\x00\x00\x00" + b"\x00" * 10)
    with pytest.raises(InputError, match=r"bad\.fvecs"):
        qa.import_file(bad, (edge, "x"))
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    pytest.importorskip("pyarrow")
    with pytest.raises(InputError, match="as Parquet"):
        qa.import_file(tmp_path / "bad.parquet", (edge, "x"))
    good = tmp_path / "good.npy"
    np.save(good, rows(3))
    with pytest.raises(AlreadyExistsError, match="docs"):
        qa.import_file(good, (edge, "docs"))
    assert qa.import_file(good, (edge, "docs"), add=True).created is False


def test_the_command_line(edge: Database, tmp_path: Path) -> None:
    made = edge.create("docs", dim=DIM, metric="dot")
    made.write(qa.Batch(range(30), {"": rows(30)}))
    url, file = str(edge._store.address), str(tmp_path / "docs.npy")
    run = CliRunner()
    out = run.invoke(app, ["export", f"{url}#docs", file])
    assert (out.exit_code, "30 rows" in out.output) == (0, True)
    out = run.invoke(app, ["import", file, f"{url}#again", "--metric", "dot", "--json"])
    assert out.exit_code == 0, out.output
    assert edge["again"].count() == 30
    out = run.invoke(app, ["import", file, f"{url}#again"])
    assert out.exit_code == 1
    assert "--add" in out.output


def test_an_export_to_a_full_disk_asks_for_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(export, "sync_folder", full)
    with qa.open(f"edge:{tmp_path / 'data'}") as database:
        database.create("a", dim=2).write(qa.Batch([1], {"": [[1.0, 2.0]]}))
        with pytest.raises(InputError, match="No space left") as caught:
            qa.export_file((database, "a"), tmp_path / "a.parquet")
    assert caught.value.hint == "free disk space, then run the command again"
