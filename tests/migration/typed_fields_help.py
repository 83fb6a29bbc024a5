"""Collections of Milvus with typed fields, as other clients create them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from migration_help import rows

from qadapt.api import Collection, Database

DIM = 4
FIELDS: dict[str, tuple[str, dict[str, Any]]] = {
    "title": ("VARCHAR", {"max_length": 10}),
    "small": ("INT8", {}),
    "middle": ("INT16", {}),
    "whole": ("INT32", {}),
    "big": ("INT64", {}),
    "single": ("FLOAT", {}),
    "double": ("DOUBLE", {}),
    "flag": ("BOOL", {}),
    "nested": ("JSON", {}),
    "tags": ("ARRAY", {"element_type": "VARCHAR", "max_capacity": 3, "max_length": 8}),
    "counts": ("ARRAY", {"element_type": "INT64", "max_capacity": 4}),
}  # fmt: skip
LIMITS: list[dict[str, Any]] = [
    {
        "title": "äöüäö", "small": -128, "middle": 2**15 - 1, "whole": -(2**31), "big": 2**63 - 1,
        "single": 0.10000000149011612, "double": 0.1, "flag": False,
        "nested": {"a": {"b": [1, None]}},
        "tags": ["ä", ""], "counts": [], "loose": '{"a": 1}', "deep": {"x": [1, {"y": None}]},
    },
    {
        "title": '{"a": 1}', "small": 127, "middle": 0, "whole": 2**31 - 1, "big": -(2**63),
        "single": 3.4028234663852886e38, "double": 5e-324, "flag": True, "nested": {},
        "tags": [], "counts": [2**63 - 1, -(2**63), 0, 1],
    },
    {
        "title": "", "small": 0, "middle": -(2**15), "whole": 0, "big": 2**53 + 1,
        "single": -0.5, "double": -1.7976931348623157e308, "flag": True, "nested": {"t": "[1, 2]"},
        "tags": ["[]", "null", "1"], "counts": [7], "year": 1999,
    },
]  # fmt: skip


def typed_collection(
    database: Database,
    name: str,
    fields: Mapping[str, tuple[str, dict[str, Any]]],
    data: Sequence[Mapping[str, Any]],
    *,
    key: tuple[str, dict[str, Any]] = ("INT64", {}),
    ids: Sequence[Any] | None = None,
    dynamic: bool = True,
    field: str = "embedding",
    **options: Any,
) -> Collection:
    """A collection created with the client."""
    from pymilvus import DataType

    client = database._store.connection.client  # type: ignore[attr-defined]
    made = client.create_schema(
        auto_id=options.pop("auto_id", False), enable_dynamic_field=dynamic, description="of books"
    )
    made.add_field("pk", getattr(DataType, key[0]), is_primary=True, **key[1])
    for label, (kind, given_options) in fields.items():
        reported = dict(given_options)
        if "element_type" in reported:
            reported["element_type"] = getattr(DataType, reported["element_type"])
        made.add_field(label, getattr(DataType, kind), **reported)
    made.add_field(field, DataType.FLOAT_VECTOR, dim=DIM)
    client.create_collection(name, schema=made, consistency_level="Session", **options)
    indexes = client.prepare_index_params()
    indexes.add_index(field, index_type="FLAT", metric_type="IP")
    client.create_index(name, indexes)
    client.load_collection(name)
    vectors = rows(len(data), dim=DIM)
    keys = list(range(len(data))) if ids is None else list(ids)
    written = [{**row, "pk": keys[at], field: vectors[at].tolist()} for at, row in enumerate(data)]
    if written:
        client.insert(name, written)
    return database[name]


def add_index(collection: Collection, key: str, kind: str) -> None:
    """An index of a scalar field, made with the client."""
    client = collection._store.connection.client  # type: ignore[attr-defined]
    params = client.prepare_index_params()
    params.add_index(key, index_type=kind, index_name=f"{key}_of_theirs")
    client.create_index(collection.name, params)
