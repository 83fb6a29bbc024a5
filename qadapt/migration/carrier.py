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
from qadapt.migration.extras import comparison
from qadapt.model import Batch, Beside, Id, Metric, Vector
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
        kept = dict(payload)
        if was is not None:
            del kept[ids.SOURCE_ID]
        norms = _lengths(kept.get(NORMS))
        if norms is not None:
            del kept[NORMS]
            for name, length in norms.items():
                lengths.setdefault(name, np.ones(len(batch)))[row] = length
        entries = _entries(kept.get(ENTRIES))
        if entries is not None:
            # Last: among them may be entries of these very names that are somebody's own.
            del kept[ENTRIES]
            kept.update(entries)
        keys.append(key if was is None else was)
        found.append(kept)
    vectors = {
        name: _scaled(array, lengths[name]) if name in lengths and name not in normalised else array
        for name, array in batch.vectors.items()
    }
    return Batch(keys, vectors, found, batch.missing, batch.extras)


def _entries(text: Any) -> dict[str, Any] | None:
    """The entries of a note; None for what is no note."""
    return _marked(text)


def _lengths(text: Any) -> dict[str, float] | None:
    """The lengths of a note; None for what is no note."""
    found = _marked(text)
    if found is None or not all(isinstance(each, (int, float)) for each in found.values()):
        return None
    return found


def _marked(text: Any) -> dict[str, Any] | None:
    if not isinstance(text, str):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    if not isinstance(found, dict) or set(found) != {_MARK} or not isinstance(found[_MARK], dict):
        return None
    return dict(found[_MARK])


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
        beside: what the target has beside them.
    """

    def __init__(
        self,
        target: Store,
        vectors: Mapping[str, Vector],
        *,
        keep_norms: bool = False,
        beside: Beside | None = None,
    ) -> None:
        self._takes: Callable[[Id], bool] = target.takes_id
        self._keeps = target.keeps if type(target).keeps is not Store.keeps else None
        self.vectors = dict(vectors)
        self.beside = beside or Beside()
        # What is read of the source.
        self.names = [*self.vectors, *self.beside.extras]
        # How the extra vectors are compared afterwards.
        self.compared = {
            name: comparison(target, extra) for name, extra in self.beside.extras.items()
        }
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

    def carry(self, batch: Batch, *, whole: bool = False) -> Batch:
        """Rows that came ``home``, as the target keeps them.

        Args:
            whole: payloads go as notes altogether.
        """
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
                self._payload(payload, old if moved else None, norms, row, whole)
                for row, (payload, old, moved) in enumerate(
                    zip(payloads, batch.ids, changed, strict=True)
                )
            ]
        extras = {name: batch.extras[name] for name in self.beside.extras if name in batch.extras}
        return Batch(keys, vectors, payloads, missing, extras)

    def _norms(self, vectors: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float64]]:
        return {
            name: np.sqrt(np.einsum("ij,ij->i", array, array, dtype=np.float64))
            for name, array in vectors.items()
            if name in self.normalised
        }

    def _payload(
        self,
        payload: Payload,
        was: Id | None,
        norms: Mapping[str, Any],
        row: int,
        whole: bool,
    ) -> Payload:
        noted, gone = ([], list(payload)) if whole else self.unkept(payload)
        if was is not None and ids.SOURCE_ID in payload and ids.SOURCE_ID not in gone:
            gone.append(ids.SOURCE_ID)
        if norms and NORMS in payload and NORMS not in gone:
            gone.append(NORMS)
        if (noted or gone) and ENTRIES in payload and ENTRIES not in gone:
            gone.append(ENTRIES)
        if not noted and not gone and was is None and not norms:
            return payload
        result = {key: value for key, value in payload.items() if key not in gone}
        if noted or gone:
            entries = {_MARK: {key: payload[key] for key in [*noted, *gone]}}
            result[ENTRIES] = json.dumps(entries, ensure_ascii=False)
        if was is not None:
            result[ids.SOURCE_ID] = ids.note(was)
        if norms:
            lengths = {name: float(each[row]) for name, each in norms.items()}
            result[NORMS] = json.dumps({_MARK: lengths})
        return result

    def unkept(self, payload: Payload) -> tuple[list[str], list[str]]:
        """Keys of entries that the target gives back nearly as they are, which are noted beside
        themselves; and of those that it does not keep, or that would be taken for our notes."""
        noted: list[str] = []
        gone: list[str] = []
        if self._keeps is not None:
            for key, value in payload.items():
                kept = self._keeps(key, value)
                if kept != "as it is":
                    (noted if kept == "nearly" else gone).append(key)
        if ENTRIES not in gone and _entries(payload.get(ENTRIES)) is not None:
            gone.append(ENTRIES)
        if NORMS not in gone and _lengths(payload.get(NORMS)) is not None:
            gone.append(NORMS)
        return [key for key in noted if key not in gone], gone
