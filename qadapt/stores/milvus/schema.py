"""Read the schema, the vectors and the indexes of a collection.

A collection created by qadapt has the primary key ``qadapt_id``. Its unnamed vector is in the field
``vector``, a vector ``title`` in ``vector_title`` (so a payload can also have a ``title``), and the
payload in the dynamic field. In other collections each dense vector has the name of its field.
Milvus stores the metric in the index. Before a change drops an index, qadapt stores the metric in a
collection property, because an interrupted change may leave no index.

``articles@red`` is the partition ``red`` of ``articles``; ``articles`` may be an alias.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from qadapt.errors import InputError, NotFoundError, UnsupportedError
from qadapt.model import Metric, Vector
from qadapt.model.vector import Datatype
from qadapt.stores import checks
from qadapt.stores.milvus import ids, sparse, vector_layout
from qadapt.stores.milvus.connection import Connection, module
from qadapt.stores.milvus.filters import Fields, is_name
from qadapt.stores.milvus.ids import PrimaryKey
from qadapt.stores.milvus.index_params import _FIELD, Index, indexes
from qadapt.stores.milvus.sparse import Sparse

KEY = "qadapt_id"
UNNAMED = "vector"
PREFIX = "vector_"
MAX_DIM = 32_768
METRICS = {Metric.COSINE: "COSINE", Metric.DOT: "IP", Metric.EUCLIDEAN: "L2"}
_METRICS = {word: metric for metric, word in METRICS.items()}
_DATATYPES = {word: cast(Datatype, datatype) for datatype, word in vector_layout.TYPES.items()}
_META = "$meta"
OURS = "qadapt."


@dataclass(frozen=True)
class Field:
    """The field of a vector.

    Attributes:
        field: the field name in Milvus.
        vector: dimensions, metric, datatype.
        index: the index, or None.
        metric_known: False if neither an index nor a collection property has the metric.
        form: how the vector is stored (see ``vector_layout``).
        codes: the index of the sign bits in the same collection, or None.
        coded: whether searches use these sign bits.
    """

    field: str
    vector: Vector
    index: Index | None
    metric_known: bool
    form: vector_layout.VectorForm = vector_layout.FLOAT
    codes: Index | None = None
    coded: bool = False


@dataclass(frozen=True)
class Layout:
    """The layout of a collection, or of one partition of it.

    Attributes:
        name: the requested name, possibly with a partition.
        base: the name without the partition, possibly an alias.
        partition: the partition, or None for the whole collection.
        real: the name of the collection.
        keys: the primary key.
        vectors: the dense vectors by name.
        others: vector fields that ``vectors`` does not contain, and why; includes sparse vectors.
        fields: the fields that filters can use.
        reserved: names that a payload key cannot have.
        auto_id: whether Milvus generates the primary keys.
        partition_key: the field that assigns rows to partitions, or None.
        consistency: the consistency level of searches: of the address, otherwise the collection's.
        bits: fields with sign bits in a second collection, and the state: ``on``, ``filling`` or
            ``lost``.
        raw: fields and properties, for the fingerprint.
        sparse: the sparse vectors, read and written if they are named.
        required: scalar fields that each row must have.
        elements: the element type of each ARRAY.
        nullable: fields that can be null.
        scalars: names of the indexes of scalar fields.
        settings: the property with settings of qadapt (see ``settings``); empty without them.
    """

    name: str
    base: str
    partition: str | None
    real: str
    keys: PrimaryKey
    vectors: Mapping[str, Field]
    others: Mapping[str, str]
    fields: Fields
    reserved: frozenset[str]
    auto_id: bool
    partition_key: str | None
    consistency: str
    bits: Mapping[str, str]
    raw: Mapping[str, Any]
    sparse: Mapping[str, Sparse] = dataclasses.field(default_factory=dict)
    required: frozenset[str] = frozenset()
    elements: Mapping[str, str] = dataclasses.field(default_factory=dict)
    scalars: frozenset[str] = frozenset()
    settings: str = ""
    nullable: frozenset[str] = frozenset()

    def nullable_in_lite(self, name: str) -> bool:
        """Whether a vector of zeros means null.

        Milvus Lite 3.2.2 accepts a null in a nullable vector field, returns zeros, and has no
        filter that distinguishes the two.
        """
        if not self.fields.lite or name in self.sparse:
            return False
        return self.field(name).field in self.nullable

    def place(self, vector: str) -> str:
        """The field of a vector, dense or sparse."""
        found = self.sparse.get(vector)
        return self.vectors[vector].field if found is None else found.field

    @property
    def where(self) -> dict[str, Any]:
        """The arguments that limit a query or search to the partition."""
        return {} if self.partition is None else {"partition_names": [self.partition]}

    @property
    def into(self) -> dict[str, Any]:
        """The arguments that write or delete rows in the partition."""
        return {} if self.partition is None else {"partition_name": self.partition}

    def field(self, vector: str) -> Field:
        """The field of a dense vector.

        Raises:
            NotFoundError: the vector does not exist.
            UnsupportedError: qadapt does not support this kind of vector.
        """
        return checks.vector(vector, self.vectors, self.others)

    @property
    def wanted(self) -> dict[str, Vector]:
        """The vectors, for ``Batch.check``."""
        return {name: each.vector for name, each in self.vectors.items()}


def bits_property(field: str) -> str:
    """The collection property with the state of a vector's sign bits (see ``binary_sidecar``)."""
    return f"{OURS}bits.{field}"


