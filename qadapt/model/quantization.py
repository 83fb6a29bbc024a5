"""The common words for "how small": Quantization."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, Literal

from qadapt.errors import SpecError
from qadapt.model.plain import Plain
from qadapt.model.rescore import Rescore, number_text

Place = Literal["ram", "disk"]


class Kind(str, Enum):
    """The kinds of quantization that every store's own words are mapped to."""

    NONE = "none"
    FLOAT16 = "float16"
    SCALAR = "scalar"
    ROTATIONAL = "rotational"
    BINARY = "binary"
    PRODUCT = "product"

    def __str__(self) -> str:
        return self.value


# Which knob belongs to which kind, and what a knob may be. One table serves the constructors,
# the string form, the JSON form and the error messages.
_KNOBS: dict[Kind, tuple[str, ...]] = {
    Kind.NONE: (),
    Kind.FLOAT16: (),
    Kind.SCALAR: ("bits", "quantile", "per"),
    Kind.ROTATIONAL: ("bits", "query_bits"),
    Kind.BINARY: ("bits", "query_bits"),
    Kind.PRODUCT: ("ratio", "segments", "centroids"),
}
_DEFAULT_BITS: dict[Kind, float] = {Kind.SCALAR: 8, Kind.ROTATIONAL: 4, Kind.BINARY: 1}
# What the string form leaves out; rotational widths differ too much to be left unsaid.
_UNSAID_BITS = {(Kind.SCALAR, 8), (Kind.BINARY, 1)}
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
class Quantization(Plain):
    """How small and how exact the codes of one vector are.

    Make one with ``qa.none()``, ``qa.float16()``, ``qa.scalar()``, ``qa.rotational()``,
    ``qa.binary()``, ``qa.product()`` or ``qa.Quantization.parse("binary:query_bits=8")``.

    Attributes:
        kind: which family of codes.
        bits: bits per dimension of the code (scalar, rotational, binary).
        quantile: share of values that the scalar range spans, 0.5 to 1; None is the full range.
        per: whether a scalar range is for the whole ``collection`` or per ``dimension``; None
            leaves it to the store (which says so).
        query_bits: bits per dimension of the query; None leaves it to the store.
        ratio: compression of product codes against float32 (4 to 64).
        segments, centroids: the other way to say how large product codes are.
        rescore: second scoring; None leaves it to the store, whose default is then told.
        codes, originals: where each is kept, ``"ram"`` or ``"disk"``; None leaves it to the store.
        native: the store's own extra fields, merged last.

    Raises:
        SpecError: a knob that the kind does not have, or a value outside its range.
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
        self._check_knobs_belong()
        if self.bits is None and kind in _DEFAULT_BITS:
            object.__setattr__(self, "bits", _DEFAULT_BITS[kind])
        if kind is Kind.PRODUCT and self.ratio is None and self.segments is None:
            object.__setattr__(self, "ratio", 16)
        self._check_ranges()

    def _check_knobs_belong(self) -> None:
        known = _KNOBS[self.kind]
        for knob in sorted({name for names in _KNOBS.values() for name in names}):
            if getattr(self, knob) is not None and knob not in known:
                raise SpecError.unknown("knob", knob, [*known, *_COMMON], where=str(self.kind))
        if self.kind is Kind.NONE and self.rescore is not None and self.rescore.on:
            raise SpecError(
                "rescoring has no effect without quantization",
                hint="leave rescore out, or ask for a quantization such as binary",
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
                "product codes take ratio or segments, not both",
                hint="ratio=16 means 1/16 of float32; segments=48 means 48 bytes a vector",
            )

    # -- string form -------------------------------------------------------------------------

    @classmethod
    def parse(cls, text: str) -> Quantization:
        """A quantization from its string form, such as ``"scalar"`` or ``"binary:query_bits=8"``.

        Raises:
            SpecError: anything that is not one; the message lists what is known.
        """
        if not isinstance(text, str):
            raise SpecError(
                f"a quantization is a string such as 'binary:query_bits=8', got {text!r}"
            )
        name, _, tail = text.strip().partition(":")
        kind = name.strip()
        if kind not in {k.value for k in Kind}:
            raise SpecError.unknown("quantization", kind, [k.value for k in Kind])
        knobs: dict[str, Any] = {}
        for pair in _pairs(tail):
            knob, value = _read_pair(pair, Kind(kind))
            if knob in knobs:
                raise SpecError(f"{knob} is said twice in {text!r}", hint="leave one of them")
            knobs[knob] = value
        return cls(kind=Kind(kind), **knobs)

    @classmethod
    def of(cls, value: QuantizationLike) -> Quantization:
        """A quantization from what a user may write: one of ours, a string or a mapping."""
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
            if item.name == "bits" and (self.kind, value) in _UNSAID_BITS:
                continue
            if item.name == "native":
                value = json.dumps(value, sort_keys=True, separators=(",", ":"))
            parts.append(f"{item.name}={number_text(value) if _isnumber_text(value) else value}")
        return self.kind.value + (":" + ",".join(parts) if parts else "")

    # -- questions ---------------------------------------------------------------------------

    @property
    def codes_only(self) -> Quantization:
        """Without what belongs to a search (rescore) or to a place (codes, originals)."""
        return self.replace(rescore=None, codes=None, originals=None)

    def code_bytes(self, dim: int) -> int:
        """Ideal bytes of one code of ``dim`` dimensions, without a store's padding."""
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


