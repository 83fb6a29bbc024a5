"""Dense vectors that rows lack: which are empty, and which of a source were not copied."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from qadapt.errors import UnsupportedError
from qadapt.migration.compare import Difference
from qadapt.migration.endpoint import Endpoint
from qadapt.model import CollectionInfo


def refuse_unread(source: Endpoint, info: CollectionInfo, empty: Mapping[str, int]) -> None:
    """Refuse to copy while it is not known whether rows have a vector of the schema.

    Args:
        empty: vectors that no row has, as ``Store.measure`` told just before.

    Raises:
        UnsupportedError
    """
    unread = [name for name in info.unmeasured if name not in empty]
    if unread:
        names = ", ".join(map(repr, unread))
        raise UnsupportedError(
            f"the dimension of {names} of {source.name!r} is unknown, and not all rows were read "
            "for it: a copy would lose it where a row has it",
            hint="plan again; rows may have been deleted while they were read",
        )


def notes(empty: Mapping[str, int]) -> list[str]:
    """What the reader of a plan must know of empty vectors."""
    return [
        f"{label(name)} is empty: none of the {rows:,} rows has one; the target is created without "
        "it"
        for name, rows in empty.items()
    ]


def label(name: str) -> str:
    """A vector in a sentence."""
    return f"vector {name!r}" if name else "the vector"


def left_behind(source: Endpoint) -> set[str]:
    """Vectors that are not dense ones: they are extras, or stay behind."""
    words = source.store.beyond_rows(source.name).get("multivectors", "")
    return {name for name in words.split(", ") if name} | set(
        source.store.beside(source.name).extras
    )


def not_copied(source: Endpoint, carried: Collection[str]) -> list[Difference]:
    """The first row with each dense vector that the copy left out.

    The vector was empty, or not there, when the copy was planned; rows were written meanwhile.

    Args:
        carried: names of the vectors that were copied.
    """
    source.store.measure(source.name)
    there = set(source.store.info(source.name).vectors) - set(carried)
    found = []
    for name in sorted(there - left_behind(source)) if there else ():
        for batch in source.store.read(source.name, vectors=[name], payload=False):
            gaps = batch.missing.get(name, np.zeros(len(batch), dtype=np.bool_))
            if not gaps.all():
                key = batch.ids[int(np.argmin(gaps))]
                what = "it was not copied: no row had one when the copy was planned"
                found.append(Difference(key, label(name), what))
                break
    return found
