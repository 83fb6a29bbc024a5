"""Writing decoded rows to a target: filtering, encoding, and finding rows that it rejects."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError
from qadapt.migration import ids
from qadapt.migration.plan import vector_label
from qadapt.migration.row_codec import PartitionNote, RowCodec
from qadapt.model import Batch, ExtraVector, Id, Metric, Vector, vector_norms
from qadapt.model.ragged_arrays import faults

Bools = npt.NDArray[np.bool_]
Write = Callable[[Batch], None]
REJECTED, MISSING = "rejected-rows", "missing-vectors"
SHOWN = 10


# -- how many rows -------------------------------------------------------------------------------

SLOW, FAST = 2.0, 0.25  # seconds of one write
MIN_ROWS = 16


class BatchSizer:
    """The number of rows of the next write; threads share it.

    It starts from a size in bytes, and adapts to the target's response times.

    Args:
        row_bytes: mean size of a row.
        batch_bytes: initial size of a write; it grows to four times that at most.
    """

    def __init__(self, row_bytes: int, batch_bytes: int) -> None:
        each = max(1, row_bytes)
        self._lock = threading.Lock()
        self._most = max(MIN_ROWS, min(16_000, 4 * batch_bytes // each))
        self._rows = max(MIN_ROWS, min(4_000, batch_bytes // each))

    @property
    def rows(self) -> int:
        """Rows of the next write."""
        with self._lock:
            return self._rows

    def succeeded(self, rows: int, seconds: float) -> None:
        """Adapt to the duration of a write."""
        with self._lock:
            if seconds > SLOW:
                self._rows = max(MIN_ROWS, min(self._rows, int(rows * SLOW / seconds)))
            elif seconds < FAST and rows >= self._rows:
                self._rows = min(self._most, self._rows + self._rows // 4)

    def failed(self) -> None:
        """Halve the size after a failed write."""
        with self._lock:
            self._rows = max(MIN_ROWS, self._rows // 2)


# -- which rows ----------------------------------------------------------------------------------


class RowFilter:
    """Separates rows that a target cannot store before they are sent.

    Args:
        vectors, extras: the target's vectors.
        missing_vectors: whether the target stores rows that lack a vector.
        allow: names of accepted losses.
    """

    def __init__(
        self,
        vectors: Mapping[str, Vector],
        extras: Mapping[str, ExtraVector],
        *,
        missing_vectors: bool,
        allow: Collection[str] = (),
    ) -> None:
        self._vectors = vectors
        self._extras = extras
        self._missing_vectors = missing_vectors
        self._allow = allow

    def split(self, batch: Batch) -> tuple[Batch, dict[Id, str]]:
        """The rows that the target can store, and the reason for each other row.

        Raises:
            InputError: there are other rows, and skipping them is not allowed.
        """
        reasons = self.reasons(batch)
        if not reasons:
            return batch, {}
        for loss in {loss for _, loss in reasons.values()}:
            if loss not in self._allow:
                found = [(key, why) for key, (why, name) in reasons.items() if name == loss]
                listed = ", ".join(f"{key!r} ({why})" for key, why in found[:SHOWN])
                raise InputError(
                    f"the target cannot store {len(found)} rows of a batch: {listed}",
                    hint=f"correct these rows, or skip and list them: --allow {loss}",
                )
        rows = [row for row, key in enumerate(batch.ids) if key not in reasons]
        return batch.take(rows), {key: why for key, (why, _) in reasons.items()}

    def reasons(self, batch: Batch) -> dict[Id, tuple[str, str]]:
        """The reason and the name of the loss for each row that the target cannot store."""
        found: dict[Id, tuple[str, str]] = {
            key: ("the id is not valid Unicode", REJECTED)
            for key in batch.ids
            if isinstance(key, str) and not key.isascii() and not ids.is_valid(key)
        }
        for rows, why, loss in self._faults(batch):
            for row in np.flatnonzero(rows).tolist():
                found.setdefault(batch.ids[row], (why, loss))
        return found

    def _faults(self, batch: Batch) -> Iterator[tuple[Bools, str, str]]:
        """Rows, bool ``(n,)``, with the reason and the name of the loss."""
        for name, array in batch.vectors.items():
            absent = batch.missing.get(name, np.zeros(len(batch), dtype=np.bool_))
            label, vector = vector_label(name), self._vectors[name]
            cosine = vector.metric is Metric.COSINE
            if not self._missing_vectors:
                yield absent, f"lacks {label}", MISSING
            finite = np.isfinite(array).all(axis=1)
            yield ~absent & ~finite, f"{label} contains NaN or infinity", REJECTED
            if cosine:
                zero = ~absent & finite & ~array.any(axis=1)
                yield zero, f"{label} has zero norm, which cosine does not allow", REJECTED
            unheld = vector_norms.unrepresentable_rows(array, vector.datatype, cosine=cosine)
            if unheld is not None:
                why = f"{label} has values outside the range of {vector.datatype}"
                yield ~absent & unheld, why, REJECTED
            large = vector_norms.overflowing_rows(array, vector.metric)
            if large is not None:
                why = f"{label} has a norm whose scores overflow float32"
                yield ~absent & finite & large, why, REJECTED
        for name, ragged in batch.extras.items():
            label = vector_label(name)
            if not self._missing_vectors:
                yield ragged.absent(), f"lacks {label}", MISSING
            for why, rows in faults(ragged, self._extras[name]).items():
                yield rows, f"{label} {why}", REJECTED


# -- writing -------------------------------------------------------------------------------------


def write_bisecting(
    batch: Batch,
    codec: RowCodec,
    write: Write,
    allow: Collection[str],
    *,
    partition: PartitionNote = None,
) -> dict[Id, str]:
    """Encode and write decoded rows; a batch that is rejected is halved until the row is found.

    Whether a store accepts a payload may depend on rows that came before: Weaviate gives each
    property one type, and rejects a field that is a list in one row and text in another. The
    payload of the rejected row is stored as JSON text, which every store accepts.

    Args:
        write: writes encoded rows; all of them, or none if it raises InputError.
        allow: names of accepted losses.
        partition: the partition to note in the payload.

    Returns:
        The reason for each row that the target rejects.

    Raises:
        InputError: the target rejects a row, and ``rejected-rows`` is not allowed.
    """
    if not len(batch):
        return {}
    try:
        write(codec.encode(batch, partition=partition))
    except InputError as error:
        if len(batch) == 1:
            return _write_as_text(batch, codec, write, allow, partition, error)
        middle = len(batch) // 2
        halves = batch.rows(0, middle), batch.rows(middle, len(batch))
        first, second = (
            write_bisecting(half, codec, write, allow, partition=partition) for half in halves
        )
        return {**first, **second}
    return {}


def _write_as_text(
    batch: Batch,
    codec: RowCodec,
    write: Write,
    allow: Collection[str],
    partition: PartitionNote,
    first: InputError,
) -> dict[Id, str]:
    """Write one row with its payload as text; if that fails too, report the first error."""
    key = batch.ids[0]
    try:
        write(codec.encode(batch, partition=partition, payload_as_text=True))
    except InputError:
        # The store numbers the rows of the request, which holds this row only.
        why = first.message.replace(" of row 0", "")
        if REJECTED not in allow:
            raise rejected(key, why) from first
        return {key: why}
    return {}


def rejected(key: Id, why: str, more: str = "") -> InputError:
    """The error for a row that the target rejects."""
    return InputError(
        f"the target rejects row {key!r}: {why}{more}",
        hint=f"correct the row, or skip and list such rows: --allow {REJECTED}",
    )
