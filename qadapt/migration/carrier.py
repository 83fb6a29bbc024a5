"""Rows as they really are, and as a target can keep them.

A row that qadapt migrated before may carry four notes in its payload: what its id was
(``qadapt_source_id``), entries that the store would not have kept as they were
(``qadapt_entries``), the lengths of vectors that the store normalised (``qadapt_norms``), and the
tenant or partition that it was in (``qadapt_part``, plain text, so that filters can ask for it).
``home`` takes them in, ``carry`` makes them where the target needs them. So a row that goes from
A to B and back to A is the same row.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.migration import ids
from qadapt.migration.extras import comparison
from qadapt.migration.naming import named
from qadapt.migration.plan import Parting
from qadapt.model import Batch, Beside, Id, Metric, Vector
from qadapt.stores.base import Store

ENTRIES = "qadapt_entries"
NORMS = "qadapt_norms"
PART = "qadapt_part"
OURS = frozenset({ids.SOURCE_ID, ENTRIES, NORMS, PART})
_MARK = "qadapt"

Payload = Mapping[str, Any]


# -- as they really are --------------------------------------------------------------------------


def home(batch: Batch, normalised: Sequence[str] = (), *, part: bool = False) -> Batch:
    """The rows without notes: their own ids, payloads and lengths.

    Args:
        normalised: vectors that the target normalises anyway, so that lengths are of no use.
        part: the note of a row's part goes, too; else it stays in the payload.
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
        if part and isinstance(kept.get(PART), str):
            del kept[PART]
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


def parts_noted(native: Batch, own: Batch) -> dict[Id, str]:
    """The parts that rows were in by their notes, by their own ids."""
    return {
        key: payload[PART]
        for key, payload in zip(own.ids, native.payloads or (), strict=False)
        if isinstance(payload.get(PART), str)
    }


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
        parting: how rows go from part to part.
    """

    def __init__(
        self,
        target: Store,
        vectors: Mapping[str, Vector],
        *,
        keep_norms: bool = False,
        beside: Beside | None = None,
        parting: Parting | None = None,
    ) -> None:
        self.vectors = dict(vectors)
        self.beside = beside or Beside()
        room = target.room(self.vectors, self.beside)
        self._takes: Callable[[Id], bool] = room.takes_id
        self._keeps = room.keeps
        # What is read of the source.
        self.names = [*self.vectors, *self.beside.extras]
        # How the extra vectors are compared afterwards.
        self.compared = {
            name: comparison(target, extra) for name, extra in self.beside.extras.items()
        }
        self.normalised = tuple(
            name
            for name, vector in vectors.items()
            if target.traits.normalizes_cosine
            and vector.metric is Metric.COSINE
            and vector.datatype != "uint8"
        )
        self._keep_norms = keep_norms
        self.parting = parting or Parting()
        self._target = target
        self._noted: str | Mapping[Id, str] | None = None

    def place(self, part: str) -> str:
        """The target's part for one of the source's.

        Raises:
            UnsupportedError: the target takes no such name.
        """
        return named(self._target, part, alike=self.parting.here == self.parting.there)

    def noting(self, part: str | Mapping[Id, str] | None) -> Carrier:
        """The same, which also notes the part that rows are in.

        Args:
            part: of all rows, or by their own ids; None for no note.
        """
        if not part:
            return self
        other = copy.copy(self)
        other._noted = part
        return other

    def target_id(self, key: Id) -> Id:
        """The id that a source's own id has in the target."""
        return ids.target_id(key, self._takes)

    def home(self, batch: Batch) -> Batch:
        """The source's rows as they really are; what a store has in parts needs no note of it."""
        return home(batch, self.normalised, part=self.parting.by != "store")

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
        parts = self._parts(batch.ids)
        if payloads is None and (any(changed) or norms or any(parts)):
            payloads = [{}] * len(batch)
        if payloads is not None:
            payloads = [
                self._payload(payload, old if moved else None, norms, row, whole, part)
                for row, (payload, old, moved, part) in enumerate(
                    zip(payloads, batch.ids, changed, parts, strict=True)
                )
            ]
        extras = {name: batch.extras[name] for name in self.beside.extras if name in batch.extras}
        return Batch(keys, vectors, payloads, missing, extras)

    def _parts(self, keys: Sequence[Id]) -> list[str | None]:
        """The part that each row's note says."""
        if isinstance(self._noted, Mapping):
            return [self._noted.get(key) for key in keys]
        return [self._noted] * len(keys)

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
        part: str | None,
    ) -> Payload:
        noted, gone = ([], list(payload)) if whole else self.unkept(payload)
        if was is not None and ids.SOURCE_ID in payload and ids.SOURCE_ID not in gone:
            gone.append(ids.SOURCE_ID)
        if norms and NORMS in payload and NORMS not in gone:
            gone.append(NORMS)
        if part is not None and PART in payload and PART not in gone:
            gone.append(PART)
        if (noted or gone) and ENTRIES in payload and ENTRIES not in gone:
            gone.append(ENTRIES)
        if not noted and not gone and was is None and not norms and part is None:
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
        if part is not None:
            result[PART] = part
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
