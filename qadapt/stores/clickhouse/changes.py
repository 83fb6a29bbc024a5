"""Plans that build and drop indexes, and that copy a table for another codec."""

from __future__ import annotations

from typing import Any

from qadapt.errors import UnsupportedError
from qadapt.model import Estimate, Kind, Quantization, State, Step, Symbol
from qadapt.stores.base import MappedQuantization
from qadapt.stores.change import ChangePlan, ChangeRequest, check_strategy
from qadapt.stores.clickhouse import mapping
from qadapt.stores.clickhouse.bit_planes import BuildPlanes, DropPlanes
from qadapt.stores.clickhouse.copy_switch import SetCodec, require_copyable
from qadapt.stores.clickhouse.schema import Codec, Index, Table
from qadapt.stores.clickhouse.snapshot import Snapshot
from qadapt.stores.clickhouse.status import status_of
from qadapt.stores.clickhouse.vector_index import BuildIndex, DropIndex
from qadapt.stores.operations import table as operations

OPERATIONS = operations(BuildIndex, DropIndex, SetCodec, BuildPlanes, DropPlanes)


def plan_change(request: ChangeRequest, mapped: MappedQuantization | None) -> ChangePlan:
    """Plan a change of one vector.

    Raises:
        UnsupportedError: another metric, datatype or dimension; a table that cannot be copied.
    """
    check_strategy("clickhouse", request)
    taken: Snapshot = request.inspection.native
    wanted = request.target_vector
    if wanted is not None and wanted != taken.table.vector(request.vector, taken.assumed):
        raise UnsupportedError(
            "qadapt does not change the metric, the datatype or the dimensions of a column of "
            "ClickHouse",
            hint="create a collection with the new settings and write the rows of "
            "`collection.read()` to it",
        )
    if mapped is None or request.codes is None:
        return ChangePlan()
    planner = _Planner(taken, request, mapped)
    return ChangePlan(tuple(planner.steps()), (), tuple(planner.notes()))


