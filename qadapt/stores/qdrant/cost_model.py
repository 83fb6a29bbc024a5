"""Qdrant: codes, originals, graph and ids, as its files show them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from qadapt.errors import UnsupportedError
from qadapt.footprint import Component, CostModel, Footprint, centroids, original_bytes
from qadapt.model import Kind, MatchLevel, Quantization, Vector
from qadapt.stores.qdrant import mapping

DOCS = "https://qdrant.tech/documentation/manage-data/quantization/"
FILES = "files of qdrant-edge-py 0.9.0 (engine 1.20)"
M = 16
BESIDE = "the originals stay in RAM beside the codes: originals=disk takes them out"

# Neighbours that a point really has, of the 2 m places of the lowest level: 16 to 21 of 32 were
# seen (5,183 MiniLM embeddings; clusters of 2,000 to 20,000 points); the higher is taken.
_FILLED = 0.65
# Beside the links: 4 bytes a point to find it, 2 for where its links begin.
_PER_POINT = 6
# id_tracker.mappings 13 bytes and id_tracker.versions 8 bytes a point with a number as its id.
_ID = 21


class QdrantCostModel(CostModel):
    """Of the server and of the embedded engine, which have the same files."""

    store = "qdrant"
    note = (
        "in the comparison, Qdrant's originals are on disk when there are codes (originals=disk), "
        "as the other stores keep them by default"
    )

    def footprint(
        self, count: int, vector: Vector, quantization: Quantization, index: Mapping[str, Any]
    ) -> Footprint:
        """Of one vector in Qdrant.

        Codes are pinned in RAM unless they are put on disk; originals are in RAM (the page cache)
        unless they are put on disk, which is the engine's default and easily overlooked.

        Raises:
            UnsupportedError: a kind that Qdrant does not have.
        """
        wanted = quantization.replace(rescore=None)
        if wanted.kind is Kind.FLOAT16:
            vector = vector.replace(datatype="float16")
        mapped = mapping.to_native(wanted, vector)
        if mapped.match.level is MatchLevel.UNSUPPORTED:
            raise UnsupportedError("; ".join(mapped.match.differences))
        config = (mapped.native or {}).get("quantization_config")
        codes = mapping.code_bytes(config, vector, count)
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
                f"6 B + {_FILLED} x 2m links of log2(n) bits a point, m = {m}",
                FILES,
            ),
            Component("ids", _ID * count, _ID * count, "13 + 8 B a point (numbers as ids)", FILES),
        )
        collection_schema = codes > 0 and not on_disk
        return Footprint.of(
            self.store,
            mapped.target,
            parts,
            native=mapped.native,
            differences=mapped.match.differences,
            notes=(BESIDE,) if collection_schema else (),
        )

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
    """Codes follow the originals where nobody says (docs/engines/qdrant.md#memory-placement)."""
    return quantization.codes == "disk" or (quantization.codes is None and originals_on_disk)


def _codes_word(quantization: Quantization) -> str:
    return {
        Kind.SCALAR: "dim rounded up to 16, + 4 B",
        Kind.BINARY: "16 B for each 128 bits begun",
        Kind.PRODUCT: "4 x dim / ratio",
        Kind.ROTATIONAL: "bits x dim / 8, + 4 to 12 B",
    }.get(quantization.kind, "none")
