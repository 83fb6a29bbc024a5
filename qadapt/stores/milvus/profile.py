"""The profile of ``milvus+http://...`` and ``milvus:FILE.db``."""

from __future__ import annotations

from dataclasses import replace

from qadapt.model import Rule, Support, by_contract
from qadapt.model.address_form import AddressForm
from qadapt.stores import doctor_checks as doctor
from qadapt.stores.milvus import client_code, mapping
from qadapt.stores.milvus.connection import CLOUD, LITE, PACKAGE, SERVER
from qadapt.stores.milvus.cost_model import MilvusCostModel
from qadapt.stores.milvus.payload import accepts_id
from qadapt.stores.milvus.quantizer_models import MilvusQuantizers
from qadapt.stores.milvus.rows import WINDOW
from qadapt.stores.profile import StoreProfile, Traits

_NATIVE, _CLIENT, _NO = Support.NATIVE, Support.CLIENT, Support.UNSUPPORTED
_RUN = "run on 2.3.5"
_CONTRACT = "not run; requests covered by contract tests"

SERVER_RULES = by_contract(
    Rule(
        "native-quantization",
        _NATIVE,
        "the index stores codes; the original vectors stay in storage",
    ),
    Rule(
        "native-rescore",
        _CLIENT,
        "by qadapt, with original vectors that Milvus returns exactly; `refine` stores a second "
        "copy in the index, is set when the index is built, and is the rescore source 'codes'",
    ),
    Rule(
        "native-oversampling", _NATIVE, "ef, nprobe, reorder_k and refine_k are search parameters"
    ),
    Rule("native-undo", _NATIVE, "the previous index is built again, or the alias is moved back"),
    Rule(
        "native-filter",
        _NATIVE,
        "during the search, also with codes; not with sign bits in a second collection",
    ),
    Rule("named-vectors", _NATIVE, _CONTRACT, since="2.4", otherwise=_NO),
    Rule("native-scalar", _NATIVE, "IVF_SQ8; HNSW_SQ from 2.5"),
    Rule("native-scalar:8", _NATIVE, f"IVF_SQ8 {_RUN}; HNSW_SQ from 2.5 {_CONTRACT}"),
    Rule("native-scalar:6", _NATIVE, f"HNSW_SQ with SQ6, {_CONTRACT}", since="2.5", otherwise=_NO),
    Rule(
        "native-scalar:4", _NATIVE, f"HNSW_SQ with SQ4U, {_CONTRACT}", since="2.6.8", otherwise=_NO
    ),
    Rule("native-product", _NATIVE, f"IVF_PQ and SCANN {_RUN}; HNSW_PQ from 2.5 {_CONTRACT}"),
    Rule("native-rotational", _NATIVE, f"IVF_RABITQ, {_CONTRACT}", since="2.6", otherwise=_NO),
    Rule("native-rotational:1", _NATIVE, f"IVF_RABITQ, {_CONTRACT}", since="2.6", otherwise=_NO),
    Rule("native-rotational:2", _NATIVE, f"rbq_bits, {_CONTRACT}", since="3.0", otherwise=_NO),
    Rule("native-rotational:4", _NATIVE, f"rbq_bits, {_CONTRACT}", since="3.0", otherwise=_NO),
    Rule("native-rotational:8", _NATIVE, f"rbq_bits, {_CONTRACT}", since="3.0", otherwise=_NO),
    Rule(
        "native-binary",
        _NATIVE,
        f"sign bits in a second collection, searched with HAMMING, {_RUN}; from 2.6 "
        "IVF_RABITQ, the "
        f"nearest equivalent, {_CONTRACT}",
    ),
    Rule(
        "native-binary:1",
        _NATIVE,
        f"sign bits in a second collection, {_RUN}; in the same collection from 2.4, {_CONTRACT}",
    ),
    Rule("native-float16", _NATIVE, f"HNSW_SQ with FP16, {_CONTRACT}", since="2.5", otherwise=_NO),
)

_LITE_HAS = "HNSW_SQ (always 8 bits) and IVF_SQ8, run on 3.2.2"
_IGNORED = "Milvus Lite refuses it, or accepts it and builds another index"

