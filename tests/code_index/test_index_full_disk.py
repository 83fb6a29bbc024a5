"""A disk that fills up at any byte of a save: the folder keeps the former state."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qadapt.code_index import CodeIndex

Make = Callable[..., CodeIndex]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX: RLIMIT_FSIZE")

KINDS: dict[str, dict[str, Any]] = {
    "binary": {},
    "rotational-1": {"codes": "rotational"},
    "rotational-4, without int8": {"codes": "rotational", "bits": 4, "rescore_codes": None},
    "scalar": {"codes": "scalar"},
}


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Writes beyond this size of a file fail, the first of them after writing what fits."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_saves_fail_at_any_byte_and_lose_nothing(
    make: Make, vectors: np.ndarray, options: dict[str, Any]
) -> None:
    index = make(**options)
    index.save()
    former = index.search(vectors[:50], 5)
    sizes = sorted(path.stat().st_size for path in index.folder.glob("rows.*.bin"))
    failed = 0
    for size in np.linspace(0, sizes[-1] / 5, 25).astype(int).tolist():
        with files_of_at_most(size):
            try:
                index.upsert([f"new {at}" for at in range(40)], vectors[:40] + 1)
                index.save()
                break
            except OSError as error:
                assert error.errno == 27  # EFBIG
                failed += 1
        with CodeIndex.open(index.folder, read_only=True, verify="full") as reader:
            assert reader.ids == list(range(300))
            found = reader.search(vectors[:50], 5)
            assert found.ids.tolist() == former.ids.tolist()
            assert found.scores.tolist() == former.scores.tolist()
        assert len(index) in (300, 340)
    assert failed > 3
    index.save()
    right = index.search(vectors[:50], 5)
    index.close()
    with CodeIndex.open(index.folder, verify="full") as again:
        assert again.ids == index_ids()
        assert again.search(vectors[:50], 5).ids.tolist() == right.ids.tolist()
        again.verify()


def index_ids() -> list[int | str]:
    return [*range(300), *(f"new {at}" for at in range(40))]


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_a_merge_that_fails_at_any_byte_loses_nothing(
    tmp_path: Path, make: Make, vectors: np.ndarray, options: dict[str, Any]
) -> None:
    index = make(**options)
    index.save()
    index.delete(range(100))
    size = max(path.stat().st_size for path in index.folder.glob("rows.*.bin"))
    for limit in np.linspace(2000, size // 2, 6).astype(int).tolist():
        with files_of_at_most(limit):
            index.add([f"new {limit}"], vectors[:1])
            index.save()  # begins a merge, whose file does not fit
            assert index._merge is not None
            index._merge.wait()
        with pytest.warns(UserWarning, match="were not merged: .*File too large"):
            index.delete([f"new {limit}"])
            index.save()
        assert index._merge is not None
        index._merge.discard()
        index._merge = None
        with CodeIndex.open(index.folder, read_only=True, verify="full") as reader:
            assert reader.ids == list(range(100, 300)) == index.ids
    index.close()
