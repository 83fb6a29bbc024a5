"""The profile of ``milvus+http://...`` and ``milvus:FILE.db``."""

from __future__ import annotations

from qadapt.model.address_form import AddressForm
from qadapt.stores import doctor_checks as doctor
from qadapt.stores.milvus import capabilities, mapping
from qadapt.stores.milvus.connection import CLOUD, LITE, PACKAGE, SERVER
from qadapt.stores.milvus.cost_model import MilvusCostModel
from qadapt.stores.milvus.fidelity import accepts_id
from qadapt.stores.milvus.quantizer_models import MilvusQuantizers
from qadapt.stores.milvus.rows import WINDOW
from qadapt.stores.profile import DoctorCheck, StoreProfile, Traits

PROFILE = StoreProfile(
    interface=1,
    name="milvus",
    store="qadapt.stores.milvus.store:MilvusStore",
    package=PACKAGE,
    distribution=PACKAGE,
    extra="milvus",
    address=AddressForm(
        # Hosted Milvus is behind the port of https; HTTP and gRPC share a port.
        ports={"http": 19530, "https": 443, "grpc": 19530},
        local="file",
        key_variables=("MILVUS_TOKEN",),
        connection_options=("consistency",),
        same_server=True,
        # pymilvus takes the path of a URI for the name of a database.
        path_option="database",
        defaults={"database": "default"},
    ),
    deployments=(SERVER, LITE, CLOUD),
    rules=capabilities.RULES,
    datatypes=("float32", "float16", "bfloat16", "int8"),
    mapping=mapping.to_native,
    cost_model=MilvusCostModel(),
    quantizers=MilvusQuantizers(),
    checks=(
        doctor.SCHEMA_ONLY,
        doctor.SMALL_SEGMENTS,
        DoctorCheck("duplicate-ids", "Several rows have the same id, and all but one are hidden."),
        doctor.ORIGINALS_IN_RAM,
        doctor.OVERSAMPLING_WITHOUT_RESCORING,
        doctor.PARAMETER_WITHOUT_EFFECT,
    ),
    traits=Traits(
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
    ),
    wraps_clients=True,
    tested="Milvus Lite 2.5.1 passes it too, with pymilvus 2.5 and setuptools before 81; it has no "
    "codes of floats, so all kinds are by qadapt.",
)
