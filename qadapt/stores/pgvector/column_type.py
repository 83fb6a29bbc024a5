"""Plans that change the type or the metric of a vector column."""

from __future__ import annotations

from qadapt.errors import UnsupportedError
from qadapt.footprint import original_bytes
from qadapt.model import Estimate, Metric, Step, Symbol, Vector
from qadapt.stores.pgvector import collections
from qadapt.stores.pgvector.index_operations import AlterColumn, BuildIndex, DropIndex, SetMetric
from qadapt.stores.pgvector.schema import KINDS, Index, Table
from qadapt.stores.pgvector.snapshot import Snapshot


def steps(taken: Snapshot, name: str, wanted: Vector) -> list[Step]:
    """Steps to another metric or datatype.

    The type of a column can be changed only without an index on the column itself; those indexes
    are dropped and built again. Indexes on expressions are rebuilt by the server.

    Raises:
        UnsupportedError: pgvector does not have the datatype, or the role may not change the table.
    """
    table, column, now = taken.table, taken.table.vectors[name], taken.source(name).vector
    require_change(table)
    found: list[Step] = []
    if wanted.metric is not now.metric:
        saved = (table.settings.get("metrics") or {}).get(column.name)
        found.append(
            Step(
                Symbol.IN_PLACE,
                f"record the metric {wanted.metric} in the comment on the table",
                "a column has no metric: that of an index counts, or that of the comment",
                SetMetric(name, wanted.metric.value).to_request(),
                SetMetric(name, saved).to_request(),
            )
        )
    if wanted.datatype == now.datatype:
        return found
    if wanted.datatype not in collections.TYPES:
        raise UnsupportedError(
            f"pgvector stores float32 and float16, not {wanted.datatype}", hint="datatype='float16'"
        )
    direct = [each for each in table.indexes_of(column) if not each.expression]
    for each in direct:
        if not each.is_plain:
            raise UnsupportedError(
                f"the index {each.name!r} ({each.method}) would have to be dropped, and qadapt "
                "cannot build it again",
                hint=f"drop it, then build it again after the change: DROP INDEX {each.name}",
            )
    found += [
        drop_step(name, each, now.metric, "the type of its column changes") for each in direct
    ]
    kind = collections.TYPES[wanted.datatype]
    found.append(
        Step(
            Symbol.BLOCKING,
            f"change the type of the column {column.name} to {kind}({now.dim})",
            "rewrites the table under an exclusive lock; rounded values are not restored",
            AlterColumn(name, kind).to_request(),
            None,
            Estimate(
                originals_disk=original_bytes(taken.present[name], wanted),
                temporary_disk=table.heap + table.toast,
                stops="searches and writes",
            ),
        )
    )
    found += [_build_step(name, each, now.metric) for each in direct]
    return found


def drop_step(name: str, index: Index, metric: Metric, reason: str) -> Step:
    """The step that drops an index; reversible if it can be described."""
    reverse = None
    if index.is_plain:
        reverse = _builder(name, index, metric).to_request()
    return Step(
        Symbol.BACKGROUND,
        f"drop the index {index.name} ({index.size / 2**20:.1f} MiB)",
        reason,
        DropIndex(name, index.name).to_request(),
        reverse,
    )


def _build_step(name: str, index: Index, metric: Metric) -> Step:
    return Step(
        Symbol.BACKGROUND,
        f"build the index {index.name} again",
        "it was dropped because the type of its column changes",
        _builder(name, index, metric).to_request(),
        DropIndex(name, index.name).to_request(),
        Estimate(codes_ram=index.size, codes_disk=index.size),
    )


def _builder(name: str, index: Index, metric: Metric) -> BuildIndex:
    own = (index.metric or metric).value
    options = dict(index.options)
    return BuildIndex(name, index.codes, own, index.method, index.name, options, index.dims)


def require_change(table: Table) -> None:
    """Check that the current role can change a relation.

    Raises:
        UnsupportedError
    """
    if not table.is_indexable:
        raise UnsupportedError(
            f"a {KINDS[table.kind]} cannot have indexes",
            hint="plan the change of the table that it reads",
        )
    if not table.owned:
        raise UnsupportedError(
            f"only the owner of the table {table.name!r} can build its indexes",
            hint=f"connect as its owner, or: ALTER TABLE {table.name} OWNER TO ...",
        )
