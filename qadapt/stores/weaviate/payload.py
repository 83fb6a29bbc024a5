"""Conversion of payloads to properties of Weaviate and back.

A property has one type, text is matched by words by default, numbers are sent as 64-bit floats,
null is not stored, and a name matches [_A-Za-z][_0-9A-Za-z]*. In collections that qadapt creates,
values that a property returns and a filter compares exactly become properties: text, numbers,
booleans and lists of them. The rest (nested values, null, other names and types, whitespace around
text, floats without fraction, integers from 2^53) is stored as JSON text in the property
``qadapt_payload``. Collections created by other clients only use their own properties.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qadapt.errors import InputError
from qadapt.model import Batch
from qadapt.stores.weaviate.connection import proto
from qadapt.stores.weaviate.schema import Layout

REST = "qadapt_payload"
REST_PROPERTY = {
    "name": REST,
    "description": "payload values that no property returns exactly, as JSON",
    "dataType": ["text"],
    "tokenization": "field",
    "indexFilterable": False,
    "indexSearchable": False,
}
TEXT, NUMBER, BOOLEAN = "text", "number", "boolean"
KINDS = (TEXT, NUMBER, BOOLEAN)

# The server lowercases the first letter, so a name with a capital letter would change.
_NAME = re.compile(r"[a-z][_0-9A-Za-z]{0,230}")
_TAKEN = ("id", "vector", REST)
_INT = 2**53


def has_own_properties(layout: Layout) -> bool:
    """Whether the collection can store the rest of a payload: qadapt created it."""
    return REST in layout.properties


def can_copy(name: str) -> bool:
    """Whether a payload key can be a property."""
    return _NAME.fullmatch(name) is not None and name not in _TAKEN


def base(kind: str) -> str:
    """The element type of a list type; any other type unchanged."""
    return kind.removesuffix("[]")


# -- which properties -----------------------------------------------------------------------------


def new_properties(layout: Layout, batch: Batch) -> dict[str, str]:
    """The missing properties that a batch needs: type by name."""
    found: dict[str, str] = {}
    listed: set[str] = set()
    for payload in batch.payloads or ():
        for name, value in payload.items():
            if name in layout.properties or not can_copy(name):
                continue
            kind = _kind(value)
            if kind is None:
                continue
            found.setdefault(name, kind)
            if isinstance(value, (list, tuple)) and len(value) > 1:
                listed.add(name)
    return {name: f"{kind}[]" if name in listed else kind for name, kind in found.items()}


def property_body(name: str, kind: str) -> dict[str, Any]:
    """A property that is compared as a whole, not by words."""
    body: dict[str, Any] = {"name": name, "dataType": [kind], "indexFilterable": True}
    if base(kind) == TEXT:
        body.update(tokenization="field", indexSearchable=False)
    return body


def indexes_payload_automatically(key: str, kind: str) -> bool:
    """Whether a payload key becomes a property indexed as ``kind``. Dates become text, which has no
    range index; full text, geo points and nested keys have no index."""
    return kind in ("keyword", "integer", "float", "bool", "uuid") and can_copy(key)


def _kind(value: Any) -> str | None:
    """The property type of a value, or of the first element of a list; None if there is none."""
    if isinstance(value, (list, tuple)):
        return next((kind for each in value if (kind := _scalar(each)) is not None), None)
    return _scalar(value)


def _scalar(value: Any) -> str | None:
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, (int, float)):
        return NUMBER
    # The server strips whitespace before it compares.
    return TEXT if isinstance(value, str) and value == value.strip() else None


def elements(value: Any, kind: str) -> list[Any]:
    """The value that is compared as ``kind``: -0.0 is 0.0, numbers are floats."""
    values = value if isinstance(value, (list, tuple)) else [value]
    found = [each for each in values if _scalar(each) == kind]
    return [float(each) + 0.0 for each in found] if kind == NUMBER else found


# -- writing -------------------------------------------------------------------------------------


def check(layout: Layout, batch: Batch) -> None:
    """Refuse values that a filter could not find, or that the server would change.

    Raises:
        InputError: the message names the row and the key.
    """
    known = {**layout.properties, **new_properties(layout, batch)}
    for row, payload in enumerate(batch.payloads or ()):
        for name, value in payload.items():
            kind = known.get(name)
            if has_own_properties(layout):
                if name == REST:
                    raise _no(row, name, "is reserved: qadapt stores payloads under this name")
                if kind in KINDS and len(elements(value, kind)) > 1:
                    raise _no(row, name, f"is a list; the property holds one {kind} per row")
            elif kind is None and not _can_be_made(name):
                raise _no(row, name, "is not a valid property name")
            else:
                _check_native(row, name, value, kind)


def _can_be_made(name: str) -> bool:
    return re.fullmatch(r"[_a-z][_0-9A-Za-z]{0,230}", name) is not None and name not in _TAKEN


def _check_native(row: int, name: str, value: Any, kind: str | None) -> None:
    values = value if isinstance(value, (list, tuple)) else [value]
    for each in values:
        whole = isinstance(each, int) and not isinstance(each, bool)
        if whole and (abs(each) > 2**63 or int(float(each)) != each):
            raise _no(row, name, f"is {each}, which Weaviate would round to a 64-bit float")
        if each is None or isinstance(each, dict):
            continue
        wrong = (
            (kind == "int" and (isinstance(each, (bool, str)) or each != int(each)))
            or (kind == NUMBER and isinstance(each, (bool, str)))
            or (kind == TEXT and not isinstance(each, str))
            or (kind == BOOLEAN and not isinstance(each, bool))
        )
        if wrong:
            raise _no(row, name, f"is a {type(each).__name__}; the property has type {kind}")


def _no(row: int, name: str, problem: str) -> InputError:
    return InputError(
        f"the payload of row {row}: {name!r} {problem}",
        hint="a property of Weaviate needs a valid name and has one type; nothing was written",
    )


def encode(layout: Layout, payload: Mapping[str, Any]) -> Any:
    """Convert one payload to the server's message."""
    message = proto().batch_pb2.BatchObject.Properties()
    if not has_own_properties(layout):
        _encode_native(message, payload, layout.properties)
        return message
    rest = {}
    for name, value in payload.items():
        kind = layout.properties.get(name, "")
        found = elements(value, base(kind)) if base(kind) in KINDS and can_copy(name) else []
        if found and kind in KINDS:
            message.non_ref_properties.update({name: found[0]})
        elif found:
            _add_list(message, name, found)
        if not found or not _same(value, _plain(found if kind.endswith("[]") else found[0])):
            rest[name] = value
    if rest:
        text = json.dumps(rest, ensure_ascii=False, separators=(",", ":"))
        message.non_ref_properties.update({REST: text})
    return message


