"""The profile of ``lancedb:FOLDER``.

Rules: ``verified on ...`` means that the tests of qadapt ran on this version. LanceDB Cloud is
supported by its documented interface only.
"""

from __future__ import annotations

from qadapt.model import Rule, Support
from qadapt.model.address_form import AddressForm
from qadapt.stores import key_ids
from qadapt.stores.lancedb import client_code, mapping
from qadapt.stores.lancedb.cost_model import LanceDbCostModel
from qadapt.stores.lancedb.quantizer_models import LanceDbQuantizers
from qadapt.stores.lancedb.version import OLDEST
from qadapt.stores.profile import DoctorCheck, StoreProfile, Traits

_NATIVE = Support.NATIVE


def _rules(checked: str) -> tuple[Rule, ...]:
    """The capabilities.

    Args:
        checked: how they were checked.
    """
    return (
        Rule("native-quantization", _NATIVE, f"vector indexes with codes; {checked}"),
        Rule("native-rescore", _NATIVE, f"refine_factor; {checked}"),
        Rule("native-oversampling", _NATIVE, f"refine_factor, whole numbers; {checked}"),
        Rule("native-undo", _NATIVE, f"a version of the table, or a build; {checked}"),
        Rule("native-filter", _NATIVE, f"WHERE, before the nearest rows are selected; {checked}"),
        Rule("named-vectors", _NATIVE, f"one column per vector; {checked}"),
        Rule("native-scalar", _NATIVE, f"IVF_SQ and IVF_HNSW_SQ; {checked}"),
        Rule("native-scalar:8", _NATIVE, f"IVF_SQ and IVF_HNSW_SQ; {checked}"),
        Rule("native-rotational", _NATIVE, f"IVF_RQ (RaBitQ); {checked}"),
        *(
            Rule(f"native-rotational:{bits}", _NATIVE, f"IVF_RQ of {bits} bits; {checked}")
            for bits in range(1, 10)
        ),
        Rule("native-product", _NATIVE, f"IVF_PQ and IVF_HNSW_PQ; {checked}"),
    )


RULES = {
    "embedded": _rules(f"verified on lancedb {OLDEST}"),
    "cloud": _rules("as documented for LanceDB Cloud; not run"),
}


PROFILE = StoreProfile(
    interface=1,
    name="lancedb",
    store="qadapt.stores.lancedb.store:LanceDbStore",
    address=AddressForm(
        local="folder",
        key_variables=("LANCEDB_API_KEY",),
        connection_options=("id", "metric", "region", "endpoint", "host_override"),
        remote=("s3", "gs", "az", "db"),
    ),
    package="lancedb",
    distribution="lancedb",
    extra="lancedb",
    deployments=("embedded", "cloud"),
    rules=RULES,
    datatypes=("float32", "float16"),
    mapping=mapping.to_native,
    cost_model=LanceDbCostModel(),
    quantizers=LanceDbQuantizers(),
    checks=(
        DoctorCheck("rows-not-indexed", "Rows are not in the index, and each search scans them."),
        DoctorCheck("unused-index", "A column has several indexes, and the oldest one serves."),
        DoctorCheck("empty-index", "The engine built an index without codes: too few rows."),
        DoctorCheck("metric-not-recorded", "Neither an index nor the schema has the metric."),
        DoctorCheck("few-probes", "A search probes fewer partitions than the index has."),
        DoctorCheck("repeated-ids", "Several rows have the same id, or none."),
        DoctorCheck("small-files", "The rows are in many small files."),
        DoctorCheck(
            "distances-of-codes",
            "Search parameters request no refine_factor, so that distances are those of the codes.",
            needs="options",
        ),
        DoctorCheck(
            "other-metric",
            "Search parameters request a metric other than that of the index.",
            needs="options",
        ),
    ),
    traits=Traits(
        recreates=True,
        accepts_id=key_ids.accepts,
        segment_candidates=True,
    ),
    client_forms=client_code.FORMS,
    wraps_clients=True,
    tested=f"lancedb {OLDEST} in local folders. Object stores and LanceDB Cloud: by contract.",
)
