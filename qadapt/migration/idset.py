"""Sets of ids, those of more than 65,536 on disk: 8 bytes for each id, compared bucket by bucket.

Memory holds one bucket and one block, for any number of rows. The sets hold hashes (blake2b of the
id with its type). Among 10^9 ids, two share a hash with a probability of 3 %, so ids that differ or
occur twice are confirmed by reading the ids again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qadapt.durable import mark, remove_leftovers_once
from qadapt.migration.ids import typed_text
from qadapt.model import Id

Hashes = npt.NDArray[np.uint64]
PREFIX = "qadapt-ids-"
_BUCKETS = 64
_SHIFT = np.uint64(58)
_BLOCK = 1 << 16  # hashes held in memory before they are written: 0.5 MB


def hash_ids(keys: Iterable[Id], partition: str | None = None) -> Hashes:
    """Hashes of ids, uint64 ``(n,)``.

    Args:
        partition: the partition that the ids are unique in; None for the whole collection.
    """
    head = "" if partition is None else f"{partition}@"
    digests = [
        blake2b(f"{head}{typed_text(key)}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        for key in keys
    ]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


class IdSet:
    """A set of id hashes: in memory up to a block, then in a temporary folder that leaving the
    context removes."""

    def __init__(self) -> None:
        remove_leftovers_once(Path(tempfile.gettempdir()), PREFIX)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._pending: list[Hashes] = []
        self._pending_count = 0
        self.count = 0

    def __enter__(self) -> IdSet:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def add(self, keys: Iterable[Id], partition: str | None = None) -> None:
        """Add ids; an id that is added twice is counted twice."""
        block = hash_ids(keys, partition)
        self._pending.append(block)
        self._pending_count += len(block)
        self.count += len(block)
        if self._pending_count >= _BLOCK:
            self._flush()

    def _flush(self) -> None:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix=f"{PREFIX}{mark()}-")
        for bucket, part in enumerate(self._pending_buckets()):
            if len(part):
                with self._path(self._folder.name, bucket).open("ab") as file:
                    file.write(part.tobytes())
        self._pending, self._pending_count = [], 0

    def _pending_buckets(self) -> list[Hashes]:
        block = np.sort(np.concatenate([np.empty(0, dtype=np.uint64), *self._pending]))
        firsts = np.arange(1, _BUCKETS, dtype=np.uint64)
        return np.split(block, np.searchsorted(block >> _SHIFT, firsts))

    @staticmethod
    def _path(folder: str, bucket: int) -> Path:
        return Path(folder) / f"{bucket:02}"

    def _buckets(self) -> Iterable[Hashes]:
        if self._folder is None:
            return self._pending_buckets()
        self._flush()
        folder = self._folder.name
        return (_sorted_hashes(self._path(folder, bucket)) for bucket in range(_BUCKETS))

    def duplicates(self, most: int = 1000) -> set[int]:
        """Hashes that occur more than once, about ``most`` of them at most."""
        found: set[int] = set()
        for block in self._buckets():
            found.update(np.unique(block[1:][block[1:] == block[:-1]]).tolist())
            if len(found) >= most:
                break
        return found

    def difference(self, other: IdSet) -> Hashes:
        """Hashes that the other set does not have; memory grows with their number."""
        pairs = zip(self._buckets(), other._buckets(), strict=True)
        return np.concatenate([np.setdiff1d(mine, theirs) for mine, theirs in pairs])


def _sorted_hashes(path: Path) -> Hashes:
    if not path.exists():
        return np.empty(0, dtype=np.uint64)
    return np.sort(np.fromfile(path, dtype=np.uint64))


def select(keys: list[Id], wanted: Hashes, partition: str | None = None) -> list[Id]:
    """The ids whose hash is in ``wanted``."""
    if not len(wanted) or not keys:
        return []
    selected = np.isin(hash_ids(keys, partition), wanted)
    return [key for key, found in zip(keys, selected.tolist(), strict=True) if found]
