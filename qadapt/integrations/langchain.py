"""LangChain: ``QadaptVectorStore``, a ``VectorStore`` over a collection.

    from qadapt.integrations.langchain import QadaptVectorStore

    store = QadaptVectorStore.create(
        embedding, "edge:./data#notes", quantization="binary:rescore=4"
    )
    store.add_texts(["..."], [{"year": 1999}], ids=["a"])
    store.similarity_search("...", k=4, filter={"year": {"$gte": 1990}}, rescore=8)

See docs/integrations.md. Needs the extra ``langchain``.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from qadapt.api import Collection, Database
from qadapt.errors import InputError, MissingExtraError, SpecError, UnsupportedError
from qadapt.integrations.documents import DocumentRows, SearchOptions, StoredDocument
from qadapt.integrations.opening import NewCollection, open_collection
from qadapt.model import Metric, QuantizationLike, RescoreLike

try:
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.vectorstores import VectorStore

    from qadapt.integrations.langchain_filters import translated
except ImportError as error:
    raise MissingExtraError(
        "langchain-core", "langchain", purpose="the integration with LangChain"
    ) from error


class QadaptVectorStore(VectorStore):
    """Documents in a collection of any database that qadapt supports.

    The methods ``a...`` run the synchronous ones in a thread pool, which is LangChain's default.

    Args:
        embedding: embedding model.
        collection: ``qa.Collection``, or the address ``URL#COLLECTION`` of an existing one.
        vector: name of the vector; None if there is only one.
        text_field: payload field of the text.
        metadata_field: payload field that contains the metadata as an object; None stores each
            key as a payload field.
        id_field: payload field of ids that the database cannot store.

    Raises:
        NotFoundError: the collection does not exist; ``create`` creates it.
        InputError: two of the fields have the same name.
        AddressError, UnreachableError, AuthError, MissingExtraError
    """

    def __init__(
        self,
        embedding: Embeddings,
        collection: Collection | str,
        *,
        vector: str | None = None,
        text_field: str = "text",
        metadata_field: str | None = None,
        id_field: str = "qadapt_id",
    ) -> None:
        self._owned: Database | None = None
        if isinstance(collection, str):
            self._owned, collection = open_collection(collection)
        self._embedding = embedding
        self._text_field = text_field
        self._rows = DocumentRows(
            collection,
            vector=vector,
            text_field=text_field,
            metadata_field=metadata_field,
            id_field=id_field,
        )

    @classmethod
    def create(
        cls,
        embedding: Embeddings,
        address: str,
        *,
        dim: int | None = None,
        metric: Metric | str | None = None,
        quantization: QuantizationLike | None = None,
        **fields: Any,
    ) -> QadaptVectorStore:
        """Open the collection ``URL#COLLECTION``, and create it if it does not exist.

        Args:
            embedding: embedding model.
            address: address with the name of the collection.
            dim: number of dimensions; None embeds a text to find it.
            metric: metric of a new collection; cosine by default.
            quantization: quantization of a new collection, such as ``"binary:rescore=4"``.
            fields: ``vector``, ``text_field``, ``metadata_field``, ``id_field``; see the class.

        Raises:
            AlreadyExistsError: the collection exists, so a metric or quantization would have no
                effect.
            UnsupportedError: the database does not support the quantization.
            AddressError, UnreachableError, AuthError, MissingExtraError
        """
        new = NewCollection(
            lambda: dim or len(embedding.embed_query("dimensions")), metric, quantization
        )
        database, collection = open_collection(address, new)
        try:
            made = cls(embedding, collection, **fields)
        except BaseException:
            database.close()
            raise
        made._owned = database
        return made

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        address: str = "",
        **kwargs: Any,
    ) -> QadaptVectorStore:
        """``create`` and ``add_texts``.

        Args:
            address: ``URL#COLLECTION``.
            kwargs: arguments of ``create``.

        Raises:
            AddressError: the address is missing or invalid.
            The errors of ``create`` and ``add_texts``.
        """
        made = cls.create(embedding, address, **kwargs)
        try:
            made.add_texts(texts, metadatas, ids=ids)
        except BaseException:
            made.close()
            raise
        return made

    def close(self) -> None:
        """Close the database if this object opened it; a ``qa.Collection`` stays open."""
        if self._owned is not None:
            self._owned.close()

    def __enter__(self) -> QadaptVectorStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def collection(self) -> Collection:
        """The collection: ``plan``, ``verify``, ``info`` and all other methods of qadapt."""
        return self._rows.collection

    @property
    def embeddings(self) -> Embeddings:
        """The embedding model."""
        return self._embedding

    # -- documents ---------------------------------------------------------------------------

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Embed texts and upsert them.

        Args:
            texts: texts.
            metadatas: metadata of each text.
            ids: id of each text, replaced if it exists; None for a random UUID.

        Returns:
            The ids.

        Raises:
            InputError: lists of different length, duplicate ids, or a metadata key that is the
                name of a field; nothing was written.
            The errors of ``Collection.write``.
        """
        _no_other(kwargs, "add_texts")
        listed = list(texts)
        for name, given in (("metadatas", metadatas), ("ids", ids)):
            if given is not None and len(given) != len(listed):
                raise InputError(
                    f"{len(listed)} texts but {len(given)} {name}; nothing was written",
                    hint=f"pass one of the {name} for each text",
                )
        if not listed:
            return []
        keys = [each or str(uuid.uuid4()) for each in ids or [None] * len(listed)]
        vectors: Any = self._embedding.embed_documents(listed)
        rows = zip(keys, metadatas or [{}] * len(listed), listed, vectors, strict=True)
        self._rows.write([StoredDocument(*row) for row in rows])
        return keys

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Delete documents; unknown ids are ignored.

        Raises:
            InputError: no ids. LangChain defines this as "all documents"; drop the collection
                instead.
        """
        _no_other(kwargs, "delete")
        if ids is None:
            raise InputError(
                "delete needs ids",
                hint=f"to delete all documents, drop the collection: "
                f"db.drop({self.collection.name!r})",
            )
        self._rows.delete(ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Documents by id, in the given order; unknown ids are omitted."""
        return [self._document(each) for each in self._rows.fetch(ids)]

    # -- searching ---------------------------------------------------------------------------

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """The ``k`` best documents; options as in ``similarity_search_with_score``."""
        return [each for each, _ in self.similarity_search_with_score(query, k, **kwargs)]

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, **kwargs: Any
    ) -> list[Document]:
        """The ``k`` best documents; options as in ``similarity_search_with_score``."""
        return [
            each for each, _ in self.similarity_search_with_score_by_vector(embedding, k, **kwargs)
        ]

    def similarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """The ``k`` best documents with scores.

        Args:
            query: text.
            k: number of documents.
            kwargs: ``filter`` (see docs/integrations.md), ``rescore`` (such as ``4`` or ``"off"``;
                None for the default of the collection), ``exact`` (search without index and
                codes).

        Returns:
            Documents and scores, best first. Higher is better: cosine similarity, dot product, or
            negative squared Euclidean distance.

        Raises:
            SpecError: an unknown option, or a filter that cannot be translated.
            The errors of ``Collection.search``.
        """
        options = _options(kwargs)
        return self._found(self._embedding.embed_query(query), k, options)

    def similarity_search_with_score_by_vector(
        self, embedding: list[float], k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """As ``similarity_search_with_score``, for a vector ``(d,)``."""
        return self._found(embedding, k, _options(kwargs))

    def _found(
        self, vector: list[float], k: int, options: SearchOptions
    ) -> list[tuple[Document, float]]:
        found = self._rows.search(vector, k, options)
        return [(self._document(each), float(each.score or 0.0)) for each in found]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        """Convert scores to 0 (worst) to 1 (best).

        Cosine: ``(1 + score) / 2``. Euclidean: ``1 / (1 + distance)``. Dot products have no range.

        Raises:
            UnsupportedError: the metric is dot.
        """
        metric = self._rows.metric
        if metric is Metric.COSINE:
            return lambda score: (1.0 + score) / 2.0
        if metric is Metric.EUCLIDEAN:
            return lambda score: 1.0 / (1.0 + math.sqrt(max(0.0, -score)))
        raise UnsupportedError(
            f"scores of the metric {metric} have no range, so there is no relevance from 0 to 1",
            hint="use similarity_search_with_score, or a collection with the metric cosine",
        )

    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """As ``max_marginal_relevance_search_by_vector``, for a text."""
        options = _options(kwargs)
        vector = self._embedding.embed_query(query)
        return self._diverse(vector, k, fetch_k, lambda_mult, options)

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **kwargs: Any,
    ) -> list[Document]:
        """Documents that are close to the query and different from one another.

        Args:
            embedding: vector ``(d,)``.
            k: number of documents.
            fetch_k: number of candidates, whose vectors are read from the database.
            lambda_mult: 0 for the most diversity to 1 for relevance only.
            kwargs: options as in ``similarity_search_with_score``.

        Raises:
            InputError: ``lambda_mult`` is not from 0 to 1.
            The errors of ``similarity_search_with_score``.
        """
        return self._diverse(embedding, k, fetch_k, lambda_mult, _options(kwargs))

    def _diverse(
        self, vector: list[float], k: int, fetch_k: int, lambda_mult: float, options: SearchOptions
    ) -> list[Document]:
        found = self._rows.diverse(vector, k, fetch_k, 1 - lambda_mult, options)
        return [self._document(each) for each in found]

    def _document(self, found: StoredDocument) -> Document:
        """Convert a row.

        Raises:
            InputError: the row has no text.
        """
        if not isinstance(found.text, str):
            raise InputError(
                f"the row {found.id!r} has no text in the payload field {self._text_field!r}",
                hint="pass text_field= with the field of the text; the row has "
                f"{', '.join(sorted(found.payload)) or 'no other fields'}",
            )
        return Document(id=found.id, page_content=found.text, metadata=found.payload)


def _options(given: dict[str, Any]) -> SearchOptions:
    """The options of a search.

    Raises:
        SpecError: an option is unknown, or the filter cannot be translated.
    """
    for name in given:
        if name not in ("filter", "rescore", "exact"):
            raise SpecError.unknown("option", name, ("filter", "rescore", "exact"))
    rescore: RescoreLike = given.get("rescore")
    return SearchOptions(translated(given.get("filter")), rescore, bool(given.get("exact", False)))


def _no_other(given: dict[str, Any], method: str) -> None:
    """Refuse arguments that would have no effect."""
    for name in given:
        raise SpecError.unknown("option", name, ("ids",), where=method)
