"""Findings of the embedded engine: rows without codes in their segment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.model import CollectionInfo, Finding, State
from qadapt.model.address import Address
from qadapt.stores.qdrant.diagnostics import OneBitText, common, one_bit, small_segments
from qadapt.stores.qdrant.edge.snapshot import Snapshot
from qadapt.stores.qdrant.edge.status import codes_while_growing

ONE_BIT = OneBitText(
    "were added to a segment that was created empty: they are compared by 1 bit until they are "
    "indexed",
    "rows with wider codes compared by 1 bit",
    "measured on engine 1.20: recall with two_bits 0.56 instead of 0.65",
)


def findings(
    address: Address, info: CollectionInfo, snapshot: Snapshot, options: Mapping[str, Any]
) -> list[Finding]:
    """The findings shared with the server, and those from the engine's files."""
    found = common(address, info, options)
    for vector in info.vectors.values():
        observation = snapshot.vectors[vector.name]
        if vector.quantized_by != "store" or not observation.target:
            continue
        if not codes_while_growing(observation.target):
            rows = sum(segment.present for segment in observation.growing)
            found += small_segments(address, info, vector, rows, observation.threshold)
        if vector.status.state is State.ACTIVE:
            found += one_bit(address, info, vector, observation.unmeasured, ONE_BIT)
    return found
