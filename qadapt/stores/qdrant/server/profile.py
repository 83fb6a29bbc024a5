"""The profile of ``qdrant+http://...``, and the parts shared with the embedded engine.

Rules: "verified on 1.16.3" and "on 1.19.0": tested on a live server of that version, and replayed
in the tests from its recordings; on 1.19.0 the conformance suite passed over REST and gRPC.
"According to the documentation": from the server's code and documentation, and from the embedded
engine of 1.20 (the store ``edge``). ``QADAPT_TEST_QDRANT_URL`` runs the conformance suite against a
server.
"""

from __future__ import annotations

from qadapt.model import Id, Rule, Support, by_contract
from qadapt.model.address_form import AddressForm
from qadapt.stores import doctor_checks as doctor
from qadapt.stores.profile import DoctorCheck, StoreProfile, Traits
from qadapt.stores.qdrant import client_code, ids, mapping
from qadapt.stores.qdrant.cost_model import QdrantCostModel
from qadapt.stores.qdrant.quantizer_models import QdrantQuantizers
from qadapt.stores.qdrant.server.connection import DISTRIBUTION, LOCAL, PACKAGE, SERVER
from qadapt.stores.qdrant.server.local_mode import RULE

_NATIVE, _CLIENT, _NOT = Support.NATIVE, Support.CLIENT, Support.UNSUPPORTED

_SEEN = "verified on 1.16.3 and 1.19.0, replayed in the tests"
_NEW = "verified on 1.19.0, replayed in the tests; other versions according to the documentation"
_WIDE = f"1-bit recall for rows added to an empty segment until it is indexed; {_SEEN}"
_CONTRACT = (
    "according to the documentation: no 1.20 server was tested; the embedded engine of 1.20 "
    "(edge) supports it"
)

RULES = by_contract(
    Rule(
        "native-quantization",
        _NATIVE,
        f"codes in addition to the original vectors, in each segment; {_SEEN}",
        since="1.4",
    ),
    Rule("native-rescore", _NATIVE, f"with the original vectors, per search; {_SEEN}", since="1.4"),
    Rule("native-oversampling", _NATIVE, f"in each segment; {_SEEN}", since="1.4"),
    Rule("native-undo", _NATIVE, f"PATCH with the former setting; {_SEEN}", since="1.4"),
    Rule("native-filter", _NATIVE, f"during the search, also with codes; {_SEEN}"),
    Rule("named-vectors", _NATIVE, f"each with its own quantization; {_SEEN}"),
    Rule("native-scalar", _NATIVE, f"one range for the whole collection; {_SEEN}", since="1.1"),
    Rule("native-scalar:7", _NATIVE, _SEEN, since="1.1"),
    Rule(
        "native-scalar:8",
        _NATIVE,
        f"7 bits in effect: codes are clamped to 0..127; {_SEEN}",
        since="1.1",
    ),
    Rule("native-product", _NATIVE, f"256 centroids; {_SEEN}", since="1.2"),
    Rule("native-product:4", _NATIVE, _SEEN, since="1.2"),
    Rule("native-product:8", _NATIVE, _NEW, since="1.2"),
    Rule("native-product:16", _NATIVE, _SEEN, since="1.2"),
    Rule("native-product:32", _NATIVE, _NEW, since="1.2"),
    Rule("native-product:64", _NATIVE, _SEEN, since="1.2"),
    Rule("native-binary", _NATIVE, f"also without an index since 1.16; {_SEEN}", since="1.5"),
    Rule("native-binary:1", _NATIVE, _SEEN, since="1.5"),
    Rule("native-binary:1.5", _NATIVE, _WIDE, since="1.15", otherwise=_NOT),
    Rule("native-binary:2", _NATIVE, _WIDE, since="1.15", otherwise=_NOT),
    Rule(
        "native-rotational",
        _NATIVE,
        f"TurboQuant; {_NEW}",
        since="1.18",
        otherwise=_NOT,
    ),
    Rule("native-rotational:1", _NATIVE, _NEW, since="1.18", otherwise=_NOT),
    Rule("native-rotational:1.5", _NATIVE, _NEW, since="1.18", otherwise=_NOT),
    Rule("native-rotational:2", _NATIVE, _NEW, since="1.18", otherwise=_NOT),
    Rule("native-rotational:4", _NATIVE, _NEW, since="1.18", otherwise=_NOT),
    Rule("native-rotational:8", _NATIVE, _CONTRACT, since="1.20", otherwise=_NOT),
    Rule(
        "native-float16",
        _NATIVE,
        f"as the datatype: set at creation, or changed by a copy and an alias switch; {_SEEN}",
        since="1.10",
    ),
)

# Native features of local mode: filters and named vectors.
_LOCAL_TOO = ("native-filter", "named-vectors")
# Features that client-side codes provide instead.
_OURS = (
    "native-quantization",
    "native-rescore",
    "native-oversampling",
    "native-undo",
    "native-scalar",
    "native-scalar:8",
    "native-binary",
    "native-binary:1",
)

LOCAL_RULES: tuple[Rule, ...] = tuple(
    rule
    if rule.feature in _LOCAL_TOO
    else Rule(rule.feature, _CLIENT if rule.feature in _OURS else _NOT, RULE)
    for rule in RULES
)


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
    rules={SERVER: RULES, LOCAL: LOCAL_RULES},
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
