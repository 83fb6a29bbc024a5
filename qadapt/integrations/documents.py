"""Documents as rows of a collection: text, metadata and id in the payload."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qadapt.api import Collection
from qadapt.errors import InputError
from qadapt.integrations import mmr
from qadapt.integrations.filters import moved
from qadapt.integrations.ids import RowIds
from qadapt.model import Batch, Metric, RescoreLike
from qadapt.model.arrays import Floats, as_vectors
from qadapt.model.filters import is_common, parse_filter
from qadapt.model.ids import Id

DELETED = 10_000  # rows per request of a deletion by filter


@dataclass(frozen=True, eq=False)
class StoredDocument:
    """A stored document.

    Attributes:
        id: id of the document.
        payload: payload without text and id, or the metadata if they have a field.
        text: text; None if the row has none.
        vector: float32 ``(d,)``; None if the row has none, or it was not requested.
        score: score of a search, higher is better: cosine similarity, dot product, or negative
            squared Euclidean distance. None outside of searches.
    """

    id: str
    payload: dict[str, Any]
    text: str | None = None
    vector: Floats | None = None
    score: float | None = None


@dataclass(frozen=True)
class SearchOptions:
    """Options of a search that do not depend on the framework.

    Attributes:
        filter: common syntax, its tree, or a native filter.
        rescore: see ``Collection.search``.
        exact: search without index and codes.
    """

    filter: Any = None
    rescore: RescoreLike = None
    exact: bool = False


class DocumentRows:
    """Documents of a collection.

    Args:
        collection: collection.
        vector: name of the vector; None if there is only one.
        text_field: payload field of the text.
        metadata_field: payload field that contains the metadata as an object; None stores each
            key of the metadata as a payload field.
        id_field: payload field of ids that the database cannot store; see ``RowIds``.
        always_id: store the id of every document in its payload, so that filters can use it.
    """

    def __init__(
        self,
        collection: Collection,
        *,
        vector: str | None = None,
        text_field: str = "text",
        metadata_field: str | None = None,
        id_field: str = "qadapt_id",
        always_id: bool = False,
    ) -> None:
        fields = [text_field, id_field, *([] if metadata_field is None else [metadata_field])]
        if len(set(fields)) != len(fields) or not all(fields):
            raise InputError(
                f"text_field, metadata_field and id_field must be three names; got {fields}",
                hint="give each field another name, such as text_field='text'",
            )
        self.collection = collection
        self._vector = vector
        self._text, self._metadata, self._id = text_field, metadata_field, id_field
        self._always_id = always_id
        self._ids = RowIds(collection._store.traits.accepts_id)

    @property
    def vector(self) -> str:
        """Name of the vector; ``""`` for the unnamed vector."""
        return self.collection._vector(self._vector)[0]

    @property
    def metric(self) -> Metric:
        """Metric of the vector."""
        return self.collection._vector(self._vector)[1].metric

    @property
    def dim(self) -> int:
        """Number of dimensions of the vector."""
        return self.collection._vector(self._vector)[1].dim

    # -- writing -----------------------------------------------------------------------------

    def write(self, documents: Sequence[StoredDocument]) -> None:
        """Upsert documents.

        Raises:
            InputError: a document has metadata with the name of a field that contains text or
                ids, or two documents have the same id; nothing was written.
        """
        if not documents:
            return
        dim = self.dim
        vectors = np.zeros((len(documents), dim), dtype=np.float32)
        missing = np.array([each.vector is None for each in documents], dtype=np.bool_)
        present = [each.vector for each in documents if each.vector is not None]
        if present:
            given = as_vectors(present, what="documents")
            if given.shape[1:] != (dim,):  # reported by the collection, with its hint
                vectors = np.zeros((len(documents), *given.shape[1:]), dtype=np.float32)
            vectors[~missing] = given
        name = self.vector
        self.collection.write(
            Batch(
                [self._ids.key(each.id) for each in documents],
                {name: vectors},
                [self._payload(each) for each in documents],
                {name: missing} if missing.any() else None,
            )
        )

    def _payload(self, document: StoredDocument) -> dict[str, Any]:
        reserved = (self._text, self._id)
        if self._metadata is not None:
            payload: dict[str, Any] = {self._metadata: dict(document.payload)}
        else:
            payload = dict(document.payload)
            for field in reserved:
                if field in payload:
                    raise InputError(
                        f"the metadata of the document {document.id!r} have the key {field!r}, "
                        "which is a field of the collection; nothing was written",
                        hint="rename the key, or pass another text_field= or id_field=, or "
                        "metadata_field='metadata', which stores metadata in an object",
                    )
        if document.text is not None:
            payload[self._text] = document.text
        if self._always_id or str(self._ids.key(document.id)) != document.id:
            payload[self._id] = document.id
        return payload

    def delete(self, ids: Iterable[str]) -> None:
        """Delete documents; unknown ids are ignored."""
        # A row that another id was derived from is not the document, so rows are read first.
        keys = [key for key, _ in self._rows(list(ids), vectors=False)]
        if keys:
            self.collection.delete(keys)

    def delete_matching(self, filter: Any = None) -> int:
        """Delete the documents that match a filter, or all; returns their number."""
        pages = self.collection.read(vectors=(), payload=False, filter=self.filter(filter))
        # Rows are deleted after the last page: a page may depend on the rows before it.
        keys = [key for batch in pages for key in batch.ids]
        for start in range(0, len(keys), DELETED):
            self.collection.delete(keys[start : start + DELETED])
        return len(keys)

    # -- reading -----------------------------------------------------------------------------

    def fetch(self, ids: Sequence[str], *, vectors: bool = False) -> list[StoredDocument]:
        """Fetch documents in the given order; unknown ids are omitted."""
        found = {each.id: each for _, each in self._rows(ids, vectors=vectors)}
        return [found[text] for text in dict.fromkeys(ids) if text in found]

    def _rows(self, ids: Sequence[str], *, vectors: bool) -> list[tuple[Id, StoredDocument]]:
        """Rows of documents, with their keys."""
        wanted = set(ids)
        if not wanted:
            return []
        batch = self.collection.fetch(
            self._ids.all_lookups(ids), vectors=[self.vector] if vectors else ()
        )
        rows = zip(batch.ids, self._documents(batch), strict=True)
        return [(key, each) for key, each in rows if each.id in wanted]

    def read(self, filter: Any = None, *, vectors: bool = False) -> Iterator[StoredDocument]:
        """Iterate over the documents that match a filter, or all, ordered by the id of the row."""
        names = [self.vector] if vectors else ()
        for batch in self.collection.read(vectors=names, filter=self.filter(filter)):
            yield from self._documents(batch)

    def _documents(self, batch: Batch) -> Iterator[StoredDocument]:
        name = next(iter(batch.vectors), None)
        rows = None if name is None else batch.vectors[name]
        missing = None if name is None else batch.missing.get(name)
        payloads = batch.payloads if batch.payloads is not None else [{}] * len(batch)
        for at, (key, payload) in enumerate(zip(batch.ids, payloads, strict=True)):
            absent = rows is None or (missing is not None and missing[at])
            yield self._document(key, payload, None if absent or rows is None else rows[at])

    def _document(
        self,
        key: Id,
        payload: Mapping[str, Any] | None,
        vector: Floats | None = None,
        score: float | None = None,
    ) -> StoredDocument:
        held = dict(payload or {})
        text, given = held.pop(self._text, None), held.pop(self._id, None)
        if self._metadata is not None:
            held = dict(held.get(self._metadata) or {})
        return StoredDocument(given or str(key), held, text, vector, score)

    # -- searching ---------------------------------------------------------------------------

    def search(self, query: Any, k: int, options: SearchOptions) -> list[StoredDocument]:
        """The ``k`` best documents for a query ``(d,)``, best first, with scores."""
        hits = self.collection.search(
            np.asarray(query, dtype=np.float32),
            k,
            rescore=options.rescore,
            filter=self.filter(options.filter),
            vector=self._vector,
            exact=options.exact,
            with_payload=True,
        )
        return [self._document(hit.id, hit.payload, None, float(hit.score)) for hit in hits]

    def diverse(
        self, query: Any, k: int, fetch_k: int, diversity_weight: float, options: SearchOptions
    ) -> list[StoredDocument]:
        """``k`` of the best ``fetch_k`` documents by maximal marginal relevance, with scores."""
        found = self.search(query, max(k, fetch_k), options)
        vectors = {
            each.id: each.vector
            for each in self.fetch([each.id for each in found], vectors=True)
            if each.vector is not None
        }
        found = [each for each in found if each.id in vectors]  # not deleted since the search
        if not found:
            return []
        rows = np.asarray([vectors[each.id] for each in found], dtype=np.float32)
        wanted = np.asarray(query, dtype=np.float32)[: rows.shape[1]]
        return [found[at] for at in mmr.select(wanted, rows, k, diversity_weight)]

    def filter(self, filter: Any) -> Any:
        """A filter on metadata as a filter on the payload; a native filter is returned unchanged.

        Raises:
            SpecError: the filter is invalid.
        """
        if filter is None or not is_common(filter) or (isinstance(filter, Mapping) and not filter):
            return filter or None
        if self._metadata is None:
            return filter
        return moved(parse_filter(filter), self._metadata)
