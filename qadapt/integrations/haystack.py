"""Haystack: ``QadaptDocumentStore`` over a collection, and ``QadaptEmbeddingRetriever``.

    from qadapt.integrations.haystack import QadaptDocumentStore, QadaptEmbeddingRetriever

    store = QadaptDocumentStore.create(
        "edge:./data#notes", dim=384, quantization="binary:rescore=4"
    )
    store.write_documents(documents)
    QadaptEmbeddingRetriever(store).run(query_embedding=vector, top_k=4, rescore=8)

See docs/integrations.md. Needs the extra ``haystack``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qadapt.api import Collection, Database
from qadapt.errors import AlreadyExistsError, InputError, MissingExtraError
from qadapt.integrations.documents import DocumentRows, SearchOptions, StoredDocument
from qadapt.integrations.opening import NewCollection, open_collection
from qadapt.model import Metric, QuantizationLike, RescoreLike

try:
    from haystack import Document, component, default_from_dict, default_to_dict
    from haystack.dataclasses import ByteStream
    from haystack.document_stores.errors import DuplicateDocumentError
    from haystack.document_stores.types import DuplicatePolicy

    from qadapt.integrations.haystack_filters import translated
except ImportError as error:
    raise MissingExtraError(
        "haystack-ai", "haystack", purpose="the integration with Haystack"
    ) from error


class DuplicateIdError(AlreadyExistsError, DuplicateDocumentError):
    """A document with this id exists; an error of qadapt and of Haystack."""


class QadaptDocumentStore:
    """Documents in a collection of any database that qadapt supports.

    The methods ``..._async`` run the synchronous ones in a thread. Metadata are stored as an object
    in the payload field ``meta``. The policy NONE is FAIL.

    Args:
        collection: ``qa.Collection``, or the address ``URL#COLLECTION`` of an existing one.
        vector: name of the vector; None if there is only one.

    Raises:
        NotFoundError: the collection does not exist; ``create`` creates it.
        AddressError, UnreachableError, AuthError, MissingExtraError
    """

    def __init__(self, collection: Collection | str, *, vector: str | None = None) -> None:
        self._owned: Database | None = None
        if isinstance(collection, str):
            self._owned, collection = open_collection(collection)
        self._vector = vector
        self._rows = DocumentRows(collection, vector=vector, text_field="content", always_id=True)

    @classmethod
    def create(
        cls,
        address: str,
        *,
        dim: int,
        metric: Metric | str | None = None,
        quantization: QuantizationLike | None = None,
        vector: str | None = None,
    ) -> QadaptDocumentStore:
        """Open the collection ``URL#COLLECTION``, and create it if it does not exist.

        Args:
            address: address with the name of the collection.
            dim: number of dimensions of the embeddings.
            metric: metric of a new collection; cosine by default. Databases scale embeddings
                to length 1 under cosine; with dot, documents are returned with their own.
            quantization: quantization of a new collection, such as ``"binary:rescore=4"``.
            vector: name of the vector; None if there is only one.

        Raises:
            AlreadyExistsError: the collection exists, so a metric or quantization would have no
                effect.
            UnsupportedError: the database does not support the quantization.
            AddressError, UnreachableError, AuthError, MissingExtraError
        """
        new = NewCollection(lambda: dim, metric, quantization)
        database, collection = open_collection(address, new)
        made = cls(collection, vector=vector)
        made._owned = database
        return made

    def to_dict(self) -> dict[str, Any]:
        """Serialize the address, without its key, and the name of the vector."""
        address = self.collection._store.address
        place = replace(address, collection=self.collection.name, key=None)
        made: dict[str, Any] = default_to_dict(self, collection=str(place), vector=self._vector)
        return made

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> QadaptDocumentStore:
        """Open the collection of a serialized store; the key comes from the environment.

        Raises:
            The errors of the class.
        """
        made: QadaptDocumentStore = default_from_dict(cls, data)
        return made

    @property
    def collection(self) -> Collection:
        """The collection: ``plan``, ``verify``, ``info`` and all other methods of qadapt."""
        return self._rows.collection

    def close(self) -> None:
        """Close the database if this object opened it; a ``qa.Collection`` stays open."""
        if self._owned is not None:
            self._owned.close()

    # -- documents ---------------------------------------------------------------------------

    def count_documents(self) -> int:
        """Number of documents."""
        return self.collection.count()

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """Documents that match the filters, or all, ordered by the id of their row.

        Raises:
            InvalidFilterError: the filter is invalid, or cannot be translated.
        """
        found = self._rows.read(translated(filters), vectors=True)
        return [_document(each) for each in found]

    def write_documents(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """Write documents, with or without embeddings; returns their number.

        Args:
            documents: documents.
            policy: FAIL and NONE raise an error for an id that exists, SKIP keeps the existing
                document, OVERWRITE replaces it.

        Raises:
            DuplicateIdError: an id exists, or is given twice; nothing was written.
            InputError: not a list of documents, or a sparse embedding; nothing was written.
            The errors of ``Collection.write``.
        """
        rows = [_row(each) for each in _checked(documents)]
        if policy is DuplicatePolicy.OVERWRITE:
            self._rows.write(list({each.id: each for each in rows}.values()))
            return len(rows)
        there = {each.id for each in self._rows.fetch([each.id for each in rows])}
        new = {each.id: each for each in reversed(rows) if each.id not in there}
        if policy is not DuplicatePolicy.SKIP and len(new) < len(rows):
            known = sorted(there) or sorted({each.id for each in rows})
            raise DuplicateIdError(
                f"{len(rows) - len(new)} ids exist or are given twice: {', '.join(known[:5])}; "
                "nothing was written",
                hint="pass policy=DuplicatePolicy.OVERWRITE or DuplicatePolicy.SKIP",
            )
        self._rows.write(list(new.values())[::-1])
        return len(new)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Delete documents; unknown ids are ignored."""
        self._rows.delete(document_ids)

    def delete_by_filter(self, filters: dict[str, Any]) -> int:
        """Delete the documents that match the filters; returns their number.

        Raises:
            InputError: there are no filters; ``delete_all_documents`` deletes all.
            InvalidFilterError: the filter is invalid, or cannot be translated.
        """
        wanted = translated(filters)
        if wanted is None:
            raise InputError("delete_by_filter needs filters", hint="use delete_all_documents()")
        return self._rows.delete_matching(wanted)

    def delete_all_documents(self) -> None:
        """Delete all documents; the collection and its quantization are kept."""
        self._rows.delete_matching()

    # -- searching ---------------------------------------------------------------------------

    def embedding_retrieval(
        self,
        query_embedding: list[float],
        *,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        rescore: RescoreLike = None,
        exact: bool = False,
        return_embedding: bool = False,
    ) -> list[Document]:
        """The ``top_k`` best documents with an embedding.

        Args:
            query_embedding: vector ``(d,)``.
            filters: filters of Haystack.
            top_k: number of documents.
            rescore: such as ``4`` or ``"off"``; None for the default of the collection.
            exact: search without index and codes.
            return_embedding: return documents with embeddings, which are read from the database.

        Returns:
            Documents with ``score``, best first. Higher is better: cosine similarity, dot product,
            or negative squared Euclidean distance.

        Raises:
            InvalidFilterError: the filter is invalid, or cannot be translated.
            The errors of ``Collection.search``.
        """
        options = SearchOptions(translated(filters), rescore, exact)
        found = self._rows.search(query_embedding, top_k, options)
        if not return_embedding:
            return [_document(each) for each in found]
        ids = [each.id for each in found]
        vectors = {each.id: each.vector for each in self._rows.fetch(ids, vectors=True)}
        return [_document(each, vectors.get(each.id)) for each in found]

    # -- asynchronous: in a thread -----------------------------------------------------------

    async def count_documents_async(self) -> int:
        """``count_documents`` in a thread."""
        return await asyncio.to_thread(self.count_documents)

    async def filter_documents_async(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """``filter_documents`` in a thread."""
        return await asyncio.to_thread(self.filter_documents, filters)

    async def write_documents_async(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """``write_documents`` in a thread."""
        return await asyncio.to_thread(self.write_documents, documents, policy)

    async def delete_documents_async(self, document_ids: list[str]) -> None:
        """``delete_documents`` in a thread."""
        await asyncio.to_thread(self.delete_documents, document_ids)

    async def embedding_retrieval_async(
        self, query_embedding: list[float], **options: Any
    ) -> list[Document]:
        """``embedding_retrieval`` in a thread."""
        return await asyncio.to_thread(self.embedding_retrieval, query_embedding, **options)


@component
class QadaptEmbeddingRetriever:
    """Retrieves the documents that are closest to an embedding.

    Args:
        document_store: store.
        filters: filters, unless ``run`` gets others.
        top_k: number of documents, unless ``run`` gets another.
        rescore: rescoring, unless ``run`` gets another; None for the default of the collection.

    Raises:
        InputError: not a ``QadaptDocumentStore``.
    """

    def __init__(
        self,
        document_store: QadaptDocumentStore,
        *,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        rescore: str | int | None = None,
    ) -> None:
        if not isinstance(document_store, QadaptDocumentStore):
            raise InputError(
                f"document_store must be a QadaptDocumentStore; got a "
                f"{type(document_store).__name__}",
                hint="QadaptDocumentStore('URL#COLLECTION')",
            )
        self.document_store = document_store
        self.filters, self.top_k, self.rescore = filters, top_k, rescore

    def to_dict(self) -> dict[str, Any]:
        """Serialize the component."""
        made: dict[str, Any] = default_to_dict(
            self,
            document_store=self.document_store.to_dict(),
            filters=self.filters,
            top_k=self.top_k,
            rescore=self.rescore,
        )
        return made

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> QadaptEmbeddingRetriever:
        """Restore a serialized component, and open its collection."""
        given = dict(data["init_parameters"])
        if isinstance(given["document_store"], dict):
            given["document_store"] = QadaptDocumentStore.from_dict(given["document_store"])
        return cls(**given)

    @component.output_types(documents=list[Document])
    def run(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        rescore: str | int | None = None,
    ) -> dict[str, list[Document]]:
        """Retrieve documents; None takes the argument of the component.

        Raises:
            The errors of ``QadaptDocumentStore.embedding_retrieval``.
        """
        found = self.document_store.embedding_retrieval(
            query_embedding,
            filters=self.filters if filters is None else filters,
            top_k=self.top_k if top_k is None else top_k,
            rescore=self.rescore if rescore is None else rescore,
        )
        return {"documents": found}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        rescore: str | int | None = None,
    ) -> dict[str, list[Document]]:
        """``run`` in a thread."""
        return await asyncio.to_thread(self.run, query_embedding, filters, top_k, rescore)


def _checked(documents: Any) -> Sequence[Document]:
    if not isinstance(documents, list) or not all(isinstance(d, Document) for d in documents):
        raise InputError(
            "write_documents takes a list of haystack.Document; nothing was written",
            hint="write_documents([Document(content='...')])",
        )
    for each in documents:
        if each.sparse_embedding is not None:
            raise InputError(
                f"the document {each.id!r} has a sparse embedding, which this integration does "
                "not store; nothing was written",
                hint="set sparse_embedding=None",
            )
    return documents


def _row(document: Document) -> StoredDocument:
    payload: dict[str, Any] = {"meta": document.meta}
    if document.blob is not None:
        payload["blob"] = document.blob.to_dict()
    vector = document.embedding
    return StoredDocument(
        document.id,
        payload,
        document.content,
        None if vector is None else np.asarray(vector, dtype=np.float32),
    )


def _document(found: StoredDocument, vector: Any = None) -> Document:
    blob = found.payload.get("blob")
    vector = found.vector if vector is None else vector
    return Document(
        id=found.id,
        content=found.text,
        blob=None if blob is None else ByteStream.from_dict(blob),
        meta=dict(found.payload.get("meta") or {}),
        score=found.score,
        embedding=None if vector is None else vector.tolist(),
    )
