"""The engine's shards in this process: opened, locked, closed, its errors made ours."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import re
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from qadapt.errors import (
    BusyError,
    DimensionError,
    IntegrityError,
    MissingExtraError,
    NotFoundError,
    QadaptError,
    StoreError,
)
from qadapt.locking import Lock, LockHeldError
from qadapt.model import Batch
from qadapt.stores.client_imports import load
from qadapt.stores.qdrant.edge import disk_space, segment_files

if TYPE_CHECKING:
    import qdrant_edge

PACKAGE = "qdrant_edge"
DISTRIBUTION = "qdrant-edge-py"
LOCK = ".qadapt.lock"


def client_module() -> Any:
    """The module ``qdrant_edge``, imported when it is first needed.

    Raises:
        MissingExtraError
    """
    try:
        return load(PACKAGE)
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
            hint="only one process at a time can open it; end the other one (it may be an "
            "interrupted rebuild that is still finishing) and try again",
        )
    wrong = re.search(r"Vector dimension error: expected dim: (\d+), got (\d+)", text)
    if wrong:
        return DimensionError(int(wrong[1]), int(wrong[2]))
    if "Not existing vector name" in text:
        return NotFoundError(f"could not {doing}: {text}")
    if "no segments were loaded" in text or "Failed to deserialize" in text:
        return IntegrityError(f"could not {doing}: {text}")
    return StoreError(f"could not {doing}; Qdrant's engine reports: {text}")


# The engine opens a folder once in a process, so all stores of a process share what is open. A
# store that is forgotten without being closed must not keep a folder open for ever: hence weak.
_shards: weakref.WeakValueDictionary[str, Shard] = weakref.WeakValueDictionary()
_shards_lock = threading.Lock()

# An open shard holds 32 MB and more of memory for each vector, and the folder from other processes.
# So no more than these stay open; who comes to a closed one opens it again, in a tenth of a second.
MOST_OPEN = 8
# Those that are open, by folder, the one used longest ago first.
_opened: dict[str, weakref.ReferenceType[Shard]] = {}


def open_shard(folder: Path) -> Shard:
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


class _Store(Protocol):
    def renew_lock(self) -> None:
        """Take a new lock: the thread that held the old one is in the parent."""


# The stores of this process, for a fork.
stores: weakref.WeakSet[_Store] = weakref.WeakSet()
# Shards of a parent process: their destructor would wait for threads that are not here.
_never_freed: list[Any] = []


def _after_fork() -> None:
    """A forked process opens collections itself; what the parent has open stays the parent's."""
    global _shards_lock
    _shards_lock = threading.Lock()
    _opened.clear()
    for store in list(stores):
        store.renew_lock()
    for shard in list(_shards.values()):
        shard.leave_to_parent()
    for left in _never_freed:
        # One reference that nobody gives back, so that the end of the process frees nothing.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(left))


def _close_files(folder: Path) -> None:
    """Close this process's copies of the files of a shard, where the system lists them.

    A lock on a file lasts as long as any copy of its descriptor: without this, the parent could
    not give the folder back while the child runs.
    """
    listed = Path("/proc/self/fd")
    if not listed.is_dir():
        return
    inside = f"{folder.resolve()}{os.sep}"
    for number in sorted(int(name) for name in os.listdir(listed)):
        with contextlib.suppress(OSError):  # the listing's own descriptor is gone
            if os.readlink(listed / str(number)).startswith(inside):
                os.close(number)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


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
        self._owner = Lock(folder / LOCK)
        self._unflushed = False
        self._parent: int | None = None
        self._key = str(folder.resolve())
        self._using = 0  # blocks of ``use`` that are open, of the thread that has the lock
        # What was last seen of it, for who searches; forgotten with every change.
        self.observation: Any = None
        # Fields that were seen to have no date which the engine does not read; forgotten likewise.
        self.dated: set[str] = set()

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
                    self._open = self._load(doing)
            self._used()
            self._using += 1
            try:
                with translated(f"{doing} {self.name!r}"):
                    yield self._open
            finally:
                self._using -= 1

    def _load(self, doing: str) -> qdrant_edge.EdgeShard:
        """The engine on the folder, which belongs to this process until ``close``."""
        held = self._owner.held
        self._own(doing)
        try:
            disk_space.check_open(self.folder)
            loaded: qdrant_edge.EdgeShard = client_module().EdgeShard.load(str(self.folder))
            # The engine has its own lock now, so nobody else writes in this folder.
            segment_files.remove_unfinished(self.folder)
        except BaseException:
            if not held:
                self._owner.release()
            raise
        return loaded

    def _used(self) -> None:
        """Note that this shard was used last, and close those that were not for long."""
        with _shards_lock:
            _opened.pop(self._key, None)
            _opened[self._key] = weakref.ref(self)
            many = len(_opened) > MOST_OPEN
        if many:
            _close_idle()

    def _own(self, doing: str) -> None:
        """Take the folder for this process; it is given back by ``close``.

        The engine has a lock too, but gives it up whenever the shard is closed, as it is before
        each rebuild: another process that opened the shard just then made the change fail.
        """
        try:
            self._owner.acquire()
        except LockHeldError as held:
            holder = held.holder
            if self._parent is not None and holder.pid in (None, self._parent):
                raise BusyError(
                    f"could not {doing} {self.name!r}: the parent process {self._parent} has the "
                    "collection open",
                    hint="close the database in the parent before the fork, or start processes "
                    "with multiprocessing.get_context('spawn') and open it in only one of "
                    "them",
                ) from None
            who = "" if holder.pid is None else f" ({holder})"
            raise BusyError(
                f"could not {doing} {self.name!r}: another process has the collection open{who}",
                hint="only one process at a time can open it:" + holder.release_hint,
            ) from None

    def leave_to_parent(self) -> None:
        """In a forked process: let go of what the parent has open, without closing it.

        The engine's threads stay with the parent, so any call of its shard would wait for ever.
        """
        self.lock = threading.RLock()
        self.observation, self._unflushed, self._using = None, False, 0
        if self._open is None and not self._owner.held:
            return
        self._parent = os.getppid()
        _never_freed.extend((self._open, self._owner))
        self._open, self._owner = None, Lock(self.folder / LOCK)
        _close_files(self.folder)

    @contextmanager
    def change(self, doing: str, rows: Batch | None = None) -> Iterator[qdrant_edge.EdgeShard]:
        """As ``use``, and what was changed is on disk afterwards, whatever comes then.

        Args:
            rows: those that are to be written; there must be space for them.

        Raises:
            StoreError: not enough disk space.
        """
        with self.use(doing) as shard:
            disk_space.check_change(self.folder, f"{doing} {self.name!r}", rows)
            self._unflushed, self.observation = True, None
            self.dated.clear()
            yield shard
            shard.flush()
            self._unflushed = False

    def close(self) -> None:
        """Give the folder back; the next ``use`` opens it again."""
        with self.lock:
            try:
                self.pause()
            finally:
                self._owner.release()

    def pause(self) -> None:
        """Close the engine's part, and keep other processes of qadapt out."""
        with self.lock, translated(f"close {self.name!r}"):
            self.observation = None
            self.dated.clear()
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
