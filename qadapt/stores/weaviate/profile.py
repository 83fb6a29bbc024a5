"""The profile of ``weaviate+http://...``.

Rules: ``verified on ...``: our tests ran on live servers of these versions. ``by documentation``:
taken from the server's code and documentation (docs/engines/weaviate.md#quantizers), not run.
"""

from __future__ import annotations

from qadapt.model import Id, Rule, Support, by_contract
from qadapt.model.address_form import AddressForm
from qadapt.stores import doctor_checks as doctor
from qadapt.stores.profile import StoreProfile, Traits
from qadapt.stores.weaviate import client_code, ids, mapping
from qadapt.stores.weaviate import version as since
from qadapt.stores.weaviate.connection import DISTRIBUTION, PACKAGE
from qadapt.stores.weaviate.cost_model import WeaviateCostModel
from qadapt.stores.weaviate.quantizer_models import WeaviateQuantizers

_NATIVE, _CLIENT, _NOT = Support.NATIVE, Support.CLIENT, Support.UNSUPPORTED

_NEW = "verified on 1.39.0"
_RQ = "verified on 1.35.23 and 1.39.0"
_SEEN = "verified on 1.27.27, 1.31.22, 1.35.23 and 1.39.0"
_ELSE = "other versions by documentation"

RULES = by_contract(
    Rule(
        "native-quantization",
        _NATIVE,
        f"codes in RAM, original vectors on disk; {_SEEN}, {_ELSE}",
        since=since.SINCE_PQ,
    ),
    Rule(
        "native-rescore",
        _NATIVE,
        "by the original vectors; a query cannot disable it: always with BQ or PQ on hnsw, flat "
        f"and hfresh, by the collection's rescoreLimit with SQ and RQ; {_SEEN}",
    ),
    Rule(
        "native-oversampling",
        _CLIENT,
        "not a query parameter: qadapt requests ceil(f*k) results, which the server rescores, "
        f"and keeps k; {_SEEN}",
    ),
    Rule(
        "native-undo",
        _CLIENT,
        "a quantizer cannot be disabled: the server updates the schema but keeps the codes; a copy "
        f"and an alias switch from 1.32; {_SEEN}",
    ),
    Rule("native-filter", _NATIVE, f"searches continue; {_SEEN}"),
    Rule(
        "named-vectors",
        _NATIVE,
        f"each with its own index and quantizer; {_SEEN}",
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
        f"PQ, on hnsw only; searches wait while it trains; {_SEEN}",
        since=since.SINCE_PQ,
    ),
    Rule(
        "native-binary",
        _NATIVE,
        f"BQ: sign bits, for queries too; {_SEEN}",
        since=since.SINCE_BQ_FLAT,
    ),
    Rule("native-binary:1", _NATIVE, _SEEN, since=since.SINCE_BQ_FLAT),
    Rule("native-binary:1.5", _NOT, "Weaviate has 1 bit only"),
    Rule("native-binary:2", _NOT, "Weaviate has 1 bit only"),
    Rule("native-rotational", _NATIVE, f"RQ; {_RQ}", since=since.SINCE_RQ8, otherwise=_NOT),
    Rule(
        "native-rotational:1",
        _NATIVE,
        f"5-bit queries; {_RQ}; hfresh always uses it, {_NEW}",
        since=since.SINCE_RQ1,
        otherwise=_NOT,
    ),
    Rule(
        "native-rotational:4",
        _NATIVE,
        f"preview, on hnsw only; {_NEW}",
        since=since.SINCE_RQ4,
        otherwise=_NOT,
    ),
    Rule("native-rotational:8", _NATIVE, _RQ, since=since.SINCE_RQ8, otherwise=_NOT),
    Rule("native-float16", _NOT, "Weaviate stores float32 only"),
)


def accepts_id(key: Id) -> bool:
    """A UUID in the server's form."""
    return ids.canonical(key) == key


PROFILE = StoreProfile(
    interface=1,
    name="weaviate",
    store="qadapt.stores.weaviate.store:WeaviateStore",
    package=PACKAGE,
    distribution=DISTRIBUTION,
    extra="weaviate",
    address=AddressForm(
        # Hosted Weaviate uses the port of https.
        ports={"http": 8080, "https": 443},
        key_variables=("WEAVIATE_API_KEY",),
        connection_options=("grpc",),
        advice="use the REST port, and add the gRPC port as an option: "
        "weaviate+http://localhost:8080?grpc=50051",
    ),
    rules=RULES,
    mapping=mapping.to_native,
    cost_model=WeaviateCostModel(),
    quantizers=WeaviateQuantizers(),
    checks=(doctor.SCHEMA_ONLY,),
    traits=Traits(
        counts_vectors=False,
        keeps_payload=False,
        accepts_id=accepts_id,
        partition_kind="tenants",
        aliases=True,
        recreates=True,
        adds_vectors=True,
        zero_is_positive=True,
    ),
    client_forms=client_code.FORMS,
    wraps_clients=True,
)
