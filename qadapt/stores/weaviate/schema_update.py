"""Send a schema, and wait until the shards confirm it.

Reads the current state and does what is missing, so it can be repeated after any interruption.

    {"op": "weaviate.put", "vector": "", "set": {"rq": {"enabled": true, "bits": 8, ...}},
     "codes": true}
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from qadapt.errors import PlanStaleError, StoreError, StoreTimeoutError
from qadapt.model import State
from qadapt.stores.base import OnProgress, Progress
from qadapt.stores.operations import Execution, Operation
from qadapt.stores.polling import Streak, Wait, poll
from qadapt.stores.weaviate import dimensions as weaviate_dimensions
from qadapt.stores.weaviate import native_rescore, partitions, schema, vector_index_config
from qadapt.stores.weaviate import snapshot as weaviate_snapshot
from qadapt.stores.weaviate.aliases import claimed
from qadapt.stores.weaviate.connection import Connection
from qadapt.stores.weaviate.errors import CompressingError
from qadapt.stores.weaviate.schema import Field
from qadapt.stores.weaviate.snapshot import Snapshot
from qadapt.stores.weaviate.status import READONLY

if TYPE_CHECKING:
    from qadapt.stores.weaviate.store import WeaviateStore

LONGEST = 1.0  # seconds between two polls
CALM = 4  # polls in a row with the same result, if no stronger evidence is available
# Seconds after which a ready shard without codes will not get any: on 1.39.0, training started
# immediately, and with ASYNC_INDEXING within 2 seconds.
GRACE = 10.0


@dataclass(frozen=True)
class Put(Operation):
    """Sends the schema if it differs or must be sent again, and waits for codes.

    Attributes:
        config: fields of ``vectorIndexConfig`` to set; empty to send the current schema again.
        codes: wait until shards have codes, or until it is certain that they will not.
        was: the rescoreLimit without the setting that raises it, recorded in the note; None if
            the limit is not raised.
    """

    op: ClassVar[str] = "weaviate.put"
    keys: ClassVar[Mapping[str, str]] = {"config": "set"}

    vector: str
    config: Mapping[str, Any]
    codes: bool
    was: int | None = None

    def run(self, at: Execution[WeaviateStore]) -> None:
        put(at, partitions.split(at.collection)[0], self)

    def reverse(self, snapshot: Snapshot) -> Put | None:
        """The current settings; None for a quantizer, which cannot be disabled."""
        if self.codes:
            return None
        changed = vector_index_config.differences(
            snapshot.layout.field(self.vector).config, self.config
        )
        former: dict[str, Any] = {}
        for name, (there, _) in changed.items():
            *path, last = name.split(".")
            place = former
            for part in path:
                place = place.setdefault(part, {})
            place[last] = there
        return Put(self.vector, former, codes=False)


def put(at: Execution[WeaviateStore], name: str, wanted: Put) -> None:
    """Run the operation on a collection.

    Raises:
        StoreError: the server refused, or its index does not follow its schema.
        PlanStaleError: another client enabled another quantizer, which is kept.
        StoreTimeoutError
    """
    sender = _Sender(at, name, wanted)
    poll(
        sender.look,
        sender.done,
        lambda snapshot: Progress(
            "waiting for the shards", snapshot.status(wanted.vector).progress or 0, 1, "share"
        ),
        sender.late,
        Wait(at.progress, at.deadline, longest=LONGEST),
    )


class _Sender:
    """Polls a collection, and sends the schema if it differs or must be sent again."""

    def __init__(self, at: Execution[WeaviateStore], name: str, wanted: Put) -> None:
        self._at, self._name, self._wanted = at, name, wanted
        self._most = weaviate_dimensions.SOME
        self._sent: float | None = None
        self._stopped: float | None = None
        self._calm = Streak(CALM)

    def look(self) -> Snapshot:
        snapshot = self._snapshot()
        if self._to_send(snapshot):
            real, progress = snapshot.layout.real, self._at.progress
            _send(self._at.store.connection, real, self._wanted, progress)
            self._sent, self._calm = time.monotonic(), Streak(CALM)
            snapshot = self._snapshot()
        return snapshot

    def _snapshot(self) -> Snapshot:
        store = self._at.store
        dimensions, most = store.dimensions, self._most
        snapshot = weaviate_snapshot.take_snapshot(
            store.connection, self._name, dimensions=dimensions, most=most
        )
        # Found dimensions are cached; the others are not searched for again.
        self._most = weaviate_dimensions.FEW
        field = snapshot.layout.field(self._wanted.vector)
        _refuse_other_quantizer(self._name, field, self._wanted.config)
        self._stopped = _reported(
            self._stopped, _readonly(snapshot), time.monotonic(), self._at.progress
        )
        return snapshot

    def _differs(self, snapshot: Snapshot) -> bool:
        field = snapshot.layout.field(self._wanted.vector)
        return bool(vector_index_config.differences(field.config, self._wanted.config))

    def _trained(self, snapshot: Snapshot) -> bool:
        """Whether there are codes to wait for."""
        native = snapshot.layout.field(self._wanted.vector).native
        return self._wanted.codes and vector_index_config.quantizer(native) is not None

    def _to_send(self, snapshot: Snapshot) -> bool:
        if _readonly(snapshot):
            return False
        start = self._sent is None and _startable(snapshot.status(self._wanted.vector).state)
        return self._differs(snapshot) or (start and self._trained(snapshot))

    def done(self, snapshot: Snapshot) -> bool:
        differs = self._differs(snapshot)
        if not differs and not self._trained(snapshot):
            return True
        state = snapshot.status(self._wanted.vector).state
        settled = not differs and not _readonly(snapshot)
        if settled and state is State.ACTIVE:
            return True
        late = self._sent is not None and time.monotonic() - self._sent > GRACE
        calm = self._calm(settled and state is State.UNKNOWN)
        # The caller that waits for the whole change reports the state with the rule.
        return calm or (settled and late and state is State.IGNORED)

    def late(self, snapshot: Snapshot) -> StoreTimeoutError:
        status = snapshot.status(self._wanted.vector)
        return StoreTimeoutError(
            f"{self._name!r} did not finish within the time limit: {status.reason or status.state}",
            hint="the server continues; apply again to wait for the rest. A shard that stays "
            "READONLY was set read-only by hand, or its disk is full",
        )


def _readonly(snapshot: Snapshot) -> bool:
    return any(each.state == READONLY for each in snapshot.shards or ())


def _startable(state: State) -> bool:
    return state in (State.IGNORED, State.UNKNOWN)


def _reported(
    stopped: float | None, readonly: bool, now: float, progress: OnProgress
) -> float | None:
    """Track how long writes are refused (searches wait too while PQ trains), and report it."""
    if readonly:
        return now if stopped is None else stopped
    if stopped is not None:
        seconds = now - stopped
        progress(Progress(f"shards were read-only for {seconds:.1f} seconds", seconds, None, "s"))
    return None


def _refuse_other_quantizer(name: str, field: Field, config: Mapping[str, Any]) -> None:
    """Refuse to replace a quantizer, because the codes of the first one would stay.

    A plan enables a quantizer only if there is none, so another client was faster.

    Raises:
        PlanStaleError
    """
    found = vector_index_config.quantizer(field.native)
    wanted = [
        each for each in vector_index_config.QUANTIZERS if vector_index_config.on(config, each)
    ]
    if found is not None and wanted and found[0] not in wanted:
        raise PlanStaleError(
            f"another client changed {name!r} at the same time: it now has {found[0].upper()}, "
            "which was not changed",
            hint="plan again: `qadapt plan`",
        )


def _send(connection: Connection, real: str, wanted: Put, progress: OnProgress) -> None:
    """PUT the current schema with some fields of one vector changed."""
    with claimed(connection, real, progress):
        layout = schema.describe(connection, real)
        field, config = layout.field(wanted.vector), wanted.config
        _refuse_other_quantizer(real, field, config)
        changed = schema.with_config(
            layout.raw, field.target, vector_index_config.merged(field.config, config)
        )
        if wanted.was is not None:
            changed = native_rescore.recorded(changed, field, wanted.was, config)
        try:
            connection.rest("PUT", f"/v1/schema/{quote(real)}", changed, doing=f"change {real!r}")
        except CompressingError:
            # Another vector or tenant builds codes; the schema may have our change already. The
            # next poll shows it, and sends what is missing again.
            return
        except StoreError as error:
            if "updating db" not in error.message:
                raise
            raise _half_done(connection, real, field, config, error) from error


def _half_done(
    connection: Connection, real: str, field: Field, config: Mapping[str, Any], error: StoreError
) -> StoreError:
    now = schema.describe(connection, real).field(field.name)
    left = vector_index_config.differences(now.config, config)
    says = "does not have the change" if left else "contains the change"
    return StoreError(
        f"{error.message}; the schema of {real!r} {says}, but the index has not changed",
        hint="`qadapt inspect` shows the state of the shards; to change the index anyway, copy "
        "and switch an alias: --strategy alias",
    )
