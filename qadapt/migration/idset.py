"""The ids of a collection on disk: 8 bytes each, compared bucket by bucket.

Memory holds one bucket and one block, however many rows there are. What is compared are hashes
(blake2b of the id with its type); two different ids with the same hash turn up among a thousand
million with a chance of 3 in 100, so what differs or occurs twice is looked up again by its id.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qadapt.durable import mark, sweep_once
from qadapt.migration.ids import tagged
from qadapt.model import Id

Hashes = npt.NDArray[np.uint64]
PREFIX = "qadapt-ids-"
_BUCKETS = 64
_SHIFT = np.uint64(58)
_BLOCK = 1 << 16  # hashes that are held before they are written: 0.5 MB


def hashed(keys: Iterable[Id], within: str | None = None) -> Hashes:
    """Hashes of ids, uint64 ``(n,)``.

    Args:
        within: the tenant or partition that they are unique in.
    """
    head = "" if within is None else f"{within}@"
    parts = [blake2b(f"{head}{tagged(key)}".encode("utf-8", "surrogatepass"), digest_size=8)
             .digest() for key in keys]  # fmt: skip
    return np.frombuffer(b"".join(parts), dtype="<u8").astype(np.uint64)


class IdSet:
    """Hashes of ids in files of a temporary folder, which goes with it; a context manager."""

    def __init__(self) -> None:
        sweep_once(Path(tempfile.gettempdir()), PREFIX)
        self._folder = tempfile.TemporaryDirectory(prefix=f"{PREFIX}{mark()}-")
        self._held: list[Hashes] = []
        self._holding = 0
        self.count = 0

    def __enter__(self) -> IdSet:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def add(self, keys: Iterable[Id], within: str | None = None) -> None:
        """Take in ids; one that comes twice is there twice."""
        block = hashed(keys, within)
        self._held.append(block)
        self._holding += len(block)
        self.count += len(block)
        if self._holding >= _BLOCK:
            self._flush()

    def _flush(self) -> None:
        if not self._holding:
            return
        block = np.sort(np.concatenate(self._held))
        self._held, self._holding = [], 0
        edges = np.searchsorted(block >> _SHIFT, np.arange(_BUCKETS + 1, dtype=np.uint64))
        for bucket in range(_BUCKETS):
            part = block[edges[bucket] : edges[bucket + 1]]
            if len(part):
                with self._path(bucket).open("ab") as file:
                    file.write(part.tobytes())

    def _path(self, bucket: int) -> Path:
        return Path(self._folder.name) / f"{bucket:02}"

    def _bucket(self, bucket: int) -> Hashes:
        path = self._path(bucket)
        if not path.exists():
            return np.empty(0, dtype=np.uint64)
        found: Hashes = np.sort(np.fromfile(path, dtype=np.uint64))
        return found

    def _buckets(self) -> Iterator[Hashes]:
        self._flush()
        return (self._bucket(bucket) for bucket in range(_BUCKETS))

    def twice(self, most: int = 1000) -> set[int]:
        """Hashes that occur more than once, ``most`` of them at most."""
        found: set[int] = set()
        for block in self._buckets():
            found.update(np.unique(block[1:][block[1:] == block[:-1]]).tolist())
            if len(found) >= most:
                break
        return found

    def without(self, other: IdSet) -> Hashes:
        """Hashes that the other set does not have; as many as differ are held."""
        pairs = zip(self._buckets(), other._buckets(), strict=True)
        return np.concatenate([np.setdiff1d(mine, theirs) for mine, theirs in pairs])


def among(keys: list[Id], wanted: Hashes, within: str | None = None) -> list[Id]:
    """The ids whose hash is in ``wanted``."""
    if not len(wanted) or not keys:
        return []
    there = np.isin(hashed(keys, within), wanted)
    return [key for key, found in zip(keys, there.tolist(), strict=True) if found]
