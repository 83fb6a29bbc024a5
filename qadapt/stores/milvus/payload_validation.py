"""Which values a typed field gives back as they are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from qadapt.stores.base import PayloadFidelity
from qadapt.stores.milvus.version import ServerVersion

_BITS = {"INT8": 8, "INT16": 16, "INT32": 32, "INT64": 64}
SINCE_ANY_JSON = "2.4"
SINCE_ELEMENT_LENGTH = "2.4"


def payload_fidelity(
    value: Any, field: Mapping[str, Any], server_version: ServerVersion
) -> PayloadFidelity:
    """How a value comes back from a field in the words of ``typed``.

    Types count: True is no 1, and a whole number in a field of floats comes back as a float, which
    is only nearly the same. NaN and infinity are no JSON, which payloads are.
    """
    if value is None:
        return "exact" if field.get("nullable") and "default_value" not in field else "dropped"
    kind = field["type"]
    if kind == "ARRAY":
        return _array(value, field, server_version)
    if kind == "JSON":
        return _json(value, server_version)
    return _scalar(value, kind, (field.get("params") or {}).get("max_length"), server_version)


def _scalar(value: Any, kind: str, length: Any, server_version: ServerVersion) -> PayloadFidelity:
    if kind == "BOOL":
        good = isinstance(value, bool)
    elif kind in _BITS:
        limit = 1 << (_BITS[kind] - 1)
        good = _whole(value) and -limit <= value < limit
    elif kind == "VARCHAR":
        good = isinstance(value, str) and (
            length is None or size(value, server_version) <= int(length)
        )
    else:
        return _float(value, kind)
    return "exact" if good else "dropped"


def size(text: str, server_version: ServerVersion) -> int:
    """What the length of a VARCHAR counts: bytes, and in Lite characters."""
    return len(text) if server_version.lite else len(text.encode("utf-8", "surrogatepass"))


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _float(value: Any, kind: str) -> PayloadFidelity:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "dropped"
    if _whole(value) and abs(value) > 2**53:
        return "dropped"
    number = float(value)
    if not math.isfinite(number):
        return "dropped"
    if kind == "FLOAT":
        with np.errstate(over="ignore"):
            back = float(np.float32(number))
    else:
        back = number
    if isinstance(value, float) and back == value:
        return "exact"
    return "lossy" if back == value else "dropped"


def _array(value: Any, field: Mapping[str, Any], server_version: ServerVersion) -> PayloadFidelity:
    params = field.get("params") or {}
    if not isinstance(value, list) or len(value) > int(params.get("max_capacity", 4096)):
        return "dropped"
    # Seen on 2.3.5 and Lite: longer elements than declared are taken, and come back.
    looks = server_version.has(SINCE_ELEMENT_LENGTH)
    length = params.get("max_length") if looks else None
    kinds = {_scalar(each, field["element_type"], length, server_version) for each in value}
    return "dropped" if "dropped" in kinds else "lossy" if "lossy" in kinds else "exact"


def _json(value: Any, server_version: ServerVersion) -> PayloadFidelity:
    """2.3.5 and Lite give objects back; others were refused, or could not be read again. Newer
    servers are said to keep any JSON (not tried)."""
    return "exact" if isinstance(value, dict) or server_version.has(SINCE_ANY_JSON) else "dropped"
