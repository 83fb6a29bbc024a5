"""Persistent marks of a code index: write in progress, codes outdated.

``NAME.writing`` exists while database and codes are changed together; if it exists while the lock
of the index is free, the write was interrupted. ``NAME.stale`` contains the reason why the codes no
longer match the database. Only rebuilding the codes removes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qadapt.durable import sync_folder
from qadapt.errors import IntegrityError, QadaptError
from qadapt.local.state import index_dir, write_state_file
from qadapt.stores.base import Store

REPAIR = "rebuild them with `qadapt apply`, or delete them with `qadapt undo`"


def _marker(store: Store, collection: str, name: str, ending: str) -> Path:
    place = index_dir(store.address, collection, name)
    return place.with_name(place.name + ending)


def _writing(store: Store, collection: str, name: str) -> Path:
    return _marker(store, collection, name, ".writing")


def _stale(store: Store, collection: str, name: str) -> Path:
    return _marker(store, collection, name, ".stale")


def under_way(store: Store, collection: str, name: str) -> bool:
    """Whether a write of codes and database was started and not finished."""
    return _writing(store, collection, name).exists()


def outdate(
    store: Store, collection: str, name: str, reason: str, *, replace: bool = False
) -> None:
    """Mark the codes as outdated on disk; an earlier reason is kept.

    Args:
        reason: a sentence without a final period.
        replace: replace an earlier reason.
    """
    path = _stale(store, collection, name)
    if replace or not path.exists():
        write_state_file(path, reason)


def clear(store: Store, collection: str, name: str) -> None:
    """Remove the marks, because the codes were rebuilt or deleted."""
    for path in (_writing(store, collection, name), _stale(store, collection, name)):
        path.unlink(missing_ok=True)


def outdated(store: Store, collection: str, name: str) -> str | None:
    """Why the codes must not be used, according to the files; None if they can be used."""
    place = index_dir(store.address, collection, name)
    if not place.exists():
        return f"the client-side codes of {collection!r} are missing: {place}"
    try:
        return _stale(store, collection, name).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        pass
    if under_way(store, collection, name):
        return (
            f"a write to {collection!r} was interrupted or is in progress: the codes may differ "
            "from the database"
        )
    return None


def refuse_outdated(store: Store, collection: str, name: str) -> None:
    """Raise an error for codes that must not be used.

    Raises:
        IntegrityError: the codes must not be used.
    """
    reason = outdated(store, collection, name)
    if reason is not None:
        raise IntegrityError(reason, hint=REPAIR)


@contextmanager
def changing(store: Store, collection: str, names: list[str]) -> Iterator[None]:
    """Context manager for a change of database and codes; the mark remains after a crash."""
    paths = [_writing(store, collection, name) for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        sync_folder(path.parent)
    try:
        yield
    except QadaptError:
        # The code that raised it has synchronized the codes, or marked them as outdated.
        _remove(paths)
        raise
    _remove(paths)


def _remove(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
