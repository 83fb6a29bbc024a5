"""The profile of ``edge:DIR``."""

from __future__ import annotations

from qadapt.model import Rule, Support
from qadapt.model.address_form import AddressForm
from qadapt.stores.profile import StoreProfile, Traits
from qadapt.stores.qdrant import client_code, mapping
from qadapt.stores.qdrant.edge.connection import DISTRIBUTION, PACKAGE
from qadapt.stores.qdrant.server.profile import (
    COST_MODEL,
    DATATYPES,
    ENGINE_CHECKS,
    FAMILY,
    QUANTIZERS,
    accepts_id,
)

_NATIVE, _NO = Support.NATIVE, Support.UNSUPPORTED
_RUN = "verified on qdrant-edge-py 0.6 to 0.9"
_TURBO = "verified on qdrant-edge-py 0.7 to 0.9"


RULES: tuple[Rule, ...] = (
    Rule(
        "native-quantization", _NATIVE, "codes in addition to the original vectors, in each segment"
    ),
    Rule("native-rescore", _NATIVE, "with the original vectors, per search"),
    Rule("native-oversampling", _NATIVE, "per search, in each segment"),
    Rule(
        "native-undo",
        _NATIVE,
        "by a rebuild without codes after an edit of edge_config.json; the engine's API cannot "
        "remove codes",
    ),
    Rule("native-filter", _NATIVE, "during the search, also with codes"),
    Rule("named-vectors", _NATIVE, "each with its own quantization"),
    Rule("native-scalar", _NATIVE, "one range for the whole collection"),
    Rule("native-scalar:7", _NATIVE, _RUN),
    Rule("native-scalar:8", _NATIVE, "7 bits in effect: codes are clamped to 0..127"),
    Rule("native-product", _NATIVE, "256 centroids, k-means over up to 10,000 rows"),
    Rule("native-product:4", _NATIVE, _RUN),
    Rule("native-product:8", _NATIVE, _RUN),
    Rule("native-product:16", _NATIVE, _RUN),
    Rule("native-product:32", _NATIVE, _RUN),
    Rule("native-product:64", _NATIVE, _RUN),
    Rule("native-binary", _NATIVE, "also in segments without an index"),
    Rule("native-binary:1", _NATIVE, _RUN),
    Rule("native-binary:1.5", _NATIVE, _RUN),
    Rule("native-binary:2", _NATIVE, _RUN),
    Rule(
        "native-rotational",
        _NATIVE,
        "TurboQuant, also without an index",
        since="0.7",
        otherwise=_NO,
    ),
    Rule("native-rotational:1", _NATIVE, _TURBO, since="0.7", otherwise=_NO),
    Rule("native-rotational:1.5", _NATIVE, _TURBO, since="0.7", otherwise=_NO),
    Rule("native-rotational:2", _NATIVE, _TURBO, since="0.7", otherwise=_NO),
    Rule("native-rotational:4", _NATIVE, _TURBO, since="0.7", otherwise=_NO),
    Rule(
        "native-rotational:8",
        _NATIVE,
        "requires the engine of Qdrant 1.20",
        since="0.9",
        otherwise=_NO,
    ),
    Rule("native-float16", _NATIVE, "as the datatype, which is fixed at creation"),
)


DEPLOYMENT = "embedded"

PROFILE = StoreProfile(
    interface=1,
    name="edge",
    store="qadapt.stores.qdrant.edge.store:EdgeStore",
    package=PACKAGE,
    distribution=DISTRIBUTION,
    extra="edge",
    family=FAMILY,
    address=AddressForm(local="folder", suggested=True),
    deployments=(DEPLOYMENT,),
    rules=RULES,
    datatypes=DATATYPES,
    mapping=mapping.to_native,
    cost_model=COST_MODEL,
    quantizers=QUANTIZERS,
    checks=ENGINE_CHECKS,
    client_forms=client_code.EDGE_FORMS,
    traits=Traits(
        normalizes_cosine=True,
        keeps_payload=False,
        accepts_id=accepts_id,
        segment_candidates=True,
        adds_vectors=True,
    ),
    tested="`edge` needs qdrant-edge-py 0.6. The conformance suite passes on 0.6.0, 0.6.1, 0.7.0, "
    "0.7.2, 0.8.0 and 0.9.0; 0.1, 0.4 and 0.5 cannot create a collection.",
)
