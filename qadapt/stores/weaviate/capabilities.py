"""What Weaviate can do, by server version: data only.

``seen on ...``: run on live servers of these versions by our tests. ``by contract``: from the
server's code and documentation (docs/engines/weaviate.md#quantizers); no live server of that
version was run.
"""

from __future__ import annotations

from qadapt.model import Rule, Support, by_contract
from qadapt.stores.weaviate import version as since

_NATIVE, _CLIENT, _NOT = Support.NATIVE, Support.CLIENT, Support.UNSUPPORTED

_NEW = "seen on 1.39.0"
_RQ = "seen on 1.35.23 and 1.39.0"
_SEEN = "seen on 1.27.27, 1.31.22, 1.35.23 and 1.39.0"
_ELSE = "other versions by contract"

RULES = by_contract(
    Rule(
        "native-quantization",
        _NATIVE,
        f"codes in RAM, originals on disk; {_SEEN}, {_ELSE}",
        since=since.SINCE_PQ,
    ),
    Rule(
        "native-rescore",
        _NATIVE,
        "by the originals, and not to be switched off by a query: hnsw with BQ or PQ, flat and "
        f"hfresh always, SQ and RQ by the collection's rescoreLimit; {_SEEN}",
    ),
    Rule(
        "native-oversampling",
        _CLIENT,
        "a query has no such word: qadapt asks for ceil(f*k) results, which the server scores "
        f"exactly, and keeps k; {_SEEN}",
    ),
    Rule(
        "native-undo",
        _CLIENT,
        "a quantizer cannot be switched off: the schema says so and the codes stay; a copy and a "
        f"switched alias from 1.32; {_SEEN}",
    ),
    Rule("native-filter", _NATIVE, f"while it searches; {_SEEN}"),
    Rule(
        "named-vectors",
        _NATIVE,
        f"each with an index and a quantizer of its own; {_SEEN}",
        since=since.SINCE_NAMED,
        otherwise=_NOT,
    ),
    Rule(
        "native-scalar",
        _NATIVE,
        f"RQ of 8 bits from 1.32 is the nearest equivalent, {_RQ}; "
        f"SQ, one range, as scalar:per=collection, {_SEEN}",
        since=since.SINCE_SQ,
    ),
    Rule(
        "native-scalar:4",
        _NATIVE,
        f"RQ of 4 bits is the nearest equivalent; {_NEW}",
        since=since.SINCE_RQ4,
    ),
    Rule("native-scalar:8", _NATIVE, _SEEN, since=since.SINCE_SQ),
    Rule(
        "native-product",
        _NATIVE,
        f"PQ, on hnsw alone; searches wait while it trains; {_SEEN}",
        since=since.SINCE_PQ,
    ),
    Rule(
        "native-binary",
        _NATIVE,
        f"BQ: signs of the values, queries too; {_SEEN}",
        since=since.SINCE_BQ_FLAT,
    ),
    Rule("native-binary:1", _NATIVE, _SEEN, since=since.SINCE_BQ_FLAT),
    Rule("native-binary:1.5", _NOT, "Weaviate has 1 bit"),
    Rule("native-binary:2", _NOT, "Weaviate has 1 bit"),
    Rule("native-rotational", _NATIVE, f"RQ; {_RQ}", since=since.SINCE_RQ8, otherwise=_NOT),
    Rule(
        "native-rotational:1",
        _NATIVE,
        f"queries of 5 bits; {_RQ}; on hfresh always, {_NEW}",
        since=since.SINCE_RQ1,
        otherwise=_NOT,
    ),
    Rule(
        "native-rotational:4",
        _NATIVE,
        f"a preview, on hnsw alone; {_NEW}",
        since=since.SINCE_RQ4,
        otherwise=_NOT,
    ),
    Rule("native-rotational:8", _NATIVE, _RQ, since=since.SINCE_RQ8, otherwise=_NOT),
    Rule("native-float16", _NOT, "Weaviate stores 32-bit floats alone"),
)
