"""How a collection declares its properties, in words that make another one like it.

In ``Beside.schema``, plain data::

    entries      in words for people: {"title": "text, tokenization word"}
    properties   as the server tells them: types, nested ones, tokenization, index flags, words
    inverted     invertedIndexConfig
    description  without qadapt's note
    behind       what no copy has: modules that make vectors or answers; absent where there are none

References are left out too: a copy has no other collection.
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from qadapt.errors import StoreError
from qadapt.stores.base import Kept
from qadapt.stores.weaviate import payloads
from qadapt.stores.weaviate.schema import Layout, described

Declared = dict[str, Any]

_PLAIN = frozenset(
    {"text", "int", "number", "boolean", "date", "uuid", "geoCoordinates", "phoneNumber", "blob",
     "object"}
)  # fmt: skip
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_FLAGS = {
    "indexFilterable": "filterable", "indexSearchable": "searchable", "indexRangeFilters": "ranges",
}  # fmt: skip


def declared(layout: Layout) -> Declared:
    """The schema of a collection; ``entries`` are those that qadapt did not make by itself."""
    found = [_bare(each) for each in layout.raw.get("properties") or () if not reference(each)]
    told = layout.raw.get("description")
    schema: Declared = {
        "entries": {each["name"]: words(each) for each in found if not _by_itself(each, layout)},
        "properties": found,
        "inverted": dict(layout.raw.get("invertedIndexConfig") or {}),
        "description": described(told, "").rstrip("\n"),
    }
    if behind := _behind(layout.raw):
        schema["behind"] = behind
    return schema


def _behind(raw: Mapping[str, Any]) -> list[str]:
    """Modules: of the unnamed vector, of named ones, and those of the collection."""
    found = [str(raw.get("vectorizer") or "none"), *(raw.get("moduleConfig") or {})]
    for each in (raw.get("vectorConfig") or {}).values():
        found += each.get("vectorizer") or {}
    return sorted({name for name in found if name != "none"})


def references(layout: Layout) -> list[str]:
    """Properties that point to other collections."""
    return [each["name"] for each in layout.raw.get("properties") or () if reference(each)]


def reference(each: Mapping[str, Any]) -> bool:
    """Whether a property points to other collections: its types are their names."""
    return str(each["dataType"][0])[:1].isupper()


def _bare(each: Mapping[str, Any]) -> Declared:
    found = {key: value for key, value in each.items() if key != "moduleConfig"}
    if found.get("nestedProperties"):
        found["nestedProperties"] = [_bare(inner) for inner in found["nestedProperties"]]
    return found


def _by_itself(each: Mapping[str, Any], layout: Layout) -> bool:
    """Whether qadapt makes such a property by itself in a collection of its own."""
    if not payloads.ours(layout):
        return False
    kind = str(each["dataType"][0])
    made = payloads.REST_PROPERTY
    if each["name"] != payloads.REST:
        made = payloads.property_body(each["name"], kind)
    return all(each.get(key) == value for key, value in made.items()) and not each.get(
        "indexRangeFilters"
    )


def words(each: Mapping[str, Any]) -> str:
    """A property for people: ``text, tokenization word, filterable, searchable``."""
    parts = [str(each["dataType"][0])]
    if each.get("nestedProperties"):
        parts[0] += f" of {', '.join(inner['name'] for inner in each['nestedProperties'])}"
    if each.get("tokenization"):
        parts.append(f"tokenization {each['tokenization']}")
    return ", ".join([*parts, *(word for key, word in _FLAGS.items() if each.get(key))])


def seen(wanted: Mapping[str, Any], there: Mapping[str, Any], name: str) -> None:
    """Compare what was made with what was asked for.

    Raises:
        StoreError: the server dropped something of it.
    """
    now = {each["name"]: each for each in there.get("properties") or ()}
    lost = [
        f"{each['name']}: {key} is {now.get(each['name'], {}).get(key)!r} and not {value!r}"
        for each in wanted.get("properties", ())
        for key, value in each.items()
        if now.get(each["name"], {}).get(key) != value
    ]
    inverted = there.get("invertedIndexConfig") or {}
    lost += [
        f"{key} is {inverted.get(key)!r} and not {value!r}"
        for key, value in wanted.get("inverted", {}).items()
        if inverted.get(key) != value
    ]
    if lost:
        raise StoreError(
            f"Weaviate does not keep {name!r} as it was sent: {'; '.join(lost)}",
            hint="a server of another version, perhaps; nothing was made",
        )


# -- which values come back ----------------------------------------------------------------------


def fits(value: Any, each: Mapping[str, Any]) -> Kept:
    """How a value comes back from a property; null never does."""
    kind = str(each["dataType"][0])
    if kind.endswith("[]"):
        if not isinstance(value, list):
            return "not"
        return _worst([_one(item, kind.removesuffix("[]"), each) for item in value])
    return _one(value, kind, each)


def _one(value: Any, kind: str, each: Mapping[str, Any]) -> Kept:
    if kind == "object":
        return _object(value, each.get("nestedProperties") or ())
    if kind in ("int", "number"):
        return _number(value, kind)
    if kind == "geoCoordinates":
        return "as it is" if _place(value) else "not"
    if kind == "phoneNumber":
        good = isinstance(value, Mapping) and set(value) == {"input", "defaultCountry"}
        return "as it is" if good else "not"
    if kind == "boolean":
        return "as it is" if isinstance(value, bool) else "not"
    good = isinstance(value, str)
    if good and kind == "date":
        good = _DATE.fullmatch(value) is not None
    elif good and kind == "uuid":
        good = _uuid(value)
    elif good and kind == "blob":
        good = _base64(value)
    return "as it is" if good and kind in _PLAIN else "not"


def _object(value: Any, inner: Sequence[Mapping[str, Any]]) -> Kept:
    if not isinstance(value, Mapping):
        return "not"
    known = {each["name"]: each for each in inner}
    return _worst([fits(v, known[k]) if k in known else "not" for k, v in value.items()])


def _number(value: Any, kind: str) -> Kept:
    """Numbers travel as 64-bit floats, and come back as what their property is."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "not"
    if isinstance(value, int) and (not -(2**63) <= value < 2**63 or int(float(value)) != value):
        return "not"
    if isinstance(value, float) and not np.isfinite(value):
        return "not"
    if isinstance(value, int) == (kind == "int"):
        return "as it is"
    return "nearly" if kind == "number" or value == int(value) else "not"


def _place(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and set(value) == {"latitude", "longitude"}
        and all(isinstance(v, float) and float(np.float32(v)) == v for v in value.values())
    )


def _uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except ValueError:
        return False


def _worst(found: Sequence[Kept]) -> Kept:
    return "not" if "not" in found else "nearly" if "nearly" in found else "as it is"


def keeper(wanted: Mapping[str, Any]) -> Callable[[str, Any], Kept]:
    """How an entry comes back from a collection of this schema that has no place for the rest of a
    payload. A name that is not declared is kept as a note: the server would guess its type."""
    known = {each["name"]: each for each in wanted["properties"]}
    return lambda name, value: fits(value, known[name]) if name in known else "not"


def ours(wanted: Mapping[str, Any]) -> bool:
    """Whether there is a place for the rest of a payload."""
    return any(each["name"] == payloads.REST for each in wanted["properties"])
