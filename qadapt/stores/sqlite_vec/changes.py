"""Plans that build and drop codes, and their operations.

Codes are built in a separate table, because vec0 cannot alter one. The table of the original
vectors does not change, so the SQL of other programs returns the same results
(docs/engines/sqlite-vec.md#changes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from qadapt.errors import UnsupportedError
from qadapt.footprint import original_bytes
from qadapt.model import Estimate, Kind, Quantization, State, Step, Symbol, Vector
from qadapt.stores.base import MappedQuantization
from qadapt.stores.change import ChangePlan, ChangeRequest, check_strategy, planned
from qadapt.stores.operations import Execution, Operation, table
from qadapt.stores.sqlite_vec import code_tables, mapping, rows, schema, settings, table_rebuild
from qadapt.stores.sqlite_vec.cost_model import padded
from qadapt.stores.sqlite_vec.schema import Codes, Table, quoted, sql_name
from qadapt.stores.sqlite_vec.search import FACTOR, MAX_K
from qadapt.stores.sqlite_vec.snapshot import Snapshot
from qadapt.stores.sqlite_vec.status import status_of

if TYPE_CHECKING:
    from qadapt.stores.sqlite_vec.store import SqliteVecStore


# -- operations ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class BuildCodes(Operation):
    """Creates a table of codes, or brings it up to date; searches continue.

    Attributes:
        vector: name of the vector.
        kind: ``bit`` or ``int8``.
    """

    op: ClassVar[str] = "sqlite_vec.build_codes"

    vector: str
    kind: str

    def run(self, at: Execution[SqliteVecStore]) -> None:
        code_tables.build(at, self.vector, self.kind)


@dataclass(frozen=True)
class DropCodes(Operation):
    """Drops a table of codes that qadapt created.

    Attributes:
        vector: name of the vector.
        kind: ``bit`` or ``int8``.
    """

    op: ClassVar[str] = "sqlite_vec.drop_codes"

    vector: str
    kind: str

    def run(self, at: Execution[SqliteVecStore]) -> None:
        code_tables.drop(at, self.vector, self.kind)


@dataclass(frozen=True)
class UseCodes(Operation):
    """Records whether searches use the codes in a column of the table itself.

    Attributes:
        vector: name of the vector.
        use: ``none`` for no codes; None for the newest ones.
    """

    op: ClassVar[str] = "sqlite_vec.use_codes"

    vector: str
    use: str | None = None

    def run(self, at: Execution[SqliteVecStore]) -> None:
        with at.store.connection.transaction(f"write settings of {at.collection!r}") as cursor:
            found = code_tables.read(cursor, at.collection)
            settings.use(cursor, found, found.column_of(self.vector).name, self.use)


@dataclass(frozen=True)
class SetMetric(Operation):
    """Writes the table again with another metric of a vector, in one transaction.

    Attributes:
        vector: name of the vector.
        metric: ``cosine`` or ``l2``.
    """

    op: ClassVar[str] = "sqlite_vec.set_metric"

    vector: str
    metric: str

    def run(self, at: Execution[SqliteVecStore]) -> None:
        table_rebuild.set_metric(at, self.vector, self.metric)


OPERATIONS = table(BuildCodes, DropCodes, UseCodes, SetMetric)


# -- planning ------------------------------------------------------------------------------------


def plan_change(request: ChangeRequest, mapped: MappedQuantization | None) -> ChangePlan:
    """Plan a change of one vector.

    Raises:
        UnsupportedError: a datatype, dimension or metric that sqlite-vec does not have; a table
            whose vectors qadapt cannot write.
    """
    check_strategy("sqlite-vec", request)
    return planned(_Planner(request), request, mapped)


class _Planner:
    """The steps and notes of a change."""

    def __init__(self, request: ChangeRequest) -> None:
        self.taken: Snapshot = request.inspection.native
        self.table: Table = self.taken.table
        self.name = request.vector
        self.column = self.table.column_of(request.vector)
        self.vector = self.table.vector(request.vector)
        self.observation = self.taken.observations[request.vector]
        self.rescore = request.rescore

    def steps(self, mapped: MappedQuantization) -> list[Step]:
        """The steps to codes of a kind, or to none."""
        wanted = str((mapped.native or {}).get("codes", ""))
        if not wanted:
            return [self._drop(e) for e in self._separate()] + self._ignore_column()
        found = []
        if not self._is_current(wanted):
            found += self._use_column(wanted) or [self._build(wanted)]
        return found + [self._drop(each) for each in self._separate() if each.kind != wanted]

    def _is_current(self, wanted: str) -> bool:
        """Whether searches use complete codes of this kind."""
        codes = self.observation.codes
        active = status_of(self.observation).state is State.ACTIVE
        return codes is not None and codes.kind == wanted and active

    def _separate(self) -> list[Codes]:
        return [each for each in self.table.codes_of(self.column) if each.separate]

    def _inside(self) -> Codes | None:
        return next((e for e in self.table.codes_of(self.column) if not e.separate), None)

    def _ignore_column(self) -> list[Step]:
        """The step to no codes if the table itself has a column of them."""
        inside = self._inside()
        saved = (self.table.settings.get("use") or {}).get(self.column.name)
        if inside is None or saved == "none":
            return []
        return [
            Step(
                Symbol.IN_PLACE,
                f"record that searches do not use the codes in the column {inside.column}",
                "vec0 cannot drop a column; other programs may use it",
                UseCodes(self.name, "none").to_request(),
                UseCodes(self.name, saved).to_request(),
            )
        ]

    def _use_column(self, wanted: str) -> list[Step]:
        """The step to the codes of the table itself, if they were only switched off."""
        inside = self._inside()
        saved = (self.table.settings.get("use") or {}).get(self.column.name)
        if inside is None or inside.kind != wanted or saved != "none":
            return []
        return [
            Step(
                Symbol.IN_PLACE,
                f"record that searches use the codes in the column {inside.column}",
                "the table has them already",
                UseCodes(self.name).to_request(),
                UseCodes(self.name, saved).to_request(),
            )
        ]

    def _build(self, kind: str, dropped: bool = False) -> Step:
        """The step that builds codes.

        Args:
            dropped: an earlier step drops the existing ones.
        """
        known = [each for each in self._separate() if each.kind == kind and not dropped]
        target = code_tables.name_of(self.table, self.column, kind)
        action = "bring" if known and known[0].exists else "create"
        words = {"bit": "sign bits", "int8": "8-bit codes"}[kind]
        size = padded(self.taken.count) * mapping.row_bytes(kind, self.column.dim)
        reverse = BuildCodes if known and known[0].ready else DropCodes
        return Step(
            Symbol.BACKGROUND,
            f"bring the table {target} up to date ({words})"
            if action == "bring"
            else f"create the table {target} with {words}",
            "vec0 cannot alter a table; searches continue, and other writers wait for batches of "
            f"{code_tables.BATCH:,} rows",
            BuildCodes(self.name, kind).to_request(),
            reverse(self.name, kind).to_request(),
            Estimate(codes_ram=size, codes_disk=size),
        )

    def _drop(self, codes: Codes) -> Step:
        return Step(
            Symbol.IN_PLACE,
            f"drop the table {codes.table}",
            "its codes are no longer used; free pages of the file are used again",
            DropCodes(self.name, codes.kind).to_request(),
            BuildCodes(self.name, codes.kind).to_request(),
        )

    # -- another metric ----------------------------------------------------------------------

    def recreation(self, wanted: Vector | None) -> list[Step]:
        """The steps to another metric."""
        if wanted is None or wanted == self.vector:
            return []
        if wanted.dim != self.vector.dim or wanted.datatype != self.vector.datatype:
            raise UnsupportedError(
                "sqlite-vec stores float32 vectors with all of their dimensions",
                hint="create a table with the new vectors and write its rows",
            )
        if wanted.metric not in schema.WORDS:
            raise UnsupportedError(
                f"sqlite-vec has no metric {wanted.metric}",
                hint="cosine returns the same results if all vectors have length 1",
            )
        rows.require_writable(self.table)
        size = original_bytes(self.taken.count, self.vector)
        coded = [each for each in self._separate() if each.kind == "int8"]
        rebuild = Step(
            Symbol.RECREATE,
            f"write the table {self.table.name} again with the metric {wanted.metric}",
            "vec0 fixes the metric at creation; the rows are copied twice in one transaction, for "
            "which other writers wait",
            SetMetric(self.name, schema.WORDS[wanted.metric]).to_request(),
            SetMetric(self.name, self.column.metric).to_request(),
            Estimate(originals_disk=size, temporary_disk=2 * size, stops="writes"),
        )
        again = [self._build("int8", dropped=True)] if coded else []
        return [*(self._drop(each) for each in coded), rebuild, *again]

    # -- notes -------------------------------------------------------------------------------

    def notes(self, target: Quantization) -> list[str]:
        """What the user should know besides the steps."""
        if target.kind is Kind.NONE:
            return []
        found = [
            "other programs must write the codes with each row, in the same transaction, and send "
            "the SQL that `qadapt client-params` prints; codes that are left behind are reported "
            "as ignored, and searches of qadapt then compare the original vectors"
        ]
        if self.rescore is not None and self.rescore.on:
            factor = self.rescore.factor(10)
            if factor > FACTOR:
                found.append(
                    f"rescoring {factor:g} x k candidates takes as long as comparing all original "
                    f"vectors: the limit for a gain is about {FACTOR} x k; searches for more than "
                    f"{max(1, int(MAX_K / factor)):,} results rescore fewer, because sqlite-vec "
                    f"returns at most {MAX_K:,} candidates"
                )
        if self.taken.journal not in ("wal", "memory"):
            found.append(
                f"the journal mode is {self.taken.journal}: searches wait during each batch; "
                "PRAGMA journal_mode = WAL lets them continue"
            )
        return found


def writing_sql(found: Table, codes: Codes) -> str:
    """The statement that other programs send to insert the code of a row."""
    key = found.key.name if found.of("key") else "rowid"
    partitions = [each.name for each in found.of("partition")]
    function = "vec_quantize_binary(?)" if codes.kind == "bit" else "vec_int8(?)"
    names = ", ".join(map(sql_name, [key, codes.column, *partitions]))
    marks = ", ".join(["?", function, *("?" * len(partitions))])
    return f"INSERT INTO {quoted(codes.table)} ({names}) VALUES ({marks})"
