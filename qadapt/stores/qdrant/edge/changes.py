"""From what a vector is to what was asked for: requests as data, no I/O.

Two requests, which ``EdgeStore.run`` carries out::

    {"op": "edge.configure", "vector": "", "quantization_config": {...} or null,
     "memory": "cold" or null, "optimizers": {"indexing_threshold": 300} or left out,
     "by_way_of_none": true or left out}
    {"op": "edge.optimize"}

A key that is left out stays as it is; null takes it out of the file. ``by_way_of_none`` rebuilds
without codes first: the engine keeps a segment indexed when only the threshold is raised again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.errors import SpecError
from qadapt.model import Estimate, Quantization, State, Step, Symbol, VectorInfo
from qadapt.stores.base import MappedQuantization
from qadapt.stores.qdrant import indexing_threshold, mapping, memory_estimate
from qadapt.stores.qdrant.edge.status import Observation, codes_while_growing

CONFIGURE = "edge.configure"
OPTIMIZE = "edge.optimize"
_KEYS = {"op", "vector", "quantization_config", "memory", "on_disk", "optimizers", "by_way_of_none"}

WHY_BLOCKING = (
    "the engine rebuilds in a process of its own that alone may open the folder, so searches "
    "and writes of this collection wait until it is done"
)


def check_request(request: Mapping[str, Any]) -> None:
    """Refuse a request that is not one of ours.

    Raises:
        SpecError
    """
    op = request.get("op")
    if op not in (CONFIGURE, OPTIMIZE):
        raise SpecError.unknown("request", str(op), (CONFIGURE, OPTIMIZE), where="edge")
    for key in request:
        if key not in _KEYS:
            raise SpecError.unknown("key", str(key), sorted(_KEYS), where=str(op))
    if op == CONFIGURE and "vector" not in request:
        raise SpecError(f"{op} names no vector", hint='"vector": "" is the unnamed one')


def split_request(request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A request as those that are carried out, each with a rebuild."""
    if not request.get("by_way_of_none"):
        return [request]
    return [{**request, "quantization_config": None}, request]


def steps(
    info: VectorInfo,
    config: Mapping[str, Any],
    observation: Observation,
    mapped: MappedQuantization,
) -> list[Step]:
    """Steps to a quantization that was mapped; empty when it is there and active.

    Args:
        info: the vector as it is.
        config: the shard's configuration.
        observation: the evidence of its status.
        mapped: what was asked for; not unsupported.

    Raises:
        TooFewRowsError: so few vectors that the engine never indexes them.
    """
    request = _request(info, config, observation, mapped)
    if request is None:
        return _unfinished(info, observation)
    lowered = request.get("optimizers", {}).get("indexing_threshold")
    reason = WHY_BLOCKING
    if lowered is not None:
        reason += f"; {indexing_threshold.why_lowered(observation.threshold, lowered)}"
    return [
        Step(
            Symbol.BLOCKING,
            _action(info, observation, mapped, lowered),
            reason,
            request,
            _reverse(request, config),
            _estimate(info, observation, request, mapped.target),
        )
    ]


def settings_alone(name: str, mapped: MappedQuantization) -> dict[str, Any]:
    """The request that sets a quantization and nothing else.

    Args:
        name: of the vector.
        mapped: what was asked for; not unsupported.
    """
    native = mapped.native or {}
    request: dict[str, Any] = {
        "op": CONFIGURE,
        "vector": name,
        "quantization_config": native.get("quantization_config"),
    }
    if "memory" in native:
        # The older word for the same is taken out: both would be there.
        request.update(memory=native["memory"], on_disk=None)
    elif "on_disk" in native:
        # The only word of engines before 1.19.
        request["on_disk"] = native["on_disk"]
    return request


def _request(
    info: VectorInfo,
    config: Mapping[str, Any],
    observation: Observation,
    mapped: MappedQuantization,
) -> dict[str, Any] | None:
    """The request that changes the configuration; None when it may stay as it is."""
    wanted = (mapped.native or {}).get("quantization_config")
    optimizers = _lowered_threshold(observation, wanted)
    if mapping.satisfies(info.quantization, mapped.target) and optimizers is None:
        return None
    request = settings_alone(info.name, mapped)
    if optimizers is not None:
        request["optimizers"] = optimizers
    return request


def _lowered_threshold(
    observation: Observation, wanted: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """The threshold at which codes that need an index are built, where it must change."""
    if not wanted or codes_while_growing(wanted) or observation.indexed or not observation.growing:
        return None
    return indexing_threshold.lowered(
        wanted,
        observation.threshold,
        observation.growing_sizes,
        observation.count,
        observation.vector,
    )


def _unfinished(info: VectorInfo, observation: Observation) -> list[Step]:
    request: dict[str, Any] = {"op": OPTIMIZE}
    if info.status.state is State.IGNORED and observation.all_unmeasured:
        # To the engine the codes are as configured: it builds them again only after none.
        request = {
            "op": CONFIGURE,
            "vector": info.name,
            "quantization_config": observation.target,
            "by_way_of_none": True,
        }
    elif info.status.state is not State.BUILDING:
        return []
    return [
        Step(
            Symbol.BLOCKING,
            f"let the engine build {info.quantization}",
            f"{info.status.reason}; {WHY_BLOCKING}",
            request,
            # It does what is configured already: there is no other state to go back to.
            {"op": OPTIMIZE},
            _estimate(
                info, observation, {"quantization_config": observation.target}, info.quantization
            ),
        )
    ]


def _reverse(request: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The request that restores what the configuration says now."""
    params = config["vectors"][request["vector"]]
    former = params.get("quantization_config") or config.get("quantization_config")
    reverse: dict[str, Any] = {
        "op": CONFIGURE,
        "vector": request["vector"],
        "quantization_config": former,
    }
    for key in ("memory", "on_disk"):
        if key in request:
            reverse[key] = params.get(key)
    if "optimizers" in request:
        now = config.get("optimizers") or {}
        reverse["optimizers"] = {key: now.get(key) for key in request["optimizers"]}
        if mapping.same_config(former, request["quantization_config"]):
            reverse["by_way_of_none"] = True
    return reverse


def _action(
    info: VectorInfo, observation: Observation, mapped: MappedQuantization, lowered: int | None
) -> str:
    """What the request does, in words; a quantization is named only where it changes."""
    if lowered is not None and mapping.satisfies(info.quantization, mapped.target):
        return indexing_threshold.action(observation.threshold, lowered)
    return f"set quantization {info.quantization} -> {mapped.target}"


def _estimate(
    info: VectorInfo, observation: Observation, request: Mapping[str, Any], target: Quantization
) -> Estimate:
    codes = mapping.code_bytes(request.get("quantization_config"), observation.vector, info.count)
    originals = info.float_bytes or 0
    return memory_estimate.estimate(
        codes, originals, info.quantization, target, "searches and writes"
    )
