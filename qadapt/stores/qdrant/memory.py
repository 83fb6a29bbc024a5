"""Bytes of vectors by datatype, placement of codes and original vectors, memory of a rebuild."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from qadapt.model import Estimate, Kind, Quantization, Vector
from qadapt.model.quantization_options import OriginalsPlace
from qadapt.stores.qdrant.mapping import Native, from_native

Place = Literal["ram", "disk"]


def originals_bytes(
    params: Mapping[str, Any], wanted: OriginalsPlace | None, *, mapped: bool
) -> dict[str, bool | str]:
    """The PATCH fields that set the placement of a vector's original vectors.

    ``memory`` (since 1.19) takes precedence over ``on_disk`` when segments are built, but the
    indexing optimizer reads only ``on_disk``: if both are set, both are sent. A field that is null
    stays null, because a PATCH cannot restore null; if both are null, ``on_disk`` is sent, whose
    ``false`` is the default.

    Args:
        params: the vector's parameters on the server.
        wanted: None keeps the placement.
        mapped: whether ``memmap_threshold`` puts large segments on disk.

    Returns:
        The fields; empty if nothing needs to change.
    """
    memory, on_disk = params.get("memory"), params.get("on_disk")
    now = _kept(memory, on_disk)
    contradictory = on_disk is True and memory not in (None, "cold")
    if wanted == "none":  # they do not exist
        wanted = None
    if wanted is None and not contradictory:
        return {}
    disk = (now if wanted is None else wanted) == "disk"
    fields: dict[str, bool | str] = {}
    if memory is not None:
        fields["memory"] = "cold" if disk else "cached"
    if memory is None or on_disk is not None or (mapped and not disk):
        fields["on_disk"] = disk
    if on_disk is None and memory is None and not disk and not mapped:
        return {}  # in RAM by default
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
    """Estimate the resources of a rebuild.

    Args:
        codes, originals: in bytes.
        now, target: for the placement of each.
    """
    on_disk = (target.originals or now.originals) == "disk"
    # Codes without a placement are in RAM if the original vectors are.
    codes_on_disk = target.codes == "disk" or (target.codes is None and on_disk)
    return Estimate(
        codes_ram=0 if codes_on_disk else codes,
        codes_disk=codes,
        originals_ram=0 if on_disk else originals,
        originals_disk=originals,
        # A second copy of each segment exists until the swap.
        temporary_disk=originals + codes,
        stops=stops,
    )


# Minimum bytes per dimension, by datatype.
BYTES = {
    "float32": 4.0,
    "float16": 2.0,
    "uint8": 1.0,
    "turbo4": 0.5,
    "turbo8": 1.0,
    "turbo16": 2.0,
}


IN_GROWING_SEGMENTS = ("binary", "turbo")


def kilobytes(rows: int, vector: Vector) -> float:
    """A lower bound for the KB of the original vectors of some rows."""
    return rows * vector.dim * BYTES[vector.datatype] / 1024


def code_bytes(config: Native | None, vector: Vector, count: int) -> int:
    """Bytes of ``count`` codes of a ``quantization_config``, padded like in the engine.

    The centroids of product codes (about 1 KB per dimension of JSON text) are not included.
    Measured on qdrant-edge-py 0.9.0 for 1 to 1,000 dimensions.
    """
    quantization = from_native({"quantization_config": config})
    dim, bits = vector.dim, float(quantization.bits or 0)
    if quantization.kind is Kind.NONE:
        return 0
    if quantization.kind is Kind.SCALAR:
        each = -(-dim // 16) * 16 + 4
    elif quantization.kind is Kind.PRODUCT:
        each = -(-4 * dim // int(quantization.ratio or 16))
    elif quantization.kind is Kind.BINARY:
        each = 16 * -(-int(-(-bits * dim // 1)) // 128)
    else:
        # In addition to the bits: the norm and a correction (only the norm for 8 bits), and one
        # more float for euclidean.
        extra = (4 if bits == 8 else 8) + (4 if vector.metric == "euclidean" else 0)
        each = int(-(-bits * dim // 8)) + extra
    return each * count
