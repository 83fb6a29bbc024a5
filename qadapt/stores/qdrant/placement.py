"""Placement of codes and original vectors (docs/engines/qdrant.md#memory-placement).

The field ``memory`` exists since 1.19; older servers have ``always_ram`` for codes and ``on_disk``
for the original vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.model import Match, Quantization
from qadapt.model.capabilities import older
from qadapt.model.quantization_options import CodesPlace, Place

SINCE_MEMORY = "1.19"
FOLLOWS_ORIGINALS = (
    "before 1.19, codes that are not pinned in RAM are placed like the original vectors"
)
MEMORY: Mapping[CodesPlace, str] = {"ram": "pinned", "cached": "cached", "disk": "cold"}
_PLACES: Mapping[str, CodesPlace] = {word: place for place, word in MEMORY.items()}


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
