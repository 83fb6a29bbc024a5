"""Which payload values and ids a collection stores unchanged, and what a migration leaves out."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from qadapt.errors import InputError, SpecError
from qadapt.model import ExtraVector, Id
from qadapt.stores.base import PayloadFidelity, RowConstraints
from qadapt.stores.milvus import copy_schema, payload_schema, schema, sparse
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.ids import MAX_LENGTH, PrimaryKey
from qadapt.stores.milvus.schema import Layout
from qadapt.stores.milvus.version import ServerVersion

_BITS = {"INT8": 8, "INT16": 16, "INT32": 32, "INT64": 64}
SINCE_ANY_JSON = "2.4"
SINCE_ELEMENT_LENGTH = "2.4"
_OURS = PrimaryKey(schema.KEY, tagged=True)


def accepts_id(key: Id) -> bool:
    """Whether the primary key of a new collection can store an id."""
    return bool(_OURS.possible([key]))


def payload_fidelity(key: str) -> PayloadFidelity:
    """Whether the dynamic field stores a key unchanged."""
    reserved = key in (schema.KEY, "$meta", schema.UNNAMED) or key.startswith(schema.PREFIX)
    return "dropped" if reserved else "exact"


def row_constraints(
    wanted: Mapping[str, Any], vectors: Collection[str], server_version: ServerVersion
) -> RowConstraints:
    """The ids and payloads that a collection with this schema can store.

    Args:
        wanted: the schema, in the form of ``payload_schema``.
        vectors: the names of the collection's vectors.
    """
    key = wanted.get("key")
    keys = _OURS if key is None else keys_of(key, server_version)
    names = {"$meta", keys.field, *vectors} if key is not None else set[str]()
    fields = {each["name"]: each for each in wanted["fields"]}

    def kept(name: str, value: Any) -> PayloadFidelity:
        if name in fields:
            return value_fidelity(value, fields[name], server_version)
        if name in names or not wanted["dynamic"]:
            return "dropped"
        return payload_fidelity(name) if key is None else "exact"

    return RowConstraints(lambda each: bool(keys.possible([each])), kept)


def keys_of(key: Mapping[str, Any], server_version: ServerVersion) -> PrimaryKey:
    """The primary key of a schema."""
    length = int((key.get("params") or {}).get("max_length") or MAX_LENGTH)
    return PrimaryKey(
        key["name"], number=key["type"] == "INT64", length=length, chars=server_version.lite
    )


def uncopied(connection: Connection, layout: schema.Layout) -> dict[str, str]:
    """The parts of a collection that a migration does not copy, by kind."""
    left = {name: why for name, why in layout.others.items() if name not in layout.sparse}
    words = {
        name: [f"{each} {why}" for each, why in left.items() if (sparse.TYPE in why) is ours]
        for name, ours in (("sparse-vectors", True), ("other-vectors", False))
    }
    found = {name: ", ".join(each) for name, each in words.items()}
    found["typed-fields"] = payload_schema.undeclarable(
        copy_schema.describe(connection, layout.base)
    )
    return {name: words for name, words in found.items() if words}


def unsupported_extras(
    extras: Mapping[str, ExtraVector], server_version: ServerVersion
) -> dict[str, str]:
    """The extra vectors that a new collection cannot have, and why."""
    found = sparse.unsupported(extras, server_version)
    for name in extras:
        try:
            schema.field_of(name)
        except InputError as error:
            found[f"extras.{name}"] = error.message
    return found


# -- values of typed fields -----------------------------------------------------------------------


def value_fidelity(
    value: Any, field: Mapping[str, Any], server_version: ServerVersion
) -> PayloadFidelity:
    """How a typed field stores a value.

    Types are significant: True is not 1, and an integer in a float field is read back as a float,
    which is lossy. NaN and infinity are dropped, because they are not valid JSON.

    Args:
        field: the field, in the form of ``payload_schema``.
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
    """The length of a VARCHAR value: in bytes, or in characters in Lite."""
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
    # 2.3.5 and Lite accept elements longer than declared and return them unchanged.
    looks = server_version.has(SINCE_ELEMENT_LENGTH)
    length = params.get("max_length") if looks else None
    kinds = {_scalar(each, field["element_type"], length, server_version) for each in value}
    return "dropped" if "dropped" in kinds else "lossy" if "lossy" in kinds else "exact"


def _json(value: Any, server_version: ServerVersion) -> PayloadFidelity:
    """2.3.5 and Lite return objects unchanged; other values are refused or cannot be read again.
    Newer servers store any JSON value according to their documentation (not run).
    """
    return "exact" if isinstance(value, dict) or server_version.has(SINCE_ANY_JSON) else "dropped"


# The maximum size of the dynamic field of one row, in bytes.
MAX_PAYLOAD = 65_536


def check_payload(layout: Layout, payload: Mapping[str, Any], row: int) -> None:
    for key in payload:
        if key in layout.reserved:
            raise InputError(
                f"the payload of row {row} has the key {key!r}, which is a field of the collection",
                hint="nothing was written; rename the key",
            )
        if not layout.fields.dynamic and key not in layout.fields.types:
            known = sorted(layout.fields.types)
            raise SpecError.unknown(
                "payload key", key, known, where="a collection without a dynamic field"
            )
    absent = sorted(key for key in layout.required if payload.get(key) is None)
    if absent:
        raise InputError(
            f"the payload of row {row} has no {', '.join(absent)}, which each row of "
            f"{layout.name!r} needs",
            hint="nothing was written; set the field, which is not nullable and has no default",
        )
    typed = layout.fields.types
    rest = payload
    if not typed.keys().isdisjoint(payload):
        rest = {key: value for key, value in payload.items() if key not in typed}
    size = _json_bytes(rest) if rest else 0
    if size > MAX_PAYLOAD:
        sizes = {key: _json_bytes(value) for key, value in rest.items()}
        largest = max(sizes, key=lambda key: sizes[key])
        raise InputError(
            f"the payload of row {row} has {size:,} bytes ({largest!r}: "
            f"{sizes[largest]:,}); Milvus "
            f"accepts at most {MAX_PAYLOAD:,}",
            hint="nothing was written; store long texts outside of Milvus",
        )


def _json_bytes(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


def with_texts(payload: Mapping[str, Any], fields: Sequence[str]) -> Mapping[str, Any]:
    """Encode strings in JSON fields: pymilvus treats a string there as serialized JSON, so
    ``'{"a": 1}'`` would become an object.
    """
    found = {name: payload[name] for name in fields if isinstance(payload.get(name), str)}
    if not found:
        return payload
    return {**payload, **{name: json.dumps(text) for name, text in found.items()}}
