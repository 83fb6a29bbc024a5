"""The client's local mode (``qdrant::memory:`` and ``qdrant:DIR``): search in Python without an
engine.

It ignores quantization and datatypes completely. A collection's quantization is
dropped, a vector's is echoed back as if it were set, and a change of it returns False or nothing.
A configured quantization therefore has the status ``ignored``, and qadapt offers client-side codes
(docs/engines/qdrant.md#local-mode).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import NotFoundError, UnsupportedError
from qadapt.model import (
    CollectionInfo,
    Evidence,
    ExtraVector,
    Kind,
    Server,
    State,
    Status,
    Vector,
    VectorInfo,
)
from qadapt.stores.base import SearchRequest
from qadapt.stores.qdrant import extra_vectors, mapping
from qadapt.stores.qdrant.server import schema
from qadapt.stores.qdrant.server.connection import Connection, module

RULE = (
    "the client's local mode compares the original vectors of all rows; it echoes or drops "
    "quantization and datatypes, and never uses them"
)
ADVICE = "pass accept='client' (--accept client) to build client-side codes, or use edge:DIR"


def info(connection: Connection, name: str) -> dict[str, Any]:
    """The collection's configuration in the server's format.

    Raises:
        NotFoundError
    """
    client = connection.client
    if name not in names(connection):
        raise NotFoundError.missing("collection", name, names(connection))
    found = connection.call(f"inspect {name!r}", client.get_collection, name)
    result: dict[str, Any] = found.model_dump(mode="json", exclude_none=True)
    return result


def state(connection: Connection, name: str) -> Any:
    """The client's object of a collection, which is replaced if it is created again; None if there
    is none.

    An object that clients of other versions do not have is not an error.
    """
    inner = connection.client._client
    if getattr(inner, "closed", False):
        return None
    known = getattr(inner, "collections", {})
    return known.get(getattr(inner, "aliases", {}).get(name, name))


def searcher(
    collection: Any, search: SearchRequest
) -> Callable[[npt.NDArray[np.float32]], list[Any]] | None:
    """Searches the client's object of a collection without the client's checks of the request.

    The client copies each number of a query several times, which takes as long as a search of a
    thousand rows. The query is converted to float64, as by the client, so scores are the same.

    Args:
        collection: see ``state``.
        search: a search without a filter.

    Returns:
        Function of one query, float32 ``(d,)``; None if the client has another interface.
    """
    given = {
        "query_filter": None,
        "limit": search.k,
        "with_payload": search.with_payload,
        "with_vectors": False,
    }
    run: Any = getattr(collection, "search", None)
    try:
        inspect.signature(run).bind(query_vector=("", np.zeros(1)), **given)
    except (TypeError, ValueError):
        return None
    name = search.vector

    def searched(query: npt.NDArray[np.float32]) -> list[Any]:
        found: list[Any] = run(query_vector=(name, query.astype(np.float64)), **given)
        return found

    return searched


def names(connection: Connection) -> list[str]:
    """The names of collections and aliases."""
    client = connection.client
    found = connection.call("list collections", client.get_collections)
    pointed = connection.call("list aliases", client.get_aliases)
    return sorted(
        [each.name for each in found.collections] + [each.alias_name for each in pointed.aliases]
    )


def aliases(connection: Connection) -> dict[str, str]:
    """The collection of each alias."""
    found = connection.call("list aliases", connection.client.get_aliases)
    return {each.alias_name: each.collection_name for each in found.aliases}


def switch_alias(connection: Connection, alias: str, name: str) -> None:
    """Create or move an alias."""
    models = module().models
    made = models.CreateAlias(collection_name=name, alias_name=alias)
    _alias(connection, alias, models.CreateAliasOperation(create_alias=made))


def drop_alias(connection: Connection, alias: str) -> None:
    """Delete an existing alias."""
    models = module().models
    gone = models.DeleteAlias(alias_name=alias)
    _alias(connection, alias, models.DeleteAliasOperation(delete_alias=gone))


def _alias(connection: Connection, alias: str, operation: Any) -> None:
    change = connection.client.update_collection_aliases
    connection.call(f"change the alias {alias!r}", change, change_aliases_operations=[operation])


def create(
    connection: Connection,
    name: str,
    vectors: Mapping[str, Vector],
    more: Mapping[str, ExtraVector] | None = None,
) -> None:
    """Create a collection without quantization.

    Args:
        more: sparse vectors and multivectors; their settings are echoed but not used.

    Raises:
        UnsupportedError: a datatype that would be dropped.
    """
    models = module().models
    params = {}
    for label, vector in vectors.items():
        if vector.datatype != "float32":
            raise UnsupportedError(
                f"the datatype {vector.datatype} is not supported: {RULE}", hint=ADVICE
            )
        distance = models.Distance(schema.DISTANCES[vector.metric])
        params[label] = models.VectorParams(size=vector.dim, distance=distance)
    sparse = {}
    for label, each in (more or {}).items():
        if each.kind == "multi":
            params[label] = models.VectorParams(**extra_vectors.multi_params(each))
        else:
            made = extra_vectors.sparse_params(each, flat=False)
            sparse[label] = models.SparseVectorParams(**made)
    alone = params[""] if set(params) == {""} else params
    connection.call(
        f"create {name!r}",
        connection.client.create_collection,
        name,
        vectors_config=alone,
        sparse_vectors_config=sparse or None,
    )


def collection_info(
    name: str, raw: schema.Info, server: Server, count: int, counts: Mapping[str, int]
) -> CollectionInfo:
    """Describe the collection in the common format."""
    return CollectionInfo(
        name=name,
        count=count,
        vectors={vector: _vector(vector, raw, counts[vector]) for vector in counts},
        server=server,
        config={"params": schema.settings(raw)["params"]},
    )


def _vector(name: str, raw: schema.Info, count: int) -> VectorInfo:
    vector = schema.described(raw)[name]
    echoed = schema.in_force(raw, name)
    evidence = (
        Evidence("client", "QdrantLocal: no engine and no segments"),
        Evidence("quantization echoed", echoed),
    )
    ignored = Status(State.IGNORED, RULE, evidence=evidence, advice=ADVICE)
    quantization = mapping.from_native({"quantization_config": echoed})
    return VectorInfo(
        name=name,
        dim=vector.dim,
        metric=vector.metric,
        datatype="float32",
        count=count,
        index={"type": "plain"},
        quantization=quantization,
        status=Status(State.ABSENT, evidence=evidence)
        if quantization.kind is Kind.NONE
        else ignored,
        default_rescore=None,
        float_bytes=4 * count * vector.dim,
    )