_LITE_2 = (
    "2.5 supports sign bits in new collections if they are requested with "
    'native={"index_type": "BIN_FLAT"}'
)

LITE_RULES: tuple[Rule, ...] = (
    Rule("native-quantization", _NATIVE, f"{_LITE_HAS}; sign bits, run on 2.5.1"),
    Rule("native-rescore", _CLIENT, "by qadapt, with the original vectors: Lite ignores refine"),
    Rule("native-oversampling", _NATIVE, "ef and nprobe are search parameters"),
    Rule("native-undo", _NATIVE, "the previous index is built again"),
    Rule("native-filter", _NATIVE, "True and 1 are equal; 2.5 has no `not`"),
    Rule("named-vectors", _NATIVE, "run on 3.2.2 and 2.5.1"),
    Rule("native-scalar", _NATIVE, _LITE_HAS, since="3"),
    Rule("native-scalar:8", _NATIVE, _LITE_HAS, since="3"),
    Rule("native-product", _NO, _IGNORED),
    Rule("native-rotational", _NO, _IGNORED),
    Rule("native-binary", _CLIENT, f"{_IGNORED}; {_LITE_2}"),
    Rule("native-float16", _NO, _IGNORED),
)

_CHOSEN = "the service chooses the index (AUTOINDEX)"
CLOUD_RULES: tuple[Rule, ...] = (
    Rule("native-quantization", _CLIENT, _CHOSEN),
    Rule("native-rescore", _CLIENT, _CHOSEN),
    Rule("native-oversampling", _CLIENT, _CHOSEN),
    Rule("native-undo", _NO, _CHOSEN),
    Rule("native-filter", _NATIVE, "during the search"),
    Rule("named-vectors", _NATIVE, _CONTRACT),
    Rule("native-scalar", _NO, _CHOSEN),
    Rule("native-product", _NO, _CHOSEN),
    Rule("native-rotational", _NO, _CHOSEN),
    Rule("native-binary", _CLIENT, _CHOSEN),
    Rule("native-float16", _NO, _CHOSEN),
)

RULES = {SERVER: SERVER_RULES, LITE: LITE_RULES, CLOUD: CLOUD_RULES}

TRAITS = Traits(
    keeps_explicit_zeros=False,
    allows_missing_vectors=False,
    keeps_payload=False,
    accepts_id=accepts_id,
    partition_kind="partitions",
    aliases=True,
    recreates=True,
    recreates_separately=True,
    payload_indexes_last=True,
    max_k=WINDOW,
)
# Milvus Lite 2 has no aliases (docs/engines/milvus.md).
OLD_LITE_TRAITS = replace(TRAITS, aliases=False, recreates=False)

PROFILE = StoreProfile(
    interface=1,
    name="milvus",
    store="qadapt.stores.milvus.store:MilvusStore",
    package=PACKAGE,
    distribution=PACKAGE,
    extra="milvus",
    address=AddressForm(
        # Hosted Milvus uses the https port; HTTP and gRPC share a port.
        ports={"http": 19530, "https": 443, "grpc": 19530},
        local="file",
        key_variables=("MILVUS_TOKEN",),
        connection_options=("consistency",),
        same_server=True,
        # pymilvus reads the path of a URI as the database name.
        path_option="database",
        defaults={"database": "default"},
    ),
    deployments=(SERVER, LITE, CLOUD),
    rules=RULES,
    datatypes=("float32", "float16", "bfloat16", "int8", "bit"),
    mapping=mapping.to_native,
    cost_model=MilvusCostModel(),
    quantizers=MilvusQuantizers(),
    checks=(
        doctor.SCHEMA_ONLY,
        doctor.SMALL_SEGMENTS,
        doctor.DUPLICATE_IDS,
        doctor.ORIGINALS_IN_RAM,
        doctor.OVERSAMPLING_WITHOUT_RESCORING,
        doctor.PARAMETER_WITHOUT_EFFECT,
    ),
    traits=TRAITS,
    client_forms=client_code.FORMS,
    wraps_clients=True,
    tested="Milvus Lite 2.5.1 passes the suite too, with pymilvus 2.5 and setuptools before 81; it "
    "cannot quantize float vectors, so all quantization is client-side.",
)
