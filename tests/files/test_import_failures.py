"""Failed imports are rolled back, and damaged files are detected."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import (
    AlreadyExistsError,
    InputError,
    IntegrityError,
    QadaptError,
    StoreError,
    StoreTimeoutError,
)
from qadapt.files import checksum, file_import
from qadapt.local.state import state_dir
from qadapt.stores.qdrant.edge.store import EdgeStore

pytest.importorskip("qdrant_edge")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

DIM = 8


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Database]:
    """An empty folder of the embedded engine."""
    with qa.open(f"edge:{tmp_path / 'edge'}") as database:
        yield database


def rows(count: int) -> np.ndarray:
    """float32 ``(count, DIM)``."""
    return np.random.default_rng(3).standard_normal((count, DIM)).astype(np.float32)


def file_of(tmp_path: Path, count: int, name: str = "rows.parquet") -> Path:
    flat = pa.array(rows(count).reshape(-1))
    table = pa.table({"id": range(count), "vector": pa.FixedSizeListArray.from_arrays(flat, DIM)})
    pq.write_table(table, tmp_path / name)
    return tmp_path / name


def left(tmp_path: Path) -> list[str]:
    """Files in the state folder, without locks and settings."""
    folders = [state_dir(), tmp_path / "edge"]
    found = [path for folder in folders if folder.exists() for path in folder.rglob("*")]
    return sorted(path.name for path in found if path.is_file() and path.suffix != ".lock")


# -- damage --------------------------------------------------------------------------------------


def exported(edge: Database, tmp_path: Path) -> Path:
    made = edge.create("docs", dim=DIM, metric="dot", quantization="binary")
    made.write(qa.Batch(range(50), {"": rows(50)}, [{"n": at} for at in range(50)]))
    qa.export_file(made, tmp_path / "docs.parquet")
    return tmp_path / "docs.parquet"


def test_every_flipped_bit_of_a_file_is_detected(edge: Database, tmp_path: Path) -> None:
    file = exported(edge, tmp_path)
    whole = file.read_bytes()
    draw = np.random.default_rng(5)
    # Anywhere, in the footer, where the schema and the metadata are, and in the checksum.
    mark = whole.index(checksum.MARK)
    places = [
        *range(mark, mark + 8),
        *draw.integers(0, len(whole), 40),
        *draw.integers(len(whole) - 3000, len(whole), 40),
    ]
    for place in map(int, places):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(draw.integers(8))
        file.write_bytes(damaged)
        with pytest.raises((InputError, IntegrityError)):
            qa.import_file(file, (edge, "x"))
    for size in (0, 3, 12, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(InputError, match="as Parquet"):
            qa.import_file(file, (edge, "x"))
    assert edge.collections() == ["docs"]
    file.write_bytes(whole)
    assert qa.import_file(file, (edge, "x")).rows == 50


def test_pages_have_checksums_for_every_reader(edge: Database, tmp_path: Path) -> None:
    file = exported(edge, tmp_path)
    whole = file.read_bytes()
    with pq.ParquetFile(file) as opened:
        column = opened.metadata.row_group(0).column(1)
        start = column.dictionary_page_offset or column.data_page_offset
        place = start + column.total_compressed_size - 5
    file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(OSError, match=r"(?i)crc"):
        pq.read_table(file, page_checksum_verification=True)


def test_a_file_rewritten_by_others_has_no_checksum(edge: Database, tmp_path: Path) -> None:
    file = exported(edge, tmp_path)
    table = pq.read_table(file)
    pq.write_table(table.slice(10, 20), file)
    assert checksum.MARK not in file.read_bytes()
    done = qa.import_file(file, (edge, "x"))
    assert done.rows == 20
    assert (edge["x"].fetch([10]).payloads or [])[0] == {"n": 10}
    # And one that lost the metadata too, as of a DataFrame: lists of any length, copies of entries.
    lists = table.column("vector").cast(pa.list_(pa.float32()))
    table = table.set_column(1, "vector", lists).replace_schema_metadata({})
    pq.write_table(table, file)
    qa.import_file(file, (edge, "y"), metric="dot")
    assert (edge["y"].fetch([10]).payloads or [])[0] == {"n": 10}


def test_a_column_added_by_others_is_a_payload_field(edge: Database, tmp_path: Path) -> None:
    file = exported(edge, tmp_path)
    table = pq.read_table(file).append_column("topic", pa.array(["art"] * 50))
    pq.write_table(table, file)
    qa.import_file(file, (edge, "x"))
    assert (edge["x"].fetch([10]).payloads or [])[0] == {"n": 10, "topic": "art"}


# -- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [StoreError("the disk is full"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["create", "write", "quantize"])
def test_an_import_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    file = file_of(tmp_path, 12_000)
    calls = []

    def broken(*_: Any, **__: Any) -> Any:
        calls.append(step)
        raise error

    if step == "quantize":
        monkeypatch.setattr(file_import, "quantize", broken)
    elif step == "create":
        monkeypatch.setattr(EdgeStore, "create", broken)
    else:
        real = EdgeStore.write
        monkeypatch.setattr(
            EdgeStore,
            "write",
            lambda *words: real(*words) if words[2].ids[0] == 0 else broken(),
        )
    before = left(tmp_path)
    with pytest.raises(type(error)) as told:
        qa.import_file(file, f"edge:{tmp_path / 'edge'}#x", quantization="binary")
    assert calls
    if isinstance(error, QadaptError):
        assert "the new collection 'x' was removed" in str(told.value)
    assert left(tmp_path) == before
    assert not (tmp_path / "edge").exists()


def test_a_failed_import_to_an_existing_collection_reports_written_rows(
    edge: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = edge.create("docs", dim=DIM)
    docs.write(qa.Batch([99_999], {"": rows(1)}))
    file = file_of(tmp_path, 12_000)
    real = EdgeStore.write

    def breaks(self: Any, collection: str, batch: qa.Batch) -> None:
        if 7_000 in batch.ids:
            raise StoreTimeoutError("no answer")
        real(self, collection, batch)

    monkeypatch.setattr(EdgeStore, "write", breaks)
    with pytest.raises(StoreTimeoutError) as told:
        qa.import_file(file, (edge, "docs"), add=True)
    assert "5,000 of 12,000 rows of the file were written to 'docs'" in str(told.value)
    assert docs.count() == 5_001
    monkeypatch.undo()
    qa.import_file(file, (edge, "docs"), add=True)
    assert docs.count() == 12_001


def test_an_invalid_file_does_not_change_an_existing_collection(
    edge: Database, tmp_path: Path
) -> None:
    docs = edge.create("docs", dim=DIM)
    bad = rows(12_000)
    bad[11_000] = np.nan
    flat = pa.array(bad.reshape(-1))
    table = pa.table({"id": range(12_000), "vector": pa.FixedSizeListArray.from_arrays(flat, DIM)})
    pq.write_table(table, tmp_path / "bad.parquet")
    with pytest.raises(InputError, match="row 11000"):
        qa.import_file(tmp_path / "bad.parquet", (edge, "docs"), add=True)
    assert docs.count() == 0
    zero = rows(3)
    zero[2] = 0
    np.save(tmp_path / "zero.npy", zero)
    with pytest.raises(InputError, match="zero vectors under cosine in the vector: row 2"):
        qa.import_file(tmp_path / "zero.npy", (edge, "docs"), add=True)
    assert docs.count() == 0


def test_a_row_that_the_target_refuses_is_named_by_its_number(
    edge: Database, tmp_path: Path
) -> None:
    payloads = [json.dumps({"a": "\ud800" if at == 5_500 else at}) for at in range(6_000)]
    table = pq.read_table(file_of(tmp_path, 6_000)).append_column("payload", pa.array(payloads))
    pq.write_table(table, tmp_path / "odd.parquet")
    with pytest.raises(InputError) as told:
        qa.import_file(tmp_path / "odd.parquet", (edge, "x"))
    assert "row 5500 of" in str(told.value)
    assert "surrogate" in str(told.value)
    assert edge.collections() == []


@pytest.mark.parametrize("ending", ["npy", "fvecs"])
def test_errors_of_arrays_are_reported_by_row(edge: Database, tmp_path: Path, ending: str) -> None:
    made = edge.create("docs", dim=DIM, metric="dot")
    made.write(qa.Batch(range(20), {"": rows(20)}))
    file = tmp_path / f"docs.{ending}"
    qa.export_file(made, file)
    whole, ids = file.read_bytes(), (tmp_path / f"docs.{ending}.ids")
    nan = np.float32(np.nan).tobytes()
    file.write_bytes(whole[:-4] + nan)
    with pytest.raises(InputError, match="float32: row 19"):
        qa.import_file(file, (edge, "x"))
    file.write_bytes(whole)
    for text, words in (
        ("1\n" * 20, "duplicate id 1: rows 0, 1"),
        ("null\n" + "".join(f"{at}\n" for at in range(1, 20)), "invalid id .* row 0"),
        ("".join(f"{at}\n" for at in range(21)), "more ids than"),
        ("1\n2\n", "has 2 ids, but docs.* has 20 rows"),
    ):
        ids.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=words):
            qa.import_file(file, (edge, "x"))
    ids.unlink()
    ids.mkdir()
    with pytest.raises(InputError, match="cannot read"):
        qa.import_file(file, (edge, "x"))
    with pytest.raises(InputError, match="no columns"):
        qa.import_file(file, (edge, "x"), id="id")
    assert edge.collections() == ["docs"]


# -- killed --------------------------------------------------------------------------------------

CHILD = """
    import os, signal, sys
    import qadapt as qa
    from qadapt.stores.qdrant.edge.store import EdgeStore
    real = EdgeStore.write
    def write(self, collection, batch):
        real(self, collection, batch)
        os.kill(os.getpid(), signal.SIGKILL)
    EdgeStore.write = write
    qa.import_file(sys.argv[1], sys.argv[2])
