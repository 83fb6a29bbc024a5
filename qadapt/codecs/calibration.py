"""Calibration: per-dimension ranges of integer codes.

Codes cannot be interpreted without their ranges, so ranges are a separate object: frozen,
versioned, with a checksum, and saved as JSON with the codes.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.codecs.blocks import Array, plain_blocks, raise_non_finite, work_dtype
from qadapt.durable import atomic_write
from qadapt.errors import CalibrationError, DimensionError, InputError, IntegrityError
from qadapt.model.arrays import as_matrix

VERSION = 1
_FORMAT = "qadapt-calibration"
_FEW_ROWS = 100
_BUCKETS = 255
_COLUMN_BYTES = 16 * 1024 * 1024


class CalibrationWarning(UserWarning):
    """Warning: the sample is too small for reliable ranges."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Per-dimension ranges for int8 and uint8 codes.

    Created with `fit`, `from_stream`, `from_ranges` or `load`. Calibrations with equal contents
    are equal.

    Attributes:
        lo: float32 ``(d,)``, lower end of the range, in the units of the vectors; read-only.
        hi: float32 ``(d,)``, upper end, nowhere below ``lo``; read-only.
        count: number of vectors that the ranges were computed from; 0 if unknown.
        quantile: central share of the values in the range (0.99 excludes 0.5 % at either end), or
        None for the minimum and maximum.
        source: free-text origin of the ranges.
        version: version of the encoding; codes of different versions are not comparable.

    Raises:
        CalibrationError: limits that are not finite, crossed, or beyond float32; an unknown
        version.
    """

    lo: npt.NDArray[np.float32]
    hi: npt.NDArray[np.float32]
    count: int
    quantile: float | None
    source: str
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise CalibrationError(
                f"calibration has version {self.version}; this qadapt supports {VERSION}",
                hint="use the qadapt release that created it, or calibrate and encode again",
            )
        for name in ("lo", "hi"):
            with np.errstate(over="ignore"):
                end = np.array(getattr(self, name), dtype=np.float32)
            end.flags.writeable = False
            object.__setattr__(self, name, end)
        if self.lo.ndim != 1 or self.lo.shape != self.hi.shape or self.lo.size == 0:
            raise CalibrationError(
                f"ranges have the shapes {self.lo.shape} and {self.hi.shape}",
                hint="pass one lower and one upper limit per dimension",
            )
        with np.errstate(over="ignore", invalid="ignore"):
            width = self.hi - self.lo
        bad = np.flatnonzero(~(width >= 0) | ~np.isfinite(width))
        if len(bad):
            at = int(bad[0])
            raise CalibrationError(
                f"the range of dimension {at} is [{self.lo[at]}, {self.hi[at]}]"
                f" ({len(bad)} such dimensions)",
                hint="limits must be finite float32 numbers with lo <= hi and a finite difference",
            )

    @classmethod
    def fit(
        cls, sample: npt.ArrayLike, *, quantile: float | None = None, source: str = "sample"
    ) -> Calibration:
        """Compute ranges from a sample of vectors: minimum and maximum per dimension, or quantiles.

        Use many representative vectors; fewer than 100 cause a warning. Clipping with ``quantile``
        helps if there are a few outliers, and reduces quality otherwise.

        Args:
            sample: ``(n, d)`` with at least 2 rows, float16, float32 or float64; may be a memory
                map.
            quantile: central share of each dimension's values to include, above 0 and at most 1;
                None (default) includes all. Quantiles sort one group of dimensions at a time, which
                takes 16 MB or one whole column, whichever is more, and reads the sample once per
                group.
            source: free-text origin of the sample.

        Raises:
            CalibrationError: fewer than 2 rows, or values beyond float32.
            NonFiniteError: NaN or infinity, with the row numbers.
            InputError: not a float array, or a quantile out of range.
        """
        if quantile is not None and not 0 < quantile <= 1:
            raise InputError(
                f"quantile is {quantile}",
                hint="pass the central share of values to include, such as 0.99",
            )
        matrix = as_matrix(sample, what="calibration vectors", strict=True)
        lo, hi, count = _extremes([matrix])  # with quantiles too: it refuses NaN and infinity
        if quantile is not None:
            lo, hi = _quantile_ranges(matrix, quantile)
        _warn_if_few(count)
        return cls(lo, hi, count, quantile, source)

    @classmethod
    def from_stream(cls, blocks: Iterable[npt.ArrayLike], *, source: str = "stream") -> Calibration:
        """Compute minimum and maximum per dimension over blocks of vectors, each read once.

        The ranges equal those of `fit` on the concatenated blocks.

        Args:
            blocks: ``(n, d)`` or ``(d,)`` float arrays with one ``d``.
            source: free-text origin of the vectors.

        Raises:
            CalibrationError: fewer than 2 rows in total, or values beyond float32.
            DimensionError: blocks differ in dimensions.
            NonFiniteError: NaN or infinity; rows are counted from the start of the stream.
        """
        lo, hi, count = _extremes(blocks)
        _warn_if_few(count)
        return cls(lo, hi, count, None, source)

    @classmethod
    def from_ranges(
        cls,
        ranges: npt.ArrayLike,
        *,
        count: int = 0,
        quantile: float | None = None,
        source: str = "ranges",
    ) -> Calibration:
        """Create a calibration from known ranges, such as those of sentence-transformers.

        Args:
            ranges: float ``(2, d)``: lower limits, then upper limits.
            count: number of vectors that they were computed from; 0 (default) if unknown.
            quantile: central share that they include; None (default) for all.
            source: free-text origin of the ranges.

        Raises:
            CalibrationError: not ``(2, d)``, not finite, crossed, or beyond float32.
        """
        array = np.asarray(ranges)
        if array.ndim != 2 or len(array) != 2 or array.dtype.kind not in "fiu":
            raise CalibrationError(
                f"ranges are {array.dtype} of the shape {array.shape}",
                hint="pass floats of shape (2, d): lower limits, then upper limits",
            )
        return cls(array[0], array[1], count, quantile, source)

    @property
    def dim(self) -> int:
        """Number of dimensions."""
        return len(self.lo)

    @cached_property
    def steps(self) -> npt.NDArray[np.float32]:
        """float32 ``(d,)``: width of a bucket, ``(hi - lo) / 255``, and 1 where that is 0."""
        steps = (self.hi - self.lo) / np.float32(_BUCKETS)
        steps[steps == 0] = 1
        steps.flags.writeable = False
        return steps

    @cached_property
    def wide_steps(self) -> npt.NDArray[np.float64]:
        """float64 ``(d,)``: ``steps``."""
        steps = self.steps.astype(np.float64)
        steps.flags.writeable = False
        return steps

    @cached_property
    def half(self) -> npt.NDArray[np.float32]:
        """float32 ``(d,)``: middle of a bucket in buckets; 0.5, and 0 in constant dimensions."""
        half = np.where(self.hi > self.lo, np.float32(0.5), np.float32(0))
        half.flags.writeable = False
        return half

    @cached_property
    def centre(self) -> npt.NDArray[np.int64]:
        """int64 ``(d,)``: int8 code that products are relative to; the first one if constant."""
        centre = np.where(self.half > 0, 0, -128)
        centre.flags.writeable = False
        return centre

    @cached_property
    def origin(self) -> npt.NDArray[np.float64]:
        """float64 ``(d,)``: value of the code ``centre``."""
        codes = self.centre + 128 + self.half
        origin = self.lo.astype(np.float64) + codes * self.wide_steps
        origin.flags.writeable = False
        return origin

    @cached_property
    def checksum(self) -> str:
        """``sha256:`` and the hex digest of version and ranges, which determine the codes."""
        digest = hashlib.sha256(f"{_FORMAT} {self.version} {self.dim}\n".encode())
        for end in (self.lo, self.hi):
            digest.update(end.astype("<f4").tobytes())
        return f"sha256:{digest.hexdigest()}"

    def _identity(self) -> tuple[object, ...]:
        return (self.checksum, self.count, self.quantile, self.source)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Calibration) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def to_json(self) -> str:
        """Convert to JSON text; float32 limits are restored exactly."""
        return json.dumps(
            {
                "format": _FORMAT,
                "version": self.version,
                "checksum": self.checksum,
                "source": self.source,
                "count": self.count,
                "quantile": self.quantile,
                "dim": self.dim,
                "lo": self.lo.tolist(),
                "hi": self.hi.tolist(),
            },
            allow_nan=False,
        )

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """Parse the JSON text of `to_json`.

        Raises:
            IntegrityError: not a calibration, another version, or a wrong checksum.
        """
        return _parse(text, "the calibration text")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON text to ``path`` atomically.

        The text is written to a new file in the same folder, synced to disk, and renamed to
        ``path``.

        Raises:
            OSError: the folder cannot be written.
        """
        atomic_write(Path(path), self.to_json())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Calibration:
        """Read and verify a saved calibration.

        Raises:
            FileNotFoundError: the file does not exist.
            IntegrityError: truncated, changed, not a calibration, or of another version.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise IntegrityError(
                f"{os.fspath(path)} is not a calibration: not UTF-8 text", hint=_AGAIN
            ) from error
        return _parse(text, os.fspath(path))


_AGAIN = "pass a file that Calibration.save wrote, or calibrate and encode again"


def _parse(text: str, where: str) -> Calibration:
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{where} is not a calibration: {error}", hint=_AGAIN) from error
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise IntegrityError(
            f"{where} is not a calibration: it has no format {_FORMAT!r}", hint=_AGAIN
        )
    if data.get("version") != VERSION:
        raise IntegrityError(
            f"{where} has calibration version {data.get('version')!r}; "
            f"this qadapt supports {VERSION}",
            hint="use the qadapt release that wrote it, or calibrate and encode again",
        )
    try:
        calibration = Calibration(
            np.array(data["lo"], dtype=np.float64),
            np.array(data["hi"], dtype=np.float64),
            int(data["count"]),
            None if data["quantile"] is None else float(data["quantile"]),
            str(data["source"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise IntegrityError(f"{where} is a damaged calibration: {error}", hint=_AGAIN) from error
    if calibration.checksum != data.get("checksum"):
        raise IntegrityError(
            f"{where} is damaged or was changed: its checksum is "
            f"{data.get('checksum')!r}, that of its ranges is {calibration.checksum!r}",
            hint="restore it from a backup, or calibrate and encode again",
        )
    return calibration


def _extremes(blocks: Iterable[npt.ArrayLike]) -> tuple[Array, Array, int]:
    """Minimum and maximum per dimension, and the number of rows."""
    lo: Array | None = None
    hi: Array | None = None
    count = 0
    for item in blocks:
        matrix = as_matrix(item, what="calibration vectors", strict=True)
        if lo is not None and matrix.shape[1] != len(lo):
            raise DimensionError(len(lo), matrix.shape[1], what="calibration vectors")
        for start, block in plain_blocks(matrix):
            low, high = block.min(axis=0), block.max(axis=0)
            # NaN and infinity always propagate to one of the two, so no other check is needed
            if not (np.isfinite(low).all() and np.isfinite(high).all()):
                raise_non_finite(matrix, start, offset=count, what="calibration vectors")
            lo = low if lo is None else np.minimum(lo, low)
            hi = high if hi is None else np.maximum(hi, high)
        count += len(matrix)
    if lo is None or hi is None or count < 2:
        raise CalibrationError(
            f"ranges cannot be computed from {count} vector{'s' if count != 1 else ''}",
            hint="pass a sample of at least 100 vectors, or known ranges with "
            "Calibration.from_ranges(ranges)",
        )
    return lo, hi, count


def _warn_if_few(count: int) -> None:
    if count < _FEW_ROWS:
        warnings.warn(
            f"the ranges are computed from {count} vectors; with fewer than {_FEW_ROWS}, "
            "later vectors are often out of range",
            CalibrationWarning,
            stacklevel=3,  # caller of the method that created the calibration
        )


def _quantile_ranges(matrix: Array, quantile: float) -> tuple[Array, Array]:
    """Lower and upper limit of the central share, a group of columns at a time."""
    tail = (1 - quantile) / 2
    n, dim = matrix.shape
    dtype = work_dtype(matrix)
    lo, hi = np.empty(dim, dtype=dtype), np.empty(dim, dtype=dtype)
    group = max(1, _COLUMN_BYTES // (n * dtype.itemsize))
    for start in range(0, dim, group):
        columns = np.array(matrix[:, start : start + group].T, dtype=dtype, order="C")
        ends = np.quantile(columns, [tail, 1 - tail], axis=1, overwrite_input=True)
        lo[start : start + group], hi[start : start + group] = ends
    return lo, hi
