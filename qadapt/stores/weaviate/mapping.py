"""The common words for quantization, as a vector index of Weaviate and back. No I/O, no client.

The native form is what is set of one vector; a change merges it into what is there::

    {"vectorIndexType": "hnsw",
     "vectorIndexConfig": {"rq": {"enabled": true, "bits": 8, "rescoreLimit": 20}}}

Facts that decide it (../shared/facts/weaviate.md sections 1 and 2): the server takes segments that
do not divide the dimensions, and fails at each insert, so they are refused here; a default of
rescoreLimit depends on whether the key was in the body, so it is always sent; a server may have a
default quantization, so none is said by skipDefaultQuantization.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from qadapt.model import Kind, Match, Metric, Quantization, Rescore, Vector
from qadapt.stores.base import Mapped
from qadapt.stores.weaviate import engine as since
from qadapt.stores.weaviate.engine import NEWEST, Engine
from qadapt.stores.weaviate.schema import DYNAMIC, FLAT, HFRESH, HNSW, INDEXES

QUANTIZERS = ("pq", "bq", "sq", "rq")
SKIP = "skipDefaultQuantization"

# Rows that the k-means of product codes needs: one for each centroid.
CENTROIDS = 256
TRAINING_LIMIT = 100_000
RESCORE_SQ = 20
RESCORE_RQ = {8: 20, 4: 20, 1: 512}
RESCORE_HFRESH = 350
# A flat index scores exactly no more than k where nobody says: .57 recall with BQ; 500 gives .997.
RESCORE_FLAT = {"bq": 500, "rq8": 20, "rq1": 500}
RQ_QUERY_BITS = {8: 8, 4: 8, 1: 5}
# How many results a default search is told for, where the engine's rule depends on them.
K = 10

SCALAR_IS_RQ = (
    "vectors are rotated before they are cut into 8 bits (RQ): no training, and it survives a "
    "crash; `scalar:per=collection` is SQ, one range for the collection"
)
SCALAR_IS_RQ4 = "vectors are rotated before they are cut into 4 bits (RQ)"
NO_QUANTILE = "the range spans all values: no quantile is cut off"
NO_PER = "the range is one for the collection, not one for each dimension"
BINARY_IS_RQ = "vectors are rotated before their signs are taken (RQ), and queries have 5 bits"
NO_PLACE = "where codes are kept is not chosen: codes in RAM, originals on disk"
HFRESH_ALWAYS = "the index hfresh has rotational codes of 1 bit, always"

_ELSEWHERE = "accept='client': qadapt's own codes beside the store"
_HNSW = 'native={"vectorIndexType": "hnsw"}: another index, by a copy'

_Blocks = dict[str, dict[str, Any]]
_Made = tuple[_Blocks, list[str]]


# -- to native -----------------------------------------------------------------------------------


def to_native(
    quantization: Quantization,
    vector: Vector,
    engine: Engine = NEWEST,
    current: Mapping[str, Any] | None = None,
) -> Mapped:
    """A quantization as what is set of a vector index.

    Args:
        quantization: in common words; ``rescore`` is left out, because it goes with a search.
            ``native`` may hold ``vectorIndexType``, and fields of ``vectorIndexConfig``.
        vector: for the dimensions and the metric.
        engine: what it must run on.
        current: the index that is there; its type is kept where ``native`` names no other.
    """
    asked = dict(quantization.native)
    index = str(asked.pop("vectorIndexType", (current or {}).get("vectorIndexType", HNSW)))
    problem = _no_index(index, vector, engine)
    if problem is not None:
        return Mapped(None, quantization, problem)
    made = _MAKERS[quantization.kind](quantization, vector, engine, index)
    if isinstance(made, Match):
        return Mapped(None, quantization, made)
    blocks, differences = made
    if quantization.codes is not None or quantization.originals is not None:
        differences.append(NO_PLACE)
    config = _placed(blocks, index, engine)
    _merge(config, asked)
    problem = _refused(config, index, vector, engine)
    if problem is not None:
        return Mapped(None, quantization, problem)
    native = {"vectorIndexType": index, "vectorIndexConfig": config}
    target = from_native(native, vector)
    if target.kind is not quantization.kind and not differences:
        differences.append(f"these fields make {target} codes")
    return Mapped(native, target, Match.of(*differences))


def _no_index(index: str, vector: Vector, engine: Engine) -> Match | None:
    if index not in INDEXES:
        return Match.unsupported(f"there is no index {index!r}", f"one of {', '.join(INDEXES)}")
    needs = {DYNAMIC: since.SINCE_DYNAMIC, HFRESH: since.SINCE_HFRESH}.get(index)
    if needs is not None and not engine.has(needs):
        return Match.unsupported(
            f"the index {index} needs Weaviate {needs}; this is {engine.words}",
            f"Weaviate {needs}",
            _HNSW,
        )
    if index == HFRESH and vector.metric is Metric.DOT:
        return Match.unsupported("the index hfresh has cosine and euclidean, not dot", _HNSW)
    return None


def _placed(blocks: _Blocks, index: str, engine: Engine) -> dict[str, Any]:
    """Blocks where the index has them; a dynamic one has two halves."""
    if index == HFRESH:
        return dict(blocks)
    skip: dict[str, Any] = {SKIP: True} if engine.has(since.SINCE_SKIP_DEFAULT) else {}
    if index != DYNAMIC:
        return {**blocks, **({} if blocks else skip)}
    flat = {name: _flat_block(name, block) for name, block in blocks.items() if _flat_has(name)}
    flat = {name: block for name, block in flat.items() if block.get("bits") != 4}
    return {
        "hnsw": {**blocks, **({} if blocks else skip)},
        "flat": {**flat, **({} if flat else skip)},
    }


def _flat_has(name: str) -> bool:
    return name in ("bq", "rq")


def _flat_block(name: str, block: Mapping[str, Any]) -> dict[str, Any]:
    key = name if name == "bq" else f"rq{block.get('bits', 8)}"
    return {**block, "rescoreLimit": RESCORE_FLAT.get(key, 20), "cache": True}


def _merge(into: dict[str, Any], extra: Mapping[str, Any]) -> None:
    for key, value in extra.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), Mapping):
            inner = dict(into[key])
            _merge(inner, value)
            into[key] = inner
        else:
            into[key] = json.loads(json.dumps(value))


def _none(_: Quantization, __: Vector, ___: Engine, index: str) -> _Made | Match:
    if index == HFRESH:
        return Match.unsupported(HFRESH_ALWAYS, _HNSW)
    return {}, []


def _float16(_: Quantization, __: Vector, ___: Engine, ____: str) -> _Made | Match:
    return Match.unsupported("Weaviate has no 16-bit floats", "scalar", _ELSEWHERE)


def _scalar(q: Quantization, _: Vector, engine: Engine, index: str) -> _Made | Match:
    differences = [NO_QUANTILE] if q.quantile is not None else []
    if q.per == "dimension":
        differences.append(NO_PER)
    if q.bits == 4:
        return _rq(4, [SCALAR_IS_RQ4, *differences], engine, index)
    if q.bits != 8:
        return Match.unsupported(
            f"scalar codes have 8 or 4 bits here, not {q.bits:g}", "scalar", _ELSEWHERE
        )
    if q.per == "collection" or "sq" in q.native or not engine.has(since.SINCE_RQ8):
        return _sq(differences, engine, index)
    return _rq(8, [SCALAR_IS_RQ, *differences], engine, index)


def _sq(differences: list[str], engine: Engine, index: str) -> _Made | Match:
    if index in (FLAT, HFRESH):
        return Match.unsupported(f"the index {index} has no SQ", "rotational:bits=8", _HNSW)
    problem = _too_old("scalar codes (SQ)", since.SINCE_SQ, engine)
    return problem or ({"sq": {"enabled": True, "rescoreLimit": RESCORE_SQ}}, differences)


def _rotational(q: Quantization, _: Vector, engine: Engine, index: str) -> _Made | Match:
    bits = q.bits or 4
    if bits not in RESCORE_RQ:
        return Match.unsupported(
            f"rotational codes have 1, 4 or 8 bits here, not {bits:g}",
            *(f"rotational:bits={each}" for each in (1, 4, 8)),
        )
    own = RQ_QUERY_BITS[int(bits)]
    differences = []
    if q.query_bits is not None and q.query_bits != own:
        differences.append(f"queries have {own} bits, not {q.query_bits}")
    return _rq(int(bits), differences, engine, index)


def _rq(bits: int, differences: list[str], engine: Engine, index: str) -> _Made | Match:
    if index == HFRESH and bits != 1:
        return Match.unsupported(f"{HFRESH_ALWAYS}, not {bits}", "rotational:bits=1", _HNSW)
    if index == FLAT and bits == 4:
        return Match.unsupported(
            "the index flat has rotational codes of 1 or 8 bits, not 4", "rotational:bits=8", _HNSW
        )
    needs = {8: since.SINCE_RQ8, 4: since.SINCE_RQ4, 1: since.SINCE_RQ1}[bits]
    if index == FLAT:
        needs = since.SINCE_RQ_FLAT
    problem = _too_old(f"rotational codes of {bits} bits (RQ) on {index}", needs, engine)
    if problem is not None:
        return problem
    limit = RESCORE_HFRESH if index == HFRESH else RESCORE_RQ[bits]
    block: dict[str, Any] = {"enabled": True, "bits": bits, "rescoreLimit": limit}
    return {"rq": _flat_block("rq", block) if index == FLAT else block}, differences


def _binary(q: Quantization, vector: Vector, engine: Engine, index: str) -> _Made | Match:
    if q.bits != 1:
        return Match.unsupported(
            f"binary codes have 1 bit here, not {q.bits:g}", "binary", "rotational:bits=4"
        )
    if index == HFRESH or q.query_bits not in (None, 1):
        return _rq(1, [BINARY_IS_RQ], engine, index)
    needs = since.SINCE_BQ_FLAT if index == FLAT else since.SINCE_BQ_HNSW
    problem = _too_old(f"binary codes (BQ) on {index}", needs, engine)
    if problem is not None:
        return problem
    block: dict[str, Any] = {"enabled": True}
    return {"bq": _flat_block("bq", block) if index == FLAT else block}, []


def _product(q: Quantization, vector: Vector, engine: Engine, index: str) -> _Made | Match:
    if index in (FLAT, HFRESH):
        return Match.unsupported(f"the index {index} has no product codes", "binary", _HNSW)
    problem = _too_old("product codes (PQ)", since.SINCE_PQ, engine)
    if problem is not None:
        return problem
    given = q.segments
    segments = float(given) if given else 4 * vector.dim / float(q.ratio or 16)
    if segments != int(segments) or segments < 1 or vector.dim % int(segments):
        return _bad_segments(segments, vector)
    centroids = q.centroids or CENTROIDS
    if centroids > CENTROIDS:
        return Match.unsupported(
            f"product codes have at most {CENTROIDS} centroids here, not {centroids}",
            "leave centroids out",
        )
    return {"pq": {"enabled": True, "segments": int(segments), "centroids": centroids}}, []


def _bad_segments(segments: float, vector: Vector) -> Match:
    fitting = [m for m in range(1, vector.dim + 1) if vector.dim % m == 0]
    nearest = min(fitting, key=lambda m: abs(m - segments))
    return Match.unsupported(
        f"the {vector.dim} dimensions cannot be cut into {segments:g} equal segments",
        f"product:segments={nearest}",
    )


def _too_old(what: str, needs: str, engine: Engine) -> Match | None:
    if engine.has(needs):
        return None
    return Match.unsupported(
        f"{what} need Weaviate {needs}; this is {engine.words}", f"Weaviate {needs}", _ELSEWHERE
    )


_MAKERS: Mapping[Kind, Callable[[Quantization, Vector, Engine, str], _Made | Match]] = {
    Kind.NONE: _none,
    Kind.FLOAT16: _float16,
    Kind.SCALAR: _scalar,
    Kind.ROTATIONAL: _rotational,
    Kind.BINARY: _binary,
    Kind.PRODUCT: _product,
}


# -- what the server takes, and fails at later ---------------------------------------------------


def _refused(config: Mapping[str, Any], index: str, vector: Vector, engine: Engine) -> Match | None:
    """What native fields made of it, that would be taken and fail at an insert or a search."""
    for place in _halves(config, index):
        on = [name for name in QUANTIZERS if _on(place, name)]
        if len(on) > 1:
            return Match.unsupported(f"one quantizer at a time, not {' and '.join(on)}")
        pq, rq = place.get("pq") or {}, place.get("rq") or {}
        segments = int(pq.get("segments") or 0)
        if "pq" in on and segments and vector.dim % segments:
            return _bad_segments(segments, vector)
        if "rq" in on and rq.get("bits", 8) not in RESCORE_RQ:
            return Match.unsupported(f"RQ has 1, 4 or 8 bits, not {rq['bits']}")
    if index == HFRESH and int((config.get("rq") or {}).get("rescoreLimit", 1)) < 1:
        return Match.unsupported(
            "hfresh with a rescoreLimit of 0 fails at every search", "a rescoreLimit of k or more"
        )
    return None


def _halves(config: Mapping[str, Any], index: str) -> list[Mapping[str, Any]]:
    if index != DYNAMIC:
        return [config]
    return [config.get(half) or {} for half in (HNSW, FLAT)]


def _on(config: Mapping[str, Any], name: str) -> bool:
    return bool((config.get(name) or {}).get("enabled"))


# -- from native ---------------------------------------------------------------------------------


def quantizer(native: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """The quantizer that is switched on, and its block; None for none.

    Of a dynamic index the hnsw half goes first: it is what the index becomes.
    """
    index = native["vectorIndexType"]
    config = native["vectorIndexConfig"]
    if index == HFRESH:
        own = {"enabled": True, "bits": 1, "rescoreLimit": RESCORE_HFRESH}
        return "rq", {**own, **(config.get("rq") or {})}
    for place in _halves(config, index):
        for name in QUANTIZERS:
            if _on(place, name):
                return name, place[name]
    return None


def from_native(native: Mapping[str, Any], vector: Vector) -> Quantization:
    """The common words for an index, as it was read back."""
    found = quantizer(native)
    if found is None:
        return Quantization(Kind.NONE)
    name, block = found
    if name == "bq":
        return Quantization(Kind.BINARY)
    if name == "sq":
        return Quantization(Kind.SCALAR, bits=8, per="collection")
    if name == "rq":
        return Quantization(Kind.ROTATIONAL, bits=int(block.get("bits", 8)))
    centroids = int(block.get("centroids") or CENTROIDS)
    other = None if centroids == CENTROIDS else centroids
    segments = int(block.get("segments") or 0) or auto_segments(vector.dim)
    ratio = 4 * vector.dim / segments
    if not 2 <= ratio <= 256:
        return Quantization(Kind.PRODUCT, segments=segments, centroids=other)
    return Quantization(Kind.PRODUCT, ratio=ratio, centroids=other)


def auto_segments(dim: int) -> int:
    """How many segments product codes get where nobody says (0); facts section 1.2."""
    for least, parts in ((2048, 8), (768, 6), (256, 4), (2, 2)):
        if dim >= least and dim % parts == 0:
            return dim // parts
    return dim


def satisfies(
    now: Mapping[str, Any],
    wanted: Mapping[str, Any],
    vector: Vector,
    explicit: Mapping[str, Any],
) -> bool:
    """Whether an index that is there is all that is asked for.

    Args:
        explicit: the native fields that were asked for by name. Others, such as a rescoreLimit,
            may be what they are.
    """
    return (
        now["vectorIndexType"] == wanted["vectorIndexType"]
        and from_native(now, vector) == from_native(wanted, vector)
        and not differences(now["vectorIndexConfig"], settings(explicit))
    )


def settings(explicit: Mapping[str, Any]) -> dict[str, Any]:
    """Native fields without the index type, which is none of ``vectorIndexConfig``."""
    return {key: value for key, value in explicit.items() if key != "vectorIndexType"}


def differences(
    now: Mapping[str, Any], wanted: Mapping[str, Any], where: str = ""
) -> dict[str, tuple[Any, Any]]:
    """Fields that are not as they are wanted: ``{"rq.rescoreLimit": (20, 50)}``."""
    found: dict[str, tuple[Any, Any]] = {}
    for key, value in wanted.items():
        there = now.get(key)
        if isinstance(value, Mapping):
            inner = there if isinstance(there, Mapping) else {}
            found.update(differences(inner, value, f"{where}{key}."))
        elif there != value:
            found[f"{where}{key}"] = (there, value)
    return found


def merged(now: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with some fields changed, at any depth."""
    changed = dict(now)
    _merge(changed, extra)
    return changed


