"""Indexes of scalar fields and of JSON paths.

Run: 2.3.5 has Trie for VARCHAR and STL_SORT for numbers, and no index of BOOL, ARRAY, JSON and the
dynamic field; Lite 3 has INVERTED for VARCHAR, numbers and BOOL, and gives an index the name of its
field. From the documentation of newer servers: INVERTED from 2.4, BITMAP and AUTOINDEX from 2.5,
paths into JSON and the dynamic field from 2.5.11, which compare numbers as DOUBLE.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qadapt.errors import UnsupportedError
from qadapt.stores.base import unknown_kind
from qadapt.stores.milvus import index_params, schema
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.filters import quoted
from qadapt.stores.milvus.version import ServerVersion

TRIE, SORT, INVERTED = "Trie", "STL_SORT", "INVERTED"
SINCE_INVERTED = "2.4"
SINCE_PATHS = "2.5.11"
_SINCE = {INVERTED: "2.4", "BITMAP": "2.5", "AUTOINDEX": "2.4", "NGRAM": "2.6", "RTREE": "2.6.4"}
_TYPES = {
    "VARCHAR": "keyword", "BOOL": "bool", "FLOAT": "float", "DOUBLE": "float",
    "INT8": "integer", "INT16": "integer", "INT32": "integer", "INT64": "integer",
    "GEOMETRY": "geo",
}  # fmt: skip
# The type that a JSON path is cast to; datetimes and UUIDs are strings.
_CASTS = {
    "keyword": "varchar", "uuid": "varchar", "datetime": "varchar", "bool": "bool",
    "integer": "double", "float": "double",
}  # fmt: skip
_KINDS = {"varchar": "keyword", "bool": "bool", "double": "float"}
_PATH = ("json_path", "json_cast_type")
_NAME = re.compile(r"qadapt_([a-z]+)_")
_STEP = re.compile(r"""\[\s*["']((?:[^"'\\]|\\.)*)["']\s*\]""")
_META = "$meta"


@dataclass(frozen=True)
class Scalar:
    """A payload index.

    Attributes:
        kind: one of ``PAYLOAD_KINDS``.
        settings: ``index_type`` and other parameters.
    """

    kind: str
    settings: Mapping[str, Any]


# -- reading -------------------------------------------------------------------------------------


def indexes(connection: Connection, layout: schema.Layout) -> dict[str, Scalar]:
    """The payload indexes of a collection, by key."""
    client = connection.client
    types = {str(each["name"]): each for each in layout.raw["fields"]}
    found: dict[str, Scalar] = {}
    doing = f"list the indexes of {layout.name!r}"
    for label in connection.call(doing, client.list_indexes, layout.base):
        reported = connection.call(
            f"describe the index {label!r}", client.describe_index, layout.base, index_name=label
        )
        if not reported:
            continue
        index, field = index_params.index_of(reported), str(reported["field_name"])
        if "json_path" in index.params:
            kind: str | None = _named(index.name) or _KINDS.get(
                index.params.get("json_cast_type", "").lower()
            )
            key = path_of(index.params["json_path"])
        elif field == layout.keys.field:
            continue  # the primary key is not part of the payload
        else:
            kind, key = _kind(types.get(field, {}), layout), field
        if kind is not None and key:
            rest = {name: value for name, value in index.params.items() if name not in _PATH}
            found[key] = Scalar(kind, {"index_type": index.type, **rest})
    return dict(sorted(found.items()))


def _kind(field: Mapping[str, Any], layout: schema.Layout) -> str | None:
    name = field.get("name")
    kind = layout.fields.types.get(str(name))
    if kind == "ARRAY":
        kind = layout.elements.get(str(name))
    return _TYPES.get(kind or "")


def _named(name: str) -> str | None:
    """The kind in the name of an index made by qadapt: a path to integers has the type DOUBLE."""
    found = _NAME.match(name)
    return found[1] if found and found[1] in _CASTS else None


def path_of(text: str) -> str:
    """``$meta["a"]["b"]``, ``/a/b`` or ``a`` as ``a.b``, with a field that is not ``$meta``."""
    if text.startswith("/"):
        return text[1:].replace("/", ".")
    head, _, _ = text.partition("[")
    steps = _STEP.findall(text)
    names = steps if head == _META or not head else [head, *steps]
    return ".".join(names)


# -- planning ------------------------------------------------------------------------------------


def unsupported_path(kind: str, server_version: ServerVersion) -> str | None:
    """Why a key of the dynamic field cannot be indexed; None if it can."""
    if problem := unknown_kind(kind):
        return problem
    if not server_version.has(SINCE_PATHS):
        return (
            f"{server_version.words} can index only typed fields (JSON paths need Milvus "
            f"{SINCE_PATHS})"
        )
    return None if kind in _CASTS else f"Milvus has no index of the kind {kind} for a JSON path"


def adapt(
    key: str,
    kind: str,
    settings: Mapping[str, Any],
    fields: Mapping[str, Mapping[str, Any]],
    dynamic: bool,
    server_version: ServerVersion,
) -> tuple[dict[str, Any], str | None]:
    """The settings of an index on this server, and why it cannot be created (None if it can).

    Args:
        fields: the typed fields by name, in the form of ``payload_schema``.
    """
    field = fields.get(key)
    if field is not None and field["type"] != "JSON":
        return _fit_field(field, kind, settings, server_version)
    head = key.partition(".")[0]
    if head not in fields and not dynamic:
        return {}, f"the field {head!r} does not exist"
    if head in fields and fields[head]["type"] != "JSON":
        return {}, f"the field {head!r} has the type {fields[head]['type']} and no nested keys"
    problem = unsupported_path(kind, server_version) or unpathable(key)
    index = settings.get("index_type")
    return {**settings, "index_type": index if index == "AUTOINDEX" else INVERTED}, problem


def unpathable(key: str) -> str | None:
    """Why Milvus cannot address a key: ``tags[].name`` addresses the elements of a list."""
    return f"{key!r} addresses the elements of a list" if "[" in key else None


def _fit_field(
    field: Mapping[str, Any], kind: str, settings: Mapping[str, Any], server_version: ServerVersion
) -> tuple[dict[str, Any], str | None]:
    base = str(field["type"])
    listed = base == "ARRAY"
    if listed:
        base = str(field["element_type"])
    if _TYPES.get(base) != kind and not (kind == "uuid" and base == "VARCHAR"):
        return {}, f"a field of the type {base} has no index of the kind {kind}"
    asked = settings.get("index_type")
    if server_version.old_lite:
        return {}, f"{server_version.words} cannot index scalar fields"
    if server_version.lite:
        if listed:
            return {}, f"{server_version.words} cannot index an ARRAY"
        return {"index_type": INVERTED}, None
    if not server_version.has(SINCE_INVERTED):
        if listed or base == "BOOL":
            return (
                {},
                f"{server_version.words} cannot index {'an ARRAY' if listed else 'a BOOL'}",
            )
        return {"index_type": TRIE if base == "VARCHAR" else SORT}, None
    since = _SINCE.get(str(asked))
    if not asked or (since is not None and not server_version.has(since)):
        return {"index_type": INVERTED}, None
    return dict(settings), None


# -- creating --------------------------------------------------------------------------------------


def create(
    connection: Connection,
    layout: schema.Layout,
    key: str,
    kind: str,
    settings: Mapping[str, Any],
    server_version: ServerVersion,
) -> None:
    """Create an index and wait until it is built.

    Raises:
        UnsupportedError: this server cannot index the key.
    """
    fields = {
        name: {"name": name, "type": each, "element_type": layout.elements.get(name)}
        for name, each in layout.fields.types.items()
    }
    made, problem = adapt(key, kind, settings, fields, layout.fields.dynamic, server_version)
    if problem is not None:
        raise UnsupportedError(
            f"cannot index {key!r}: {problem}",
            hint="filters on the field work without an index",
        )
    there = indexes(connection, layout)
    if key in there and there[key].kind == kind:
        return
    params = {name: value for name, value in made.items() if name != "index_type"}
    field = key
    label = f"{key}_{made['index_type'].lower()}"
    if key not in fields or fields[key]["type"] == "JSON":
        head, _, inside = key.partition(".")
        typed = head in fields
        field = head if typed else _META
        steps = ([inside] if inside else []) if typed else [head, *([inside] if inside else [])]
        path = "".join(f"[{quoted(step)}]" for part in steps for step in part.split("."))
        params |= {"json_path": field + path, "json_cast_type": _CASTS[kind]}
        label = f"qadapt_{kind}_{re.sub(r'[^A-Za-z0-9_]', '_', key)}"
    definition = {"index_name": label, "index_type": made["index_type"], "params": params}
    index_params.create_index(connection, layout.base, field, definition, limit=connection.timeout)
