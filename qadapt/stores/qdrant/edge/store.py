"""``edge:DIR``: the embedded Qdrant engine."""

from __future__ import annotations

import dataclasses
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from qadapt.durable import mark
from qadapt.errors import AddressError, BusyError, NotFoundError, QadaptError
from qadapt.model import (
    Batch,
    Capabilities,
    CollectionInfo,
    CollectionSchema,
    ExtraVector,
    Finding,
    Hits,
    Id,
    Metric,
    Quantization,
    Server,
    Vector,
    vector_norms,
)
from qadapt.model.address import Address
from qadapt.stores import checks
from qadapt.stores.base import (
    ALL_ROWS,
    MappedQuantization,
    PayloadFidelity,
    PreparedSearch,
    ReadRequest,
    ScanRange,
    SearchRequest,
    Store,
    require_supported,
    unknown_kind,
)
from qadapt.stores.change import ChangePlan, ChangeRequest, Inspection
from qadapt.stores.change_counter import ChangeCounter
from qadapt.stores.qdrant import client_code, mapping, payload, scan_ranges
from qadapt.stores.qdrant import extra_vectors as shared_extras
from qadapt.stores.qdrant import ids as qdrant_ids
from qadapt.stores.qdrant import rows as shared_rows
from qadapt.stores.qdrant import search as shared_search
from qadapt.stores.qdrant.edge import (
    change_counter,
    collections,
    diagnostics,
    extra_vectors,
    named_vectors,
    payload_indexes,
    row_counts,
    rows,
    schema,
)
from qadapt.stores.qdrant.edge import search as edge_search
from qadapt.stores.qdrant.edge import snapshot as edge_snapshot
from qadapt.stores.qdrant.edge.connection import (
    Shard,
    client_module,
    open_shard,
    release,
    stores,
    version,
)
from qadapt.stores.qdrant.edge.errors import translated
from qadapt.stores.qdrant.edge.filters import to_engine
from qadapt.stores.qdrant.edge.profile import DEPLOYMENT, PROFILE
from qadapt.stores.qdrant.edge.version import refuse_old, server_version, too_old


