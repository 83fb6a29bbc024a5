"""Findings of ``qadapt doctor``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.model import Evidence, Finding, Severity
from qadapt.stores.lancedb import mapping, scan_ranges
from qadapt.stores.lancedb.search import NPROBES
from qadapt.stores.lancedb.snapshot import Snapshot
from qadapt.stores.lancedb.status import Observation, needs_more_rows

# Files with fewer rows than this on average are small.
SMALL_FILE, FILES = 10_000, 20


def findings(taken: Snapshot, options: Mapping[str, Any] | None) -> list[Finding]:
    """The findings of one table.

    Args:
        options: search parameters, as the user's program sends them.
    """
    found: list[Finding] = []
    for name, each in taken.observations.items():
        found += _index(name, each)
        found += _metric(name, each)
        found += _probes(name, each, options or {})
        if options is not None:
            found += _parameters(name, each, options)
    return [*found, *_duplicates(taken), *_files(taken)]


def _index(name: str, observation: Observation) -> list[Finding]:
    index = observation.serving
    if index is None:
        return []
    found = []
    if index.indexed and index.unindexed:
        found.append(
            Finding(
                "rows-not-indexed",
                Severity.WARNING,
                name,
                f"{index.unindexed:,} rows are not in the index {index.name}: each search compares "
                "their original vectors",
                (Evidence("num_unindexed_rows", index.unindexed),),
                "run `qadapt apply` again, or table.optimize()",
            )
        )
    if needs_more_rows(index.config, observation.count) and not index.indexed:
        found.append(
            Finding(
                "empty-index",
                Severity.ERROR,
                name,
                f"the index {index.name} is listed, but holds no row: product codes of 8 bits "
                f"need {mapping.LEAST_PQ_ROWS} rows",
                (Evidence("num_indexed_rows", 0), Evidence("rows", observation.count)),
                "write more rows and apply again, or use scalar or rotational codes",
            )
        )
    for other in observation.indexes[1:]:
        found.append(
            Finding(
                "unused-index",
                Severity.WARNING,
                name,
                f"no search uses the index {other.name}, because {index.name} on the same column "
                "is older",
                (Evidence("indexes", [each.name for each in observation.indexes]),),
                f"drop one of them: table.drop_index({other.name!r})",
            )
        )
    return found


def _metric(name: str, observation: Observation) -> list[Finding]:
    """Columns whose metric is the default of a search, l2."""
    if observation.column.metric_from != "default":
        return []
    return [
        Finding(
            "metric-not-recorded",
            Severity.WARNING,
            name,
            f"the metric of {observation.column.name!r} is not recorded, so searches use l2",
            (),
            "if cosine was intended: ?metric=cosine in the address, or a plan with --metric cosine",
        )
    ]


def _probes(name: str, observation: Observation, options: Mapping[str, Any]) -> list[Finding]:
    """Partitions that a search does not probe cannot be refined back."""
    partitions = observation.partitions or 0
    probed = int(options.get("nprobes", options.get("maximum_nprobes", NPROBES)) or partitions)
    if partitions <= probed:
        return []
    return [
        Finding(
            "few-probes",
            Severity.WARNING,
            name,
            f"a search probes {probed} of {partitions} partitions: rescoring cannot return rows of "
            "the others",
            (Evidence("partitions", partitions), Evidence("nprobes", probed)),
            f"send more nprobes, up to {partitions}, and measure with `qadapt eval`",
        )
    ]


def _parameters(name: str, observation: Observation, options: Mapping[str, Any]) -> list[Finding]:
    index, found = observation.serving, []
    if index is None or not mapping.has_codes(index.config):
        return []
    if not options.get("refine_factor"):
        found.append(
            Finding(
                "distances-of-codes",
                Severity.WARNING,
                name,
                "without refine_factor, distances are those of the codes: about twice the cosine "
                "distance, until a row is written that is not in the index",
                (Evidence("refine_factor", None),),
                "send refine_factor=1 or more",
            )
        )
    asked = options.get("distance_type")
    if asked is not None and str(asked).lower() != index.metric:
        found.append(
            Finding(
                "other-metric",
                Severity.ERROR,
                name,
                f"a search with distance_type {asked!r} does not use the index {index.name}, which "
                f"has {index.metric}: it compares all rows",
                (Evidence("metric of the index", index.metric),),
                f"send distance_type {index.metric!r}, or build the index with {asked!r}",
            )
        )
    return found


def _duplicates(taken: Snapshot) -> list[Finding]:
    number, some = scan_ranges.hidden(taken.layout.handle, taken.table)
    if not number:
        return []
    return [
        Finding(
            "repeated-ids",
            Severity.ERROR,
            "",
            f"{number:,} rows have the id of another row, or none: `add` does not replace rows",
            (Evidence("some of the ids", some),),
            "delete these ids and write each row once, with merge_insert",
        )
    ]


def _files(taken: Snapshot) -> list[Finding]:
    files = taken.fragments or 0
    if files < FILES or taken.count / files >= SMALL_FILE:
        return []
    return [
        Finding(
            "small-files",
            Severity.INFO,
            "",
            f"{taken.count:,} rows are in {files:,} files: each write adds one",
            (Evidence("num_fragments", files),),
            "table.optimize() merges them; write more rows at once",
        )
    ]
