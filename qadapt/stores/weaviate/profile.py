"""The profile of ``weaviate+http://...``."""

from __future__ import annotations

from qadapt.model import Id
from qadapt.model.address_form import AddressForm
from qadapt.stores import doctor_checks as doctor
from qadapt.stores.profile import StoreProfile, Traits
from qadapt.stores.weaviate import capabilities, client_code, ids, mapping
from qadapt.stores.weaviate.connection import DISTRIBUTION, PACKAGE
from qadapt.stores.weaviate.cost_model import WeaviateCostModel
from qadapt.stores.weaviate.quantizer_models import WeaviateQuantizers


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
    rules=capabilities.RULES,
    mapping=mapping.to_native,
    cost_model=WeaviateCostModel(),
    quantizers=WeaviateQuantizers(),
    checks=(doctor.SCHEMA_ONLY,),
    traits=Traits(
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
