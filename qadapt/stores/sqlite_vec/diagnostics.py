"""Findings of ``qadapt doctor``."""

from __future__ import annotations

from typing import Any

import numpy as np

from qadapt.model import Evidence, Finding, Severity
from qadapt.stores.sqlite_vec import chunks, code_tables, mapping
from qadapt.stores.sqlite_vec.schema import Column, Table
from qadapt.stores.sqlite_vec.snapshot import Snapshot

FREE_SHARE = 0.25


def findings(at: Any, taken: Snapshot) -> list[Finding]:
    """The findings of one table."""
    table = taken.table
    found = [
        each
        for name, column in table.vectors.items()
        for each in (
            *_codes(taken, name), *_clipped(at, table, name, column),
            *_without_distance(at, table, name, column),
        )
    ]  # fmt: skip
    found += _default_metric(table)
    if taken.journal not in ("wal", "memory"):
        found.append(
            Finding(
                "journal-mode",
                Severity.INFO,
                "",
                f"the journal mode is {taken.journal}, so searches and writes wait for each other",
                (Evidence("PRAGMA journal_mode", taken.journal),),
                "PRAGMA journal_mode = WAL",
            )
        )
    return [*found, *_free_pages(at)]


def _codes(taken: Snapshot, name: str) -> list[Finding]:
    """Codes that are not in step with the rows."""
    observation = taken.observations[name]
    codes, agreement = observation.codes, observation.agreement
    if codes is None or agreement is None or agreement.in_step or not codes.ready:
        return []
    return [
        Finding(
            "codes-left-behind",
            Severity.ERROR,
            name,
            f"{agreement.without:,} rows have no code and {agreement.different:,} of "
            f"{agreement.compared:,} codes are outdated: another program wrote rows without them",
            (
                Evidence("rows without a code", agreement.without),
                Evidence("codes that differ", agreement.different),
            ),
            "run `qadapt apply` again, and write the codes with each row",
        )
    ]


def _clipped(at: Any, table: Table, name: str, column: Column) -> list[Finding]:
    """Rows with values outside of the range of int8 codes under the Euclidean distance."""
    codes = table.chosen(column)
    if codes is None or codes.scale is None:
        return []
    largest = code_tables.scale_now(at, table, column)
    if largest <= codes.scale * (1 + 1e-6):
        return []
    return [
        Finding(
            "clipped-codes",
            Severity.WARNING,
            name,
            f"the int8 codes cover values up to {codes.scale * mapping.STEPS:.4g}, but rows have "
            f"values up to {largest * mapping.STEPS:.4g}",
            (Evidence("range of the codes", codes.scale * mapping.STEPS),),
            "apply none, then scalar again: the range then covers all rows",
        )
    ]


def _without_distance(at: Any, table: Table, name: str, column: Column) -> list[Finding]:
    """Rows that vec0 accepted although they have no distance, or an infinite one."""
    count = sum(
        int((~np.isfinite(rows).all(axis=1)).sum()) for rows in chunks.vectors_of(at, table, column)
    )
    if not count:
        return []
    return [
        Finding(
            "invalid-vectors",
            Severity.WARNING,
            name,
            f"{count:,} vectors have NaN or infinite values: searches do not find these rows, and "
            "may miss others in their place",
            (Evidence("vectors with NaN or infinite values", count),),
            "delete these rows, or write them again with finite vectors",
        )
    ]


def _default_metric(table: Table) -> list[Finding]:
    """Vector columns without a metric, whose vectors have length 1."""
    found = []
    for name, column in table.vectors.items():
        if column.metric == "l2" and not column.written_metric:
            found.append(
                Finding(
                    "default-metric",
                    Severity.INFO,
                    name,
                    f"the column {column.name!r} has no distance_metric, so vec0 uses l2",
                    (),
                    "a plan with metric='cosine' writes the table again, if cosine was intended",
                )
            )
    return found


def _free_pages(at: Any) -> list[Finding]:
    """Pages of the file that deleted rows left free."""
    total = at.execute("PRAGMA page_count").fetchone()[0]
    free = at.execute("PRAGMA freelist_count").fetchone()[0]
    if free <= FREE_SHARE * max(total, 1) or free < 1000:
        return []
    return [
        Finding(
            "free-pages",
            Severity.INFO,
            "",
            f"{free:,} of {total:,} pages of the file are free",
            (Evidence("PRAGMA freelist_count", free),),
            "VACUUM shrinks the file; it needs as much free disk space",
        )
    ]
