"""Footprint of codes, original vectors, graph and ids, as measured in Qdrant's files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from qadapt.footprint import Component, CostModel, Footprint, centroids, original_bytes, supported
from qadapt.model import Kind, Quantization, Vector
from qadapt.stores.qdrant import mapping, memory

DOCS = "https://qdrant.tech/documentation/manage-data/quantization/"
FILES = "files of qdrant-edge-py 0.9.0 (engine 1.20)"
M = 16
ORIGINALS_IN_RAM = (
    "the original vectors are kept in RAM in addition to the codes; originals=disk moves them "
    "to disk"
)

# Share of the 2 m link slots of the lowest level that are used: 16 to 21 of 32 were measured
# (5,183 MiniLM embeddings; clusters of 2,000 to 20,000 points); the upper value is used.
_FILLED = 0.65
# In addition to the links: 4 bytes per point to find it, 2 for the offset of its links.
_PER_POINT = 6
# Per point with an integer id: 13 bytes in id_tracker.mappings, 8 in id_tracker.versions.
_ID = 21


class QdrantCostModel(CostModel):
    """Footprint in the server and in the embedded engine, which share the file formats."""

    store = "qdrant"
    note = (
        "the comparison assumes originals=disk for Qdrant with codes, which is the default of the "
        "other databases"
    )

    def footprint(
        self, count: int, vector: Vector, quantization: Quantization, index: Mapping[str, Any]
    ) -> Footprint:
        """The footprint of one vector.

        Codes are pinned in RAM and originals are in RAM (the page cache), unless they are placed
        on disk.

        Raises:
            UnsupportedError: Qdrant lacks this quantization.
        """
        wanted = quantization.replace(rescore=None)
        if wanted.kind is Kind.FLOAT16:
            vector = vector.replace(datatype="float16")
        mapped = supported(mapping.to_native(wanted, vector))
        config = (mapped.native or {}).get("quantization_config")
        codes = memory.code_bytes(config, vector, count)
        size = original_bytes(count, vector)
        on_disk = wanted.originals == "disk"
        m = int(index.get("m") or M)
        links = graph_bytes(count, m)
        in_ram = 0 if _cold(wanted, on_disk) else codes
        parts = (
            Component("codes", in_ram, codes, _codes_word(wanted), FILES),
            centroids(vector.dim, wanted, FILES),
            Component(
                "originals",
                0 if on_disk else size,
                size,
                f"{vector.datatype}, {'on disk' if on_disk else 'in RAM, by the page cache'}",
                DOCS,
            ),
            Component(
                "graph",
                links,
                links,
                f"6 B + {_FILLED} x 2m links of log2(n) bits per point, m = {m}",
                FILES,
            ),
            Component("ids", _ID * count, _ID * count, "13 + 8 B per point (integer ids)", FILES),
        )
        collection_schema = codes > 0 and not on_disk
        return self.of_parts(mapped, parts, notes=(ORIGINALS_IN_RAM,) if collection_schema else ())

    def compared(self, setting: Quantization) -> Quantization:
        coded = setting.kind not in (Kind.NONE, Kind.FLOAT16)
        if not coded or setting.originals is not None:
            return setting
        return setting.replace(originals="disk", codes=setting.codes or "ram")


def graph_bytes(count: int, m: int = M) -> int:
    """Bytes of an HNSW graph in the engine's compressed form (since 1.13)."""
    bits = max(8, math.ceil(math.log2(max(2, count))))
    return round(count * (_PER_POINT + _FILLED * 2 * m * bits / 8))


def _cold(quantization: Quantization, originals_on_disk: bool) -> bool:
    """Codes are placed like the originals by default (docs/engines/qdrant.md#memory-placement)."""
    return quantization.codes == "disk" or (quantization.codes is None and originals_on_disk)


def _codes_word(quantization: Quantization) -> str:
    return {
        Kind.SCALAR: "dim rounded up to 16, + 4 B",
        Kind.BINARY: "16 B per 128 bits, rounded up",
        Kind.PRODUCT: "4 x dim / ratio",
        Kind.ROTATIONAL: "bits x dim / 8, + 4 to 12 B",
    }.get(quantization.kind, "none")
