"""Whether our codes describe what the store holds now: stored vectors are encoded again.

A row count shows only that rows were added or deleted. So vectors are read from the store, and
their codes compared with those of the index: all of them where that is little work, or where the
store's change counter moved and qadapt's own writes do not account for it; else rows drawn at
random. The status says how many of how many.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qadapt.errors import IntegrityError, QadaptError
from qadapt.index import CodeIndex
from qadapt.local import change_counters, client_codes, code_marks
from qadapt.local.change_counters import Since
from qadapt.local.state import index_dir
from qadapt.model import Batch, Evidence, Id, Quantization, State, Status, Vector
from qadapt.stores.base import ReadRequest, Store
from qadapt.stores.change_counter import ChangeCounter

# A collection of at most so many values (16 MiB of floats) is compared whole by a status.
WHOLE_VALUES = 4 * 2**20
SAMPLE_ROWS, FEWEST_ROWS = 1_000, 64
# A search compares at most so many values (64 MiB of floats) when the change counter moved.
SEARCH_VALUES = 4 * WHOLE_VALUES
# Rows that a search compares when a process first uses the codes, and once in so many seconds.
SEARCH_ROWS, SEARCH_EVERY = 200, 60.0
FETCH_ROWS = 500
TRIES = 3

NO_ROWS = "the collection has no rows yet, so there is nothing to see; codes are built as rows come"

# When each index of this process was last compared, by its folder: time.monotonic().
_compared: dict[Path, float] = {}


@dataclass(frozen=True)
class CodeComparison:
    """What a comparison found.

    Attributes:
        rows: rows whose vectors were encoded again.
        total_rows: rows in the codes.
        differing: ids whose vectors are others than those of the codes, or are gone.
    """

    rows: int
    total_rows: int
    differing: tuple[Id, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether every row was compared."""
        return self.rows >= self.total_rows

    @property
    def reason(self) -> str:
        """What differs, in words."""
        some = ", ".join(map(repr, self.differing[:3]))
        more = ", ..." if len(self.differing) > 3 else ""
        return (
            f"{len(self.differing):,} of {self.rows:,} rows compared have other vectors in the "
            f"store than in qadapt's codes ({some}{more}): another client wrote to it"
        )


