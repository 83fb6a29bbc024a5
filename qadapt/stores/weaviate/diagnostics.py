"""Checks of ``qadapt doctor``: quantizers in the schema that the shards do not use."""

from __future__ import annotations

from qadapt.model import CollectionInfo, Finding, Kind, Severity, State, VectorInfo
from qadapt.model.address import Address
from qadapt.model.cli_commands import vector_command

SOURCE = (
    "https://docs.weaviate.io/weaviate/configuration/compression; verified on 1.39.0: PQ and SQ "
    "set at creation never start automatically"
)


def findings(address: Address, info: CollectionInfo) -> list[Finding]:
    """Findings of all vectors."""
    return [
        Finding(
            "schema-only",
            Severity.WARNING,
            vector.name,
            f"the schema has {vector.quantization.kind}, but {vector.status.reason}",
            vector.status.evidence,
            vector_command("apply", address, info.name, vector.name, vector.quantization),
            SOURCE,
        )
        for vector in info.vectors.values()
        if _only_said(vector)
    ]


def _only_said(vector: VectorInfo) -> bool:
    coded = vector.quantization.kind is not Kind.NONE and vector.quantized_by == "store"
    return coded and vector.status.state in (State.IGNORED, State.BUILDING)
