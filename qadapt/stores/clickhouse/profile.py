"""The profile of ``clickhouse:DIR`` and ``clickhouse+http://HOST:8123``.

Rules: ``verified on ...`` means that the tests of qadapt ran on this version.
"""

from __future__ import annotations

from qadapt.model import Id, Rule, Support
from qadapt.model.address_form import AddressForm
from qadapt.stores import doctor_checks
from qadapt.stores.clickhouse import client_code, mapping
from qadapt.stores.clickhouse.cost_model import ClickHouseCostModel
from qadapt.stores.clickhouse.ids import valid_text
from qadapt.stores.clickhouse.quantizer_models import ClickHouseQuantizers
from qadapt.stores.clickhouse.version import OLDEST, SINCE_BIT_PLANES, SINCE_CODEC
from qadapt.stores.profile import DoctorCheck, StoreProfile, Traits

_NATIVE = Support.NATIVE
_SEEN = "verified on ClickHouse 26.9 in chDB 4.4.0"


def _rules(deployment: str) -> tuple[Rule, ...]:
    """The rules; no test of qadapt ran on a server."""
    seen = _SEEN if deployment == "embedded" else f"{_SEEN}; the HTTP interface by contract only"

    def rule(name: str, words: str, since: str = OLDEST) -> Rule:
        return Rule(name, _NATIVE, f"{words}; {seen}", since=since)

    return (
        rule("native-quantization", "an index of the type vector_similarity, or a codec"),
        rule("native-rescore", "vector_search_with_rescoring"),
        rule("native-oversampling", "vector_search_index_fetch_multiplier"),
        rule("native-undo", "the index is dropped; a codec is removed by a copy"),
        rule("native-filter", "WHERE, before the nearest rows are selected"),
        rule("named-vectors", "one column per vector"),
        rule("native-float16", "an index of f16 or bf16"),
        rule("native-scalar", "an index of i8, or the codec int8"),
        rule("native-scalar:8", "an index of i8, or the codec int8"),
        *(
            rule(f"native-scalar:{bits}", "bit planes (QBit)", SINCE_BIT_PLANES)
            for bits in (4, 6, 7)
        ),
        rule("native-binary", "an index of b1"),
        rule("native-binary:1", "an index of b1"),
        rule("native-rotational", "the codecs rabitq and turboquant", SINCE_CODEC),
        rule("native-rotational:1", "the codec rabitq", SINCE_CODEC),
        rule("native-rotational:2", "the codec turboquant", SINCE_CODEC),
        rule("native-product", "the codec product", SINCE_CODEC),
    )


def accepts_id(key: Id) -> bool:
    """A signed 64-bit integer, or a text."""
    if isinstance(key, int):
        return -(2**63) <= key < 2**63
    return valid_text(key)


PROFILE = StoreProfile(
    interface=1,
    name="clickhouse",
    store="qadapt.stores.clickhouse.store:ClickHouseStore",
    address=AddressForm(
        {"http": 8123, "https": 8443},
        local="folder",
        key_variables=("CLICKHOUSE_PASSWORD",),
        connection_options=("metric", "id"),
        defaults={"database": "default"},
    ),
    package="chdb",
    distribution="chdb",
    extra="clickhouse",
    deployments=("server", "embedded"),
    rules={each: _rules(each) for each in ("server", "embedded")},
    datatypes=("float32",),
    mapping=mapping.to_native,
    cost_model=ClickHouseCostModel(),
    quantizers=ClickHouseQuantizers(),
    checks=(
        DoctorCheck("coded-column", "ALTER UPDATE and ATTACH PARTITION would destroy vectors."),
        DoctorCheck("zero-vectors", "Vectors of a coded column are zero."),
        DoctorCheck("lengths-ignored", "An index of i8 ignores the lengths of vectors."),
        DoctorCheck("several-indexes", "A column has several indexes; a search uses the last."),
        DoctorCheck("deleted-rows", "Deleted rows use up the candidates of an index."),
        doctor_checks.DUPLICATE_IDS,
        doctor_checks.UNKNOWN_METRIC,
    ),
    traits=Traits(
        allows_missing_vectors=False,
        accepts_id=accepts_id,
        segment_candidates=True,
        shortens_codes=True,
    ),
    client_forms=client_code.FORMS,
    wraps_clients=True,
    tested="ClickHouse 26.9.2.1 in chDB 4.4.0; the HTTP interface by contract only.",
)
