"""Copies of a few rows, to try settings on: made, and removed whatever happens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from qadapt.local import scratch
from qadapt.local.scratch import EVAL as PREFIX
from qadapt.model import Batch, Quantization, Vector
from qadapt.stores.base import OnProgress, Progress, Store

BLOCK = 1_000  # rows written at once


@contextmanager
def scratch_copy(
    store: Store,
    vectors: Mapping[str, Vector],
    batches: Sequence[Batch],
    progress: OnProgress,
    *,
    quantization: Mapping[str, Quantization] | None = None,
    of: str = "",
) -> Iterator[str]:
    """A collection of its own with these rows; its name. Gone when the block is left.

    Args:
        of: the collection that the rows are from, for whoever finds the copy.
    """
    with scratch.scratch_collection(store, PREFIX, of) as name:
        store.create(name, vectors, quantization or {})
        total, done = sum(len(batch) for batch in batches), 0
        for batch in batches:
            for start in range(0, len(batch), BLOCK):
                part = batch.rows(start, min(start + BLOCK, len(batch)))
                store.write(name, part)
                done += len(part)
                progress(Progress("copying a sample", done, total))
        yield name
