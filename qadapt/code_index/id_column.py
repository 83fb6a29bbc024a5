"""Ids as arrays: int64, 16 bytes of UUIDs, or bytes of texts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qadapt.code_index.rows import Id, clean_ids

IdKind = Literal["int", "uuid", "text"]
Rows = npt.NDArray[np.integer[Any]]
Mask = npt.NDArray[np.bool_]

KINDS: tuple[IdKind, ...] = ("int", "uuid", "text")

_UUID_BYTES = 16
_UUID_CHARS = 36
_HYPHENS = np.array([8, 13, 18, 23])
_HEX_AT = np.setdiff1d(np.arange(_UUID_CHARS), _HYPHENS)
_DIGITS = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
_NO_DIGIT = 255
_VALUE_OF = np.full(256, _NO_DIGIT, dtype=np.uint8)
_VALUE_OF[_DIGITS] = np.arange(16)

_HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_HASH_BYTES = 1 << 20  # text hashed at a time
_SHORT = (1 << 32) - 1  # largest offset of a uint32


@dataclass(frozen=True, eq=False)
class IdColumn:
    """Immutable column of ids.

    Attributes:
        kind: ``int`` (int64), ``uuid`` (canonical text of lower case, stored in 16 bytes), or
            ``text`` (any mixture; a letter for the type, then UTF-8 or decimal digits).
        values: int64 (n,); bytes of 16 (n,); or uint8, all texts one after another.
        ends: for ``text``: end of each text in ``values``, uint32 or uint64 (n,); else None.
    """

    kind: IdKind
    values: npt.NDArray[Any]
    ends: npt.NDArray[np.unsignedinteger[Any]] | None = None

    @classmethod
    def of(cls, ids: Any, *, what: str = "ids") -> IdColumn:
        """Create a column of the most compact kind.

        Args:
            ids: see :func:`clean_ids`; integer arrays are converted without Python objects.
            what: name in messages.

        Raises:
            InputError: an invalid type of id, or not a list.
        """
        if isinstance(ids, IdColumn):
            return ids
        if isinstance(ids, range):
            ids = np.arange(ids.start, ids.stop, ids.step)
        if isinstance(ids, np.ndarray) and ids.dtype.kind in "iu" and ids.dtype != np.uint64:
            return cls("int", ids.reshape(-1).astype(np.int64))
        return cls.of_list(clean_ids(ids, what=what))

    @classmethod
    def of_list(cls, ids: list[Id]) -> IdColumn:
        """Create a column of the most compact kind from int and str."""
        types = set(map(type, ids))
        if types <= {int}:
            try:
                return cls("int", np.array(ids, dtype=np.int64))
            except OverflowError:
                return cls.text(ids)
        if types == {str}:
            packed = _packed_uuids(ids)  # type: ignore[arg-type]
            if packed is not None:
                return cls("uuid", packed)
        return cls.text(ids)

    @classmethod
    def text(cls, ids: Sequence[Id]) -> IdColumn:
        """Create a column of the kind ``text``."""
        coded = [
            b"i%d" % one if isinstance(one, int) else b"s" + one.encode("utf-8", "surrogatepass")
            for one in ids
        ]
        values = np.frombuffer(b"".join(coded), dtype=np.uint8)
        lengths = np.fromiter(map(len, coded), dtype=np.uint64, count=len(coded))
        return cls("text", values, _narrow(np.cumsum(lengths, dtype=np.uint64)))

    def __len__(self) -> int:
        return len(self.values) if self.ends is None else len(self.ends)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.values.nbytes + (0 if self.ends is None else self.ends.nbytes)

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """Start of each text in ``values``, int64 (n,)."""
        assert self.ends is not None
        starts = np.zeros(len(self.ends), dtype=np.int64)
        starts[1:] = self.ends[:-1]
        return starts

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Bytes of each text, int64 (n,)."""
        assert self.ends is not None
        return np.asarray(self.ends.astype(np.int64) - self.starts, dtype=np.int64)

    def spans(self, rows: Rows) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Start and length of the texts of rows, int64 (m,) each."""
        assert self.ends is not None
        ends = self.ends[rows].astype(np.int64)
        starts = np.where(rows > 0, self.ends[np.maximum(rows - 1, 0)], 0).astype(np.int64)
        return starts, ends - starts

    def take(self, rows: Rows) -> IdColumn:
        """Column of the given rows."""
        if self.ends is None:
            return IdColumn(self.kind, self.values[rows])
        starts, lengths = self.spans(rows)
        ends = np.cumsum(lengths)
        return IdColumn("text", self.values[_ranges(starts, lengths)], _narrow(ends))

    def head(self, rows: int) -> IdColumn:
        """Column of the first rows, at least 1; shares memory."""
        if self.ends is None:
            return IdColumn(self.kind, self.values[:rows])
        return IdColumn("text", self.values[: int(self.ends[rows - 1])], self.ends[:rows])

    def tolist(self) -> list[Id]:
        """Ids as int and str."""
        if self.kind == "int":
            listed: list[Id] = self.values.tolist()
            return listed
        if self.kind == "uuid":
            text = _uuid_text(self.values)
            return [text[at : at + _UUID_CHARS] for at in range(0, len(text), _UUID_CHARS)]
        assert self.ends is not None
        raw = self.values.tobytes()
        return [
            int(raw[start + 1 : end])
            if raw[start] == ord("i")
            else raw[start + 1 : end].decode("utf-8", "surrogatepass")
            for start, end in itertools.pairwise([0, *self.ends.tolist()])
        ]

    def as_text(self) -> IdColumn:
        """The same ids as kind ``text``."""
        return self if self.kind == "text" else IdColumn.text(self.tolist())

    @staticmethod
    def concat(columns: Sequence[IdColumn]) -> IdColumn:
        """Concatenate columns; different kinds become ``text``."""
        columns = [column for column in columns if len(column)]
        if not columns:
            return IdColumn("int", np.empty(0, dtype=np.int64))
        if len(columns) == 1:
            return columns[0]
        if len({column.kind for column in columns}) > 1:
            columns = [column.as_text() for column in columns]
        values = np.concatenate([column.values for column in columns])
        if columns[0].kind != "text":
            return IdColumn(columns[0].kind, values)
        lengths = np.concatenate([column.lengths for column in columns])
        return IdColumn("text", values, _narrow(np.cumsum(lengths)))

    # -- keys ----------------------------------------------------------------------------------

    def keys(self) -> npt.NDArray[Any]:
        """Sortable keys (n,): the values, or uint32 hashes of texts."""
        if self.ends is None:
            return self.values
        return _hashes(self.values, self.starts, self.lengths)

    def equal(self, rows: Rows, other: IdColumn, others: Rows) -> Mask:
        """Whether ids of two columns of the same kind are equal, pair by pair, bool (m,)."""
        if self.ends is None:
            return np.asarray(self.values[rows] == other.values[others], dtype=np.bool_)
        starts, lengths = self.spans(rows)
        there, sizes = other.spans(others)
        same = np.asarray(lengths == sizes, dtype=np.bool_)
        if same.any():
            lengths = lengths[same]
            left = self.values[_ranges(starts[same], lengths)]
            right = other.values[_ranges(there[same], lengths)]
            # a text has at least one byte, so no range of reduceat is empty
            first = np.cumsum(lengths) - lengths
            same[same] = np.logical_and.reduceat(left == right, first)
        return same


def _narrow(ends: npt.NDArray[Any]) -> npt.NDArray[np.unsignedinteger[Any]]:
    """Offsets as uint32 if they fit."""
    short = not len(ends) or int(ends[-1]) <= _SHORT
    return ends.astype(np.uint32 if short else np.uint64)


def _ranges(starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Concatenated ``arange(start, start + length)`` of each pair."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    found: npt.NDArray[np.int64] = np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
    return found


def _hashes(
    values: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
) -> npt.NDArray[np.uint32]:
    """Polynomial hashes of texts, uint32 (n,): equal texts have equal hashes."""
    made = np.empty(len(starts), dtype=np.uint32)
    if not len(starts):
        return made
    powers = np.cumprod(np.full(int(lengths.max()), _HASH_FACTOR))
    first = 0
    while first < len(starts):
        last = int(np.searchsorted(starts, starts[first] + _HASH_BYTES))
        last = max(last, first + 1)
        some = lengths[first:last]
        begin = int(starts[first])
        text = values[begin : begin + int(some.sum())]
        at = starts[first:last] - begin
        place = np.arange(len(text)) - np.repeat(at, some)
        sums = np.add.reduceat((text.astype(np.uint64) + np.uint64(1)) * powers[place], at)
        made[first:last] = ((sums * _HASH_FACTOR) >> np.uint64(32)).astype(np.uint32)
        first = last
    return made


def _packed_uuids(ids: list[str]) -> npt.NDArray[np.bytes_] | None:
    """UUIDs as bytes of 16 (n,); None unless all are canonical texts of lower case."""
    if len(ids[0]) != _UUID_CHARS or set(map(len, ids)) != {_UUID_CHARS}:
        return None
    joined = "".join(ids)
    if not joined.isascii():
        return None
    text = np.frombuffer(joined.encode(), dtype=np.uint8).reshape(-1, _UUID_CHARS)
    digits = _VALUE_OF[text[:, _HEX_AT]]
    if (text[:, _HYPHENS] != ord("-")).any() or (digits == _NO_DIGIT).any():
        return None
    packed = np.ascontiguousarray((digits[:, ::2] << 4) | digits[:, 1::2])
    return packed.view(f"S{_UUID_BYTES}")[:, 0]


def _uuid_text(packed: npt.NDArray[np.bytes_]) -> str:
    """Canonical texts of UUIDs, one after another."""
    raw = np.ascontiguousarray(packed).view(np.uint8).reshape(-1, _UUID_BYTES)
    text = np.full((len(raw), _UUID_CHARS), ord("-"), dtype=np.uint8)
    text[:, _HEX_AT[::2]] = _DIGITS[raw >> 4]
    text[:, _HEX_AT[1::2]] = _DIGITS[raw & 15]
    return text.tobytes().decode("ascii")
