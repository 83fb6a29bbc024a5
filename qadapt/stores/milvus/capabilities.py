"""What Milvus can do, by version and deployment: data only.

"Run" was seen on real engines (the server 2.3.5, Milvus Lite 3.2.2); what newer servers do is from
their documentation and source, held by contract tests of the requests.
"""

from __future__ import annotations

from qadapt.model import Rule, Support, by_contract
from qadapt.stores.milvus.connection import CLOUD, LITE, SERVER

_NATIVE, _CLIENT, _NO = Support.NATIVE, Support.CLIENT, Support.UNSUPPORTED
_RUN = "run on 2.3.5"
_TOLD = "by contract: not run here"

SERVER_RULES = by_contract(
    Rule("native-quantization", _NATIVE, "the index holds codes; the floats stay in storage"),
    Rule(
        "native-rescore",
        _CLIENT,
        "by qadapt, over floats that Milvus gives back exactly; `refine` holds a second copy in "
        "the index, is chosen when that is built, and serves rescore source 'codes'",
    ),
    Rule("native-oversampling", _NATIVE, "ef, nprobe, reorder_k and refine_k go with each search"),
    Rule("native-undo", _NATIVE, "the former index is built again, or an alias is moved back"),
    Rule(
        "native-filter",
        _NATIVE,
        "while it searches, also with codes; not with bits in a second collection",
    ),
    Rule("named-vectors", _NATIVE, _TOLD, since="2.4", otherwise=_NO),
    Rule("native-scalar", _NATIVE, "IVF_SQ8; HNSW_SQ from 2.5"),
    Rule("native-scalar:8", _NATIVE, f"IVF_SQ8 {_RUN}; HNSW_SQ from 2.5 {_TOLD}"),
    Rule("native-scalar:6", _NATIVE, f"HNSW_SQ with SQ6, {_TOLD}", since="2.5", otherwise=_NO),
    Rule("native-scalar:4", _NATIVE, f"HNSW_SQ with SQ4U, {_TOLD}", since="2.6.8", otherwise=_NO),
    Rule("native-product", _NATIVE, f"IVF_PQ and SCANN {_RUN}; HNSW_PQ from 2.5 {_TOLD}"),
    Rule("native-rotational", _NATIVE, f"IVF_RABITQ, {_TOLD}", since="2.6", otherwise=_NO),
    Rule("native-rotational:1", _NATIVE, f"IVF_RABITQ, {_TOLD}", since="2.6", otherwise=_NO),
    Rule("native-rotational:2", _NATIVE, f"rbq_bits, {_TOLD}", since="3.0", otherwise=_NO),
    Rule("native-rotational:4", _NATIVE, f"rbq_bits, {_TOLD}", since="3.0", otherwise=_NO),
    Rule("native-rotational:8", _NATIVE, f"rbq_bits, {_TOLD}", since="3.0", otherwise=_NO),
    Rule(
        "native-binary",
        _NATIVE,
        f"sign bits in a second collection, searched by HAMMING, {_RUN}; from 2.6 IVF_RABITQ as a "
        f"cousin, {_TOLD}",
    ),
    Rule(
        "native-binary:1",
        _NATIVE,
        f"sign bits in a second collection, {_RUN}; in a field beside from 2.4, {_TOLD}",
    ),
    Rule("native-float16", _NATIVE, f"HNSW_SQ with FP16, {_TOLD}", since="2.5", otherwise=_NO),
)

_LITE_HAS = "HNSW_SQ (always 8 bits) and IVF_SQ8, run on 3.2.2"
_IGNORED = "Milvus Lite refuses it, or takes it and does something else"

_LITE_2 = (
    "2.5 has sign bits in a field beside, from the start and where they are named: "
    'native={"index_type": "BIN_FLAT"}'
)

LITE_RULES: tuple[Rule, ...] = (
    Rule("native-quantization", _NATIVE, f"{_LITE_HAS}; bits beside floats, run on 2.5.1"),
    Rule("native-rescore", _CLIENT, "by qadapt, over the stored floats: Lite ignores refine"),
    Rule("native-oversampling", _NATIVE, "ef and nprobe go with each search"),
    Rule("native-undo", _NATIVE, "the former index is built again"),
    Rule("native-filter", _NATIVE, "True and 1 are the same to it; 2.5 has no `not`"),
    Rule("named-vectors", _NATIVE, "run on 3.2.2 and 2.5.1"),
    Rule("native-scalar", _NATIVE, _LITE_HAS, since="3"),
    Rule("native-scalar:8", _NATIVE, _LITE_HAS, since="3"),
    Rule("native-product", _NO, _IGNORED),
    Rule("native-rotational", _NO, _IGNORED),
    Rule("native-binary", _CLIENT, f"{_IGNORED}; {_LITE_2}"),
    Rule("native-float16", _NO, _IGNORED),
)

_CHOSEN = "the service chooses the index by itself (AUTOINDEX)"
CLOUD_RULES: tuple[Rule, ...] = (
    Rule("native-quantization", _CLIENT, _CHOSEN),
    Rule("native-rescore", _CLIENT, _CHOSEN),
    Rule("native-oversampling", _CLIENT, _CHOSEN),
    Rule("native-undo", _NO, _CHOSEN),
    Rule("native-filter", _NATIVE, "while it searches"),
    Rule("named-vectors", _NATIVE, _TOLD),
    Rule("native-scalar", _NO, _CHOSEN),
    Rule("native-product", _NO, _CHOSEN),
    Rule("native-rotational", _NO, _CHOSEN),
    Rule("native-binary", _CLIENT, _CHOSEN),
    Rule("native-float16", _NO, _CHOSEN),
)

RULES = {SERVER: SERVER_RULES, LITE: LITE_RULES, CLOUD: CLOUD_RULES}
