"""Fields and settings of indexes, as Elasticsearch reads and writes them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import UnsupportedError
from qadapt.model import Metric, Vector
from qadapt.model.arrays import Floats
from qadapt.stores.elastic.elasticsearch import code_record, mapping
from qadapt.stores.elastic.elasticsearch.version import (
    OLDEST,
    SINCE_BASE64,
    SINCE_BASE64_QUERY,
    SINCE_BFLOAT16,
    SINCE_BYTES_OF_CODES,
    SINCE_EXCLUDED_VECTORS,
    SINCE_SLICES_BY_ID,
    ServerVersion,
)
from qadapt.stores.elastic.product import ParsedVector, Product, number_lists, similarity_score
from qadapt.stores.elastic.schema import Index, VectorField, quoted

MAX_DIM = 4096
_DATATYPES = {"float": "float32", "bfloat16": "bfloat16"}
_ELEMENTS = {datatype: element for element, datatype in _DATATYPES.items()}
_EXCLUDED = "mapping.exclude_source_vectors"


class Elasticsearch(Product):
    """Elasticsearch at one version."""

    title = "Elasticsearch"
    refresh_privilege = "maintenance"
    vector_types = ("dense_vector",)
    oldest = OLDEST

    @property
    def server_version(self) -> ServerVersion:
        return ServerVersion(self.version)

    def parse_vector(self, definition: Mapping[str, Any]) -> ParsedVector:
        element = definition.get("element_type", "float")
        if element not in _DATATYPES:
            return ParsedVector(None, f"has the element type {element}, not float or bfloat16")
        if definition.get("index") is False:
            return ParsedVector(None, "is not indexed, so it cannot be searched by knn")
        if "dims" not in definition:
            return ParsedVector(None, "has no dimensions yet: the first document sets them")
        metric = mapping.METRICS[definition.get("similarity", "cosine")]
        datatype: Any = _DATATYPES[element]
        return ParsedVector(Vector(int(definition["dims"]), metric, datatype))

    def new_field(self, vector: Vector, native: Mapping[str, Any]) -> dict[str, Any]:
        options = mapping.index_options(native, {}, None)
        return self.field(vector, options)

    def field(self, vector: Vector, options: Mapping[str, Any]) -> dict[str, Any]:
        """The definition of a field.

        Raises:
            UnsupportedError: the datatype, or the number of dimensions.
        """
        if vector.datatype not in _ELEMENTS:
            raise UnsupportedError(
                f"Elasticsearch stores float32 and bfloat16 here, not {vector.datatype}",
                hint="use datatype float32",
            )
        if vector.datatype == "bfloat16":
            lacking = self.server_version.lacks("the datatype bfloat16 needs", SINCE_BFLOAT16)
            if lacking:
                raise UnsupportedError(lacking, hint="use datatype float32")
        if vector.dim > MAX_DIM:
            raise UnsupportedError(
                f"Elasticsearch stores at most {MAX_DIM:,} dimensions; got {vector.dim:,}",
                hint="use fewer dimensions",
            )
        element = {} if vector.datatype == "float32" else {"element_type": vector.datatype}
        return {
            "type": "dense_vector",
            "dims": vector.dim,
            **element,
            "index": True,
            "similarity": mapping.SIMILARITIES[vector.metric],
            "index_options": dict(options),
        }

    def options_of(self, field: VectorField) -> Mapping[str, Any]:
        """``index_options`` of a field; the default that it does not show."""
        shown = field.definition.get("index_options")
        if isinstance(shown, Mapping) and shown.get("type"):
            return shown
        return {"type": mapping.default_type(field.vector, self.server_version)}

    def new_settings(self, vectors: Mapping[str, Vector]) -> dict[str, Any]:
        """Under cosine, the server stores vectors at length 1 and multiplies them when they are
        read, which loses the last digit; the document keeps what was sent."""
        if not self.server_version.has(SINCE_EXCLUDED_VECTORS):
            return {}
        scaled = any(each.metric is Metric.COSINE for each in vectors.values())
        return {f"index.{_EXCLUDED}": not scaled}

    def recorded(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.server_version.has(SINCE_BYTES_OF_CODES):
            return body
        return code_record.with_created(body)

    @property
    def slices_by_id(self) -> bool:
        return self.server_version.has(SINCE_SLICES_BY_ID)

    def refused_rows(self, rows: Floats) -> npt.NDArray[np.intp]:
        """The server computes the square of the length in float32, which must not overflow."""
        with np.errstate(over="ignore"):
            squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float32)
        return np.flatnonzero(~np.isfinite(squares))

    def encoded(self, rows: Floats) -> Sequence[bytes]:
        if not self.server_version.has(SINCE_BASE64):
            return number_lists(rows)
        raw = np.ascontiguousarray(rows, dtype=">f4").tobytes()
        width = 4 * rows.shape[1]
        return [
            b'"%s"' % binascii.b2a_base64(raw[at : at + width], newline=False)
            for at in range(0, len(raw), width)
        ]

    def reads_doc_values(self, index: Index) -> bool:
        if not self.server_version.has(SINCE_BASE64):
            return False
        return bool(index.setting(_EXCLUDED) != "false")

    def open_pit(self, index: str, keep_alive: str) -> tuple[str, dict[str, Any], str]:
        return f"/{quoted(index)}/_pit", {"keep_alive": keep_alive}, "id"

    def close_pit(self, pit: str) -> tuple[str, dict[str, Any]]:
        return "/_pit", {"id": pit}

    def encoded_query(self, query: Floats) -> bytes:
        if not self.server_version.has(SINCE_BASE64_QUERY):
            return super().encoded_query(query)
        return b'"%s"' % base64.b64encode(np.ascontiguousarray(query, dtype=">f4").tobytes())

    def scores(self, field: VectorField, found: Floats) -> Floats:
        if field.definition.get("similarity") == "dot_product":
            return (2 * np.asarray(found, dtype=np.float64) - 1).astype(np.float32)
        return similarity_score(field.vector.metric, found)
