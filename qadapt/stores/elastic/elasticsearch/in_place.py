"""Types of index_options that a mapping accepts in place of another one, by version.

All pairs were tried on 8.12.2, 8.14.3, 8.15.5, 8.16.6, 8.18.8, 8.19.21 and 9.5.3
(docs/engines/elasticsearch.md#mapping-updates).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qadapt.stores.elastic.elasticsearch.version import ServerVersion

_GRAPHS = ("hnsw", "int8_hnsw", "int4_hnsw")
Pairs = Mapping[str, Sequence[str]]
NEWEST: Pairs = {
    "hnsw": ("int8_hnsw", "int4_hnsw", "bbq_hnsw"),
    "int8_hnsw": ("int4_hnsw", "bbq_hnsw"),
    "int4_hnsw": ("bbq_hnsw",),
    "flat": (*_GRAPHS, "bbq_hnsw", "int8_flat", "int4_flat", "bbq_flat"),
    "int8_flat": (*_GRAPHS, "bbq_hnsw", "int4_flat", "bbq_flat"),
    "int4_flat": (*_GRAPHS, "bbq_hnsw", "bbq_flat"),
    "bbq_flat": ("bbq_hnsw",),
}
_OF_8_16: Pairs = {
    "hnsw": ("int8_hnsw", "int4_hnsw"),
    "int8_hnsw": ("int4_hnsw",),
    "flat": NEWEST["flat"],
    "int8_flat": (*_GRAPHS, "int4_flat"),
    "int4_flat": _GRAPHS,
}
_OF_8_15: Pairs = {
    "hnsw": ("int8_hnsw",),
    "flat": (*_GRAPHS, "int8_flat", "int4_flat"),
    "int8_flat": ("hnsw", "int8_hnsw"),
}
# From the version on, newest first. 9.0 is as old as 8.18, and was not observed.
BY_VERSION: tuple[tuple[str, Pairs], ...] = (
    ("9.1.0", NEWEST),
    ("9.0.0", _OF_8_16),
    ("8.19.0", NEWEST),
    ("8.16.0", _OF_8_16),
    ("8.15.0", _OF_8_15),
)


def accepted(kind: str, version: ServerVersion) -> Sequence[str]:
    """The types that replace a type in place; none before 8.15."""
    for since, pairs in BY_VERSION:
        if version.has(since):
            return pairs.get(kind, ())
    return ()
