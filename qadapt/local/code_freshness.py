"""Check whether client-side codes match the database, by encoding stored vectors again.

The row count shows only that rows were added or deleted. Therefore vectors are read from the
database, and their codes are compared with those of the index: all of them if there are few, or if
the change counter of the database shows writes by other clients; else a random sample. The status
reports how many rows were compared.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qadapt.code_index import CodeIndex
from qadapt.errors import IntegrityError, QadaptError
from qadapt.local import change_counters, client_codes, code_marks
from qadapt.local.change_counters import Since
from qadapt.local.state import index_dir
from qadapt.model import Batch, Evidence, Id, Quantization, State, Status, Vector
from qadapt.model.cli_commands import vector_command
from qadapt.stores.base import ReadRequest, Store
from qadapt.stores.change_counter import ChangeCounter

# Up to this number of values (16 MiB of float32), a status compares all rows.
WHOLE_VALUES = 4 * 2**20
SAMPLE_ROWS, FEWEST_ROWS = 1_000, 64
# Up to this number of values (64 MiB of float32), a search compares all rows after a write by
# another client.
SEARCH_VALUES = 4 * WHOLE_VALUES
# Rows that a search compares at the first use of the codes in a process, and then periodically.
SEARCH_ROWS, SEARCH_EVERY = 200, 60.0
FETCH_ROWS = 500
TRIES = 3

NO_ROWS = "the collection has no rows; codes are built when rows are written"

# Time of the last comparison of each index folder in this process: time.monotonic().
_compared: dict[Path, float] = {}


@dataclass(frozen=True)
class CodeComparison:
    """Result of a comparison.

    Attributes:
        rows: number of compared rows.
        total_rows: number of rows in the codes.
        differing: ids whose vectors do not match the codes, or do not exist.
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
        """Description of the difference."""
        some = ", ".join(map(repr, self.differing[:3]))
        more = ", ..." if len(self.differing) > 3 else ""
        return (
            f"{len(self.differing):,} of {self.rows:,} compared rows have other vectors in the "
            f"database than in the codes ({some}{more}): another client wrote to it"
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
        rows: sample size; None compares all rows if there are few.
        complete: compare all rows, regardless of their number.
    """
    total, dim = len(index), index.settings.dim
    if whole or (rows is None and total * dim <= WHOLE_VALUES):
        return _whole(store, collection, name, index)
    most = min(SAMPLE_ROWS, max(FEWEST_ROWS, WHOLE_VALUES // dim)) if rows is None else rows
    sampled = index.sample_ids(most)
    return CodeComparison(len(sampled), total, differing(store, collection, name, index, sampled))


def _whole(store: Store, collection: str, name: str, index: CodeIndex) -> CodeComparison:
    """Compare all rows; for a large collection, stop at the first page with differences."""
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
    """Compare the rows that the change counter requires, for a status.

    Args:
        counter: change counter before the index was opened.
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
    """Compare the rows written since ``former``, and a sample; None if those are unknown."""
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
    """Compare a sample, or the rows that the change counter requires, before a search.

    Returns:
        None if another client wrote to a collection that is too large to compare in a search.
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
    """Ids whose stored vectors do not match the index, or do not exist."""
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
    """Whether no write of qadapt happened between reading the database and reading the index."""
    if code_marks.under_way(store, collection, name):
        return False
    return CodeIndex.saved_generation(index.folder) == index.generation


def checked_recently(index: CodeIndex) -> bool:
    """Whether this process compared the index recently."""
    last = _compared.get(index.folder)
    return last is not None and time.monotonic() - last < SEARCH_EVERY


def remember(folder: Path) -> None:
    """Record that the index was just compared or built."""
    _compared[folder] = time.monotonic()


def record(store: Store, collection: str, name: str, reason: str) -> str:
    """Mark the codes as outdated; returns the reason, with the error if it was not saved."""
    _compared.pop(index_dir(store.address, collection, name), None)
    try:
        code_marks.outdate(store, collection, name, reason)
    except OSError as error:
        return f"{reason} (not recorded in the state folder: {error})"
    return reason


def status(
    store: Store, collection: str, vector: Vector, name: str, wanted: Quantization, count: int
) -> tuple[Status, int | None]:
    """Status of the client-side codes (existing, intact, matching the database) and their size.

    Verifies the checksums of all files, which reads the complete index.

    Args:
        wanted: saved quantization.
        count: rows in the database.
    """
    for last in (number == TRIES - 1 for number in range(TRIES)):
        found = _status(store, collection, vector, name, wanted, count, last=last)
        if found is not None:
            return found
        count = store.count(collection)
    raise AssertionError("the last attempt returns a status")


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
    """Determine the status once; None if a write of qadapt interfered."""
    advice = advice_for(store, collection, name, wanted)
    try:
        counter = store.change_counter(collection)
        with client_codes.open_index(store, collection, name, checksums=True) as index:
            size = index.nbytes
            total = size["ram"] - size["ids"] + size["disk"]
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
                Evidence("rows compared with the database", compared.rows),
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
                reason = "rows are being written; database and codes cannot be compared"
            return Status(State.IGNORED, reason, evidence=evidence, advice=advice), total
    except IntegrityError as error:
        return Status(State.IGNORED, error.message, advice=advice), None
    except QadaptError as error:
        return Status(State.IGNORED, error.message, advice=error.hint or advice), None


def rows_differ(held: int, count: int) -> str:
    """Explain that codes with another number of rows are not used."""
    return f"the codes have {held:,} rows, the collection {count:,}: another client wrote to it"


def advice_for(store: Store, collection: str, name: str, wanted: Quantization) -> str:
    """Command that rebuilds the codes."""
    command = vector_command("apply", store.address, collection, name, wanted, accept="client")
    return f"rebuild the codes: {command}"


def _counter_words(counter: ChangeCounter | None, since: Since) -> str:
    return "none" if counter is None else f"{counter.name}: {since.value}"


def _part(compared: CodeComparison, counter: ChangeCounter | None, since: Since) -> str:
    """Describe what is known about rows that were not compared."""
    rows = f"{compared.rows:,} of {compared.total_rows:,} rows"
    if counter is None:
        return (
            f"the database has no change counter: a random sample of {rows} was compared and "
            "matches the database"
        )
    if counter.complete:
        return (
            "no other client changed a row since all rows were encoded or compared "
            f"({counter.name}); a random sample of {rows} was compared and matches the database"
        )
    if since is Since.CHANGED:
        return (
            f"{rows} were compared and match the database: those written since the last comparison "
            f"({counter.name}), and a random sample"
        )
    return (
        f"no row was written since the last comparison ({counter.name}); a random sample of {rows} "
        "was compared and matches the database"
    )


def _evidence(index: CodeIndex, count: int) -> tuple[Evidence, ...]:
    size = index.nbytes
    return (
        Evidence("stored by", "qadapt, on the client"),
        Evidence("folder", str(index.folder)),
        Evidence("checksums", "match"),
        Evidence("rows in codes", len(index)),
        Evidence("rows in database", count),
        Evidence("bytes in RAM", size["ram"] - size["ids"]),
        Evidence("bytes of ids in RAM", size["ids"]),
        Evidence("bytes on disk", size["disk"]),
    )
