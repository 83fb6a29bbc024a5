"""The fields of a ``vectorIndexConfig``: which quantizer is on, what differs, what is merged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from qadapt.stores.weaviate.schema import DYNAMIC, FLAT, HFRESH, HNSW

QUANTIZERS = ("pq", "bq", "sq", "rq")
SKIP = "skipDefaultQuantization"

# Rows that the k-means of product codes needs: one for each centroid.
CENTROIDS = 256
# The server's own limits of rescoring where none was sent: of SQ, of RQ by bits, of hfresh.
RESCORE_SQ = 20
RESCORE_RQ = {8: 20, 4: 20, 1: 512}
RESCORE_HFRESH = 350


def halves(config: Mapping[str, Any], index: str) -> list[Mapping[str, Any]]:
    """Where a quantizer may stand: a dynamic index has two halves, hnsw first."""
    if index != DYNAMIC:
        return [config]
    return [config.get(half) or {} for half in (HNSW, FLAT)]


def on(config: Mapping[str, Any], name: str) -> bool:
    """Whether a quantizer is switched on."""
    return bool((config.get(name) or {}).get("enabled"))


def quantizer(native: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """The quantizer that is switched on, and its block; None for none.

    Of a dynamic index the hnsw half goes first: it is what the index becomes.
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
    """Native fields without the index type, which is none of ``vectorIndexConfig``."""
    return {key: value for key, value in explicit.items() if key != "vectorIndexType"}


def differences(
    now: Mapping[str, Any], wanted: Mapping[str, Any], where: str = ""
) -> dict[str, tuple[Any, Any]]:
    """Fields that are not as they are wanted: ``{"rq.rescoreLimit": (20, 50)}``."""
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
    """A configuration with some fields changed, at any depth."""
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