def check_name(name: str) -> str:
    """Check the name of a new collection or alias.

    Raises:
        InputError: Milvus does not accept the name.
    """
    if not isinstance(name, str) or not is_name(name):
        raise InputError(
            f"{name!r} is not a valid Milvus collection name",
            hint="use letters, digits and underscores, and do not start with a digit",
        )
    return name


def field_of(vector: str) -> str:
    """The field of a vector in a collection created by qadapt.

    Raises:
        InputError: Milvus does not accept the name.
    """
    if vector == "":
        return UNNAMED
    if not is_name(PREFIX + vector):
        raise InputError(
            f"{vector!r} is not a valid vector name in Milvus",
            hint="use letters, digits and underscores",
        )
    return PREFIX + vector


def metric_property(field: str) -> str:
    """The collection property in which a change stores the metric of a vector."""
    return f"{OURS}metric.{field}"


def split(name: str) -> tuple[str, str | None]:
    """Split ``articles@red`` into collection and partition; the partition is None without ``@``."""
    base, at, partition = name.partition("@")
    return base, partition if at else None


def partitions(connection: Connection, name: str) -> list[str]:
    """The partitions of a collection, sorted."""
    client = connection.client
    try:
        found = connection.call(f"list the partitions of {name!r}", client.list_partitions, name)
    except UnsupportedError:
        # Milvus Lite 2 has only the default partition.
        found = ["_default"]
    return sorted(found)


def _partition_key(fields: Sequence[Mapping[str, Any]]) -> str | None:
    return next((str(each["name"]) for each in fields if each.get("is_partition_key")), None)


def _check_partition(
    connection: Connection, base: str, partition: str, fields: Sequence[Mapping[str, Any]]
) -> None:
    by_key = _partition_key(fields)
    if by_key is not None:
        raise UnsupportedError(
            f"cannot address a partition of {base!r}: its partition key {by_key!r} assigns rows to "
            "partitions",
            hint=f"use {base!r} with a filter on {by_key!r}",
        )
    known = partitions(connection, base)
    if partition not in known:
        raise NotFoundError.missing("partition", partition, known)


def metric_of(word: str) -> Metric:
    """The metric of a Milvus metric type."""
    return _METRICS[word]


def describe(connection: Connection, name: str) -> Layout:
    """Read the layout of a collection, an alias, or a partition.

    Raises:
        NotFoundError: the collection or the partition does not exist.
        UnsupportedError: a partition of a collection that has a partition key.
    """
    client = connection.client
    base, partition = split(name)
    raw = connection.call(f"describe {base!r}", client.describe_collection, base)
    fields = [{**each, "type": type_name(each["type"])} for each in raw["fields"]]
    key = next(each for each in fields if each.get("is_primary"))
    ours = key["name"] == KEY
    if partition is not None:
        _check_partition(connection, base, partition, fields)
    found = indexes(connection, base)
    properties = dict(raw.get("properties") or {})
    vectors: dict[str, Field] = {}
    others: dict[str, str] = {}
    extras: dict[str, Sparse] = {}
    types: dict[str, str] = {}
    named = {each["name"] for each in fields}
    for each in fields:
        form = _form(each, named)
        if form is None:
            types[each["name"]] = each["type"]
            continue
        if ours and each["name"].startswith(vector_layout.CODES):
            continue
        label = _label(each["name"], ours=ours)
        if each["type"] == sparse.TYPE:
            index = found.get(each["name"])
            others[label], extra = sparse.described(each, index.definition if index else {})
            extras |= {label: extra} if extra is not None else {}
            continue
        problem, field = _vector(each, form, found, properties)
        if problem is not None:
            others[label] = problem
        elif field is not None:
            vectors[label] = field
    dynamic = bool(raw.get("enable_dynamic_field"))
    reserved = {each["name"] for each in fields if _form(each, named) is not None}
    return Layout(
        name=name,
        base=base,
        partition=partition,
        real=str(raw.get("collection_name") or base),
        keys=_keys(key, ours=ours, lite=connection.lite),
        vectors=vectors,
        others=others,
        fields=Fields(types, dynamic, connection.lite, connection.old_lite),
        reserved=frozenset(reserved | {key["name"], _META}),
        auto_id=bool(raw.get("auto_id")),
        partition_key=_partition_key(fields),
        consistency=connection.consistency or str(raw.get("consistency_level_name") or "Bounded"),
        bits={
            each.field: str(properties[mark])
            for each in vectors.values()
            if each.form == vector_layout.FLOAT
            and properties.get(mark := bits_property(each.field), "off") != "off"
        },
        raw={
            "fields": [{key: each.get(key) for key in _FIELD} for each in fields],
            "properties": {k: v for k, v in properties.items() if not k.startswith(OURS)},
            "dynamic": dynamic,
        },
        settings=str(properties.get(f"{OURS}settings") or ""),
        sparse=extras,
        required=frozenset(
            each["name"]
            for each in fields
            if each["name"] in types
            and each["name"] != key["name"]
            and not each.get("nullable")
            and each.get("default_value") is None
        ),
        scalars=frozenset(
            each.name for field, each in found.items() if field in types or field == _META
        ),
        elements={each["name"]: element_type(each) for each in fields if each["type"] == "ARRAY"},
        nullable=frozenset(each["name"] for each in fields if each.get("nullable")),
    )


