"""Quantization settings that are common to all databases."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from qadapt.errors import SpecError
from qadapt.model.quantization_options import (
    BITS,
    CODES_PLACES,
    COMMON,
    DEFAULT_BITS,
    OPTIONS,
    ORIGINALS_PLACES,
    QUERY_BITS,
    CodesPlace,
    Kind,
    OriginalsPlace,
    between,
    json_copy,
    one_of,
)
from qadapt.model.quantization_text import options_text, read_options
from qadapt.model.rescore import Rescore
from qadapt.model.serializable import Serializable
from qadapt.model.vector import MAX_DIM


@dataclass(frozen=True)
class Quantization(Serializable):
    """Quantization of one vector.

    Create one with ``qa.none()``, ``qa.float16()``, ``qa.scalar()``, ``qa.rotational()``,
    ``qa.binary()``, ``qa.product()`` or ``qa.Quantization.parse("binary:query_bits=8")``.

    Attributes:
        kind: kind of quantization.
        bits: bits per dimension of the codes (scalar, rotational, binary).
        quantile: share of the values that a scalar range covers, 0.5 to 1; None covers all.
        per: one scalar range for the ``collection`` or for each ``dimension``; None is the default
            of the database.
        query_bits: bits per dimension of the query; None is the default of the database.
        ratio: compression of product codes relative to float32 (2 to 256).
        segments, centroids: size of product codes, instead of ``ratio``.
        dims: keep the first dimensions only, for vectors of Matryoshka models; None keeps all.
        rescore: rescoring of candidates; None is the default of the database.
        codes: location of codes: ``"ram"`` (kept there), ``"cached"`` (loaded into the page cache,
            which the system may evict) or ``"disk"``; None is the default of the database.
        originals: location of original vectors, ``"ram"`` or ``"disk"``, or ``"none"``: the codes
            replace them, which is irreversible; None is the default.
        native: native settings of the database, merged last.

    Raises:
        SpecError: an option that the kind does not have, or an invalid value.
    """

    kind: Kind
    bits: float | None = None
    quantile: float | None = None
    per: Literal["collection", "dimension"] | None = None
    query_bits: int | None = None
    ratio: float | None = None
    segments: int | None = None
    centroids: int | None = None
    dims: int | None = None
    rescore: Rescore | None = None
    codes: CodesPlace | None = None
    originals: OriginalsPlace | None = None
    native: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        try:
            kind = Kind(self.kind)
        except ValueError:
            raise SpecError.unknown(
                "quantization", str(self.kind), [k.value for k in Kind]
            ) from None
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "rescore", Rescore.of(self.rescore))
        object.__setattr__(self, "native", json_copy(self.native))
        self._check_options_belong()
        if self.bits is None and kind in DEFAULT_BITS:
            object.__setattr__(self, "bits", DEFAULT_BITS[kind])
        if kind is Kind.PRODUCT and self.ratio is None and self.segments is None:
            object.__setattr__(self, "ratio", 16)
        self._check_ranges()
        self._check_codes_only()

    def _check_options_belong(self) -> None:
        known = OPTIONS[self.kind]
        for option in sorted({name for names in OPTIONS.values() for name in names}):
            if getattr(self, option) is not None and option not in known:
                raise SpecError.unknown("option", option, [*known, *COMMON], where=str(self.kind))
        rescores = self.rescore is not None and self.rescore.on
        if self.kind is Kind.NONE and self.dims is None and rescores:
            raise SpecError(
                "rescoring has no effect without quantization",
                hint="leave out rescore, or use a quantization such as binary",
            )

    def _check_codes_only(self) -> None:
        if self.originals != "none":
            return
        if self.kind is Kind.NONE:
            raise SpecError(
                f"originals=none keeps codes only, and {self.kind} has no codes",
                hint="use rotational:bits=4,originals=none",
            )
        if self.rescore is not None and self.rescore.source == "originals":
            raise SpecError(
                "rescoring needs the original vectors, and originals=none keeps none",
                hint="leave out rescore, or keep the original vectors: originals=disk",
            )

    def _check_ranges(self) -> None:
        one_of("bits", self.bits, BITS.get(self.kind, ()))
        one_of("query_bits", self.query_bits, QUERY_BITS.get(self.kind, ()))
        one_of("per", self.per, ("collection", "dimension"))
        one_of("codes", self.codes, CODES_PLACES)
        one_of("originals", self.originals, ORIGINALS_PLACES)
        between("quantile", self.quantile, 0.5, 1.0)
        between("ratio", self.ratio, 2, 256)
        between("segments", self.segments, 1, 65536, whole=True)
        between("centroids", self.centroids, 2, 65536, whole=True)
        between("dims", self.dims, 1, MAX_DIM, whole=True)
        if self.dims is not None:
            object.__setattr__(self, "dims", int(self.dims))
        if self.ratio is not None and self.segments is not None:
            raise SpecError(
                "product quantization takes ratio or segments, not both",
                hint="ratio=16 means 1/16 of float32; segments=48 means 48 bytes per vector",
            )

    # -- string form -------------------------------------------------------------------------

    @classmethod
    def parse(cls, text: str) -> Quantization:
        """Parse a string such as ``"scalar"`` or ``"binary:query_bits=8"``.

        Names of other systems, such as ``"sq8"`` or ``"RaBitQ"``, are converted
        (``qadapt.model.synonyms``).

        Raises:
            SpecError: the string is not a valid quantization; the hint lists the known names.
        """
        kind, options = read_options(text)
        return cls(kind=kind, **options)

    @classmethod
    def synonym_note(cls, text: Any) -> str | None:
        """Meaning of a synonym such as ``"sq8"``; None for a common name."""
        if not isinstance(text, str):
            return None
        name = text.strip().partition(":")[0].strip()
        if name in {kind.value for kind in Kind}:
            return None
        found = cls.parse(name)
        bits = "" if found.bits is None or "bits=" in str(found) else f" (bits={found.bits:g})"
        return f"{name!r} means {found}{bits}"

    @classmethod
    def of(cls, value: QuantizationLike) -> Quantization:
        """Convert a string, a mapping or a ``Quantization``."""
        if isinstance(value, Quantization):
            return value
        if isinstance(value, Mapping):
            return cls.from_dict(value)
        return cls.parse(value)

    def __str__(self) -> str:
        options = {item.name: getattr(self, item.name) for item in fields(self)}
        return options_text(options.pop("kind"), options)

    # -- derived -----------------------------------------------------------------------------

    @property
    def codes_only(self) -> Quantization:
        """The same codes without rescoring and locations."""
        return self.replace(rescore=None, codes=None, originals=None)

    @property
    def with_default_places(self) -> Quantization:
        """Codes stay in RAM if only the original vectors are moved to disk.

        Otherwise, databases that place codes like the original vectors (Qdrant) would move both.
        """
        if self.originals != "disk" or self.codes or self.kind in (Kind.NONE, Kind.FLOAT16):
            return self
        return self.replace(codes="ram")

    @property
    def without_dims(self) -> Quantization:
        """The same codes of all dimensions; without codes there is nothing to rescore."""
        rescore = None if self.kind is Kind.NONE else self.rescore
        return self.replace(dims=None, rescore=rescore)

    def is_plain(self, dim: int) -> bool:
        """Whether vectors with ``dim`` dimensions have no codes, not even of fewer dimensions."""
        return self.kind is Kind.NONE and self.kept_dims(dim) == dim

    def kept_dims(self, dim: int) -> int:
        """Dimensions that are stored of vectors with ``dim`` dimensions."""
        return dim if self.dims is None else min(dim, self.dims)

    def code_bytes(self, dim: int) -> int:
        """Bytes of one code of a vector with ``dim`` dimensions, without padding of the database.

        With ``dims``, only the first of them are stored.
        """
        dim = self.kept_dims(dim)
        if self.kind is Kind.NONE:
            return 0
        if self.kind is Kind.FLOAT16:
            return 2 * dim
        if self.kind is Kind.PRODUCT:
            if self.segments is not None:
                return self.segments
            return math.ceil(4 * dim / float(self.ratio or 16))
        return math.ceil(float(self.bits or 8) * dim / 8)


QuantizationLike = Quantization | str | Mapping[str, Any]
