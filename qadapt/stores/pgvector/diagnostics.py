"""Findings of ``qadapt doctor``."""

from __future__ import annotations

from qadapt.model import Evidence, Finding, Severity
from qadapt.stores.pgvector.schema import Index
from qadapt.stores.pgvector.snapshot import Snapshot
from qadapt.stores.pgvector.status import Used

DEAD_SHARE = 0.2
DEAD_ROWS = "SELECT n_live_tup, n_dead_tup FROM pg_stat_all_tables WHERE relid = %s"


def findings(taken: Snapshot, dead: tuple[int, int] | None) -> list[Finding]:
    """The findings of one table.

    Args:
        dead: live and dead rows by the statistics of the server; None if unknown.
    """
    found = []
    table = taken.table
    for each in table.indexes:
        if not each.valid:
            found.append(
                Finding(
                    "invalid-index",
                    Severity.ERROR,
                    "",
                    f"the index {each.name!r} is invalid: its build was cut off, and no search "
                    "uses it",
                    (Evidence("pg_index: valid, ready and live", False),),
                    f"REINDEX INDEX CONCURRENTLY {each.name}, or run `qadapt apply` again",
                )
            )
    for name, observation in taken.observations.items():
        index, used = observation.index, observation.used
        if index is not None and used is not None and _prefers_another(used, index):
            found.append(
                Finding(
                    "cheaper-index",
                    Severity.WARNING,
                    name,
                    f"the planner uses the index {used.natural[0]!r} instead of {index.name!r}",
                    (Evidence("EXPLAIN: indexes", list(used.natural)),),
                    f"DROP INDEX CONCURRENTLY {used.natural[0]}",
                )
            )
        metric, _ = table.metric_of(name, table.vectors[name])
        if metric is None:
            found.append(
                Finding(
                    "unknown-metric",
                    Severity.WARNING,
                    name,
                    f"neither an index nor a comment has the metric; {taken.assumed} is assumed",
                    (),
                    "add ?metric=cosine, dot or euclidean to the address",
                )
            )
    if dead is not None and dead[1] > DEAD_SHARE * max(1, dead[0]):
        found.append(
            Finding(
                "dead-rows",
                Severity.WARNING,
                "",
                f"{dead[1]:,} deleted rows are still in the indexes; they count as candidates, so "
                "searches may return fewer results",
                (Evidence("pg_stat_all_tables: live and dead rows", list(dead)),),
                f"VACUUM {table.name}",
            )
        )
    return found


def _prefers_another(used: Used, index: Index) -> bool:
    return bool(used.natural) and not index.serves(used.natural)
