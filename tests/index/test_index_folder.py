"""The folder: saved and opened again, damaged, foreign, locked."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qadapt.errors import AlreadyExistsError, BusyError, InputError, IntegrityError
from qadapt.index import CodeIndex, persist, storage
from qadapt.index.storage import HEADER_NAME

Make = Callable[..., CodeIndex]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def saved(make: Make) -> Path:
    """A folder with two segments."""
    with make() as index:
        index.save()
        index.add(["a", "b"], np.eye(2, 37))
    return index.folder


# -- saved and opened ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"metric": "euclidean", "query_bits": 8},
        {"metric": "dot", "codes": "int8"},
        {"rescore_codes": None},
    ],
)
def test_an_opened_index_answers_as_the_saved_one(
    make: Make, vectors: np.ndarray, options: dict[str, object]
) -> None:
    with make(**options) as index:
        index.delete(range(50, 90))
        before = index.search(vectors[:20], 10)
        index.save()
        after = index.search(vectors[:20], 10)
    with CodeIndex.open(index.folder, read_only=True, verify="size") as again:
        assert again.settings == index_settings(options)
        found = again.search(vectors[:20], 10)
        again.verify()
    for hits in (after, found):
        assert hits.ids.tolist() == before.ids.tolist()
        np.testing.assert_allclose(hits.scores, before.scores, rtol=1e-5, atol=1e-6)


def index_settings(options: dict[str, object]) -> object:
    from qadapt.index.contents import Settings

    given = {
        "dim": 37, "metric": "cosine", "codes": "binary", "query_bits": 1, "rescore_codes": "int8",
        **options,
    }  # fmt: skip
    return Settings.checked(**given)  # type: ignore[arg-type]


def test_saving_adds_a_segment_and_deleting_compacts(make: Make, vectors: np.ndarray) -> None:
    with make() as index:
        index.save()
        first = {n for n in names(index.folder) if n.endswith((".bin", ".json"))}
        assert len(first) == 4
        index.add(range(300, 310), vectors[:10] + 1)
        index.save()
        assert first < set(names(index.folder)), "saved files are not written again"
        assert len(storage.read_header(index.folder).segments) == 2
        index.delete([0])
        index.save()
        assert len(storage.read_header(index.folder).segments) == 1
        assert len(names(index.folder)) == 5  # header, lock, ids, bits, int8
        index.delete(index.ids)
        index.save()
        assert names(index.folder) == [HEADER_NAME, "lock"]
    with CodeIndex.open(index.folder) as again:
        assert len(again) == 0 and again.ids == []
        again.add([1], vectors[:1])  # the calibration was kept


def test_many_saves_are_merged(make: Make, vectors: np.ndarray) -> None:
    with make() as index:
        for i in range(300, 300 + 2 * persist.MAX_SEGMENTS):
            index.add([i], vectors[i % 300][None] + 1)
            index.save()
            assert len(storage.read_header(index.folder).segments) <= persist.MAX_SEGMENTS
    with CodeIndex.open(index.folder) as again:
        assert again.ids == list(range(300 + 2 * persist.MAX_SEGMENTS))


def test_sizes_are_reported(make: Make) -> None:
    with make() as index:
        assert index.nbytes == {"ram": 300 * 8, "disk": 300 * 37}
        index.save()
        on_disk = sum((index.folder / n).stat().st_size for n in names(index.folder))
        header = (index.folder / HEADER_NAME).stat().st_size
        assert index.nbytes == {"ram": 300 * 8, "disk": on_disk - header}
    with make("i", codes="int8") as index:
        assert index.nbytes["ram"] == 0


def test_leaving_by_an_error_saves_nothing(make: Make, vectors: np.ndarray) -> None:
    with pytest.raises(RuntimeError, match="oops"), make() as index:
        index.save()
        index.add(["new"], vectors[:1])
        raise RuntimeError("oops")
    with CodeIndex.open(index.folder) as again:
        assert len(again) == 300
        assert len(names(again.folder)) == 5, "unsaved codes are removed"


def test_closing_with_unsaved_changes_warns_and_twice_is_harmless(make: Make) -> None:
    index = make()
    with pytest.warns(UserWarning, match="closed with unsaved changes"):
        index.close()
    index.close()
    assert "closed" in repr(index)
    with pytest.raises(InputError, match="used after close"):
        len(index)


def test_a_failed_save_changes_nothing_and_can_be_repeated(
    saved: Path, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for delete in (False, True):
        with CodeIndex.open(saved) as index:
            index.upsert(["x"], vectors[:1])
            if delete:
                index.delete([5])
            ids, found = index.ids, index.search(vectors[:9], 5)
            before = (saved / HEADER_NAME).read_bytes()
            for broken in ("write_file", "write_header", "_write_ids"):
                with monkeypatch.context() as patch:
                    patch.setattr(persist, broken, full_disk)
                    with pytest.raises(OSError, match="No space"):
                        index.save()
                assert (saved / HEADER_NAME).read_bytes() == before
                assert index.ids == ids
                assert index.search(vectors[:9], 5).ids.tolist() == found.ids.tolist()
        with CodeIndex.open(saved) as again:
            assert again.ids == ids
            assert again.search(vectors[:9], 5).ids.tolist() == found.ids.tolist()


# -- damaged -----------------------------------------------------------------------------------


def test_every_flipped_byte_is_detected(saved: Path) -> None:
    rng = np.random.default_rng(0)
    for name in names(saved):
        if name == "lock":
            continue
        path = saved / name
        content = path.read_bytes()
        for _ in range(20):
            at, bit = int(rng.integers(len(content))), 1 << int(rng.integers(8))
            broken = bytearray(content)
            broken[at] ^= bit
            path.write_bytes(broken)
            try:
                with pytest.raises(IntegrityError) as caught:
                    CodeIndex.open(saved)
                assert caught.value.hint
            finally:
                path.write_bytes(content)
    CodeIndex.open(saved).close()


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
                    CodeIndex.open(saved, verify="size", read_only=read_only)
                assert "backup" in str(caught.value)
            path.write_bytes(content)
    CodeIndex.open(saved).close()


def test_verify_detects_damage_after_opening(saved: Path) -> None:
    with CodeIndex.open(saved) as index:
        index.verify()
        path = next(saved.glob("bits.*.bin"))
        path.write_bytes(bytes(len(path.read_bytes())))
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
        ({"version": 2}, "format version 2; this qadapt supports 1"),
        ({"format": "else"}, "not written by qadapt"),
        ({"segments": [{"count": 3, "files": {}}]}, "a segment holds"),
        ({"segments": "x"}, "damaged"),
        ({"metric": "manhattan"}, "unknown metric"),
        ({"calibration": None}, "without a calibration"),
        ({"calibration": "{}"}, "calibration"),
        ({"dim": 40}, "damaged"),
    ],
)
def test_invalid_headers_are_refused(saved: Path, changes: dict[str, object], message: str) -> None:
    resign(saved, **changes)
    with pytest.raises(IntegrityError, match=message):
        CodeIndex.open(saved)


def test_a_header_cannot_name_files_outside_its_folder(saved: Path) -> None:
    data = json.loads((saved / HEADER_NAME).read_text())
    data["segments"][0]["files"]["ids"]["name"] = "../secrets.json"
    resign(saved, segments=data["segments"])
    with pytest.raises(IntegrityError, match="file name"):
        CodeIndex.open(saved)


def test_ids_that_occur_twice_are_refused(saved: Path) -> None:
    data = json.loads((saved / HEADER_NAME).read_text())
    record = data["segments"][1]["files"]["ids"]
    content = b'["a","a"]'
    (saved / record["name"]).write_bytes(content)
    record.update(bytes=len(content))
    resign(saved, segments=data["segments"])
    with pytest.raises(IntegrityError, match="duplicate ids"):
        CodeIndex.open(saved, verify="size")
    (saved / record["name"]).write_bytes(b'["a",1.5]')
    with pytest.raises(IntegrityError, match="not 2 ids"):
        CodeIndex.open(saved, verify="size")


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
    with pytest.raises(InputError, match="must be 'full' or 'size'; got 'none'"):
        CodeIndex.open(saved, verify="none")  # type: ignore[arg-type]


def test_leftovers_of_a_crash_are_removed_and_other_files_kept(saved: Path) -> None:
    for name in ("int8.99.bin", "ids.98.json", "index.json.new", "notes.txt", "bits.bin"):
        (saved / name).write_text("x")
    CodeIndex.open(saved, read_only=True).close()
    assert "int8.99.bin" in names(saved), "a reader removes nothing"
    CodeIndex.open(saved).close()
    left = set(names(saved))
    assert not left & {"int8.99.bin", "ids.98.json", "index.json.new"}
    assert {"notes.txt", "bits.bin"} <= left


# -- several at once ---------------------------------------------------------------------------


def test_the_second_writer_is_busy(saved: Path) -> None:
    with CodeIndex.open(saved):
        with pytest.raises(BusyError, match="already open for writing"):
            CodeIndex.open(saved)
        CodeIndex.open(saved, read_only=True).close()
    CodeIndex.open(saved).close()


def test_a_reader_refuses_changes(saved: Path, vectors: np.ndarray) -> None:
    with CodeIndex.open(saved, read_only=True) as index:
        assert index.read_only
        for change in (
            lambda: index.add(["z"], vectors[:1]),
            lambda: index.upsert(["z"], vectors[:1]),
            lambda: index.delete([1]),
            index.save,
        ):
            with pytest.raises(InputError, match="read_only"):
                change()


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX: an open file can be removed")
def test_a_reader_keeps_its_state_while_a_writer_saves(saved: Path, vectors: np.ndarray) -> None:
    with CodeIndex.open(saved, read_only=True) as reader:
        before = reader.search(vectors, 5)
        with CodeIndex.open(saved) as writer:
            writer.delete(range(200))
        after = reader.search(vectors, 5)
    assert after.ids.tolist() == before.ids.tolist()
    assert after.scores.tolist() == before.scores.tolist()


def test_a_reader_retries_after_a_concurrent_save(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = persist.load
    tries: list[int] = []

    def slow(*args: object, **options: object) -> object:
        tries.append(1)
        if len(tries) == 1:
            with monkeypatch.context() as patch:
                patch.setattr(persist, "load", real)
                with CodeIndex.open(saved) as writer:
                    writer.delete([0])
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(persist, "load", slow)
    with CodeIndex.open(saved, read_only=True) as reader:
        assert 0 not in reader and len(reader) == 301
    assert len(tries) == 2


def test_a_copied_folder_opens(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "copy")
    with CodeIndex.open(saved), CodeIndex.open(tmp_path / "copy") as copy:
        assert len(copy) == 302


def test_the_warning_of_unsaved_changes_names_the_caller(make: Make) -> None:
    index = make()
    with pytest.warns(UserWarning, match="closed with unsaved changes") as caught:
        index.close()
    assert caught[0].filename == __file__


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
@pytest.mark.parametrize(("folder", "file"), [(0o700, 0o600), (0o755, 0o644), (0o777, 0o666)])
def test_files_are_at_most_as_readable_as_their_folder(
    tmp_path: Path, folder: int, file: int
) -> None:
    tmp_path.chmod(folder)
    assert storage.file_mode(tmp_path) == file
