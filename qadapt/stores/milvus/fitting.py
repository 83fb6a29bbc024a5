"""Which values a typed field gives back as they are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from qadapt.stores.base import Kept
from qadapt.stores.milvus.engine import Engine

_BITS = {"INT8": 8, "INT16": 16, "INT32": 32, "INT64": 64}
SINCE_ANY_JSON = "2.4"
SINCE_ELEMENT_LENGTH = "2.4"


def fits(value: Any, field: Mapping[str, Any], engine: Engine) -> Kept:
    """How a value comes back from a field in the words of ``typed``.

    Types count: True is no 1, and a whole number in a field of floats comes back as a float, which
    is only nearly the same. NaN and infinity are no JSON, which payloads are.
    """
    if value is None:
        return "as it is" if field.get("nullable") and "default_value" not in field else "not"
    kind = field["type"]
    if kind == "ARRAY":
        return _array(value, field, engine)
    if kind == "JSON":
        return _json(value, engine)
    return _scalar(value, kind, (field.get("params") or {}).get("max_length"), engine)


def _scalar(value: Any, kind: str, length: Any, engine: Engine) -> Kept:
    if kind == "BOOL":
        good = isinstance(value, bool)
    elif kind in _BITS:
        limit = 1 << (_BITS[kind] - 1)
        good = _whole(value) and -limit <= value < limit
    elif kind == "VARCHAR":
        good = isinstance(value, str) and (length is None or size(value, engine) <= int(length))
    else:
        return _float(value, kind)
    return "as it is" if good else "not"


def size(text: str, engine: Engine) -> int:
    """What the length of a VARCHAR counts: bytes, and in Lite characters."""
    return len(text) if engine.lite else len(text.encode("utf-8", "surrogatepass"))


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _float(value: Any, kind: str) -> Kept:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "not"
    if _whole(value) and abs(value) > 2**53:
        return "not"
    number = float(value)
    if not math.isfinite(number):
        return "not"
    if kind == "FLOAT":
        with np.errstate(over="ignore"):
            back = float(np.float32(number))
    else:
        back = number
    if isinstance(value, float) and back == value:
        return "as it is"
    return "nearly" if back == value else "not"


def _array(value: Any, field: Mapping[str, Any], engine: Engine) -> Kept:
    params = field.get("params") or {}
    if not isinstance(value, list) or len(value) > int(params.get("max_capacity", 4096)):
        return "not"
    # Seen on 2.3.5 and Lite: longer elements than declared are taken, and come back.
    looks = engine.has(SINCE_ELEMENT_LENGTH)
    length = params.get("max_length") if looks else None
    kinds = {_scalar(each, field["element_type"], length, engine) for each in value}
    return "not" if "not" in kinds else "nearly" if "nearly" in kinds else "as it is"


def _json(value: Any, engine: Engine) -> Kept:
    """2.3.5 and Lite give objects back; others were refused, or could not be read again. Newer
    servers are said to keep any JSON (not tried)."""
    return "as it is" if isinstance(value, dict) or engine.has(SINCE_ANY_JSON) else "not"
