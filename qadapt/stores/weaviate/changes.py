"""From what a vector's index is to what was asked for.

In place (``in_place``) a quantizer can be added to an hnsw index that has none, and a few settings
can be changed. All else is a copy (``copying``) or a new vector beside it (``adding``): Weaviate
answers 200 when one kind is put in another's place or switched off, and the codes stay, or are no
codes of anything after a restart (docs/engines/weaviate.md#changing-a-quantizer).

An operation reads what is and does what is missing, so that one that was cut off anywhere, on our
side or the server's, is finished by carrying it out again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from qadapt.errors import UnsupportedError
from qadapt.model import Kind, Quantization, State, Step, Symbol, Vector
from qadapt.stores.base import MappedQuantization
from qadapt.stores.change import ChangePlan, ChangeRequest
from qadapt.stores.operations import table
from qadapt.stores.weaviate import (
    add_vector,
    copy_switch,
    in_place,
    index_config,
    mapping,
    native_rescore,
)
from qadapt.stores.weaviate.add_vector import Add, Fill
from qadapt.stores.weaviate.copy_switch import Copy, Switch
from qadapt.stores.weaviate.schema import DYNAMIC, HFRESH, HNSW, Field
from qadapt.stores.weaviate.schema_update import Put
from qadapt.stores.weaviate.snapshot import Snapshot
from qadapt.stores.weaviate.version import ServerVersion

OPERATIONS = table(Put, Copy, Switch, Add, Fill)


# -- planning ------------------------------------------------------------------------------------


def plan_change(
    snapshot: Snapshot,
    request: ChangeRequest,
    mapped: MappedQuantization | None,
    server_version: ServerVersion,
    taken: Collection[str],
) -> ChangePlan:
    """How a vector becomes what was asked for.

    Args:
        mapped: the quantization; None where it stays.
        taken: all names of collections and aliases.

    Raises:
        UnsupportedError: a copy is needed, and there is no alias to switch to it.
    """
    vector, asked = request.vector, request.codes
    recreation: tuple[Step, ...] = ()
    if request.target_vector is not None:
        recreation = tuple(
            recreate_steps(snapshot, vector, request.target_vector, server_version, taken)
        )
    if asked is None or mapped is None:
        return ChangePlan(recreation=recreation)
    reported = tuple(notes(snapshot, vector, mapped, request))
    if request.strategy == "vector":
        name, made = vector_steps(snapshot, vector, mapped, asked, server_version)
        return ChangePlan(tuple(made), recreation, reported, name if made else None)
    way = alias_steps if request.strategy == "alias" else steps
    made = way(snapshot, vector, mapped, asked, server_version, taken)
    return ChangePlan(tuple(made), recreation, reported)


def steps(
    snapshot: Snapshot,
    vector: str,
    mapped: MappedQuantization,
    asked: Quantization,
    server_version: ServerVersion,
    taken: Collection[str],
) -> list[Step]:
    """Steps to an index that was mapped; empty when it is there and seen to be active.

    Args:
        mapped: not unsupported.
        asked: whose ``native`` names what must be just so.
        taken: all names of collections and aliases.

    Raises:
        UnsupportedError: a copy is needed, and there is no alias to switch to it.
    """
    field = snapshot.layout.field(vector)
    wanted = mapped.native or field.native
    explicit = index_config.settings(asked.native)
    if mapping.satisfies(field.native, wanted, field.vector, explicit):
        return _unfinished(snapshot, vector, wanted, server_version, taken)
    _refuse_pq_on_dynamic(wanted)
    why = _why_not_in_place(snapshot, vector, wanted, explicit)
    if why is not None:
        copy_switch.refuse(snapshot, server_version, why, add_vector.strategy_hint(server_version))
        return [copy_switch.step(snapshot, vector, wanted, _words(mapped), why, taken)]
    if mapping.from_native(field.native, field.vector) == mapped.target:
        if snapshot.status(vector).state is State.IGNORED:
            return _unfinished(snapshot, vector, wanted, server_version, taken, explicit)
        return [in_place.settings_step(snapshot, vector, explicit)]
    return [
        in_place.put_step(
            snapshot, vector, mapped, wanted["vectorIndexConfig"], server_version, taken
        )
    ]


def alias_steps(
    snapshot: Snapshot,
    vector: str,
    mapped: MappedQuantization,
    asked: Quantization,
    server_version: ServerVersion,
    taken: Collection[str],
) -> list[Step]:
    """The copy, also where a change in place would do; empty when nothing differs.

    Raises:
        UnsupportedError: there is no alias to switch.
    """
    field = snapshot.layout.field(vector)
    wanted = mapped.native or field.native
    explicit = index_config.settings(asked.native)
    if mapping.satisfies(field.native, wanted, field.vector, explicit) and _observation(
        snapshot, vector
    ):
        return []
    _refuse_pq_on_dynamic(wanted)
    why = "searches and writes of the collection that is there are not disturbed"
    copy_switch.refuse(
        snapshot, server_version, "a copy was asked for", add_vector.strategy_hint(server_version)
    )
    return [copy_switch.step(snapshot, vector, wanted, _words(mapped), why, taken)]


def vector_steps(
    snapshot: Snapshot,
    vector: str,
    mapped: MappedQuantization,
    asked: Quantization,
    server_version: ServerVersion,
) -> tuple[str, list[Step]]:
    """A new vector beside the one that is there, and its name; no steps when nothing differs.

    Raises:
        UnsupportedError: an older server, tenants that are not active, too few rows to train on.
    """
    field = snapshot.layout.field(vector)
    wanted = mapped.native or field.native
    explicit = index_config.settings(asked.native)
    if mapping.satisfies(field.native, wanted, field.vector, explicit) and _observation(
        snapshot, vector
    ):
        return vector, []
    _refuse_pq_on_dynamic(wanted)
    in_place.refuse_few_rows(snapshot, *(index_config.quantizer(wanted) or ("", {})))
    return add_vector.steps(snapshot, vector, wanted, _words(mapped), server_version)


def _refuse_pq_on_dynamic(wanted: Mapping[str, Any]) -> None:
    """Refuse what 1.39.0 takes and was seen never to do: PQ on a dynamic index that was filled.

    Raises:
        UnsupportedError
    """
    kind, _ = index_config.quantizer(wanted) or ("", {})
    if wanted["vectorIndexType"] == DYNAMIC and kind == "pq":
        raise UnsupportedError(
            "PQ on a dynamic index was seen to stay off when its rows come by a copy",
            hint='ask for `scalar` or `binary`, or another index: native={"vectorIndexType": '
            '"hnsw"}',
        )


def _observation(snapshot: Snapshot, vector: str) -> bool:
    """Whether what a schema says was seen."""
    return snapshot.status(vector).state in (State.ACTIVE, State.ABSENT)


def notes(
    snapshot: Snapshot, vector: str, mapped: MappedQuantization, request: ChangeRequest
) -> list[str]:
    """The setting of the collection that would serve the rescoring asked for.

    A query has no word for it, and what a query cannot say is never changed by one.
    """
    native, rescore, asked = mapped.native, request.rescore, request.codes
    found = index_config.quantizer(native) if native else None
    if native is None or found is None or rescore is None or asked is None:
        return []
    name, rule = found[0], native_rescore.of(_then(snapshot.layout.field(vector), native, asked))
    tunable = native["vectorIndexType"] in (HNSW, DYNAMIC) and name in ("sq", "rq")
    if not rescore.on and not rule.off:
        if not tunable:
            return [f"{name.upper()} on {native['vectorIndexType']} rescores whatever is asked for"]
        return [_offer(name, 0, "a query cannot switch rescoring off; this does")]
    if rescore.on and rule.off:
        why = "the collection does not rescore, so qadapt fetches floats and does; the server would"
        return [_offer(name, rescore.candidates(native_rescore.K), why)]
    wanted = rescore.candidates(native_rescore.K)
    if rescore.on and rule.most is not None and wanted > rule.most:
        why = f"hfresh scores and gives at most {rule.most} results; for {wanted} it needs"
        return [_offer(name, wanted, why)]
    return []


def _then(field: Field, native: Mapping[str, Any], asked: Quantization) -> Mapping[str, Any]:
    """The index after a change: what is there stays as it is where the kind does."""
    same = mapping.from_native(field.native, field.vector) == mapping.from_native(
        native, field.vector
    )
    if native["vectorIndexType"] != field.index or not same:
        return native
    config = index_config.merged(field.config, index_config.settings(asked.native))
    return {"vectorIndexType": field.index, "vectorIndexConfig": config}


def _offer(name: str, limit: int, why: str) -> str:
    reported = json.dumps({name: {"rescoreLimit": limit}})
    return f"{why}, for all who search the collection: native={reported}"


def recreate_steps(
    snapshot: Snapshot,
    vector: str,
    wanted: Vector,
    server_version: ServerVersion,
    taken: Collection[str],
) -> list[Step]:
    """The copy with another metric, which is fixed at creation.

    Raises:
        UnsupportedError: another datatype; a metric that the index does not have; no alias.
    """
    field = snapshot.layout.field(vector)
    if wanted.datatype != "float32":
        raise UnsupportedError(
            f"Weaviate stores float32 alone, not {wanted.datatype}",
            hint="ask for a quantization: `scalar`",
        )
    if field.index == HFRESH and wanted.metric.value == "dot":
        raise UnsupportedError(
            "the index hfresh has cosine and euclidean, not dot",
            hint='plan another index first: native={"vectorIndexType": "hnsw"}',
        )
    why = "a metric is fixed at creation"
    copy_switch.refuse(snapshot, server_version, why)
    native = {"vectorIndexType": field.index, "vectorIndexConfig": field.config}
    action = f"the metric {wanted.metric}"
    return [copy_switch.step(snapshot, vector, native, action, why, taken, wanted)]


def _words(mapped: MappedQuantization) -> str:
    index = (mapped.native or {}).get("vectorIndexType", HNSW)
    return f"{mapped.target} on {index}"


def _why_not_in_place(
    snapshot: Snapshot,
    vector: str,
    wanted: Mapping[str, Any],
    explicit: Mapping[str, Any],
) -> str | None:
    """Why a change needs a copy; None where it does not."""
    field = snapshot.layout.field(vector)
    if wanted["vectorIndexType"] != field.index:
        return f"the index type is fixed at creation ({field.index})"
    now = mapping.from_native(field.native, field.vector)
    then = mapping.from_native(wanted, field.vector)
    frozen = sorted(
        name
        for name in index_config.differences(field.config, explicit)
        if name not in in_place.LIVE[field.index]
        and name.split(".")[0] not in index_config.QUANTIZERS
    )
    if frozen:
        return f"{', '.join(frozen)} is fixed at creation"
    if now == then:
        inner = index_config.differences(field.config, explicit)
        fixed = [name for name in inner if name not in in_place.LIVE[field.index]]
        return f"{', '.join(fixed)} is fixed once codes are there" if fixed else None
    if field.index != HNSW:
        return f"an index of the type {field.index} takes no other quantizer once it is there"
    if snapshot.status(vector).state is State.IGNORED and now.kind is Kind.NONE:
        return "a quantizer was switched off in the schema, and its codes are still in use"
    if now.kind is not Kind.NONE:
        return (
            f"Weaviate has no way from {now} to {then} in place: it takes the schema and keeps the "
            "old codes"
        )
    return None


def _unfinished(
    snapshot: Snapshot,
    vector: str,
    wanted: Mapping[str, Any],
    server_version: ServerVersion,
    taken: Collection[str],
    explicit: Mapping[str, Any] | None = None,
) -> list[Step]:
    """What is left to do where the schema says what is asked for, and nothing came of it."""
    status = snapshot.status(vector)
    field = snapshot.layout.field(vector)
    if status.state is State.BUILDING:
        action = "wait until the shards are done"
        request = Put(vector, {}, codes=True).to_request()
        # It does what is configured already: there is no other state to go back to.
        return [Step(Symbol.BACKGROUND, action, status.reason, request, request)]
    if status.state is not State.IGNORED:
        return []
    name, block = index_config.quantizer(field.native) or ("", {})
    if field.index == HNSW and name in ("pq", "sq", "rq"):
        in_place.refuse_few_rows(snapshot, name, block)
        reverse, way_back = in_place.undone_by(snapshot, vector, server_version, taken)
        action = f"send the schema again, which starts {name.upper()}"
        reason = f"{status.reason}; {way_back}"
        return [in_place.codes_step(snapshot, vector, action, reason, explicit or {}, reverse)]
    if field.index == DYNAMIC:
        raise UnsupportedError(f"{field.name or 'the vector'}: {status.reason}", hint=status.advice)
    copy_switch.refuse(
        snapshot, server_version, status.reason, add_vector.strategy_hint(server_version)
    )
    words = f"{mapping.from_native(wanted, field.vector)} on {field.index}"
    return [copy_switch.step(snapshot, vector, wanted, words, status.reason, taken)]
