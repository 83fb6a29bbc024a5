"""``edge_config.json``: the configuration of a shard, read and edited beyond the engine's API.

The engine's API can replace a quantization but not remove it; when it is removed from this file
while the shard is closed, the next ``optimize()`` removes the codes. The engine completes the file
when it loads a shard (nulls, index parameters, payload storage), so configurations are compared by
``settings``, which excludes these fields.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qadapt.durable import atomic_write
from qadapt.errors import IntegrityError
from qadapt.stores.qdrant.mapping import without_nulls

FILE = "edge_config.json"
# In KB of a segment's widest vector, if the file has no threshold: 9,000 KB are not indexed and
# 10,500 KB are (observed on 0.9.0).
DEFAULT_THRESHOLD = 10_000

# Fields that the engine adds when it loads a shard.
_FILLED_IN = ("hnsw_config", "on_disk_payload", "payload_memory")

Config = dict[str, Any]


def read(folder: Path) -> Config:
    """The shard's configuration.

    Raises:
        IntegrityError: the file is missing, not JSON, or has an unexpected structure.
    """
    path = folder / FILE
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IntegrityError(
            f"{path} cannot be read: {error}", hint="check that the folder is an edge collection"
        ) from error
    if not isinstance(config, dict) or not isinstance(config.get("vectors", {}), dict):
        raise IntegrityError(
            f"{path} is not the configuration of an edge collection",
            hint="restore the file from a backup, or choose another folder",
        )
    return config


def write(folder: Path, config: Mapping[str, Any]) -> None:
    """Replace the file atomically, so that a crash leaves the old or the new one."""
    atomic_write(folder / FILE, json.dumps(config, indent=2))


def settings(config: Mapping[str, Any]) -> Config:
    """The configuration without nulls and without the fields that the engine adds."""
    kept = {key: value for key, value in config.items() if key not in _FILLED_IN}
    found = without_nulls(kept)
    return {key: value for key, value in found.items() if value != {}}


def quantization_config(config: Mapping[str, Any], vector: str) -> dict[str, Any] | None:
    """The effective quantization of a vector: its own, otherwise the collection's."""
    own = config["vectors"][vector].get("quantization_config")
    found: dict[str, Any] | None = own or config.get("quantization_config")
    return found


def native(config: Mapping[str, Any], vector: str) -> dict[str, Any]:
    """A vector's part of the configuration, as ``qdrant.mapping.from_native`` reads it."""
    params = config["vectors"][vector]
    found = {key: params.get(key) for key in ("memory", "on_disk", "datatype")}
    return {**found, "quantization_config": quantization_config(config, vector)}


def threshold(config: Mapping[str, Any]) -> int:
    """KB from which a segment is indexed; 0 disables indexing."""
    found = (config.get("optimizers") or {}).get("indexing_threshold")
    return DEFAULT_THRESHOLD if found is None else int(found)


def configured(config: Mapping[str, Any], request: Mapping[str, Any]) -> Config:
    """The configuration after a request of ``changes``.

    A collection-level quantization is moved to the vectors without their own, because otherwise it
    would apply to a vector whose quantization is removed.
    """
    result: Config = copy.deepcopy(dict(config))
    vectors = result["vectors"]
    common = result.pop("quantization_config", None)
    for params in vectors.values():
        if common and not params.get("quantization_config"):
            params["quantization_config"] = common
    params = vectors[request["vector"]]
    for key in ("quantization_config", "memory", "on_disk"):
        if key in request:
            _put(params, key, request[key])
    for key, value in request.get("optimizers", {}).items():
        optimizers = result.get("optimizers") or {}
        _put(optimizers, key, value)
        result["optimizers"] = optimizers
    return result


def _put(place: Config, key: str, value: Any) -> None:
    if value is None:
        place.pop(key, None)
    else:
        place[key] = copy.deepcopy(value)
