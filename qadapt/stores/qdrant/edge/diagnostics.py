"""Findings of the embedded engine: rows without codes in their segment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.model import CollectionInfo, Evidence, Finding, Severity, State, VectorInfo
from qadapt.model.address import Address
from qadapt.model.cli_commands import vector_command
from qadapt.stores.qdrant.diagnostics import APART, common, small_segments
from qadapt.stores.qdrant.edge.snapshot import Snapshot
from qadapt.stores.qdrant.edge.status import Observation, codes_while_growing


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
        found += _one_bit(address, info, vector, observation)
    return found


def _one_bit(
    address: Address, info: CollectionInfo, vector: VectorInfo, observation: Observation
) -> list[Finding]:
    rows = observation.unmeasured
    if vector.status.state is not State.ACTIVE or rows / max(1, vector.count) <= APART:
        return []
    return [
        Finding(
            "one-bit-until-indexed",
            Severity.WARNING,
            vector.name,
            f"{rows:,} of {vector.count:,} rows were added to a segment that was created empty: "
            "they are compared by 1 bit until they are indexed",
            (Evidence("rows with wider codes compared by 1 bit", rows),),
            vector_command("apply", address, info.name, vector.name, vector.quantization),
            "measured on engine 1.20: recall with two_bits 0.56 instead of 0.65",
        )
    ]
