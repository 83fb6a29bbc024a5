"""The profile of ``elasticsearch+http://...``.

Rules: ``verified on ...`` means that the tests of qadapt ran on this version.
"""

from __future__ import annotations

from qadapt.model import Rule, Support
from qadapt.model.address_form import AddressForm
from qadapt.stores.elastic.elasticsearch import client_code, diagnostics, mapping
from qadapt.stores.elastic.elasticsearch.cost_model import ElasticsearchCostModel
from qadapt.stores.elastic.elasticsearch.quantizer_models import ElasticsearchQuantizers
from qadapt.stores.elastic.elasticsearch.version import SINCE_BBQ, SINCE_INT4, SINCE_RESCORE
from qadapt.stores.elastic.ids import accepts
from qadapt.stores.elastic.search import MAX_K
from qadapt.stores.profile import StoreProfile, Traits

_NATIVE, _CLIENT = Support.NATIVE, Support.CLIENT
_SEEN = "verified on Elasticsearch 9.5.3"

RULES = (
    Rule("native-quantization", _NATIVE, f"index_options of a dense_vector field; {_SEEN}"),
    Rule("native-rescore", _NATIVE, f"rescore_vector; {_SEEN}", since=SINCE_RESCORE),
    Rule("native-oversampling", _NATIVE, f"per query and shard; {_SEEN}", since=SINCE_RESCORE),
    Rule("native-filter", _NATIVE, f"filter of knn, before the nearest are selected; {_SEEN}"),
    Rule("named-vectors", _NATIVE, f"one field per vector; {_SEEN}"),
    Rule("native-scalar", _NATIVE, f"int8 and int4; {_SEEN}"),
    Rule("native-scalar:8", _NATIVE, f"int8; {_SEEN}"),
    Rule("native-scalar:4", _NATIVE, f"int4; {_SEEN}", since=SINCE_INT4),
    Rule("native-binary", _NATIVE, f"bbq; {_SEEN}", since=SINCE_BBQ),
    Rule("native-binary:1", _NATIVE, f"bbq; {_SEEN}", since=SINCE_BBQ),
)

PROFILE = StoreProfile(
    interface=1,
    name="elasticsearch",
    store="qadapt.stores.elastic.elasticsearch.store:ElasticsearchStore",
    address=AddressForm(
        {"http": 9200, "https": 9200},
        key_variables=("ELASTICSEARCH_API_KEY", "ELASTIC_API_KEY"),
        connection_options=("timeout", "key_env", "ca_certs", "fingerprint", "user"),
    ),
    package="elasticsearch",
    distribution="elasticsearch",
    extra="elasticsearch",
    deployments=("server", "serverless"),
    rules=RULES,
    datatypes=("float32", "bfloat16"),
    mapping=mapping.to_native,
    cost_model=ElasticsearchCostModel(),
    quantizers=ElasticsearchQuantizers(),
    checks=diagnostics.CHECKS,
    traits=Traits(
        recreates=True, aliases=True, accepts_id=accepts, lowercase_names=True, max_k=MAX_K
    ),
    client_forms=client_code.FORMS,
    wraps_clients=True,
    tested="Elasticsearch 9.5.3.",
)
