"""Plans that build and drop indexes, and their operations.

Codes are in an index, so a quantization is added by building an index while searches and writes
continue. The index of the original vectors is kept unless it is replaced, because it serves the SQL
of other applications (docs/engines/pgvector.md#quantization).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from qadapt.errors import UnsupportedError
from qadapt.model import (
    Estimate,
    Kind,
    Metric,
    Quantization,
    State,
    Step,
    Symbol,
    Vector,
)
from qadapt.stores.base import MappedQuantization
from qadapt.stores.change import ChangePlan, ChangeRequest, check_strategy, no_recreation
from qadapt.stores.operations import Execution, Operation, table
from qadapt.stores.pgvector import collections, mapping
from qadapt.stores.pgvector.schema import KINDS, Column, Index, Table
from qadapt.stores.pgvector.snapshot import Snapshot
from qadapt.stores.pgvector.status import status_of
from qadapt.stores.pgvector.version import ExtensionVersion

if TYPE_CHECKING:
    from qadapt.stores.pgvector.store import PgvectorStore

# Numbers in float16 are at most 65504; a larger one makes the build and later inserts fail.
MAX_HALF = 65504


@dataclass(frozen=True)
class BuildIndex(Operation):
    """Builds an index, concurrently with searches and writes.

    Attributes:
        vector: name of the vector.
        codes: ``vector``, ``halfvec`` or ``bit``.
        metric: of the operator class; ignored for ``bit``.
        using: ``hnsw`` or ``ivfflat``.
        options: storage parameters.
        name: of the index.
    """

    op: ClassVar[str] = "pgvector.build_index"

    vector: str
    codes: str
    metric: str
    using: str
    name: str
    options: Mapping[str, int] = field(default_factory=dict, hash=False)

    def run(self, at: Execution[PgvectorStore]) -> None:
        from qadapt.stores.pgvector import index_build

        index_build.build(at, self)


@dataclass(frozen=True)
class DropIndex(Operation):
    """Drops an index, concurrently with searches and writes.

    Attributes:
        vector: name of the vector.
        name: of the index; must be an index of this vector.
    """

    op: ClassVar[str] = "pgvector.drop_index"

    vector: str
    name: str

    def run(self, at: Execution[PgvectorStore]) -> None:
        from qadapt.stores.pgvector import index_build

        index_build.drop(at, self.vector, self.name)


@dataclass(frozen=True)
class Choose(Operation):
    """Records which index a search uses, in the comment on the table.

    Attributes:
        vector: name of the vector.
        codes: ``vector``, ``halfvec`` or ``bit``; None for the smallest index.
    """

    op: ClassVar[str] = "pgvector.choose"

    vector: str
    codes: str | None = None

    def run(self, at: Execution[PgvectorStore]) -> None:
        at.store.save_codes(at.collection, self.vector, self.codes)


OPERATIONS = table(BuildIndex, DropIndex, Choose)


# -- planning ------------------------------------------------------------------------------------


def plan_change(request: ChangeRequest, mapped: MappedQuantization | None) -> ChangePlan:
    """Plan a change of one vector.

    Raises:
        UnsupportedError: the relation cannot have indexes, the metric would change, or the role may
            not change the table.
    """
    check_strategy("pgvector", request)
    if request.target_vector is not None:
        raise no_recreation("pgvector")
    if mapped is None or request.codes is None:
        return ChangePlan()
    taken: Snapshot = request.inspection.native
    planner = _Planner(taken, request, mapped)
    return ChangePlan(tuple(planner.steps()), notes=tuple(planner.notes()))


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
        self.wanted = str(self.native.get("codes", "vector"))

    @property
    def current(self) -> Index | None:
        """The index that searches use now."""
        return self.observation.index

    def steps(self) -> list[Step]:
        if self._is_done():
            return []
        self._refuse()
        found = []
        index = self._usable()
        if self.native and index is None:
            found.append(self._build())
        saved = (self.table.settings.get("codes") or {}).get(self.column.name)
        if self.wanted != saved and (self.native or self.current is not None):
            found.append(self._choose(saved))
        if self.target.kind is Kind.NONE:
            found += [self._drop(each) for each in self._codes_of_ours()]
        elif self.asked.native.get("replace"):
            found += [self._drop(each) for each in self._replaced()]
        return found

    def _is_done(self) -> bool:
        """Whether the requested index is in use."""
        index, state = self.current, status_of(self.observation).state
        if index is None or index.codes != self.wanted:
            return index is None and not self.native
        ready = state in (State.ACTIVE, State.ABSENT) or (state is State.UNKNOWN and index.valid)
        # The planner's choice cannot be changed by another build.
        ready = ready or (state is State.IGNORED and index.valid)
        pending = self.asked.native.get("replace") and self._replaced()
        return ready and self._has_options(index) and not pending

    def _has_options(self, index: Index) -> bool:
        if not self.native:
            return self.target.kind is Kind.NONE
        options = dict(self.native["options"])
        same = all(index.options.get(name) == value for name, value in options.items())
        explicit = "using" in self.asked.native
        return same and (not explicit or index.method == self.native["using"])

    def _usable(self) -> Index | None:
        """A valid index with the requested codes."""
        for each in self.table.indexes_of(self.column):
            wanted = mapping.opclass(self.wanted, self.vector.metric, self.vector.datatype)
            plain = each.codes == self.wanted and not each.predicate and each.opclass == wanted
            if plain and each.valid and self.native and self._has_options(each):
                return each
        return None

    def _codes_of_ours(self) -> list[Index]:
        """Indexes of codes that are dropped for ``none``."""
        return [
            each
            for each in self.table.indexes_of(self.column)
            if each.codes in ("halfvec", "bit") and not each.predicate
        ]

    def _replaced(self) -> list[Index]:
        return [
            each
            for each in self.table.indexes_of(self.column)
            if each.codes != self.wanted and each.codes != "other" and not each.predicate
        ]

    def _refuse(self) -> None:
        table = self.table
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

    def _build(self) -> Step:
        using, options = self.native["using"], dict(self.native["options"])
        name = index_name(self.table, self.column, self.wanted, using, self.vector.metric)
        operation = BuildIndex(
            self.name, self.wanted, self.vector.metric.value, using, name, options
        )
        size = mapping.index_bytes(
            self.wanted, self.vector.dim, self.observation.present, using, options.get("m", 16)
        )
        per_part = ", one partition after another" if self.table.is_partitioned else ""
        codes = {"bit": "sign bits", "halfvec": "float16", "vector": "the vectors"}[self.wanted]
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
        restored = (
            index.codes != "other" and not index.predicate and index.method in mapping.METHODS
        )
        reverse = None
        if restored:
            metric = index.metric or self.vector.metric
            reverse = BuildIndex(
                self.name, index.codes, metric.value, index.method, index.name, dict(index.options)
            ).to_request()
        return Step(
            Symbol.BACKGROUND,
            f"drop the index {index.name} ({index.size / 2**20:.1f} MiB)",
            "applications whose SQL has the expression of this index compare all rows from then on"
            if index.codes != self.wanted and self.target.kind is not Kind.NONE
            else "its codes are no longer used",
            DropIndex(self.name, index.name).to_request(),
            reverse,
        )

    def notes(self) -> list[str]:
        found = []
        kept = [] if self.asked.native.get("replace") else self._replaced()
        if self.target.kind is not Kind.NONE and kept:
            names = ", ".join(each.name for each in kept)
            size = sum(each.size for each in kept) / 2**20
            found.append(
                f"RAM is saved only after the other indexes are dropped ({names}, {size:.1f} MiB), "
                'which serve the SQL of other applications: native={"replace": true}'
            )
        if self.target.kind is not Kind.NONE:
            found.append(
                "an application uses the codes only if its SQL has the expression of the index; "
                "`qadapt client-params` prints the SQL"
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
            (each for each in table.indexes_of(column) if each.codes == "vector" and each.valid),
            None,
        )
    opclass = mapping.opclass(native["codes"], vector.metric, vector.datatype)
    name = index_name(table, column, native["codes"], native["using"], vector.metric)
    return Index(0, name, column.number, native["codes"], native["using"], opclass, {}, True, "", 0)


def index_name(table: Table, column: Column, codes: str, using: str, metric: Metric) -> str:
    """The name of an index; longer names than PostgreSQL allows get a hash.

    Names of indexes are cut to 63 bytes without an error, so that two long ones would collide.
    """
    word = codes if codes == "bit" else f"{codes}_{metric.value}"
    name = f"{table.name}_{column.name}_{word}_{using}"
    if len(name.encode()) <= collections.MAX_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:10]
    return f"{name.encode()[:40].decode(errors='ignore')}_{word[:4]}_{digest}"
