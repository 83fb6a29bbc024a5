"""The profile of ``edge:DIR``."""

from __future__ import annotations

from qadapt.model.address_form import AddressForm
from qadapt.stores.profile import StoreProfile, Traits
from qadapt.stores.qdrant import client_code, mapping
from qadapt.stores.qdrant.edge.capabilities import RULES
from qadapt.stores.qdrant.edge.connection import DISTRIBUTION, PACKAGE
from qadapt.stores.qdrant.server.profile import (
    COST_MODEL,
    DATATYPES,
    ENGINE_CHECKS,
    FAMILY,
    QUANTIZERS,
    accepts_id,
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
    ),
    tested="`edge` needs qdrant-edge-py 0.6. The conformance suite passes on 0.6.0, 0.6.1, 0.7.0, "
    "0.7.2, 0.8.0 and 0.9.0; 0.1, 0.4 and 0.5 cannot create a collection.",
)
