"""Texts in one call: encode, write, quantize; and searches by text.

    qa.index(texts, "sentence-transformers/all-MiniLM-L6-v2", "edge:./data#notes",
             quantization="binary:rescore=4")
    qa.search_text("edge:./data#notes", "vitamin D in pregnancy")

Texts are encoded and written in blocks, so memory holds one block. The model is saved with the
collection, so that searches encode their queries with the same one.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from qadapt.api.collection import Collection
from qadapt.api.database import Database
from qadapt.api.database import open as open_database
from qadapt.codecs import Calibration
from qadapt.codecs.ints import dequantize
from qadapt.encoder import CALL, Encoder, as_encoder
from qadapt.errors import AddressError, DimensionError, InputError, QadaptError
from qadapt.local.settings import read_settings, write_settings
from qadapt.model import (
    Accept,
    Batch,
    Hits,
    Id,
    Metric,
    Quantization,
    QuantizationLike,
    Serializable,
    Status,
)
from qadapt.model.address import Address
from qadapt.model.arrays import Floats
from qadapt.model.embedding_kinds import checked_kind, decoded
from qadapt.model.encoder_choice import EncoderChoice
from qadapt.model.table import FieldTable
from qadapt.stores.base import OnProgress, Progress, silent

TEXT = "text"
INTEGERS = ("int8", "uint8")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True)
class Indexed(FieldTable, Serializable):
    """Result of ``index``.

    Attributes:
        collection: its name.
        rows: number of rows written.
        created: whether the collection was created.
        model: name of the model.
        dim, metric: of the vectors.
        quantization: verified quantization of the vector.
        status: its status.
    """

    collection: str
    rows: int
    created: bool
    model: str
    dim: int
    metric: Metric
    quantization: Quantization
    status: Status


def index(
    texts: Iterable[str | Mapping[str, Any]],
    model: Any,
    target: str | Address | Collection,
    *,
    quantization: QuantizationLike | None = None,
    accept: Accept = "differs",
    ids: Sequence[Id] | None = None,
    text_field: str = TEXT,
    id_field: str | None = None,
    dims: int | None = None,
    query_prompt: str | None = None,
    document_prompt: str | None = None,
    batch: int | None = None,
    device: str | None = None,
    metric: Metric | str | None = None,
    vectors: Any = None,
    kind: str | None = None,
    calibration: Calibration | None = None,
    timeout: float = 3600.0,
    progress: OnProgress = silent,
) -> Indexed:
    """Encode texts, write them to a collection, and quantize it.

    The collection is created if it does not exist. Rows with existing ids are replaced.

    Args:
        texts: texts, or rows with a text and further fields, which become payload; any iterable,
            such as a generator.
        model: name on the model hub, folder, ``SentenceTransformer`` or ``qa.Encoder``.
        target: ``"URL#collection"``, or an open collection.
        quantization: applied after the rows are written; None leaves it unchanged.
        accept: see ``Collection.plan``.
        ids: id of each text; default: the field ``id_field``, or numbers from 0, which only an
            empty collection accepts.
        text_field: field of the texts, in rows and in the payload.
        id_field: field of the ids in rows.
        dims: dimensions to keep (Matryoshka).
        query_prompt, document_prompt, batch, device: see ``qa.Encoder``.
        metric: of a new collection; default: that of the model, else cosine.
        vectors: embeddings of the texts, such as those of ``model.encode(texts,
            precision="ubinary")``; the model then encodes queries only.
        kind: form of ``vectors``: ``int8``, ``uint8``, ``ubinary``, ``binary`` (see
            ``qa.Batch``); None for floats.
        calibration: the ranges from which ``int8`` or ``uint8`` codes were computed.
        timeout: seconds for building the quantization.
        progress: called with the number of texts written.

    Raises:
        MissingExtraError, InputError, DimensionError, UnsupportedError, ...
    """
    encoder = as_encoder(
        model, dim=dims, query_prompt=query_prompt, document_prompt=document_prompt,
        batch=batch, device=device,
    )  # fmt: skip
    rows = _Rows(texts, ids, text_field, id_field)
    blocks = _Blocks(encoder, vectors, kind, calibration)
    with _opened(target) as (database, name):
        created = name not in database
        wanted = Metric.of(metric) if metric is not None else encoder.metric or Metric.COSINE
        if created:
            database.create(name, dim=encoder.dim, metric=wanted)
        collection = database[name]
        _check(collection, encoder, rows, metric)
        try:
            written = _write(collection, rows, blocks, progress)
            if not written:
                raise InputError("there are no texts", hint="pass at least one text")
        except BaseException:
            if created and not collection.count():
                database.drop(name)
            raise
        _save_choice(collection, encoder)
        if quantization is not None:
            plan = collection.plan(quantization, accept=accept)
            plan.apply(yes=True, timeout=timeout, progress=progress)
        found = collection.info().vectors[""]
        return Indexed(
            name, written, created, encoder.name, found.dim, found.metric, found.quantization,
            found.status,
        )  # fmt: skip


def search_text(
    target: str | Address | Collection,
    texts: str | Sequence[str],
    *,
    model: Any = None,
    k: int = 10,
    with_payload: bool = True,
    **options: Any,
) -> Hits:
    """Search a collection of ``index`` by one text or several.

    Args:
        target: ``"URL#collection"``, or an open collection.
        texts: queries; the query prompt of the model is added.
        model: as of ``index``; default: the one that is saved with the collection. Pass an
            ``Encoder`` to load it only once.
        k, with_payload, options: see ``Collection.search``.

    Raises:
        InputError: no model is known, or it has other dimensions than the collection.
    """
    queries = [texts] if isinstance(texts, str) else texts
    with _opened(target) as (database, name):
        collection = database[name]
        saved = saved_model(collection)
        encoder = query_encoder(collection) if model is None else as_encoder(model)
        _check_dim(collection, encoder)
        hits = collection.search(
            encoder.encode_queries(queries), k=k, with_payload=with_payload, **options
        )
    other = encoder.choice
    if saved is not None and other is not None and other.model != saved.model:
        note = f"the texts were encoded with {saved.model}, and the queries with {other.model}"
        return hits.with_note(note)
    return hits


def saved_model(collection: Collection) -> EncoderChoice | None:
    """The model that is saved with a collection."""
    return read_settings(collection._store, collection.name).of("").encoder


def query_encoder(collection: Collection) -> Encoder:
    """An encoder of the model that is saved with a collection.

    Raises:
        InputError: none is saved.
        MissingExtraError
    """
    saved = saved_model(collection)
    if saved is None:
        raise InputError(
            f"no model is saved with {collection.name!r}",
            hint="name the model that encoded its texts: model='NAME' (--text with --encoder NAME)",
        )
    return as_encoder(saved)


@contextmanager
def _opened(target: str | Address | Collection) -> Iterator[tuple[Database, str]]:
    if isinstance(target, Collection):
        yield Database(target._store), target.name
        return
    address = Address.parse(target)
    if not address.collection:
        raise AddressError(f"{address} names no collection", hint=f"for example {address}#notes")
    with open_database(address) as database:
        yield database, address.collection


class _Rows:
    """Rows as blocks of ids, texts and payloads."""

    def __init__(
        self,
        texts: Iterable[str | Mapping[str, Any]],
        ids: Sequence[Id] | None,
        text_field: str,
        id_field: str | None,
    ) -> None:
        if isinstance(texts, (str, bytes)):
            raise InputError("texts must be several texts; got one", hint="[text]")
        if ids is not None and id_field is not None:
            raise InputError("ids are given twice: ids and id_field", hint="omit one of them")
        self.total: int | None = getattr(texts, "total", None)
        if isinstance(texts, Sized):
            self.total = len(texts)
        if ids is not None and self.total is not None and len(ids) != self.total:
            raise InputError(f"{len(ids)} ids but {self.total} texts", hint="pass one id per text")
        self.numbered = ids is None and id_field is None
        self._texts, self._ids = texts, ids
        self._typed = getattr(texts, "typed", True)
        self._text_field, self._id_field = text_field, id_field

    def blocks(self) -> Iterator[tuple[list[Id], list[str], list[dict[str, Any]]]]:
        """Blocks of at most ``CALL`` rows."""
        rows = enumerate(self._texts)
        while part := list(itertools.islice(rows, CALL)):
            payloads = [self._payload(at, each) for at, each in part]
            keys = [self._id(at, each) for (at, _), each in zip(part, payloads, strict=True)]
            yield keys, [each[self._text_field] for each in payloads], payloads

    def _payload(self, at: int, row: str | Mapping[str, Any]) -> dict[str, Any]:
        made = {self._text_field: row} if isinstance(row, str) else row
        if not isinstance(made, Mapping):
            raise InputError(
                f"text {at} is a {type(row).__name__}, not a text or a row",
                hint="convert it with str(), or remove it",
            )
        text = made.get(self._text_field)
        if not isinstance(text, str):
            fields = ", ".join(map(repr, list(made)[:10]))
            raise InputError(
                f"row {at} has no text in the field {self._text_field!r}; it has {fields}",
                hint="name the field: text_field='body' (--text-field body)",
            )
        return dict(made)

    def _id(self, at: int, payload: dict[str, Any]) -> Id:
        if self._ids is not None:
            if at >= len(self._ids):
                raise InputError(
                    f"{len(self._ids)} ids but more texts", hint="pass one id per text"
                )
            return self._ids[at]
        if self._id_field is None:
            return at
        key = payload.pop(self._id_field, None)
        if not self._typed and isinstance(key, str) and _NUMBER.fullmatch(key):
            key = int(key)
        if isinstance(key, bool) or not isinstance(key, (int, str)):
            raise InputError(
                f"row {at} has no id in the field {self._id_field!r}: {key!r:.60}",
                hint="ids are integers or texts; omit id_field (--id) to number the rows",
            )
        return key


class _Blocks:
    """Vectors of blocks of texts: encoded, or given."""

    def __init__(
        self, encoder: Encoder, vectors: Any, kind: str | None, calibration: Calibration | None
    ) -> None:
        if vectors is None and (kind is not None or calibration is not None):
            raise InputError("kind and calibration describe vectors", hint="pass vectors=...")
        if calibration is not None and kind not in INTEGERS:
            raise InputError(
                f"a calibration is for int8 and uint8 codes; got the kind {kind!r}",
                hint="kind='int8' or kind='uint8'",
            )
        self._encoder, self._vectors = encoder, vectors
        self._kind = None if kind is None else checked_kind(kind)
        self._calibration = calibration

    def check(self, total: int | None) -> None:
        """Check that there is a vector for each text, if their number is known.

        Raises:
            InputError
        """
        if self._vectors is not None and total is not None and len(self._vectors) != total:
            raise InputError(
                f"{len(self._vectors)} vectors but {total} texts", hint="pass one vector per text"
            )

    def of(self, start: int, texts: list[str]) -> Floats:
        """The vectors of the texts from ``start``."""
        if self._vectors is None:
            return self._encoder.encode_documents(texts)
        part = self._vectors[start : start + len(texts)]
        if self._calibration is not None:
            return dequantize(np.asarray(part, dtype=self._kind), self._calibration)
        if self._kind is not None:
            return decoded(part, self._kind, dim=self._packed_dim)
        return np.asarray(part, dtype=np.float32)

    @property
    def _packed_dim(self) -> int | None:
        return self._encoder.dim if self._kind in ("ubinary", "binary") else None


def _check(
    collection: Collection, encoder: Encoder, rows: _Rows, metric: Metric | str | None
) -> None:
    """Check an existing collection before anything is encoded."""
    _check_dim(collection, encoder)
    info = collection.info()
    there = info.vectors[""].metric
    if metric is not None and there is not Metric.of(metric):
        raise InputError(
            f"the collection {collection.name!r} has the metric {there}, not {metric}",
            hint="omit metric, or choose another name",
        )
    if info.count and rows.numbered:
        raise InputError(
            f"the collection {collection.name!r} has {info.count:,} rows, which numbers as ids "
            "would replace",
            hint="pass ids=[...] or id_field='id' (--id COLUMN), or choose another name",
        )


def _check_dim(collection: Collection, encoder: Encoder) -> None:
    info = collection.info()
    if "" not in info.vectors:
        raise InputError(
            f"the collection {collection.name!r} has no unnamed vector: {list(info.vectors)}",
            hint="encode with qa.Encoder and write with Collection.write",
        )
    found = info.vectors[""].dim
    if found != encoder.dim:
        raise DimensionError(found, encoder.dim, what=f"vectors of {encoder.name}")


def _write(collection: Collection, rows: _Rows, blocks: _Blocks, progress: OnProgress) -> int:
    blocks.check(rows.total)
    done = 0
    for keys, texts, payloads in rows.blocks():
        try:
            collection.write(Batch(keys, {"": blocks.of(done, texts)}, payloads))
        except QadaptError as error:
            if done:
                error.hint = f"{error.hint or ''} ({done:,} rows before it were written)".strip()
            raise
        done += len(keys)
        progress(Progress("encoding and writing", done, rows.total, "texts"))
    return done


def _save_choice(collection: Collection, encoder: Encoder) -> None:
    """Save the model with the collection, if it can be created again from its name."""
    if encoder.choice is None:
        return
    store, name = collection._store, collection.name
    settings = read_settings(store, name)
    changed = settings.of("").replace(encoder=encoder.choice)
    write_settings(store, name, settings.with_vector("", changed))
