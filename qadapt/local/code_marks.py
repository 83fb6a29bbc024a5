"""Marks beside a code index that outlive a crash: a write under way, codes out of date.

``NAME.writing`` is there while store and codes are being changed together; whoever finds it with
the index's lock in hand knows that the write was cut off. ``NAME.stale`` holds the reason why the
codes no longer describe what the store holds. Only building the codes again removes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qadapt.durable import sync_folder
from qadapt.errors import IntegrityError, QadaptError
from qadapt.local.state import index_dir, write_state_file
from qadapt.stores.base import Store

REPAIR = "build them again with `qadapt apply`, or drop them: `qadapt undo`"


def _beside(store: Store, collection: str, name: str, ending: str) -> Path:
    place = index_dir(store.address, collection, name)
    return place.with_name(place.name + ending)


def _writing(store: Store, collection: str, name: str) -> Path:
    return _beside(store, collection, name, ".writing")


def _stale(store: Store, collection: str, name: str) -> Path:
    return _beside(store, collection, name, ".stale")


def under_way(store: Store, collection: str, name: str) -> bool:
    """Whether a write of codes and store was begun and not finished."""
    return _writing(store, collection, name).exists()


def outdate(
    store: Store, collection: str, name: str, reason: str, *, replace: bool = False
) -> None:
    """Mark the codes as out of date, on disk; the first reason stays.

    Args:
        reason: a sentence without a full stop.
        replace: put this reason in the place of an earlier one.
    """
    path = _stale(store, collection, name)
    if replace or not path.exists():
        write_state_file(path, reason)


def clear(store: Store, collection: str, name: str) -> None:
    """The codes were built again, or are gone: nothing is wrong with them."""
    for path in (_writing(store, collection, name), _stale(store, collection, name)):
        path.unlink(missing_ok=True)


def outdated(store: Store, collection: str, name: str) -> str | None:
    """Why the codes must not be used, as far as files show; None where nothing speaks against."""
    place = index_dir(store.address, collection, name)
    if not place.exists():
        return f"qadapt's codes of {collection!r} are missing: {place}"
    try:
        return _stale(store, collection, name).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        pass
    if under_way(store, collection, name):
        return (
            f"a write to {collection!r} was cut off, or is under way: qadapt's codes may differ "
            "from the store"
        )
    return None


def refuse_outdated(store: Store, collection: str, name: str) -> None:
    """Refuse codes that must not be used.

    Raises:
        IntegrityError
    """
    reason = outdated(store, collection, name)
    if reason is not None:
        raise IntegrityError(reason, hint=REPAIR)


@contextmanager
def changing(store: Store, collection: str, names: list[str]) -> Iterator[None]:
    """Around a change of store and codes: the mark stays when the block is cut off."""
    paths = [_writing(store, collection, name) for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        sync_folder(path.parent)
    try:
        yield
    except QadaptError:
        # Whoever raises it has put the codes in step, or has marked them as out of date.
        _remove(paths)
        raise
    _remove(paths)


def _remove(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
