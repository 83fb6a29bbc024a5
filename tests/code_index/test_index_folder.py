"""The folder: saved and opened again, locked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qadapt.code_index import CodeIndex, persist, storage
from qadapt.code_index.storage import HEADER_NAME
from qadapt.errors import BusyError, InputError

Make = Callable[..., CodeIndex]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def save_and_merge(index: CodeIndex) -> None:
    index.save()
    assert index._merge is not None
    index._merge.wait()
    index.save()  # uses the merged segment


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
    from qadapt.code_index.settings import Settings

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
        index.delete(range(1, 90))
        save_and_merge(index)
        assert len(storage.read_header(index.folder).segments) == 1, "a quarter was deleted"
        assert len(names(index.folder)) == 4  # header, lock, calibration, rows
        index.delete(index.ids)
        save_and_merge(index)
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
    from qadapt.code_index import segment_file

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