def _json_copy(native: Any) -> dict[str, Any]:
    if isinstance(native, Mapping):
        try:
            return dict(json.loads(json.dumps(dict(native), allow_nan=False)))
        except (TypeError, ValueError, RecursionError) as error:
            raise SpecError(f"native must be what JSON can hold: {error}") from None
    raise SpecError(f"native must be a mapping of the store's own fields, got {native!r}")


def _isnumber_text(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _one_of(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if value is not None and (isinstance(value, bool) or value not in allowed):
        listed = ", ".join(number_text(a) if _isnumber_text(a) else str(a) for a in allowed)
        raise SpecError(f"{name} must be one of {listed}; got {value!r}")


def _between(name: str, value: Any, low: float, high: float, *, whole: bool = False) -> None:
    if value is None:
        return
    in_range = _isnumber_text(value) and low <= value <= high
    if not in_range or (whole and int(value) != value):
        kind = "a whole number" if whole else "a number"
        raise SpecError(f"{name} must be {kind} from {low:g} to {high:g}; got {value!r}")


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
    knob, equals, value = (part.strip() for part in pair.partition("="))
    known = [*_KNOBS[kind], *_COMMON]
    if not equals:
        raise SpecError(
            f"{pair!r} is not of the form knob=value", hint=f"{kind} has: {', '.join(known)}"
        )
    if knob not in known:
        raise SpecError.unknown("knob", knob, known, where=str(kind))
    if knob == "rescore":
        return knob, Rescore.of(value)
    if knob in ("per", "codes", "originals"):
        return knob, value
    if knob == "native":
        return knob, _read_native(value)
    try:
        number = float(value)
    except ValueError:
        raise SpecError(f"{knob} must be a number, got {value!r}") from None
    return knob, int(number) if number.is_integer() else number


def _read_native(value: str) -> dict[str, Any]:
    try:
        native = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"native must be a JSON object: {error}") from None
    if not isinstance(native, dict):
        raise SpecError(f"native must be a JSON object, got {value!r}")
    return native


# -- constructors: the words a user types --------------------------------------------------------


def none(**common: Any) -> Quantization:
    """float32 as it came: no quantization."""
    return Quantization(Kind.NONE, **common)


def float16(**common: Any) -> Quantization:
    """16-bit floats in place of the 32-bit ones."""
    return Quantization(Kind.FLOAT16, **common)


def scalar(bits: float = 8, **knobs: Any) -> Quantization:
    """Linear steps: 4, 6, 7 or 8 bits a dimension where a store has them.

    Further knobs: ``quantile``, ``per``, and the common ones ``rescore``, ``codes``,
    ``originals``, ``native``.
    """
    return Quantization(Kind.SCALAR, bits=bits, **knobs)


def rotational(bits: float = 4, **knobs: Any) -> Quantization:
    """Rotated, then few bits: Qdrant TurboQuant, Weaviate RQ, Milvus RaBitQ.

    Further knobs: ``query_bits`` and the common ones.
    """
    return Quantization(Kind.ROTATIONAL, bits=bits, **knobs)


def binary(bits: float = 1, **knobs: Any) -> Quantization:
    """Sign bits (1.5 and 2: Qdrant's wider encodings).

    Further knobs: ``query_bits`` and the common ones.
    """
    return Quantization(Kind.BINARY, bits=bits, **knobs)


def product(ratio: float | None = None, **knobs: Any) -> Quantization:
    """Product quantization, ``ratio`` (4 to 64) times smaller than float32; 16 by default.

    Further knobs: ``segments`` instead of ``ratio``, ``centroids``, and the common ones.
    """
    return Quantization(Kind.PRODUCT, ratio=ratio, **knobs)