def trainable(native: Mapping[str, Any], count: int) -> dict[str, Any]:
    """What lets PQ and SQ train on the rows that are there; empty for all else.

    Under ASYNC_INDEXING they train once more than ``trainingLimit`` rows are indexed, 100,000 by
    default, so a smaller collection never would. Without it, it bounds PQ's sample alone.
    """
    found = quantizer(native)
    if found is None or found[0] not in ("pq", "sq") or native["vectorIndexType"] != HNSW:
        return {}
    name, block = found
    least = int(block.get("centroids") or CENTROIDS) if name == "pq" else 1
    limit = max(least, count - 1)
    return {name: {"trainingLimit": limit}} if limit < _limit(block) else {}


def _limit(block: Mapping[str, Any]) -> int:
    return int(block.get("trainingLimit") or TRAINING_LIMIT)


# -- rescoring and sizes -------------------------------------------------------------------------


@dataclass(frozen=True)
class Rescoring:
    """How an index scores candidates again (facts section 2).

    Attributes:
        limit: its rescoreLimit; None where there is none (hnsw with BQ or PQ).
        off: whether it does not at all.
        most: the most results it gives; None for no such limit (hfresh up to 1.39 has one).
    """

    limit: int | None
    off: bool
    most: int | None = None

    def candidates(self, index: str, k: int, ef: int) -> int:
        """How many rows are scored exactly in a search for ``k``; 0 for none."""
        if self.off:
            return 0
        if index == FLAT:
            return max(k, self.limit or 0)
        if index == HFRESH:
            return self.limit or RESCORE_HFRESH
        seen = max(ef, k) if ef > 0 else max(k, min(max(8 * k, 100), 500))
        return min(seen, self.limit) if self.limit is not None and self.limit >= k else seen


