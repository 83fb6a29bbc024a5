"""The profile of ``postgresql://...``.

Rules: ``verified on ...`` means that the tests of qadapt ran on this version.
"""

from __future__ import annotations

from qadapt.model import Rule, Support
from qadapt.model.address_form import AddressForm
from qadapt.stores import doctor_checks, key_ids
from qadapt.stores.pgvector import client_code, mapping
from qadapt.stores.pgvector.cost_model import PgvectorCostModel
from qadapt.stores.pgvector.quantizer_models import PgvectorQuantizers
from qadapt.stores.pgvector.version import SINCE_QUANTIZATION
from qadapt.stores.profile import DoctorCheck, StoreProfile, Traits

_NATIVE, _CLIENT = Support.NATIVE, Support.CLIENT
_SEEN = "verified on pgvector 0.8.6 and PostgreSQL 18"

RULES = (
    Rule(
        "native-quantization", _NATIVE, f"indexes on float16 or sign bits; {_SEEN}",
        since=SINCE_QUANTIZATION,
    ),
    Rule(
        "native-rescore", _NATIVE, f"one statement sorts candidates by the column; {_SEEN}",
        since=SINCE_QUANTIZATION,
    ),
    Rule("native-oversampling", _NATIVE, f"LIMIT and hnsw.ef_search per query; {_SEEN}"),
    Rule("native-undo", _NATIVE, f"indexes are dropped concurrently; {_SEEN}"),
    Rule("native-filter", _NATIVE, f"WHERE, after the index search; {_SEEN}"),
    Rule("named-vectors", _NATIVE, f"one column per vector; {_SEEN}"),
    Rule("native-float16", _NATIVE, "index on halfvec", since=SINCE_QUANTIZATION),
    Rule("native-binary", _NATIVE, "index on sign bits", since=SINCE_QUANTIZATION),
    Rule("native-binary:1", _NATIVE, "index on sign bits", since=SINCE_QUANTIZATION),
    Rule("native-scalar", _CLIENT, "pgvector has no integer codes"),
)  # fmt: skip


PROFILE = StoreProfile(
    interface=1,
    name="pgvector",
    store="qadapt.stores.pgvector.store:PgvectorStore",
    address=AddressForm(
        {"tcp": 5432},
        key_variables=("PGPASSWORD",),
        connection_options=(
            "application_name", "channel_binding", "connect_timeout", "gssencmode", "passfile",
            "require_auth", "sslcert", "sslcrl", "sslkey", "sslmode", "sslrootcert",
            "target_session_attrs", "metric",
        ),
        url_schemes=("postgresql", "postgres"),
        url_environment={
            "host": "PGHOST", "port": "PGPORT", "service": "PGSERVICE",
            "database": "PGDATABASE", "user": "PGUSER",
        },
    ),
    package="psycopg",
    distribution="psycopg",
    extra="pgvector",
    deployments=("server",),
    rules=RULES,
    datatypes=("float32", "float16"),
    mapping=mapping.to_native,
    cost_model=PgvectorCostModel(),
    quantizers=PgvectorQuantizers(),
    checks=(
        DoctorCheck("invalid-index", "An index build was cut off, so no search uses the index."),
        DoctorCheck("cheaper-index", "The planner prefers another index of the same column."),
        doctor_checks.UNKNOWN_METRIC,
        DoctorCheck("dead-rows", "Deleted rows use up the candidates of searches until VACUUM."),
    ),
    traits=Traits(
        keeps_payload=False,
        recreates=True,
        accepts_id=key_ids.accepts,
        zero_is_positive=False,
        shortens_codes=True,
    ),
    client_forms=client_code.FORMS,
    wraps_clients=True,
    tested="PostgreSQL 18.6 with pgvector 0.8.6.",
)  # fmt: skip
