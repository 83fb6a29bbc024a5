"""From what a vector's index is to what was asked for.

    {"op": "weaviate.put", "vector": "", "set": {"rq": {"enabled": true, "bits": 8, ...}},
     "codes": true}

In place a quantizer can be added to an hnsw index that has none, and a few settings can be changed.
All else is a copy (``copying``) or a new vector beside it (``adding``): Weaviate answers 200 when
one kind is put in another's place or switched off, and the codes stay, or are no codes of anything
after a restart (facts section 3).

``run`` reads what is and does what is missing, so that a request that was cut off anywhere, on our
side or the server's, is finished by carrying it out again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from typing import Any

from qadapt.errors import UnsupportedError
from qadapt.model import Estimate, Kind, Quantization, State, Step, Symbol, Vector
from qadapt.stores import checks
from qadapt.stores.base import Mapped, OnProgress
from qadapt.stores.weaviate import adding, aliases, copying, fields, mapping, rescoring
from qadapt.stores.weaviate.connection import Connection
from qadapt.stores.weaviate.copying import COPY, SWITCH
from qadapt.stores.weaviate.engine import SINCE_BQ_SQ_LATER, Engine
from qadapt.stores.weaviate.look import Look
from qadapt.stores.weaviate.putting import put
from qadapt.stores.weaviate.schema import DYNAMIC, FLAT, HFRESH, HNSW, Field

PUT = "weaviate.put"
_KEYS: Mapping[str, set[str]] = {
    PUT: {"op", "vector", "set", "codes"},
    **copying.KEYS,
    **adding.KEYS,
}

# Numbers (rows times dimensions) that PQ trained and coded in a second, on 2 cores: 5,183 rows of
# 384 dimensions took 6 to 8 seconds.
PQ_SPEED = 280_000

_HNSW_LIVE = (
    "ef",
    "dynamicEfMin",
    "dynamicEfMax",
    "dynamicEfFactor",
    "flatSearchCutoff",
    "filterStrategy",
    "vectorCacheMaxObjects",
    "sq.rescoreLimit",
    "rq.rescoreLimit",
    "pq.trainingLimit",
    "sq.trainingLimit",
)
# Settings that a running index takes over (facts section 2).
LIVE: Mapping[str, tuple[str, ...]] = {
    HNSW: _HNSW_LIVE,
    FLAT: ("bq.rescoreLimit", "rq.rescoreLimit", "vectorCacheMaxObjects"),
    HFRESH: ("searchProbe", "rq.rescoreLimit", "maxPostingSizeKB"),
    DYNAMIC: tuple(f"hnsw.{each}" for each in _HNSW_LIVE),
}

NO_WAY_BACK = (
    "there is no way back in place: Weaviate takes a switch-off and keeps the codes; to take it "
    "back is a copy, for which readers go by an alias"
)
BY_COPY = "the way back is a copy and a switched alias, since Weaviate switches no codes off"
IN_PLACE_WHY = "an hnsw index takes a quantizer while it runs; originals stay"


def check_request(request: Mapping[str, Any]) -> None:
    """Refuse a request that is not one of ours.

    Raises:
        SpecError
    """
    checks.request(request, _KEYS, "weaviate")


# -- planning ------------------------------------------------------------------------------------


def steps(
    looked: Look,
    vector: str,
    mapped: Mapped,
    asked: Quantization,
    engine: Engine,
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
    field = looked.layout.field(vector)
    wanted = mapped.native or field.native
    explicit = fields.settings(asked.native)
    if mapping.satisfies(field.native, wanted, field.vector, explicit):
        return _unfinished(looked, vector, wanted, engine, taken)
    _refuse_pq_on_dynamic(wanted)
    why = _why_not_in_place(looked, vector, wanted, explicit, engine)
    if why is not None:
        copying.refuse(looked, engine, why, adding.offer(engine))
        return [copying.step(looked, vector, wanted, _words(mapped), why, taken)]
    if mapping.from_native(field.native, field.vector) == mapped.target:
        if looked.status(vector).state is State.IGNORED:
            return _unfinished(looked, vector, wanted, engine, taken, explicit)
        return [_settings_step(field, explicit)]
    return [_put_step(looked, vector, mapped, wanted["vectorIndexConfig"], engine, taken)]


def alias_steps(
    looked: Look,
    vector: str,
    mapped: Mapped,
    asked: Quantization,
    engine: Engine,
    taken: Collection[str],
) -> list[Step]:
    """The copy, also where a change in place would do; empty when nothing differs.

    Raises:
        UnsupportedError: there is no alias to switch.
    """
    field = looked.layout.field(vector)
    wanted = mapped.native or field.native
    explicit = fields.settings(asked.native)
    if mapping.satisfies(field.native, wanted, field.vector, explicit) and _seen(looked, vector):
        return []
    _refuse_pq_on_dynamic(wanted)
    why = "searches and writes of the collection that is there are not disturbed"
    copying.refuse(looked, engine, "a copy was asked for", adding.offer(engine))
    return [copying.step(looked, vector, wanted, _words(mapped), why, taken)]


def vector_steps(
    looked: Look, vector: str, mapped: Mapped, asked: Quantization, engine: Engine
) -> tuple[str, list[Step]]:
    """A new vector beside the one that is there, and its name; no steps when nothing differs.

    Raises:
        UnsupportedError: an older server, tenants that are not active, too few rows to train on.
    """
    field = looked.layout.field(vector)
    wanted = mapped.native or field.native
    explicit = fields.settings(asked.native)
    if mapping.satisfies(field.native, wanted, field.vector, explicit) and _seen(looked, vector):
        return vector, []
    _refuse_pq_on_dynamic(wanted)
    _refuse_few_rows(looked, *(fields.quantizer(wanted) or ("", {})))
    return adding.steps(looked, vector, wanted, _words(mapped), engine)


def _refuse_pq_on_dynamic(wanted: Mapping[str, Any]) -> None:
    """Refuse what 1.39.0 takes and was seen never to do: PQ on a dynamic index that was filled.

    Raises:
        UnsupportedError
    """
    kind, _ = fields.quantizer(wanted) or ("", {})
    if wanted["vectorIndexType"] == DYNAMIC and kind == "pq":
        raise UnsupportedError(
            "PQ on a dynamic index was seen to stay off when its rows come by a copy",
            hint='ask for `scalar` or `binary`, or another index: native={"vectorIndexType": '
            '"hnsw"}',
        )


def _seen(looked: Look, vector: str) -> bool:
    """Whether what a schema says was seen."""
    return looked.status(vector).state in (State.ACTIVE, State.ABSENT)


def notes(looked: Look, vector: str, mapped: Mapped, asked: Quantization) -> list[str]:
    """The setting of the collection that would serve the rescoring asked for.

    A query has no word for it, and what a query cannot say is never changed by one.
    """
    native, rescore = mapped.native, asked.rescore
    found = fields.quantizer(native) if native else None
    if native is None or found is None or rescore is None:
        return []
    name, rule = found[0], rescoring.of(_then(looked.layout.field(vector), native, asked))
    tunable = native["vectorIndexType"] in (HNSW, DYNAMIC) and name in ("sq", "rq")
    if not rescore.on and not rule.off:
        if not tunable:
            return [f"{name.upper()} on {native['vectorIndexType']} rescores whatever is asked for"]
        return [_offer(name, 0, "a query cannot switch rescoring off; this does")]
    if rescore.on and rule.off:
        why = "the collection does not rescore, so qadapt fetches floats and does; the server would"
        return [_offer(name, rescore.candidates(rescoring.K), why)]
    wanted = rescore.candidates(rescoring.K)
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
    config = fields.merged(field.config, fields.settings(asked.native))
    return {"vectorIndexType": field.index, "vectorIndexConfig": config}


def _offer(name: str, limit: int, why: str) -> str:
    told = json.dumps({name: {"rescoreLimit": limit}})
    return f"{why}, for all who search the collection: native={told}"


def recreate_steps(
    looked: Look, vector: str, wanted: Vector, engine: Engine, taken: Collection[str]
) -> list[Step]:
    """The copy with another metric, which is fixed at creation.

    Raises:
        UnsupportedError: another datatype; a metric that the index does not have; no alias.
    """
    field = looked.layout.field(vector)
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
    copying.refuse(looked, engine, why)
    native = {"vectorIndexType": field.index, "vectorIndexConfig": field.config}
    action = f"the metric {wanted.metric}"
    return [copying.step(looked, vector, native, action, why, taken, wanted)]


def _words(mapped: Mapped) -> str:
    index = (mapped.native or {}).get("vectorIndexType", HNSW)
    return f"{mapped.target} on {index}"


def _why_not_in_place(
    looked: Look,
    vector: str,
    wanted: Mapping[str, Any],
    explicit: Mapping[str, Any],
    engine: Engine,
) -> str | None:
    """Why a change needs a copy; None where it does not."""
    field = looked.layout.field(vector)
    if wanted["vectorIndexType"] != field.index:
        return f"the index type is fixed at creation ({field.index})"
    now = mapping.from_native(field.native, field.vector)
    then = mapping.from_native(wanted, field.vector)
    frozen = sorted(
        name
        for name in fields.differences(field.config, explicit)
        if name not in LIVE[field.index] and name.split(".")[0] not in fields.QUANTIZERS
    )
    if frozen:
        return f"{', '.join(frozen)} is fixed at creation"
    if now == then:
        inner = fields.differences(field.config, explicit)
        fixed = [name for name in inner if name not in LIVE[field.index]]
        return f"{', '.join(fixed)} is fixed once codes are there" if fixed else None
    if field.index != HNSW:
        return f"an index of the type {field.index} takes no other quantizer once it is there"
    if looked.status(vector).state is State.IGNORED and now.kind is Kind.NONE:
        return "a quantizer was switched off in the schema, and its codes are still in use"
    if now.kind is not Kind.NONE:
        return (
            f"Weaviate has no way from {now} to {then} in place: it takes the schema and keeps the "
            "old codes"
        )
    name = next((each for each in ("bq", "sq") if wanted["vectorIndexConfig"].get(each)), None)
    if name is not None and not engine.has(SINCE_BQ_SQ_LATER):
        return f"{name.upper()} on a collection that is there needs Weaviate {SINCE_BQ_SQ_LATER}"
    return None


def _settings_step(field: Field, explicit: Mapping[str, Any]) -> Step:
    changed = fields.differences(field.config, explicit)
    former: dict[str, Any] = {}
    for name, (there, _) in changed.items():
        *path, last = name.split(".")
        place = former
        for part in path:
            place = place.setdefault(part, {})
        place[last] = there
    told = ", ".join(f"{name} {old} -> {new}" for name, (old, new) in changed.items())
    return Step(
        Symbol.IN_PLACE,
        f"set {told}",
        "a running index takes it over; it is a setting of the collection, for all who search it",
        _put_request(field.name, explicit, codes=False),
        _put_request(field.name, former, codes=False),
    )


def _put_request(vector: str, config: Mapping[str, Any], *, codes: bool) -> dict[str, Any]:
    return {"op": PUT, "vector": vector, "set": dict(config), "codes": codes}


def _put_step(
    looked: Look,
    vector: str,
    mapped: Mapped,
    config: Mapping[str, Any],
    engine: Engine,
    taken: Collection[str],
) -> Step:
    name, block = fields.quantizer(mapped.native or {}) or ("", {})
    _refuse_few_rows(looked, name, block)
    reverse, way_back = _reverse(looked, vector, engine, taken)
    return _codes_step(
        looked,
        vector,
        f"switch on {mapped.target} ({name.upper()})",
        f"{IN_PLACE_WHY}; {way_back}",
        config,
        reverse,
    )


def _codes_step(
    looked: Look,
    vector: str,
    action: str,
    reason: str,
    config: Mapping[str, Any],
    reverse: Mapping[str, Any] | None,
) -> Step:
    """A step that sends the schema and waits for codes."""
    field = looked.layout.field(vector)
    native = {
        "vectorIndexType": field.index,
        "vectorIndexConfig": fields.merged(field.config, config),
    }
    if "trainingLimit" not in (config.get("pq") or config.get("sq") or {}):
        config = fields.merged(config, mapping.trainable(native, looked.count))
    name, _ = fields.quantizer(native) or ("", {})
    numbers = looked.count * (field.dim or 0)
    if name == "pq":
        seconds = max(1, round(numbers / PQ_SPEED))
        reason += (
            f"; PQ trains, and until it is done searches wait and writes are refused: about "
            f"{seconds:,} s (on 2 cores), so give searches a long time limit"
        )
    if name == "bq":
        reason += "; a server with ASYNC_INDEXING applies BQ at its next restart alone"
    if looked.cold:
        reason += (
            f"; {len(looked.cold)} of {len(looked.cold) + len(looked.tenants or {})} tenants are "
            "not active and stay as they are"
        )
    codes = looked.count * mapping.code_bytes(native, field.vector)
    return Step(
        Symbol.BLOCKING if name == "pq" else Symbol.BACKGROUND,
        action,
        reason,
        _put_request(vector, config, codes=True),
        reverse,
        Estimate(
            codes_ram=codes,
            codes_disk=codes,
            originals_disk=4 * numbers,
            stops="searches and writes" if name == "pq" else "writes",
        ),
    )


def _refuse_few_rows(looked: Look, name: str, block: Mapping[str, Any]) -> None:
    centroids = int(block.get("centroids") or fields.CENTROIDS)
    if name == "pq" and looked.count < centroids:
        raise UnsupportedError(
            f"PQ is trained on at least {centroids} rows, one for each centroid; "
            f"{looked.layout.name!r} has {looked.count:,}",
            hint="write more rows first; or `scalar`, which needs no training",
        )
    if name == "sq" and not looked.count:
        raise UnsupportedError(
            f"SQ is trained on rows, and {looked.layout.name!r} has none",
            hint="write rows first; or `rotational:bits=8`, which needs no training",
        )


def _reverse(
    looked: Look, vector: str, engine: Engine, taken: Collection[str]
) -> tuple[dict[str, Any] | None, str]:
    layout = looked.layout
    if copying.problem(looked, engine) is not None:
        return None, NO_WAY_BACK
    return copying.request(looked, vector, layout.field(vector).native, taken), BY_COPY


def _unfinished(
    looked: Look,
    vector: str,
    wanted: Mapping[str, Any],
    engine: Engine,
    taken: Collection[str],
    explicit: Mapping[str, Any] | None = None,
) -> list[Step]:
    """What is left to do where the schema says what is asked for, and nothing came of it."""
    status = looked.status(vector)
    field = looked.layout.field(vector)
    if status.state is State.BUILDING:
        action = "wait until the shards are done"
        request = _put_request(vector, {}, codes=True)
        # It does what is configured already: there is no other state to go back to.
        return [Step(Symbol.BACKGROUND, action, status.reason, request, request)]
    if status.state is not State.IGNORED:
        return []
    name, block = fields.quantizer(field.native) or ("", {})
    if field.index == HNSW and name in ("pq", "sq", "rq"):
        _refuse_few_rows(looked, name, block)
        reverse, way_back = _reverse(looked, vector, engine, taken)
        action = f"send the schema again, which starts {name.upper()}"
        reason = f"{status.reason}; {way_back}"
        return [_codes_step(looked, vector, action, reason, explicit or {}, reverse)]
    if field.index == DYNAMIC:
        raise UnsupportedError(f"{field.name or 'the vector'}: {status.reason}", hint=status.advice)
    copying.refuse(looked, engine, status.reason, adding.offer(engine))
    words = f"{mapping.from_native(wanted, field.vector)} on {field.index}"
    return [copying.step(looked, vector, wanted, words, status.reason, taken)]


# -- carrying out --------------------------------------------------------------------------------


def run(
    connection: Connection,
    name: str,
    request: Mapping[str, Any],
    progress: OnProgress,
    timeout: float,
) -> None:
    """Carry out a request: read what is, do what is missing, wait for what shards say.

    Raises:
        StoreError: the server refused, or its schema says what its index does not do.
        StoreTimeoutError: not done after ``timeout`` seconds.
    """
    check_request(request)
    end = time.monotonic() + timeout
    if request["op"] == SWITCH:
        aliases.switch(connection, request["alias"], request["to"])
    elif request["op"] == COPY:
        if copying.copy(connection, request, progress, timeout):
            for vector in request["vectors"]:
                put(connection, request["to"], vector, {}, True, progress, end)
            aliases.switch(connection, request["alias"], request["to"])
    elif request["op"] == adding.ADD:
        adding.add(connection, name, request)
    elif request["op"] == adding.FILL:
        adding.fill(connection, name, request, progress, end)
    else:
        put(connection, name, request["vector"], request["set"], request["codes"], progress, end)