def _plain(value: Any) -> Any:
    """The returned value: a float without fraction was an integer."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < _INT:
        return int(value)
    return value


def _same(value: Any, back: Any) -> bool:
    if isinstance(back, list):
        return (
            isinstance(value, (list, tuple))
            and len(value) == len(back)
            and all(map(_same, value, back))
        )
    return type(value) is type(back) and bool(value == back)


def _encode_native(message: Any, payload: Mapping[str, Any], kinds: Mapping[str, str]) -> None:
    base_pb2 = proto().base_pb2
    for name, value in payload.items():
        if value is None:
            continue
        if isinstance(value, Mapping) and kinds.get(name) not in ("geoCoordinates", "phoneNumber"):
            inner = base_pb2.ObjectPropertiesValue()
            _encode_native(inner, value, {})
            message.object_properties.add(prop_name=name, value=inner)
        elif not isinstance(value, (list, tuple)):
            message.non_ref_properties.update({name: value})
        elif not value:
            message.empty_list_props.append(name)
        elif isinstance(value[0], Mapping):
            rows = []
            for each in value:
                rows.append(base_pb2.ObjectPropertiesValue())
                _encode_native(rows[-1], each, {})
            message.object_array_properties.add(prop_name=name, values=rows)
        else:
            _add_list(message, name, value)


def _add_list(message: Any, name: str, values: Sequence[Any]) -> None:
    if isinstance(values[0], str):
        message.text_array_properties.add(prop_name=name, values=values)
    elif isinstance(values[0], bool):
        message.boolean_array_properties.add(prop_name=name, values=values)
    elif all(isinstance(each, int) for each in values):
        message.int_array_properties.add(prop_name=name, values=values)
    else:
        packed = np.asarray(values, dtype="<f8").tobytes()
        message.number_array_properties.add(prop_name=name, values_bytes=packed)


# -- reading -------------------------------------------------------------------------------------


def decode(layout: Layout, found: Any) -> dict[str, Any]:
    """The payload of a row.

    Args:
        found: ``properties.non_ref_props.fields`` of the server's answer.
    """
    read = _decode_native(found)
    if not has_own_properties(layout):
        return read
    rest = read.pop(REST, None)
    payload = {
        name: _plain(value) if base(layout.properties.get(name, "")) == NUMBER else value
        for name, value in read.items()
    }
    return {**payload, **(json.loads(rest) if rest else {})}


def _decode_native(found: Any) -> dict[str, Any]:
    return {
        name: _value(value)
        for name, value in sorted(found.items())
        if value.WhichOneof("kind") not in (None, "null_value")
    }


def _value(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "object_value":
        return _decode_native(value.object_value.fields)
    if kind == "list_value":
        return _list(value.list_value)
    if kind == "geo_value":
        return {"latitude": value.geo_value.latitude, "longitude": value.geo_value.longitude}
    if kind == "phone_value":
        return {
            "input": value.phone_value.input,
            "defaultCountry": value.phone_value.default_country,
        }
    return getattr(value, kind)


def _list(found: Any) -> list[Any]:
    kind = found.WhichOneof("kind")
    if kind is None:
        return []
    values = getattr(found, kind).values
    if kind == "object_values":
        return [_decode_native(each.fields) for each in values]
    if kind in ("number_values", "int_values"):
        array = np.frombuffer(values, dtype="<f8" if kind == "number_values" else "<i8")
        return list(array.tolist())
    return list(values)
