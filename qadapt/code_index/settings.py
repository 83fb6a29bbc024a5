"""Settings of an index, and checks of the arguments of its calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast, get_args

import numpy as np

from qadapt.code_index.id_column import IdColumn
from qadapt.code_index.row_map import first_repeated
from qadapt.code_index.rows import shown
from qadapt.code_index.storage import row_bytes
from qadapt.code_index.vector_blocks import check, check_norms
from qadapt.codecs import Calibration, Codebook
from qadapt.codecs.bitquery import QueryBits
from qadapt.codecs.rotational import CODE_BITS
from qadapt.errors import CalibrationError, InputError, SpecError
from qadapt.model.arrays import Vectors, as_matrix
from qadapt.model.embedding_kinds import refuse_packed
from qadapt.model.metric import Metric

CODES = ("binary", "int8", "rotational", "scalar")
ROTATIONS = ("random", "learned")
QUERY_BITS = {"rotational": (4, 8), "scalar": (8,)}
"""Bits per dimension of queries; for other codes see ``QueryBits``."""


@dataclass(frozen=True)
class Settings:
    """Settings of an index; see ``CodeIndex.create``."""

    dim: int
    metric: Metric
    codes: str
    query_bits: QueryBits
    rescore_codes: str | None
    bits: int = 1
    rotation: str | None = None

    @classmethod
    def checked(
        cls,
        dim: int,
        metric: str,
        codes: str,
        query_bits: int | None,
        rescore_codes: str | None,
        *,
        bits: int | None = None,
        rotation: str | None = None,
    ) -> Settings:
        """Create validated settings.

        Raises:
            InputError: a setting has an invalid value.
        """
        if not isinstance(dim, (int, np.integer)) or isinstance(dim, bool) or dim < 1:
            raise InputError(
                f"dim must be an integer of at least 1; got {dim!r}",
                hint="use the number of dimensions of the embedding model",
            )
        if codes not in CODES:
            raise SpecError.unknown("kind of codes", codes, CODES)
        bits = _checked_bits(codes, bits, rotation)
        known_bits = QUERY_BITS.get(codes, get_args(QueryBits))
        if query_bits is None:
            query_bits = _default_query_bits(codes, bits)
        if query_bits not in known_bits:
            raise SpecError.unknown("query_bits", str(query_bits), map(str, known_bits))
        if rescore_codes not in ("int8", None):
            raise SpecError.unknown("rescore_codes", str(rescore_codes), ["int8", "None"])
        if codes == "int8":
            query_bits, rescore_codes = 1, "int8"
        if codes == "rotational":
            rotation = rotation or ROTATIONS[0]
        own: QueryBits = cast(QueryBits, query_bits)
        return cls(int(dim), Metric.of(metric), codes, own, rescore_codes, bits, rotation)

    def row_bytes(self) -> dict[str, int]:
        """Bytes per row of each kind of code."""
        return row_bytes(self.dim, self.codes, self.rescore_codes, self.bits)

    def batch(self, ids: Any, vectors: Any) -> tuple[IdColumn, Vectors]:
        """Check ids and vectors of a call.

        Raises:
            InputError: duplicate ids, different numbers of ids and vectors, or norms whose scores
                overflow float32.
            DimensionError, NonFiniteError, ZeroVectorError: invalid vectors.
        """
        refuse_packed(
            vectors, self.dim, what="vectors", how="pass codes=X, kind={kind!r} for packed bits"
        )
        array = as_matrix(vectors, dim=self.dim)
        names = unique_ids(ids, len(array))
        check(array, self.metric, what="vectors")
        check_norms(array, self.metric, what="vectors")
        return names, array

    def fits_codebook(self, codebook: Codebook) -> None:
        """Raise an error for a codebook that this index cannot use.

        Raises:
            CalibrationError: the dimensions differ.
            SpecError: the index has other codes.
        """
        if self.codes != "scalar":
            raise SpecError(
                f"codebook is a setting of scalar codes; these are {self.codes!r} codes",
                hint="pass codes='scalar', or omit codebook",
            )
        if codebook.dim != self.dim:
            raise CalibrationError(
                f"the codebook has {codebook.dim} dimensions, but the index has {self.dim}",
                hint="learn it from vectors of the same model",
            )

    def fits(self, calibration: Calibration) -> None:
        """Raise an error for ranges with other dimensions.

        Raises:
            CalibrationError: the dimensions differ.
        """
        if calibration.dim != self.dim:
            raise CalibrationError(
                f"the calibration has {calibration.dim} dimensions, but the index has {self.dim}",
                hint="calibrate with vectors of the same model",
            )


def _checked_bits(codes: str, bits: int | None, rotation: str | None) -> int:
    """Bits per dimension of the codes, after a check of the settings of some codes.

    Raises:
        SpecError: unknown, or for other codes.
    """
    known = {"rotational": CODE_BITS, "scalar": (4,)}.get(codes)
    if known is None and bits not in (None, 1):
        raise SpecError(
            f"bits is a setting of rotational and scalar codes; these are {codes!r} codes",
            hint="pass codes='rotational' or codes='scalar', or omit bits",
        )
    if rotation is not None and codes != "rotational":
        raise SpecError(
            f"rotation is a setting of rotational codes; these are {codes!r} codes",
            hint="pass codes='rotational', or omit rotation",
        )
    if rotation is not None and rotation not in ROTATIONS:
        raise SpecError.unknown("rotation", str(rotation), ROTATIONS)
    if known is None:
        return 1
    if bits is None:
        return known[0]
    if isinstance(bits, bool) or bits not in known:
        raise SpecError.unknown(f"bits of {codes} codes", str(bits), map(str, known))
    return bits


def _default_query_bits(codes: str, bits: int) -> int:
    if codes not in QUERY_BITS:
        return 1
    return 4 if bits == 1 else 8


def unique_ids(ids: Any, rows: int) -> IdColumn:
    """Column of the ids of a call.

    Args:
        ids: see ``clean_ids``.
        rows: number of vectors.

    Raises:
        InputError: duplicate ids, or a number of ids that differs from the number of vectors.
    """
    names = IdColumn.of(ids)
    if len(names) != rows:
        raise InputError(f"{len(names)} ids for {rows} vectors", hint="give one id per vector")
    twice = first_repeated(names)
    if twice:
        raise InputError(f"duplicate ids in one call: {shown(twice)}", hint="nothing was added")
    return names
