"""The state of the index of a vector, with its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qadapt.model import Evidence, Kind, State, Status
from qadapt.stores.lancedb import mapping
from qadapt.stores.lancedb.schema import Column

APPLY = "`qadapt apply` indexes them"
_TYPES = {
    "ivfflat": "IVF_FLAT",
    "ivfsq": "IVF_SQ",
    "ivfpq": "IVF_PQ",
    "ivfrq": "IVF_RQ",
    "ivfhnswflat": "IVF_HNSW_FLAT",
    "ivfhnswsq": "IVF_HNSW_SQ",
    "ivfhnswpq": "IVF_HNSW_PQ",
}


@dataclass(frozen=True)
class VectorIndex:
    """A vector index, as ``list_indices`` reports it.

    Attributes:
        name: of the index.
        metric: ``cosine``, ``dot``, ``l2`` or ``hamming``.
        config: its type and parameters, as in ``mapping``.
        indexed, unindexed: number of rows with and without an entry.
        size: bytes.
        segments: parts, each of which contributes its own candidates.
        created: when; the oldest index of a column serves its searches.
    """

    name: str
    metric: str
    config: Mapping[str, Any] = field(hash=False)
    indexed: int = 0
    unindexed: int = 0
    size: int = 0
    segments: int = 1
    created: str = ""

    @classmethod
    def of(cls, each: Any) -> VectorIndex | None:
        """The index of a configuration of lancedb; None for another kind of index."""
        kind = _TYPES.get(str(each.index_type).replace("_", "").lower())
        if kind is None:
            return None
        details = getattr(each, "index_details", None) or {}
        created = getattr(each, "created_at", None)
        return cls(
            str(each.name),
            str(details.get("metric_type", "l2")).lower(),
            _config(kind, details),
            int(each.num_indexed_rows or 0),
            int(each.num_unindexed_rows or 0),
            int(each.size_bytes or 0),
            int(each.num_segments or 1),
            created.isoformat() if created is not None else "",
        )


def _config(kind: str, details: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"type": kind}
    codes = details.get("compression") or {}
    if kind.endswith(("_PQ", "_RQ")):
        found["num_bits"] = int(codes.get("num_bits", 8))
    if kind.endswith("_PQ"):
        found["num_sub_vectors"] = int(codes["num_sub_vectors"])
    graph = details.get("hnsw") or {}
    if graph:
        found["m"] = int(graph["max_connections"])
        found["ef_construction"] = int(graph["construction_ef"])
    hints = details.get("runtime_hints") or {}
    for key, hint in (("sample_rate", "lance.ivf.sample_rate"), ("max_iterations", _ITERATIONS)):
        if hint in hints:
            found[key] = int(hints[hint])
    return found


_ITERATIONS = "lance.ivf.max_iters"


@dataclass(frozen=True)
class Observation:
    """The evidence of one vector.

    Attributes:
        count: number of rows.
        column: its column.
        indexes: its indexes, the one that serves searches first.
        used: the index in the plan of a search with the metric of the column; ``""`` for none.
        partitions: number of partitions of that index; None if unknown.
    """

    count: int
    column: Column
    indexes: tuple[VectorIndex, ...] = ()
    used: str = ""
    partitions: int | None = None

    @property
    def serving(self) -> VectorIndex | None:
        """The index that serves searches."""
        return self.indexes[0] if self.indexes else None


def status_of(observation: Observation) -> Status:
    """The state, its reason and its evidence."""
    evidence, index = _evidence(observation), observation.serving
    if index is None:
        why = "no index: a search compares the original vectors of all rows"
        return Status(State.ABSENT, why, evidence=evidence)
    kind = mapping.KINDS[str(index.config["type"])]
    if kind is Kind.NONE:
        why = f"the index {index.name} has the original vectors, without codes"
        return Status(State.ABSENT, why, evidence=evidence)
    if not observation.count:
        why = "the table has no rows, so that the index has no codes"
        return Status(State.UNKNOWN, why, evidence=evidence, advice="write rows, then apply again")
    if not index.indexed:
        return _without_codes(observation, index, evidence)
    if index.unindexed:
        total = index.indexed + index.unindexed
        why = (
            f"{index.unindexed:,} of {total:,} rows are not in the index: a search compares their "
            "original vectors"
        )
        return Status(State.BUILDING, why, index.indexed / total, evidence, APPLY)
    if observation.used != index.name:
        why = f"a search with the metric {observation.column.vector.metric} does not use the index"
        return Status(State.IGNORED, why, evidence=evidence, advice="`qadapt apply` builds it")
    return Status(State.ACTIVE, evidence=evidence)


def _without_codes(
    observation: Observation, index: VectorIndex, evidence: tuple[Evidence, ...]
) -> Status:
    """The state of an index without entries."""
    if needs_more_rows(index.config, observation.count):
        why = (
            f"product codes of 8 bits need {mapping.LEAST_PQ_ROWS} rows; the table has "
            f"{observation.count:,}, so that the index is empty"
        )
        advice = "write more rows, or use another quantization"
        return Status(State.IGNORED, why, evidence=evidence, advice=advice)
    why = f"none of the {observation.count:,} rows is in the index"
    return Status(State.BUILDING, why, 0.0, evidence, APPLY)


def needs_more_rows(config: Mapping[str, Any], count: int) -> bool:
    """Whether the engine would build an empty index."""
    bits = int(config.get("num_bits", 8))
    product = str(config.get("type")).endswith("_PQ")
    return product and bits == 8 and count < mapping.LEAST_PQ_ROWS


def _evidence(observation: Observation) -> tuple[Evidence, ...]:
    index = observation.serving
    found = [Evidence("rows", observation.count)]
    if index is None:
        return tuple(found)
    found += [
        Evidence("index", index.name),
        Evidence("type of the index", index.config["type"]),
        Evidence("metric of the index", index.metric),
        Evidence("rows in the index", index.indexed),
        Evidence("rows not in the index", index.unindexed),
        Evidence("bytes of the index", index.size),
        Evidence("segments of the index", index.segments),
        Evidence("index in the plan of a search", observation.used or "none"),
    ]
    if "num_bits" in index.config:
        found.append(Evidence("bits of the codes", index.config["num_bits"]))
    if observation.partitions is not None:
        found.append(Evidence("partitions of the index", observation.partitions))
    if len(observation.indexes) > 1:
        found.append(Evidence("unused indexes", [e.name for e in observation.indexes[1:]]))
    return tuple(found)
