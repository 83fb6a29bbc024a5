"""Quantization settings that are common to all databases."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, Literal

from qadapt.errors import SpecError
from qadapt.model import synonyms
from qadapt.model.rescore import Rescore, RescoreLike, number_text
from qadapt.model.serializable import Serializable

Place = Literal["ram", "disk"]


class Kind(str, Enum):
    """Kinds of quantization."""

    NONE = "none"
    FLOAT16 = "float16"
    SCALAR = "scalar"
    ROTATIONAL = "rotational"
    BINARY = "binary"
    PRODUCT = "product"

    def __str__(self) -> str:
        return self.value


# The options of each kind. Constructors, strings, JSON and error messages all use these tables.
_OPTIONS: dict[Kind, tuple[str, ...]] = {
    Kind.NONE: (),
    Kind.FLOAT16: (),
    Kind.SCALAR: ("bits", "quantile", "per"),
    Kind.ROTATIONAL: ("bits", "query_bits"),
    Kind.BINARY: ("bits", "query_bits"),
    Kind.PRODUCT: ("ratio", "segments", "centroids"),
}
_DEFAULT_BITS: dict[Kind, float] = {Kind.SCALAR: 8, Kind.ROTATIONAL: 4, Kind.BINARY: 1}
# Widths that the string form omits.
_OMITTED_BITS = {(Kind.SCALAR, 8), (Kind.BINARY, 1)}
_BITS: dict[Kind, tuple[float, ...]] = {
    Kind.SCALAR: (4, 6, 7, 8),
    Kind.ROTATIONAL: (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9),
    Kind.BINARY: (1, 1.5, 2),
}
_QUERY_BITS: dict[Kind, tuple[int, ...]] = {
    Kind.ROTATIONAL: (1, 2, 3, 4, 5, 6, 7, 8, 32),
    Kind.BINARY: (1, 4, 8, 32),
}
_COMMON = ("rescore", "codes", "originals", "native")


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
        rescore: rescoring of candidates; None is the default of the database.
        codes, originals: location of codes and original vectors, ``"ram"`` or ``"disk"``; None
            is the default of the database.
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
    rescore: Rescore | None = None
    codes: Place | None = None
    originals: Place | None = None
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
        object.__setattr__(self, "native", _json_copy(self.native))
        self._check_options_belong()
        if self.bits is None and kind in _DEFAULT_BITS:
            object.__setattr__(self, "bits", _DEFAULT_BITS[kind])
        if kind is Kind.PRODUCT and self.ratio is None and self.segments is None:
            object.__setattr__(self, "ratio", 16)
        self._check_ranges()

    def _check_options_belong(self) -> None:
        known = _OPTIONS[self.kind]
        for option in sorted({name for names in _OPTIONS.values() for name in names}):
            if getattr(self, option) is not None and option not in known:
                raise SpecError.unknown("option", option, [*known, *_COMMON], where=str(self.kind))
        if self.kind is Kind.NONE and self.rescore is not None and self.rescore.on:
            raise SpecError(
                "rescoring has no effect without quantization",
                hint="leave out rescore, or use a quantization such as binary",
            )

    def _check_ranges(self) -> None:
        _one_of("bits", self.bits, _BITS.get(self.kind, ()))
        _one_of("query_bits", self.query_bits, _QUERY_BITS.get(self.kind, ()))
        _one_of("per", self.per, ("collection", "dimension"))
        _one_of("codes", self.codes, ("ram", "disk"))
        _one_of("originals", self.originals, ("ram", "disk"))
        _between("quantile", self.quantile, 0.5, 1.0)
        _between("ratio", self.ratio, 2, 256)
        _between("segments", self.segments, 1, 65536, whole=True)
        _between("centroids", self.centroids, 2, 65536, whole=True)
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
        if not isinstance(text, str):
            raise SpecError(
                f"a quantization is a string such as 'binary:query_bits=8', got {text!r:.60}",
                hint="pass a string, a mapping with kind, or qa.binary(), qa.scalar(), ...",
            )
        name, _, tail = text.strip().partition(":")
        kind, implied = synonyms.quantization(name.strip())
        if kind not in {k.value for k in Kind}:
            raise SpecError.unknown("quantization", name.strip(), [k.value for k in Kind])
        options: dict[str, Any] = {}
        for pair in _pairs(tail):
            option, value = _read_pair(pair, Kind(kind))
            if option in options:
                raise SpecError(f"{option} is given twice in {text!r}", hint="remove one of them")
            if option in implied and value != implied[option]:
                raise SpecError(
                    f"{name.strip()!r} has {option}={implied[option]}; got {pair!r}",
                    hint=f"use {kind}:{pair}",
                )
            options[option] = value
        return cls(kind=Kind(kind), **{**implied, **options})

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
        parts = []
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name == "kind" or value is None or value == {}:
                continue
            if item.name == "bits" and (self.kind, value) in _OMITTED_BITS:
                continue
            if item.name == "native":
                value = json.dumps(value, sort_keys=True, separators=(",", ":"))
            parts.append(f"{item.name}={number_text(value) if _isnumber_text(value) else value}")
        return self.kind.value + (":" + ",".join(parts) if parts else "")

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

    def code_bytes(self, dim: int) -> int:
        """Bytes of one code of ``dim`` dimensions, without padding of the database."""
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


_NATIVE = 'for example native={"rescoreLimit": 100}'


def _json_copy(native: Any) -> dict[str, Any]:
    if isinstance(native, Mapping):
        try:
            return dict(json.loads(json.dumps(dict(native), allow_nan=False)))
        except (TypeError, ValueError, RecursionError) as error:
            raise SpecError(f"native must be JSON-serializable: {error}", hint=_NATIVE) from None
    raise SpecError(f"native must be a mapping of native settings, got {native!r}", hint=_NATIVE)


def _isnumber_text(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _one_of(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if value is not None and (isinstance(value, bool) or value not in allowed):
        listed = ", ".join(number_text(a) if _isnumber_text(a) else str(a) for a in allowed)
        raise SpecError(
            f"{name} must be one of {listed}; got {value!r}",
            hint=f"for example {name}={allowed[0]}",
        )


def _between(name: str, value: Any, low: float, high: float, *, whole: bool = False) -> None:
    if value is None:
        return
    in_range = _isnumber_text(value) and low <= value <= high
    if not in_range or (whole and int(value) != value):
        kind = "an integer" if whole else "a number"
        raise SpecError(
            f"{name} must be {kind} from {low:g} to {high:g}; got {value!r}",
            hint=f"omit {name} for the default of the database",
        )


def _pairs(tail: str) -> list[str]:
    """``a=1,native={"b":[1,2]}`` cut at the commas that are outside of JSON."""
    pairs, depth, start, quoted, escaped = [], 0, 0, False, False
    for at, char in enumerate(tail):
        if quoted:
            quoted, escaped = (char != '"' or escaped), (char == "\\" and not escaped)
        elif char == '"':
            quoted = depth > 0
        elif char in "{[":
            depth += 1
        elif char in "}]":
            depth -= 1
        elif char == "," and depth == 0:
            pairs.append(tail[start:at])
            start = at + 1
    pairs.append(tail[start:])
    return [pair.strip() for pair in pairs if pair.strip()]


def _read_pair(pair: str, kind: Kind) -> tuple[str, Any]:
    option, equals, value = (part.strip() for part in pair.partition("="))
    known = [*_OPTIONS[kind], *_COMMON]
    if not equals:
        raise SpecError(
            f"{pair!r} is not of the form option=value", hint=f"{kind} has: {', '.join(known)}"
        )
    if option not in known:
        raise SpecError.unknown("option", option, known, where=str(kind))
    if option == "rescore":
        return option, Rescore.of(value)
    if option in ("per", "codes", "originals"):
        return option, value
    if option == "native":
        return option, _read_native(value)
    try:
        number = float(value)
    except ValueError:
        raise SpecError(
            f"{option} must be a number, got {value!r}",
            hint=f"omit {option} for the default of the database",
        ) from None
    return option, int(number) if number.is_integer() else number


def _read_native(value: str) -> dict[str, Any]:
    try:
        native = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"native must be a JSON object: {error}", hint=_NATIVE) from None
    if not isinstance(native, dict):
        raise SpecError(f"native must be a JSON object, got {value!r}", hint=_NATIVE)
    return native


# -- constructors --------------------------------------------------------------------------------


def none(
    *, rescore: RescoreLike = None, originals: Place | None = None,
    native: Mapping[str, Any] | None = None,
) -> Quantization:  # fmt: skip
    """No quantization: the stored vectors are searched.

    Args:
        rescore: must be ``None`` or ``"off"``, because there are no codes to rescore.
        originals: ``"ram"`` or ``"disk"``.
        native: native settings of the database, merged last.

    Raises:
        SpecError: an option has an invalid value.
    """
    return _made(Kind.NONE, rescore, None, originals, native)


def float16(
    *, rescore: RescoreLike = None, codes: Place | None = None, originals: Place | None = None,
    native: Mapping[str, Any] | None = None,
) -> Quantization:  # fmt: skip
    """16-bit floating point: half the size of float32.

    Args:
        rescore: oversampling factor, ``"off"``, or a ``Rescore``.
        codes, originals: ``"ram"`` or ``"disk"``.
        native: native settings of the database, merged last.

    Raises:
        SpecError: an option has an invalid value.
    """
    return _made(Kind.FLOAT16, rescore, codes, originals, native)


def scalar(
    bits: float = 8, *, quantile: float | None = None,
    per: Literal["collection", "dimension"] | None = None, rescore: RescoreLike = None,
    codes: Place | None = None, originals: Place | None = None,
    native: Mapping[str, Any] | None = None,
) -> Quantization:  # fmt: skip
    """Scalar quantization: each dimension becomes a small integer on a linear scale.

    Args:
        bits: 4, 6, 7 or 8 bits per dimension.
        quantile: share of the values that the range covers, 0.5 to 1; None covers all.
        per: one range for the ``"collection"`` or one for each ``"dimension"``.
        rescore: oversampling factor, ``"off"``, or a ``Rescore``.
        codes, originals: ``"ram"`` or ``"disk"``.
        native: native settings of the database, merged last.

    Raises:
        SpecError: an option has an invalid value.
    """
    options = {"bits": bits, "quantile": quantile, "per": per}
    return _made(Kind.SCALAR, rescore, codes, originals, native, **options)


def rotational(
    bits: float = 4, *, query_bits: int | None = None, rescore: RescoreLike = None,
    codes: Place | None = None, originals: Place | None = None,
    native: Mapping[str, Any] | None = None,
) -> Quantization:  # fmt: skip
    """Rotational quantization: a random rotation, then a few bits per dimension.

    Implemented by Qdrant (TurboQuant), Weaviate (RQ) and Milvus (RaBitQ).

    Args:
        bits: 1, 1.5 or 2 to 9 bits per dimension.
        query_bits: bits per dimension of the query, 1 to 8 or 32; None is the default of the
            database.
        rescore: oversampling factor, ``"off"``, or a ``Rescore``.
        codes, originals: ``"ram"`` or ``"disk"``.
        native: native settings of the database, merged last.

    Raises:
        SpecError: an option has an invalid value.
    """
    options = {"bits": bits, "query_bits": query_bits}
    return _made(Kind.ROTATIONAL, rescore, codes, originals, native, **options)


def binary(
    bits: float = 1, *, query_bits: int | None = None, rescore: RescoreLike = None,
    codes: Place | None = None, originals: Place | None = None,
    native: Mapping[str, Any] | None = None,
) -> Quantization:  # fmt: skip
    """Binary quantization: the sign of each dimension.

    Args:
        bits: 1, or 1.5 and 2 for the wider encodings of Qdrant.
        query_bits: bits per dimension of the query: 1, 4, 8 or 32; None is the default of the
            database.
        rescore: oversampling factor, ``"off"``, or a ``Rescore``.
        codes, originals: ``"ram"`` or ``"disk"``.
        native: native settings of the database, merged last.

    Raises:
        SpecError: an option has an invalid value.
    """
    options = {"bits": bits, "query_bits": query_bits}
    return _made(Kind.BINARY, rescore, codes, originals, native, **options)


def product(
    ratio: float | None = None, *, segments: int | None = None, centroids: int | None = None,
    rescore: RescoreLike = None, codes: Place | None = None, originals: Place | None = None,
    native: Mapping[str, Any] | None = None,
) -> Quantization:  # fmt: skip
    """Product quantization: groups of dimensions are replaced by their nearest centroid.

    Args:
        ratio: compression relative to float32, 2 to 256; 16 if ``segments`` is not given.
        segments: number of groups, instead of ``ratio``.
        centroids: number of centroids per group; None is the default of the database.
        rescore: oversampling factor, ``"off"``, or a ``Rescore``.
        codes, originals: ``"ram"`` or ``"disk"``.
        native: native settings of the database, merged last.

    Raises:
        SpecError: an option has an invalid value, or both ``ratio`` and ``segments`` are given.
    """
    options = {"ratio": ratio, "segments": segments, "centroids": centroids}
    return _made(Kind.PRODUCT, rescore, codes, originals, native, **options)


def _made(
    kind: Kind, rescore: RescoreLike, codes: Place | None, originals: Place | None,
    native: Mapping[str, Any] | None, **options: Any,
) -> Quantization:  # fmt: skip
    return Quantization(
        kind,
        rescore=Rescore.of(rescore),
        codes=codes,
        originals=originals,
        native={} if native is None else native,
        **options,
    )
