"""Snapshots of a shard: its configuration, its files and the engine's counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qadapt.errors import NotFoundError, UnsupportedError
from qadapt.model import CollectionInfo, Metric, Server, Vector, VectorInfo
from qadapt.stores.qdrant import mapping
from qadapt.stores.qdrant.edge import row_counts, schema, segment_files
from qadapt.stores.qdrant.edge.connection import Shard
from qadapt.stores.qdrant.edge.status import Observation, status_of
from qadapt.stores.qdrant.memory import kilobytes
from qadapt.stores.qdrant.search import Codes

METRICS = {"Cosine": Metric.COSINE, "Dot": Metric.DOT, "Euclid": Metric.EUCLIDEAN}


@dataclass(frozen=True)
class Snapshot:
    """A snapshot of one shard.

    Attributes:
        config: the configuration file.
        count: number of rows; an upper bound if the snapshot is not ``exact``.
        vectors: the evidence of each supported vector.
    """

    config: schema.Config
    count: int
    vectors: Mapping[str, Observation]
    # A cache, because every search asks for the codes.
    _codes: dict[str, Codes] = field(default_factory=dict, init=False, repr=False, compare=False)

    def codes(self, name: str) -> Codes:
        """The codes that a search of a vector uses: those in the segments, not the configured
        ones."""
        if name not in self._codes:
            self._codes[name] = self._find_codes(name)
        return self._codes[name]

    def _find_codes(self, name: str) -> Codes:
        observation = self.vectors[name]
        rows = [segment for segment in observation.segments if not segment.empty]
        held = [segment for segment in rows if segment.code_config is not None]
        largest = max(held, key=lambda segment: segment.rows or 0, default=None)
        there = None if largest is None else largest.code_config
        return Codes(mapping.from_native({"quantization_config": there}), len(rows))


def vectors(settings: Mapping[str, Any]) -> dict[str, Vector]:
    """The supported vectors: dense, one per row, with a supported metric."""
    return {
        name: Vector(params["size"], METRICS[params["distance"]], _datatype(params))
        for name, params in settings.get("vectors", {}).items()
        if _problem(params) is None
    }


def vector(settings: Mapping[str, Any], name: str) -> Vector:
    """Look up one vector.

    Raises:
        NotFoundError: the vector does not exist.
        UnsupportedError: qadapt does not support the vector.
    """
    there = settings.get("vectors", {})
    if name not in there and name in settings.get("sparse_vectors", {}):
        raise UnsupportedError(
            f"the vector {name!r} is sparse; sparse vectors are never quantized",
            hint="name a dense vector: vector= or --vector",
        )
    if name not in there:
        raise NotFoundError.missing("vector", name, there)
    problem = _problem(there[name])
    if problem:
        raise UnsupportedError(
            f"the vector {name!r} {problem}", hint=("qadapt does not support this vector")
        )
    return vectors(settings)[name]


def _datatype(params: Mapping[str, Any]) -> Any:
    return params.get("datatype") or "float32"


def _problem(params: Mapping[str, Any]) -> str | None:
    if params.get("multivector_config"):
        return "is a multivector"
    if params["distance"] not in METRICS:
        return f"has the metric {params['distance']}; qadapt supports cosine, dot and euclidean"
    return None


def take_snapshot(shard: Shard, *, exact: bool = True) -> Snapshot:
    """Read the files and count rows, holding the shard's lock.

    Args:
        exact: False sums the rows of the segments, which is fast and sufficient for a search.
    """
    with shard.lock:
        with shard.use("inspect") as opened:
            count = row_counts.rows(opened, shard.folder) if exact else row_counts.at_most(opened)
            settings = schema.read(shard.folder)
            described = vectors(settings)
            counts = {name: row_counts.having(opened, name, count) for name in described}
        found = segment_files.read(shard.folder)
        widest = _widest(found, described)
        observation = Snapshot(
            settings,
            count,
            {
                name: Observation(
                    item,
                    counts[name],
                    schema.quantization_config(settings, name),
                    schema.threshold(settings),
                    _living(found.get(name, []), counts[name]),
                    widest,
                )
                for name, item in described.items()
            },
        )
        shard.observation = observation
        return observation


def _living(
    segments: list[segment_files.SegmentVector], count: int
) -> list[segment_files.SegmentVector]:
    """Growing segments with an upper bound of their live rows: those that are in no other
    segment."""
    indexed = [segment.live for segment in segments if segment.indexed]
    elsewhere = sum(live for live in indexed if live is not None)
    if None in indexed:
        return segments
    rest = max(0, count - elsewhere)
    return [
        each if each.indexed or each.rows is None else replace(each, live=min(each.rows, rest))
        for each in segments
    ]


def _widest(
    found: Mapping[str, list[segment_files.SegmentVector]], described: Mapping[str, Vector]
) -> dict[str, float]:
    """KB of the widest vector of each growing segment, which the engine compares with the
    threshold."""
    result: dict[str, float] = {}
    for name, vector in described.items():
        for segment in found.get(name, []):
            if not segment.indexed:
                size = kilobytes(segment.rows or 0, vector)
                result[segment.segment] = max(size, result.get(segment.segment, 0.0))
    return result


def vector_info(name: str, snapshot: Snapshot) -> VectorInfo:
    """Describe one vector in the common format."""
    observation = snapshot.vectors[name]
    quantization = mapping.from_native(schema.native(snapshot.config, name))
    indexed = observation.indexed
    return VectorInfo(
        name=name,
        dim=observation.vector.dim,
        metric=observation.vector.metric,
        datatype=observation.vector.datatype,
        count=observation.count,
        index=indexed[0].index if indexed else {"type": "plain"},
        quantization=quantization,
        status=status_of(observation),
        default_rescore=mapping.default_rescore(quantization),
        code_bytes=sum(segment.code_bytes for segment in observation.segments),
        float_bytes=sum(segment.float_bytes for segment in observation.segments),
        graph_bytes=_graph_bytes(observation.segments),
    )


def _graph_bytes(segments: Sequence[segment_files.SegmentVector]) -> int | None:
    """Bytes of the graphs; None while only some rows are in segments with one."""
    filled = [each for each in segments if not each.empty]
    if filled and not any(each.indexed for each in filled):
        return 0
    if not all(each.indexed for each in filled):
        return None
    return sum(each.graph_bytes for each in filled) or None


def collection_info(name: str, server: Server, snapshot: Snapshot) -> CollectionInfo:
    """Describe the whole collection in the common format."""
    return CollectionInfo(
        name=name,
        count=snapshot.count,
        vectors={vector: vector_info(vector, snapshot) for vector in snapshot.vectors},
        server=server,
        config=schema.settings(snapshot.config),
    )
