"""The typed fields of a collection, in a form that can create another collection with them.

``CollectionSchema.schema`` has these keys::

    entries      a description of each field: {"title": "VARCHAR(100), nullable"}
    fields       as in describe_collection, with type names and plain defaults
    key          the primary key in the same form; absent if qadapt created it
    dynamic      whether there is a dynamic field
    description, num_partitions (of a partition key)

Run on 2.3.5 and Lite 3.2.2: the length of a VARCHAR counts bytes on a server and characters in
Lite; neither checks the length of ARRAY elements; 2.3.5 accepts ``nullable`` but does not store it;
Lite stores no description and no length of elements.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.errors import StoreError
from qadapt.stores.milvus import schema
from qadapt.stores.milvus.version import ServerVersion

PayloadSchema = dict[str, Any]

PLAIN = (
    "BOOL", "INT8", "INT16", "INT32", "INT64", "FLOAT", "DOUBLE", "VARCHAR", "JSON", "ARRAY",
)  # fmt: skip
MAX_VARCHAR = 65_535
SINCE_NULLABLE = "2.5"
_KEPT = ("nullable", "is_partition_key", "is_clustering_key")
_MARKS = {"is_partition_key": "partition key", "is_clustering_key": "clustering key"}
# Field parameters that can be sent to another collection.
_PARAMS = (
    "max_length", "max_capacity", "enable_analyzer", "enable_match", "analyzer_params",
    "multi_analyzer_params", "mmap.enabled",
)  # fmt: skip
_BEYOND = {"functions": "functions", "struct_fields": "structs", "struct_array_fields": "structs"}


def payload_schema_of(raw: Mapping[str, Any], layout: schema.Layout) -> PayloadSchema:
    """The schema of a described collection; empty if qadapt creates the same by default."""
    key = next(each for each in raw["fields"] if each.get("is_primary"))
    ours = key["name"] == schema.KEY
    fields = [field(each) for each in raw["fields"] if each["name"] in layout.fields.types]
    fields = [each for each in fields if each["name"] != key["name"]]
    if ours and not fields and layout.fields.dynamic:
        return {}
    found: PayloadSchema = {
        "entries": {each["name"]: describe_field(each) for each in fields},
        "fields": fields,
        "dynamic": layout.fields.dynamic,
        "description": str(raw.get("description") or ""),
    }
    if not ours:
        found["key"] = field(key)
        found["entries"] = {
            key["name"]: f"{describe_field(field(key))}, primary key",
            **found["entries"],
        }
    # Lite always has 16 and counts the default partition.
    if layout.partition_key is not None and not layout.fields.lite and raw.get("num_partitions"):
        found["num_partitions"] = int(raw["num_partitions"])
    return found


def undeclarable(raw: Mapping[str, Any]) -> str:
    """The parts of a schema that cannot be migrated to any target."""
    found = [label for name, label in _BEYOND.items() if raw.get(name)]
    if raw.get("auto_id"):
        found.append("auto_id (the copy has the same keys, and new rows need an explicit key)")
    for each in raw["fields"]:
        vector = "VECTOR" in schema.type_name(each["type"])
        other = [key for key in each.get("params") or {} if key not in _PARAMS]
        if other and not vector:
            found.append(f"settings of the field {each['name']} ({', '.join(other)})")
    return ", ".join(dict.fromkeys(found))


def field(each: Mapping[str, Any]) -> PayloadSchema:
    """A field as plain data."""
    found: PayloadSchema = {"name": str(each["name"]), "type": schema.type_name(each["type"])}
    params = {key: value for key, value in (each.get("params") or {}).items() if key in _PARAMS}
    if found["type"] == "ARRAY":
        found["element_type"] = schema.element_type(each)
        if found["element_type"] == "VARCHAR":
            # A server requires a length; Lite does not store it.
            params.setdefault("max_length", MAX_VARCHAR)
    if params:
        found["params"] = params
    found.update({name: True for name in _KEPT if each.get(name)})
    if each.get("description"):
        found["description"] = str(each["description"])
    default = _default(each.get("default_value"))
    if default is not None:
        found["default_value"] = default
    return found


def _default(value: Any) -> Any:
    """A default as a Python value; pymilvus returns a protobuf message."""
    if value is None or not hasattr(value, "WhichOneof"):
        return value
    which = value.WhichOneof("data")
    return None if which is None else getattr(value, which)


def describe_field(each: Mapping[str, Any]) -> str:
    """A readable description of a field: ``VARCHAR(100)``, ``ARRAY of INT64, at most 5``."""
    params = each.get("params") or {}
    kind = str(each["type"])
    if kind == "ARRAY":
        reported = f"ARRAY of {each['element_type']}"
        if each["element_type"] == "VARCHAR":
            reported += f"({params['max_length']})"
        reported += f", at most {params.get('max_capacity')}"
    else:
        reported = f"{kind}({params['max_length']})" if "max_length" in params else kind
    if each.get("nullable"):
        reported += ", nullable"
    if "default_value" in each:
        reported += f", {each['default_value']!r} by default"
    return reported + "".join(f", {word}" for name, word in _MARKS.items() if each.get(name))


def unsupported_fields(wanted: Mapping[str, Any], server_version: ServerVersion) -> str | None:
    """Why this server cannot create the fields; None if it can."""
    problems = []
    for each in [*wanted.get("fields", ()), *filter(None, [wanted.get("key")])]:
        kind = each.get("element_type", each["type"])
        if each["type"] not in PLAIN or kind not in PLAIN:
            problems.append(
                f"{each['name']} is {describe_field(each)}, a type that qadapt cannot copy"
            )
        elif (
            each.get("nullable")
            and not server_version.lite
            and not server_version.has(SINCE_NULLABLE)
        ):
            problems.append(
                f"{each['name']} is nullable, which {server_version.words} does not store "
                f"(Milvus {SINCE_NULLABLE} does)"
            )
        elif each.get("is_partition_key") and server_version.old_lite:
            problems.append(
                f"{each['name']} is a partition key, which {server_version.words} does not support"
            )
    return "; ".join(problems) or None


def check_created(
    wanted: Mapping[str, Any], raw: Mapping[str, Any], server_version: ServerVersion, name: str
) -> None:
    """Compare the created fields with the requested ones.

    Raises:
        StoreError: the server changed or dropped a field.
    """
    there = {str(each["name"]): field(each) for each in raw["fields"]}
    lost = []
    for each in [*wanted.get("fields", ()), *filter(None, [wanted.get("key")])]:
        now, asked = there.get(each["name"], {}), dict(each)
        if server_version.lite:
            now, asked = _as_lite(now), _as_lite(asked)
        now, asked = _plain(now), _plain(asked)
        if now != asked:
            lost.append(f"{each['name']} is {now} instead of {asked}")
    if wanted and bool(raw.get("enable_dynamic_field")) != wanted["dynamic"]:
        lost.append("the dynamic field")
    if lost:
        raise StoreError(
            f"{server_version.words} created other fields of {name!r} than requested: "
            f"{'; '.join(lost)}",
            hint="the collection was dropped again; create it without these settings",
        )


def _plain(each: Mapping[str, Any]) -> PayloadSchema:
    """A field with its parameters as strings, which some servers return."""
    params = {key: str(value).lower() for key, value in (each.get("params") or {}).items()}
    return {**each, "params": params}


def _as_lite(each: Mapping[str, Any]) -> PayloadSchema:
    """A field without the settings that Lite does not store."""
    found = {key: value for key, value in each.items() if key != "description"}
    params = dict(found.get("params") or {})
    known = ("max_length", "max_capacity") if each.get("type") != "ARRAY" else ("max_capacity",)
    found["params"] = {key: params[key] for key in known if key in params}
    return found
