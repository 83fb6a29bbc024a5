"""Bodies of searches with ``knn``.

``rescore_vector.oversample`` makes each shard score ``ceil(f * k)`` candidates with the original
vectors. An exact search needs no script: a filter that matches no more documents than
``num_candidates`` makes the server compare all of them, so it is made of ranges of sequence numbers
(docs/engines/elasticsearch.md#exact-searches).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qadapt.errors import SpecError, UnsupportedError
from qadapt.model import Rescore, SearchProvenance
from qadapt.stores.base import SearchRequest, check_k
from qadapt.stores.elastic.elasticsearch import mapping
from qadapt.stores.elastic.elasticsearch.version import (
    SINCE_OVERSAMPLED_K,
    SINCE_RESCORE,
    ServerVersion,
)
from qadapt.stores.elastic.filters import to_query
from qadapt.stores.elastic.schema import Index, VectorField
from qadapt.stores.elastic.search import MAX_K, QUERY, Prepared, prepared

MAX_CANDIDATES = 10_000
# The server's own default of num_candidates is 1.5 * k; a graph needs more for the usual recall.
LEAST_CANDIDATES = 100
OPTIONS = ("num_candidates", "similarity")
PER_SHARD = "each of {shards} shards rescores its own {candidates:,} candidates"
OVERSAMPLED = "{version} rescores the oversampling times num_candidates, not times k"
CAPPED = (
    "a search has at most 10,000 candidates per shard: {asked:,} were requested, 10,000 are "
    "rescored"
)


def prepare(
    index: Index,
    field: VectorField,
    options: Mapping[str, Any],
    request: SearchRequest,
    ranges: int,
    version: ServerVersion,
) -> Prepared:
    """The bodies of a search.

    Args:
        options: index_options of the field.
        ranges: number of ranges of an exact search.
        version: of the server.

    Raises:
        InputError, SpecError, UnsupportedError
    """
    check_k(request.k, MAX_K)
    for name in request.options:
        if name not in OPTIONS:
            raise SpecError.unknown("search parameter", name, OPTIONS, where="elasticsearch")
    rescore = request.rescore
    if rescore is not None and rescore.by_codes:
        raise UnsupportedError(
            "Elasticsearch stores no finer codes for rescoring", hint="use source 'originals'"
        )
    query = to_query(request.filter, index)
    coded = bool(mapping.split_type(str(options.get("type", mapping.HNSW)))[0])
    exact = request.exact or (request.ignore_quantization and coded)
    if coded and not version.has(SINCE_RESCORE):
        wanted = rescore is not None and rescore.on
        if exact or wanted:
            raise UnsupportedError(
                f"{'an exact search' if exact else 'rescoring'} of a field with codes needs "
                f"{version.product} {SINCE_RESCORE}; this is {version.words}",
                hint="upgrade the server, or search without rescoring",
            )
    off = rescore is not None and not rescore.on
    if off and not version.maps_rescoring:
        request = replace(request, rescore=None)
    if exact:
        return _exact(index, field, coded, request, query, ranges)
    default = mapping.default_rescore(options, version)
    return _nearest(index, field, default, coded, request, query, version)


def _nearest(
    index: Index,
    field: VectorField,
    default: Rescore | None,
    coded: bool,
    request: SearchRequest,
    query: dict[str, Any] | None,
    version: ServerVersion,
) -> Prepared:
    k = request.k
    knn: dict[str, Any] = {"field": field.path, "query_vector": QUERY, "k": k}
    origin = "store default" if request.rescore is None else "call"
    rescore = request.rescore or default
    on = coded and rescore is not None and rescore.on
    candidates = rescore.count(k) if on and rescore is not None else 0
    notes = []
    if candidates > MAX_CANDIDATES:
        notes.append(CAPPED.format(asked=candidates))
        candidates = MAX_CANDIDATES
    if not request.no_params:
        asked = max(request.options.get("num_candidates") or max(LEAST_CANDIDATES, k), k)
        knn["num_candidates"] = asked
        if coded and request.rescore is not None:
            knn["rescore_vector"] = {"oversample": _oversampling(request.rescore, k, candidates)}
    if on and rescore is not None and not version.has(SINCE_OVERSAMPLED_K):
        base = max(k, knn.get("num_candidates", math.ceil(1.5 * k)))
        candidates = min(MAX_CANDIDATES, math.ceil(_oversampling(rescore, k, candidates) * base))
        notes.append(OVERSAMPLED.format(version=version.words))
    if "similarity" in request.options:
        knn["similarity"] = request.options["similarity"]
    if query is not None:
        knn["filter"] = query
    if on and index.shards > 1:
        notes.append(PER_SHARD.format(shards=index.shards, candidates=candidates))
    how = _how(coded, on, rescore, k, candidates, origin, tuple(notes), field)
    return prepared(index, field, [{"knn": knn}], k, how, with_payload=request.with_payload)


def _oversampling(rescore: Rescore, k: int, candidates: int) -> float:
    """The factor of which the server takes ``ceil(f * k)`` candidates; 0 for none."""
    if not rescore.on:
        return 0.0
    if candidates == MAX_CANDIDATES or rescore.candidates is not None:
        return max(1.0, candidates / k)
    return rescore.oversampling


def _how(
    coded: bool,
    on: bool,
    rescore: Rescore | None,
    k: int,
    candidates: int,
    origin: str,
    notes: tuple[str, ...],
    field: VectorField,
) -> SearchProvenance:
    rounded = field.vector.datatype != "float32"
    if rounded:
        notes = (*notes, f"the vectors are stored as {field.vector.datatype}")
    if not on or rescore is None:
        scores: Any = "approximate" if coded or rounded else "exact"
        return SearchProvenance("store", "none", 1.0, 0, "none", scores, origin, notes)
    scores = "approximate" if rounded else "exact"
    factor = rescore.factor(k)
    return SearchProvenance(
        "store", "store", factor, candidates, "originals", scores, origin, notes
    )


def _exact(
    index: Index,
    field: VectorField,
    coded: bool,
    request: SearchRequest,
    query: dict[str, Any] | None,
    ranges: int,
) -> Prepared:
    """A body for each range of sequence numbers."""
    bodies = []
    for at in range(ranges):
        first = at * MAX_CANDIDATES
        part = {"range": {"_seq_no": {"gte": first, "lt": first + MAX_CANDIDATES}}}
        knn: dict[str, Any] = {
            "field": field.path,
            "query_vector": QUERY,
            "k": request.k,
            "num_candidates": MAX_CANDIDATES,
            "filter": [part, *([] if query is None else [query])],
        }
        if coded:
            knn["rescore_vector"] = {"oversample": MAX_CANDIDATES / request.k}
        bodies.append({"knn": knn})
    origin = "store default" if request.rescore is None else "call"
    rounded = field.vector.datatype != "float32"
    how = SearchProvenance(
        "store exact", "none", 1.0, 0, "none", "approximate" if rounded else "exact", origin,
        (f"the vectors are stored as {field.vector.datatype}",) if rounded else (),
    )  # fmt: skip
    return prepared(index, field, bodies, request.k, how, with_payload=request.with_payload)
