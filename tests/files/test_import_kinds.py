"""Import of files whose vectors are codes of an embedding service."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.cli import main
from qadapt.codecs import quantize
from qadapt.errors import InputError, SpecError, UnsupportedError
from qadapt.files.truth_file import read_truth

ROWS = np.random.default_rng(0).standard_normal((40, 16)).astype(np.float32)
SIGNS = np.where(ROWS > 0, np.float32(1), np.float32(-1))


def read(address: str) -> np.ndarray:
    with qa.open(address) as database:
        return database["a"].fetch(range(40)).vectors[""]


@pytest.mark.parametrize("kind", ["ubinary", "binary"])
def test_packed_bits_in_a_npy_need_a_kind(
    tmp_path: Path, live: Callable[[str], str], kind: str
) -> None:
    file, address = tmp_path / "a.npy", live("edge")
    np.save(file, quantize(ROWS, kind))  # type: ignore[arg-type]
    with pytest.raises(
        InputError, match=rf"packed bits of 16 [^\n]*\s+--kind {kind} .*--kind numbers"
    ):
        qa.import_file(file, f"{address}#a")
    done = qa.import_file(file, f"{address}#a", metric="dot", kind=kind)
    assert done.rows == 40
    np.testing.assert_array_equal(read(address), SIGNS)


@pytest.mark.parametrize("kind", ["int8", "numbers"])
def test_integers_in_a_npy_need_a_kind(
    tmp_path: Path, live: Callable[[str], str], kind: str
) -> None:
    file, address = tmp_path / "a.npy", live("edge")
    whole = np.clip(ROWS * 50, -128, 127).astype(np.int8)
    np.save(file, whole)
    with pytest.raises(InputError, match="numbers of 16"):
        qa.import_file(file, f"{address}#a")
    qa.import_file(file, f"{address}#a", metric="dot", kind=kind)
    np.testing.assert_array_equal(read(address), whole)


def test_bfloat16_of_ml_dtypes_is_imported(tmp_path: Path, live: Callable[[str], str]) -> None:
    upper = ROWS.view(np.uint32) & np.uint32(0xFFFF0000)
    np.save(tmp_path / "a.npy", (upper >> 16).astype(np.uint16).view("V2"))
    address = live("edge")
    qa.import_file(tmp_path / "a.npy", f"{address}#a", metric="dot")
    np.testing.assert_array_equal(read(address), upper.view(np.float32))


def test_lists_of_bytes_in_parquet_have_a_kind(tmp_path: Path, live: Callable[[str], str]) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    packed = quantize(ROWS, "ubinary")
    column = arrow.array(packed.tolist(), arrow.list_(arrow.uint8(), 2))
    table = arrow.table({"id": list(range(40)), "vector": column})
    parquet.write_table(table, tmp_path / "a.parquet")
    address = live("edge")
    words = r"column 'vector' .* packed bits of 16 [^\n]*\s+--kind ubinary .*--kind numbers"
    with pytest.raises(InputError, match=words):
        qa.import_file(tmp_path / "a.parquet", f"{address}#a", metric="dot")
    with qa.open(address) as database:
        assert database.collections() == []
    done = qa.import_file(tmp_path / "a.parquet", f"{address}#a", metric="dot", kind="ubinary")
    assert done.columns == {"id": "id", "vector": "vector"}
    np.testing.assert_array_equal(read(address), SIGNS)
    floats = arrow.table({"id": [1], "vector": arrow.array([[0.5]], arrow.list_(arrow.float32()))})
    parquet.write_table(floats, tmp_path / "f.parquet")
    with pytest.raises(InputError, match="are not integers"):
        qa.import_file(tmp_path / "f.parquet", f"{address}#f", kind="int8")


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_query_files_of_bytes_are_refused(
    tmp_path: Path, live: Callable[[str], str], dtype: str
) -> None:
    file = tmp_path / "q.npy"
    whole = np.clip(ROWS * 20 + 60, 0, 127).astype(dtype)
    np.save(file, whole)
    packed = "ubinary" if dtype == "uint8" else "binary"
    with qa.open(live("edge")) as database:
        made = database.create("a", dim=16)
        made.write(qa.Batch(range(40), {"": ROWS}))
        refused = rf"packed bits of 128 [^\n]*\s+--kind {packed} for packed bits"
        with pytest.raises(InputError, match=refused):
            made.verify(queries=file)
        with pytest.raises(InputError, match=refused):
            made.evaluate(queries=file, concurrency=())
        with pytest.raises(InputError, match=refused):
            made.verify(truth=file)
        np.save(file, whole.astype(np.float32))
        assert made.verify(queries=file).recall is not None


@pytest.mark.parametrize("kind", ["int8", "uint8", "ubinary", "binary"])
def test_queries_and_truth_of_services_are_measured(
    tmp_path: Path,
    live: Callable[[str], str],
    capsys: pytest.CaptureFixture[str],
    kind: Any,
) -> None:
    """Queries of -1 and 1, or integers, and their neighbors among vectors of the same kind."""
    packed = kind in ("ubinary", "binary")
    rows = np.clip(np.rint(ROWS * 20), -128, 127)
    codes = quantize(ROWS, kind) if packed else rows.astype(np.int8)
    codes = (rows + 128).astype(np.uint8) if kind == "uint8" else codes
    floats = SIGNS if packed else rows.astype(np.float32)
    np.save(tmp_path / "q.npy", codes[:20])
    np.save(tmp_path / "t.npy", codes)
    address = live("edge")
    with qa.open(address) as database:
        made = database.create("a", dim=16, metric="dot")
        made.write(qa.Batch(range(40), {"": floats}))
        plain = made.verify(queries=floats[:20], k=5)
        for given in (tmp_path / "q.npy", codes[:20]):
            found = made.verify(queries=given, kind=kind, k=5)
            assert found.queries == 20
            assert found.recall == plain.recall
        measured = made.evaluate(queries=codes[:20], kind=kind, k=5, concurrency=())
        assert measured.results[0].recall == plain.recall
        predicted = made.simulate("scalar", queries=codes[:20], kind=kind, k=5)
        assert predicted.queries == 20
        outside = made.verify(truth=tmp_path / "t.npy", kind=kind, queries=20, k=5)
        assert "t.npy: 40 vectors of 16 dimensions" in outside.truth.ground_truth
        with pytest.raises(InputError, match=r"kind .*with queries=200"):
            made.verify(kind=kind)
        with pytest.raises(SpecError, match="unknown kind"):
            made.verify(queries=codes[:20], kind="bits")
    main(["verify", address, "a", "--queries", str(tmp_path / "q.npy"), "--kind", kind])
    assert "20 queries" in capsys.readouterr().out


def test_query_files_of_bytes_fit_vectors_of_bytes(
    tmp_path: Path, live: Callable[[str], str]
) -> None:
    file = tmp_path / "q.npy"
    whole = np.clip(ROWS * 20 + 60, 0, 255).astype(np.uint8)
    np.save(file, whole)
    with qa.open(live("edge")) as database:
        made = database.create("a", vectors={"": qa.Vector(16, datatype="uint8")})
        made.write(qa.Batch(range(40), {"": whole.astype(np.float32)}))
        found = made.verify(queries=file)
    assert found.recall is not None and found.recall.value == 1


def test_truth_in_parquet_has_no_bytes(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    column = arrow.array(quantize(ROWS, "binary").tolist(), arrow.list_(arrow.int8()))
    parquet.write_table(
        arrow.table({"id": list(range(40)), "vector": column}), tmp_path / "a.parquet"
    )
    with pytest.raises(InputError, match=r"lists of int8 .*\s+--kind binary"):
        read_truth(tmp_path / "a.parquet", "")
    found = read_truth(tmp_path / "a.parquet", "", "binary")
    np.testing.assert_array_equal(found.rows.vectors[""], SIGNS)


def test_invalid_kinds_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ROWS)
    with pytest.raises(SpecError, match="unknown kind"):
        qa.import_file(tmp_path / "a.npy", f"edge:{tmp_path}/db#a", kind="bits")
    with pytest.raises(UnsupportedError, match="base64"):
        qa.import_file(tmp_path / "a.npy", f"edge:{tmp_path}/db#a", kind="base64")
    with pytest.raises(InputError, match="must be integers; got an array of float32"):
        qa.import_file(tmp_path / "a.npy", f"edge:{tmp_path}/db#a", kind="int8")
    assert not (tmp_path / "db").exists()


def test_the_command_names_a_kind(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from qadapt.cli.app import app

    np.save(tmp_path / "a.npy", quantize(ROWS, "ubinary"))
    words = ["import", str(tmp_path / "a.npy"), f"edge:{tmp_path}/db#a"]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code != 0
    done = CliRunner().invoke(app, [*words, "--kind", "ubinary", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["rows"] == 40
