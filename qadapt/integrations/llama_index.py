"""LlamaIndex: ``QadaptVectorStore``, a vector store over a collection.

    from qadapt.integrations.llama_index import QadaptVectorStore

    store = QadaptVectorStore.create("edge:./data#notes", dim=384, quantization="binary:rescore=4")
    index = VectorStoreIndex.from_vector_store(store, embed_model=model)
    index.as_retriever(similarity_top_k=4, vector_store_kwargs={"rescore": 8})

See docs/integrations.md. Needs the extra ``llama-index``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np

from qadapt.api import Collection, Database
from qadapt.errors import InputError, MissingExtraError, SpecError, UnsupportedError
from qadapt.integrations.documents import DocumentRows, SearchOptions, StoredDocument
from qadapt.integrations.filters import joined, one_of
from qadapt.integrations.opening import NewCollection, open_collection
from qadapt.model import Metric, QuantizationLike
from qadapt.model.filters import Filter

try:
    from llama_index.core.bridge.pydantic import PrivateAttr
    from llama_index.core.schema import BaseNode, MetadataMode
    from llama_index.core.vector_stores.types import (
        BasePydanticVectorStore,
        MetadataFilters,
        VectorStoreQuery,
        VectorStoreQueryMode,
        VectorStoreQueryResult,
    )
    from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

    from qadapt.integrations.llama_index_filters import translated
except ImportError as error:
    raise MissingExtraError(
        "llama-index-core", "llama-index", purpose="the integration with LlamaIndex"
    ) from error

ID_FIELD = "qadapt_id"
REF_FIELD = "doc_id"  # of node_to_metadata_dict: the id of the source document
_OPTIONS = ("rescore", "exact", "mmr_threshold", "mmr_prefetch_factor", "mmr_prefetch_k")


class QadaptVectorStore(BasePydanticVectorStore):
    """Nodes in a collection of any database that qadapt supports.

    The methods ``a...`` run the synchronous ones in a thread.

    Args:
        collection: ``qa.Collection``, or the address ``URL#COLLECTION`` of an existing one.
        vector: name of the vector; None if there is only one.
        text_field: payload field of the text.

    Raises:
        NotFoundError: the collection does not exist; ``create`` creates it.
        AddressError, UnreachableError, AuthError, MissingExtraError
    """

    stores_text: bool = True

    _rows: DocumentRows = PrivateAttr()
    _owned: Database | None = PrivateAttr(default=None)

    def __init__(
        self,
        collection: Collection | str,
        *,
        vector: str | None = None,
        text_field: str = "text",
    ) -> None:
        super().__init__(stores_text=True)
        if isinstance(collection, str):
            self._owned, collection = open_collection(collection)
        self._rows = DocumentRows(
            collection, vector=vector, text_field=text_field, id_field=ID_FIELD, always_id=True
        )

    @classmethod
    def create(
        cls,
        address: str,
        *,
        dim: int,
        metric: Metric | str | None = None,
        quantization: QuantizationLike | None = None,
        **fields: Any,
    ) -> QadaptVectorStore:
        """Open the collection ``URL#COLLECTION``, and create it if it does not exist.

        Args:
            address: address with the name of the collection.
            dim: number of dimensions of the embedding model.
            metric: metric of a new collection; cosine by default.
            quantization: quantization of a new collection, such as ``"binary:rescore=4"``.
            fields: ``vector``, ``text_field``; see the class.

        Raises:
            AlreadyExistsError: the collection exists, so a metric or quantization would have no
                effect.
            UnsupportedError: the database does not support the quantization.
            AddressError, UnreachableError, AuthError, MissingExtraError
        """
        new = NewCollection(lambda: dim, metric, quantization)
        database, collection = open_collection(address, new)
        try:
            made = cls(collection, **fields)
        except BaseException:
            database.close()
            raise
        made._owned = database
        return made

    @classmethod
    def class_name(cls) -> str:
        """Name of the class in LlamaIndex's documents."""
        return "QadaptVectorStore"

    @property
    def client(self) -> Collection:
        """The collection: ``plan``, ``verify``, ``info`` and all other methods of qadapt."""
        return self._rows.collection

    def close(self) -> None:
        """Close the database if this object opened it; a ``qa.Collection`` stays open."""
        if self._owned is not None:
            self._owned.close()

    # -- nodes -------------------------------------------------------------------------------

    def add(self, nodes: Sequence[BaseNode], **add_kwargs: Any) -> list[str]:
        """Upsert nodes with embeddings; returns their ids.

        Raises:
            InputError: a node without an embedding, or metadata with the name of the text field
                or ``qadapt_id``; nothing was written.
            The errors of ``Collection.write``.
        """
        self._rows.write([_row(node) for node in nodes])
        return [node.node_id for node in nodes]

    def get_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Nodes with these ids that match the filters; all nodes without arguments."""
        found = self._rows.read(_both(node_ids, translated(filters)), vectors=True)
        return [_node(each) for each in found] if node_ids != [] else []

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete all nodes of a source document."""
        self._rows.delete_matching({REF_FIELD: ref_doc_id})

    def delete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """Delete the nodes with these ids that match the filters.

        Raises:
            InputError: neither ids nor filters; ``clear`` deletes all nodes.
        """
        wanted = translated(filters)
        if node_ids is None and wanted is None:
            raise InputError(
                "delete_nodes needs node_ids or filters", hint="clear() deletes all nodes"
            )
        if node_ids != []:
            self._rows.delete_matching(_both(node_ids, wanted))

    def clear(self) -> None:
        """Delete all nodes; the collection and its quantization are kept."""
        self._rows.delete_matching()

    # -- searching ---------------------------------------------------------------------------

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Search nodes; the modes are ``default`` and ``mmr``.

        Args:
            query: query with an embedding; ``node_ids`` and ``doc_ids`` restrict the search.
            kwargs: ``rescore`` (such as ``4`` or ``"off"``; None for the default of the
                collection), ``exact`` (search without index and codes); for ``mmr`` also
                ``mmr_threshold`` (0 for the most diversity to 1 for relevance only; 0.5),
                ``mmr_prefetch_factor`` (4) or ``mmr_prefetch_k``, the number of candidates.

        Returns:
            Nodes, ids and similarities, best first. Higher is better: cosine similarity, dot
            product, or negative squared Euclidean distance.

        Raises:
            UnsupportedError: another mode.
            SpecError: an unknown option, or a filter that cannot be translated.
            InputError: the query has no embedding.
            The errors of ``Collection.search``.
        """
        for name in kwargs:
            if name not in _OPTIONS:
                raise SpecError.unknown("option", name, _OPTIONS)
        if query.query_embedding is None:
            raise InputError(
                "the query has no embedding", hint="set query_embedding, or use a retriever"
            )
        found = self._search(query, kwargs)
        return VectorStoreQueryResult(
            nodes=[_node(each) for each in found],
            similarities=[float(each.score or 0.0) for each in found],
            ids=[each.id for each in found],
        )

    def _search(self, query: VectorStoreQuery, given: dict[str, Any]) -> list[StoredDocument]:
        options = SearchOptions(
            _both(query.node_ids or None, translated(query.filters), query.doc_ids or None),
            given.get("rescore"),
            bool(given.get("exact", False)),
        )
        k = query.similarity_top_k
        if query.mode == VectorStoreQueryMode.DEFAULT:
            return self._rows.search(query.query_embedding, k, options)
        if query.mode != VectorStoreQueryMode.MMR:
            raise UnsupportedError(
                f"qadapt has no query mode {query.mode.value!r}",
                hint="use the mode default or mmr; for text search, use another retriever too",
            )
        threshold = query.mmr_threshold
        if threshold is None:
            threshold = given.get("mmr_threshold", 0.5)
        fetch_k = int(given.get("mmr_prefetch_k") or k * given.get("mmr_prefetch_factor", 4))
        return self._rows.diverse(query.query_embedding, k, fetch_k, 1 - threshold, options)

    # -- asynchronous: in a thread -----------------------------------------------------------

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """``add`` in a thread."""
        return await asyncio.to_thread(self.add, nodes, **kwargs)

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """``get_nodes`` in a thread."""
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """``delete`` in a thread."""
        await asyncio.to_thread(self.delete, ref_doc_id, **delete_kwargs)

    async def adelete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """``delete_nodes`` in a thread."""
        await asyncio.to_thread(self.delete_nodes, node_ids, filters, **delete_kwargs)

    async def aclear(self) -> None:
        """``clear`` in a thread."""
        await asyncio.to_thread(self.clear)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """``query`` in a thread."""
        return await asyncio.to_thread(self.query, query, **kwargs)


def _both(
    node_ids: Sequence[str] | None, filter: Filter | None, doc_ids: Sequence[str] | None = None
) -> Filter | None:
    """The conjunction of ids and a filter; None if all are None."""
    parts = [] if filter is None else [filter]
    for field, ids in ((ID_FIELD, node_ids), (REF_FIELD, doc_ids)):
        if ids:
            parts.append(one_of(field, list(ids), "in"))
    return joined("all", parts) if parts else None


def _row(node: BaseNode) -> StoredDocument:
    if node.embedding is None:
        raise InputError(
            f"the node {node.node_id!r} has no embedding; nothing was written",
            hint="add nodes through VectorStoreIndex, or set node.embedding",
        )
    return StoredDocument(
        node.node_id,
        node_to_metadata_dict(node, remove_text=True, flat_metadata=False),
        node.get_content(metadata_mode=MetadataMode.NONE),
        np.asarray(node.embedding, dtype=np.float32),
    )


def _node(found: StoredDocument) -> BaseNode:
    """Convert a row.

    Raises:
        InputError: the row was not written by LlamaIndex.
    """
    if "_node_content" not in found.payload:
        raise InputError(
            f"the row {found.id!r} was not written by LlamaIndex: it has no field '_node_content'",
            hint="use another collection, or filter with a field that only LlamaIndex's rows have",
        )
    node = metadata_dict_to_node(found.payload, text=found.text)
    if found.vector is not None:
        node.embedding = found.vector.tolist()
    return node
