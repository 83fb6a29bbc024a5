"""Client-side codes during bulk copies and alias switches, which bypass ``row_writes``.

A copy writes from several threads or machines at once. Codes are marked as out of date before it
starts, and rebuilt after it; the mark remains if the copy is killed.
"""

from __future__ import annotations

from qadapt.errors import UnsupportedError
from qadapt.local import client_codes, code_marks
from qadapt.local.row_writes import remembered
from qadapt.local.state import read_settings
from qadapt.stores.base import OnProgress, Store


def suspend(store: Store, collection: str, reason: str) -> None:
    """Mark all codes of a collection as out of date.

    Args:
        reason: a sentence without a final period.
    """
    for known, name, _ in remembered(store, collection):
        code_marks.outdate(store, known, name, reason)


def resume(store: Store, collection: str, progress: OnProgress) -> list[str]:
    """Rebuild the outdated codes of a collection.

    Codes that cannot be built because rows lack the vector remain out of date; the status reports
    the reason.

    Returns:
        Names of the vectors whose codes were rebuilt.
    """
    again = []
    for known, name, quantization in remembered(store, collection):
        if code_marks.outdated(store, known, name) is None:
            continue
        again.append(name)
        try:
            client_codes.build_and_register(store, known, name, quantization, progress)
        except UnsupportedError as error:
            code_marks.outdate(store, known, name, error.message, replace=True)
    return again


def alias_moved(store: Store, alias: str, collection: str) -> None:
    """Mark codes of an alias as out of date, because it points to another collection."""
    for name, each in read_settings(store.address, alias).vectors.items():
        if each.client is not None:
            reason = f"the alias {alias!r} was switched to the collection {collection!r}"
            code_marks.outdate(store, alias, name, reason)
