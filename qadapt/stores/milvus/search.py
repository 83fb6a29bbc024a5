"""A ``Search`` as Milvus' own parameters, and its answer as ``Hits``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import SpecError, UnsupportedError
from qadapt.model import Batch, Hits, Kind, Metric, Quantization, Rescore, SearchProvenance, Vector
from qadapt.stores import brute_force
from qadapt.stores.base import SearchRequest
from qadapt.stores.milvus.connection import CONSISTENCY_LEVELS
from qadapt.stores.milvus.mapping import IVF
from qadapt.stores.milvus.schema import Index, Layout
from qadapt.stores.milvus.version_gates import HNSW_CODES

OPTIONS = (
    "ef",
    "nprobe",
    "reorder_k",
    "refine_k",
    "rbq_bits_query",
    "search_list",
    "consistency_level",
    "partition_names",
)
# Results of one request: queries times k.
RESULTS = 100_000
QUERIES = 100
_MAX_EF = 32_768
_MAX_NPROBE = 65_536

ALL_READ = "Milvus has no search without its index: all rows were read, and scored by qadapt"


def check(search: SearchRequest) -> None:
    """Refuse search parameters that are not passed on.

    Raises:
        SpecError
    """
    for name, value in search.options.items():
        if name not in OPTIONS:
            raise SpecError.unknown("search option", name, OPTIONS, where="milvus")
        if name == "consistency_level":
            if value not in CONSISTENCY_LEVELS:
                raise SpecError.unknown("consistency level", str(value), CONSISTENCY_LEVELS)
        elif name == "refine_k":
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 1:
                raise SpecError(f"refine_k is a number from 1; got {value!r}")
        elif name != "partition_names" and (
            isinstance(value, bool) or not isinstance(value, int) or value < 0
        ):
            # A float is refused by the server: "Type conflict in json".
            raise SpecError(f"{name} is a whole number; got {value!r}")


def refinement(index: Index | None) -> str | None:
    """What an index refines by: its ``refine_type`` in lower case; None for none."""
    params = index.params if index is not None else {}
    if params.get("refine", "").lower() != "true":
        return None
    return params.get("refine_type", "").lower() or None


def check_rescore(rescore: Rescore | None, index: Index | None) -> None:
    """Refuse a source that the index does not hold.

    Raises:
        UnsupportedError
    """
    if rescore is None or rescore.source != "codes" or refinement(index) is not None:
        return
    raise UnsupportedError(
        "this index holds no finer codes to rescore by",
        hint='build it with native={"refine": "true", "refine_type": "SQ8"} (Milvus 2.5 and '
        "newer), or rescore by originals, which qadapt does",
    )


def params(index: Index | None, search: SearchRequest, count: int) -> dict[str, str]:
    """Search parameters as text, all sent explicitly.

    Args:
        count: rows, for how many lists hold enough of them; 0 where it is not known.
    """
    kind = index.type if index is not None else ""
    given = {
        name: str(value)
        for name, value in search.options.items()
        if name not in ("consistency_level", "partition_names")
    }
    wanted = candidates(search)
    found: dict[str, str] = {}
    if kind.startswith("HNSW"):
        found["ef"] = str(min(_MAX_EF, max(64, 2 * search.k, wanted)))
    elif kind in IVF and index is not None:
        lists = int(index.params.get("nlist", "128"))
        # A segment has at most a list for each 39 rows.
        lists = max(1, min(lists, count // 39)) if count else lists
        enough = -(-2 * wanted * lists // count) if count else 0
        found["nprobe"] = str(min(_MAX_NPROBE, lists, max(64, -(-lists // 8), enough)))
        if kind == "SCANN":
            found["reorder_k"] = str(max(search.k, wanted))
    elif kind in ("DISKANN", "AISAQ"):
        found["search_list"] = str(max(100, search.k))
    refines = kind in (*HNSW_CODES, "IVF_RABITQ", "IVF_RABITQ_FASTSCAN", "IVF_SQ8", "IVF_PQ")
    if refines and refinement(index) and search.rescore is not None and search.rescore.on:
        found["refine_k"] = f"{search.rescore.oversampling:g}"
    return {**found, **given}


def candidates(search: SearchRequest) -> int:
    """How many candidates the index is to bring."""
    rescore = search.rescore
    if rescore is None or not rescore.on:
        return search.k
    return rescore.candidates(search.k)


def level(search: SearchRequest, layout: Layout) -> str:
    """The consistency level of a search: of the call, of the address, else the collection's."""
    return str(search.options.get("consistency_level", layout.consistency))


