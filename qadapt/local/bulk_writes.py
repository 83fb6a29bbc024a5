"""Our codes around writes that do not go through ``writing``: copies into a collection, aliases.

A copy writes from several threads or machines at once. So the codes are marked as out of date
before it begins, which a killed copy leaves behind, and are built again after it.
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
        reason: a sentence without a full stop.
    """
    for known, name, _ in remembered(store, collection):
        code_marks.outdate(store, known, name, reason)


def resume(store: Store, collection: str, progress: OnProgress) -> list[str]:
    """Build the codes of a collection again that are out of date.

    Codes that cannot be built, because rows lack the vector, stay out of date, and the status
    says why.

    Returns:
        The names of their vectors.
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
    """Mark codes that were made for an alias as out of date: it points to another collection."""
    for name, each in read_settings(store.address, alias).vectors.items():
        if each.client is not None:
            reason = f"the alias {alias!r} was switched to the collection {collection!r}"
            code_marks.outdate(store, alias, name, reason)
