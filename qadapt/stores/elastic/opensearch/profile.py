"""The profile of ``opensearch+http://...``.

Rules: ``verified on ...`` means that the tests of qadapt ran on this version. The engine faiss was
not run: its rules are checked by contract only (docs/opensearch.md#engines).
"""

from __future__ import annotations

from qadapt.model import Rule, Support
from qadapt.model.address_form import AddressForm
from qadapt.stores.doctor_checks import PARAMETER_WITHOUT_EFFECT
from qadapt.stores.elastic.ids import accepts
from qadapt.stores.elastic.opensearch import client_code, mapping
from qadapt.stores.elastic.opensearch.cost_model import OpenSearchCostModel
from qadapt.stores.elastic.opensearch.quantizer_models import OpenSearchQuantizers
from qadapt.stores.elastic.opensearch.version import SINCE_MORE_BITS, SINCE_ONE_BIT
from qadapt.stores.elastic.search import MAX_K
from qadapt.stores.profile import DoctorCheck, StoreProfile, Traits

_NATIVE, _CLIENT = Support.NATIVE, Support.CLIENT
_SEEN = "verified on OpenSearch 3.6.0"
_READ = "read in the documentation of 3.9, not run"
_FAISS = 'engine faiss, which qadapt cannot verify: native={"engine": "faiss"}'

RULES = (
    Rule("native-quantization", _NATIVE, f"encoders of the engine lucene; {_SEEN}"),
    Rule("native-rescore", _NATIVE, f"at least 100 candidates per shard; {_SEEN}"),
    Rule("native-oversampling", _NATIVE, f"factor 1 to 100 per query and shard; {_SEEN}"),
    Rule("native-undo", _CLIENT, "an alias is switched back to the former index"),
    Rule("native-filter", _NATIVE, f"filter of knn, before the nearest are selected; {_SEEN}"),
    Rule("named-vectors", _NATIVE, f"one field per vector; {_SEEN}"),
    Rule("native-scalar", _NATIVE, f"7 bits; {_SEEN}"),
    Rule("native-scalar:7", _NATIVE, f"encoder sq; {_SEEN}"),
    Rule("native-scalar:4", _NATIVE, f"encoder sq; {_READ}", since=SINCE_MORE_BITS),
    Rule("native-binary", _NATIVE, f"encoder sq; {_SEEN}", since=SINCE_ONE_BIT),
    Rule("native-binary:1", _NATIVE, f"encoder sq; {_SEEN}", since=SINCE_ONE_BIT),
    Rule("native-binary:2", _NATIVE, f"encoder sq; {_READ}", since=SINCE_MORE_BITS),
    Rule("native-float16", _CLIENT, _FAISS, otherwise=Support.UNSUPPORTED, checked="contract"),
)

PROFILE = StoreProfile(
    interface=1,
    name="opensearch",
    store="qadapt.stores.elastic.opensearch.store:OpenSearchStore",
    address=AddressForm(
        {"http": 9200, "https": 9200},
        key_variables=("OPENSEARCH_PASSWORD",),
        connection_options=("timeout", "key_env", "ca_certs", "fingerprint", "user"),
    ),
    package="opensearchpy",
    distribution="opensearch-py",
    extra="opensearch",
    deployments=("server",),
    rules=RULES,
    datatypes=("float32",),
    mapping=mapping.to_native,
    cost_model=OpenSearchCostModel(),
    quantizers=OpenSearchQuantizers(),
    checks=(
        DoctorCheck("default-interval", "7-bit codes use the default confidence_interval."),
        DoctorCheck("hidden-codes", "The method flat has codes that the mapping does not show."),
        DoctorCheck("not-rescored", "Searches without parameters return scores of codes."),
        DoctorCheck("refresh-disabled", "Writes are not visible until a client refreshes."),
        PARAMETER_WITHOUT_EFFECT,
    ),
    traits=Traits(
        recreates=True, aliases=True, accepts_id=accepts, max_k=MAX_K, lowercase_names=True
    ),
    client_forms=client_code.FORMS,
    wraps_clients=True,
    tested="OpenSearch 3.6.0 with k-NN plugin 3.6.0.0, engine lucene.",
)
