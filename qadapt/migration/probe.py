"""A few rows, really copied to a scratch collection: what the target keeps, and how fast."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from qadapt.local import scratch
from qadapt.migration import extras
from qadapt.migration.beside import create
from qadapt.migration.carrier import Carrier
from qadapt.migration.compare import differences
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.parting import one
from qadapt.migration.picking import pick
from qadapt.migration.plan import Probe, VectorPlan
from qadapt.migration.putting import IMPOSSIBLE, put, refused
from qadapt.model import Batch
from qadapt.stores.base import Part

PARTS = 4
ROWS = 100  # of each of them
SHOWN = 5
ANY = frozenset({IMPOSSIBLE})


def probe(
    source: Endpoint,
    target: Endpoint,
    carrier: Carrier,
    plans: Mapping[str, VectorPlan],
    parts: Sequence[Part],
    *,
    copied: bool,
    allow: Collection[str] = (),
) -> Probe:
    """Read rows of some parts, and copy them to a scratch collection.

    Args:
        copied: False to read only.
        allow: names of losses that are fine.

    Raises:
        InputError: the target can hold none of the rows, and ``impossible-rows`` is not allowed.
    """
    begun = time.perf_counter()
    read = list(_sample(source, carrier.names, parts))
    spent = max(time.perf_counter() - begun, 1e-6)
    if not read:
        return Probe()
    batch = _fit(Batch.concat([carrier.home(each) for each in read]), carrier)
    entries: dict[str, set[str]] = {}
    wrapped: set[str] = set()
    noted: set[str] = set()
    for payload in batch.payloads or ():
        for key, value in payload.items():
            entries.setdefault(key, set()).add(type(value).__name__)
        near, gone = carrier.unkept(payload)
        noted.update(near)
        wrapped.update(gone)
    size = sum(len(json.dumps(dict(each), ensure_ascii=False)) for each in batch.payloads or ())
    result = Probe(
        rows=len(batch),
        read_rate=sum(map(len, read)) / spent,
        row_bytes=(batch.nbytes + size) // max(1, len(batch)),
        entries={key: tuple(sorted(found)) for key, found in sorted(entries.items())},
        wrapped=tuple(sorted(wrapped)),
        noted=tuple(sorted(noted)),
    )
    if not copied or not len(batch):
        return result
    with _scratch(target, carrier) as end:
        begun = time.perf_counter()
        left_out = put(batch, carrier, lambda each: end.store.write(end.name, each), ANY)
        spent = max(time.perf_counter() - begun, 1e-6)
        if left_out:
            first, why = next(iter(left_out.items()))
            rest = f" ({len(left_out):,} of {len(batch):,} rows that were tried)"
            if len(left_out) == len(batch) and IMPOSSIBLE not in allow:
                raise refused(first, why, rest)
            result = result.replace(refused=f"row {first!r}: {why}{rest}")
        batch = pick(batch, [row for row, key in enumerate(batch.ids) if key not in left_out])
        if not len(batch):
            return result.replace(created=True)
        carried = carrier.carry(batch)
        found = end.store.fetch(end.name, carried.ids, vectors=carrier.names)
        changed = _changed(batch, carried, found, plans, carrier)
    return result.replace(write_rate=len(batch) / spent, changed=changed, created=True)


def _sample(source: Endpoint, vectors: list[str], parts: Sequence[Part]) -> Iterator[Batch]:
    step = max(1, len(parts) // PARTS)
    for part in parts[::step][:PARTS]:
        end, inside, _ = one(source, part)
        pages = end.store.read(end.name, vectors=vectors, part=inside, page=ROWS)
        first = next(iter(pages), None)
        if first is not None:
            yield first


def _fit(batch: Batch, carrier: Carrier) -> Batch:
    """Without rows that no target takes: those are told of when they are met."""
    good = np.ones(len(batch), dtype=np.bool_)
    for name, array in batch.vectors.items():
        there = ~batch.missing[name] if name in batch.missing else True
        good &= np.isfinite(array).all(axis=1) & array.any(axis=1) & there
    good &= extras.good(batch, carrier.beside.extras)
    _, first = np.unique(np.asarray([str(key) for key in batch.ids]), return_index=True)
    rows = [row for row in sorted(first.tolist()) if good[row]]
    return pick(batch, rows)


@contextmanager
def _scratch(target: Endpoint, carrier: Carrier) -> Iterator[Endpoint]:
    whole = carrier.beside.replace(parts=(), parted=False, keyed=None)
    scratch.sweep(target.store)
    with scratch.owned(target.store, scratch.PROBE, target.name) as name:
        end = Endpoint(target.store, name)
        create(end, carrier.vectors, whole)
        yield end


def _changed(
    batch: Batch,
    carried: Batch,
    found: Batch,
    plans: Mapping[str, VectorPlan],
    carrier: Carrier,
) -> tuple[str, ...]:
    if list(found.ids) != list(carried.ids):
        return (f"of {len(carried)} rows {len(found)} came back",)
    told = differences(carried, found, plans, list(batch.ids), carrier.compared)
    return tuple(f"{each.what} of {each.id!r}: {each.detail}" for each in told[:SHOWN])
