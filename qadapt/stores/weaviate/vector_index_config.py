"""Fields of a ``vectorIndexConfig``: enabled quantizer, differences, merging."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from qadapt.stores.weaviate.schema import DYNAMIC, FLAT, HFRESH, HNSW

QUANTIZERS = ("pq", "bq", "sq", "rq")


SKIP = "skipDefaultQuantization"


# Rows that k-means of product codes needs: one per centroid.
CENTROIDS = 256


# The server's default rescoreLimit: of SQ, of RQ by bits, of hfresh.
RESCORE_SQ = 20


RESCORE_RQ = {8: 20, 4: 20, 1: 512}


RESCORE_HFRESH = 350


def halves(config: Mapping[str, Any], index: str) -> list[Mapping[str, Any]]:
    """The configurations that may have a quantizer: two for a dynamic index, hnsw first."""
    if index != DYNAMIC:
        return [config]
    return [config.get(half) or {} for half in (HNSW, FLAT)]


def on(config: Mapping[str, Any], name: str) -> bool:
    """Whether a quantizer is enabled."""
    return bool((config.get(name) or {}).get("enabled"))


def quantizer(native: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """The enabled quantizer and its block; None if there is none.

    For a dynamic index, hnsw comes first, because the index changes to it as it grows.
    """
    index = native["vectorIndexType"]
    config = native["vectorIndexConfig"]
    if index == HFRESH:
        own = {"enabled": True, "bits": 1, "rescoreLimit": RESCORE_HFRESH}
        return "rq", {**own, **(config.get("rq") or {})}
    for place in halves(config, index):
        for name in QUANTIZERS:
            if on(place, name):
                return name, place[name]
    return None


def settings(explicit: Mapping[str, Any]) -> dict[str, Any]:
    """Native fields without the index type, which is not in ``vectorIndexConfig``."""
    return {key: value for key, value in explicit.items() if key != "vectorIndexType"}


def differences(
    now: Mapping[str, Any], wanted: Mapping[str, Any], where: str = ""
) -> dict[str, tuple[Any, Any]]:
    """Fields that differ, as (current, requested): ``{"rq.rescoreLimit": (20, 50)}``."""
    found: dict[str, tuple[Any, Any]] = {}
    for key, value in wanted.items():
        there = now.get(key)
        if isinstance(value, Mapping):
            inner = there if isinstance(there, Mapping) else {}
            found.update(differences(inner, value, f"{where}{key}."))
        elif there != value:
            found[f"{where}{key}"] = (there, value)
    return found


def merged(now: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Merge fields into a configuration, at any depth."""
    changed = dict(now)
    _merge(changed, extra)
    return changed


def _merge(into: dict[str, Any], extra: Mapping[str, Any]) -> None:
    for key, value in extra.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), Mapping):
            inner = dict(into[key])
            _merge(inner, value)
            into[key] = inner
        else:
            into[key] = json.loads(json.dumps(value))
