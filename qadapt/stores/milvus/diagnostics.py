"""Findings of `qadapt doctor` that are specific to Milvus.

Milvus accepts parameters that have no effect, and the index state "Finished" does not mean that
searches use the index.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.model import CollectionInfo, Evidence, Finding, Kind, Severity, State, VectorInfo
from qadapt.model.address import Address
from qadapt.model.cli_commands import vector_command
from qadapt.stores.milvus.duplicate_ids import Duplicates
from qadapt.stores.milvus.status import GROWING, MOST, SMALLEST

REFINE = "knowhere: refine takes effect only together with refine_type"
RABITQ = "knowhere and the server tests read rbq_bits_query; no version reads rbq_query_bits"
FINISHED = "measured on 2.3.5: searches read unindexed data for 11 s after the state Finished"
APART = 0.2
# The number of keys, in key order, that are checked for duplicates: 7 pages.
ROWS_CHECKED = 100_000
_FULL = ("fp32", "flat")


def findings(address: Address, info: CollectionInfo, options: Mapping[str, Any]) -> list[Finding]:
    """The findings of all vectors."""
    found: list[Finding] = []
    for vector in info.vectors.values():
        found += _finished(address, info, vector)
        found += _small_segments(address, info, vector)
        found += _copy_in_ram(address, info, vector)
        found += _index_parameters(address, info, vector)
        found += _search_parameters(vector, options)
    return found


def duplicate_ids(info: CollectionInfo, found: Duplicates) -> list[Finding]:
    """Several rows have the same primary key; all but one of them are hidden."""
    if not found.hidden:
        return []
    keys = ", ".join(map(repr, found.ids))
    return [
        Finding(
            "duplicate-ids",
            Severity.ERROR,
            name,
            f"{found.hidden:,} rows have the primary key of another row: searches and reads return "
            f"only one row per key, and which one is undefined; keys: {keys}",
            (
                Evidence("keys checked", found.rows_checked),
                Evidence("count(*) minus the number of keys", found.hidden),
            ),
            f"collection.write(collection.fetch([{keys}])) keeps the rows that reads return; write "
            "with client.upsert, because client.insert does not check for existing keys",
            "https://milvus.io/docs/insert-update-delete.md",
        )
        for name in list(info.vectors)[:1]
    ]


def _signal(vector: VectorInfo, start: str) -> Any:
    """The value of the first evidence whose name has this prefix; None if there is none."""
    return next((e.value for e in vector.status.evidence if e.signal.startswith(start)), None)


def _params(vector: VectorInfo) -> dict[str, str]:
    return {key: str(value) for key, value in (vector.index.get("params") or {}).items()}


def _refined(vector: VectorInfo) -> str | None:
    """The active ``refine_type`` in lower case; None without refinement."""
    params = _params(vector)
    on = params.get("refine", "").lower() == "true"
    return params.get("refine_type", "").lower() or None if on else None


def _finished(address: Address, info: CollectionInfo, vector: VectorInfo) -> list[Finding]:
    """``describe_index`` reports Finished, but searches do not use the index."""
    reported = _signal(vector, "describe_index: state")
    wrong = vector.status.state in (State.IGNORED, State.BUILDING)
    if vector.quantization.kind is Kind.NONE or not wrong or reported != "Finished":
        return []
    return [
        Finding(
            "schema-only",
            Severity.WARNING,
            vector.name,
            f"describe_index reports Finished, but {vector.status.reason}",
            vector.status.evidence,
            vector_command("apply", address, info.name, vector.name, vector.quantization),
            FINISHED,
        )
    ]


def _small_segments(address: Address, info: CollectionInfo, vector: VectorInfo) -> list[Finding]:
    """Most rows are in segments that Milvus never indexes."""
    used, growing = _signal(vector, MOST), _signal(vector, GROWING)
    # Lite indexes segments of any size and has no growing segments.
    if vector.quantization.kind is Kind.NONE or used is None or growing is None:
        return []
    rows = _signal(vector, "rows")
    # A few rows that are only in growing segments become a small segment on flush.
    later = 0 if vector.status.state is State.IGNORED else int(growing)
    apart = max(0, int(rows) - later - int(used))
    if not rows or apart / rows <= APART or vector.status.state is State.BUILDING:
        return []
    return [
        Finding(
            "small-segments",
            Severity.WARNING,
            vector.name,
            f"about {apart:,} of {rows:,} rows are in segments of fewer than "
            f"{SMALLEST:,} rows, which Milvus never indexes: searches compare their "
            "original vectors",
            (Evidence("rows", rows), Evidence(MOST, used), Evidence(GROWING, growing)),
            f"write at least {SMALLEST:,} rows, then: "
            + vector_command("apply", address, info.name, vector.name, vector.quantization),
            "rootCoord.minSegmentSizeToEnableIndex; measured on 2.3.5",
        )
    ]


def _copy_in_ram(address: Address, info: CollectionInfo, vector: VectorInfo) -> list[Finding]:
    """The index refines with a full copy of the original vectors, kept in RAM with the codes."""
    refined = _refined(vector)
    if refined not in _FULL:
        return []
    smaller = vector.quantization.replace(native={"refine": "true", "refine_type": "SQ8"})
    return [
        Finding(
            "originals-in-ram",
            Severity.WARNING,
            vector.name,
            f"the index stores a full copy of the original vectors for refinement (refine_type "
            f"{refined.upper()}) and is larger than an index without quantization",
            (Evidence("describe_index: params", _params(vector)),),
            vector_command("apply", address, info.name, vector.name, smaller),
            "https://milvus.io/docs/ivf-rabitq.md",
        )
    ]


def _index_parameters(address: Address, info: CollectionInfo, vector: VectorInfo) -> list[Finding]:
    """Index parameters that Milvus accepted but that have no effect."""
    params, kind = _params(vector), str(vector.index.get("index_type", ""))
    wrong = []
    if params.get("refine", "").lower() == "true" and not params.get("refine_type"):
        wrong.append(("refine=true has no effect without refine_type", REFINE))
    if "rbq_query_bits" in params:
        wrong.append(("rbq_query_bits is not a parameter; use rbq_bits_query", RABITQ))
    if kind == "SCANN" and params.get("with_raw_data", "true").lower() == "false":
        wrong.append(
            (
                "reorder_k has no effect: the SCANN index has no raw data (with_raw_data)",
                "run on 2.3.5",
            )
        )
    return [
        Finding(
            "parameter-without-effect",
            Severity.WARNING,
            vector.name,
            message,
            (Evidence("describe_index: params", params),),
            vector_command("apply", address, info.name, vector.name, vector.quantization),
            source,
        )
        for message, source in wrong
    ]


def _search_parameters(vector: VectorInfo, options: Mapping[str, Any]) -> list[Finding]:
    """Search parameters of the user's application that have no effect."""
    given = {**options, **(options.get("params") or {})}
    kind = str(vector.index.get("index_type", ""))
    raw = _params(vector).get("with_raw_data", "true").lower() != "false"
    wrong: list[tuple[str, str, str]] = []
    if "refine_k" in given and _refined(vector) is None:
        what = f"refine_k={given['refine_k']} has no effect: the index {kind} has no refinement"
        wrong.append(("oversampling-without-rescoring", what, REFINE))
    if "reorder_k" in given and (kind != "SCANN" or not raw):
        what = f"reorder_k={given['reorder_k']} has no effect: the index {kind} has no raw vectors"
        wrong.append(("oversampling-without-rescoring", what, "run on 2.3.5"))
    if "rbq_query_bits" in given:
        what = "rbq_query_bits is not a parameter and has no effect; use rbq_bits_query"
        wrong.append(("parameter-without-effect", what, RABITQ))
    return [
        Finding(
            code,
            Severity.ERROR if code.startswith("oversampling") else Severity.WARNING,
            vector.name,
            message,
            (
                Evidence("search parameters", dict(options)),
                Evidence("describe_index: index_type", kind),
            ),
            "remove the parameter, and search with qadapt: collection.search(Q, rescore=4)",
            source,
        )
        for code, message, source in wrong
    ]
