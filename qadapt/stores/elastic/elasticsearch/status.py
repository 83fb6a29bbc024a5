"""The state of the codes of a vector, from the bytes that segments hold.

``off_heap`` reports the bytes of each format of a field: ``vec`` of original vectors, ``veq`` of
codes with 8 or 4 bits, ``veb`` of sign bits, ``vex`` of graphs. The mapping is no evidence: it
shows a new type at once, while segments keep their codes until they are merged
(docs/engines/elasticsearch.md#evidence).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qadapt.model import Evidence, State, Status
from qadapt.stores.elastic.elasticsearch import mapping

_FORMATS = {"int8": "veq", "int4": "veq", "bbq": "veb", mapping.BBQ_DISK: "clivf"}
ADVICE = "`qadapt apply` rewrites the segments; the server does so only when it merges them"
NO_EVIDENCE = (
    "the server reports no bytes of codes (Elasticsearch 9.1 and newer do, serverless does not)"
)
BY_AGE = (
    "the server reports no bytes of codes, but all segments are newer than the type in the mapping"
)


@dataclass(frozen=True)
class Observation:
    """The evidence of one vector.

    Attributes:
        options: index_options of the mapping, with the type.
        dim: number of dimensions.
        width: bytes of an original value: 4, or 2 for bfloat16.
        sizes: bytes by format, such as ``{"vec": 1536}``; None if the server reports none.
        segments: number of segments of the index.
        deleted: documents that are deleted and not merged away.
        correction: bytes of the corrections of an int8 or int4 code. Segments of an older format
            have fewer, and count as not merged yet: the sum does not tell them from missing codes.
        older: segments that may be older than the type in the mapping, where the server reports no
            sizes; None if that is unknown.
    """

    options: Mapping[str, object]
    dim: int
    width: int
    sizes: Mapping[str, int] | None
    segments: int
    deleted: int
    correction: int = 16
    older: int | None = None

    @property
    def codes(self) -> str:
        """The codes of the mapping."""
        return mapping.split_type(str(self.options["type"]))[0]

    @property
    def vectors(self) -> int:
        """Number of vectors in the segments, deleted ones included."""
        return 0 if self.sizes is None else self.sizes.get("vec", 0) // (self.width * self.dim)

    @property
    def code_bytes(self) -> int:
        """Bytes of the codes of the mapping."""
        return 0 if self.sizes is None else self.sizes.get(_FORMATS.get(self.codes, ""), 0)

    @property
    def share(self) -> float:
        """Share of the vectors that have the codes of the mapping, by their bytes."""
        if not self.vectors or not self.codes:
            return 0.0
        each = self.code_bytes / self.vectors
        if self.codes == "bbq":
            return min(1.0, each / mapping.code_bytes("bbq", self.dim))
        return self._share_of(each)

    def _share_of(self, each: float) -> float:
        """Share of int8 or int4 codes, which are in files of the same format."""
        wide, narrow = self.dim + self.correction, -(-self.dim // 2) + self.correction
        wanted, other = (wide, narrow) if self.codes == "int8" else (narrow, wide)
        if abs(each - wanted) < 0.5:
            return 1.0
        if self.foreign:  # the rest has sign bits or no codes
            return min(0.99, each / wanted)
        between = (each - other) / (wanted - other)
        return min(0.99, between) if 0 <= between < 1 else min(0.99, each / wide)

    @property
    def foreign(self) -> dict[str, int]:
        """Bytes of formats that the mapping does not have."""
        own = _FORMATS.get(self.codes)
        known = {"veq", "veb", "clivf"} - {own}
        sizes = self.sizes or {}
        return {name: sizes[name] for name in sorted(known) if sizes.get(name)}


def status_of(seen: Observation) -> Status:
    """The state, its reason and its evidence."""
    evidence = _evidence(seen)
    if seen.sizes is None:
        if not seen.codes:
            return Status(State.ABSENT, "the mapping has no codes", evidence=evidence)
        return _by_age(seen, evidence)
    if not seen.codes:
        if not seen.foreign:
            return Status(State.ABSENT, "no segment has codes", evidence=evidence)
        why = f"segments still hold codes ({_listed(seen.foreign)}), and the mapping has none"
        return Status(State.BUILDING, why, evidence=evidence, advice=ADVICE)
    if not seen.vectors and not seen.code_bytes:
        return Status(State.UNKNOWN, "the index has no vectors yet", evidence=evidence)
    share = seen.share
    if share >= 0.999 and not seen.foreign:
        return Status(State.ACTIVE, evidence=evidence)
    kind = seen.options["type"]
    held = _listed(seen.foreign) or "codes of another width, or none"
    why = f"the mapping says {kind}, but segments still hold {held}"
    return Status(State.BUILDING, why, min(share, 0.99), evidence, ADVICE)


def _by_age(seen: Observation, evidence: tuple[Evidence, ...]) -> Status:
    """The state without sizes: new segments are written with the type in the mapping."""
    if seen.older is None:
        return Status(State.UNKNOWN, NO_EVIDENCE, evidence=evidence)
    if not seen.segments:
        return Status(State.UNKNOWN, "the index has no vectors yet", evidence=evidence)
    if seen.older:
        why = f"{seen.older} of {seen.segments} segments may be older than the type in the mapping"
        done = min(0.99, 1 - min(seen.older, seen.segments) / seen.segments)
        return Status(State.BUILDING, why, done, evidence, ADVICE)
    return Status(State.ACTIVE, BY_AGE, evidence=evidence)


def _listed(sizes: Mapping[str, int]) -> str:
    words = {"veq": "codes of 8 or 4 bits", "veb": "sign bits", "clivf": "bbq_disk codes"}
    return ", ".join(f"{size:,} bytes of {words[name]}" for name, size in sizes.items())


def _evidence(seen: Observation) -> tuple[Evidence, ...]:
    found = [
        Evidence("type in the mapping", str(seen.options["type"])),
        Evidence("segments", seen.segments),
        Evidence("deleted documents", seen.deleted),
    ]
    if seen.sizes is None:
        found.append(Evidence("bytes by format", "not reported"))
        if seen.older is not None:
            found.append(Evidence("segments that may be older than the type", seen.older))
        return tuple(found)
    for name, size in sorted(seen.sizes.items()):
        found.append(Evidence(f"bytes of {name}", size))
    if seen.codes and seen.vectors:
        found.append(Evidence("bytes of a code", round(seen.code_bytes / seen.vectors, 2)))
    graph = mapping.split_type(str(seen.options["type"]))[1] == mapping.HNSW
    if graph and seen.vectors and not seen.sizes.get("vex"):
        found.append(Evidence("graph", "none: the segments are small, and are compared in full"))
    return tuple(found)
