"""``opensearch+http://HOST:9200``: indexes with fields of the type ``knn_vector``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.model import CollectionInfo, Finding, Quantization, Rescore, Vector
from qadapt.stores.base import MappedQuantization, SearchRequest
from qadapt.stores.change import ChangePlan, ChangeRequest
from qadapt.stores.client_form import ClientSearch
from qadapt.stores.elastic import collections
from qadapt.stores.elastic.opensearch import changes, diagnostics, mapping, search, snapshot
from qadapt.stores.elastic.opensearch.connection import OpenSearchWire
from qadapt.stores.elastic.opensearch.profile import PROFILE
from qadapt.stores.elastic.opensearch.schema import Field, OpenSearch, is_searchable, without_search
from qadapt.stores.elastic.schema import Index
from qadapt.stores.elastic.search import Prepared, as_text
from qadapt.stores.elastic.store import ElasticStore


class OpenSearchStore(ElasticStore[OpenSearch]):
    """Indexes of OpenSearch 2.17 or newer with the k-NN plugin."""

    profile = PROFILE
    operations = changes.OPERATIONS
    limits = "docs/opensearch.md"
    wire = OpenSearchWire
    product_type = OpenSearch

    def index(self, collection: str) -> Index:
        """The index of a collection, read again; it has no vectors if they cannot be searched."""
        found = super().index(collection)
        if is_searchable(found):
            return found
        return self.snapshots.put(collection, without_search(found))  # type: ignore[no-any-return]

    def take_snapshot(self, index: Index) -> snapshot.Snapshot:
        return snapshot.take_snapshot(self.connection, self.product, index)

    # -- searching ---------------------------------------------------------------------------

    def prepare(
        self, index: Index, request: SearchRequest, target: Quantization | None = None
    ) -> Prepared:
        field = index.field_of(request.vector)
        settings = self.product.field_of(field)
        if target is not None:
            native = self.map(target.codes_only, field.vector).native or {}
            made = self.product.new_field(field.vector, native)
            settings = Field.of(made, self.product.server_version)
        return search.prepare(self.product, index, field, settings, request)

    def default_rescore(self, collection: str, vector: str) -> Rescore | None:
        field = self.known_index(collection).field_of(vector)
        return self.product.field_of(field).default_rescore(self.product.server_version)

    def limit_rescore(self, collection: str, rescore: Rescore, k: int = 10) -> Rescore:
        most = search.most_candidates(k)
        return rescore if not rescore.on or rescore.count(k) <= most else Rescore(candidates=most)

    def client_search(
        self, collection: str, request: SearchRequest, target: Quantization | None = None
    ) -> ClientSearch:
        index = self.known_index(collection)
        prepared = self.prepare(index, request, target)
        body: Mapping[str, Any] = as_text(prepared.bodies[0])
        field = prepared.field.path
        parameters: Mapping[str, Any] = {}
        if "knn" in body["query"]:
            knn = body["query"]["knn"][field]
            parameters = {key: knn[key] for key in ("rescore", "method_parameters") if key in knn}
        details = {"body": body, "field": field, "integers": index.managed}
        return ClientSearch(request.k, parameters, details=details)

    # -- quantization ------------------------------------------------------------------------

    def map(self, quantization: Quantization, vector: Vector) -> MappedQuantization:
        return mapping.to_native(quantization, vector, self.product.server_version)

    def plan_change(self, request: ChangeRequest) -> ChangePlan:
        taken: snapshot.Snapshot = request.inspection.native
        vector = request.target_vector or taken.index.field_of(request.vector).vector
        names = collections.all_names(self.connection)
        return changes.plan_change(request, self.mapped_change(request, vector), names)

    # -- doctor ------------------------------------------------------------------------------

    def findings(
        self, info: CollectionInfo, options: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        taken = self.inspect(info.name).native
        return diagnostics.findings(taken, options)