"""


def killed(file: Path, target: str) -> None:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(CHILD), str(file), target])
    assert done.returncode == -signal.SIGKILL


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX: SIGKILL")
def test_the_next_import_removes_the_collection_of_a_killed_one(tmp_path: Path) -> None:
    file, target = file_of(tmp_path, 6_000), f"edge:{tmp_path / 'edge'}"
    killed(file, f"{target}#x")
    with qa.open(target) as database:
        assert database["x"].count() == 5_000
    # Another file with other rows, not the interrupted import.
    np.save(tmp_path / "other.npy", rows(10))
    with pytest.raises(AlreadyExistsError, match="was interrupted"):
        qa.import_file(tmp_path / "other.npy", f"{target}#x")
    assert qa.import_file(file, f"{target}#x").created
    with qa.open(target) as database:
        assert database["x"].count() == 6_000
    assert not list(state_dir().rglob("*.json"))
    with pytest.raises(AlreadyExistsError, match="already"):
        qa.import_file(file, f"{target}#x")


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX: SIGKILL")
def test_a_collection_created_since_is_not_removed(tmp_path: Path) -> None:
    file, target = file_of(tmp_path, 6_000), f"edge:{tmp_path / 'edge'}"
    killed(file, f"{target}#x")
    with qa.open(target) as database:
        database.drop("x")
        database.create("x", dim=DIM).write(qa.Batch([1], {"": rows(1)}))
    with pytest.raises(AlreadyExistsError, match="already"):
        qa.import_file(file, f"{target}#x")
    with qa.open(target) as database:
        assert database["x"].count() == 1
