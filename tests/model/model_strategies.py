"""Generated values of all model classes."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from qadapt.model import (
    Capabilities,
    Capability,
    CollectionInfo,
    CollectionSchema,
    Estimate,
    Evidence,
    ExtraVector,
    Finding,
    Guard,
    Kind,
    Match,
    MatchLevel,
    Metric,
    Plan,
    Quantization,
    Rescore,
    SearchProvenance,
    Server,
    Severity,
    State,
    Status,
    Step,
    Support,
    Symbol,
    UnknownDimension,
    Vector,
    VectorInfo,
)
from qadapt.model.address import Address
from qadapt.model.client_params import ClientParams
from qadapt.model.encoder_choice import EncoderChoice
from qadapt.model.engine_memory import EngineMemory
from qadapt.model.hits import HitsDocument
from qadapt.model.memory_change import MemoryChange
from qadapt.model.prices import Prices
from qadapt.model.spec import CollectionSpec, Spec, StoreSpec, VectorSpec
from qadapt.model.vector import DATATYPES

# -- JSON ----------------------------------------------------------------------------------------

words = st.text(max_size=12)
finite = st.floats(allow_nan=False, allow_infinity=False)
bytes_ = st.integers(0, 2**50)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | finite | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
json_objects = st.dictionaries(words, json_values, max_size=3)

# -- the model -----------------------------------------------------------------------------------

rescores = st.just(Rescore(source="off")) | st.builds(
    Rescore,
    oversampling=st.floats(1, 1e6) | st.integers(1, 1000),
    source=st.sampled_from(["originals", "codes", "int8", "float16", "bfloat16"]),
)
rescores |= st.builds(
    Rescore,
    source=st.sampled_from(["originals", "codes"]),
    candidates=st.integers(1, 1_000_000),
)
_places = st.none() | st.sampled_from(["ram", "disk"])
_code_places = st.none() | st.sampled_from(["ram", "cached", "disk"])


def _knobs(kind: Kind) -> dict[str, st.SearchStrategy[Any]]:
    if kind is Kind.SCALAR:
        return {
            "bits": st.sampled_from([None, 4, 6, 7, 8]),
            "quantile": st.none() | st.floats(0.5, 1),
            "per": st.sampled_from([None, "collection", "dimension"]),
        }
    if kind is Kind.ROTATIONAL:
        return {
            "bits": st.sampled_from([None, 1, 1.5, 2, 4, 8, 9]),
            "query_bits": st.sampled_from([None, 1, 4, 8, 32]),
        }
    if kind is Kind.BINARY:
        return {
            "bits": st.sampled_from([None, 1, 1.5, 2]),
            "query_bits": st.sampled_from([None, 1, 4, 8, 32]),
        }
    if kind is Kind.PRODUCT:
        return {"centroids": st.none() | st.integers(2, 65536)}
    return {}


@st.composite
def _quantizations(draw: st.DrawFn) -> Quantization:
    kind = draw(st.sampled_from(list(Kind)))
    knobs = {name: draw(values) for name, values in _knobs(kind).items()}
    if kind is Kind.PRODUCT:
        size = draw(st.sampled_from(["ratio", "segments", "neither"]))
        if size == "ratio":
            knobs["ratio"] = draw(st.floats(2, 256) | st.integers(2, 256))
        if size == "segments":
            knobs["segments"] = draw(st.integers(1, 65536))
    off = st.none() | st.just(Rescore(source="off"))
    coded = kind not in (Kind.NONE, Kind.FLOAT16)
    originals = draw(_places | st.just("none") if coded else _places)
    rescore = off if kind is Kind.NONE or originals == "none" else st.none() | rescores
    return Quantization(
        kind,
        dims=draw(st.none() | st.integers(1, 65536)),
        rescore=draw(rescore),
        codes=draw(_code_places),
        originals=originals,
        native=draw(json_objects),
        **knobs,
    )


quantizations = _quantizations()
metrics = st.sampled_from(list(Metric))
datatypes = st.sampled_from(DATATYPES)
vectors = st.builds(Vector, st.integers(1, 65536), metrics, datatypes)
evidence = st.builds(Evidence, words, json_values)
statuses = st.builds(
    Status,
    state=st.sampled_from(list(State)),
    reason=words,
    progress=st.none() | st.floats(0, 1),
    evidence=st.lists(evidence, max_size=3).map(tuple),
    advice=words,
)
servers = st.builds(Server, words, st.none() | words, words)
vector_infos = st.builds(
    VectorInfo,
    name=words,
    dim=st.integers(1, 65536),
    metric=metrics,
    datatype=datatypes,
    count=bytes_,
    index=json_objects,
    quantization=quantizations,
    status=statuses,
    quantized_by=st.sampled_from(["store", "qadapt"]),
    default_rescore=st.none() | rescores,
    code_bytes=st.none() | bytes_,
    graph_bytes=st.none() | bytes_,
    float_bytes=st.none() | bytes_,
)
unmeasured = st.builds(UnknownDimension, rows_read=bytes_, complete=st.booleans())
collection_infos = st.builds(
    CollectionInfo,
    name=words,
    count=bytes_,
    vectors=st.dictionaries(words, vector_infos, max_size=2),
    server=servers,
    config=json_objects,
    unknown_dimensions=st.dictionaries(words, unmeasured, max_size=2),
)
lines = st.lists(words, max_size=3).map(tuple)
match_values = st.builds(Match, st.sampled_from(list(MatchLevel)), lines, lines)
capability_values = st.builds(Capability, st.sampled_from(list(Support)), words)
capabilities = st.builds(
    Capabilities,
    store=words,
    version=st.none() | words,
    deployment=words,
    features=st.dictionaries(words, capability_values, max_size=3),
    disabled=lines,
)
estimates = st.builds(
    Estimate,
    *[bytes_] * 5,
    stops=st.sampled_from(["nothing", "writes", "searches", "searches and writes"]),
)
steps = st.builds(
    Step,
    symbol=st.sampled_from(list(Symbol)),
    action=words,
    reason=words,
    request=json_objects,
    reverse=st.none() | json_objects,
    estimate=estimates,
)
guards = st.builds(
    Guard,
    recall=st.floats(0, 1, exclude_min=True, allow_subnormal=False),
    k=st.integers(1, 10_000),
    queries=st.integers(1, 10_000) | st.text(min_size=1, max_size=9),
    seed=st.integers(0, 2**31),
    clients=st.sampled_from(["any", "configured"]),
    filter=st.none()
    | st.sampled_from(
        [
            {"a": "x"},
            {"a": {"missing": True}},
            {"a": None, "b": {"gte": 1}},
            [{"a": "x"}, {"exists": {"eq": 1}}],
            'a == "x"',
        ]
    ),
    by_limit=st.integers(1, 10_000),
)
clients = st.builds(
    ClientParams,
    collection=words,
    vector=words,
    k=st.integers(1, 10_000),
    needed=st.booleans(),
    rescore=st.none() | rescores,
    limit=st.integers(1, 10_000),
    params=json_objects,
    rescores=st.booleans(),
    dims=st.none() | st.integers(1, 65536),
    reachable=st.booleans(),
    kept_in=st.sampled_from(["collection", "this machine", "nowhere"]),
    notes=lines,
    code=st.dictionaries(words, words, max_size=2),
)
amounts = st.none() | st.floats(0, 1e6)
prices = st.builds(Prices, ram=amounts, disk=amounts)
memory_changes = st.builds(
    MemoryChange,
    *[bytes_] * 4,
    note=words,
    prices=st.none() | prices,
    monthly_before=amounts,
    monthly_after=amounts,
)
plans = st.builds(
    Plan,
    id=st.from_regex(r"[0-9A-Za-z][0-9A-Za-z_-]{0,20}", fullmatch=True),
    **dict.fromkeys(("created", "address", "collection", "vector", "fingerprint"), words),
    server=servers,
    current=quantizations,
    requested=quantizations,
    target=quantizations,
    match=match_values,
    accept=st.sampled_from(["exact", "differs", "client"]),
    count=bytes_,
    dim=st.integers(1, 65536),
    metric=st.none() | st.sampled_from(Metric),
    datatype=st.none() | st.sampled_from(DATATYPES),
    steps=st.lists(steps, max_size=3).map(tuple),
    notes=lines,
    disabled=lines,
    guard=st.none() | guards,
    qadapt=words,
    clients=st.none() | clients,
    memory=st.none() | memory_changes,
)
provenances = st.builds(
    SearchProvenance,
    searcher=st.sampled_from(["store", "qadapt", "store exact"]),
    rescorer=st.sampled_from(["store", "qadapt", "none"]),
    oversampling=st.floats(1, 1e6),
    candidates=bytes_,
    rescored_on=st.sampled_from(["originals", "codes", "none"]),
    scores=st.sampled_from(["exact", "approximate"]),
    rescore_from=st.sampled_from(["call", "collection", "store default"]),
    notes=lines,
)


def _rows(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(st.lists(values, max_size=3).map(tuple), max_size=3).map(tuple)


hits_documents = st.builds(
    HitsDocument,
    ids=_rows(st.none() | st.integers(0, 2**64) | words),
    scores=_rows(st.none() | finite),
    how=provenances,
    payloads=st.none() | _rows(st.none() | json_objects),
)
# Rescoring is set only once: in the quantization or as a separate field.
vector_specs = st.builds(VectorSpec, quantizations) | st.builds(
    VectorSpec,
    st.sampled_from(["binary", "scalar:bits=7", "product:ratio=8"]).map(Quantization.parse),
    st.none() | rescores,
    _code_places,
    _places,
    json_objects,
)
names = st.text(min_size=1, max_size=8)
collection_specs = st.builds(
    CollectionSpec, st.dictionaries(words, vector_specs, min_size=1, max_size=2), st.none() | guards
)
store_specs = st.builds(
    StoreSpec,
    st.sampled_from(["edge:./data", "qdrant+https://h:1/p", "milvus:a b.db"]).map(Address.parse),
    st.dictionaries(names, collection_specs, min_size=1, max_size=2),
)
specs = st.builds(Spec, st.lists(store_specs, min_size=1, max_size=1).map(tuple))

findings = st.builds(
    Finding,
    words,
    st.sampled_from(list(Severity)),
    words,
    words,
    st.lists(evidence, max_size=3).map(tuple),
    words,
    words,
)
extras = st.builds(
    ExtraVector,
    st.sampled_from(["sparse", "multi"]),
    st.none() | st.integers(1, 4096),
    st.none() | st.sampled_from(list(Metric)),
    words,
    st.dictionaries(words, st.booleans() | words, max_size=3),
)
besides = st.builds(
    CollectionSchema,
    st.dictionaries(words, extras, max_size=3),
    st.dictionaries(words, words, max_size=3),
    st.lists(words, max_size=3).map(tuple),
    st.booleans(),
    st.none() | words,
)
PLAIN: dict[type[Any], st.SearchStrategy[Any]] = {
    CollectionSchema: besides,
    Capabilities: capabilities,
    Capability: capability_values,
    ClientParams: clients,
    CollectionInfo: collection_infos,
    CollectionSpec: collection_specs,
    EncoderChoice: st.builds(
        EncoderChoice,
        words,
        st.none() | st.integers(1, 65536),
        st.none() | words,
        st.none() | words,
    ),
    EngineMemory: st.builds(EngineMemory, bytes_, words),
    Estimate: estimates,
    MemoryChange: memory_changes,
    Prices: prices,
    Evidence: evidence,
    ExtraVector: extras,
    Finding: findings,
    Guard: guards,
    HitsDocument: hits_documents,
    SearchProvenance: provenances,
    Match: match_values,
    Plan: plans,
    Quantization: quantizations,
    Rescore: rescores,
    Server: servers,
    Spec: specs,
    Status: statuses,
    Step: steps,
    StoreSpec: store_specs,
    Vector: vectors,
    UnknownDimension: unmeasured,
    VectorInfo: vector_infos,
    VectorSpec: vector_specs,
}
