"""Rows as they really are, and as a target can keep them.

A row that qadapt migrated before may carry three notes in its payload: what its id was
(``qadapt_source_id``), entries that the store would not have kept as they were
(``qadapt_entries``), and the lengths of vectors that the store normalised (``qadapt_norms``).
``home`` takes them in, ``carry`` makes them where the target needs them. So a row that goes from
A to B and back to A is the same row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.migration import ids
from qadapt.model import Batch, Id, Metric, Vector
from qadapt.stores.base import Store

ENTRIES = "qadapt_entries"
NORMS = "qadapt_norms"
OURS = frozenset({ids.SOURCE_ID, ENTRIES, NORMS})
_MARK = "qadapt"

Payload = Mapping[str, Any]


# -- as they really are --------------------------------------------------------------------------


def home(batch: Batch, normalised: Sequence[str] = ()) -> Batch:
    """The rows without notes: their own ids, payloads and lengths.

    Args:
        normalised: vectors that the target normalises anyway, so that lengths are of no use.
    """
    payloads = batch.payloads
    if payloads is None or not any(OURS.intersection(each) for each in payloads if each):
        return batch
    keys: list[Id] = []
    found: list[Payload] = []
    lengths: dict[str, npt.NDArray[np.float64]] = {}
    for row, (key, payload) in enumerate(zip(batch.ids, payloads, strict=True)):
        was = ids.noted(key, payload)
        kept = _unwrapped(payload)
        if was is not None:
            kept.pop(ids.SOURCE_ID, None)
        norms = _norms(kept, batch.vectors)
        for name, length in norms.items():
            lengths.setdefault(name, np.ones(len(batch)))[row] = length
        keys.append(key if was is None else was)
        found.append(kept)
    vectors = {
        name: _scaled(array, lengths[name]) if name in lengths and name not in normalised else array
        for name, array in batch.vectors.items()
    }
    return Batch(keys, vectors, found, batch.missing)


def _unwrapped(payload: Payload) -> dict[str, Any]:
    kept = dict(payload)
    text = kept.get(ENTRIES)
    if not isinstance(text, str):
        return kept
    try:
        inner = json.loads(text)
    except ValueError:
        return kept
    if not isinstance(inner, dict) or set(inner) != {_MARK} or not isinstance(inner[_MARK], dict):
        return kept
    del kept[ENTRIES]
    return {**kept, **inner[_MARK]}


def _norms(payload: dict[str, Any], vectors: Mapping[str, Any]) -> dict[str, float]:
    """Takes the lengths out of a payload that has them."""
    text = payload.get(NORMS)
    if not isinstance(text, str):
        return {}
    try:
        found = json.loads(text)[_MARK]
        lengths = {str(name): float(length) for name, length in found.items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}
    del payload[NORMS]
    return {name: length for name, length in lengths.items() if name in vectors}


def _scaled(array: npt.NDArray[np.float32], by: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    scaled: npt.NDArray[np.float32] = (array * by[:, None]).astype(np.float32)
    return scaled


# -- as the target keeps them --------------------------------------------------------------------


class Carrier:
    """Makes rows of a source into rows of a target.

    Args:
        target: the store that they go to.
        vectors: the target's vectors; those of the source that are not among them stay behind.
        keep_norms: note the lengths of vectors that the target normalises.
        notes_ids: False where ids are certainly left as they are, which saves a look at each.
    """

    def __init__(
        self, target: Store, vectors: Mapping[str, Vector], *, keep_norms: bool = False
    ) -> None:
        self._takes: Callable[[Id], bool] = target.takes_id
        self._keeps = target.keeps if type(target).keeps is not Store.keeps else None
        self.vectors = dict(vectors)
        self.normalised = tuple(
            name
            for name, vector in vectors.items()
            if target.normalises and vector.metric is Metric.COSINE and vector.datatype != "uint8"
        )
        self._keep_norms = keep_norms

    def target_id(self, key: Id) -> Id:
        """The id that a source's own id has in the target."""
        return ids.target_id(key, self._takes)

    def home(self, batch: Batch) -> Batch:
        """The source's rows as they really are."""
        return home(batch, self.normalised)

    def carry(self, batch: Batch) -> Batch:
        """Rows that came ``home``, as the target keeps them."""
        keys = [self.target_id(key) for key in batch.ids]
        changed = [new != old for new, old in zip(keys, batch.ids, strict=True)]
        vectors = {name: batch.vectors[name] for name in self.vectors if name in batch.vectors}
        missing = {name: mask for name, mask in batch.missing.items() if name in vectors}
        norms = self._norms(vectors) if self._keep_norms else {}
        payloads = batch.payloads
        if payloads is None and (any(changed) or norms):
            payloads = [{}] * len(batch)
        if payloads is not None:
            payloads = [
                self._payload(payload, old if moved else None, norms, row)
                for row, (payload, old, moved) in enumerate(
                    zip(payloads, batch.ids, changed, strict=True)
                )
            ]
        return Batch(keys, vectors, payloads, missing)

    def _norms(self, vectors: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float64]]:
        return {
            name: np.sqrt(np.einsum("ij,ij->i", array, array, dtype=np.float64))
            for name, array in vectors.items()
            if name in self.normalised
        }

    def _payload(
        self, payload: Payload, was: Id | None, norms: Mapping[str, Any], row: int
    ) -> Payload:
        left = self.unkept(payload)
        if not left and was is None and not norms:
            return payload
        result = {key: value for key, value in payload.items() if key not in left}
        if left:
            entries = {_MARK: {key: payload[key] for key in left}}
            result[ENTRIES] = json.dumps(entries, ensure_ascii=False)
        if was is not None:
            result[ids.SOURCE_ID] = ids.note(was)
        if norms:
            lengths = {name: float(each[row]) for name, each in norms.items()}
            result[NORMS] = json.dumps({_MARK: lengths})
        return result

    def unkept(self, payload: Payload) -> list[str]:
        """Keys of the entries that the target would not give back as they were."""
        if self._keeps is None:
            return [key for key in OURS if key in payload]
        keeps = self._keeps
        return [key for key, value in payload.items() if key in OURS or not keeps(key, value)]
