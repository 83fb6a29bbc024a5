"""Placement of codes and original vectors (docs/engines/qdrant.md#memory-placement).

The field ``memory`` exists since 1.19; older servers have ``always_ram`` for codes and ``on_disk``
for the original vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.model import Kind, Match, Quantization, Vector
from qadapt.model.capabilities import older
from qadapt.model.quantization_options import CodesPlace, Place
from qadapt.model.vector import Datatype
from qadapt.stores.qdrant import version as qdrant_version
from qadapt.stores.store_types import MappedQuantization

SINCE_MEMORY = "1.19"
FOLLOWS_ORIGINALS = (
    "before 1.19, codes that are not pinned in RAM are placed like the original vectors"
)
MEMORY: Mapping[CodesPlace, str] = {"ram": "pinned", "cached": "cached", "disk": "cold"}
_PLACES: Mapping[str, CodesPlace] = {word: place for place, word in MEMORY.items()}


CODES_ONLY: Mapping[float, Datatype] = {4: "turbo4", 8: "turbo8"}
NOT_PINNED = "codes that replace the original vectors are cached, not pinned in RAM"
TURBO_QUERY = (
    "query_bits has no effect: the engine always encodes the query with more bits than the codes"
)


def has_memory(version: str | None) -> bool:
    """Whether a server has the field ``memory``; None is the newest."""
    return version is None or not older(version, SINCE_MEMORY)


def too_old(quantization: Quantization, version: str | None) -> Match | None:
    """Why a placement of codes is not supported; None if it is."""
    if quantization.codes != "cached" or has_memory(version):
        return None
    return Match.unsupported(
        f"codes=cached (memory: cached) requires Qdrant {SINCE_MEMORY}; the server has {version}",
        "codes=ram: pinned in RAM",
        "codes=disk: placed like the original vectors",
    )


def codes(quantization: Quantization, version: str | None) -> dict[str, Any]:
    """The fields of a quantization that place its codes."""
    if quantization.codes is None:
        return {}
    if not has_memory(version):
        return {"always_ram": quantization.codes == "ram"}
    return {"memory": MEMORY[quantization.codes]}


def originals(quantization: Quantization, version: str | None) -> dict[str, Any]:
    """The fields of a vector that place its original vectors."""
    if quantization.originals not in ("ram", "disk"):
        return {}
    if not has_memory(version):
        return {"on_disk": quantization.originals == "disk"}
    # Original vectors cannot be pinned: `cached` loads them into the page cache.
    return {"memory": "cached" if quantization.originals == "ram" else "cold"}


def take_codes(rest: dict[str, Any]) -> CodesPlace | None:
    """The placement of codes; its fields are removed from ``rest``.

    ``memory`` takes precedence over the older ``always_ram``.
    """
    if rest.get("memory") in _PLACES:
        rest.pop("always_ram", None)
        return _PLACES[rest.pop("memory")]
    if "memory" not in rest and rest.get("always_ram") is True:
        del rest["always_ram"]
        return "ram"
    return None


def of_originals(native: Mapping[str, Any]) -> Place | None:
    """The placement of the original vectors in a vector's configuration."""
    memory, on_disk = native.get("memory"), native.get("on_disk")
    if memory is not None:
        return "disk" if memory == "cold" else "ram"
    if on_disk is not None:
        return "disk" if on_disk else "ram"
    return None


def codes_only(
    quantization: Quantization, vector: Vector, version: str | None
) -> MappedQuantization:
    """Rotational codes as the datatype of the vector, which replaces the original vectors."""
    kept = str(quantization.replace(originals="disk"))
    datatype = CODES_ONLY.get(float(quantization.bits or 0))
    if quantization.kind is not Kind.ROTATIONAL or datatype is None:
        match = Match.unsupported(
            "Qdrant keeps codes without original vectors as rotational codes of 4 or 8 bits, not "
            f"{quantization.replace(originals=None)}",
            "rotational:bits=4,originals=none",
            f"{kept}: original vectors on disk",
        )
        return MappedQuantization(None, quantization, match)
    problem = qdrant_version.datatype(vector.replace(datatype=datatype), version)
    if problem is not None:
        return MappedQuantization(None, quantization, Match.unsupported(problem, kept))
    native: dict[str, Any] = {"datatype": datatype, **quantization.native}
    differences = [] if quantization.query_bits is None else [TURBO_QUERY]
    if quantization.codes is not None:
        place = quantization.replace(originals="disk" if quantization.codes == "disk" else "ram")
        native.update(originals(place, version))
        if quantization.codes == "ram":
            differences.append(NOT_PINNED)
    return MappedQuantization(native, quantization, Match.of(*differences), datatype)
