"""Decoding rows of a source, and encoding them as a target can store them.

A row may carry four payload fields of qadapt's. They keep what a store cannot:

- ``qadapt_source_id``: the original id,
- ``qadapt_fields``: payload fields that the store would drop or round,
- ``qadapt_norms``: lengths of vectors that the store normalizes,
- ``qadapt_partition``: the name of the row's partition or tenant, as plain text for filters.

``decode`` applies and removes them, ``encode`` adds those that the target needs. So a row that is
copied from A to B and back to A is unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.migration import ids
from qadapt.migration.plan import (
    FIELDS,
    NORMS,
    PARTITION,
    RESERVED_FIELDS,
    SOURCE_ID,
    MigrationPlan,
)
from qadapt.model import Batch, CollectionSchema, Id, Metric, Vector
from qadapt.model.leading_dims import leading
from qadapt.stores.base import Store

_TAG = "qadapt"

Payload = Mapping[str, Any]
# The partition to note in the payload: of all rows, or by id.
PartitionNote = str | Mapping[Id, str] | None


# -- decoding ------------------------------------------------------------------------------------


def decode(batch: Batch, normalized: Sequence[str] = (), *, drop_partition: bool = False) -> Batch:
    """The rows with their original ids, payloads and vector lengths.

    Args:
        normalized: vectors that the target normalizes, whose lengths are not restored.
        drop_partition: remove ``qadapt_partition`` as well.
    """
    payloads = batch.payloads
    if payloads is None or not any(RESERVED_FIELDS.intersection(each) for each in payloads if each):
        return batch
    keys: list[Id] = []
    decoded: list[Payload] = []
    lengths: dict[str, npt.NDArray[np.float64]] = {}
    for row, (key, payload) in enumerate(zip(batch.ids, payloads, strict=True)):
        original = ids.source_id(key, payload)
        kept = dict(payload)
        if original is not None:
            del kept[SOURCE_ID]
        norms = _norms(kept.get(NORMS))
        if norms is not None:
            del kept[NORMS]
            for name, length in norms.items():
                lengths.setdefault(name, np.ones(len(batch)))[row] = length
        if drop_partition and isinstance(kept.get(PARTITION), str):
            del kept[PARTITION]
        fields = _tagged(kept.get(FIELDS))
        if fields is not None:
            # Last, because it may hold fields of the user's that have one of our names.
            del kept[FIELDS]
            kept.update(fields)
        keys.append(key if original is None else original)
        decoded.append(kept)
    vectors = {
        name: _scaled(array, lengths[name]) if name in lengths and name not in normalized else array
        for name, array in batch.vectors.items()
    }
    return Batch(keys, vectors, decoded, batch.missing, batch.extras)


def noted_partitions(stored: Batch, decoded: Batch) -> dict[Id, str]:
    """The partitions that the payloads of stored rows name, by decoded id."""
    return {
        key: payload[PARTITION]
        for key, payload in zip(decoded.ids, stored.payloads or (), strict=False)
        if isinstance(payload.get(PARTITION), str)
    }


def _norms(text: Any) -> dict[str, float] | None:
    found = _tagged(text)
    if found is None or not all(isinstance(each, (int, float)) for each in found.values()):
        return None
    return found


def _tagged(text: Any) -> dict[str, Any] | None:
    """The object that qadapt stored as JSON text; None for any other value."""
    if not isinstance(text, str):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    if not isinstance(found, dict) or set(found) != {_TAG} or not isinstance(found[_TAG], dict):
        return None
    return dict(found[_TAG])


def _scaled(array: npt.NDArray[np.float32], by: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    scaled: npt.NDArray[np.float32] = (array * by[:, None]).astype(np.float32)
    return scaled


# -- encoding ------------------------------------------------------------------------------------


class RowCodec:
    """Decodes rows of a source and encodes them for a target.

    Args:
        target: the store of the target.
        vectors: the target's dense vectors; other vectors of the source are not copied.
        keep_norms: store the lengths of vectors that the target normalizes in the payload.
        schema: schema of the target apart from its dense vectors.
        drop_partition: remove ``qadapt_partition`` from decoded rows. False where the source has
            partitions itself, so that a field of this name is the user's.

    Attributes:
        names: the vectors to read from the source.
        normalized: dense vectors that the target normalizes.
    """

    def __init__(
        self,
        target: Store,
        vectors: Mapping[str, Vector],
        *,
        keep_norms: bool = False,
        schema: CollectionSchema | None = None,
        drop_partition: bool = True,
    ) -> None:
        self.vectors = dict(vectors)
        self.schema = schema or CollectionSchema()
        self.names = [*self.vectors, *self.schema.extras]
        self.normalized = tuple(
            name
            for name, vector in vectors.items()
            if target.traits.normalizes_cosine
            and vector.metric is Metric.COSINE
            and vector.datatype != "uint8"
        )
        constraints = target.row_constraints(self.vectors, self.schema)
        self._accepts_id: Callable[[Id], bool] = constraints.accepts_id
        self._fidelity = constraints.payload_fidelity
        self._keep_norms = keep_norms
        self._drop_partition = drop_partition

    @classmethod
    def of_plan(cls, plan: MigrationPlan, target: Store) -> RowCodec:
        """The codec of a plan."""
        return cls(
            target,
            plan.target_vectors,
            keep_norms=plan.keep_norms,
            schema=plan.schema,
            drop_partition=plan.partitions.assigned_by != "store",
        )

    def target_id(self, key: Id) -> Id:
        """The id in the target of a decoded row."""
        return ids.target_id(key, self._accepts_id)

    def decode(self, batch: Batch) -> Batch:
        """Rows of the source with their original ids, payloads and vector lengths."""
        return decode(batch, self.normalized, drop_partition=self._drop_partition)

    def encode(
        self, batch: Batch, *, partition: PartitionNote = None, payload_as_text: bool = False
    ) -> Batch:
        """Decoded rows as the target can store them.

        Args:
            partition: the partition to note in the payload.
            payload_as_text: store the whole payload as JSON text.
        """
        keys = [self.target_id(key) for key in batch.ids]
        changed = [new != old for new, old in zip(keys, batch.ids, strict=True)]
        vectors = {
            name: leading(batch.vectors[name], vector.dim, vector.metric)
            for name, vector in self.vectors.items()
            if name in batch.vectors
        }
        missing = {name: mask for name, mask in batch.missing.items() if name in vectors}
        norms = self._norms(vectors) if self._keep_norms else {}
        partitions = _by_row(partition, batch.ids)
        payloads = batch.payloads
        if payloads is None and (any(changed) or norms or any(partitions)):
            payloads = [{}] * len(batch)
        if payloads is not None:
            payloads = [
                self._payload(payload, old if moved else None, norms, row, payload_as_text, within)
                for row, (payload, old, moved, within) in enumerate(
                    zip(payloads, batch.ids, changed, partitions, strict=True)
                )
            ]
        extras = {name: batch.extras[name] for name in self.schema.extras if name in batch.extras}
        return Batch(keys, vectors, payloads, missing, extras)

    def _norms(self, vectors: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float64]]:
        return {
            name: np.sqrt(np.einsum("ij,ij->i", array, array, dtype=np.float64))
            for name, array in vectors.items()
            if name in self.normalized
        }

    def _payload(
        self,
        payload: Payload,
        source_id: Id | None,
        norms: Mapping[str, Any],
        row: int,
        as_text: bool,
        partition: str | None,
    ) -> Payload:
        lossy, dropped = ([], list(payload)) if as_text else self.unpreserved(payload)
        added = {
            SOURCE_ID: source_id is not None,
            NORMS: bool(norms),
            PARTITION: partition is not None,
        }
        # Fields of the user's that have the name of a field to add.
        dropped += [
            name for name, add in added.items() if add and name in payload and name not in dropped
        ]
        if (lossy or dropped) and FIELDS in payload and FIELDS not in dropped:
            dropped.append(FIELDS)
        if not lossy and not dropped and not any(added.values()):
            return payload
        result = {key: value for key, value in payload.items() if key not in dropped}
        if lossy or dropped:
            fields = {_TAG: {key: payload[key] for key in [*lossy, *dropped]}}
            result[FIELDS] = json.dumps(fields, ensure_ascii=False)
        if source_id is not None:
            result[SOURCE_ID] = ids.encode_source_id(source_id)
        if norms:
            lengths = {name: float(each[row]) for name, each in norms.items()}
            result[NORMS] = json.dumps({_TAG: lengths})
        if partition is not None:
            result[PARTITION] = partition
        return result

    def unpreserved(self, payload: Payload) -> tuple[list[str], list[str]]:
        """Payload fields that the target rounds, and fields that it does not preserve.

        The second list includes fields of the user's that would be decoded as one of qadapt's.
        """
        lossy: list[str] = []
        dropped: list[str] = []
        if self._fidelity is not None:
            for key, value in payload.items():
                kept = self._fidelity(key, value)
                if kept != "exact":
                    (lossy if kept == "lossy" else dropped).append(key)
        if FIELDS not in dropped and _tagged(payload.get(FIELDS)) is not None:
            dropped.append(FIELDS)
        if NORMS not in dropped and _norms(payload.get(NORMS)) is not None:
            dropped.append(NORMS)
        return [key for key in lossy if key not in dropped], dropped


def _by_row(partition: PartitionNote, keys: Sequence[Id]) -> list[str | None]:
    """The partition to note for each row."""
    if isinstance(partition, Mapping):
        return [partition.get(key) for key in keys]
    return [partition or None] * len(keys)
