"""Copying some rows to a scratch collection, to see what the target changes, and how fast it is."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from qadapt.local import scratch
from qadapt.migration.compare import differences
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.partitions import locate
from qadapt.migration.plan import Comparison, TrialCopy, VectorPlan
from qadapt.migration.row_codec import RowCodec
from qadapt.migration.schema import create_collection
from qadapt.migration.writer import REJECTED, RowFilter, rejected, write_bisecting
from qadapt.model import Batch
from qadapt.stores.base import ReadRequest, ScanRange

RANGES = 4
ROWS = 100  # of each range
SHOWN = 5


def run_trial_copy(
    source: Endpoint,
    target: Endpoint,
    codec: RowCodec,
    plans: Mapping[str, VectorPlan],
    extras: Mapping[str, Comparison],
    scan_ranges: Sequence[ScanRange],
    *,
    write: bool,
    allow: Collection[str] = (),
) -> TrialCopy:
    """Read rows of some scan ranges, and copy them to a scratch collection.

    Args:
        extras: how extra vectors are compared.
        write: False to read only.
        allow: names of accepted losses.

    Raises:
        InputError: the target rejects all of the rows, and ``rejected-rows`` is not allowed.
    """
    begun = time.perf_counter()
    pages = list(_sample(source, codec.names, scan_ranges))
    read_seconds = max(time.perf_counter() - begun, 1e-6)
    if not pages:
        return TrialCopy()
    batch = _storable(Batch.concat([codec.decode(each) for each in pages]), codec)
    result = _describe(batch, codec).replace(read_rate=sum(map(len, pages)) / read_seconds)
    if not write or not len(batch):
        return result
    with _scratch_collection(target, codec) as end:
        begun = time.perf_counter()
        refused = write_bisecting(
            batch, codec, lambda encoded: end.store.write(end.name, encoded), {REJECTED}
        )
        write_seconds = max(time.perf_counter() - begun, 1e-6)
        if refused:
            first, why = next(iter(refused.items()))
            share = f" ({len(refused):,} of {len(batch):,} rows of the trial copy)"
            if len(refused) == len(batch) and REJECTED not in allow:
                raise rejected(first, why, share)
            result = result.replace(rejected=f"row {first!r}: {why}{share}")
            batch = batch.take([row for row, key in enumerate(batch.ids) if key not in refused])
        if not len(batch):
            return result.replace(created=True)
        encoded = codec.encode(batch)
        found = end.store.fetch(end.name, encoded.ids, vectors=codec.names)
        changed = _differences(batch, encoded, found, plans, extras)
    return result.replace(write_rate=len(batch) / write_seconds, differences=changed, created=True)


def _describe(batch: Batch, codec: RowCodec) -> TrialCopy:
    """The types of the payload fields, those that the target changes, and the size of a row."""
    types: dict[str, set[str]] = {}
    dropped: set[str] = set()
    lossy: set[str] = set()
    for payload in batch.payloads or ():
        for key, value in payload.items():
            types.setdefault(key, set()).add(type(value).__name__)
        rounded, lost = codec.unpreserved(payload)
        lossy.update(rounded)
        dropped.update(lost)
    size = sum(len(json.dumps(dict(each), ensure_ascii=False)) for each in batch.payloads or ())
    return TrialCopy(
        rows=len(batch),
        row_bytes=(batch.nbytes + size) // max(1, len(batch)),
        payload_types={key: tuple(sorted(found)) for key, found in sorted(types.items())},
        dropped_fields=tuple(sorted(dropped)),
        lossy_fields=tuple(sorted(lossy)),
    )


def _sample(
    source: Endpoint, vectors: list[str], scan_ranges: Sequence[ScanRange]
) -> Iterator[Batch]:
    step = max(1, len(scan_ranges) // RANGES)
    for scan_range in scan_ranges[::step][:RANGES]:
        end, inside, _ = locate(source, scan_range)
        pages = end.store.read(end.name, ReadRequest(vectors=vectors, scan_range=inside, page=ROWS))
        first = next(iter(pages), None)
        if first is not None:
            yield first


def _storable(batch: Batch, codec: RowCodec) -> Batch:
    """One row for each id, without rows that no target stores: the copy reports those."""
    good = np.ones(len(batch), dtype=np.bool_)
    for name, array in batch.vectors.items():
        present = ~batch.missing[name] if name in batch.missing else True
        good &= np.isfinite(array).all(axis=1) & array.any(axis=1) & present
    extras = RowFilter({}, codec.schema.extras, missing_vectors=False)
    refused = extras.reasons(Batch(range(len(batch)), extras=batch.extras))
    _, first = np.unique(np.asarray([str(key) for key in batch.ids]), return_index=True)
    return batch.take([row for row in sorted(first.tolist()) if good[row] and row not in refused])


@contextmanager
def _scratch_collection(target: Endpoint, codec: RowCodec) -> Iterator[Endpoint]:
    """A collection with the target's vectors and schema, without partitions."""
    schema = codec.schema.replace(partitions=(), is_partitioned=False, partition_key=None)
    scratch.remove_leftovers(target.store)
    with scratch.scratch_collection(target.store, scratch.TRIAL, target.name) as name:
        end = Endpoint(target.store, name)
        create_collection(end, codec.vectors, schema)
        yield end


def _differences(
    batch: Batch,
    encoded: Batch,
    found: Batch,
    plans: Mapping[str, VectorPlan],
    extras: Mapping[str, Comparison],
) -> tuple[str, ...]:
    if list(found.ids) != list(encoded.ids):
        return (f"{len(found)} of {len(encoded)} rows were read back",)
    changed = differences(encoded, found, plans, list(batch.ids), extras)
    return tuple(f"{each.kind} of {each.id!r}: {each.detail}" for each in changed[:SHOWN])