def rescoring(native: Mapping[str, Any]) -> Rescoring:
    """How an index scores again; without a quantizer it compares floats and has nothing to."""
    found = quantizer(native)
    index = native["vectorIndexType"]
    if found is None:
        return Rescoring(None, off=True)
    name, block = found
    limit = block.get("rescoreLimit")
    if index == HFRESH:
        return Rescoring(int(limit or RESCORE_HFRESH), off=False, most=int(limit or 0) or None)
    if name in ("sq", "rq") and index != FLAT:
        value = int(RESCORE_SQ if limit is None else limit)
        return Rescoring(value, off=value == 0)
    return Rescoring(int(limit or 0) if index == FLAT else None, off=False)


def default_rescore(native: Mapping[str, Any]) -> Rescore | None:
    """What a search that says nothing gets, told for 10 results: the rule depends on k."""
    if quantizer(native) is None:
        return None
    index = native["vectorIndexType"]
    rule = rescoring(native)
    if rule.off:
        return Rescore(source="off")
    halves = _halves(native["vectorIndexConfig"], index)
    ef = int(halves[0].get("ef", -1))
    return Rescore(max(1.0, rule.candidates(index, K, ef) / K))


def code_bytes(native: Mapping[str, Any], vector: Vector) -> int:
    """Bytes of one code, by the engine's own layouts (facts section 1.3), without the graph."""
    found = quantizer(native)
    if found is None:
        return 0
    name, block = found
    dim = vector.dim
    padded = 64 * math.ceil(dim / 64)
    if name == "sq":
        return dim + 8
    if name == "bq":
        return padded // 8
    if name == "pq":
        return int(block.get("segments") or 0) or auto_segments(dim)
    bits = int(block.get("bits", 8))
    return {8: padded + 16, 4: padded // 2 + 16, 1: max(padded, 256) // 8 + 8}[bits]
