"""Our own codes beside a store: the fallback where a store has no quantization.

One ``CodeIndex`` for each vector, in the state folder. It is built from what the store holds,
kept in step by ``Collection.write`` and ``Collection.delete``, and refuses to answer when its
number of rows shows that somebody else wrote to the store, or a mark that a write was cut off.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

from qadapt.codecs import Calibration
from qadapt.durable import sync_folder
from qadapt.engines.exact import unit
from qadapt.errors import (
    CalibrationError,
    InputError,
    IntegrityError,
    QadaptError,
    UnsupportedError,
)
from qadapt.index import CodeIndex
from qadapt.local.settings import read_settings, write_settings
from qadapt.local.state import index_dir
from qadapt.model import (
    Batch,
    Evidence,
    Id,
    Kind,
    Match,
    Metric,
    Quantization,
    Rescore,
    State,
    Status,
    Vector,
)
from qadapt.stores.base import Mapped, OnProgress, Progress, Store

REPAIR = "build them again with `qadapt apply`, or take the change back: `qadapt undo`"


def match(quantization: Quantization) -> Match:
    """How near our own codes come to a quantization."""
    kind = quantization.kind
    if kind is Kind.BINARY and quantization.bits == 1:
        return Match.of()
    if kind is Kind.SCALAR and quantization.bits == 8:
        differences = []
        if quantization.per == "collection":
            differences.append("one range per dimension, not one for the whole collection")
        if quantization.quantile is not None:
            differences.append("ranges span all values: no quantile is cut off")
        return Match.of(*differences)
    return Match.unsupported(
        f"qadapt's own codes are binary (1 bit) and scalar (8 bits), not {quantization}",
        "binary",
        "scalar",
    )


def by_store(store: Store, wanted: Quantization, vector: Vector) -> Mapped:
    """How near the store itself comes to a quantization: not at all where it has none."""
    mapped = store.map(wanted, vector)
    capabilities = store.capabilities()
    if wanted.kind is Kind.NONE or capabilities.native("native-quantization"):
        return mapped
    reason = capabilities["native-quantization"].reason
    return Mapped(None, wanted, Match.unsupported(f"native-quantization: {reason}"))


def default_rescore(quantization: Quantization) -> Rescore:
    """How searches over our codes rescore when nobody says: by originals, x4 for binary."""
    return Rescore(4.0 if quantization.kind is Kind.BINARY else 1.0)


def hold(
    store: Store, collection: str, name: str, quantization: Quantization, progress: OnProgress
) -> None:
    """Build our codes of one vector and remember them, so that searches use them."""
    vector = store.info(collection).vectors[name].vector
    build(store, collection, name, vector, quantization, progress)
    settings = read_settings(store, collection)
    changed = settings.of(name).replace(client=quantization)
    write_settings(store, collection, settings.with_vector(name, changed))


def build(
    store: Store,
    collection: str,
    name: str,
    vector: Vector,
    quantization: Quantization,
    progress: OnProgress,
) -> None:
    """Build the code index of one vector from what the store holds.

    It is built beside and then put in place, so that a crash leaves the former one or none.

    Raises:
        CalibrationError: no rows to take the int8 ranges from.
    """
    place = index_dir(store.address, collection, name)
    beside = place.with_name(place.name + ".new")
    if beside.exists():
        shutil.rmtree(beside)
    beside.parent.mkdir(parents=True, exist_ok=True)
    total = store.count(collection)
    calibration = _calibrate(store, collection, name, vector, total, progress)
    with CodeIndex.create(
        beside,
        vector.dim,
        metric=vector.metric.value,
        codes="binary" if quantization.kind is Kind.BINARY else "int8",
        query_bits=cast(Literal[1, 4, 8, 32], quantization.query_bits or 1),
        calibration=calibration,
    ) as index:
        done = 0
        for batch in _rows(store, collection, name):
            index.add(batch.ids, batch.vectors[name])
            done += len(batch)
            progress(Progress("building qadapt's codes", done, total))
        index.save()
    if place.exists():
        shutil.rmtree(place)
    beside.replace(place)
    _mark(store, collection, name).unlink(missing_ok=True)


def _calibrate(
    store: Store, collection: str, name: str, vector: Vector, total: int, progress: OnProgress
) -> Calibration:
    if not total:
        raise CalibrationError(
            f"the collection {collection!r} is empty: there is nothing to take int8 ranges from",
            hint="write the vectors first, then apply",
        )

    def blocks() -> Iterator[Any]:
        done = 0
        for batch in _rows(store, collection, name):
            rows = batch.vectors[name]
            yield unit(rows) if vector.metric is Metric.COSINE else rows
            done += len(batch)
            progress(Progress("measuring the ranges", done, total))

    return Calibration.from_stream(blocks(), source=f"all rows of {collection}")


def _rows(store: Store, collection: str, name: str) -> Iterator[Batch]:
    for batch in store.read(collection, vectors=[name], payload=False):
        refuse_missing(batch, name)
        yield batch


def refuse_missing(batch: Batch, name: str) -> None:
    """Refuse rows without the vector that the codes are of.

    Raises:
        UnsupportedError
    """
    missing = batch.missing.get(name)
    if missing is not None and missing.any():
        raise UnsupportedError(
            f"{int(missing.sum())} rows have no vector {name!r}: qadapt's codes need one in "
            "every row, or they could not be told from codes that are out of step",
            hint="fill the vector in, or keep such rows in a collection of their own",
        )


def remove(store: Store, collection: str, name: str) -> None:
    """Delete the code index of one vector, if there is one."""
    place = index_dir(store.address, collection, name)
    if place.exists():
        shutil.rmtree(place)
    _mark(store, collection, name).unlink(missing_ok=True)


def _mark(store: Store, collection: str, name: str) -> Path:
    """A file that is there while store and codes are not known to be in step."""
    place = index_dir(store.address, collection, name)
    return place.with_name(place.name + ".writing")


@contextmanager
def in_step(store: Store, collection: str, names: Sequence[str]) -> Iterator[None]:
    """Around a write to the store and the codes: when it is cut off, the codes say so."""
    marks = [_mark(store, collection, name) for name in names]
    # One that is there already was left by a write that was cut off, and stays.
    marks = [mark for mark in marks if not mark.exists()]
    for mark in marks:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        sync_folder(mark.parent)
    try:
        yield
    except InputError:  # refused before anything was written
        _unlink(marks)
        raise
    _unlink(marks)


def _unlink(marks: Sequence[Path]) -> None:
    for mark in marks:
        mark.unlink(missing_ok=True)


def open_index(
    store: Store, collection: str, name: str, *, read_only: bool = True, checksums: bool = False
) -> CodeIndex:
    """The code index of one vector.

    Args:
        checksums: read all of it and compare; else only the sizes of the files.

    Raises:
        IntegrityError: it is gone or damaged.
        BusyError: another process writes to it.
    """
    place = index_dir(store.address, collection, name)
    if not place.exists():
        raise IntegrityError(
            f"qadapt's codes of {collection!r} are gone from {place}",
            hint=REPAIR,
        )
    if read_only and _mark(store, collection, name).exists():
        raise IntegrityError(
            f"a write to {collection!r} was cut off, or is under way: qadapt's codes may be out "
            "of step with the store",
            hint=REPAIR,
        )
    return CodeIndex.open(place, read_only=read_only, verify="full" if checksums else "size")


def upsert(store: Store, collection: str, name: str, batch: Batch) -> None:
    """Take written rows into the code index."""
    if name not in batch.vectors:
        return
    refuse_missing(batch, name)
    with open_index(store, collection, name, read_only=False) as index:
        index.upsert(batch.ids, batch.vectors[name])
        index.save()


def delete(store: Store, collection: str, name: str, ids: Sequence[Id]) -> None:
    """Take deleted rows out of the code index."""
    with open_index(store, collection, name, read_only=False) as index:
        index.delete(list(ids))
        index.save()


def status(
    store: Store, collection: str, name: str, quantization: Quantization, count: int
) -> tuple[Status, int | None]:
    """Whether our codes are there, whole and in step; and their bytes.

    The checksums of all files are compared, so this reads the whole index.
    """
    place = index_dir(store.address, collection, name)
    try:
        with open_index(store, collection, name, checksums=True) as index:
            rows, size = len(index), index.nbytes
    except QadaptError as error:
        return (
            Status(State.IGNORED, error.message, advice=error.hint or ""),
            None,
        )
    evidence = (
        Evidence("held by", "qadapt, beside the store"),
        Evidence("folder", str(place)),
        Evidence("checksums", "match"),
        Evidence("rows in codes", rows),
        Evidence("rows in store", count),
        Evidence("bytes in RAM", size["ram"]),
        Evidence("bytes on disk", size["disk"]),
    )
    total = sum(size.values())
    if rows != count:
        return (
            Status(
                State.IGNORED,
                f"the codes hold {rows:,} rows, the collection {count:,}: somebody else wrote",
                evidence=evidence,
                advice=f"build them again: qadapt apply {store.address} {collection} "
                f"{quantization} --accept client",
            ),
            total,
        )
    return Status(State.ACTIVE, evidence=evidence), total
