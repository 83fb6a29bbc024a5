"""Create an empty copy of a collection in which one vector differs.

The copy has the same schema, partitions, properties and consistency level.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.errors import UnsupportedError
from qadapt.model import CollectionSchema
from qadapt.stores.milvus import schema
from qadapt.stores.milvus.connection import Connection, module
from qadapt.stores.milvus.partitions import partition_schema
from qadapt.stores.milvus.payload_schema import payload_schema_of
from qadapt.stores.milvus.schema import Layout

_TYPE_PARAMS = ("max_length", "dim", "max_capacity", "enable_analyzer", "enable_match")
_KEPT = ("is_primary", "is_partition_key", "is_clustering_key", "nullable", "element_type")


def check_clonable(raw: Mapping[str, Any], name: str) -> None:
    """Refuse a collection that cannot be copied completely.

    Raises:
        UnsupportedError: generated primary keys, functions, or arrays of structs.
    """
    if raw.get("auto_id"):
        raise UnsupportedError(
            f"Milvus generates the primary keys of {name!r} (auto_id), so a copy would have "
            "other keys",
            hint="change it in place: omit strategy='alias' (--strategy alias)",
        )
    for what in ("functions", "struct_fields", "struct_array_fields"):
        if raw.get(what):
            raise UnsupportedError(
                f"{name!r} has {what.replace('_', ' ')}, which qadapt does not copy",
                hint="change it in place: omit strategy='alias' (--strategy alias)",
            )


def describe(connection: Connection, name: str) -> dict[str, Any]:
    """The result of ``describe_collection``."""
    client = connection.client
    return dict(connection.call(f"describe {name!r}", client.describe_collection, name))


def collection_schema(connection: Connection, layout: Layout) -> CollectionSchema:
    """What ``create`` needs for a collection like this one, besides its vectors."""
    raw = describe(connection, layout.base)
    extras = {name: each.extra for name, each in layout.sparse.items()}
    found = partition_schema(connection, layout)
    return found.replace(extras=extras, schema=payload_schema_of(raw, layout))


def create(
    connection: Connection,
    raw: Mapping[str, Any],
    target: str,
    changed: Mapping[str, Any],
    properties: Mapping[str, str],
) -> None:
    """Create the copy and its properties in one request.

    Args:
        raw: ``describe_collection`` of the original.
        changed: the changed vector; see ``fields``.
        properties: added to the properties of the original.
    """
    client = connection.client
    made = client.create_schema(
        auto_id=False,
        enable_dynamic_field=bool(raw.get("enable_dynamic_field")),
        description=str(raw.get("description") or ""),
    )
    for each in fields(raw, changed):
        add(made, each)
    kept = {k: str(v) for k, v in (raw.get("properties") or {}).items() if v not in (None, "")}
    options: dict[str, Any] = {}
    if any(each.get("is_partition_key") for each in raw["fields"]) and not connection.lite:
        options["num_partitions"] = int(raw.get("num_partitions") or 16)
    connection.call(
        f"create {target!r}",
        client.create_collection,
        target,
        schema=made,
        properties={**kept, **properties},
        consistency_level=raw.get("consistency_level_name") or "Session",
        num_shards=int(raw.get("num_shards") or 1),
        **options,
    )


def add(made: Any, each: Mapping[str, Any]) -> None:
    """Add a field, in the form of ``describe_collection``, to a pymilvus schema."""
    types = module().DataType
    named = {key: each[key] for key in _KEPT if each.get(key)}
    named.update(_params(each.get("params") or {}))
    if "element_type" in named:
        named["element_type"] = getattr(types, schema.type_name(named["element_type"]))
    if each.get("default_value") is not None:
        named["default_value"] = each["default_value"]
    if each.get("description"):
        named["description"] = each["description"]
    made.add_field(each["name"], getattr(types, schema.type_name(each["type"])), **named)


def _params(params: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: params[key] for key in _TYPE_PARAMS if key in params}
    if "mmap.enabled" in params:
        found["mmap_enabled"] = str(params["mmap.enabled"]).lower() == "true"
    for key in ("analyzer_params", "multi_analyzer_params"):
        if key in params:
            found[key] = params[key]
    return found


def fields(raw: Mapping[str, Any], changed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The fields of the copy.

    Args:
        changed: ``{"field": the field to replace, "fields": [its replacements], "drops": [fields
            to leave out]}``.
    """
    found: list[dict[str, Any]] = []
    dropped = set(changed.get("drops", ()))
    for each in raw["fields"]:
        if each["name"] == changed["field"]:
            found += [dict(item) for item in changed["fields"]]
        elif each["name"] not in dropped:
            found.append(dict(each))
    return found


def partitions(connection: Connection, source: str, target: str) -> None:
    """Create the partitions of the source in the target."""
    client = connection.client
    there = set(schema.partitions(connection, target))
    for name in schema.partitions(connection, source):
        if name not in there:
            connection.call(
                f"create the partition {name!r} of {target!r}",
                client.create_partition,
                target,
                name,
            )
