"""Plans that build and drop indexes, and their operations.

Codes are in an index, so a quantization is added by building an index while searches and writes
continue. The index of the original vectors is kept unless it is replaced, because it serves the SQL
of other applications (docs/engines/pgvector.md#quantization).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from qadapt.model import (
    Estimate,
    Metric,
    Quantization,
    State,
    Step,
    Symbol,
    Vector,
)
from qadapt.stores.base import MappedQuantization
from qadapt.stores.change import ChangePlan, ChangeRequest, check_strategy
from qadapt.stores.pgvector import collections, column_type, mapping
from qadapt.stores.pgvector.index_operations import BuildIndex, Choose, DropIndex
from qadapt.stores.pgvector.schema import Column, Index, Table, label
from qadapt.stores.pgvector.snapshot import Snapshot
from qadapt.stores.pgvector.status import status_of
from qadapt.stores.pgvector.version import ExtensionVersion

# -- planning ------------------------------------------------------------------------------------


def plan_change(request: ChangeRequest, mapped: MappedQuantization | None) -> ChangePlan:
    """Plan a change of one vector.

    Raises:
        UnsupportedError: the relation cannot have indexes, the metric would change, or the role may
            not change the table.
    """
    check_strategy("pgvector", request)
    taken: Snapshot = request.inspection.native
    recreation: tuple[Step, ...] = ()
    if request.target_vector is not None:
        recreation = tuple(column_type.steps(taken, request.vector, request.target_vector))
    if mapped is None or request.codes is None:
        return ChangePlan(recreation=recreation)
    planner = _Planner(taken, request, mapped)
    return ChangePlan(tuple(planner.steps()), recreation, tuple(planner.notes()))


class _Planner:
    """The steps and notes of a change."""

    def __init__(self, taken: Snapshot, request: ChangeRequest, mapped: MappedQuantization) -> None:
        assert request.codes is not None
        self.taken, self.name = taken, request.vector
        self.table: Table = taken.table
        self.column: Column = taken.table.vectors[request.vector]
        self.vector = taken.source(request.vector).vector
        self.observation = taken.observations[request.vector]
        self.asked = request.codes
        self.native = dict(mapped.native or {})
        self.target = mapped.target
        self.codes = str(self.native.get("codes", "vector"))
        self.dims: int | None = self.native.get("dims")
        self.wanted = label(self.codes, self.dims)

    @property
    def current(self) -> Index | None:
        """The index that searches use now."""
        return self.observation.index

    def steps(self) -> list[Step]:
        if self._is_done():
            return []
        column_type.require_change(self.table)
        found = []
        index = self._usable()
        if self.native and index is None:
            found.append(self._build())
        saved = (self.table.settings.get("codes") or {}).get(self.column.name)
        if self.wanted != saved and (self.native or self.current is not None):
            found.append(self._choose(saved))
        if self.codes == "vector":
            found += [self._drop(each) for each in self._codes_of_ours()]
        elif self.asked.native.get("replace"):
            found += [self._drop(each) for each in self._replaced()]
        return found

    def _is_done(self) -> bool:
        """Whether the requested index is in use."""
        index, state = self.current, status_of(self.observation).state
        if index is None or index.label != self.wanted:
            return index is None and not self.native
        ready = state in (State.ACTIVE, State.ABSENT) or (state is State.UNKNOWN and index.valid)
        # The planner's choice cannot be changed by another build.
        ready = ready or (state is State.IGNORED and index.valid)
        pending = self.asked.native.get("replace") and self._replaced()
        return ready and self._has_options(index) and not pending

    def _has_options(self, index: Index) -> bool:
        if not self.native:
            return self.codes == "vector"
        options = dict(self.native["options"])
        same = all(index.options.get(name) == value for name, value in options.items())
        explicit = "using" in self.asked.native
        return same and (not explicit or index.method == self.native["using"])

    def _usable(self) -> Index | None:
        """A valid index with the requested codes."""
        for each in self.table.indexes_of(self.column):
            wanted = mapping.opclass(self.codes, self.vector.metric, self.vector.datatype)
            same = each.is_plain and each.label == self.wanted and each.opclass == wanted
            if same and each.valid and self.native and self._has_options(each):
                return each
        return None

    def _codes_of_ours(self) -> list[Index]:
        """Indexes of codes that are dropped for ``none``."""
        return [
            each
            for each in self.table.indexes_of(self.column)
            if each.is_plain and each.codes != "vector"
        ]

    def _replaced(self) -> list[Index]:
        return [
            each
            for each in self.table.indexes_of(self.column)
            if each.is_plain and each.label != self.wanted
        ]

    def _build(self) -> Step:
        using, options = self.native["using"], dict(self.native["options"])
        operation = build_index(self.table, self.name, self.native, self.vector.metric)
        name = operation.name
        half = self.codes == "subvector" and self.vector.datatype == "float16"
        size = mapping.index_bytes(
            "halfvec" if half else self.codes,
            self.dims or self.vector.dim,
            self.observation.present,
            using,
            options.get("m", 16),
        )
        per_part = ", one partition after another" if self.table.is_partitioned else ""
        codes = {"bit": "sign bits", "halfvec": "float16"}.get(self.codes, "the vectors")
        if self.dims is not None:
            codes += f", first {self.dims:,} of {self.vector.dim:,} dimensions"
        return Step(
            Symbol.BACKGROUND,
            f"build the {using} index {name} on {codes}{per_part}",
            "codes are in an index; it is built concurrently, so searches and writes continue",
            operation.to_request(),
            DropIndex(self.name, name).to_request(),
            Estimate(codes_ram=size, codes_disk=size),
        )

    def _choose(self, saved: str | None) -> Step:
        return Step(
            Symbol.IN_PLACE,
            f"record in the comment on the table that searches use {self.wanted} codes",
            "several indexes of a column can exist; the SQL of a search selects one",
            Choose(self.name, self.wanted).to_request(),
            Choose(self.name, saved).to_request(),
        )

    def _drop(self, index: Index) -> Step:
        reason = "its codes are no longer used"
        if self.codes != "vector":
            reason = (
                "applications whose SQL has the expression of this index compare all rows from "
                "then on"
            )
        return column_type.drop_step(self.name, index, self.vector.metric, reason)

    def notes(self) -> list[str]:
        found = []
        kept = [] if self.asked.native.get("replace") else self._replaced()
        if self.codes != "vector" and kept:
            names = ", ".join(each.name for each in kept)
            size = sum(each.size for each in kept) / 2**20
            found.append(
                f"RAM is saved only after the other indexes are dropped ({names}, {size:.1f} MiB), "
                'which serve the SQL of other applications: native={"replace": true}'
            )
        if self.dims is not None:
            found.append(
                f"the index keeps the first {self.dims:,} of {self.vector.dim:,} dimensions and "
                "the column all of them: queries have all dimensions, and rescoring compares all "
                "of them in the same statement"
            )
        if self.codes != "vector":
            found.append(
                "an application uses the codes only if its SQL has the expression of the index, as "
                "in the SQL of this plan"
            )
        if self.table.triggers:
            found.append(
                f"the table has {self.table.triggers} triggers; building an index runs none"
            )
        if self.table.row_security:
            found.append(
                "policies of row-level security filter results after the index search: measure "
                "recall as the role of the application"
            )
        if self.table.search_defaults:
            defaults = ", ".join(self.table.search_defaults)
            found.append(f"the role or the database has search settings by default: {defaults}")
        if self.table.persistence == "u":
            found.append("the table is unlogged: it is empty after a crash of the server")
        if self.taken.extension.others:
            others = ", ".join(self.taken.extension.others)
            found.append(f"indexes of the extensions {others} are neither used nor changed")
        return found


def planned_index(
    table: Table, column: Column, vector: Vector, target: Quantization, version: ExtensionVersion
) -> Index | None:
    """The index that a search uses after a change; None for an exact search."""
    native = mapping.to_native(target, vector, version).native
    if not native:
        return next(
            (
                each
                for each in table.indexes_of(column)
                if each.is_plain and each.codes == "vector" and each.valid
            ),
            None,
        )
    opclass = mapping.opclass(native["codes"], vector.metric, vector.datatype)
    codes, dims, using = native["codes"], native.get("dims"), native["using"]
    name = index_name(table, column, label(codes, dims), using, vector.metric)
    return Index(0, name, column.number, codes, using, opclass, {}, True, "", 0, dims=dims)


def build_index(
    table: Table, vector: str, native: Mapping[str, Any], metric: Metric | None = None
) -> BuildIndex:
    """The operation that builds an index.

    Args:
        native: codes, method and options, as mapped.
        metric: of the vector; None for the one in the comment on the table.
    """
    column, using = table.vectors[vector], native["using"]
    metric = metric or table.vector(vector).metric
    codes, dims = native["codes"], native.get("dims")
    name = index_name(table, column, label(codes, dims), using, metric)
    return BuildIndex(vector, codes, metric.value, using, name, dict(native["options"]), dims)


def index_name(table: Table, column: Column, codes: str, using: str, metric: Metric) -> str:
    """The name of an index; longer names than PostgreSQL allows get a hash.

    Names of indexes are cut to 63 bytes without an error, so that two long ones would collide.

    Args:
        codes: with its first dimensions, such as ``bit:256``.
    """
    word = codes.replace(":", "_")
    if not codes.startswith("bit"):
        word += f"_{metric.value}"
    name = f"{table.name}_{column.name}_{word}_{using}"
    if len(name.encode()) <= collections.MAX_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:10]
    return f"{name.encode()[:40].decode(errors='ignore')}_{word[:4]}_{digest}"
