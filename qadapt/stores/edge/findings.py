"""What the engine in this process alone shows: rows whose segment holds no codes of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.model import CollectionInfo, Evidence, Finding, Severity, State, VectorInfo
from qadapt.model.address import Address
from qadapt.stores.edge.inspection import Look
from qadapt.stores.edge.status import Seen, codes_while_growing
from qadapt.stores.mending import command
from qadapt.stores.qdrant.findings import APART, common, small_segments


def findings(
    address: Address, info: CollectionInfo, looked: Look, options: Mapping[str, Any]
) -> list[Finding]:
    """What holds for the server too, and what this engine's files show."""
    found = common(address, info, options)
    for vector in info.vectors.values():
        seen = looked.vectors[vector.name]
        if vector.held_by != "store" or not seen.target:
            continue
        if not codes_while_growing(seen.target):
            rows = sum(segment.present for segment in seen.growing)
            found += small_segments(address, info, vector, rows, seen.threshold)
        found += _one_bit(address, info, vector, seen)
    return found


def _one_bit(
    address: Address, info: CollectionInfo, vector: VectorInfo, seen: Seen
) -> list[Finding]:
    rows = seen.unmeasured
    if vector.status.state is not State.ACTIVE or rows / max(1, vector.count) <= APART:
        return []
    return [
        Finding(
            "one-bit-until-indexed",
            Severity.WARNING,
            vector.name,
            f"{rows:,} of {vector.count:,} rows were added to a segment that was empty when its "
            "codes were set up: they are compared by one bit until they are indexed",
            (Evidence("rows with wider codes compared by one bit", rows),),
            command("apply", address, info, vector.name, vector.quantization),
            "measured on the engine 1.20: recall of two_bits .56 in place of .65",
        )
    ]
