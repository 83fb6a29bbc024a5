"""Strict mode: the limits of a collection, checked before a request for clear errors.

They are in ``config.strict_mode_config`` since 1.13 (docs/engines/qdrant.md#strict-mode).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.errors import over_limit
from qadapt.model import Rescore
from qadapt.stores.base import SearchRequest

Limits = Mapping[str, Any]


def limits(info: Mapping[str, Any]) -> Limits:
    """The effective limits; empty if strict mode is off."""
    found = info["config"].get("strict_mode_config") or {}
    return {} if not found.get("enabled") else {k: v for k, v in found.items() if v is not None}


def check_search(found: Limits, search: SearchRequest) -> None:
    """Reject a search that the server would reject.

    Raises:
        InputError: names the limit.
    """
    _at_most(found, "max_query_limit", search.k, "k", "request fewer results")
    rescore = search.rescore
    if rescore is not None and rescore.on:
        _at_most(
            found,
            "search_max_oversampling",
            rescore.factor(search.k),
            "oversampling",
            "use less oversampling",
        )
    ef = search.options.get("hnsw_ef")
    if ef is not None:
        _at_most(found, "search_max_hnsw_ef", ef, "hnsw_ef", "use a smaller hnsw_ef")
    if search.exact and not allows_exact(found):
        raise over_limit(
            "strict mode: search_allow_exact is off for this collection, so exact searches are "
            "not allowed",
            hint="omit exact, or compute the ground truth from `read`",
        )


def allowed(found: Limits, rescore: Rescore, k: int) -> Rescore:
    """Limit a rescoring to the allowed number of candidates."""
    if not rescore.on:
        return rescore
    limit = found.get("search_max_oversampling")
    if limit is None or rescore.factor(k) <= float(limit):
        return rescore
    if rescore.candidates is not None:
        return Rescore(source=rescore.source, candidates=max(1, int(float(limit) * k)))
    return Rescore(max(1.0, float(limit)), rescore.source)


def allows_exact(found: Limits) -> bool:
    """Whether exact searches and exact counts are allowed."""
    return found.get("search_allow_exact", True) is not False


def cap(found: Limits, name: str, wanted: int) -> int:
    """Limit the number of rows or queries in one request."""
    limit = found.get(name)
    return wanted if limit is None else max(1, min(wanted, int(limit)))


def factor(found: Limits, wanted: float) -> float:
    """Limit an oversampling that qadapt rounded up."""
    limit = found.get("search_max_oversampling")
    return wanted if limit is None else min(wanted, float(limit))


def _at_most(found: Limits, name: str, value: float, what: str, hint: str) -> None:
    limit = found.get(name)
    if limit is not None and value > limit:
        raise over_limit(
            f"strict mode: {what} {value:g} exceeds the limit {name} = {limit:g} of this "
            "collection",
            hint=f"{hint}, or raise {name}",
        )
