"""Definitions of indexes: read them, and create an index with pymilvus' ``IndexParams``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qadapt.stores.milvus import native_mapping
from qadapt.stores.milvus.connection import Connection


def create_index(
    connection: Connection, name: str, field: str, index: Mapping[str, Any], *, limit: float
) -> None:
    """Create an index and wait until it is built.

    Parameters are sent nested in ``params``, because Milvus Lite ignores the flat form.

    Args:
        index: ``index_name``, ``index_type``, ``params`` and, for a vector, ``metric_type``.
        limit: seconds until the build times out.
    """
    client = connection.client
    params = client.prepare_index_params()
    named: dict[str, Any] = {"index_name": index["index_name"]}
    if index.get("metric_type"):
        named["metric_type"] = index["metric_type"]
        inner = dict(index["params"])
        place = (
            {native_mapping.MMAP: inner.pop(native_mapping.MMAP)}
            if native_mapping.MMAP in inner
            else {}
        )
        named["params"] = {"params": inner, **place}
    elif index["params"]:
        named["params"] = dict(index["params"])
    params.add_index(field, index_type=index["index_type"], **named)
    connection.call(
        f"build {index['index_type']} of {name!r}", client.create_index, name, params, within=limit
    )


@dataclass(frozen=True)
class Index:
    """An index as read from the server.

    Attributes:
        name: the index name; in Lite the name of the field.
        type, metric, params: in the form of Milvus, parameters as strings.
        reported: state and row counts.
    """

    name: str
    type: str
    metric: str
    params: Mapping[str, str]
    reported: Mapping[str, Any]

    @property
    def native(self) -> dict[str, Any]:
        """The form used by ``mapping``."""
        return {"index_type": self.type, "params": dict(self.params)}

    @property
    def definition(self) -> dict[str, Any]:
        """The definition that creates the same index."""
        return {"index_name": self.name, "metric_type": self.metric, **self.native}


def indexes(connection: Connection, name: str) -> dict[str, Index]:
    """The indexes of a collection, by field."""
    client = connection.client
    found = {}
    for label in connection.call(f"list the indexes of {name!r}", client.list_indexes, name):
        reported = connection.call(
            f"describe the index of {name!r}", client.describe_index, name, index_name=label
        )
        if reported:
            found[str(reported["field_name"])] = index_of(reported)
    return found


_FIELD = ("name", "type", "params", "is_primary")


_TOLD = ("total_rows", "indexed_rows", "pending_index_rows", "state")


_HEAD = ("dim", "index_type", "metric_type", "field_name", "index_name", "params", *_TOLD)


def index_of(reported: Mapping[str, Any]) -> Index:
    """An index from ``describe_index``; its parameters are in ``params`` or at the top level."""
    params = {key: value for key, value in reported.items() if key not in _HEAD}
    inner = reported.get("params")
    if isinstance(inner, Mapping):
        params.update(inner)
    return Index(
        name=str(reported.get("index_name") or ""),
        type=str(reported.get("index_type") or ""),
        metric=str(reported.get("metric_type") or ""),
        params={str(key): str(value) for key, value in params.items()},
        reported={key: reported.get(key) for key in _TOLD},
    )


def refinement(index: Index | None) -> str | None:
    """The ``refine_type`` of an index in lower case; None without refinement."""
    params = index.params if index is not None else {}
    if params.get("refine", "").lower() != "true":
        return None
    return params.get("refine_type", "").lower() or None