def how(
    search: SearchRequest, layout: Layout, index: Index | None, quantization: Quantization
) -> SearchProvenance:
    """Who searched and who rescored."""
    chosen = "store default" if search.rescore is None else "call"
    notes = level_notes(search, layout)
    refines = refinement(index)
    on = search.rescore is not None and search.rescore.on
    if quantization.kind is Kind.NONE:
        return SearchProvenance("store", "none", 1.0, 0, "none", "exact", chosen, notes)
    if index is not None and index.type == "SCANN" and _raw(index):
        note = "SCANN scores its candidates by floats itself (reorder_k)"
        factor = search.rescore.oversampling if on and search.rescore is not None else 1.0
        return SearchProvenance(
            *("store", "store", factor, candidates(search), "originals", "exact", chosen),
            (*notes, note),
        )
    if refines and on and search.rescore is not None:
        exact = refines in ("fp32", "flat")
        return SearchProvenance(
            "store",
            "store",
            search.rescore.oversampling,
            search.rescore.candidates(search.k),
            "originals" if exact else "codes",
            "exact" if exact else "approximate",
            chosen,
            notes,
        )
    return SearchProvenance("store", "none", 1.0, 0, "none", "approximate", chosen, notes)


def _raw(index: Index) -> bool:
    return index.params.get("with_raw_data", "true").lower() == "true"


def level_notes(search: SearchRequest, layout: Layout) -> tuple[str, ...]:
    """The level that was asked for, and what it sees."""
    name = level(search, layout)
    if name == "Strong":
        seen = "everybody's writes are seen; on 2.3.5 it takes 260 ms, Session 5"
    elif name == "Session":
        seen = "own writes are seen"
    else:
        seen = "the newest writes may not be seen"
    return (f"consistency level {name}: {seen}",)


def blocks(queries: npt.NDArray[np.float32], k: int) -> Iterator[npt.NDArray[np.float32]]:
    """Queries in requests of a bearable size."""
    size = max(1, min(QUERIES, RESULTS // k))
    for start in range(0, len(queries), size):
        yield queries[start : start + size]


def rows_of(answer: Any, key: str, metric: Metric) -> list[list[tuple[Any, float]]]:
    """(key, score) of each query's hits, higher is better, in the metric's unit."""
    sign = -1.0 if metric is Metric.EUCLIDEAN else 1.0
    return [
        [(hit[key] if key in hit else hit["id"], sign * float(hit["distance"])) for hit in row]
        for row in answer
    ]


def exact(
    pages: Iterator[Batch], name: str, vector: Vector, queries: npt.NDArray[np.float32], k: int
) -> Hits:
    """The best rows of all, by the floats that were read."""
    return brute_force.exact_search(pages, name, vector, queries, k, ALL_READ)


def payloads(ids: npt.NDArray[np.object_], batch: Batch) -> list[list[dict[str, Any] | None]]:
    """Payloads in the shape of the ids."""
    rows: Sequence[Mapping[str, Any]] = batch.payloads or ({},) * len(batch)
    known = dict(zip(batch.ids, rows, strict=True))
    return [
        [None if key is None else dict(known.get(key, {})) for key in row] for row in ids.tolist()
    ]
