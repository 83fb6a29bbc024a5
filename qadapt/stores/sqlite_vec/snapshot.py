"""What a file contains of one table, read once, and the state of its vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qadapt.footprint import original_bytes
from qadapt.model import CollectionInfo, Quantization, Rescore, Server, VectorInfo
from qadapt.stores.sqlite_vec import chunks, code_tables, mapping, rows, status
from qadapt.stores.sqlite_vec.cost_model import padded
from qadapt.stores.sqlite_vec.schema import Codes, Column, Table
from qadapt.stores.sqlite_vec.status import Observation


@dataclass(frozen=True)
class Snapshot:
    """A table, its row count, and the observations of its vectors by name.

    Attributes:
        journal: the journal mode of the file, such as ``wal``.
    """

    table: Table
    count: int
    observations: Mapping[str, Observation]
    journal: str = "wal"


@dataclass
class KnownTable:
    """A table that searches and writes use until the file changes.

    Attributes:
        table: as it was read.
        key: numbers that change with the file.
        in_step: whether the codes of a vector are in step with the rows, by table and column.
    """

    table: Table
    key: tuple[int, ...]
    in_step: dict[tuple[str, str], bool] = field(default_factory=dict)


def take_snapshot(at: Any, table: Table) -> Snapshot:
    """Read the row count and the evidence of each vector."""
    count = rows.rows_of(at, table.name)
    found = {name: _observe(at, table, column, count) for name, column in table.vectors.items()}
    journal = str(at.execute("PRAGMA journal_mode").fetchone()[0])
    return Snapshot(table, count, found, journal)


def _observe(at: Any, table: Table, column: Column, count: int) -> Observation:
    codes = table.chosen(column)
    if codes is None or not codes.exists:
        return Observation(count, codes)
    agreement = code_tables.agreement(at, table, codes, whole=True)
    return Observation(count, codes, agreement, chunks.size_of(at, table, codes))


def quantization_of(codes: Codes | None) -> Quantization:
    """The quantization of codes."""
    return mapping.NONE if codes is None else mapping.KINDS[codes.kind]


def collection_info(server: Server, snapshot: Snapshot) -> CollectionInfo:
    """The collection in common terms."""
    table = snapshot.table
    config = {
        "columns": {e.name: [e.role, e.type, e.dim, e.metric] for e in table.columns},
        "codes": {
            column.name: [[e.table, e.column, e.kind] for e in table.codes_of(column)]
            for column in table.vectors.values()
        },
        "use": dict(table.settings.get("use") or {}),
    }
    vectors = {name: _vector_info(name, snapshot) for name in table.vectors}
    notes = [f"the column {name!r} {why}" for name, why in table.other_vectors.items()]
    return CollectionInfo(table.name, snapshot.count, vectors, server, config, notes=tuple(notes))


def _vector_info(name: str, snapshot: Snapshot) -> VectorInfo:
    table, observation = snapshot.table, snapshot.observations[name]
    vector, codes = table.vector(name), observation.codes
    index = {"type": "flat"}
    if codes is not None:
        index["codes"] = codes.table if codes.separate else f"{codes.table}.{codes.column}"
    found = observation.agreement
    width = 0 if codes is None else mapping.row_bytes(codes.kind, vector.dim)
    return VectorInfo(
        name,
        vector.dim,
        vector.metric,
        vector.datatype,
        snapshot.count,
        index,
        quantization_of(codes),
        status.status_of(observation),
        default_rescore=default_rescore(codes),
        code_bytes=padded(found.coded) * width if found else 0,
        float_bytes=original_bytes(snapshot.count, vector),
    )


def default_rescore(codes: Codes | None) -> Rescore | None:
    """The rescoring of a search that requests none: a plain SQL search does not rescore."""
    return None if codes is None else Rescore(source="off")
