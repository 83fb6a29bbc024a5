"""Create an index from its definition, with pymilvus' ``IndexParams``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.stores.milvus import mapping
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
        place = {mapping.MMAP: inner.pop(mapping.MMAP)} if mapping.MMAP in inner else {}
        named["params"] = {"params": inner, **place}
    elif index["params"]:
        named["params"] = dict(index["params"])
    params.add_index(field, index_type=index["index_type"], **named)
    connection.call(
        f"build {index['index_type']} of {name!r}", client.create_index, name, params, within=limit
    )
