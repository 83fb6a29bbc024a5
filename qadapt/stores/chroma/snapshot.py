"""What Chroma reports about a collection, read once, and the status of its vector."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qadapt.footprint import original_bytes
from qadapt.model import (
    CollectionInfo,
    Evidence,
    Kind,
    Quantization,
    Server,
    State,
    Status,
    Vector,
    VectorInfo,
)
from qadapt.model.info import UnknownDimension
from qadapt.stores.chroma import graph_file, mapping, rows
from qadapt.stores.chroma.connection import Connection
from qadapt.stores.chroma.graph_file import GraphFile
from qadapt.stores.chroma.schema import Layout, index_of

# Chroma Cloud's own name of RaBitQ with 4 bits, which was never observed.
RABITQ = "four_bit_rabit_q_with_u_search"
NOT_SEEN = "the schema names 4-bit codes of Chroma Cloud, which qadapt cannot verify"


@dataclass(frozen=True)
class Snapshot:
    """A collection and its row count.

    Attributes:
        quantize: the word of the returned schema; None if it has none.
        graph: the files of the graph; None for a server.
    """

    layout: Layout
    count: int
    quantize: str | None = None
    graph: GraphFile | None = None


def take_snapshot(connection: Connection, layout: Layout) -> Snapshot:
    """Read the row count and the evidence of a collection."""
    return Snapshot(
        layout,
        rows.count(connection, layout),
        quantize_of(layout.native._model.serialized_schema),
        graph_file.read(connection.folder, layout.uuid),
    )


def quantize_of(schema: Any) -> str | None:
    """The word ``quantize`` of the returned schema, in any index; None or ``none`` if it has none.

    The request is no evidence: a server accepts the word and drops it.
    """
    if isinstance(schema, Mapping):
        word = schema.get("quantize")
        if isinstance(word, str):
            return word
        schema = list(schema.values())
    if isinstance(schema, list):
        found = [quantize_of(each) for each in schema]
        return next((each for each in found if each not in (None, "none")), None)
    return None


def collection_info(server: Server, taken: Snapshot) -> CollectionInfo:
    """The collection in common terms."""
    layout = taken.layout
    config = {
        "configuration": json.loads(json.dumps(layout.configuration)),
        "metadata": dict(layout.metadata),
    }
    if layout.vector is None:
        unknown = {"": UnknownDimension(taken.count, complete=not taken.count)}
        return CollectionInfo(layout.name, taken.count, {}, server, config, unknown)
    vectors = {"": _vector_info(taken, layout.vector)}
    return CollectionInfo(layout.name, taken.count, vectors, server, config)


def _vector_info(taken: Snapshot, vector: Vector) -> VectorInfo:
    kind, parameters = index_of(taken.layout.configuration)
    quantization, status = quantization_of(taken)
    size = original_bytes(taken.count, vector)
    graph = taken.graph
    whole = graph is not None and graph.rows == taken.count
    return VectorInfo(
        "",
        vector.dim,
        vector.metric,
        vector.datatype,
        taken.count,
        {"type": kind, **(parameters or {})},
        quantization,
        status,
        float_bytes=size,
        graph_bytes=graph.size - size if graph is not None and whole and taken.count else None,
    )


def quantization_of(taken: Snapshot) -> tuple[Quantization, Status]:
    """The quantization and its status, by what Chroma returned."""
    kind, _ = index_of(taken.layout.configuration)
    evidence = (
        Evidence("index in the returned configuration", kind),
        Evidence("quantize in the returned schema", taken.quantize),
    )
    if taken.quantize in (None, "none"):
        return mapping.NONE, Status(State.ABSENT, evidence=evidence)
    wanted = Quantization(Kind.ROTATIONAL, bits=4) if taken.quantize == RABITQ else mapping.NONE
    return wanted, Status(State.UNKNOWN, NOT_SEEN, evidence=evidence)
