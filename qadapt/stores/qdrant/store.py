"""``qdrant+http://...``: a Qdrant server, or the client's local mode, as a common store."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from qadapt.errors import (
    AlreadyExistsError,
    NotFoundError,
    SpecError,
    StoreError,
    UnsupportedError,
)
from qadapt.model import (
    Batch,
    Beside,
    CollectionInfo,
    Extra,
    Finding,
    Hits,
    Id,
    Kind,
    Match,
    Metric,
    Quantization,
    Rescore,
    Step,
    Vector,
    direction,
    filters,
)
from qadapt.model.address import Address
from qadapt.stores import checks
from qadapt.stores.base import (
    PAGE,
    Kept,
    Mapped,
    OnProgress,
    Part,
    Search,
    accepted,
    unknown_kind,
)
from qadapt.stores.change_counter import ChangeCounter
from qadapt.stores.client import ClientStore
from qadapt.stores.qdrant import (
    changes,
    config,
    creation,
    extras,
    failures,
    findings,
    floats,
    gates,
    loading,
    local_counter,
    localmode,
    look,
    mapping,
    memory,
    payloads,
    ranges,
    recreate,
    rescoring,
    searching,
    strict,
    telemetry,
    transfer,
    waiting,
)
from qadapt.stores.qdrant.connection import (
    Connection,
    address_of,
    check_name,
    connect,
)
from qadapt.stores.qdrant.filters import has_vector, to_models, unread_dates
from qadapt.stores.qdrant.profile import PROFILE
from qadapt.stores.qdrant.unread_dates import resolved

# Queries in one request.
QUERIES = 100
# How long a look at configuration and segments serves searches, in seconds. Changes of ours are
# seen at once; those of others after so long.
LOOK_SECONDS = 10.0
METADATA = "qadapt"


class QdrantStore(ClientStore[Connection]):
    """A Qdrant server by REST or gRPC, or the local mode of its Python client.

    Threads may share it as they may share its client. Cosine vectors are normalised by the server
    as they are written (but for those whose squared norm is under 1.2e-7, or within 5e-7 of 1);
    dot and euclidean float32 vectors come back bit for bit. An alias may be used wherever a
    collection's name may, but for ``drop``.
    """

    profile = PROFILE

    def __init__(
        self, address: Address, connection: Connection, *, disabled: Sequence[str] = ()
    ) -> None:
        super().__init__(address, connection, disabled=disabled)
        self._looks: dict[str, tuple[float, look.Look]] = {}
        # When a field of a collection was last seen to have no date that the engine does not read.
        self._dated_at: dict[tuple[str, str], float] = {}
        self._shown: telemetry.Shown | None = None

    @classmethod
    def open(cls, address: Address, *, disabled: Sequence[str] = ()) -> QdrantStore:
        return cls(address, connect(address), disabled=disabled)

    @classmethod
    def wrap(cls, client: object, *, disabled: Sequence[str] = ()) -> QdrantStore:
        """A store on a ``QdrantClient`` of the user's, which is never closed by us.

        Raises:
            UnsupportedError: an asynchronous client.
        """
        address = address_of(client)
        return cls(address, Connection(client, owned=False), disabled=disabled)

    def survives_fork(self, connection: Connection) -> bool:
        """Local mode in memory does: it has no socket, thread or file."""
        return connection.local and connection.in_memory

    # -- collections -------------------------------------------------------------------------

    def collections(self) -> list[str]:
        """Names of collections and of aliases, sorted."""
        if self.connection.local:
            return localmode.names(self.connection)
        found = self.connection.ask("GET", "/collections", doing="list collections")
        real = [each["name"] for each in found["collections"]]
        return sorted([*real, *look.visible_aliases(self.connection)])

    def create(
        self,
        collection: str,
        vectors: Mapping[str, Vector],
        quantization: Mapping[str, Quantization],
        beside: Beside | None = None,
    ) -> None:
        made, natives = mapping.made(quantization, vectors, self._mapped)
        more = beside.extras if beside else {}
        creation.create(self.connection, collection, made, natives, more)

    def drop(self, collection: str) -> None:
        self._forget(collection)
        creation.drop(self.connection, collection, self.collections)

    def info(self, collection: str) -> CollectionInfo:
        if self.connection.local:
            raw = localmode.info(self.connection, collection)
            counts = self._counts(collection, raw)
            whole = transfer.count(self.connection, collection, None, {})
            return localmode.collection_info(collection, raw, self.server(), whole, counts)
        looked = self._look(collection, fresh=True)
        counts = self._counts(collection, looked.info)
        whole = self._count(collection, looked.info, None)
        sizes = memory.codes(self.connection, collection)
        return look.collection_info(looked, self.server(), whole, counts, sizes)

    @contextmanager
    def survey(self) -> Iterator[None]:
        if self.connection.local:
            yield
            return
        self._shown = look.telemetry_of_all(self.connection)
        try:
            yield
        finally:
            self._shown = None

    def _counts(self, collection: str, raw: config.Info) -> dict[str, int]:
        """Rows that have each vector."""
        names = list(config.described(raw))
        if len(names) == 1 or gates.lacks(self.connection.version, gates.HAS_VECTOR_SINCE):
            whole = self._count(collection, raw, None)
            return dict.fromkeys(names, whole)
        return {name: self._count(collection, raw, has_vector(name)) for name in names}

    def _count(self, collection: str, raw: config.Info, condition: Any) -> int:
        return transfer.count(self.connection, collection, condition, strict.limits(raw))

    def _raw(self, collection: str) -> config.Info:
        """The configuration, not older than ``LOOK_SECONDS``."""
        if self.connection.local:
            return localmode.info(self.connection, collection)
        return self._look(collection).info

    def _look(self, collection: str, *, fresh: bool = False) -> look.Look:
        known = self._looks.get(collection)
        now = time.monotonic()
        if known is not None and not fresh and now - known[0] < LOOK_SECONDS:
            return known[1]
        try:
            found = look.look(self.connection, collection, self._shown)
        except NotFoundError:
            self._forget(collection)
            raise NotFoundError.missing("collection", collection, self.collections()) from None
        self._looks[collection] = (now, found)
        return found

    def _forget(self, collection: str) -> None:
        self._looks.pop(collection, None)

    # -- rows --------------------------------------------------------------------------------

    def write(self, collection: str, batch: Batch) -> None:
        raw = self._raw(collection)
        for name in batch.vectors:
            if name in config.params(raw):
                config.vector(raw, name, moved=True)
        batch, ids = transfer.ready(batch, config.movable(raw), config.extra_vectors(raw))
        most = strict.capped(strict.limits(raw), "upsert_max_batchsize", transfer.CHUNK_ROWS)
        self._dated_at.clear()
        transfer.write(self.connection, collection, batch, ids, most)

    def delete(self, collection: str, ids: Sequence[Id]) -> None:
        transfer.delete(self.connection, collection, ids)

    def change_counter(self, collection: str) -> ChangeCounter | None:
        # A server tells an operation number in its telemetry since 1.19 (`update_queue.op_num`),
        # which was not seen to move with each write: no live server was at hand.
        if not self.connection.local:
            return None
        return local_counter.read(self.connection, collection)

    def count(self, collection: str, filter: Any = None) -> int:
        raw = self._raw(collection)
        return self._count(collection, raw, to_models(self._dated(collection, raw, filter)))

    def fetch(
        self,
        collection: str,
        ids: Sequence[Id],
        *,
        vectors: Sequence[str] | None = None,
        payload: bool = True,
    ) -> Batch:
        wanted = self._wanted(self._raw(collection), vectors)
        return transfer.fetch(self.connection, collection, ids, wanted, payload)

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
        raw = self._raw(collection)
        size = strict.capped(strict.limits(raw), "max_query_limit", checks.page(page))
        wanted = self._wanted(raw, vectors)
        condition = to_models(self._dated(collection, raw, filter))

        def smaller(refused: int) -> int:
            """The rows of a page that a limit set since allows."""
            now = strict.limits(self._look(collection, fresh=True).info)
            return strict.capped(now, "max_query_limit", refused)

        return transfer.read(
            self.connection, collection, wanted, payload, condition, size, within, smaller
        )

    def _dated(self, collection: str, raw: config.Info, filter: Any) -> Any:
        """The filter, with rows that the engine does not find by their dates.

        That a field has none such is believed for ``LOOK_SECONDS``, as the configuration is.
        """
        size = strict.capped(strict.limits(raw), "max_query_limit", PAGE)
        connection = self.connection

        def rows(condition: Any, payload: bool, page: int) -> Iterator[Sequence[Any]]:
            every = ranges.Range()
            return transfer.scroll(connection, collection, condition, (), payload, page, every)

        def suspects(node: filters.Range) -> Iterator[tuple[Any, Mapping[str, Any]]]:
            key, now = (collection, node.field), time.monotonic()
            if not connection.local and now - self._dated_at.get(key, -math.inf) < LOOK_SECONDS:
                return
            if next(rows(unread_dates(node.field), False, 1), None) is None:
                self._dated_at[key] = now
                return
            for page in rows(unread_dates(node.field, node), True, size):
                yield from ((record.id, record.payload or {}) for record in page)

        return resolved(filter, suspects)

    def parts(self, collection: str, n: int) -> list[Part]:
        raw = self._raw(collection)
        return ranges.split(transfer.some_ids(self.connection, collection, n, raw), n)

    def _wanted(self, raw: config.Info, names: Sequence[str] | None) -> dict[str, Vector | Extra]:
        if names is None:
            return dict(config.movable(raw))
        more = config.extra_vectors(raw)
        return {name: more.get(name) or config.vector(raw, name, moved=True) for name in names}

    def keeps(self, key: str, value: Any) -> Kept:
        # A server keeps payloads as the engine does (not tried on one); local mode is Python's.
        exact = self.connection.local or floats.survives(value)
        return "as it is" if exact else "nearly"

    def refuses(self, vectors: Mapping[str, Vector]) -> str | None:
        problems = (gates.datatype(each, self.connection.version) for each in vectors.values())
        return next((problem for problem in problems if problem), None)

    def beyond_rows(self, collection: str) -> Mapping[str, str]:
        raw = self._raw(collection)
        indexes = payloads.beyond(raw)
        return {**config.beyond_rows(raw), **({"payload-indexes": indexes} if indexes else {})}

    def beside(self, collection: str) -> Beside:
        return Beside(extras=config.extra_vectors(self._raw(collection)))

    def refuses_beside(self, beside: Beside) -> Mapping[str, str]:
        told = super().refuses_beside(beside.replace(extras={}))
        version, local = self.connection.version, self.connection.local
        return {**told, **extras.refused(beside.extras, version, local=local)}

    def payload_indexes(self, collection: str) -> Mapping[str, str]:
        if self.connection.local:
            return {}
        return payloads.indexes(self._look(collection, fresh=True).info)

    def refuses_payload_index(self, kind: str) -> str | None:
        if self.connection.local:
            return "indexes on payloads have no effect in the client's local mode"
        return unknown_kind(kind)

    def payload_index_settings(self, collection: str) -> Mapping[str, Mapping[str, Any]]:
        if self.connection.local:
            return {}
        return payloads.told(self._look(collection, fresh=True).info)

    def index_payload(
        self, collection: str, key: str, kind: str, settings: Mapping[str, Any] | None = None
    ) -> None:
        if problem := self.refuses_payload_index(kind):
            raise UnsupportedError(f"cannot index {key!r}: {problem}")
        asked = {"type": kind, **settings} if settings else kind
        payloads.index(self.connection, collection, key, asked)
        self._forget(collection)

    # -- many rows at once -------------------------------------------------------------------

    def puts_off(self, collection: str) -> Mapping[str, Any]:
        return {} if self.connection.local else loading.former(self.connection, collection)

    def begin_load(self, collection: str) -> None:
        loading.begin(self.connection, collection)
        self._forget(collection)

    def end_load(self, collection: str, former: Mapping[str, Any]) -> None:
        loading.end(self.connection, collection, former)
        self._forget(collection)

    def settle(self, collection: str, progress: OnProgress, timeout: float) -> None:
        if not self.connection.local:
            loading.settle(self.connection, collection, progress, timeout)

    # -- searching ---------------------------------------------------------------------------

    def search(self, collection: str, queries: Any, search: Search) -> Hits:
        searching.check(search)
        local = self.connection.local
        raw = self._raw(collection)
        vector = config.vector(raw, search.vector, moved=True)
        limits = strict.limits(raw)
        strict.check_search(limits, search)
        looked = None if local else self._look(collection)
        codes = searching.NO_CODES if looked is None else looked.codes(search.vector)
        search = dataclasses.replace(search, filter=self._dated(collection, raw, search.filter))
        common = searching.template(search, codes, limits, local=local)
        array = np.atleast_2d(np.asarray(queries, dtype=np.float32))
        cosine = vector.metric is Metric.COSINE
        array = direction.asked(array, vector.datatype, cosine=cosine, normalises=True)
        size = strict.capped(limits, "search_max_batchsize", QUERIES)
        found = []
        for start in range(0, len(array), size):
            part = array[start : start + size]
            found += transfer.query(self.connection, collection, part, common)
        if looked is not None and searching.rests_on_a_look(search, codes):
            codes = self._codes_now(collection, search.vector, looked)
        version = self.connection.version
        told = searching.how(search, codes, version, vector.metric, local=local)
        return searching.hits(found, search, vector, told)

    def allowed_rescore(self, collection: str, rescore: Rescore) -> Rescore:
        return strict.allowed(strict.limits(self._raw(collection)), rescore)

    @property
    def searches_round(self) -> bool:
        # The client's local mode divides the stored vectors by their lengths in place, each time
        # (qdrant_client/local/distances.py, cosine_similarity).
        return self.connection.local

    def most_results(self, collection: str) -> int:
        limits = strict.limits(self._raw(collection))
        return strict.capped(limits, "max_query_limit", self.traits.max_k)

    def _codes_now(self, collection: str, vector: str, looked: look.Look) -> rescoring.Codes:
        """What segments held while they were searched: as looked at, unless that was changed.

        Codes come by a change of the configuration, so that alone is asked for again where the
        segments were settled.
        """
        if looked.settled(vector):
            names = {"collection_name": collection}
            doing = f"read {collection!r}"
            info = self.connection.ask("GET", creation.PATH, doing=doing, names=names)
            if vector in config.params(info) and (
                config.in_force(info, vector) == config.in_force(looked.info, vector)
            ):
                return looked.codes(vector)
        return self._look(collection, fresh=True).codes(vector)

    # -- quantization ------------------------------------------------------------------------

    def map(self, quantization: Quantization, vector: Vector) -> Mapped:
        version = self.connection.version
        if quantization.kind is Kind.FLOAT16 and vector.datatype == "float32":
            wanted = vector.replace(datatype="float16")
            problem = gates.datatype(wanted, version)
            if problem:
                return Mapped(None, quantization, Match.unsupported(problem, "scalar"))
            return mapping.to_native(quantization, wanted, version)
        return gates.gated(mapping.to_native(quantization, vector, version), version)

    def _mapped(self, quantization: Quantization, vector: Vector) -> Mapped:
        if quantization.kind is not Kind.NONE and self.connection.local:
            raise UnsupportedError(
                f"no {quantization} here: {localmode.RULE}", hint=localmode.ADVICE
            )
        return accepted(self.map(quantization, vector), quantization, self.name)

    def steps(self, info: CollectionInfo, vector: str, quantization: Quantization) -> list[Step]:
        if self.connection.local:
            return self._local_steps(info, vector, quantization)
        looked = self._look(info.name, fresh=True)
        about = config.vector(looked.info, vector)
        mapped = self._mapped(quantization, about)
        rows = info.vectors[vector].count
        seen = looked.seen(vector, rows)
        known = look.vector_info(vector, seen, looked)
        if mapped.target.kind is Kind.FLOAT16 and about.datatype == "float32":
            if config.in_force(looked.info, vector):
                raise UnsupportedError(
                    f"the vector {vector!r} has codes: float16 replaces the originals, and codes "
                    "come on top of them",
                    hint="plan `none` first, then float16",
                )
            return self.recreate_steps(info, vector, about.replace(datatype="float16"))
        if mapped.target.kind is Kind.NONE and about.datatype == "float16":
            mapped = Mapped(mapped.native, quantization.replace(kind=Kind.FLOAT16), mapped.match)
        return changes.steps(known, looked.info, seen, mapped, self.connection.version)

    def recreate_steps(self, info: CollectionInfo, vector: str, wanted: Vector) -> list[Step]:
        """The step to another datatype or metric: recreate, copy, switch the alias.

        Raises:
            UnsupportedError: the name is no alias, or the server lacks the datatype.
        """
        problem = gates.datatype(wanted, self.connection.version)
        if problem:
            raise UnsupportedError(problem, hint="choose another datatype")
        looked = self._look(info.name, fresh=True)
        config.vector(looked.info, vector, moved=True)
        taken = dict.fromkeys(self.collections(), "")
        return recreate.steps(looked, info.vectors[vector], wanted, taken)

    def _local_steps(
        self, info: CollectionInfo, vector: str, quantization: Quantization
    ) -> list[Step]:
        about = info.vectors[vector]
        if quantization.kind is Kind.NONE and about.quantization.kind is Kind.NONE:
            return []
        raise UnsupportedError(f"no {quantization} here: {localmode.RULE}", hint=localmode.ADVICE)

    def run(
        self, collection: str, request: Mapping[str, Any], progress: OnProgress, timeout: float
    ) -> None:
        op = request.get("op")
        if op == changes.PATCH:
            changes.check_request(request)
            waiting.patch(self.connection, collection, request["body"])
            vector = request["vector"]
        elif op in (recreate.RECREATE, recreate.SWITCH):
            recreate.check_request(request)
            recreate.run(self.connection, request, progress, timeout)
            self._forget(collection)
            vector = next(iter(request.get("vectors") or config.described(self._raw(collection))))
        else:
            known = (changes.PATCH, recreate.RECREATE, recreate.SWITCH)
            raise SpecError.unknown("request", str(op), known, where=self.name)
        self._forget(collection)
        waiting.settle(self.connection, collection, vector, progress, timeout)
        self._forget(collection)

    # -- aliases -----------------------------------------------------------------------------

    def aliases(self) -> Mapping[str, str]:
        if self.connection.local:
            return localmode.aliases(self.connection)
        return look.visible_aliases(self.connection)

    def switch_alias(self, alias: str, collection: str) -> None:
        known = self.aliases()
        real = [name for name in self.collections() if name not in known]
        if collection not in real:
            raise NotFoundError.missing("collection", collection, real)
        if alias in real:
            raise AlreadyExistsError(
                f"{alias!r} is a collection's own name: no alias can be called so",
                hint="rename the alias, or drop that collection first",
            )
        if self.connection.local:
            localmode.switch_alias(self.connection, alias, collection)
        else:
            recreate.switch(self.connection, check_name(alias), collection)
        self._forget(alias)

    def drop_alias(self, alias: str) -> None:
        known = self.aliases()
        if alias not in known:
            raise NotFoundError.missing("alias", alias, known)
        if self.connection.local:
            localmode.drop_alias(self.connection, alias)
        else:
            recreate.drop_alias(self.connection, alias)
        self._forget(alias)

    # -- doctor ------------------------------------------------------------------------------

    def findings(
        self, info: CollectionInfo, options: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        found = findings.common(self.address, info, options or {})
        if self.connection.local:
            return found + findings.says_green(self.address, info, "green")
        looked = self._look(info.name)
        for vector in info.vectors.values():
            seen = looked.seen(vector.name, vector.count)
            if vector.held_by != "store":
                continue
            if seen.target and not seen.codes_while_growing:
                rows = sum(each.present for each in seen.growing)
                found += findings.small_segments(self.address, info, vector, rows, seen.threshold)
            rows = sum(each.present for each in seen.unmeasured)
            found += findings.one_bit(self.address, info, vector, rows)
            if vector.quantization.rescore is not None:
                allowed = self.allowed_rescore(info.name, vector.quantization.rescore)
                found += findings.over_the_limit(self.address, info, vector, allowed)
        return found + findings.says_green(self.address, info, looked.colour)

    # -- settings ----------------------------------------------------------------------------

    def load_settings(self, collection: str) -> Mapping[str, Any] | None:
        if not self._has_metadata:
            return None
        found = config.metadata(self._look(collection).info).get(METADATA)
        return found if isinstance(found, Mapping) else {}

    def save_settings(self, collection: str, settings: Mapping[str, Any]) -> bool:
        if not self._has_metadata:
            return False
        if self.load_settings(collection) == dict(settings):
            return True
        self._forget(collection)
        # The server merges metadata by key, and null takes a key out.
        body = {"metadata": {METADATA: dict(settings) or None}}
        names = {"collection_name": collection}
        doing = f"keep the settings of {collection!r}"
        path = "/collections/{collection_name}"
        with failures.first_of_its_step():
            self.connection.ask("PATCH", path, body, doing=doing, names=names)
        kept = config.metadata(self._look(collection, fresh=True).info).get(METADATA) or {}
        if kept != dict(settings):
            raise StoreError(
                f"the server does not keep metadata.{METADATA} as it was sent: sent "
                f"{dict(settings)!r}, kept {kept!r}"
            )
        return True

    @property
    def _has_metadata(self) -> bool:
        local, version = self.connection.local, self.connection.version
        return not local and not gates.lacks(version, gates.METADATA_SINCE)
