"""Kinds of quantization, the options of each kind, and the values that they accept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal, get_args

from qadapt.errors import SpecError
from qadapt.model.rescore import number_text

Place = Literal["ram", "disk"]
CodesPlace = Literal["ram", "cached", "disk"]
OriginalsPlace = Literal["ram", "disk", "none"]
ORIGINALS_PLACES: tuple[OriginalsPlace, ...] = get_args(OriginalsPlace)
CODES_PLACES: tuple[CodesPlace, ...] = get_args(CodesPlace)


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
OPTIONS: dict[Kind, tuple[str, ...]] = {
    Kind.NONE: (),
    Kind.FLOAT16: (),
    Kind.SCALAR: ("bits", "quantile", "per"),
    Kind.ROTATIONAL: ("bits", "query_bits"),
    Kind.BINARY: ("bits", "query_bits"),
    Kind.PRODUCT: ("ratio", "segments", "centroids"),
}
DEFAULT_BITS: dict[Kind, float] = {Kind.SCALAR: 8, Kind.ROTATIONAL: 4, Kind.BINARY: 1}
# Widths that the string form omits.
OMITTED_BITS = {(Kind.SCALAR, 8), (Kind.BINARY, 1)}
BITS: dict[Kind, tuple[float, ...]] = {
    Kind.SCALAR: (4, 6, 7, 8),
    Kind.ROTATIONAL: (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9),
    Kind.BINARY: (1, 1.5, 2),
}
QUERY_BITS: dict[Kind, tuple[int, ...]] = {
    Kind.ROTATIONAL: (1, 2, 3, 4, 5, 6, 7, 8, 32),
    Kind.BINARY: (1, 4, 8, 32),
}
COMMON = ("dims", "rescore", "candidates", "codes", "originals", "native")

NATIVE = 'for example native={"rescoreLimit": 100}'


def json_copy(native: Any) -> dict[str, Any]:
    """Copy native settings.

    Raises:
        SpecError: not a mapping, or not JSON.
    """
    if isinstance(native, Mapping):
        try:
            return dict(json.loads(json.dumps(dict(native), allow_nan=False)))
        except (TypeError, ValueError, RecursionError) as error:
            raise SpecError(f"native must be JSON-serializable: {error}", hint=NATIVE) from None
    raise SpecError(f"native must be a mapping of native settings, got {native!r}", hint=NATIVE)


def is_number(value: Any) -> bool:
    """Whether a value is an int or float, not a bool."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def one_of(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    """Raise SpecError for a value that is neither None nor allowed."""
    if value is not None and (isinstance(value, bool) or value not in allowed):
        listed = ", ".join(number_text(a) if is_number(a) else str(a) for a in allowed)
        raise SpecError(
            f"{name} must be one of {listed}; got {value!r}",
            hint=f"for example {name}={allowed[0]}",
        )


def between(name: str, value: Any, low: float, high: float, *, whole: bool = False) -> None:
    """Raise SpecError for a number out of range; None is valid."""
    if value is None:
        return
    in_range = is_number(value) and low <= value <= high
    if not in_range or (whole and int(value) != value):
        kind = "an integer" if whole else "a number"
        raise SpecError(
            f"{name} must be {kind} from {low:g} to {high:g}; got {value!r}",
            hint=f"omit {name} for the default of the database",
        )
