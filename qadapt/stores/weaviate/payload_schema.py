"""The properties that a collection declares, in a form that can create another collection.

``CollectionSchema.schema`` is plain data::

    entries      for display: {"title": "text, tokenization word"}
    properties   as the server reports them: types, nested ones, tokenization, index flags
    inverted     invertedIndexConfig
    description  without qadapt's note
    behind       not copied: modules for vectors or generated answers; absent without modules

References are omitted too, because a copy does not include other collections.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from qadapt.errors import StoreError
from qadapt.stores import uuids
from qadapt.stores.base import PayloadFidelity
from qadapt.stores.weaviate import payload
from qadapt.stores.weaviate.schema import Layout, described

PayloadSchema = dict[str, Any]

_PLAIN = frozenset(
    {"text", "int", "number", "boolean", "date", "uuid", "geoCoordinates", "phoneNumber", "blob",
     "object"}
)  # fmt: skip
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_FLAGS = {
    "indexFilterable": "filterable", "indexSearchable": "searchable", "indexRangeFilters": "ranges",
}  # fmt: skip


def payload_schema_of(layout: Layout) -> PayloadSchema:
    """The schema of a collection; ``entries`` are those that qadapt did not create itself."""
    found = [_bare(each) for each in layout.raw.get("properties") or () if not reference(each)]
    reported = layout.raw.get("description")
    schema: PayloadSchema = {
        "entries": {
            each["name"]: describe_property(each) for each in found if not _by_itself(each, layout)
        },
        "properties": found,
        "inverted": dict(layout.raw.get("invertedIndexConfig") or {}),
        "description": described(reported, "").rstrip("\n"),
    }
    if behind := _behind(layout.raw):
        schema["behind"] = behind
    return schema


def _behind(raw: Mapping[str, Any]) -> list[str]:
    """Modules of the unnamed vector, of named vectors and of the collection."""
    found = [str(raw.get("vectorizer") or "none"), *(raw.get("moduleConfig") or {})]
    for each in (raw.get("vectorConfig") or {}).values():
        found += each.get("vectorizer") or {}
    return sorted({name for name in found if name != "none"})


def uncopied(layout: Layout) -> dict[str, str]:
    """The parts of a collection that a migration does not copy, by kind."""
    others = [name for name in layout.others if name not in layout.multis]
    found = {"other-vectors": ", ".join(others), "references": ", ".join(references(layout))}
    return {name: words for name, words in found.items() if words}


def references(layout: Layout) -> list[str]:
    """Properties that refer to other collections."""
    return [each["name"] for each in layout.raw.get("properties") or () if reference(each)]


def reference(each: Mapping[str, Any]) -> bool:
    """Whether a property refers to other collections: its types are their names."""
    return str(each["dataType"][0])[:1].isupper()


def _bare(each: Mapping[str, Any]) -> PayloadSchema:
    found = {key: value for key, value in each.items() if key != "moduleConfig"}
    if found.get("nestedProperties"):
        found["nestedProperties"] = [_bare(inner) for inner in found["nestedProperties"]]
    return found


def _by_itself(each: Mapping[str, Any], layout: Layout) -> bool:
    """Whether qadapt creates this property itself in its own collections."""
    if not payload.has_own_properties(layout):
        return False
    kind = str(each["dataType"][0])
    made = payload.REST_PROPERTY
    if each["name"] != payload.REST:
        made = payload.property_body(each["name"], kind)
    return all(each.get(key) == value for key, value in made.items()) and not each.get(
        "indexRangeFilters"
    )


def describe_property(each: Mapping[str, Any]) -> str:
    """A property for display: ``text, tokenization word, filterable, searchable``."""
    parts = [str(each["dataType"][0])]
    if each.get("nestedProperties"):
        parts[0] += f" of {', '.join(inner['name'] for inner in each['nestedProperties'])}"
    if each.get("tokenization"):
        parts.append(f"tokenization {each['tokenization']}")
    return ", ".join([*parts, *(word for key, word in _FLAGS.items() if each.get(key))])


def check_created(wanted: Mapping[str, Any], there: Mapping[str, Any], name: str) -> None:
    """Compare the created schema with the requested one.

    Raises:
        StoreError: the server dropped or changed a setting.
    """
    now = {each["name"]: each for each in there.get("properties") or ()}
    lost = [
        f"{each['name']}: {key} is {now.get(each['name'], {}).get(key)!r}, expected {value!r}"
        for each in wanted.get("properties", ())
        for key, value in each.items()
        if now.get(each["name"], {}).get(key) != value
    ]
    inverted = there.get("invertedIndexConfig") or {}
    lost += [
        f"{key} is {inverted.get(key)!r}, expected {value!r}"
        for key, value in wanted.get("inverted", {}).items()
        if inverted.get(key) != value
    ]
    if lost:
        raise StoreError(
            f"Weaviate changed the schema of {name!r}: {'; '.join(lost)}",
            hint="the versions of the server and of the source may differ; nothing was created",
        )


# -- fidelity of values --------------------------------------------------------------------------


def payload_fidelity(value: Any, each: Mapping[str, Any]) -> PayloadFidelity:
    """How exactly a property returns a value; null is never returned."""
    kind = str(each["dataType"][0])
    if kind.endswith("[]"):
        if not isinstance(value, list):
            return "dropped"
        return _worst([_one(item, kind.removesuffix("[]"), each) for item in value])
    return _one(value, kind, each)


def _one(value: Any, kind: str, each: Mapping[str, Any]) -> PayloadFidelity:
    if kind == "object":
        return _object(value, each.get("nestedProperties") or ())
    if kind in ("int", "number"):
        return _number(value, kind)
    if kind == "geoCoordinates":
        return "exact" if _place(value) else "dropped"
    if kind == "phoneNumber":
        good = isinstance(value, Mapping) and set(value) == {"input", "defaultCountry"}
        return "exact" if good else "dropped"
    if kind == "boolean":
        return "exact" if isinstance(value, bool) else "dropped"
    good = isinstance(value, str)
    if good and kind == "date":
        good = _DATE.fullmatch(value) is not None
    elif good and kind == "uuid":
        good = uuids.usual(value)
    elif good and kind == "blob":
        good = _base64(value)
    return "exact" if good and kind in _PLAIN else "dropped"


def _object(value: Any, inner: Sequence[Mapping[str, Any]]) -> PayloadFidelity:
    if not isinstance(value, Mapping):
        return "dropped"
    known = {each["name"]: each for each in inner}
    return _worst(
        [payload_fidelity(v, known[k]) if k in known else "dropped" for k, v in value.items()]
    )


def _number(value: Any, kind: str) -> PayloadFidelity:
    """Numbers are sent as 64-bit floats, and returned as the type of their property."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "dropped"
    if isinstance(value, int) and (not -(2**63) <= value < 2**63 or int(float(value)) != value):
        return "dropped"
    if isinstance(value, float) and not np.isfinite(value):
        return "dropped"
    if isinstance(value, int) == (kind == "int"):
        return "exact"
    return "lossy" if kind == "number" or value == int(value) else "dropped"


def _place(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and set(value) == {"latitude", "longitude"}
        and all(isinstance(v, float) and float(np.float32(v)) == v for v in value.values())
    )


def _base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except ValueError:
        return False


def _worst(found: Sequence[PayloadFidelity]) -> PayloadFidelity:
    return "dropped" if "dropped" in found else "lossy" if "lossy" in found else "exact"


def payload_fidelity_of(wanted: Mapping[str, Any]) -> Callable[[str, Any], PayloadFidelity]:
    """How exactly a collection of this schema, which cannot store the rest of a payload, returns an
    entry. Undeclared names are not sent, because the server would guess their type."""
    known = {each["name"]: each for each in wanted["properties"]}
    return lambda name, value: payload_fidelity(value, known[name]) if name in known else "dropped"


def is_own_schema(wanted: Mapping[str, Any]) -> bool:
    """Whether the schema can store the rest of a payload."""
    return any(each["name"] == payload.REST for each in wanted["properties"])