class _Planner:
    """The steps and notes of a change."""

    def __init__(self, taken: Snapshot, request: ChangeRequest, mapped: MappedQuantization) -> None:
        assert request.codes is not None
        self.taken, self.table = taken, taken.table
        self.column = taken.table.column_of(request.vector)
        self.vector = taken.table.vector(request.vector, taken.assumed)
        self.observation = taken.observations[request.vector]
        self.asked: Quantization = request.codes
        self.native: dict[str, Any] = dict(mapped.native or {})
        self.rescore = request.rescore

    @property
    def index(self) -> Index | None:
        """The requested index; None if none is requested."""
        if self.native.get("using") != mapping.INDEX:
            return None
        word = self.native["quantization"]
        name = index_name(self.table, self.column.name, word)
        return mapping.index_for(self.native, self.column.name, self.vector, name)

    @property
    def codec(self) -> Codec | None:
        """The requested codec; None if none is requested."""
        if self.native.get("using") != mapping.CODEC:
            return None
        return mapping.codec_of(self.native, self.vector.dim)

    def steps(self) -> list[Step]:
        current = self.table.indexes_of(self.column.name)
        index, found = self.index, []
        if self.codec != self.column.codec and (self.codec or self.column.codec):
            found.append(self._copy(self.column.codec, self.codec))
        elif self._has_several_centroids:
            found.append(self._copy(self.codec, self.codec))
        found += self._planes()
        if index is None:
            return found + [self._drop(e) for e in current if self._is_dropped(e)]
        same = [each for each in current if each.type_full == index.type_full]
        if not same:
            found.append(self._build(index))
        elif same[-1] is not current[-1] or self._incomplete():
            found.append(self._build(same[-1]))
        kept = {each.name for each in same} or {index.name}
        return found + [self._drop(each) for each in current if each.name not in kept]

    @property
    def _has_several_centroids(self) -> bool:
        """Whether parts have separate centroids, which lose recall."""
        filled = [each for each in self.observation.parts if each.rows]
        return self.codec is not None and self.codec.method == "product" and len(filled) > 1

    @property
    def planes(self) -> BuildPlanes | None:
        """The requested bit planes; None if none are requested."""
        if self.native.get("using") != mapping.QBIT:
            return None
        return BuildPlanes(self.column.name, self.vector.dim, self.native["bits"])

    def _planes(self) -> list[Step]:
        """Steps that add, read or drop bit planes."""
        name = self.column.name
        there, wanted = self.table.planes_of(name), self.planes
        before = BuildPlanes(name, self.vector.dim, self.table.precision_of(name))
        drop = DropPlanes(name)
        if wanted is None:
            if there is None:
                return []
            action, why = f"drop the bit planes {there.name}", "the vectors stay in their column"
            return [Step(Symbol.IN_PLACE, action, why, drop.to_request(), before.to_request())]
        if there is not None and wanted == before and not self.observation.unbuilt:
            return []
        request, size = wanted.to_request(), self.taken.count * self.vector.dim
        if there is not None and not self.observation.unbuilt:
            action = f"read {wanted.bits} bit planes instead of {before.bits}"
            why = "the planes of all 8 bits are there"
            return [Step(Symbol.IN_PLACE, action, why, request, before.to_request())]
        reverse = drop if there is None else before
        return [
            Step(
                Symbol.BACKGROUND,
                f"add a column with bit planes of {name}, of which a search reads {wanted.bits}",
                "the engine writes the column for one part after another; searches and writes "
                "continue",
                request,
                reverse.to_request(),
                Estimate(codes_ram=size * wanted.bits // 8, codes_disk=size),
            )
        ]

    def _incomplete(self) -> bool:
        state = status_of(self.observation).state
        return state is State.BUILDING or (
            state is State.IGNORED and bool(self.observation.mutations)
        )

    def _is_dropped(self, index: Index) -> bool:
        """Whether an index is dropped for ``none`` or for codes of a codec."""
        explicit = self.asked.native.get("using") == "flat" or self.codec or self.planes
        return bool(explicit) or index.quantization in mapping.KINDS

    def _build(self, index: Index) -> Step:
        size = self.taken.count * mapping.code_bytes(index.quantization, (), index.dim)
        known = any(each.name == index.name for each in self.table.indexes)
        action = "build the rest of" if known else "add and build"
        reverse = BuildIndex.of(index) if known else DropIndex(index.name)
        return Step(
            Symbol.BACKGROUND,
            f"{action} the index {index.name} ({index.quantization})",
            "the engine builds it for one part after another; searches compare the other parts "
            "exactly, and writes continue",
            BuildIndex.of(index).to_request(),
            reverse.to_request(),
            Estimate(codes_ram=size, codes_disk=size),
        )

    def _drop(self, index: Index) -> Step:
        return Step(
            Symbol.IN_PLACE,
            f"drop the index {index.name} ({index.quantization})",
            "a search uses one index of a column, and compares all rows without one",
            DropIndex(index.name).to_request(),
            BuildIndex.of(index).to_request(),
        )

    def _copy(self, before: Codec | None, after: Codec | None) -> Step:
        require_copyable(self.table)
        codes = 0
        if after is not None:
            codes = self.taken.count * mapping.code_bytes(
                after.method, after.numbers, self.vector.dim
            )
        size = self.taken.count * self.vector.dim * 4
        column = self.column.name
        return Step(
            Symbol.RECREATE,
            f"copy the table with {after.text if after else 'no codec'} for {column}, compare the "
            "rows and exchange the tables",
            "a codec is fixed when a table is created; rows that are written during the copy are "
            "lost, so stop writes",
            SetCodec(column, after.text if after else "", again=before == after).to_request(),
            SetCodec(column, before.text if before else "").to_request(),
            Estimate(
                codes_ram=codes, codes_disk=codes, temporary_disk=size + codes, stops="writes"
            ),
        )

    def notes(self) -> list[str]:
        found = []
        target = mapping.quantization_of(self.native, self.vector.dim)
        if self.codec is not None:
            found += [
                "applications must send vector_search_use_quantized_codes = 1, as `qadapt "
                "client-params` prints; without it a search compares all rows exactly",
                "ALTER TABLE ... UPDATE of this column, and ATTACH PARTITION from a table without "
                "the codec, set its vectors to zero: write rows by INSERT only",
            ]
        if self.planes is not None:
            found.append(
                "applications must call cosineDistanceTransposedQuantized and rescore, as `qadapt "
                "client-params` prints; cosineDistance compares all vectors exactly"
            )
        if self.index is not None and target.kind is not Kind.NONE:
            found.append(
                "a WHERE clause is applied after the index search: applications must send "
                "vector_search_filter_strategy = 'prefilter', or they get too few results"
            )
        if self.index is not None and self.table.replaces and not self.table.owned:
            found.append(
                "without FINAL and vector_search_with_rescoring = 1, a search returns replaced rows"
            )
        return found


def index_name(table: Table, column: str, word: str) -> str:
    """The name of an index: that of the current one with the same codes, or a new one."""
    name = f"{column}_{word}"
    taken = {each.name: each for each in table.indexes}
    other = set(table.other_indexes)
    while name in other or (name in taken and taken[name].column != column):
        name += "_"
    return name