def type_name(kind: Any) -> str:
    """The name of a data type."""
    return str(getattr(kind, "name", kind))


def element_type(field: Mapping[str, Any]) -> str:
    """The element type of an ARRAY, which pymilvus may return as a number."""
    kind = field.get("element_type")
    return type_name(module().DataType(kind) if isinstance(kind, int) else kind)


def _label(field: str, *, ours: bool) -> str:
    if not ours:
        return field
    return "" if field == UNNAMED else field.removeprefix(PREFIX)


def _keys(key: Mapping[str, Any], *, ours: bool, lite: bool) -> PrimaryKey:
    length = int((key.get("params") or {}).get("max_length") or ids.MAX_LENGTH)
    return PrimaryKey(
        key["name"], number=key["type"] == "INT64", tagged=ours, length=length, chars=lite
    )


def _form(each: Mapping[str, Any], named: Collection[str]) -> vector_layout.VectorForm | None:
    """How a field stores a vector; None if it is not a vector field."""
    bits = vector_layout.codes_field(each["name"]) in named
    if each["type"] == "ARRAY" and bits:
        return vector_layout.ARRAY
    if "VECTOR" not in each["type"]:
        return None
    return vector_layout.SIDECAR_FIELD if bits else vector_layout.FLOAT


def _vector(
    each: Mapping[str, Any],
    form: vector_layout.VectorForm,
    found: Mapping[str, Index],
    properties: Mapping[str, Any],
) -> tuple[str | None, Field | None]:
    name = each["name"]
    datatype: Datatype | None = (
        "float32" if form == vector_layout.ARRAY else _DATATYPES.get(each["type"])
    )
    if datatype is None:
        packed = each["type"] == "BINARY_VECTOR"
        # packed bits are not floats: only a code index searches them without the original vectors
        use = "; CodeIndex.add takes its rows as codes of the kind 'ubinary'" if packed else ""
        return f"is a {each['type']}{use}", None
    index = found.get(name) if form != vector_layout.ARRAY else None
    word = index.metric if index is not None else str(properties.get(metric_property(name), ""))
    if index is not None and word not in _METRICS:
        return f"has the metric {word}; qadapt supports COSINE, IP and L2", None
    metric = _METRICS.get(word)
    dim = each["params"]["max_capacity" if form == vector_layout.ARRAY else "dim"]
    vector = Vector(int(dim), metric or Metric.COSINE, datatype)
    coded = form == vector_layout.ARRAY
    if form == vector_layout.SIDECAR_FIELD:
        coded = str(properties.get(bits_property(name), "on")) != "off"
    codes = found.get(vector_layout.codes_field(name))
    return None, Field(name, vector, index, metric is not None, form, codes, coded)


def loaded(connection: Connection, name: str) -> bool:
    """Whether the collection is loaded."""
    return load_state(connection, name) == "Loaded"


def load_state(connection: Connection, name: str) -> str:
    """``Loaded``, ``Loading``, ``NotLoad`` or ``NotExist``."""
    client = connection.client
    found = connection.call(f"read the load state of {name!r}", client.get_load_state, name)
    return str(getattr(found["state"], "name", found["state"]))
