"""The profile of ``sqlite-vec:FILE.db``.

Rules: ``verified on ...`` means that the tests of qadapt ran on this version.
"""

from __future__ import annotations

from qadapt.model import Rule, Support
from qadapt.model.address_form import AddressForm
from qadapt.stores import key_ids
from qadapt.stores.profile import DoctorCheck, StoreProfile, Traits
from qadapt.stores.sqlite_vec import client_code, mapping
from qadapt.stores.sqlite_vec.cost_model import SqliteVecCostModel
from qadapt.stores.sqlite_vec.quantizer_models import SqliteVecQuantizers
from qadapt.stores.sqlite_vec.search import MAX_K

_NATIVE, _CLIENT = Support.NATIVE, Support.CLIENT
_SEEN = "verified on sqlite-vec 0.1.9 and SQLite 3.51"

RULES = (
    Rule("native-quantization", _NATIVE, f"a table of int8 codes or sign bits; {_SEEN}"),
    Rule("native-rescore", _NATIVE, f"one statement sorts candidates by the vectors; {_SEEN}"),
    Rule("native-oversampling", _NATIVE, f"up to {MAX_K:,} candidates; {_SEEN}"),
    Rule("native-undo", _NATIVE, f"the table of codes is dropped; {_SEEN}"),
    Rule("native-filter", _NATIVE, f"WHERE, before the nearest rows are selected; {_SEEN}"),
    Rule("named-vectors", _NATIVE, f"one column per vector; {_SEEN}"),
    Rule("native-scalar", _NATIVE, f"int8 codes; {_SEEN}"),
    Rule("native-scalar:8", _NATIVE, f"int8 codes; {_SEEN}"),
    Rule("native-binary", _NATIVE, f"sign bits; {_SEEN}"),
    Rule("native-binary:1", _NATIVE, f"sign bits; {_SEEN}"),
)


PROFILE = StoreProfile(
    interface=1,
    name="sqlite-vec",
    store="qadapt.stores.sqlite_vec.store:SqliteVecStore",
    address=AddressForm(local="file", connection_options=("cache_mb",)),
    package="sqlite_vec",
    distribution="sqlite-vec",
    extra="sqlite-vec",
    deployments=("embedded",),
    rules=RULES,
    datatypes=("float32",),
    mapping=mapping.to_native,
    cost_model=SqliteVecCostModel(),
    quantizers=SqliteVecQuantizers(),
    checks=(
        DoctorCheck("codes-left-behind", "Rows of other programs have no codes, or outdated ones."),
        DoctorCheck("clipped-codes", "Rows have values outside of the range of int8 codes."),
        DoctorCheck("invalid-vectors", "Vectors have NaN or infinite values."),
        DoctorCheck("default-metric", "A column has no metric, so that vec0 uses l2."),
        DoctorCheck("journal-mode", "Without WAL, searches and writes wait for each other."),
        DoctorCheck("free-pages", "Deleted rows and codes left free pages in the file."),
    ),
    traits=Traits(
        allows_missing_vectors=False,
        recreates=True,
        accepts_id=key_ids.accepts,
        max_k=MAX_K,
    ),
    client_forms=client_code.FORMS,
    wraps_clients=True,
    tested="sqlite-vec 0.1.9 with SQLite 3.51.",
)
