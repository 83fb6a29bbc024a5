"""Client-side codes: the fallback for databases without quantization.

There is one ``CodeIndex`` per vector in the state folder, built from the rows of the database.
``code_freshness`` encodes stored vectors again and compares the codes, ``row_writes`` keeps codes
and database in sync, and ``client_search`` falls back to a native search if codes are out of date.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from qadapt.code_index import CodeIndex
from qadapt.code_index.storage import row_bytes
from qadapt.codecs import Calibration, Codebook
from qadapt.codecs.codebook import sample_step
from qadapt.engines.exact import unit
from qadapt.errors import IntegrityError, UnsupportedError
from qadapt.local import change_counters, code_marks
from qadapt.local.settings import read_settings, write_settings
from qadapt.local.state import index_dir, private_folder
from qadapt.model import (
    Batch,
    CollectionInfo,
    Kind,
    Match,
    Metric,
    Quantization,
    Rescore,
    Vector,
)
from qadapt.stores.base import MappedQuantization, OnProgress, Progress, ReadRequest, Store
from qadapt.stores.store_types import USE_CLIENT_CODES

# Fewer rows are kept in memory, and are too few for a reliable calibration.
FEW_ROWS = 100
# Rows that a plan reads to find one that lacks the vector, and the parts of the range of ids.
SOME_ROWS, SOME_RANGES = 20_000, 16


def match(quantization: Quantization) -> Match:
    """Match level of client-side codes for a quantization."""
    kind = quantization.kind
    if quantization.rescore is not None and quantization.rescore.source in ("float16", "bfloat16"):
        return Match.unsupported(
            f"client-side codes keep int8 codes and no {quantization.rescore.source} to rescore "
            "with",
            "rescore source int8 or originals",
        )
    if quantization.originals == "none":
        return Match.unsupported(
            "client-side codes are rescored with the original vectors of the database",
            "omit originals",
        )
    if quantization.dims is not None:
        return Match.unsupported(
            "client-side codes cover all dimensions", "omit dims, or use `none:dims=N` first"
        )
    if kind is Kind.BINARY and quantization.bits == 1:
        return Match.of()
    if kind is Kind.SCALAR and quantization.bits == 8:
        differences = []
        if quantization.per == "collection":
            differences.append("one range per dimension instead of one for the collection")
        if quantization.quantile is not None:
            differences.append("ranges cover all values; quantile is not applied")
        return Match.of(*differences)
    if kind is Kind.SCALAR and quantization.bits == 4:
        differences = ["levels learned for each dimension instead of equal steps"]
        if quantization.quantile is not None:
            differences.append("quantile is not applied")
        return Match.of(*differences)
    return Match.unsupported(
        f"client-side codes support binary (1 bit) and scalar (4 and 8 bits), not {quantization}",
        "binary",
        "scalar",
    )


def by_store(store: Store, wanted: Quantization, vector: Vector) -> MappedQuantization:
    """Match level of the database for a quantization; unsupported without native quantization.

    The reason of the store itself is kept if it offers client-side codes. Other alternatives are
    native settings, which this deployment does not have.
    """
    mapped = store.map(wanted, vector)
    capabilities = store.capabilities()
    native = wanted.kind is Kind.NONE or capabilities.native("native-quantization")
    if native or any(USE_CLIENT_CODES in each for each in mapped.match.support):
        return mapped
    reason = capabilities["native-quantization"].reason
    return MappedQuantization(None, wanted, Match.unsupported(f"native-quantization: {reason}"))


def default_rescore(quantization: Quantization) -> Rescore:
    """Default rescoring of client-side codes: original vectors, x4 for binary, x2 for 4 bits."""
    if quantization.kind is Kind.BINARY:
        return Rescore(4.0)
    return Rescore(1.0 if quantization.bits == 8 else 2.0)


def code_bytes(count: int, dim: int, quantization: Quantization) -> tuple[int, int]:
    """Bytes of client-side codes in RAM and on disk.

    Binary codes and scalar codes of 4 bits are in RAM. The int8 codes that rescore them, or that
    are searched for scalar codes of 8 bits, are read from disk through a memory map.
    """
    width = row_bytes(dim, _codes(quantization), "int8", int(quantization.bits or 1))
    return count * width.get("bits", 0), count * sum(width.values())


def build_and_register(
    store: Store, collection: str, name: str, quantization: Quantization, progress: OnProgress
) -> None:
    """Build the codes of a vector and save the setting, so that searches use them."""
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
    """Build the code index of a vector from the rows of the database.

    It is built in a temporary folder and then renamed, so that a crash leaves the old index or
    none. An empty collection gives an empty index; the first write rebuilds it with ranges.

    Raises:
        UnsupportedError: rows lack this vector.
    """
    place = index_dir(store.address, collection, name)
    draft = place.with_name(place.name + ".new")
    if draft.exists():
        shutil.rmtree(draft)
    private_folder(draft)
    # Read before the first row: a concurrent write changes it, and then all rows are compared.
    counter = store.change_counter(collection)
    total = store.count(collection)
    sample = _Sample(total)
    calibration = _calibrate(store, collection, name, vector, total, progress, sample)
    learnt = sample.rows() if sample.seen else None
    with new_index(draft, vector, quantization, calibration, learnt) as index:
        done = 0
        if calibration is not None:
            for batch in _rows(store, collection, name):
                index.add(batch.ids, batch.vectors[name])
                done += len(batch)
                progress(Progress("building client-side codes", done, total))
        index.save()
    change_counters.forget(store, collection, name)
    if place.exists():
        shutil.rmtree(place)
    draft.replace(place)
    change_counters.record(store, collection, name, counter)
    code_marks.clear(store, collection, name)


def new_index(
    folder: Path,
    vector: Vector,
    quantization: Quantization,
    calibration: Calibration | None,
    learnt: Any,
) -> CodeIndex:
    """An empty index of client-side codes.

    Args:
        learnt: rows from which levels are learned, ``(n, dim)``, as the metric compares them; None
            without rows.
    """
    codes = _codes(quantization)
    return CodeIndex.create(
        folder,
        vector.dim,
        metric=vector.metric.value,
        codes=codes,
        query_bits=_query_bits(quantization),
        calibration=calibration,
        codebook=Codebook.fit(learnt) if codes == "scalar" and learnt is not None else None,
    )


def as_compared(rows: Any, metric: Metric) -> Any:
    """Rows as the metric compares them: normalized under cosine."""
    return unit(rows) if metric is Metric.COSINE else rows


def _codes(quantization: Quantization) -> Literal["binary", "int8", "scalar"]:
    if quantization.kind is Kind.BINARY:
        return "binary"
    return "int8" if quantization.bits == 8 else "scalar"


def _query_bits(quantization: Quantization) -> Literal[1, 4, 8, 32] | None:
    return cast(Literal[1, 4, 8, 32] | None, quantization.query_bits)


class _Sample:
    """Evenly spaced rows of a stream, from which a codebook is learned.

    Args:
        total: number of rows that are expected.
    """

    def __init__(self, total: int) -> None:
        self._step = sample_step(total)
        self._rows: list[Any] = []
        self.seen = 0

    def add(self, rows: Any) -> None:
        """Add the next rows, (n, dim)."""
        self._rows.append(rows[-self.seen % self._step :: self._step].copy())
        self.seen += len(rows)

    def rows(self) -> Any:
        """The sample, (n, dim)."""
        return np.concatenate(self._rows)


def _calibrate(
    store: Store,
    collection: str,
    name: str,
    vector: Vector,
    total: int,
    progress: OnProgress,
    sample: _Sample,
) -> Calibration | None:
    """Ranges of the int8 codes; None if there are no rows. Rows are also added to the sample."""
    source = f"all rows of {collection}"

    def blocks() -> Iterator[Any]:
        done = 0
        for batch in _rows(store, collection, name):
            rows = as_compared(batch.vectors[name], vector.metric)
            sample.add(rows)
            yield rows
            done += len(batch)
            progress(Progress("measuring the ranges", done, total))

    if total >= FEW_ROWS:
        return Calibration.from_stream(blocks(), source=source)
    # Ranges of few rows are preliminary: `row_writes` measures them again as rows are added.
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
    """Raise an error for rows that lack the vector.

    Raises:
        UnsupportedError: rows lack the vector.
    """
    lacking = _lacking(batch, name)
    if lacking:
        raise _incomplete(lacking, name)


def refuse_incomplete(store: Store, info: CollectionInfo, name: str) -> None:
    """Raise the same error before a change.

    The counts of a database may be estimates, so rows are read until one lacks the vector. For a
    database without counts of each vector, a limited number of rows is read; the change itself
    reads all.

    Raises:
        UnsupportedError: rows lack the vector.
    """
    counted = store.profile.traits.counts_vectors
    lacking = info.count - info.vectors[name].count
    if counted and lacking <= 0:
        return
    for batch in _rows_of(store, info, name) if counted else _some_rows(store, info, name):
        found = _lacking(batch, name)
        if found:
            raise _incomplete(lacking or found, name, at_least=not counted)


def _rows_of(store: Store, info: CollectionInfo, name: str) -> Iterator[Batch]:
    return store.read(info.name, ReadRequest(vectors=[name], payload=False))


def _some_rows(store: Store, info: CollectionInfo, name: str) -> Iterator[Batch]:
    """All rows of a small collection; else rows from parts of the range of ids."""
    if info.count <= SOME_ROWS:
        yield from _rows_of(store, info, name)
        return
    ranges = store.scan_ranges(info.name, SOME_RANGES)
    page = SOME_ROWS // max(SOME_RANGES, len(ranges))
    for scan_range in ranges:
        request = ReadRequest(vectors=[name], payload=False, page=page, scan_range=scan_range)
        yield from itertools.islice(store.read(info.name, request), 1)


def _lacking(batch: Batch, name: str) -> int:
    missing = batch.missing.get(name)
    if name not in batch.vectors:
        return len(batch)
    return 0 if missing is None else int(missing.sum())


def _incomplete(lacking: int, name: str, *, at_least: bool = False) -> UnsupportedError:
    rows = "1 row has" if lacking == 1 else f"{lacking:,} rows have"
    if at_least:
        rows = f"at least {rows}"
    return UnsupportedError(
        f"{rows} no vector {name!r}; client-side codes need one in every row, because missing "
        "vectors look like outdated codes",
        hint="add the vector, or store these rows in another collection",
    )


def remove(store: Store, collection: str, name: str) -> None:
    """Delete the code index of a vector if it exists."""
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
    """Open the code index of a vector.

    Args:
        read_only: open for searching; else for writing, with the lock of the folder.
        checksums: verify checksums of all files now; else before a part of them is used.
        wait: seconds to wait for another writer.

    Raises:
        IntegrityError: missing, damaged, or marked as out of date.
        BusyError: another process writes to it.
    """
    if read_only:
        code_marks.refuse_outdated(store, collection, name)
    place = index_dir(store.address, collection, name)
    verify: Literal["full", "lazy"] = "full" if checksums else "lazy"
    try:
        return CodeIndex.open(place, read_only=read_only, verify=verify, wait=wait)
    except OSError as error:
        raise IntegrityError(
            f"the client-side codes of {collection!r} cannot be read: {error}",
            hint=code_marks.REPAIR,
        ) from error


def mismatch_reason(
    index: CodeIndex, vector: Vector, quantization: Quantization | None
) -> str | None:
    """Why an index does not belong to this vector and quantization; None if it does.

    Args:
        quantization: saved quantization; None if unknown.
    """
    made = index.settings
    if (made.dim, made.metric) != (vector.dim, vector.metric):
        return (
            f"the codes have {made.dim} dimensions and the metric {made.metric}; the vector has "
            f"{vector.dim} and {vector.metric}: the collection was recreated"
        )
    if quantization is None:
        return None
    wanted = _codes(quantization)
    if made.codes != wanted or (
        wanted == "binary" and made.query_bits != (_query_bits(quantization) or 1)
    ):
        return f"the codes are {made.codes} (query_bits={made.query_bits}), not {quantization}"
    return None
