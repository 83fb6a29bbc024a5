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
from qadapt.index.id_column import IdColumn
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
    with CodeIndex.open(index.folder, read_only=True, verify="lazy") as again:
        assert again.settings == index_settings(options)
        found = again.search(vectors[:20], 10)
        again.verify()
    for hits in (after, found):
        assert hits.ids.tolist() == before.ids.tolist()
        np.testing.assert_allclose(hits.scores, before.scores, rtol=1e-5, atol=1e-6)


def index_settings(options: dict[str, object]) -> object:
    from qadapt.index.settings import Settings

    given = {
        "dim": 37, "metric": "cosine", "codes": "binary", "query_bits": 1, "rescore_codes": "int8",
        **options,
    }  # fmt: skip
    return Settings.checked(**given)  # type: ignore[arg-type]


def test_saving_adds_a_segment_and_few_deletions_are_marks(make: Make, vectors: np.ndarray) -> None:
    with make() as index:
        index.save()
        first = {n for n in names(index.folder) if n.endswith(".bin")}
        assert len(first) == 1
        index.add(range(300, 310), vectors[:10] + 1)
        index.save()
        assert first < set(names(index.folder)), "saved files are not written again"
        assert len(storage.read_header(index.folder).segments) == 2
        index.delete([0])
        index.upsert([1], vectors[:1])
        index.save()
        segments = storage.read_header(index.folder).segments
        assert [(each.count, each.marks) for each in segments] == [(300, 0), (10, 0), (1, 2)]
        index.delete(range(1, 80))
        index.save()
        assert len(storage.read_header(index.folder).segments) == 1, "a quarter was deleted"
        assert len(names(index.folder)) == 4  # header, lock, calibration, rows
        index.delete(index.ids)
        index.save()
        assert sorted(n.split(".")[0] for n in names(index.folder)) == [
            "calibration", "index", "lock",
        ]  # fmt: skip
    with CodeIndex.open(index.folder) as again:
        assert len(again) == 0 and again.ids == []
        again.add([1], vectors[:1])  # the calibration was kept


def test_deleted_rows_stay_deleted_in_any_order_of_saves(make: Make, vectors: np.ndarray) -> None:
    """Delete marks refer to rows of earlier segments, also after merges."""
    rng = np.random.default_rng(5)
    model = list(range(300))
    with make() as index:
        index.save()
        for round_ in range(60):
            one = int(rng.choice(model))
            model.remove(one)
            if round_ % 3:
                index.upsert([one], vectors[one][None])
                model.append(one)
            else:
                index.delete([one])
            index.save()
            if round_ % 10 == 9:
                with CodeIndex.open(index.folder, read_only=True, verify="full") as reader:
                    assert reader.ids == model == index.ids
                    hits = reader.search(vectors[model], 1, rescore=8)
                    assert (hits.ids[:, 0] == model).mean() > 0.99
        most = 9 * (1 + len(str(len(index))))
        assert len(storage.read_header(index.folder).segments) <= most


def test_compact_removes_deleted_rows_from_the_files(make: Make, vectors: np.ndarray) -> None:
    with make(codes="int8") as index:
        index.save()
        index.delete([7])
        index.save()
        assert storage.read_header(index.folder).count == 300
        found = index.search(vectors[:9], 5)
        index.compact()
        assert storage.read_header(index.folder).count == 299
        assert index.search(vectors[:9], 5).ids.tolist() == found.ids.tolist()
    with CodeIndex.open(index.folder) as again:
        assert again.search(vectors[:9], 5).ids.tolist() == found.ids.tolist()


def test_many_saves_are_merged(make: Make, vectors: np.ndarray) -> None:
    with make() as index:
        for i in range(300, 420):
            index.add([i], vectors[i % 300][None] + 1)
            index.save()
            assert len(storage.read_header(index.folder).segments) <= 27
    with CodeIndex.open(index.folder) as again:
        assert again.ids == list(range(420))


def test_saves_of_one_row_write_little(
    tmp_path: Path, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that reach a file, merges included: at most ten times those of the changed rows."""
    from qadapt.index import segment_file

    written = []

    def count(module: object, name: str) -> None:
        real = getattr(module, name)

        def call(self: object, *args: object) -> object:
            written.append(memoryview(args[0]).nbytes)  # type: ignore[arg-type]
            return real(self, *args)

        monkeypatch.setattr(module, name, call)

    real_header = storage.write_header

    def header(folder: Path, header: storage.Header) -> None:
        real_header(folder, header)
        written.append((folder / HEADER_NAME).stat().st_size)

    count(segment_file.SegmentWriter, "write")
    monkeypatch.setattr(persist, "write_header", header)
    dim, saves = 1024, 200
    rows = np.random.default_rng(3).standard_normal((1000, dim)).astype(np.float32)
    with CodeIndex.create(tmp_path / "i", dim) as index:
        index.add(range(1000), rows)
        index.save()
        written.clear()
        for i in range(saves):
            index.upsert([i], rows[i][None])
            index.save()
    changed = saves * (dim + dim // 8 + 8)
    assert sum(written) < 10 * changed


def test_sizes_are_reported(make: Make) -> None:
    with make() as index:
        bits, ids = 300 * 8, 300 * 8
        assert index.nbytes == {"ram": bits + ids, "ids": ids, "disk": 300 * 37}
        index.save()
        on_disk = sum((index.folder / n).stat().st_size for n in names(index.folder))
        header = (index.folder / HEADER_NAME).stat().st_size
        assert index.nbytes["disk"] == on_disk - header
    with make("i", codes="int8") as index:
        assert index.nbytes["ram"] == index.nbytes["ids"]


def test_leaving_by_an_error_saves_nothing(make: Make, vectors: np.ndarray) -> None:
    with pytest.raises(RuntimeError, match="oops"), make() as index:
        index.save()
        index.add(["new"], vectors[:1])
        raise RuntimeError("oops")
    with CodeIndex.open(index.folder) as again:
        assert len(again) == 300
        assert len(names(again.folder)) == 4, "unsaved codes are removed"


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
    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for delete in (False, True):
        with CodeIndex.open(saved) as index:
            index.upsert(["x"], vectors[:1])
            if delete:
                index.delete(range(5, 100))  # enough for a merge
            ids, found = index.ids, index.search(vectors[:9], 5)
            before = (saved / HEADER_NAME).read_bytes()
            for broken in ("_finish", "write_header", "SegmentFile"):
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


def test_an_unflushed_header_keeps_the_files_that_it_lists(
    saved: Path, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The header is replaced, and then flushing the folder fails."""
    real = storage.sync_folder
    calls = []

    def broken(folder: Path) -> None:
        calls.append(folder)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        real(folder)

    with CodeIndex.open(saved) as index:
        index.upsert(["x", 3], vectors[:2])
        with monkeypatch.context() as patch:
            patch.setattr(storage, "sync_folder", broken)
            with pytest.raises(OSError, match="Input/output"):
                index.save()
        with CodeIndex.open(saved, read_only=True, verify="full") as reader:
            assert reader.ids == index.ids
        index.upsert(["y"], vectors[2:3])
        index.save()
        ids, found = index.ids, index.search(vectors[:9], 5)
    with CodeIndex.open(saved, verify="full") as again:
        assert again.ids == ids
        assert again.search(vectors[:9], 5).ids.tolist() == found.ids.tolist()


# -- damaged -----------------------------------------------------------------------------------


def test_a_flipped_bit_is_never_used(saved: Path, vectors: np.ndarray) -> None:
    """Opening or searching raises, or the results are those of the undamaged index."""
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
                    writer.compact()
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
