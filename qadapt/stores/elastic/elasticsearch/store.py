"""``elasticsearch+http://HOST:9200``: indexes with dense_vector fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qadapt.errors import UnsupportedError
from qadapt.model import CollectionInfo, Finding, Quantization, Vector
from qadapt.model.address import Address
from qadapt.stores.base import MappedQuantization, SearchRequest, require_supported
from qadapt.stores.change import ChangePlan, ChangeRequest, Inspection
from qadapt.stores.client_form import ClientSearch
from qadapt.stores.elastic.elasticsearch import (
    changes,
    client_code,
    diagnostics,
    mapping,
    search,
    snapshot,
)
from qadapt.stores.elastic.elasticsearch.connection import connect, wrapped
from qadapt.stores.elastic.elasticsearch.profile import PROFILE
from qadapt.stores.elastic.elasticsearch.schema import Elasticsearch
from qadapt.stores.elastic.elasticsearch.version import OLDEST
from qadapt.stores.elastic.schema import Index
from qadapt.stores.elastic.search import Prepared
from qadapt.stores.elastic.store import ElasticStore


class ElasticsearchStore(ElasticStore):
    """Indexes of Elasticsearch 8.12 or newer."""

    profile = PROFILE
    operations = changes.OPERATIONS
    limits = "docs/elasticsearch.md"

    @classmethod
    def open(cls, address: Address, *, disabled: Sequence[str] = ()) -> ElasticsearchStore:
        """Connect to a server.

        Raises:
            MissingExtraError, AddressError, UnreachableError, AuthError
            UnsupportedError: an older version.
        """
        return cls(address, connect(address), disabled=disabled)._checked()

    @classmethod
    def wrap(cls, client: object, *, disabled: Sequence[str] = ()) -> ElasticsearchStore:
        """A store on an ``elasticsearch.Elasticsearch``, which qadapt never closes.

        Raises:
            UnsupportedError: an asynchronous client, or an older version of the server.
        """
        address, connection = wrapped(client)
        return cls(address, connection, disabled=disabled)._checked()

    def _checked(self) -> ElasticsearchStore:
        lacking = self.product.server_version.lacks("qadapt needs", OLDEST)
        if lacking:
            self.close()
            raise UnsupportedError(lacking, hint="upgrade the server")
        return self

    def new_product(self, version: str) -> Elasticsearch:
        return Elasticsearch(version)

    @property
    def product(self) -> Elasticsearch:
        """Elasticsearch at the version of the server."""
        found = super().product
        assert isinstance(found, Elasticsearch)
        return found

    def inspect(self, collection: str) -> Inspection:
        index = self.index(collection)
        self._refresh(index)
        taken = snapshot.take_snapshot(self.connection, self.product, index)
        return Inspection(snapshot.collection_info(self.server(), taken), taken)

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
        return search.prepare(index, field, options, request, ranges)

    def client_search(
        self, collection: str, request: SearchRequest, target: Quantization | None = None
    ) -> ClientSearch:
        index = self.known_index(collection)
        return client_code.client_search(self.prepare(index, request, target))

    # -- quantization ------------------------------------------------------------------------

    def map(self, quantization: Quantization, vector: Vector) -> MappedQuantization:
        return mapping.to_native(quantization, vector, self.product.server_version)

    def plan_change(self, request: ChangeRequest) -> ChangePlan:
        mapped = None
        if request.codes is not None:
            taken: snapshot.Snapshot = request.inspection.native
            vector = request.target_vector or taken.index.field_of(request.vector).vector
            mapped = require_supported(self.map(request.codes, vector), request.codes, self.name)
        return changes.plan_change(self, request, mapped)

    # -- doctor ------------------------------------------------------------------------------

    def findings(
        self, info: CollectionInfo, options: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        taken: snapshot.Snapshot = self.inspect(info.name).native
        return diagnostics.findings(taken)
