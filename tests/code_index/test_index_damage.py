"""Folders that are damaged, or that other programs made."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qadapt.code_index import CodeIndex, storage
from qadapt.code_index.id_column import IdColumn
from qadapt.code_index.storage import HEADER_NAME
from qadapt.errors import AlreadyExistsError, InputError, IntegrityError

Make = Callable[..., CodeIndex]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- damaged -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"codes": "rotational", "bits": 2},
        {"codes": "rotational", "rescore_codes": None},
        {"codes": "scalar"},
    ],
    ids=str,
)
def test_a_flipped_bit_is_never_used(
    make: Make, vectors: np.ndarray, options: dict[str, Any]
) -> None:
    """Opening or searching raises, or the results are those of the undamaged index."""
    with make(**options) as index:
        index.save()
        index.add(["a", "b"], np.eye(2, 37))
    saved = index.folder
    rng = np.random.default_rng(0)
    with CodeIndex.open(saved) as index:
        right = index.search(vectors, 5)
    detected = 0
    for name in names(saved):
        if name == "lock":
            continue
        path = saved / name
        content = path.read_bytes()
        for _ in range(40):
            at, bit = int(rng.integers(len(content))), 1 << int(rng.integers(8))
            broken = bytearray(content)
            broken[at] ^= bit
            path.write_bytes(broken)
            try:
                with pytest.raises(IntegrityError) as caught:
                    CodeIndex.open(saved, verify="full")
                assert caught.value.hint
                with CodeIndex.open(saved, read_only=True) as index:
                    found = index.search(vectors, 5)
                    assert found.ids.tolist() == right.ids.tolist()
                    assert found.scores.tolist() == right.scores.tolist()
            except IntegrityError as error:
                assert error.hint
                detected += 1
            finally:
                path.write_bytes(content)
    assert detected > 100
    CodeIndex.open(saved).close()


def test_a_damaged_page_is_detected_when_it_is_used(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((2000, 64)).astype(np.float32)
    with CodeIndex.create(tmp_path / "i", 64) as index:
        index.add(range(2000), rows)
    path = next(index.folder.glob("rows.*.bin"))
    content = bytearray(path.read_bytes())
    content[1900 * 64] ^= 1  # a code of row 1900
    path.write_bytes(content)
    with CodeIndex.open(index.folder, read_only=True) as index:
        hits = index.search(rows[3], 1, ids=range(100))  # other pages
        assert hits.ids.tolist() == [[3]]
        with pytest.raises(IntegrityError, match="checksum differs"):
            index.search(rows[1900], 1)
        with pytest.raises(IntegrityError, match="checksum differs"):
            index.differing([1900], rows[1900][None])
    with CodeIndex.open(index.folder) as index:
        index.delete([0])
        with pytest.raises(IntegrityError, match="checksum differs"):
            index.compact()  # does not give the damaged page a new checksum
        index.save()
    with pytest.raises(IntegrityError, match="checksum differs"):
        CodeIndex.open(index.folder, verify="full")


def test_wrong_sizes_and_missing_files_are_detected_without_checksums(saved: Path) -> None:
    for name in names(saved):
        if name in ("lock", HEADER_NAME):
            continue
        path = saved / name
        content = path.read_bytes()
        for broken, message in (
            (content[:-1], "bytes instead of"),
            (b"", "bytes instead of"),
            (content + b"\0", "bytes instead of"),
            (None, "is missing"),
        ):
            path.unlink()
            if broken is not None:
                path.write_bytes(broken)
            for read_only in (False, True):
                with pytest.raises(IntegrityError, match=message) as caught:
                    CodeIndex.open(saved, verify="lazy", read_only=read_only)
                assert "backup" in str(caught.value)
            path.write_bytes(content)
    CodeIndex.open(saved).close()


def test_verify_detects_damage_after_opening(saved: Path) -> None:
    with CodeIndex.open(saved) as index:
        index.verify()
        path = next(saved.glob("rows.*.bin"))
        size = path.stat().st_size
        with path.open("r+b") as file:  # the file is mapped
            file.write(bytes(size // 2))
        with pytest.raises(IntegrityError, match="checksum differs"):
            index.verify()


def resign(folder: Path, **changes: object) -> None:
    """Change the header as its writer would have: with a right checksum."""
    data = json.loads((folder / HEADER_NAME).read_text())
    del data["checksum"]
    data.update(changes)
    data["checksum"] = storage._checksum(data)
    (folder / HEADER_NAME).write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 1}, "format version 1; this qadapt supports 2\\s+.*add the vectors again"),
        ({"version": 3}, "format version 3; this qadapt supports 2\\s+open it with the version"),
        ({"format": "else"}, "not written by qadapt"),
        ({"segments": [[1, 3, "int", 7, 0, "0" * 32]]}, "segment"),
        ({"segments": [[1, 3, "float", 24, 0, "0" * 32]]}, "segment"),
        ({"segments": [[1, -3, "text", 24, 0, "0" * 32]]}, "segment"),
        ({"segments": [[1, 3]]}, "damaged"),
        ({"segments": "x"}, "damaged"),
        ({"metric": "manhattan"}, "unknown metric"),
        ({"calibration": None}, "without a calibration"),
        ({"calibration": {}}, "damaged"),
        ({"dim": 40}, "damaged"),
    ],
)
def test_invalid_headers_are_refused(saved: Path, changes: dict[str, object], message: str) -> None:
    resign(saved, **changes)
    with pytest.raises(IntegrityError, match=message):
        CodeIndex.open(saved)


def test_a_header_cannot_name_files_outside_its_folder(saved: Path) -> None:
    data = json.loads((saved / HEADER_NAME).read_text())
    resign(saved, calibration=data["calibration"] | {"name": "../secrets.json"})
    with pytest.raises(IntegrityError, match="file name"):
        CodeIndex.open(saved)


def test_ids_that_occur_twice_are_refused(make: Make, vectors: np.ndarray) -> None:
    with make() as index:
        index.save()
        index._contents.rows.append(IdColumn.of([5]))  # as a faulty writer would
        index._contents.append(index.folder, IdColumn.of([400]), vectors[:1])
        index._contents.rows.cut(301)
        index._dirty = True
    with pytest.raises(IntegrityError, match="duplicate ids: 5"):
        CodeIndex.open(index.folder, verify="full")
    with CodeIndex.open(index.folder) as index, pytest.raises(IntegrityError, match="duplicate"):
        index.verify()


# -- foreign -----------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"format": "other"}', "\0\1"])
def test_other_folders_are_not_opened_and_not_touched(tmp_path: Path, content: str | None) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"x")
    if content is not None:
        (tmp_path / HEADER_NAME).write_text(content)
    before = names(tmp_path)
    with pytest.raises(IntegrityError):
        CodeIndex.open(tmp_path)
    with pytest.raises((IntegrityError, AlreadyExistsError)):
        CodeIndex.create(tmp_path, 8)
    assert names(tmp_path) == before


def test_missing_folders_and_missing_files_are_different_errors(
    tmp_path: Path, saved: Path
) -> None:
    with pytest.raises(IntegrityError, match="not a code index"):
        CodeIndex.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "file").write_text("x")
    with pytest.raises(IntegrityError, match="is a file"):
        CodeIndex.create(tmp_path / "file", 8)
    with pytest.raises(IntegrityError, match="not a code index"):
        CodeIndex.open(tmp_path / "file")
    with pytest.raises(AlreadyExistsError, match=r"CodeIndex\.open"):
        CodeIndex.create(saved, 37)
    with pytest.raises(InputError, match="must be 'lazy' or 'full'; got 'none'"):
        CodeIndex.open(saved, verify="none")  # type: ignore[arg-type]


def test_leftovers_of_a_crash_are_removed_and_other_files_kept(saved: Path) -> None:
    for name in ("rows.99.bin", "calibration.98.json", "index.json.new", "notes.txt", "rows.bin"):
        (saved / name).write_text("x")
    CodeIndex.open(saved, read_only=True).close()
    assert "rows.99.bin" in names(saved), "a reader removes nothing"
    CodeIndex.open(saved).close()
    left = set(names(saved))
    assert not left & {"rows.99.bin", "calibration.98.json", "index.json.new"}
    assert {"notes.txt", "rows.bin"} <= left
