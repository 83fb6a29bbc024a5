"""Search parameters of Milvus, and the provenance of what a search with them returns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from qadapt.errors import SpecError, UnsupportedError
from qadapt.model import Kind, Quantization, Rescore, SearchProvenance
from qadapt.stores.base import SearchRequest
from qadapt.stores.milvus.connection import CONSISTENCY_LEVELS
from qadapt.stores.milvus.index_params import Index, refinement
from qadapt.stores.milvus.mapping import IVF, REFINE_TYPES
from qadapt.stores.milvus.schema import Layout
from qadapt.stores.milvus.version import HNSW_CODES

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
# The maximum number of results of one request: queries times k.
RESULTS = 100_000
QUERIES = 100
_MAX_EF = 32_768
_MAX_NPROBE = 65_536


def check(search: SearchRequest) -> None:
    """Refuse unknown search options and invalid values.

    Raises:
        SpecError: an option is unknown or its value invalid.
    """
    for name, value in search.options.items():
        if name not in OPTIONS:
            raise SpecError.unknown("search option", name, OPTIONS, where="milvus")
        if name == "consistency_level":
            if value not in CONSISTENCY_LEVELS:
                raise SpecError.unknown("consistency level", str(value), CONSISTENCY_LEVELS)
        elif name == "refine_k":
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 1:
                raise SpecError(
                    f"refine_k must be a number of at least 1, not {value!r}",
                    hint="for example options={'refine_k': 4}",
                )
        elif name != "partition_names" and (
            isinstance(value, bool) or not isinstance(value, int) or value < 0
        ):
            # The server refuses a float: "Type conflict in json".
            raise SpecError(
                f"{name} must be a non-negative integer, not {value!r}",
                hint=f"for example options={{{name!r}: 64}}",
            )


def check_rescore(rescore: Rescore | None, index: Index | None) -> None:
    """Refuse rescoring by finer codes that the index does not have.

    Raises:
        UnsupportedError: the index has no refinement, or another one.
    """
    if rescore is None or not rescore.by_codes:
        return
    kept, wanted = refinement(index), REFINE_TYPES.get(rescore.source, "").lower()
    if kept is not None and wanted in ("", kept):
        return
    if kept is not None:
        raise UnsupportedError(
            f"the index keeps {kept.upper()} to rescore with, not {rescore.source}",
            hint="use rescore source 'codes', or build the index for this source: "
            f"`qadapt apply` with {rescore.option}",
        )
    raise UnsupportedError(
        "the index has no refinement to rescore with",
        hint="build it with rescore source int8, float16 or bfloat16, such as rescore=4@int8 "
        "(Milvus 2.5 and newer), or rescore with the original vectors (rescore source 'originals')",
    )


def params(index: Index | None, search: SearchRequest, count: int) -> dict[str, str]:
    """All search parameters as strings, including defaults.

    Args:
        count: the number of rows, which determines how many lists to probe; 0 if unknown.
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
        # A segment has at most one list per 39 rows.
        lists = max(1, min(lists, count // 39)) if count else lists
        enough = -(-2 * wanted * lists // count) if count else 0
        found["nprobe"] = str(min(_MAX_NPROBE, lists, max(64, -(-lists // 8), enough)))
        if kind == "SCANN":
            found["reorder_k"] = str(max(search.k, wanted))
    elif kind in ("DISKANN", "AISAQ"):
        found["search_list"] = str(max(100, wanted))
    refines = kind in (*HNSW_CODES, "IVF_RABITQ", "IVF_RABITQ_FASTSCAN", "IVF_SQ8", "IVF_PQ")
    if refines and refinement(index) and search.rescore is not None and search.rescore.on:
        found["refine_k"] = f"{search.rescore.engine_factor(search.k):g}"
    return {**found, **given}


def candidates(search: SearchRequest) -> int:
    """The number of candidates to request from the index."""
    rescore = search.rescore
    if rescore is None or not rescore.on:
        return search.k
    return rescore.count(search.k)


def level(search: SearchRequest, layout: Layout) -> str:
    """The consistency level of a search: of the call, the address, or the collection."""
    return str(search.options.get("consistency_level", layout.consistency))


def how(
    search: SearchRequest, layout: Layout, index: Index | None, quantization: Quantization
) -> SearchProvenance:
    """The provenance of the results of an index search."""
    chosen = "store default" if search.rescore is None else "call"
    notes = level_notes(search, layout)
    refines = refinement(index)
    on = search.rescore is not None and search.rescore.on
    if quantization.kind is Kind.NONE:
        return SearchProvenance("store", "none", 1.0, 0, "none", "exact", chosen, notes)
    if index is not None and index.type == "SCANN" and _raw(index):
        note = "SCANN rescores its candidates with the original vectors (reorder_k)"
        factor = search.rescore.factor(search.k) if on and search.rescore is not None else 1.0
        return SearchProvenance(
            *("store", "store", factor, candidates(search), "originals", "exact", chosen),
            (*notes, note),
        )
    if refines and on and search.rescore is not None:
        exact = refines in ("fp32", "flat")
        return SearchProvenance(
            "store",
            "store",
            search.rescore.factor(search.k),
            search.rescore.count(search.k),
            "originals" if exact else "codes",
            "exact" if exact else "approximate",
            chosen,
            notes,
        )
    return SearchProvenance("store", "none", 1.0, 0, "none", "approximate", chosen, notes)


def _raw(index: Index) -> bool:
    return index.params.get("with_raw_data", "true").lower() == "true"


def level_notes(search: SearchRequest, layout: Layout) -> tuple[str, ...]:
    """A note on the consistency level and which writes it sees."""
    name = level(search, layout)
    if name == "Strong":
        seen = "sees the writes of all clients; takes 260 ms on 2.3.5, Session 5 ms"
    elif name == "Session":
        seen = "sees the writes of this client"
    else:
        seen = "may not see the newest writes"
    return (f"consistency level {name}: {seen}",)


def blocks(queries: npt.NDArray[np.float32], k: int) -> Iterator[npt.NDArray[np.float32]]:
    """Queries in blocks that respect the limits of one request."""
    size = max(1, min(QUERIES, RESULTS // k))
    for start in range(0, len(queries), size):
        yield queries[start : start + size]
