"""``edge:DIR``: Qdrant's engine in this process behind the interface of all stores."""

from __future__ import annotations

import dataclasses
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from qadapt.durable import mark
from qadapt.errors import (
    AddressError,
    BusyError,
    IntegrityError,
    NotFoundError,
    QadaptError,
    UnsupportedError,
)
from qadapt.model import (
    Batch,
    Beside,
    Capabilities,
    CollectionInfo,
    Extra,
    Finding,
    Hits,
    Id,
    Metric,
    Quantization,
    Server,
    Step,
    Vector,
    direction,
    filters,
)
from qadapt.model.address import Address
from qadapt.model.capabilities import older
from qadapt.stores import checks
from qadapt.stores.base import (
    PAGE,
    Kept,
    Mapped,
    OnProgress,
    Part,
    Progress,
    Search,
    Store,
    accepted,
    unknown_kind,
)
from qadapt.stores.change_counter import ChangeCounter
from qadapt.stores.edge import (
    change_counter,
    changes,
    config,
    counting,
    creation,
    extras,
    findings,
    inspection,
    payloads,
    rows,
    searching,
    space,
)
from qadapt.stores.edge import settings as index_settings
from qadapt.stores.edge.capabilities import OLDEST, server_version, too_old
from qadapt.stores.edge.engine import (
    DISTRIBUTION,
    Shard,
    engine,
    release,
    shared,
    stores,
    translated,
    version,
)
from qadapt.stores.edge.filters import to_engine, unread_dates
from qadapt.stores.edge.profile import DEPLOYMENT, PROFILE
from qadapt.stores.edge.rebuild import LOOK, rebuild
from qadapt.stores.qdrant import columns, floats, keys, mapping, ranges
from qadapt.stores.qdrant import extras as shared_extras
from qadapt.stores.qdrant.unread_dates import resolved
from qadapt.version import install_command

# Queries in one request of the engine, and ids in one deletion.
QUERIES = 1_000
IDS = 10_000
# How long a change waits for a process that is just letting go of the folder.
PATIENCE = 10.0


