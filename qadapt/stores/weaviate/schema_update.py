"""Sending a schema, and waiting for what the shards say.

Reads what is and does what is missing, so it may be done again after it was cut off anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from qadapt.errors import PlanStaleError, StoreError, StoreTimeoutError
from qadapt.model import State
from qadapt.stores.base import OnProgress, Progress
from qadapt.stores.weaviate import dimensions as weaviate_dimensions
from qadapt.stores.weaviate import index_config, schema
from qadapt.stores.weaviate import snapshot as weaviate_snapshot
from qadapt.stores.weaviate.connection import Connection
from qadapt.stores.weaviate.dimensions import Dimensions
from qadapt.stores.weaviate.errors import CompressingError
from qadapt.stores.weaviate.schema import Field
from qadapt.stores.weaviate.schema_claim import claimed
from qadapt.stores.weaviate.status import READONLY

PAUSE = 0.25  # seconds between two looks
CALM = 4  # looks in a row that must say the same where nothing more can be seen
# Seconds after which a shard that is ready and has no codes will not get any: on 1.39.0 training
# began at once, and with ASYNC_INDEXING within 2 seconds.
GRACE = 10.0


def put(
    connection: Connection,
    name: str,
    vector: str,
    config: Mapping[str, Any],
    codes: bool,
    progress: OnProgress,
    end: float,
    dimensions: Dimensions,
) -> None:
    """Send the schema where it differs, or where it must be sent again; wait for the codes.

    Args:
        config: fields of ``vectorIndexConfig`` as they are to be; empty to send what is there.
        codes: wait until shards hold codes, or until it is plain that they will not.
        end: on the clock of ``time.monotonic``.
        dimensions: what is remembered of earlier looks.

    Raises:
        StoreError: the server refused, or its schema says what its index does not do.
        PlanStaleError: another client switched on another quantizer; it stays.
        StoreTimeoutError
    """
    sent: float | None = None
    stopped: float | None = None
    calm = 0
    most = weaviate_dimensions.SOME
    while True:
        snapshot = weaviate_snapshot.take_snapshot(
            connection, name, dimensions=dimensions, most=most
        )
        most = (
            weaviate_dimensions.FEW
        )  # what was found is remembered; the rest is not looked for again
        field = snapshot.layout.field(vector)
        status = snapshot.status(vector)
        now = time.monotonic()
        readonly = any(each.state == READONLY for each in snapshot.shards or ())
        stopped = _reported(stopped, readonly, now, progress)
        differs = index_config.differences(field.config, config)
        _refuse_other_quantizer(name, field, config)
        wanted = codes and index_config.quantizer(field.native) is not None
        if not readonly and (differs or (sent is None and wanted and _startable(status.state))):
            _send(connection, snapshot.layout.real, field.name, config, progress)
            sent, calm = time.monotonic(), 0
            continue
        if not differs and not wanted:
            return
        settled = not differs and not readonly
        if settled and status.state is State.ACTIVE:
            return
        calm = calm + 1 if settled and status.state is State.UNKNOWN else 0
        late = sent is not None and now - sent > GRACE
        if calm >= CALM or (settled and late and status.state is State.IGNORED):
            # What it is, the one who waits for the whole change is told with the rule.
            return
        if now >= end:
            raise StoreTimeoutError(
                f"{name!r} is not done in time: {status.reason or status.state}",
                hint="the server goes on by itself; apply again waits for the rest. A shard that "
                "stays READONLY was set so by hand, or its disk is full",
            )
        progress(Progress("waiting for the shards", status.progress or 0, 1, "share"))
        time.sleep(PAUSE)


def _startable(state: State) -> bool:
    return state in (State.IGNORED, State.UNKNOWN)


def _reported(
    stopped: float | None, readonly: bool, now: float, progress: OnProgress
) -> float | None:
    """Since when writes are refused (and, while PQ trains, searches wait); tell its end."""
    if readonly:
        return now if stopped is None else stopped
    if stopped is not None:
        seconds = now - stopped
        progress(Progress(f"shards were read-only for {seconds:.1f} seconds", seconds, None, "s"))
    return None


def _refuse_other_quantizer(name: str, field: Field, config: Mapping[str, Any]) -> None:
    """Refuse to put a quantizer in the place of another one: the codes of the first would stay.

    A plan switches on a quantizer only where there is none, so another client was faster.

    Raises:
        PlanStaleError
    """
    found = index_config.quantizer(field.native)
    wanted = [each for each in index_config.QUANTIZERS if index_config.on(config, each)]
    if found is not None and wanted and found[0] not in wanted:
        raise PlanStaleError(
            f"another client changed {name!r} at the same time: it has {found[0].upper()} now, "
            "which was left as it is",
            hint="make the plan again: `qadapt plan`",
        )


def _send(
    connection: Connection, real: str, vector: str, config: Mapping[str, Any], progress: OnProgress
) -> None:
    """PUT the schema with some fields of one vector changed, all else as it is just then."""
    with claimed(connection, real, progress):
        layout = schema.describe(connection, real)
        field = layout.field(vector)
        _refuse_other_quantizer(real, field, config)
        changed = schema.with_config(
            layout.raw, field.target, index_config.merged(field.config, config)
        )
        try:
            connection.rest("PUT", f"/v1/schema/{quote(real)}", changed, doing=f"change {real!r}")
        except CompressingError:
            # Another vector or tenant builds codes; the schema may say ours already. The next
            # look tells, and sends again what is missing.
            return
        except StoreError as error:
            if "updating db" not in error.message:
                raise
            raise _half_done(connection, real, field, config, error) from error


def _half_done(
    connection: Connection, real: str, field: Field, config: Mapping[str, Any], error: StoreError
) -> StoreError:
    now = schema.describe(connection, real).field(field.name)
    left = index_config.differences(now.config, config)
    says = "does not have the change" if left else "says the change all the same"
    return StoreError(
        f"{error.message}; the schema of {real!r} {says}, and the index has not changed",
        hint="`qadapt inspect` shows what its shards say; a copy and a switched alias is the "
        "way out: --strategy alias",
    )
