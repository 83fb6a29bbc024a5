"""The open shards of this process: opening, locking and closing."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from qadapt.errors import BusyError
from qadapt.locking import Lock, LockHeldError
from qadapt.model import Batch
from qadapt.stores import forks
from qadapt.stores.client_imports import load_client
from qadapt.stores.qdrant.edge import disk_space, segment_files
from qadapt.stores.qdrant.edge.errors import translated

if TYPE_CHECKING:
    import qdrant_edge

T = TypeVar("T")
R = TypeVar("R")

PACKAGE = "qdrant_edge"
DISTRIBUTION = "qdrant-edge-py"
LOCK = ".qadapt.lock"


def client_module() -> Any:
    """Import ``qdrant_edge`` when it is first needed.

    Raises:
        MissingExtraError
    """
    return load_client(PACKAGE, DISTRIBUTION, "edge")


def version() -> str | None:
    """The version of qdrant-edge-py; None if its metadata is missing."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return None


# The engine can open a folder only once per process, so all stores of a process share open shards.
# A store that is discarded without being closed must not keep a folder open: hence weak.
_shards: weakref.WeakValueDictionary[str, Shard] = weakref.WeakValueDictionary()
_shards_lock = threading.Lock()

# An open shard uses 32 MB or more of memory per vector and locks the folder. No more than these
# stay open; a closed shard is reopened on use, in a tenth of a second.
MOST_OPEN = 8
# The open shards by folder, least recently used first.
_opened: dict[str, weakref.ReferenceType[Shard]] = {}
# The folder that was used last; None after it was closed.
_latest: str | None = None


def open_shard(folder: Path) -> Shard:
    """The shard of a folder, shared by all stores of this process; call ``release`` when done.

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
    """Close a shard when the last store that uses it is closed."""
    with _shards_lock:
        shard.users -= 1
        last = shard.users <= 0
    if last:
        shard.close()


class _Store(Protocol):
    def renew_lock(self) -> None:
        """Create a new lock after a fork: the thread that held the old one is in the parent."""


# The stores of this process, for a fork.
stores: weakref.WeakSet[_Store] = weakref.WeakSet()
# Shards of a parent process: their destructor would wait for threads that do not exist here.
_never_freed: list[Any] = []


def _after_fork() -> None:
    """Detach a forked process from the parent's open shards."""
    global _shards_lock, _latest
    _shards_lock = threading.Lock()
    _opened.clear()
    _latest = None
    for store in list(stores):
        store.renew_lock()
    for shard in list(_shards.values()):
        shard.leave_to_parent()
    for left in _never_freed:
        forks.never_free(left)


def _close_files(folder: Path) -> None:
    """Close this process's file descriptors of a shard, if the system lists them.

    A file lock lasts as long as any copy of its descriptor: without this, the parent could not
    release the folder while the child runs.
    """
    listed = Path("/proc/self/fd")
    if not listed.is_dir():
        return
    inside = f"{folder.resolve()}{os.sep}"
    for number in sorted(int(name) for name in os.listdir(listed)):
        with contextlib.suppress(OSError):  # the descriptor of the listing itself is closed
            if os.readlink(listed / str(number)).startswith(inside):
                os.close(number)


forks.in_child(_after_fork)


def _close_idle() -> None:
    """Close the least recently used shards above the limit; shards in use stay open."""
    with _shards_lock:
        for key in [key for key, each in _opened.items() if each() is None]:
            del _opened[key]
        oldest = [each() for each in _opened.values()][: max(0, len(_opened) - MOST_OPEN)]
    for shard in oldest:
        if shard is not None:
            shard.close_idle()


