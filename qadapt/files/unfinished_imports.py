"""Cleanup of collections of imports that were killed.

Before a collection is created, a file in the state folder records it; it is deleted when the import
has finished or was rolled back. The next import to that name removes an unfinished collection if it
contains only rows of the same file; otherwise the collection may belong to another client.
"""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

from qadapt.errors import AlreadyExistsError
from qadapt.files.survey import PAGE, Source
from qadapt.local.state import forget, import_note, write_state_file
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.row_codec import RowCodec
from qadapt.stores.base import ReadRequest

ROWS_COMPARED = 1_000  # number of rows to compare with the file


def begin(end: Endpoint, source: Source) -> None:
    """Record that a collection is about to be created for a file."""
    # Settings of an earlier collection with this name must not apply to the new one.
    forget(end.store.address, end.name)
    reported = {
        "store": end.store.address.identity,
        "collection": end.name,
        "file": str(source.path.absolute()),
        "process": os.getpid(),
    }
    write_state_file(_note(end), json.dumps(reported, ensure_ascii=False))


def finished(end: Endpoint) -> None:
    """Delete the record of an import."""
    _note(end).unlink(missing_ok=True)


def remove(end: Endpoint) -> None:
    """Remove a collection that was created for a file, and its local state.

    Raises:
        StoreError: it cannot be removed; the record is kept.
    """
    if end.exists:
        end.store.drop(end.name)
    forget(end.store.address, end.name)
    finished(end)


def sweep(end: Endpoint, source: Source) -> None:
    """Remove the unfinished collection of a killed import to this name.

    The caller holds the lock of the collection, so no other import is running.

    Raises:
        AlreadyExistsError: it has rows that are not in the file.
    """
    note = _note(end)
    if not note.exists():
        return
    if not end.exists:
        finished(end)
        return
    reported = json.loads(note.read_text(encoding="utf-8"))
    if not _only_of(end, source):
        raise AlreadyExistsError(
            f"an import of {reported.get('file')} to {end.name!r} was interrupted, and the "
            "collection has "
            f"rows that are not in {source.path}",
            hint="choose another name after '#', add rows to it with --add, or drop it first",
        )
    remove(end)


def _only_of(end: Endpoint, source: Source) -> bool:
    """Whether the first rows of a collection are all rows of a file."""
    if end.store.count(end.name) > source.rows:
        return False
    pages = end.store.read(end.name, ReadRequest(vectors=(), payload=False, page=ROWS_COMPARED))
    there = set(itertools.chain.from_iterable(page.ids for page in itertools.islice(pages, 1)))
    codec = RowCodec(end.store, {})
    for keys in source.keys(PAGE):
        if not there:
            break
        there.difference_update(map(codec.target_id, keys))
    return not there


def _note(end: Endpoint) -> Path:
    return import_note(*end.key)
