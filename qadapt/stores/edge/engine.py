"""The engine's shards in this process: opened, locked, closed, its errors made ours."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qadapt.errors import (
    BusyError,
    DimensionError,
    IntegrityError,
    MissingExtraError,
    NotFoundError,
    QadaptError,
    StoreError,
)
from qadapt.model import Batch
from qadapt.stores.edge import space

if TYPE_CHECKING:
    import qdrant_edge

PACKAGE = "qdrant_edge"
DISTRIBUTION = "qdrant-edge-py"


def engine() -> Any:
    """The module ``qdrant_edge``, imported when it is first needed.

    Raises:
        MissingExtraError
    """
    try:
        return importlib.import_module(PACKAGE)
    except ImportError as error:
        raise MissingExtraError(DISTRIBUTION, "edge", purpose="the store 'edge'") from error


def version() -> str | None:
    """The version of qdrant-edge-py; None where its metadata is missing."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return None


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn what the engine raises into errors of qadapt. Keep only engine calls inside.

    The engine raises a bare ``Exception`` with its words, its Python binding raises TypeError,
    ValueError and OverflowError, and a panic is a BaseException of its own.

    Args:
        doing: what was asked, for the message: ``"write to 'articles'"``.
    """
    try:
        yield
    except QadaptError:
        raise
    except OSError as error:
        raise StoreError(f"could not {doing}: {error}") from error
    except Exception as error:
        raise translate(str(error), doing) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise StoreError(f"Qdrant's engine panicked: could not {doing}: {error}") from error


def translate(words: str, doing: str) -> QadaptError:
    """The error of qadapt for the engine's words."""
    text = words.removeprefix("Service runtime error: ")
    if "WouldBlock" in text:
        return BusyError(
            f"could not {doing}: another process has the collection open",
            hint="one process at a time may open it; close the other one (it may be an interrupted "
            "rebuild that is still finishing) and try again",
        )
    wrong = re.search(r"Vector dimension error: expected dim: (\d+), got (\d+)", text)
    if wrong:
        return DimensionError(int(wrong[1]), int(wrong[2]))
    if "Not existing vector name" in text:
        return NotFoundError(f"could not {doing}: {text}")
    if "no segments were loaded" in text or "Failed to deserialize" in text:
        return IntegrityError(f"could not {doing}: {text}")
    return StoreError(f"could not {doing}; Qdrant's engine says: {text}")


# The engine opens a folder once in a process, so all stores of a process share what is open. A
# store that is forgotten without being closed must not keep a folder open for ever: hence weak.
_shards: weakref.WeakValueDictionary[str, Shard] = weakref.WeakValueDictionary()
_shards_lock = threading.Lock()

# An open shard holds 32 MB and more of memory for each vector, and the folder from other processes.
# So no more than these stay open; who comes to a closed one opens it again, in a tenth of a second.
MOST_OPEN = 8
# Those that are open, by folder, the one used longest ago first.
_opened: dict[str, weakref.ReferenceType[Shard]] = {}


def shared(folder: Path) -> Shard:
    """The shard of a folder, the same for all stores of this process; give it back to ``release``.

    Source: the engine's write-ahead log takes a lock that a second ``load`` in the same process
    does not get either ("Can't init WAL: ... WouldBlock", qdrant-edge-py 0.9.0).
    """
    key = str(folder.resolve())
    with _shards_lock:
        shard = _shards.get(key)
        if shard is None:
            shard = _shards[key] = Shard(folder)
        shard.users += 1
        return shard


def release(shard: Shard) -> None:
    """Close a shard when the last store that used it is done."""
    with _shards_lock:
        shard.users -= 1
        last = shard.users <= 0
    if last:
        shard.close()


def _close_idle() -> None:
    """Close what was not used for longest, until few enough are open; those in use stay."""
    with _shards_lock:
        for key in [key for key, each in _opened.items() if each() is None]:
            del _opened[key]
        oldest = [each() for each in _opened.values()][: max(0, len(_opened) - MOST_OPEN)]
    for shard in oldest:
        if shard is not None:
            shard.close_idle()


class Shard:
    """One collection: a folder that this process may hold open.

    Threads take turns. What the engine holds open is closed while a rebuild runs in another
    process, and opened again by whoever comes next.

    Attributes:
        folder: where it is.
        lock: held by whoever uses the engine or the folder.
        users: stores of this process that have it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        self.users = 0
        self._open: qdrant_edge.EdgeShard | None = None
        self._unflushed = False
        self._key = str(folder.resolve())
        self._using = 0  # blocks of ``use`` that are open, of the thread that has the lock
        # What was last seen of it, for who searches; forgotten with every change.
        self.seen: Any = None

    @property
    def name(self) -> str:
        return self.folder.name

    @contextmanager
    def use(self, doing: str) -> Iterator[qdrant_edge.EdgeShard]:
        """The open shard, for engine calls alone; their errors are translated.

        Raises:
            BusyError: another process has it open.
            IntegrityError: the folder is damaged.
        """
        with self.lock:
            if self._open is None:
                with translated(f"{doing} {self.name!r}"):
                    space.check_open(self.folder)
                    self._open = engine().EdgeShard.load(str(self.folder))
            self._used()
            self._using += 1
            try:
                with translated(f"{doing} {self.name!r}"):
                    yield self._open
            finally:
                self._using -= 1

    def _used(self) -> None:
        """Note that this shard was used last, and close those that were not for long."""
        with _shards_lock:
            _opened.pop(self._key, None)
            _opened[self._key] = weakref.ref(self)
            many = len(_opened) > MOST_OPEN
        if many:
            _close_idle()

    @contextmanager
    def change(self, doing: str, rows: Batch | None = None) -> Iterator[qdrant_edge.EdgeShard]:
        """As ``use``, and what was changed is on disk afterwards, whatever comes then.

        Args:
            rows: those that are to be written; there must be space for them.

        Raises:
            StoreError: not enough disk space.
        """
        with self.use(doing) as shard:
            space.check_change(self.folder, f"{doing} {self.name!r}", rows)
            self._unflushed, self.seen = True, None
            yield shard
            shard.flush()
            self._unflushed = False

    def close(self) -> None:
        """Give the folder back; the next ``use`` opens it again."""
        with self.lock, translated(f"close {self.name!r}"):
            self.seen = None
            if self._open is None:
                return
            if self._unflushed:
                self._open.flush()
                self._unflushed = False
            self._open.close()
            self._open = None
            with _shards_lock:
                _opened.pop(self._key, None)

    def close_idle(self) -> None:
        """Close it where nobody uses it."""
        # No waiting: whoever has the lock may be waiting for a shard that this thread has.
        if not self.lock.acquire(blocking=False):
            return
        try:
            if not self._using:
                self.close()
        finally:
            self.lock.release()