class Shard:
    """One collection: a folder that this process may have open.

    Threads take turns, except for prepared searches, which run at the same time. The engine's shard
    is closed while a rebuild runs in another process, and reopened by the next use.

    Attributes:
        folder: the folder of the collection.
        lock: held by the user of the engine or the folder.
        users: number of stores of this process that use it.
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
        self._using = 0  # number of open ``use`` blocks of the thread that holds the lock
        # The threads with a prepared search, which does not take the lock; changes wait for them.
        self._searching: set[int] = set()
        self._search_ended: threading.Event | None = None  # for the change that waits
        # The last snapshot, for searches; discarded by every change.
        self.observation: Any = None
        # Fields without dates that the engine cannot read; discarded likewise.
        self.dated: set[str] = set()

    @property
    def name(self) -> str:
        return self.folder.name

    @contextmanager
    def use(self, doing: str) -> Iterator[qdrant_edge.EdgeShard]:
        """The open shard, for engine calls only; their errors are translated.

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

    def search(
        self, observed: Any, run: Callable[[qdrant_edge.EdgeShard, R], T], requests: R
    ) -> T | None:
        """Run searches that were prepared for a snapshot; None if it is not the last one.

        A thread registers itself before it reads the snapshot, and a change discards the snapshot
        before it looks for such threads, so one of the two always sees the other.
        """
        thread = get_ident()
        try:
            self._searching.add(thread)
            opened = self._open
            if opened is None or self.observation is not observed:
                return None
            if _latest is not self._key:
                self._used()
            return run(opened, requests)
        except BaseException:
            with translated(f"search {self.name!r}"):
                raise
        finally:
            self._searching.discard(thread)
            ended = self._search_ended
            if ended is not None:
                ended.set()

    def _end_searches(self) -> None:
        """Discard the snapshot, and wait for the prepared searches of other threads."""
        self.observation = None
        ended = self._search_ended = threading.Event()
        try:
            while self._searching - {get_ident()}:
                ended.wait()
                ended.clear()
        finally:
            self._search_ended = None

    def _load(self, doing: str) -> qdrant_edge.EdgeShard:
        """The engine's shard; the folder belongs to this process until ``close``."""
        held = self._owner.held
        self._own(doing)
        try:
            disk_space.check_open(self.folder)
            loaded: qdrant_edge.EdgeShard = client_module().EdgeShard.load(str(self.folder))
            # The engine holds its own lock now, so no other process writes to this folder.
            segment_files.remove_unfinished(self.folder)
        except BaseException:
            if not held:
                self._owner.release()
            raise
        return loaded

    def _used(self) -> None:
        """Mark this shard as most recently used, and close the oldest ones above the limit."""
        global _latest
        with _shards_lock:
            _latest = self._key
            _opened.pop(self._key, None)
            _opened[self._key] = weakref.ref(self)
            many = len(_opened) > MOST_OPEN
        if many:
            _close_idle()

    def _own(self, doing: str) -> None:
        """Lock the folder for this process until ``close``.

        The engine has a lock too, but releases it whenever the shard is closed, as before each
        rebuild: another process that opened the shard at that moment would make the change fail.
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
                hint=f"only one process at a time can open it: {holder.release_hint}",
            ) from None

    def leave_to_parent(self) -> None:
        """Discard the parent's open shard in a forked process without closing it.

        The engine's threads are in the parent, so any call of its shard would block.
        """
        self.lock = threading.RLock()
        self.observation, self._unflushed, self._using = None, False, 0
        self._searching, self._search_ended = set(), None
        if self._open is None and not self._owner.held:
            return
        self._parent = os.getppid()
        _never_freed.extend((self._open, self._owner))
        self._open, self._owner = None, Lock(self.folder / LOCK)
        _close_files(self.folder)

    @contextmanager
    def change(self, doing: str, rows: Batch | None = None) -> Iterator[qdrant_edge.EdgeShard]:
        """As ``use``, and flushes the change to disk.

        Args:
            rows: the rows to write; requires disk space for them.

        Raises:
            StoreError: not enough disk space.
        """
        with self.use(doing) as shard:
            disk_space.check_change(self.folder, f"{doing} {self.name!r}", rows)
            self._unflushed = True
            self._end_searches()
            self.dated.clear()
            yield shard
            shard.flush()
            self._unflushed = False

    def close(self) -> None:
        """Release the folder; the next ``use`` opens it again."""
        with self.lock:
            try:
                self.pause()
            finally:
                self._owner.release()

    def pause(self) -> None:
        """Close the engine's shard, but keep the lock against other processes."""
        global _latest
        with self.lock, translated(f"close {self.name!r}"):
            self._end_searches()
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
                if _latest == self._key:
                    _latest = None

    def close_idle(self) -> None:
        """Close the shard if it is not in use."""
        # Does not wait: the holder of the lock may be waiting for a shard of this thread.
        if not self.lock.acquire(blocking=False):
            return
        try:
            if not self._using and not self._searching:
                self.close()
        finally:
            self.lock.release()
