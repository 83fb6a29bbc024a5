"""Listing, creating and deleting indexes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.errors import InputError, UnsupportedError
from qadapt.model import Vector
from qadapt.stores.elastic.connection import Connection
from qadapt.stores.elastic.product import Product
from qadapt.stores.elastic.schema import (
    FORMAT,
    OWN,
    PAYLOAD,
    UNNAMED_FIELD,
    is_valid_name,
    leaves,
    left_out,
    quoted,
)


def check_name(name: str) -> None:
    """Check the name of a new index.

    Raises:
        InputError
    """
    if not is_valid_name(name) or name.startswith("."):
        raise InputError(
            f"{name!r:.80} is not a valid name of an index",
            hint="use lower-case letters, digits, - and _, such as 'articles'",
        )


def names(connection: Connection, product: Product) -> list[str]:
    """Names of open indexes with a vector field, without those of the system."""
    answer = connection.ask("GET", "/*,-.*/_mapping", doing="list the indexes")
    return sorted(
        name
        for name, found in answer.items()
        if not name.startswith(".") and _has_vectors(found, product)
    )


def all_names(connection: Connection) -> set[str]:
    """Names of all indexes and aliases, to find a free one."""
    answer = connection.ask("GET", "/_alias", doing="list the indexes")
    aliases = {alias for each in answer.values() for alias in each.get("aliases") or ()}
    return {*answer, *aliases}


def _has_vectors(found: Mapping[str, Any], product: Product) -> bool:
    properties = (found.get("mappings") or {}).get("properties") or {}
    return any(each.get("type") in product.vector_types for _, each in leaves(properties))


def path_of(name: str) -> str:
    """The field of a vector in an index that qadapt creates.

    Raises:
        InputError: the name is reserved, or cannot be that of a field.
    """
    path = name or UNNAMED_FIELD
    bad = name == UNNAMED_FIELD or path.split(".")[0] in (PAYLOAD, OWN) or path.startswith("_")
    if bad or not all(path.split(".")) or path != path.strip():
        raise InputError(
            f"a vector cannot have the name {name!r}",
            hint="choose another name, such as 'title'",
        )
    return path


def mapping_of(fields: Mapping[str, Any], meta: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The mapping of a new index.

    Args:
        fields: definitions of the vector fields by path.
        meta: further settings of qadapt.
    """
    return {
        "dynamic": False,
        "_meta": {OWN: {"format": FORMAT, **(meta or {})}},
        "properties": {
            **fields,
            PAYLOAD: {"type": "object", "enabled": False},
            OWN: {
                "properties": {
                    "id": {"type": "keyword"},
                    "terms": {"type": "keyword", "doc_values": False},
                }
            },
        },
    }


def create(
    connection: Connection,
    product: Product,
    name: str,
    vectors: Mapping[str, Vector],
    native: Mapping[str, Mapping[str, Any]],
) -> None:
    """Create an index.

    Args:
        native: the native configuration of each vector; empty for one without codes.

    Raises:
        AlreadyExistsError
    """
    fields = {
        path_of(each): product.new_field(vector, native.get(each) or {})
        for each, vector in vectors.items()
    }
    body = product.recorded(mapping_of(fields))
    put(connection, name, body, product.new_settings(vectors))


def put(
    connection: Connection, name: str, mappings: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    """Create an index with a mapping and settings, and wait for its primary shards.

    Raises:
        UnsupportedError: an index template adds that documents do not hold all fields, which a
            request cannot turn off; the index was deleted again.
    """
    body = {"mappings": mappings, "settings": settings}
    doing = f"create the index {name!r}"
    connection.ask("PUT", f"/{quoted(name)}", body, doing=doing, repeatable=False)
    path = f"/{quoted(name)}/_mapping"
    params = {"filter_path": "*.mappings._source"}
    for made in (connection.found(path, doing=doing, params=params) or {}).values():
        if why := left_out(made["mappings"]):
            drop(connection, name)
            raise UnsupportedError(
                f"an index template makes `_source` of {name!r} incomplete: it {why}",
                hint="use a name that no index template matches (`GET /_index_template`)",
            )


def drop(connection: Connection, name: str) -> None:
    """Delete an index."""
    connection.ask("DELETE", f"/{quoted(name)}", doing=f"delete {name!r}", repeatable=False)
