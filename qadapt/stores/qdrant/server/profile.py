"""The profile of ``qdrant+http://...``, and the parts shared with the embedded engine."""

from __future__ import annotations

from qadapt.model import Id
from qadapt.model.address_form import AddressForm
from qadapt.stores import doctor_checks as doctor
from qadapt.stores.profile import DoctorCheck, StoreProfile, Traits
from qadapt.stores.qdrant import client_code, ids, mapping
from qadapt.stores.qdrant.cost_model import QdrantCostModel
from qadapt.stores.qdrant.quantizer_models import QdrantQuantizers
from qadapt.stores.qdrant.server import capabilities
from qadapt.stores.qdrant.server.connection import DISTRIBUTION, LOCAL, PACKAGE, SERVER

FAMILY = "qdrant"
DATATYPES = ("float32", "float16", "uint8", "turbo4", "turbo8", "turbo16")
COST_MODEL = QdrantCostModel()
QUANTIZERS = QdrantQuantizers()
ENGINE_CHECKS = (
    doctor.SMALL_SEGMENTS,
    doctor.ONE_BIT_UNTIL_INDEXED,
    doctor.ORIGINALS_IN_RAM,
    doctor.OVERSAMPLING_WITHOUT_RESCORING,
    doctor.QUANTIZATION_BYPASSED,
    doctor.PARAMETER_WITHOUT_EFFECT,
)


def accepts_id(key: Id) -> bool:
    """An unsigned 64-bit integer, or a UUID in the engine's format."""
    return ids.canonical(key) == key


PROFILE = StoreProfile(
    interface=1,
    name="qdrant",
    store="qadapt.stores.qdrant.server.store:QdrantStore",
    package=PACKAGE,
    distribution=DISTRIBUTION,
    extra="qdrant",
    family=FAMILY,
    address=AddressForm(
        ports={"http": 6333, "https": 6333, "grpc": 6334},
        local="folder",
        key_variables=("QDRANT_API_KEY",),
        connection_options=("grpc", "rest"),
        # The adapter configures over REST, so a gRPC address needs the REST port.
        same_server=True,
        http_port_option="rest",
        suggested=True,
    ),
    deployments=(SERVER, LOCAL),
    rules={SERVER: capabilities.RULES, LOCAL: capabilities.LOCAL_RULES},
    datatypes=DATATYPES,
    mapping=mapping.to_native,
    cost_model=COST_MODEL,
    quantizers=QUANTIZERS,
    checks=(
        doctor.SCHEMA_ONLY,
        *ENGINE_CHECKS,
        DoctorCheck(
            "rescoring-over-the-limit",
            "Strict mode allows less oversampling than the collection's default.",
        ),
    ),
    traits=Traits(
        normalizes_cosine=True,
        keeps_payload=False,
        accepts_id=accepts_id,
        aliases=True,
        recreates=True,
        segment_candidates=True,
    ),
    client_forms=client_code.SERVER_FORMS,
    wraps_clients=True,
)
