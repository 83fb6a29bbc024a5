"""Findings of a Qdrant server: rows without codes in their segment, and limits of strict mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qadapt.model import CollectionInfo, Finding
from qadapt.model.address import Address
from qadapt.stores.qdrant.diagnostics import (
    OneBitText,
    common,
    green_without_codes,
    one_bit,
    over_the_limit,
    small_segments,
)
from qadapt.stores.qdrant.server.snapshot import Snapshot

if TYPE_CHECKING:
    from qadapt.stores.qdrant.server.store import QdrantStore

ONE_BIT = OneBitText(
    "are in segments without an index: rows added to a segment that was created empty are compared "
    "by 1 bit",
    "rows in segments not known to be built from rows",
    "measured on server 1.19.0: recall with 2 bits 0.270, and 0.394 after indexing",
)


def local_findings(
    address: Address, info: CollectionInfo, options: Mapping[str, Any]
) -> list[Finding]:
    """The findings for local mode."""
    found = common(address, info, options)
    return found + green_without_codes(address, info, "green")


def findings(
    store: QdrantStore, info: CollectionInfo, snapshot: Snapshot, options: Mapping[str, Any]
) -> list[Finding]:
    """The findings shared with the embedded engine, and those from the server's responses."""
    found = common(store.address, info, options)
    for vector in info.vectors.values():
        seen = snapshot.observation(vector.name, vector.count)
        if vector.quantized_by != "store":
            continue
        if seen.target and not seen.codes_while_growing:
            rows = sum(each.present for each in seen.growing)
            found += small_segments(store.address, info, vector, rows, seen.threshold)
        rows = sum(each.present for each in seen.unmeasured)
        found += one_bit(store.address, info, vector, rows, ONE_BIT)
        if vector.quantization.rescore is not None:
            allowed = store.limit_rescore(info.name, vector.quantization.rescore)
            found += over_the_limit(store.address, info, vector, allowed)
    return found + green_without_codes(store.address, info, snapshot.colour)
