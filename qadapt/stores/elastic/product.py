"""What differs between Elasticsearch and OpenSearch; each store has one ``Product``."""

from __future__ import annotations

import abc
import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qadapt.model import Metric, Vector
from qadapt.model.arrays import Floats
from qadapt.model.bfloat16 import from_bfloat16
from qadapt.stores.engine_version import EngineVersion

if TYPE_CHECKING:
    from qadapt.stores.elastic.schema import Index, VectorField


@dataclass(frozen=True)
class ParsedVector:
    """A vector field of a mapping.

    Attributes:
        vector: dimensions, metric and datatype; None if qadapt does not support the field.
        problem: why it does not.
    """

    vector: Vector | None
    problem: str = ""


class Product(abc.ABC):
    """A product at one version.

    Attributes:
        title: for messages, such as ``Elasticsearch``.
        version: the version of the server.
        vector_types: types of mapping fields that hold vectors.
        refresh_privilege: what a key needs to refresh an index.
        oldest: the first version that qadapt supports.
    """

    title: str
    refresh_privilege: str
    vector_types: tuple[str, ...]
    oldest: str

    def __init__(self, version: str) -> None:
        self.version = version

    @property
    @abc.abstractmethod
    def server_version(self) -> EngineVersion:
        """The version with the features that it has."""

    @property
    def slices_by_id(self) -> bool:
        """Whether a point in time can be read in parts by the id."""
        return True

    # -- mappings ----------------------------------------------------------------------------

    @abc.abstractmethod
    def parse_vector(self, definition: Mapping[str, Any]) -> ParsedVector:
        """The vector of a field of one of ``vector_types``."""

    @abc.abstractmethod
    def new_field(self, vector: Vector, native: Mapping[str, Any]) -> dict[str, Any]:
        """The complete definition of a field.

        Args:
            native: of ``MappedQuantization``; empty for a vector without codes.
        """

    @abc.abstractmethod
    def new_settings(self, vectors: Mapping[str, Vector]) -> dict[str, Any]:
        """Settings of a new index."""

    def recorded(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The mapping of a new index with what the product needs to verify it later."""
        return body

    # -- rows --------------------------------------------------------------------------------

    def refused_rows(self, rows: Floats) -> npt.NDArray[np.intp]:
        """Row numbers of finite vectors that the server refuses under every metric."""
        return np.empty(0, dtype=np.intp)

    @abc.abstractmethod
    def encoded(self, rows: Floats) -> Sequence[bytes]:
        """The JSON of each vector for a bulk request."""

    @abc.abstractmethod
    def reads_doc_values(self, index: Index) -> bool:
        """Whether vectors are read from their own storage and not from ``_source``."""

    def decoded(self, value: Any, dim: int) -> npt.NDArray[np.float32]:
        """A vector as a server returns it: numbers, or base64 of big-endian values."""
        if not isinstance(value, str):
            return np.asarray(value, dtype=np.float32)
        raw = base64.b64decode(value)
        if len(raw) == 2 * dim:
            return from_bfloat16(np.frombuffer(raw, dtype=">u2").astype(np.uint16))
        return np.frombuffer(raw, dtype=">f4").astype(np.float32)

    @abc.abstractmethod
    def open_pit(self, index: str, keep_alive: str) -> tuple[str, dict[str, Any], str]:
        """Path, parameters and key of the answer of a request that opens a point in time."""

    @abc.abstractmethod
    def close_pit(self, pit: str) -> tuple[str, dict[str, Any]]:
        """Path and body of the request (DELETE) that closes a point in time."""

    # -- searching ---------------------------------------------------------------------------

    def encoded_query(self, query: Floats) -> bytes:
        """The JSON of a query vector in the body of a search."""
        return number_lists(query[None])[0]

    @abc.abstractmethod
    def scores(self, field: VectorField, found: Floats) -> Floats:
        """Native scores in the unit of the metric: cosine, dot product, negative squared L2."""


def number_lists(rows: Floats) -> list[bytes]:
    """Each row ``(n, d)`` as a JSON list of numbers with 9 digits, which identify a float32.

    That takes a third of the time of ``json.dumps``, which writes the 17 digits of a float64.
    """
    form = f"[{','.join(['%.9g'] * rows.shape[1])}]"
    found = [form % tuple(row) for row in rows.tolist()]
    # A parser reads -0 as the integer 0; an exponent has two digits.
    return [e.replace("-0,", "-0.0,").replace("-0]", "-0.0]").encode() for e in found]


def similarity_score(metric: Metric, scores: Floats) -> Floats:
    """The metric of native scores, by the formulas that both products document.

    ``(1 + cos) / 2``, ``(1 + dot) / 2`` of unit vectors or ``1 + dot`` and ``1 / (1 - dot)``, and
    ``1 / (1 + d^2)`` (docs/engines/elasticsearch.md#scores).
    """
    wide = np.asarray(scores, dtype=np.float64)
    if metric is Metric.COSINE:
        cosines: Floats = (2 * wide - 1).astype(np.float32)
        return cosines
    with np.errstate(divide="ignore", invalid="ignore"):
        if metric is Metric.EUCLIDEAN:
            found = -(1 / wide - 1)
        else:
            found = np.where(wide >= 1, wide - 1, 1 - 1 / wide)
    return found.astype(np.float32)