def compare(
    store: Store,
    collection: str,
    name: str,
    index: CodeIndex,
    *,
    rows: int | None = None,
    whole: bool = False,
) -> CodeComparison:
    """Encode stored vectors again and compare the codes.

    Args:
        rows: draw so many; None compares all where that is little work.
        collection_of: compare all, however many there are.
    """
    total, dim = len(index), index.settings.dim
    if whole or (rows is None and total * dim <= WHOLE_VALUES):
        return _whole(store, collection, name, index)
    most = min(SAMPLE_ROWS, max(FEWEST_ROWS, WHOLE_VALUES // dim)) if rows is None else rows
    sampled = random.sample(index.ids, min(most, total))
    return CodeComparison(len(sampled), total, differing(store, collection, name, index, sampled))


def _whole(store: Store, collection: str, name: str, index: CodeIndex) -> CodeComparison:
    """Compare all rows, up to the first page with rows that differ in a large collection."""
    found: list[Id] = []
    rows = 0
    large = len(index) * index.settings.dim > WHOLE_VALUES
    for batch in store.read(collection, ReadRequest(vectors=[name], payload=False)):
        found += _differing(index, name, batch)
        rows += len(batch)
        if found and large:
            return CodeComparison(rows, len(index), tuple(found))
    return CodeComparison(max(rows, len(index)), len(index), tuple(found))


def compare_by_counter(
    store: Store, collection: str, name: str, index: CodeIndex, counter: ChangeCounter | None
) -> tuple[CodeComparison, Since]:
    """Compare what the change counter makes necessary, for a status.

    Args:
        counter: as it was before the index was opened.
    """
    former = change_counters.recorded(store, collection, name)
    since = change_counters.since(former, counter)
    if since is Since.CHANGED and former is not None:
        compared = _changed(store, collection, name, index, former)
        if compared is not None:
            return compared, since
    unknown = since in (Since.CHANGED, Since.NOT_RECORDED)
    return compare(store, collection, name, index, whole=unknown), since


def _changed(
    store: Store, collection: str, name: str, index: CodeIndex, former: ChangeCounter
) -> CodeComparison | None:
    """Compare the rows written since ``former``, and a sample; None where they are not known."""
    pages = store.changed_since(collection, former)
    if pages is None or len(index) * index.settings.dim <= WHOLE_VALUES:
        return None
    found: list[Id] = []
    rows = 0
    for ids in pages:
        found += differing(store, collection, name, index, ids)
        rows += len(ids)
    sampled = compare(store, collection, name, index)
    known = min(rows + sampled.rows, len(index) - 1)
    return CodeComparison(known, len(index), tuple(dict.fromkeys((*found, *sampled.differing))))


def compare_for_search(
    store: Store, collection: str, name: str, index: CodeIndex
) -> CodeComparison | None:
    """Compare a sample, or what the change counter makes necessary, before a search.

    Returns:
        None where another client wrote to a collection that is too large to be compared by a
        search.
    """
    counter = store.change_counter(collection)
    former = change_counters.recorded(store, collection, name)
    if former is None or change_counters.since(former, counter) is not Since.CHANGED:
        return compare(store, collection, name, index, rows=SEARCH_ROWS)
    compared = _changed(store, collection, name, index, former)
    if compared is None:
        if len(index) * index.settings.dim > SEARCH_VALUES:
            return None
        compared = compare(store, collection, name, index, whole=True)
    if not compared.differing:
        change_counters.record(store, collection, name, counter)
    return compared


def differing(
    store: Store, collection: str, name: str, index: CodeIndex, ids: Sequence[Id]
) -> tuple[Id, ...]:
    """Those of the ids whose stored vectors have other codes than the index, or are gone."""
    found: list[Id] = []
    for start in range(0, len(ids), FETCH_ROWS):
        asked = ids[start : start + FETCH_ROWS]
        batch = store.fetch(collection, asked, vectors=[name], payload=False)
        there = set(batch.ids)
        found += [key for key in asked if key not in there]
        found += _differing(index, name, batch)
    return tuple(found)


def _differing(index: CodeIndex, name: str, batch: Batch) -> list[Id]:
    if not len(batch):
        return []
    missing = batch.missing.get(name)
    if missing is None or not missing.any():
        return index.differing(batch.ids, batch.vectors[name])
    lacking = [key for key, gone in zip(batch.ids, missing, strict=True) if gone]
    kept = np.flatnonzero(~missing)
    there = [batch.ids[at] for at in kept.tolist()]
    return lacking + index.differing(there, batch.vectors[name][kept])


def ensure_fresh(store: Store, collection: str, name: str, index: CodeIndex) -> bool:
    """Whether no write of qadapt came between what was read of the store and of the index."""
    if code_marks.under_way(store, collection, name):
        return False
    with CodeIndex.open(index.folder, read_only=True, verify="size") as now:
        return now.generation == index.generation


def checked_recently(index: CodeIndex) -> bool:
    """Whether this process compared the index a short while ago."""
    last = _compared.get(index.folder)
    return last is not None and time.monotonic() - last < SEARCH_EVERY


def remember(folder: Path) -> None:
    """The index was just compared, or built from the store."""
    _compared[folder] = time.monotonic()


def record(store: Store, collection: str, name: str, reason: str) -> str:
    """Mark the codes as out of date; the reason, with what kept it from the disk."""
    _compared.pop(index_dir(store.address, collection, name), None)
    try:
        code_marks.outdate(store, collection, name, reason)
    except OSError as error:
        return f"{reason} (not recorded in the state folder: {error})"
    return reason


def status(
    store: Store, collection: str, vector: Vector, name: str, wanted: Quantization, count: int
) -> tuple[Status, int | None]:
    """Whether our codes are there, whole, and those of what the store holds; and their bytes.

    The checksums of all files are compared, so this reads the whole index.

    Args:
        wanted: the quantization remembered.
        count: rows in the store.
    """
    for last in (number == TRIES - 1 for number in range(TRIES)):
        found = _status(store, collection, vector, name, wanted, count, last=last)
        if found is not None:
            return found
        count = store.count(collection)
    raise AssertionError("the last try gives a status")


def _status(
    store: Store,
    collection: str,
    vector: Vector,
    name: str,
    wanted: Quantization,
    count: int,
    *,
    last: bool,
) -> tuple[Status, int | None] | None:
    """One look; None where a write of qadapt came in between."""
    advice = advice_for(store, collection, name, wanted)
    try:
        counter = store.change_counter(collection)
        with client_codes.open_index(store, collection, name, checksums=True) as index:
            size = index.nbytes
            total = sum(size.values())
            evidence = _evidence(index, count)
            reason = client_codes.mismatch_reason(index, vector, wanted)
            if reason is None and len(index) != count:
                reason = rows_differ(len(index), count)
            if reason is not None:
                return Status(State.IGNORED, reason, evidence=evidence, advice=advice), total
            if not count:
                return Status(State.UNKNOWN, NO_ROWS, evidence=evidence), total
            compared, since = compare_by_counter(store, collection, name, index, counter)
            evidence += (
                Evidence("change counter", _counter_words(counter, since)),
                Evidence("rows compared with the store", compared.rows),
                Evidence("rows that differ", len(compared.differing)),
            )
            if not compared.differing:
                remember(index.folder)
                if since is not Since.UNCHANGED:
                    change_counters.record(store, collection, name, counter)
                part = "" if compared.whole else _part(compared, counter, since)
                return Status(State.ACTIVE, part, evidence=evidence), total
            if ensure_fresh(store, collection, name, index):
                reason = record(store, collection, name, compared.reason)
            elif not last:
                return None
            else:
                reason = "rows are being written: store and codes cannot be compared"
            return Status(State.IGNORED, reason, evidence=evidence, advice=advice), total
    except IntegrityError as error:
        return Status(State.IGNORED, error.message, advice=advice), None
    except QadaptError as error:
        return Status(State.IGNORED, error.message, advice=error.hint or advice), None


def rows_differ(held: int, count: int) -> str:
    """Why codes of another number of rows are not used."""
    return (
        f"qadapt's codes hold {held:,} rows, the collection {count:,}: another client wrote to it"
    )


def advice_for(store: Store, collection: str, name: str, wanted: Quantization) -> str:
    """The command that builds the codes again."""
    vector = f" --vector {name}" if name else ""
    return (
        f"build the codes again: qadapt apply {store.address} {collection} {wanted}{vector} "
        "--accept client"
    )


def _counter_words(counter: ChangeCounter | None, since: Since) -> str:
    return "none" if counter is None else f"{counter.name}: {since.value}"


def _part(compared: CodeComparison, counter: ChangeCounter | None, since: Since) -> str:
    """What is known of the rows that were not compared."""
    rows = f"{compared.rows:,} of {compared.total_rows:,} rows"
    if counter is None:
        return (
            f"the store has no change counter: {rows}, drawn at random, were compared with the "
            "store and are the same"
        )
    if counter.complete:
        return (
            "no other client changed a row since all rows were encoded or compared "
            f"({counter.name}); {rows}, drawn at random, were compared with the store and are the "
            "same"
        )
    if since is Since.CHANGED:
        return (
            f"{rows} were compared with the store and are the same: those written since the last "
            f"comparison ({counter.name}), and others drawn at random"
        )
    return (
        f"no row was written since the last comparison ({counter.name}); {rows}, drawn at random, "
        "were compared with the store and are the same"
    )


def _evidence(index: CodeIndex, count: int) -> tuple[Evidence, ...]:
    size = index.nbytes
    return (
        Evidence("held by", "qadapt, beside the store"),
        Evidence("folder", str(index.folder)),
        Evidence("checksums", "match"),
        Evidence("rows in codes", len(index)),
        Evidence("rows in store", count),
        Evidence("bytes in RAM", size["ram"]),
        Evidence("bytes on disk", size["disk"]),
    )