class EdgeStore(Store):
    """A folder of collections, each a shard of the embedded Qdrant engine.

    Thread-safe. Only one process at a time can have a collection open; others get a BusyError. The
    engine normalizes cosine vectors when they are written (except those with a squared norm below
    1.2e-7, or within 5e-7 of 1); dot and euclidean float32 vectors are stored bit for bit.
    """

    profile = PROFILE
    operations = named_vectors.OPERATIONS

    def __init__(self, address: Address, *, disabled: Sequence[str] = ()) -> None:
        super().__init__(address, disabled=disabled)
        self._folder = address.path
        self._shards: dict[str, Shard] = {}
        self._lock = threading.Lock()
        stores.add(self)
        self._capabilities = self.profile.declared_capabilities(version()).disable(disabled)

    def renew_lock(self) -> None:
        """Replace the lock in a forked process: the thread that held it is in the parent."""
        self._lock = threading.Lock()

    @classmethod
    def open(cls, address: Address, *, disabled: Sequence[str] = ()) -> EdgeStore:
        """Open a folder; a missing folder has no collections and is created when needed.

        Raises:
            MissingExtraError, AddressError
            UnsupportedError: qdrant-edge-py is too old.
        """
        checks.options(address, ())
        client_module()
        refuse_old(version())
        store = cls(address, disabled=disabled)
        if store._folder.exists() and not store._folder.is_dir():
            raise AddressError(
                f"{address}: {store._folder} is a file",
                hint="the DIR of edge:DIR must be a folder that contains one folder per collection",
            )
        return store

    def close(self) -> None:
        with self._lock:
            shards, self._shards = list(self._shards.values()), {}
        for shard in shards:
            release(shard)

    def server(self) -> Server:
        return Server(self.name, version(), DEPLOYMENT)

    @property
    def in_process(self) -> bool:
        return True

    def capabilities(self) -> Capabilities:
        return self._capabilities

    # -- collections -------------------------------------------------------------------------

    def collections(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        with translated(f"list {self._folder}"):
            return sorted(
                path.name
                for path in self._folder.iterdir()
                if not path.name.startswith(".") and (path / schema.FILE).is_file()
            )

    def create(
        self,
        collection: str,
        vectors: Mapping[str, Vector],
        quantization: Mapping[str, Quantization],
        collection_schema: CollectionSchema | None = None,
    ) -> None:
        folder = self._folder / collections.check_name(collection)
        made, natives = mapping.made(quantization, vectors, self._mapped)
        with self._lock:
            collections.create(
                folder, made, natives, collection_schema.extras if collection_schema else {}
            )

    def drop(self, collection: str) -> None:
        shard = self.shard(collection)
        with shard.lock:
            try:
                with shard.use("drop"):
                    pass
            except BusyError:
                raise
            except QadaptError:
                # Damaged, so the engine cannot open it; it can still be dropped.
                pass
            shard.close()
            with self._lock, translated(f"drop {collection!r}"):
                if self._shards.pop(collection, None) is not None:
                    release(shard)
                # Renamed first: a crash leaves a folder that is never listed.
                collections.foreign_leftovers(self._folder)
                gone = self._folder / f"{collections.DROPPED}{mark()}"
                shard.folder.rename(gone)
                shutil.rmtree(gone)

    def info(self, collection: str) -> CollectionInfo:
        return self.inspect(collection).info

    def inspect(self, collection: str) -> Inspection:
        snapshot = edge_snapshot.take_snapshot(self.shard(collection))
        info = edge_snapshot.collection_info(collection, self.server(), snapshot)
        return Inspection(info, snapshot)

    def shard(self, collection: str) -> Shard:
        """The shard of a collection.

        Raises:
            NotFoundError, IntegrityError
        """
        with self._lock:
            known = self._shards.get(collection)
            if known is not None:
                return known
            folder = self._folder / collections.check_name(collection)
            if not folder.is_dir():
                raise NotFoundError.missing("collection", collection, self.collections())
            collections.check_folder(folder)
            return self._shards.setdefault(collection, open_shard(folder))

    def _snapshot(self, shard: Shard) -> edge_snapshot.Snapshot:
        """The last snapshot, or a new one after a change."""
        with shard.lock:
            known: edge_snapshot.Snapshot | None = shard.observation
            return known or edge_snapshot.take_snapshot(shard, exact=False)

    def _settings(self, shard: Shard) -> schema.Config:
        """The configuration, which the engine completes when it opens the shard."""
        with shard.lock, shard.use("open"):
            return schema.read(shard.folder)

    # -- rows --------------------------------------------------------------------------------

    def write(self, collection: str, batch: Batch) -> None:
        shard = self.shard(collection)
        settings = self._settings(shard)
        wanted = edge_snapshot.vectors(settings)
        more = extra_vectors.read_extra_vectors(settings)
        batch = batch.ready(wanted, more, normalizes_cosine=self.traits.normalizes_cosine)
        checked = qdrant_ids.checked(batch.ids)
        checks.check_payloads(batch.payloads)
        rows.write(shard, checked, batch)

    def delete(self, collection: str, ids: Sequence[Id]) -> None:
        rows.delete(self.shard(collection), qdrant_ids.possible(ids))

    def count(self, collection: str, filter: Any = None) -> int:
        shard = self.shard(collection)
        condition = to_engine(rows.with_unread_dates(shard, filter))
        with shard.use("count") as opened:
            if condition is None:
                return row_counts.rows(opened, shard.folder)
            return int(opened.count(client_module().CountRequest(exact=True, filter=condition)))

    def change_counter(self, collection: str) -> ChangeCounter | None:
        shard = self.shard(collection)
        with shard.use("read the segment versions of") as opened:
            return change_counter.of_manifest(opened.snapshot_manifest())

    @contextmanager
    def exclusive(self, collection: str) -> Iterator[bool]:
        # The folder's lock excludes other processes, the shard's lock other threads.
        with self.shard(collection).lock:
            yield True

    def fetch(
        self,
        collection: str,
        ids: Sequence[Id],
        *,
        vectors: Sequence[str] | None = None,
        payload: bool = True,
    ) -> Batch:
        shard = self.shard(collection)
        wanted = self._wanted(shard, vectors)
        return rows.fetch(shard, qdrant_ids.possible(ids), wanted, payload)

    def read(
        self,
        collection: str,
        request: ReadRequest = ALL_ROWS,
    ) -> Iterator[Batch]:
        page = checks.page(request.page)
        within = scan_ranges.range_of(request.scan_range, request.after)
        shard = self.shard(collection)
        wanted = self._wanted(shard, request.vectors)
        condition = to_engine(rows.with_unread_dates(shard, request.filter))
        native = dataclasses.replace(request, vectors=list(wanted), filter=condition, page=page)
        pages = rows.scroll(shard, native, within)
        return (shared_rows.to_batch(found, wanted, request.payload) for found in pages)

    def scan_ranges(self, collection: str, n: int) -> list[ScanRange]:
        shard = self.shard(collection)
        pages = rows.scroll(shard, ReadRequest((), payload=False, page=rows.IDS))
        return scan_ranges.split((record.id for page in pages for record in page), n)

    def _wanted(self, shard: Shard, names: Sequence[str] | None) -> dict[str, Vector | ExtraVector]:
        settings = self._settings(shard)
        if names is None:
            return dict(edge_snapshot.vectors(settings))
        more = extra_vectors.read_extra_vectors(settings)
        return {name: more.get(name) or edge_snapshot.vector(settings, name) for name in names}

    def payload_fidelity(self, key: str, value: Any) -> PayloadFidelity:
        return "exact" if payload.is_exact(value) else "lossy"

    def uncopied(self, collection: str) -> Mapping[str, str]:
        return extra_vectors.unsupported_vectors(self._settings(self.shard(collection)))

    def collection_schema(self, collection: str) -> CollectionSchema:
        return CollectionSchema(
            extras=extra_vectors.read_extra_vectors(self._settings(self.shard(collection)))
        )

    def unsupported_schema(self, collection_schema: CollectionSchema) -> Mapping[str, str]:
        reported = super().unsupported_schema(collection_schema.replace(extras={}))
        return {
            **reported,
            **shared_extras.unsupported(collection_schema.extras, None, local=False),
        }

    def payload_indexes(self, collection: str) -> Mapping[str, str]:
        return payload_indexes.indexes(self.shard(collection))

    def unsupported_payload_index(self, kind: str) -> str | None:
        return unknown_kind(kind)

    def payload_index_settings(self, collection: str) -> Mapping[str, Mapping[str, Any]]:
        return payload_indexes.read_index_settings(self.shard(collection))

    def adapt_payload_index(
        self, key: str, kind: str, settings: Mapping[str, Any], collection_schema: CollectionSchema
    ) -> tuple[Mapping[str, Any], str | None]:
        if problem := unknown_kind(kind):
            return {}, problem
        unknown = payload_indexes.unknown(kind, settings)
        return {name: each for name, each in settings.items() if name not in unknown}, None

    def create_payload_index(
        self, collection: str, key: str, kind: str, settings: Mapping[str, Any] | None = None
    ) -> None:
        payload.check_index(key, unknown_kind(kind))
        payload_indexes.create_index(self.shard(collection), key, kind, settings or {})

    # -- searching ---------------------------------------------------------------------------

    def search(self, collection: str, queries: Any, search: SearchRequest) -> Hits:
        shard = self.shard(collection)
        edge_search.check_options(search.options)
        edge_search.check_rescore(search.rescore)
        with shard.lock:
            snapshot = self._snapshot(shard)
            known = snapshot.vectors.get(search.vector)
            vector = known.vector if known else edge_snapshot.vector(snapshot.config, search.vector)
            if search.filter is not None:
                dated = rows.with_unread_dates(shard, search.filter)
                search = dataclasses.replace(search, filter=dated)
            codes = snapshot.codes(search.vector)
            array = np.atleast_2d(np.asarray(queries, dtype=np.float32))
            cosine = vector.metric is Metric.COSINE
            array = vector_norms.prepared_queries(
                array, vector.datatype, cosine=cosine, normalizes_cosine=True
            )
            found = edge_search.run_all(shard, array, search, codes)
        return shared_search.hits(found, search, vector, edge_search.how(search, codes))

    def prepare_search(self, collection: str, request: SearchRequest) -> PreparedSearch | None:
        edge_search.check_options(request.options)
        edge_search.check_rescore(request.rescore)
        shard = self.shard(collection)
        with shard.lock:
            snapshot = self._snapshot(shard)
        known = snapshot.vectors.get(request.vector)
        if known is None or request.filter is not None:
            return None
        return edge_search.prepare(shard, snapshot, request, known.vector)

    client_search = client_code.client_search

    # -- quantization ------------------------------------------------------------------------

    def map(self, quantization: Quantization, vector: Vector) -> MappedQuantization:
        problem = too_old(quantization, version())
        if problem is not None:
            return MappedQuantization(None, quantization, problem)
        return mapping.to_native(quantization, vector, server_version(version()))

    def _mapped(self, quantization: Quantization, vector: Vector) -> MappedQuantization:
        return require_supported(self.map(quantization, vector), quantization, self.name)

    def plan_change(self, request: ChangeRequest) -> ChangePlan:
        return named_vectors.plan_change(request, self._mapped)

    # -- doctor ------------------------------------------------------------------------------

    def findings(
        self, info: CollectionInfo, options: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        snapshot = edge_snapshot.take_snapshot(self.shard(info.name))
        return diagnostics.findings(self.address, info, snapshot, options or {})
