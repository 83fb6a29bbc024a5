"""Mapping of quantizations to vector indexes of Weaviate and back. No I/O, no client.

The native form contains the fields to set for one vector; a change merges them into its index::

    {"vectorIndexType": "hnsw",
     "vectorIndexConfig": {"rq": {"enabled": true, "bits": 8, "rescoreLimit": 20}}}

Reasons (docs/engines/weaviate.md#fields-and-defaults): the server accepts segments that do not
divide the dimensions, but then each insert fails, so they are refused here. The default of
rescoreLimit depends on whether the request contains the key, so it is always sent. A server may
have a default quantization, so skipDefaultQuantization is sent for none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from qadapt.model import Kind, Match, Quantization, Vector
from qadapt.stores import codes_only, product_segments, rescore_tiers
from qadapt.stores.base import MappedQuantization
from qadapt.stores.leading_dims import by_leading_dims
from qadapt.stores.weaviate import vector_index_config, version
from qadapt.stores.weaviate import version as since
from qadapt.stores.weaviate.schema import DYNAMIC, FLAT, HFRESH, HNSW
from qadapt.stores.weaviate.version import NEWEST, ServerVersion

TRAINING_LIMIT = 100_000
# A flat index rescores only k rows by default: recall .57 with BQ; 500 gives .997.
RESCORE_FLAT = {"bq": 500, "rq8": 20, "rq1": 500}
RQ_QUERY_BITS = {8: 8, 4: 8, 1: 5}

SCALAR_IS_RQ = (
    "vectors are rotated before they are quantized to 8 bits (RQ), which needs no training and "
    "survives a crash; `scalar:per=collection` is SQ, with one range for the collection"
)
SCALAR_IS_RQ4 = "vectors are rotated before they are quantized to 4 bits (RQ)"
NO_QUANTILE = "the range covers all values: no quantile is applied"
NO_PER = "one range for the collection, not one per dimension"
BINARY_IS_RQ = (
    "vectors are rotated before they are reduced to sign bits (RQ), and queries have 5 bits"
)
NO_PLACE = "the location cannot be configured: codes in RAM, original vectors on disk"


_Blocks = dict[str, dict[str, Any]]
_Made = tuple[_Blocks, list[str]]


# -- to native -----------------------------------------------------------------------------------


@by_leading_dims
def to_native(
    quantization: Quantization,
    vector: Vector,
    server_version: ServerVersion = NEWEST,
    current: Mapping[str, Any] | None = None,
) -> MappedQuantization:
    """Map a quantization to fields of a vector index.

    Args:
        quantization: in the common form; ``rescore`` is ignored, because it belongs to a search.
            ``native`` may contain ``vectorIndexType`` and fields of ``vectorIndexConfig``.
        vector: gives the dimensions and the metric.
        server_version: the version that must support it.
        current: the existing index; its type is kept unless ``native`` sets another.
    """
    asked = dict(quantization.native)
    index = str(asked.pop("vectorIndexType", (current or {}).get("vectorIndexType", HNSW)))
    problem = version.unsupported_index(index, vector, server_version)
    if problem is not None:
        return MappedQuantization(None, quantization, problem)
    refused = rescore_tiers.refuse(quantization, "Weaviate") or codes_only.refuse(
        quantization,
        "Weaviate",
        f"{quantization.replace(originals=None)}: codes in RAM, original vectors on disk",
        "fewer dimensions: dims=N",
    )
    if refused is not None:
        return refused
    made = _MAKERS[quantization.kind](quantization, vector, server_version, index)
    if isinstance(made, Match):
        return MappedQuantization(None, quantization, made)
    blocks, differences = made
    if quantization.codes is not None or quantization.originals is not None:
        differences.append(NO_PLACE)
    config = _placed(blocks, index, server_version)
    config = vector_index_config.merged(config, asked)
    problem = version.unsupported(config, index, vector, server_version)
    if problem is not None:
        return MappedQuantization(None, quantization, problem)
    native = {"vectorIndexType": index, "vectorIndexConfig": config}
    target = from_native(native, vector)
    if target.kind is not quantization.kind and not differences:
        differences.append(f"these fields configure {target} codes")
    return MappedQuantization(native, target, Match.of(*differences))


def _placed(blocks: _Blocks, index: str, server_version: ServerVersion) -> dict[str, Any]:
    """Put the blocks into the index; a dynamic index needs them twice."""
    if index == HFRESH:
        return dict(blocks)
    skip: dict[str, Any] = (
        {vector_index_config.SKIP: True} if server_version.has(since.SINCE_SKIP_DEFAULT) else {}
    )
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


def _none(_: Quantization, __: Vector, ___: ServerVersion, index: str) -> _Made | Match:
    if index == HFRESH:
        return Match.unsupported(version.HFRESH_ALWAYS, version.BY_HNSW)
    return {}, []


def _float16(_: Quantization, __: Vector, ___: ServerVersion, ____: str) -> _Made | Match:
    return Match.unsupported("Weaviate does not support 16-bit floats", "scalar", version.ELSEWHERE)


def _scalar(q: Quantization, _: Vector, server_version: ServerVersion, index: str) -> _Made | Match:
    differences = [NO_QUANTILE] if q.quantile is not None else []
    if q.per == "dimension":
        differences.append(NO_PER)
    if q.bits == 4:
        return _rq(4, [SCALAR_IS_RQ4, *differences], server_version, index)
    if q.bits != 8:
        return Match.unsupported(
            f"Weaviate supports scalar codes of 8 or 4 bits, not {q.bits:g}",
            "scalar",
            version.ELSEWHERE,
        )
    if q.per == "collection" or "sq" in q.native or not server_version.has(since.SINCE_RQ8):
        return _sq(differences, server_version, index)
    return _rq(8, [SCALAR_IS_RQ, *differences], server_version, index)


def _sq(differences: list[str], server_version: ServerVersion, index: str) -> _Made | Match:
    if index in (FLAT, HFRESH):
        return Match.unsupported(
            f"the index {index} does not support SQ", "rotational:bits=8", version.BY_HNSW
        )
    problem = version.too_old("scalar codes (SQ)", since.SINCE_SQ, server_version)
    return problem or (
        {"sq": {"enabled": True, "rescoreLimit": vector_index_config.RESCORE_SQ}},
        differences,
    )


def _rotational(
    q: Quantization, _: Vector, server_version: ServerVersion, index: str
) -> _Made | Match:
    bits = q.bits or 4
    if bits not in vector_index_config.RESCORE_RQ:
        return Match.unsupported(
            f"Weaviate supports rotational codes of 1, 4 or 8 bits, not {bits:g}",
            *(f"rotational:bits={each}" for each in (1, 4, 8)),
        )
    own = RQ_QUERY_BITS[int(bits)]
    differences = []
    if q.query_bits is not None and q.query_bits != own:
        differences.append(f"queries have {own} bits, not {q.query_bits}")
    return _rq(int(bits), differences, server_version, index)


def _rq(
    bits: int, differences: list[str], server_version: ServerVersion, index: str
) -> _Made | Match:
    if index == HFRESH and bits != 1:
        return Match.unsupported(
            f"{version.HFRESH_ALWAYS}, not {bits}", "rotational:bits=1", version.BY_HNSW
        )
    if index == FLAT and bits == 4:
        return Match.unsupported(
            "the index flat supports rotational codes of 1 or 8 bits, not 4",
            "rotational:bits=8",
            version.BY_HNSW,
        )
    needs = {8: since.SINCE_RQ8, 4: since.SINCE_RQ4, 1: since.SINCE_RQ1}[bits]
    if index == FLAT:
        needs = since.SINCE_RQ_FLAT
    problem = version.too_old(
        f"rotational codes of {bits} bits (RQ) on {index}", needs, server_version
    )
    if problem is not None:
        return problem
    limit = (
        vector_index_config.RESCORE_HFRESH
        if index == HFRESH
        else vector_index_config.RESCORE_RQ[bits]
    )
    block: dict[str, Any] = {"enabled": True, "bits": bits, "rescoreLimit": limit}
    return {"rq": _flat_block("rq", block) if index == FLAT else block}, differences


def _binary(
    q: Quantization, vector: Vector, server_version: ServerVersion, index: str
) -> _Made | Match:
    if q.bits != 1:
        return Match.unsupported(
            f"Weaviate supports binary codes of 1 bit, not {q.bits:g}",
            "binary",
            "rotational:bits=4",
        )
    if index == HFRESH or q.query_bits not in (None, 1):
        return _rq(1, [BINARY_IS_RQ], server_version, index)
    needs = since.SINCE_BQ_FLAT if index == FLAT else since.SINCE_BQ_HNSW
    problem = version.too_old(f"binary codes (BQ) on {index}", needs, server_version)
    if problem is not None:
        return problem
    block: dict[str, Any] = {"enabled": True}
    return {"bq": _flat_block("bq", block) if index == FLAT else block}, []


def _product(
    q: Quantization, vector: Vector, server_version: ServerVersion, index: str
) -> _Made | Match:
    if index in (FLAT, HFRESH):
        return Match.unsupported(
            f"the index {index} does not support product codes", "binary", version.BY_HNSW
        )
    problem = version.too_old("product codes (PQ)", since.SINCE_PQ, server_version)
    if problem is not None:
        return problem
    segments = product_segments.segments(q, vector)
    if isinstance(segments, Match):
        return segments
    centroids = q.centroids or vector_index_config.CENTROIDS
    if centroids > vector_index_config.CENTROIDS:
        return Match.unsupported(
            f"Weaviate supports at most {vector_index_config.CENTROIDS} centroids, not {centroids}",
            "omit centroids",
        )
    return {"pq": {"enabled": True, "segments": segments, "centroids": centroids}}, []


_MAKERS: Mapping[Kind, Callable[[Quantization, Vector, ServerVersion, str], _Made | Match]] = {
    Kind.NONE: _none,
    Kind.FLOAT16: _float16,
    Kind.SCALAR: _scalar,
    Kind.ROTATIONAL: _rotational,
    Kind.BINARY: _binary,
    Kind.PRODUCT: _product,
}


# -- from native ---------------------------------------------------------------------------------


def from_native(native: Mapping[str, Any], vector: Vector) -> Quantization:
    """The quantization of an index read from the server."""
    found = vector_index_config.quantizer(native)
    if found is None:
        return Quantization(Kind.NONE)
    name, block = found
    if name == "bq":
        return Quantization(Kind.BINARY)
    if name == "sq":
        return Quantization(Kind.SCALAR, bits=8, per="collection")
    if name == "rq":
        return Quantization(Kind.ROTATIONAL, bits=int(block.get("bits", 8)))
    centroids = int(block.get("centroids") or vector_index_config.CENTROIDS)
    other = None if centroids == vector_index_config.CENTROIDS else centroids
    segments = int(block.get("segments") or 0) or auto_segments(vector.dim)
    ratio = 4 * vector.dim / segments
    if not 2 <= ratio <= 256:
        return Quantization(Kind.PRODUCT, segments=segments, centroids=other)
    return Quantization(Kind.PRODUCT, ratio=ratio, centroids=other)


def auto_segments(dim: int) -> int:
    """The number of segments that the server chooses for 0, its default.

    docs/engines/weaviate.md#segments-of-pq
    """
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
    """Whether an existing index matches the request.

    Args:
        explicit: the native fields that were requested explicitly. Others, for example a
            rescoreLimit, may differ.
    """
    return (
        now["vectorIndexType"] == wanted["vectorIndexType"]
        and from_native(now, vector) == from_native(wanted, vector)
        and not vector_index_config.differences(
            now["vectorIndexConfig"], vector_index_config.settings(explicit)
        )
    )


def trainable(native: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Fields that let PQ and SQ train on the existing rows; empty for other quantizers.

    Under ASYNC_INDEXING they train once more than ``trainingLimit`` rows are indexed, 100,000 by
    default, so smaller collections never train. Otherwise it only limits the sample of PQ.
    """
    found = vector_index_config.quantizer(native)
    if found is None or found[0] not in ("pq", "sq") or native["vectorIndexType"] != HNSW:
        return {}
    name, block = found
    least = int(block.get("centroids") or vector_index_config.CENTROIDS) if name == "pq" else 1
    limit = max(least, count - 1)
    return {name: {"trainingLimit": limit}} if limit < _limit(block) else {}


def _limit(block: Mapping[str, Any]) -> int:
    return int(block.get("trainingLimit") or TRAINING_LIMIT)


# -- sizes ---------------------------------------------------------------------------------------


def code_bytes(native: Mapping[str, Any], vector: Vector) -> int:
    """Bytes of one code in the engine's layout, without the graph.

    docs/engines/weaviate.md#code-sizes
    """
    found = vector_index_config.quantizer(native)
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
