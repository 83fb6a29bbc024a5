"""The profile of ``chroma:DIR`` and ``chroma+http://...``.

Rules: ``verified on ...`` means that the tests of qadapt ran on this version.
"""

from __future__ import annotations

from qadapt.model import Rule, Support
from qadapt.model.address_form import AddressForm
from qadapt.stores.chroma import client_code, ids, mapping
from qadapt.stores.chroma.connection import DATABASE, EMBEDDED, PACKAGE, SERVER, TENANT
from qadapt.stores.chroma.cost_model import ChromaCostModel
from qadapt.stores.chroma.quantizer_models import ChromaQuantizers
from qadapt.stores.chroma.search import MAX_K
from qadapt.stores.profile import DoctorCheck, StoreProfile, Traits

_NATIVE, _CLIENT, _NO = Support.NATIVE, Support.CLIENT, Support.UNSUPPORTED
_SEEN = "verified on chromadb 1.5.9"
_NONE = f"{mapping.REASON}; {_SEEN}"

RULES = (
    Rule("native-quantization", _CLIENT, _NONE),
    Rule("native-rescore", _CLIENT, _NONE),
    Rule("native-oversampling", _CLIENT, _NONE),
    Rule("native-undo", _CLIENT, _NONE),
    Rule("native-filter", _NATIVE, f"`where`, before the nearest rows are selected; {_SEEN}"),
    Rule("named-vectors", _NO, f"one vector per record; {_SEEN}"),
    Rule("native-float16", _NO, _NONE),
    Rule("native-scalar", _CLIENT, _NONE),
    Rule("native-scalar:8", _CLIENT, _NONE),
    Rule("native-product", _NO, _NONE),
    Rule("native-rotational", _NO, f"{_NONE}; Chroma Cloud has 4 bits, which were not observed"),
    Rule("native-binary", _CLIENT, _NONE),
    Rule("native-binary:1", _CLIENT, _NONE),
)

PROFILE = StoreProfile(
    interface=1,
    name="chroma",
    store="qadapt.stores.chroma.store:ChromaStore",
    address=AddressForm(
        ports={"http": 8000, "https": 443},
        local="folder",
        key_variables=("CHROMA_API_KEY",),
        defaults={"tenant": TENANT, "database": DATABASE},
    ),
    package=PACKAGE,
    distribution="chromadb",
    extra="chroma",
    deployments=(EMBEDDED, SERVER),
    rules=RULES,
    datatypes=("float32",),
    mapping=mapping.to_native,
    cost_model=ChromaCostModel(),
    quantizers=ChromaQuantizers(),
    checks=(
        DoctorCheck(
            "metadata-without-effect",
            "Metadata keys `hnsw:...` differ from the configuration, which alone has an effect.",
        ),
        DoctorCheck(
            "max-neighbors-ignored",
            "The configuration reports a `max_neighbors` that the graph was not built with.",
        ),
    ),
    traits=Traits(
        allows_missing_vectors=False, accepts_id=ids.accepts, rounds_cosine=True, max_k=MAX_K
    ),
    client_forms=client_code.FORMS,
    wraps_clients=True,
    tested="chromadb 1.5.9, in a folder and with `chroma run`.",
)
