"""Plans that build and drop indexes, and their operations.

An index is replaced in one commit, and searches continue with the old one until then
(docs/engines/lancedb.md#changes).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from qadapt.errors import TooFewRowsError, UnsupportedError
from qadapt.model import Estimate, Kind, Quantization, Step, Symbol, Vector
from qadapt.stores.base import MappedQuantization
from qadapt.stores.change import ChangePlan, ChangeRequest, check_strategy, planned
from qadapt.stores.lancedb import cost_model, mapping, vector_index
from qadapt.stores.lancedb.schema import note_of
from qadapt.stores.lancedb.search import NPROBES
from qadapt.stores.lancedb.settings import put
from qadapt.stores.lancedb.snapshot import Snapshot
from qadapt.stores.lancedb.status import VectorIndex, needs_more_rows
from qadapt.stores.operations import Execution, Operation, table

if TYPE_CHECKING:
    from qadapt.stores.lancedb.store import LanceDbStore

# A larger share of rows without an entry is worth a new index, which is trained on all rows.
TAIL = 0.5


# -- operations ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class BuildIndex(Operation):
    """Builds the index of a vector, in place of another one.

    Attributes:
        vector: name of the vector.
        index: its type and parameters.
    """

    op: ClassVar[str] = "lancedb.build_index"

    vector: str
    index: Mapping[str, Any]

    def run(self, at: Execution[LanceDbStore]) -> None:
        vector_index.build(at, self.vector, self.index)


@dataclass(frozen=True)
class IndexNewRows(Operation):
    """Adds the rows to the index that were written after it was built.

    Attributes:
        vector: name of the vector.
    """

    op: ClassVar[str] = "lancedb.index_new_rows"

    vector: str

    def run(self, at: Execution[LanceDbStore]) -> None:
        vector_index.complete(at, self.vector)


@dataclass(frozen=True)
class DropIndex(Operation):
    """Drops the index of a vector.

    Attributes:
        vector: name of the vector.
    """

    op: ClassVar[str] = "lancedb.drop_index"

    vector: str

    def run(self, at: Execution[LanceDbStore]) -> None:
        vector_index.drop(at, self.vector)


@dataclass(frozen=True)
class RestoreIndex(Operation):
    """Brings an earlier index back: from its version of the table, if no rows were written since,
    or by a build.

    Attributes:
        vector: name of the vector.
        index: its type and parameters.
        version: of the table.
        metric: the engine's word for the metric of the index.
    """

    op: ClassVar[str] = "lancedb.restore_index"

    vector: str
    index: Mapping[str, Any]
    version: int
    metric: str

    def run(self, at: Execution[LanceDbStore]) -> None:
        vector_index.restore(at, self.vector, self.index, self.version, self.metric)


@dataclass(frozen=True)
class SetMetric(Operation):
    """Records the metric of a vector, and builds its index again.

    Attributes:
        vector: name of the vector.
        metric: ``cosine``, ``dot`` or ``l2``.
        index: the type and parameters of the index; None without one.
    """

    op: ClassVar[str] = "lancedb.set_metric"

    vector: str
    metric: str
    index: Mapping[str, Any] | None = None

    def run(self, at: Execution[LanceDbStore]) -> None:
        column = at.store.layout(at.collection).table.column_of(self.vector)
        if self.index is not None:
            vector_index.build(at, self.vector, self.index, self.metric)
        layout = at.store.layout(at.collection)
        note = note_of(layout.handle.schema.field(column.name))
        if note.get("metric") != self.metric:
            put(at.store, at.collection, column.name, {**note, "metric": self.metric})


OPERATIONS = table(BuildIndex, IndexNewRows, DropIndex, RestoreIndex, SetMetric)


# -- planning ------------------------------------------------------------------------------------


def plan_change(request: ChangeRequest, mapped: MappedQuantization | None) -> ChangePlan:
    """Plan a change of one vector.

    Raises:
        UnsupportedError: another datatype or dimension.
        TooFewRowsError: the engine would build an empty index.
    """
    check_strategy("lancedb", request)
    return planned(_Planner(request), request, mapped)


class _Planner:
    """The steps and notes of a change."""

    def __init__(self, request: ChangeRequest) -> None:
        self.taken: Snapshot = request.inspection.native
        self.name = request.vector
        self.observation = self.taken.observations[request.vector]
        self.column = self.taken.table.column_of(request.vector)
        self.index = self.observation.serving
        self.rescore = request.rescore
        self.without_codes = request.without_codes
        self.given = dict(request.codes.native) if request.codes is not None else {}

    def steps(self, mapped: MappedQuantization) -> list[Step]:
        """The steps to an index, or to none."""
        wanted = dict(mapped.native or {})
        if not wanted:
            has = self.index is not None and mapping.has_codes(self.index.config)
            return [self._drop()] if has else []
        if self.index is not None and "index" not in self.given:
            wanted = mapping.with_family(wanted, str(self.index.config["type"]))
        if needs_more_rows(wanted, self.observation.count) and not self.without_codes:
            raise TooFewRowsError(
                f"LanceDB builds product codes of 8 bits from {mapping.LEAST_PQ_ROWS} rows on; the "
                f"table has {self.observation.count:,}",
                hint="write more rows first, or use scalar or rotational codes",
            )
        return self._to_index(wanted)

    def _to_index(self, wanted: dict[str, Any]) -> list[Step]:
        index = self.index
        if index is None or not mapping.same_codes(self._config(index), wanted, self.given):
            return [self._build(wanted)]
        serves = self.observation.used == index.name and len(self.observation.indexes) == 1
        empty = not index.indexed and self.observation.count > 0
        if empty and needs_more_rows(wanted, self.observation.count):
            return []
        total = max(1, index.indexed + index.unindexed)
        if empty or (index.indexed and not serves) or index.unindexed / total > TAIL:
            return [self._build({**self._config(index), **wanted})]
        return [self._index_new_rows(index)] if index.unindexed else []

    def _config(self, index: VectorIndex) -> dict[str, Any]:
        """The configuration of the current index, with its number of partitions."""
        found = dict(index.config)
        if self.observation.partitions is not None:
            found["num_partitions"] = self.observation.partitions
        return found

    def _build(self, wanted: dict[str, Any]) -> Step:
        index = self.index
        size = cost_model.index_bytes(self.observation.count, self.column.vector, wanted)
        reverse: Operation = DropIndex(self.name)
        if index is not None:
            version = self.taken.layout.version
            reverse = RestoreIndex(self.name, self._config(index), version, index.metric)
        word = "replace" if index is not None else "build"
        return Step(
            Symbol.BACKGROUND,
            f"{word} the index of {self.column.name}: {_described(wanted)}",
            "the engine writes an index in one commit; searches continue, and rows that are "
            "written during the build are added at its end",
            BuildIndex(self.name, wanted).to_request(),
            reverse.to_request(),
            Estimate(codes_ram=size, codes_disk=size),
        )

    def _drop(self) -> Step:
        assert self.index is not None
        version, metric = self.taken.layout.version, self.index.metric
        reverse = RestoreIndex(self.name, self._config(self.index), version, metric)
        return Step(
            Symbol.IN_PLACE,
            f"drop the index {self.index.name}",
            "its codes are no longer used; its files are deleted with old versions of the table",
            DropIndex(self.name).to_request(),
            reverse.to_request(),
        )

    def _index_new_rows(self, index: VectorIndex) -> Step:
        return Step(
            Symbol.BACKGROUND,
            f"add {index.unindexed:,} rows to the index {index.name}",
            "rows that were written after the build are not in it; `optimize` adds them with the "
            "codebook of the index, and also merges small files",
            IndexNewRows(self.name).to_request(),
            IndexNewRows(self.name).to_request(),
        )

    # -- another metric ----------------------------------------------------------------------

    def recreation(self, wanted: Vector | None) -> list[Step]:
        """The steps to another metric."""
        current = self.column.vector
        if wanted is None or wanted == current:
            return []
        if wanted.dim != current.dim or wanted.datatype != current.datatype:
            raise UnsupportedError(
                "the dimensions and the datatype of a column of LanceDB are fixed",
                hint="create a collection with the new vectors and copy the rows: `qadapt migrate`",
            )
        config = self._config(self.index) if self.index is not None else None
        request = SetMetric(self.name, mapping.WORDS[wanted.metric], config)
        former = self.index.metric if self.index is not None else mapping.WORDS[current.metric]
        action = f"set the metric of {self.column.name} to {wanted.metric}"
        return [
            Step(
                Symbol.BACKGROUND if config else Symbol.IN_PLACE,
                action + (", and build its index again" if config else ""),
                "an index has one metric, and a search with another one compares all rows",
                request.to_request(),
                SetMetric(self.name, former, config).to_request(),
            )
        ]

    # -- notes -------------------------------------------------------------------------------

    def notes(self, target: Quantization) -> list[str]:
        """What the user should know besides the steps."""
        if target.kind is Kind.NONE:
            return []
        found = []
        if self.column.metric_from == "default":
            found.append(
                f"the metric of {self.column.name} is not recorded, so the index gets l2, the "
                "default of LanceDB; --metric cosine or ?metric=cosine in the address changes it"
            )
        if (self.observation.partitions or 0) > NPROBES:
            found.append(
                f"the index has {self.observation.partitions} partitions, and a search probes "
                f"{NPROBES}: rescoring cannot return rows of the others; send more nprobes"
            )
        if self.rescore is None or not self.rescore.on:
            found.append(
                "without rescoring, cosine distances of other clients are those of the codes, "
                "about twice as large; refine_factor=1 returns the exact ones"
            )
        return found


def _described(config: Mapping[str, Any]) -> str:
    more = [f"{key}={value}" for key, value in config.items() if key != "type"]
    return f"{config['type']}{' (' if more else ''}{', '.join(more)}{')' if more else ''}"