class EdgeStore(Store):
    """A folder of collections, each a shard of Qdrant's engine that this process opens.

    Threads may share it. One process at a time may have a collection open; another one gets a
    BusyError. Cosine vectors are normalised by the engine as they are written (but for those
    whose squared norm is under 1.2e-7, or within 5e-7 of 1); dot and euclidean float32 vectors
    come back bit for bit.
    """

    profile = PROFILE

    def __init__(self, address: Address, *, disabled: Sequence[str] = ()) -> None:
        super().__init__(address, disabled=disabled)
        self._folder = address.path
        self._shards: dict[str, Shard] = {}
        self._lock = threading.Lock()
        stores.add(self)
        self._capabilities = self.profile.declared(version()).disable(disabled)

    def renew_lock(self) -> None:
        """In a forked process: the thread that held the lock is in the parent."""
        self._lock = threading.Lock()

    @classmethod
    def open(cls, address: Address, *, disabled: Sequence[str] = ()) -> EdgeStore:
        """Open a folder; one that is not there yet holds nothing and is made when needed.

        Raises:
            MissingExtraError, AddressError
            UnsupportedError: a qdrant-edge-py that is too old.
        """
        engine()
        found = version()
        if found is not None and older(found, OLDEST):
            raise UnsupportedError(
                f"{DISTRIBUTION} {found} is installed; the store 'edge' needs {OLDEST} or newer",
                hint=install_command("edge").replace("install", "install --upgrade"),
            )
        store = cls(address, disabled=disabled)
        if store._folder.exists() and not store._folder.is_dir():
            raise AddressError(
                f"{address}: {store._folder} is a file",
                hint="edge:DIR names a folder that holds one folder a collection",
            )
        return store

    def close(self) -> None:
        with self._lock:
            shards, self._shards = list(self._shards.values()), {}
        for shard in shards:
            release(shard)

    def server(self) -> Server:
        return Server(self.name, version(), DEPLOYMENT)

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
                if not path.name.startswith(".") and (path / config.FILE).is_file()
            )

    def create(
        self,
        collection: str,
        vectors: Mapping[str, Vector],
        quantization: Mapping[str, Quantization],
        beside: Beside | None = None,
    ) -> None:
        folder = self._folder / creation.check_name(collection)
        made, natives = mapping.made(quantization, vectors, self._mapped)
        with self._lock:
            creation.create(folder, made, natives, beside.extras if beside else {})

    def drop(self, collection: str) -> None:
        shard = self._shard(collection)
        with shard.lock:
            try:
                with shard.use("drop"):
                    pass
            except BusyError:
                raise
            except QadaptError:
                # Damaged, so the engine cannot open it: dropping it is what helps.
                pass
            shard.close()
            with self._lock, translated(f"drop {collection!r}"):
                if self._shards.pop(collection, None) is not None:
                    release(shard)
                # Gone in one move; a crash leaves a folder that nobody lists.
                creation.left_by_others(self._folder)
                gone = self._folder / f"{creation.DROPPED}{mark()}"
                shard.folder.rename(gone)
                shutil.rmtree(gone)

    def info(self, collection: str) -> CollectionInfo:
        looked = inspection.look(self._shard(collection))
        return inspection.collection_info(collection, self.server(), looked)

    def _shard(self, collection: str) -> Shard:
        with self._lock:
            known = self._shards.get(collection)
            if known is not None:
                return known
            folder = self._folder / creation.check_name(collection)
            if not folder.is_dir():
                raise NotFoundError.missing("collection", collection, self.collections())
            if not (folder / config.FILE).is_file():
                raise IntegrityError(
                    f"{folder} is not a collection: it holds no {config.FILE}",
                    hint="each folder in an edge:DIR is one collection, made by `create`",
                )
            return self._shards.setdefault(collection, shared(folder))

    def _look(self, shard: Shard) -> inspection.Look:
        """The last look, or a new one after a change."""
        with shard.lock:
            known: inspection.Look | None = shard.seen
            return known or inspection.look(shard, exact=False)

    def _settings(self, shard: Shard) -> config.Config:
        """The configuration, which the engine completes when it opens the shard."""
        with shard.lock, shard.use("open"):
            return config.read(shard.folder)

    # -- rows --------------------------------------------------------------------------------

    def write(self, collection: str, batch: Batch) -> None:
        shard = self._shard(collection)
        settings = self._settings(shard)
        wanted = inspection.vectors(settings)
        more = extras.found(settings)
        batch = batch.ready(wanted, more, normalises=self.traits.normalizes_cosine)
        checked = keys.checked(batch.ids)
        columns.check_payloads(batch.payloads)
        edge = engine()
        start = 0
        with shard.change("write to", batch) as opened:
            for chunk in columns.chunks(batch):
                part = checked[start : start + len(chunk)]
                start += len(chunk)
                opened.update(edge.UpdateOperation.upsert_points(rows.points(edge, part, chunk)))

    def delete(self, collection: str, ids: Sequence[Id]) -> None:
        there = keys.possible(ids)
        edge = engine()
        with self._shard(collection).change("delete from") as opened:
            for start in range(0, len(there), IDS):
                opened.update(edge.UpdateOperation.delete_points(there[start : start + IDS]))

    def count(self, collection: str, filter: Any = None) -> int:
        shard = self._shard(collection)
        condition = to_engine(self._dated(shard, filter))
        with shard.use("count") as opened:
            if condition is None:
                return counting.rows(opened, shard.folder)
            return int(opened.count(engine().CountRequest(exact=True, filter=condition)))

    def change_counter(self, collection: str) -> ChangeCounter | None:
        shard = self._shard(collection)
        with shard.use("read the segment versions of") as opened:
            return change_counter.of_manifest(opened.snapshot_manifest())

    @contextmanager
    def exclusive(self, collection: str) -> Iterator[bool]:
        # Other processes are kept out by the folder's lock, other threads by the shard's.
        with self._shard(collection).lock:
            yield True

    def fetch(
        self,
        collection: str,
        ids: Sequence[Id],
        *,
        vectors: Sequence[str] | None = None,
        payload: bool = True,
    ) -> Batch:
        shard = self._shard(collection)
        wanted = self._wanted(shard, vectors)
        asked: list[Any] = keys.possible(ids)
        with shard.use("read from") as opened:
            # All three by position: the binding has no defaults, whatever its stub says.
            found = opened.retrieve(asked, payload, list(wanted) or False)
        by_id = {columns.plain(record.id): record for record in found}
        return columns.to_batch([by_id[key] for key in asked if key in by_id], wanted, payload)

    def read(
        self,
        collection: str,
        *,
        vectors: Sequence[str] | None = None,
        payload: bool = True,
        filter: Any = None,
        page: int = PAGE,
        part: Part | None = None,
        after: Id | None = None,
    ) -> Iterator[Batch]:
        within = ranges.wanted(part, after)
        page = checks.page(page)
        shard = self._shard(collection)
        wanted = self._wanted(shard, vectors)
        condition = to_engine(self._dated(shard, filter))
        return self._pages(shard, wanted, payload, condition, page, within)

    def _pages(
        self,
        shard: Shard,
        wanted: dict[str, Vector | Extra],
        payload: bool,
        filter: Any,
        page: int,
        within: ranges.Range,
    ) -> Iterator[Batch]:
        for found in self._scroll(shard, list(wanted), payload, filter, page, within):
            yield columns.to_batch(found, wanted, payload)

    def _scroll(
        self,
        shard: Shard,
        wanted: list[str],
        payload: bool,
        filter: Any,
        page: int,
        within: ranges.Range,
    ) -> Iterator[Sequence[Any]]:
        edge = engine()
        offset: Any = within.start
        ended = within.empty
        while not ended:
            with shard.use("read from") as opened:
                found, offset = opened.scroll(
                    edge.ScrollRequest(
                        offset=offset,
                        limit=page,
                        filter=filter,
                        with_payload=payload,
                        with_vector=wanted or False,
                    )
                )
            inside, ended = within.cut(found)
            if inside:
                yield inside
            ended = ended or offset is None

    def _dated(self, shard: Shard, filter: Any) -> Any:
        """The filter, with rows that the engine does not find by their dates."""

        def suspects(node: filters.Range) -> Iterator[tuple[Any, Mapping[str, Any]]]:
            if node.field in shard.dated:
                return
            every = self._scroll(shard, [], False, unread_dates(node.field), 1, ranges.Range())
            if next(every, None) is None:
                shard.dated.add(node.field)
                return
            condition = unread_dates(node.field, node)
            for page in self._scroll(shard, [], True, condition, IDS, ranges.Range()):
                yield from ((record.id, record.payload or {}) for record in page)

        return resolved(filter, suspects)

    def parts(self, collection: str, n: int) -> list[Part]:
        shard = self._shard(collection)
        pages = self._scroll(shard, [], False, None, IDS, ranges.Range())
        return ranges.split((record.id for page in pages for record in page), n)

    def _wanted(self, shard: Shard, names: Sequence[str] | None) -> dict[str, Vector | Extra]:
        settings = self._settings(shard)
        if names is None:
            return dict(inspection.vectors(settings))
        more = extras.found(settings)
        return {name: more.get(name) or inspection.vector(settings, name) for name in names}

    def keeps(self, key: str, value: Any) -> Kept:
        return "as it is" if floats.survives(value) else "nearly"

    def beyond_rows(self, collection: str) -> Mapping[str, str]:
        return extras.beyond(self._settings(self._shard(collection)))

    def beside(self, collection: str) -> Beside:
        return Beside(extras=extras.found(self._settings(self._shard(collection))))

    def refuses_beside(self, beside: Beside) -> Mapping[str, str]:
        told = super().refuses_beside(beside.replace(extras={}))
        return {**told, **shared_extras.refused(beside.extras, None, local=False)}

    def payload_indexes(self, collection: str) -> Mapping[str, str]:
        return payloads.indexes(self._shard(collection))

    def refuses_payload_index(self, kind: str) -> str | None:
        return unknown_kind(kind)

    def payload_index_settings(self, collection: str) -> Mapping[str, Mapping[str, Any]]:
        return payloads.told(self._shard(collection))

    def fit_payload_index(
        self, key: str, kind: str, settings: Mapping[str, Any], beside: Beside
    ) -> tuple[Mapping[str, Any], str | None]:
        if problem := unknown_kind(kind):
            return {}, problem
        unknown = index_settings.unknown(kind, settings)
        return {name: each for name, each in settings.items() if name not in unknown}, None

    def index_payload(
        self, collection: str, key: str, kind: str, settings: Mapping[str, Any] | None = None
    ) -> None:
        if problem := unknown_kind(kind):
            raise UnsupportedError(f"cannot index {key!r}: {problem}")
        payloads.index(self._shard(collection), key, kind, settings or {})

    # -- searching ---------------------------------------------------------------------------

    def search(self, collection: str, queries: Any, search: Search) -> Hits:
        shard = self._shard(collection)
        searching.check_options(search.options)
        searching.check_rescore(search.rescore)
        with shard.lock:
            looked = self._look(shard)
            vector = inspection.vector(looked.config, search.vector)
            search = dataclasses.replace(search, filter=self._dated(shard, search.filter))
            codes = looked.codes(search.vector)
            array = np.atleast_2d(np.asarray(queries, dtype=np.float32))
            cosine = vector.metric is Metric.COSINE
            array = direction.asked(array, vector.datatype, cosine=cosine, normalises=True)
            found: list[Any] = []
            for start in range(0, len(array), QUERIES):
                asked = searching.requests(array[start : start + QUERIES], search, codes)
                with shard.use("search") as opened:
                    found += searching.ask(opened, asked)
        return searching.hits(found, search, vector, searching.how(search, codes))

    # -- quantization ------------------------------------------------------------------------

    def map(self, quantization: Quantization, vector: Vector) -> Mapped:
        problem = too_old(quantization, version())
        if problem is not None:
            return Mapped(None, quantization, problem)
        return mapping.to_native(quantization, vector, server_version(version()))

    def _mapped(self, quantization: Quantization, vector: Vector) -> Mapped:
        return accepted(self.map(quantization, vector), quantization, self.name)

    def steps(self, info: CollectionInfo, vector: str, quantization: Quantization) -> list[Step]:
        looked = inspection.look(self._shard(info.name))
        inspection.vector(looked.config, vector)
        known = inspection.vector_info(vector, looked)
        mapped = self._mapped(quantization, known.vector)
        return changes.steps(known, looked.config, looked.vectors[vector], mapped)

    def run(
        self, collection: str, request: Mapping[str, Any], progress: OnProgress, timeout: float
    ) -> None:
        changes.check_request(request)
        shard = self._shard(collection)
        deadline = time.monotonic() + timeout
        with shard.lock:
            self._own(shard, progress, min(timeout, PATIENCE))
            for part in changes.parts(request):
                if part["op"] == changes.CONFIGURE:
                    self._configure(shard, part)
                shard.pause()
                space.check_open(shard.folder)
                rebuild(shard.folder, progress, max(0.0, deadline - time.monotonic()))

    def set_without_codes(self, collection: str, vector: str, quantization: Quantization) -> bool:
        shard = self._shard(collection)
        with shard.lock:
            known = inspection.vector(inspection.look(shard).config, vector)
            mapped = self._mapped(quantization, known)
            self._configure(shard, changes.settings_alone(vector, mapped))
        return True

    def _own(self, shard: Shard, progress: OnProgress, patience: float) -> None:
        """Open the shard; a killed process may take a moment to let go of it."""
        deadline = time.monotonic() + patience
        while True:
            try:
                with shard.use("change"):
                    return
            except BusyError:
                if time.monotonic() > deadline:
                    raise
            progress(Progress("waiting for the process that has the collection open"))
            time.sleep(LOOK)

    def _configure(self, shard: Shard, request: Mapping[str, Any]) -> None:
        before = config.read(shard.folder)
        inspection.vector(before, request["vector"])
        wanted = config.configured(before, request)
        if config.settings(wanted) == config.settings(before):
            return
        shard.pause()
        creation.configure(shard.folder, before, wanted)

    # -- doctor ------------------------------------------------------------------------------

    def findings(
        self, info: CollectionInfo, options: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        looked = inspection.look(self._shard(info.name))
        return findings.findings(self.address, info, looked, options or {})
