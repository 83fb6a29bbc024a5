"""Payloads as Weaviate's properties, and back.

A property has one type, text is matched by words unless told otherwise, numbers are 64-bit floats
on their way in, null is not kept, and a name is [_A-Za-z][_0-9A-Za-z]*. So in collections that
qadapt makes, what a property gives back exactly and what a filter compares exactly is a property:
text, numbers, booleans and lists of them. The rest of a payload (nested values, null, other names
and types, blanks around text, whole floats, integers from 2^53) is JSON text in the property
``qadapt_payload``. Collections made by others keep their own properties, as they are.
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
    "description": "what of a payload no property gives back exactly, as JSON",
    "dataType": ["text"],
    "tokenization": "field",
    "indexFilterable": False,
    "indexSearchable": False,
}
TEXT, NUMBER, BOOLEAN = "text", "number", "boolean"
KINDS = (TEXT, NUMBER, BOOLEAN)

# The server makes the first letter small: a name that begins with a large one would be another.
_NAME = re.compile(r"[a-z][_0-9A-Za-z]{0,230}")
_TAKEN = ("id", "vector", REST)
_INT = 2**53


def has_own_properties(layout: Layout) -> bool:
    """Whether there is a place for the rest of a payload: made by qadapt."""
    return REST in layout.properties


def can_copy(name: str) -> bool:
    """Whether a payload key can be a property of its own."""
    return _NAME.fullmatch(name) is not None and name not in _TAKEN


def base(kind: str) -> str:
    """The type of the elements of a list; of another type that type itself."""
    return kind.removesuffix("[]")


# -- which properties -----------------------------------------------------------------------------


def new_properties(layout: Layout, batch: Batch) -> dict[str, str]:
    """The properties that a batch needs and that are not there: type by name."""
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
    """A property that is compared as a whole and not by words."""
    body: dict[str, Any] = {"name": name, "dataType": [kind], "indexFilterable": True}
    if base(kind) == TEXT:
        body.update(tokenization="field", indexSearchable=False)
    return body


def indexes_payload_automatically(key: str, kind: str) -> bool:
    """Whether an entry becomes a property that is indexed as ``kind``: dates are texts here, which
    have no ranges, words of a text have no index, and neither have places and paths."""
    return kind in ("keyword", "integer", "float", "bool", "uuid") and can_copy(key)


def _kind(value: Any) -> str | None:
    """The type of a value, or of the first element of a list; None for what is none."""
    if isinstance(value, (list, tuple)):
        return next((kind for each in value if (kind := _scalar(each)) is not None), None)
    return _scalar(value)


def _scalar(value: Any) -> str | None:
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, (int, float)):
        return NUMBER
    # The server cuts blanks off before it compares.
    return TEXT if isinstance(value, str) and value == value.strip() else None


def elements(value: Any, kind: str) -> list[Any]:
    """What of a value can be compared as ``kind``: -0.0 is 0.0, numbers are floats."""
    values = value if isinstance(value, (list, tuple)) else [value]
    found = [each for each in values if _scalar(each) == kind]
    return [float(each) + 0.0 for each in found] if kind == NUMBER else found


# -- writing -------------------------------------------------------------------------------------


def check(layout: Layout, batch: Batch) -> None:
    """Refuse values that a filter would not find again, or that the server would change.

    Raises:
        InputError: names the row and the key.
    """
    known = {**layout.properties, **new_properties(layout, batch)}
    for row, payload in enumerate(batch.payloads or ()):
        for name, value in payload.items():
            kind = known.get(name)
            if has_own_properties(layout):
                if name == REST:
                    raise _no(row, name, "is the name that qadapt keeps payloads under")
                if kind in KINDS and len(elements(value, kind)) > 1:
                    raise _no(row, name, f"is a list; the property holds one {kind} in each row")
            elif kind is None and not _can_be_made(name):
                raise _no(row, name, "cannot be the name of a property")
            else:
                _check_native(row, name, value, kind)


def _can_be_made(name: str) -> bool:
    return re.fullmatch(r"[_a-z][_0-9A-Za-z]{0,230}", name) is not None and name not in _TAKEN


def _check_native(row: int, name: str, value: Any, kind: str | None) -> None:
    values = value if isinstance(value, (list, tuple)) else [value]
    for each in values:
        whole = isinstance(each, int) and not isinstance(each, bool)
        if whole and (abs(each) > 2**63 or int(float(each)) != each):
            raise _no(row, name, f"is {each}, which Weaviate takes as a float and would change")
        if each is None or isinstance(each, dict):
            continue
        wrong = (
            (kind == "int" and (isinstance(each, (bool, str)) or each != int(each)))
            or (kind == NUMBER and isinstance(each, (bool, str)))
            or (kind == TEXT and not isinstance(each, str))
            or (kind == BOOLEAN and not isinstance(each, bool))
        )
        if wrong:
            raise _no(row, name, f"is a {type(each).__name__}; the property is of type {kind}")


def _no(row: int, name: str, problem: str) -> InputError:
    return InputError(
        f"the payload of row {row}: {name!r} {problem}",
        hint="properties of Weaviate have one name and one type; nothing was written",
    )


def encode(layout: Layout, payload: Mapping[str, Any]) -> Any:
    """One payload as the server's message."""
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
    """A value as it is read back: a float that is whole was an integer."""
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
