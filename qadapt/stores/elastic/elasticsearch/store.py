"""``elasticsearch+http://HOST:9200``: indexes with dense_vector fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.model import CollectionInfo, Finding, Quantization, Vector
from qadapt.stores.base import MappedQuantization, SearchRequest
from qadapt.stores.change import ChangePlan, ChangeRequest
from qadapt.stores.client_form import ClientSearch
from qadapt.stores.elastic.elasticsearch import (
    changes,
    client_code,
    diagnostics,
    mapping,
    search,
    snapshot,
)
from qadapt.stores.elastic.elasticsearch.connection import ElasticsearchWire
from qadapt.stores.elastic.elasticsearch.profile import PROFILE
from qadapt.stores.elastic.elasticsearch.schema import Elasticsearch
from qadapt.stores.elastic.schema import Index
from qadapt.stores.elastic.search import Prepared
from qadapt.stores.elastic.store import ElasticStore


class ElasticsearchStore(ElasticStore[Elasticsearch]):
    """Indexes of Elasticsearch 8.12 or newer."""

    profile = PROFILE
    operations = changes.OPERATIONS
    limits = "docs/elasticsearch.md"
    wire = ElasticsearchWire
    product_type = Elasticsearch

    def take_snapshot(self, index: Index) -> snapshot.Snapshot:
        return snapshot.take_snapshot(self.connection, self.product, index)

    # -- searching ---------------------------------------------------------------------------

    def prepare(
        self, index: Index, request: SearchRequest, target: Quantization | None = None
    ) -> Prepared:
        field = index.field_of(request.vector)
        options = self.product.options_of(field)
        if target is not None:
            native = self.map(target, field.vector).native or {}
            options = mapping.index_options(native, options, target.rescore)
        exact = request.exact or request.ignore_quantization
        ranges = snapshot.seq_no_ranges(self.connection, index) if exact else 1
        version = self.product.server_version
        return search.prepare(index, field, options, request, ranges, version)

    def client_search(
        self, collection: str, request: SearchRequest, target: Quantization | None = None
    ) -> ClientSearch:
        index = self.known_index(collection)
        return client_code.client_search(self.prepare(index, request, target))

    # -- quantization ------------------------------------------------------------------------

    def map(self, quantization: Quantization, vector: Vector) -> MappedQuantization:
        return mapping.to_native(quantization, vector, self.product.server_version)

    def plan_change(self, request: ChangeRequest) -> ChangePlan:
        taken: snapshot.Snapshot = request.inspection.native
        vector = request.target_vector or taken.index.field_of(request.vector).vector
        return changes.plan_change(self, request, self.mapped_change(request, vector))

    # -- doctor ------------------------------------------------------------------------------

    def findings(
        self, info: CollectionInfo, options: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        taken: snapshot.Snapshot = self.inspect(info.name).native
        return diagnostics.findings(taken)
