"""Our own codes beside a store: the fallback where a store has no quantization.

One ``CodeIndex`` for each vector, in the state folder, built from what the store holds. It is
bound to the vector's dimensions and metric and to the rows themselves: ``comparing`` encodes
stored vectors again and compares the codes, ``writing`` keeps codes and store in step, and
``searching`` falls back to the store's own search where the codes are out of date.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any, Literal, cast

import numpy as np

from qadapt.codecs import Calibration
from qadapt.engines.exact import unit
from qadapt.errors import IntegrityError, UnsupportedError
from qadapt.index import CodeIndex
from qadapt.local import change_counters, code_marks
from qadapt.local.settings import read_settings, write_settings
from qadapt.local.state import index_dir, private_folder
from qadapt.model import Batch, Kind, Match, Metric, Quantization, Rescore, Vector
from qadapt.stores.base import MappedQuantization, OnProgress, Progress, ReadRequest, Store

# Fewer rows than this are kept in memory, and are not enough for a warning-free calibration.
FEW_ROWS = 100


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


def by_store(store: Store, wanted: Quantization, vector: Vector) -> MappedQuantization:
    """How near the store itself comes to a quantization: not at all where it has none."""
    mapped = store.map(wanted, vector)
    capabilities = store.capabilities()
    if wanted.kind is Kind.NONE or capabilities.native("native-quantization"):
        return mapped
    reason = capabilities["native-quantization"].reason
    return MappedQuantization(None, wanted, Match.unsupported(f"native-quantization: {reason}"))


def default_rescore(quantization: Quantization) -> Rescore:
    """How searches over our codes rescore when nobody says: by originals, x4 for binary."""
    return Rescore(4.0 if quantization.kind is Kind.BINARY else 1.0)


def build_and_register(
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

    It is built beside and then put in place, so that a crash leaves the former one or none. An
    empty collection gives an empty index; the first write builds it again with ranges.

    Raises:
        UnsupportedError: rows without this vector.
    """
    place = index_dir(store.address, collection, name)
    draft = place.with_name(place.name + ".new")
    if draft.exists():
        shutil.rmtree(draft)
    private_folder(draft)
    # Before the first row is read: a write meanwhile moves it, and then all rows are compared.
    counter = store.change_counter(collection)
    total = store.count(collection)
    calibration = _calibrate(store, collection, name, vector, total, progress)
    with CodeIndex.create(
        draft,
        vector.dim,
        metric=vector.metric.value,
        codes=_codes(quantization),
        query_bits=_query_bits(quantization),
        calibration=calibration,
    ) as index:
        done = 0
        if calibration is not None:
            for batch in _rows(store, collection, name):
                index.add(batch.ids, batch.vectors[name])
                done += len(batch)
                progress(Progress("building qadapt's codes", done, total))
        index.save()
    change_counters.forget(store, collection, name)
    if place.exists():
        shutil.rmtree(place)
    draft.replace(place)
    change_counters.record(store, collection, name, counter)
    code_marks.clear(store, collection, name)


def _codes(quantization: Quantization) -> Literal["binary", "int8"]:
    return "binary" if quantization.kind is Kind.BINARY else "int8"


def _query_bits(quantization: Quantization) -> Literal[1, 4, 8, 32]:
    return cast(Literal[1, 4, 8, 32], quantization.query_bits or 1)


def _calibrate(
    store: Store, collection: str, name: str, vector: Vector, total: int, progress: OnProgress
) -> Calibration | None:
    """The ranges of the int8 codes; None where there are no rows to take them from."""
    source = f"all rows of {collection}"

    def blocks() -> Iterator[Any]:
        done = 0
        for batch in _rows(store, collection, name):
            rows = batch.vectors[name]
            yield unit(rows) if vector.metric is Metric.COSINE else rows
            done += len(batch)
            progress(Progress("measuring the ranges", done, total))

    if total >= FEW_ROWS:
        return Calibration.from_stream(blocks(), source=source)
    # Ranges of few rows are a beginning: `writing` takes them again as rows come in.
    rows = list(blocks())
    if not sum(map(len, rows)):
        return None
    few = np.concatenate(rows)
    ranges = np.stack([few.min(axis=0), few.max(axis=0)])
    return Calibration.from_ranges(ranges, count=len(few), source=source)


def _rows(store: Store, collection: str, name: str) -> Iterator[Batch]:
    for batch in store.read(collection, ReadRequest(vectors=[name], payload=False)):
        refuse_missing(batch, name)
        yield batch


def refuse_missing(batch: Batch, name: str) -> None:
    """Refuse rows without the vector that the codes are of.

    Raises:
        UnsupportedError
    """
    missing = batch.missing.get(name)
    lacking = 0 if missing is None else int(missing.sum())
    if name not in batch.vectors:
        lacking = len(batch)
    if lacking:
        raise UnsupportedError(
            f"{lacking} rows have no vector {name!r}: qadapt's codes need one in "
            "every row, or they could not be told from codes that are out of date",
            hint="fill the vector in, or keep such rows in a collection of their own",
        )


def remove(store: Store, collection: str, name: str) -> None:
    """Delete the code index of one vector, if there is one."""
    place = index_dir(store.address, collection, name)
    change_counters.forget(store, collection, name)
    if place.exists():
        shutil.rmtree(place)
    code_marks.clear(store, collection, name)


def open_index(
    store: Store,
    collection: str,
    name: str,
    *,
    read_only: bool = True,
    checksums: bool = False,
    wait: float = 0,
) -> CodeIndex:
    """The code index of one vector.

    Args:
        read_only: for searches; else for changes, with the folder's lock.
        checksums: read all of it and compare; else only the sizes of the files.
        wait: seconds to wait for another writer.

    Raises:
        IntegrityError: missing, damaged, or marked as out of date.
        BusyError: another process writes to it.
    """
    if read_only:
        code_marks.refuse_outdated(store, collection, name)
    place = index_dir(store.address, collection, name)
    verify: Literal["full", "size"] = "full" if checksums else "size"
    try:
        return CodeIndex.open(place, read_only=read_only, verify=verify, wait=wait)
    except OSError as error:
        raise IntegrityError(
            f"qadapt's codes of {collection!r} cannot be read: {error}", hint=code_marks.REPAIR
        ) from error


def mismatch_reason(
    index: CodeIndex, vector: Vector, quantization: Quantization | None
) -> str | None:
    """Why an index cannot be of this vector and this quantization; None where it may be.

    Args:
        quantization: as remembered; None where it is not known.
    """
    made = index.settings
    if (made.dim, made.metric) != (vector.dim, vector.metric):
        return (
            f"the codes are of {made.dim} dimensions and {made.metric}, the vector has "
            f"{vector.dim} dimensions and {vector.metric}: the collection was made again"
        )
    if quantization is None:
        return None
    wanted = _codes(quantization)
    if made.codes != wanted or (
        wanted == "binary" and made.query_bits != _query_bits(quantization)
    ):
        return f"the codes are {made.codes} (query_bits={made.query_bits}), not {quantization}"
    return None
