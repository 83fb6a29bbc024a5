"""Bodies of searches with ``knn``.

``rescore.oversample_factor`` makes each shard score candidates with the original vectors: at least
100 of them (docs/engines/opensearch.md#rescoring). An exact search is a script of the k-NN plugin.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.errors import InputError, SpecError, UnsupportedError
from qadapt.model import Rescore, SearchProvenance
from qadapt.stores.base import SearchRequest, check_k
from qadapt.stores.elastic.filters import to_query
from qadapt.stores.elastic.opensearch.schema import FEWEST_CANDIDATES, SPACES, Field, OpenSearch
from qadapt.stores.elastic.schema import Index, VectorField
from qadapt.stores.elastic.search import MAX_K, QUERY, Prepared, prepared

MAX_CANDIDATES = 10_000
MAX_FACTOR = 100
OPTIONS = ("ef_search",)
PER_SHARD = "each of {shards} shards rescores its own {candidates:,} candidates"
AT_LEAST = (
    "the server rescores at least 100 candidates per shard: {asked:,} were requested, "
    "{candidates:,} are rescored"
)
CAPPED = (
    "the server rescores at most {most:,} candidates per shard for k={k}: {asked:,} were "
    "requested, {most:,} are rescored"
)
NO_OFF = "OpenSearch {version} ignores `rescore: false` on a field with mode on_disk"


def prepare(
    product: OpenSearch, index: Index, field: VectorField, settings: Field, request: SearchRequest
) -> Prepared:
    """The body of a search.

    Args:
        settings: of the field, before or after a change.

    Raises:
        InputError, SpecError, UnsupportedError
    """
    check_k(request.k, MAX_K)
    for name in request.options:
        if name not in OPTIONS:
            raise SpecError.unknown("search parameter", name, OPTIONS, where="opensearch")
    if request.rescore is not None and request.rescore.by_codes:
        raise UnsupportedError(
            "OpenSearch stores no finer codes for rescoring", hint="use source 'originals'"
        )
    query = to_query(request.filter, index)
    coded = settings.bits < 32
    if request.exact or (request.ignore_quantization and coded):
        body = {"query": exact_query(field, query)}
        origin = "store default" if request.rescore is None else "call"
        how = SearchProvenance("store exact", "none", 1.0, 0, "none", "exact", origin)
    else:
        rescore = _rescore(product, settings, request) if coded else None
        body = _nearest(field, request, rescore, query)
        how = _how(product, index, settings, request, rescore)
    return prepared(index, field, [body], request.k, how, with_payload=request.with_payload)


def _nearest(
    field: VectorField,
    request: SearchRequest,
    rescore: Rescore | None,
    query: Mapping[str, Any] | None,
) -> dict[str, Any]:
    knn: dict[str, Any] = {"vector": QUERY, "k": request.k}
    if rescore is not None and not request.no_params:
        knn["rescore"] = rescoring(rescore, request.k)
    if "ef_search" in request.options:
        knn["method_parameters"] = {"ef_search": _ef(request.options["ef_search"])}
    if query is not None:
        knn["filter"] = query
    return {"query": {"knn": {field.path: knn}}}


def _ef(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(
            f"ef_search must be an integer of at least 1; got {value!r:.40}",
            hint="for example ef_search=200",
        )
    return value


def _rescore(product: OpenSearch, settings: Field, request: SearchRequest) -> Rescore | None:
    """The rescoring to send; None leaves it to the server."""
    asked = request.rescore
    if asked is None or asked.on:
        return asked
    if not settings.honors_off(product.server_version):
        raise UnsupportedError(
            NO_OFF.format(version=product.version), hint="upgrade the server to 2.19 or newer"
        )
    return asked


def rescoring(rescore: Rescore, k: int) -> Any:
    """The value of ``rescore`` with which each shard rescores the requested candidates.

    The server takes ``ceil(factor * k)``; half a candidate less keeps rounding from adding one.
    """
    if not rescore.on:
        return False
    factor = rescore.factor(k)
    if not float(factor).is_integer():
        factor = (rescore.count(k) - 0.5) / k
    return {"oversample_factor": min(float(MAX_FACTOR), max(1.0, factor))}


def candidates(rescore: Rescore, k: int) -> int:
    """The number of candidates that a shard rescores."""
    return min(most_candidates(k), max(FEWEST_CANDIDATES, rescore.count(k)))


def most_candidates(k: int) -> int:
    """The most candidates of a search for ``k`` results."""
    return max(k, min(MAX_CANDIDATES, max(FEWEST_CANDIDATES, MAX_FACTOR * k)))


def _how(
    product: OpenSearch,
    index: Index,
    settings: Field,
    request: SearchRequest,
    rescore: Rescore | None,
) -> SearchProvenance:
    origin = "store default" if request.rescore is None else "call"
    if settings.bits == 32:
        return SearchProvenance("store", "none", 1.0, 0, "none", "exact", origin)
    by = rescore or settings.default_rescore(product.server_version)
    if by is None or not by.on:
        return SearchProvenance("store", "none", 1.0, 0, "none", "approximate", origin)
    k, notes = request.k, []
    asked, found = by.count(k), candidates(by, k)
    if rescore is not None and found > asked:
        notes.append(AT_LEAST.format(asked=asked, candidates=found))
    if found < asked:
        notes.append(CAPPED.format(most=found, k=k, asked=asked))
    if index.shards > 1:
        notes.append(PER_SHARD.format(shards=index.shards, candidates=found))
    return SearchProvenance(
        "store", "store", by.factor(k), found, "originals", "exact", origin, tuple(notes)
    )


def exact_query(field: VectorField, query: Mapping[str, Any] | None) -> dict[str, Any]:
    """All rows with the vector, scored by a script."""
    rows = [{"exists": {"field": field.path}}, *([] if query is None else [query])]
    parameters = {
        "field": field.path,
        "query_value": QUERY,
        "space_type": SPACES[field.vector.metric],
    }
    script = {"source": "knn_score", "lang": "knn", "params": parameters}
    return {"script_score": {"query": {"bool": {"filter": rows}}, "script": script}}
