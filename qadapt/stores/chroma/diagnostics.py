"""Findings of ``qadapt doctor``."""

from __future__ import annotations

from qadapt.model import Evidence, Finding, Severity
from qadapt.stores.chroma.schema import index_of
from qadapt.stores.chroma.snapshot import Snapshot

# Legacy keys of the metadata, and the parameter that they set at creation.
LEGACY = {
    "hnsw:space": "space",
    "hnsw:construction_ef": "ef_construction",
    "hnsw:search_ef": "ef_search",
    "hnsw:M": "max_neighbors",
    "hnsw:resize_factor": "resize_factor",
    "hnsw:sync_threshold": "sync_threshold",
}


def findings(taken: Snapshot) -> list[Finding]:
    """The findings of one collection."""
    return [*_metadata(taken), *_neighbors(taken)]


def _metadata(taken: Snapshot) -> list[Finding]:
    """Keys ``hnsw:...`` that were set after the collection was created."""
    parameters = index_of(taken.layout.configuration)[1] or {}
    found = []
    for key, name in LEGACY.items():
        if key not in taken.layout.metadata or name not in parameters:
            continue
        wanted, real = taken.layout.metadata[key], parameters[name]
        if wanted == real:
            continue
        found.append(
            Finding(
                "metadata-without-effect",
                Severity.WARNING,
                "",
                f"the metadata says {key}={wanted!r}, but the collection has {name}={real!r}: "
                "Chroma reads these keys only when it creates a collection",
                (Evidence(key, wanted), Evidence(name, real)),
                _remedy(name, wanted),
            )
        )
    return found


def _remedy(name: str, wanted: object) -> str:
    if name == "ef_search":
        return f'collection.modify(configuration={{"hnsw": {{"ef_search": {wanted!r}}}}})'
    return f"copy the rows to a collection with {name}={wanted!r} in its configuration"


def _neighbors(taken: Snapshot) -> list[Finding]:
    """A changed ``max_neighbors``, which the configuration reports and the graph does not have."""
    parameters = index_of(taken.layout.configuration)[1] or {}
    wanted, graph = parameters.get("max_neighbors"), taken.graph
    if graph is None or wanted is None or graph.max_neighbors == wanted:
        return []
    return [
        Finding(
            "max-neighbors-ignored",
            Severity.WARNING,
            "",
            f"the configuration reports max_neighbors={wanted}, but the graph was built with "
            f"{graph.max_neighbors}: Chroma accepts the change and does not build the graph again",
            (
                Evidence("max_neighbors in the configuration", wanted),
                Evidence("max_neighbors in header.bin", graph.max_neighbors),
            ),
            f"copy the rows to a collection with max_neighbors={wanted} in its configuration",
        )
    ]
