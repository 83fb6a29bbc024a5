"""What an open index holds in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import numpy.typing as npt

from qadapt.codecs import Calibration, pack_bits, quantize
from qadapt.codecs.bitquery import QueryBits
from qadapt.errors import CalibrationError, InputError, SpecError
from qadapt.index.bit_blocks import BitBlocks
from qadapt.index.int8_rows import Int8Rows
from qadapt.index.rows import Id, RowMap, clean_ids, repeated, shown
from qadapt.index.storage import file_name
from qadapt.index.vector_blocks import Floats, Vectors, as_matrix, check, prepared_blocks
from qadapt.model.metric import Metric

CODES = ("binary", "int8")

MIN_CALIBRATION_ROWS = 100
"""Fewer rows than this are not taken as a calibration sample unasked."""

_ROUNDING = 2.0**-20  # relative, of a vector that another program normalised in float32


@dataclass(frozen=True)
class Settings:
    """What an index was created with; see ``CodeIndex.create``."""

    dim: int
    metric: Metric
    codes: str
    query_bits: QueryBits
    rescore_codes: str | None

    @classmethod
    def checked(
        cls, dim: int, metric: str, codes: str, query_bits: int, rescore_codes: str | None
    ) -> Settings:
        """Settings from what a caller said.

        Raises:
            InputError: one is out of range.
        """
        if not isinstance(dim, (int, np.integer)) or isinstance(dim, bool) or dim < 1:
            raise InputError(f"dim is {dim!r}, expected a whole number, 1 or more")
        if codes not in CODES:
            raise SpecError.unknown("kind of codes", codes, CODES)
        known_bits = get_args(QueryBits)
        if query_bits not in known_bits:
            raise SpecError.unknown("query_bits", str(query_bits), map(str, known_bits))
        if rescore_codes not in ("int8", None):
            raise SpecError.unknown("rescore_codes", str(rescore_codes), ["int8", "None"])
        if codes == "int8":
            query_bits, rescore_codes = 1, "int8"
        bits: QueryBits = cast(QueryBits, query_bits)
        return cls(int(dim), Metric.of(metric), codes, bits, rescore_codes)

    def batch(self, ids: Any, vectors: Any) -> tuple[list[Id], Vectors]:
        """Ids and vectors that go together, checked.

        Raises:
            InputError: ids that occur twice (named), or another number of ids than vectors.
            DimensionError, NonFiniteError, ZeroVectorError: see their texts.
        """
        names = clean_ids(ids)
        array = as_matrix(vectors, self.dim, what="vectors")
        if len(names) != len(array):
            raise InputError(f"{len(names)} ids for {len(array)} vectors")
        twice = repeated(names)
        if twice:
            raise InputError(
                f"ids occur more than once in one call: {shown(twice)}", hint="nothing was added"
            )
        check(array, self.metric, what="vectors")
        return names, array

    def fits(self, calibration: Calibration) -> None:
        """Refuse ranges of another dimension.

        Raises:
            CalibrationError: they do not fit.
        """
        if calibration.dim != self.dim:
            raise CalibrationError(
                f"the calibration has {calibration.dim} dimensions, the index {self.dim}",
                hint="calibrate on vectors of the same model",
            )


class Contents:
    """Ids, codes and calibration.

    Attributes:
        settings: what the index was created with.
        calibration: ranges of the int8 codes, or None while there are none.
        rows: ids by row.
        bits: sign bits in memory, or None when they are not kept.
        int8: int8 codes on disk, or None when they are not kept.
        generation: the highest number given to a data file.
    """

    def __init__(
        self, settings: Settings, calibration: Calibration | None, *, generation: int = 0
    ) -> None:
        self.settings = settings
        self.calibration = calibration
        self.generation = generation
        self.rows = RowMap()
        self.bits: BitBlocks | None = None
        self.int8: Int8Rows | None = None
        if settings.codes == "binary":
            self.bits = BitBlocks(settings.dim, columns=settings.query_bits == 1)
        if "int8" in (settings.codes, settings.rescore_codes):
            self.int8 = Int8Rows(settings.dim)

    def next_generation(self) -> int:
        """A number that no data file has had."""
        self.generation += 1
        return self.generation

    def append(
        self, folder: Path, names: list[Id], vectors: Vectors, *, replace: bool = False
    ) -> None:
        """Encode vectors and add them as the last rows: all of them, or none when it fails.

        Args:
            folder: where the int8 codes grow.
            names: distinct ids.
            vectors: checked, (n, dim).
            replace: whether ids may be there already; their former rows are deleted.

        Raises:
            CalibrationError: no calibration yet and too few vectors to make one.
            OSError: the disk is full or gone.
        """
        if not names:
            return
        calibration = self.calibration
        if self.int8 is not None:
            calibration = calibration or self._fitted(vectors)
            if not self.int8.growing:
                self.int8.begin(folder / file_name("int8", self.next_generation()))
            self.int8.mark()
        try:
            for block in prepared_blocks(vectors, self.settings.metric):
                if self.int8 is not None:
                    self.int8.append(quantize(block, "int8", calibration=calibration))
                if self.bits is not None:
                    self.bits.append(pack_bits(block))
        except BaseException:
            if self.bits is not None:
                self.bits.cut(self.rows.total)
            if self.int8 is not None:
                self.int8.rewind()
            raise
        self.calibration = calibration
        if replace:
            self.rows.remove(names)
        self.rows.append(names)

    def _fitted(self, vectors: Vectors) -> Calibration:
        if len(vectors) < MIN_CALIBRATION_ROWS:
            raise CalibrationError(
                f"the index has no calibration, and {len(vectors)} vectors are too few to make "
                f"one of (at least {MIN_CALIBRATION_ROWS})",
                hint="create it with calibration=Calibration.fit(sample), or add more at first",
            )
        blocks = prepared_blocks(vectors, self.settings.metric)
        return Calibration.from_stream(blocks, source="first vectors added")

    def differing(self, names: Sequence[Id], vectors: Vectors) -> list[Id]:
        """Ids that are not here, or whose codes are not those of these vectors.

        Args:
            names: ids.
            vectors: floating (n, dim); rows that could not be in the index differ.
        """
        rows = self.rows.places(names)
        good = rows >= 0
        with np.errstate(over="ignore"):
            good &= np.isfinite(vectors.astype(np.float32, copy=False)).all(axis=1)
        if self.settings.metric is Metric.COSINE:
            good &= vectors.any(axis=1)
        kept = np.flatnonzero(good)
        first = 0
        for block in prepared_blocks(vectors[kept], self.settings.metric):
            places = kept[first : first + len(block)]
            good[places] = self._same(rows[places], block)
            first += len(block)
        return [names[at] for at in np.flatnonzero(~good).tolist()]

    def _same(self, rows: npt.NDArray[np.int64], block: Floats) -> npt.NDArray[np.bool_]:
        """Whether these rows hold the codes of these prepared vectors, bool (n,)."""
        if self.int8 is None:
            assert self.bits is not None
            same: npt.NDArray[np.bool_] = (self.bits.take(rows) == pack_bits(block)).all(axis=1)
            return same
        assert self.calibration is not None
        here = self.int8.take(rows).astype(np.int16)
        there = quantize(block, "int8", calibration=self.calibration).astype(np.int16)
        same = np.all(np.abs(here - there) <= self._slack(), axis=1)
        return np.asarray(same, dtype=np.bool_)

    def _slack(self) -> npt.NDArray[np.int16]:
        """How many steps apart int8 codes of one vector may be, for each dimension.

        A store may normalise in another way than we do, so a value near the edge of a step falls
        to either side; where steps are as narrow as float32 itself, farther.
        """
        assert self.calibration is not None
        ranges = self.calibration
        largest = np.maximum(np.abs(ranges.lo), np.abs(ranges.hi))
        rounding = np.ceil(largest * np.float32(_ROUNDING) / ranges.steps)
        return np.asarray(1 + np.minimum(rounding, 255), dtype=np.int16)

    def allowed(
        self,
        mask: npt.ArrayLike | None,
        ids: Iterable[Id] | None,
        exclude: Iterable[Id] = (),
    ) -> npt.NDArray[np.bool_] | None:
        """Which rows (deleted ones counted) a search may find; None for all.

        Args:
            mask: bool (live rows,).
            ids: ids that may be found.
            exclude: ids that must not be found.

        Raises:
            InputError: both are given, or the mask is not bool or has another length.
        """
        chosen = self._chosen(mask, ids)
        out = self.rows.rows_of(clean_ids(exclude))
        if not len(out):
            return chosen
        left = np.ones(self.rows.total, dtype=np.bool_) if chosen is None else chosen.copy()
        left[out] = False
        return left

    def _chosen(
        self, mask: npt.ArrayLike | None, ids: Iterable[Id] | None
    ) -> npt.NDArray[np.bool_] | None:
        live = self.rows.live_mask()
        if mask is None and ids is None:
            return live
        if mask is not None and ids is not None:
            raise InputError("both mask and ids were given", hint="give one of them")
        chosen = np.zeros(self.rows.total, dtype=np.bool_)
        if ids is not None:
            chosen[self.rows.rows_of(clean_ids(ids))] = True
            return chosen
        given: npt.NDArray[Any] = np.asarray(mask)
        if given.dtype != np.bool_ or given.shape != (self.rows.live,):
            raise InputError(
                f"the mask is {given.dtype} {given.shape}, expected bool ({self.rows.live},)",
                hint="one True or False for each of index.ids, in their order",
            )
        chosen[slice(None) if live is None else live] = given
        return chosen

    def close(self) -> None:
        """Let go of all files."""
        if self.int8 is not None:
            self.int8.close()
