"""Where codes and originals are kept, in the engine that the server and ``edge:`` share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from qadapt.model import Estimate, Quantization

Place = Literal["ram", "disk"]


def originals_bytes(
    params: Mapping[str, Any], wanted: Place | None, *, mapped: bool
) -> dict[str, bool | str]:
    """The fields of a server's PATCH that put the originals of a vector somewhere.

    ``memory`` (since 1.19) wins over ``on_disk`` when segments are built, and the indexing
    optimizer reads ``on_disk`` alone: where both are set, both are sent. A field that is null
    stays null, because a PATCH cannot bring null back; where both are null it is ``on_disk``,
    whose ``false`` is the default.

    Args:
        params: of the vector, as the server has them.
        wanted: None leaves them where they are.
        mapped: whether ``memmap_threshold`` puts large segments on disk.

    Returns:
        Empty where nothing is to change.
    """
    memory, on_disk = params.get("memory"), params.get("on_disk")
    now = _kept(memory, on_disk)
    contradictory = on_disk is True and memory not in (None, "cold")
    if wanted is None and not contradictory:
        return {}
    disk = (now if wanted is None else wanted) == "disk"
    fields: dict[str, bool | str] = {}
    if memory is not None:
        fields["memory"] = "cold" if disk else "cached"
    if memory is None or on_disk is not None or (mapped and not disk):
        fields["on_disk"] = disk
    if on_disk is None and memory is None and not disk and not mapped:
        return {}  # in RAM is the default
    return {key: value for key, value in fields.items() if params.get(key) != value}


def _kept(memory: str | None, on_disk: bool | None) -> Place:
    if memory is not None:
        return "disk" if memory == "cold" else "ram"
    return "disk" if on_disk else "ram"


def estimate(
    codes: int,
    originals: int,
    now: Quantization,
    target: Quantization,
    stops: Literal["nothing", "searches and writes"],
) -> Estimate:
    """What a rebuild takes.

    Args:
        codes, originals_bytes: bytes.
        now, target: for the place of each.
    """
    on_disk = (target.originals or now.originals) == "disk"
    # Codes that are not placed stand in RAM when the originals do.
    codes_on_disk = target.codes == "disk" or (target.codes is None and on_disk)
    return Estimate(
        codes_ram=0 if codes_on_disk else codes,
        codes_disk=codes,
        originals_ram=0 if on_disk else originals,
        originals_disk=originals,
        # A second copy of each segment stands beside it until it is swapped in.
        temporary_disk=originals + codes,
        stops=stops,
    )
