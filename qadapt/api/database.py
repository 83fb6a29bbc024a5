"""A store that is open, and its collections."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, cast

from qadapt.api.change import Plan
from qadapt.errors import (
    AlreadyExistsError,
    NotFoundError,
    SpecError,
)
from qadapt.evaluation.verify import Verification
from qadapt.evaluation.verify import verify as run_verify
from qadapt.local import codes, seen
from qadapt.local.settings import read_settings
from qadapt.local.state import forget
from qadapt.model import (
    Accept,
    Batch,
    Capabilities,
    CollectionInfo,
    Guard,
    Hits,
    Id,
    Metric,
    Quantization,
    QuantizationLike,
    Rescore,
    RescoreLike,
    Server,
    Vector,
    as_vectors,
    check_vectors,
)
from qadapt.model.address import Address
from qadapt.model.data import Datatype
from qadapt.model.spec import Spec
from qadapt.planning import journal
from qadapt.planning.planner import make_plan, which_vector
from qadapt.search import search
from qadapt.stores.base import OnProgress, Search, Store, check_k, silent
from qadapt.stores.registry import open_store, wrap_client

FRESH = 10.0  # seconds that a collection's dimensions and metrics are believed


def open(address: str | Address, *, disabled: Sequence[str] = ()) -> Database:
    """Open a store by its address.

    Args:
        address: such as ``"edge:./data"``; see "Addresses" in docs/reference.md.
        disabled: native features to switch off, such as ``("native-rescore",)``, which forces
            the fallback.

    Raises:
        AddressError, SpecError, MissingExtraError, UnreachableError, AuthError
    """
    return Database(open_store(address, disabled=disabled))


def wrap(client: object, *, disabled: Sequence[str] = ()) -> Database:
    """A database on a client that you already have, such as a ``QdrantClient``.

    The client keeps its settings (time-outs, key, transport) and is never closed by qadapt.

    Args:
        client: of a store's own client library.
        disabled: native features to switch off, as for ``open``.

    Raises:
        UnsupportedError: no store wraps such a client; the message names those that do.
    """
    return Database(wrap_client(client, disabled=disabled))


@contextmanager
def plan_spec(spec: Spec, *, accept: Accept = "differs") -> Iterator[list[Plan]]:
    """The plans of all vectors that a spec file names; the stores stay open in the block.

        with qa.plan_spec(qa.load_spec("quantization.yaml")) as plans:
            changes = list(qa.apply_plans(plans, yes=True))

    Raises:
        NotFoundError, UnsupportedError, ...: as for ``Collection.plan``.
    """
    with ExitStack() as opened:
        plans = []
        for each in spec.stores:
            database = opened.enter_context(open(each.store))
            for name, collection in each.collections.items():
                for vector, wanted in collection.vectors.items():
                    plans.append(
                        database[name].plan(
                            wanted.wanted,
                            vector=vector or None,
                            accept=accept,
                            guard=collection.guard,
                        )
                    )
        yield plans


class Database:
    """A store that is open: its collections. A context manager."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __repr__(self) -> str:
        return f"<Database {self._store.address}>"

    def collections(self) -> list[str]:
        """Names of all collections, sorted."""
        return self._store.collections()

    def __iter__(self) -> Iterator[str]:
        return iter(self.collections())

    def __contains__(self, collection: object) -> bool:
        return collection in self.collections()

    def __getitem__(self, collection: str) -> Collection:
        """A collection.

        Raises:
            NotFoundError: there is none of that name; the message names the nearest.
        """
        names = self.collections()
        if collection not in names:
            raise NotFoundError.missing("collection", collection, names)
        return Collection(self._store, collection)

    def server(self) -> Server:
        """Which engine answers, at which version, deployed how."""
        return self._store.server()

    def capabilities(self) -> Capabilities:
        """What this server can do, with what was switched off."""
        return self._store.capabilities()

    def create(
        self,
        collection: str,
        *,
        dim: int | None = None,
        metric: Metric | str = Metric.COSINE,
        datatype: Datatype = "float32",
        quantization: QuantizationLike | Mapping[str, QuantizationLike] | None = None,
        vectors: Mapping[str, Vector] | None = None,
    ) -> Collection:
        """Create a collection with one unnamed vector (``dim=``) or several (``vectors=``).

        Args:
            dim, metric, datatype: of the one unnamed vector.
            quantization: for the one vector, or ``{vector name: quantization}``. A store that
                quantizes only later says so in ``info()``; a rescore setting is remembered.
            vectors: ``{name: qa.Vector(dim, metric)}``.

        Raises:
            AlreadyExistsError, SpecError, UnsupportedError
        """
        if (dim is None) == (vectors is None):
            raise SpecError(
                "create takes dim= for one unnamed vector, or vectors= for named ones",
                hint="for example db.create('articles', dim=384, metric='cosine')",
            )
        wanted = dict(vectors or {"": Vector(cast(int, dim), Metric.of(metric), datatype)})
        quantizations = _by_vector(quantization, wanted)
        if collection in self:
            raise AlreadyExistsError(
                f"there is a collection {collection!r} already",
                hint="open it with db[name], or drop it first",
            )
        bare = {name: each.replace(rescore=None) for name, each in quantizations.items()}
        # What an earlier collection of this name left behind must not act on the new one.
        self._forget(collection)
        self._store.create(collection, wanted, bare)
        made = Collection(self._store, collection)
        made._remember({name: each.rescore for name, each in quantizations.items()})
        return made

    def drop(self, collection: str) -> None:
        """Delete a collection, all it holds, and what qadapt keeps of it.

        Raises:
            NotFoundError
        """
        self[collection]
        self._store.drop(collection)
        self._forget(collection)

    def _forget(self, collection: str) -> None:
        """Let go of what qadapt keeps of a collection that is gone."""
        forget(self._store.address, collection)
        journal.forget(self._store.address.identity, collection)

    def close(self) -> None:
        """Close the store; a client that the user brought stays open."""
        self._store.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _by_vector(given: Any, vectors: Mapping[str, Vector]) -> dict[str, Quantization]:
    if given is None:
        return {}
    if isinstance(given, Mapping) and "kind" not in given:
        for name in given:
            if name not in vectors:
                raise SpecError.unknown("vector", str(name), vectors)
        return {name: Quantization.of(each) for name, each in given.items()}
    if len(vectors) != 1:
        raise SpecError(
            "with several vectors say which is quantized",
            hint="quantization={'title': 'binary'}",
        )
    return {next(iter(vectors)): Quantization.of(given)}


class Collection:
    """One collection of a store."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self.name = name
        # Dimensions, metric and datatype cannot change while a collection lives, but the name may
        # be an alias that somebody switches: so they are asked for again now and then.
        self._vectors: dict[str, Vector] = {}
        self._asked = -math.inf

    def __repr__(self) -> str:
        return f"<Collection {self.name!r} of {self._store.address}>"

    def info(self) -> CollectionInfo:
        """Count, vectors, what is configured and what is seen.

        Raises:
            NotFoundError: it is gone.
        """
        return seen.info(self._store, self.name)

    def count(self, filter: Any = None) -> int:
        """Rows, exactly; with a filter those that match."""
        return self._store.count(self.name, filter)

    # -- rows --------------------------------------------------------------------------------

    def write(self, batch: Batch) -> None:
        """Upsert rows; our own codes, where there are any, are kept in step.

        Raises:
            DimensionError, NonFiniteError, ZeroVectorError, SpecError: nothing was written.
        """
        ours = self._with_our_codes()
        for name in ours:
            codes.refuse_missing(batch, name)
        with codes.in_step(self._store, self.name, ours):
            self._store.write(self.name, batch)
            for name in ours:
                codes.upsert(self._store, self.name, name, batch)

    def delete(self, ids: Sequence[Id]) -> None:
        """Delete rows; unknown ids are left alone."""
        ours = self._with_our_codes()
        with codes.in_step(self._store, self.name, ours):
            self._store.delete(self.name, ids)
            for name in ours:
                codes.delete(self._store, self.name, name, ids)

    def fetch(
        self, ids: Sequence[Id], *, vectors: Sequence[str] | None = None, payload: bool = True
    ) -> Batch:
        """Rows by id, in that order; ids that are not there are left out."""
        return self._store.fetch(self.name, ids, vectors=vectors, payload=payload)

    def read(
        self,
        *,
        vectors: Sequence[str] | None = None,
        payload: bool = True,
        filter: Any = None,
        page: int = 2_000,
    ) -> Iterator[Batch]:
        """All rows, in pages."""
        return self._store.read(
            self.name, vectors=vectors, payload=payload, filter=filter, page=page
        )

    def sample(self, n: int, *, seed: int = 0) -> Batch:
        """``n`` rows drawn evenly without replacement."""
        return self._store.sample(self.name, n, seed=seed)

    # -- searching ---------------------------------------------------------------------------

    def search(
        self,
        queries: Any,
        k: int = 10,
        *,
        rescore: RescoreLike = None,
        filter: Any = None,
        vector: str | None = None,
        exact: bool = False,
        with_payload: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> Hits:
        """The ``k`` best rows for each query; ``hits.how`` says who searched and rescored.

        Args:
            queries: float ``(d,)`` or ``(nq, d)``, any array-like.
            k: 1 to 10,000, or the store's limit.
            rescore: number, ``qa.Rescore``, ``"off"``; None for what was planned, else the
                store's default.
            filter: the common form, such as ``{"topic": "art"}``, or the store's own object.
            vector: its name; may be left out when there is just one.
            exact: no index and no codes.
            with_payload: bring payloads too.
            options: the store's own search parameters.

        Raises:
            DimensionError, NonFiniteError, ZeroVectorError, InputError, UnsupportedError
        """
        name, about = self._vector(vector)
        array = as_vectors(queries, what="queries")
        check_vectors(array, about, what="queries")
        wanted = Search(
            k=check_k(k, self._store.max_k),
            vector=name,
            rescore=Rescore.of(rescore),
            exact=exact,
            filter=filter,
            with_payload=with_payload,
            options=options or {},
        )
        settings = read_settings(self._store, self.name).of(name)
        return search(self._store, self.name, array, wanted, about, settings)

    # -- quantization ------------------------------------------------------------------------

    def plan(
        self,
        quantization: QuantizationLike | None = None,
        *,
        vector: str | None = None,
        metric: Metric | str | None = None,
        datatype: Datatype | None = None,
        accept: Accept = "differs",
        guard: Guard | str | None = None,
    ) -> Plan:
        """The steps from what is to ``quantization``; nothing is changed yet.

        Args:
            quantization: ``qa.binary(rescore=4)``, or its string ``"binary:rescore=4"``; None
                leaves it as it is.
            vector: its name; may be left out when there is just one.
            metric, datatype: what the vector becomes; None leaves them. Both are fixed at
                creation, so another one is a copy and a switched alias, where the store has that.
            accept: how far from what was asked the plan may go: ``exact``, ``differs``,
                ``client``.
            guard: recall that must hold afterwards, else the change is undone.

        Raises:
            UnsupportedError, NotFoundError, SpecError
        """
        made = make_plan(
            self._store,
            self.name,
            quantization,
            vector=vector,
            metric=metric,
            datatype=datatype,
            accept=accept,
            guard=Guard.parse(guard) if isinstance(guard, str) else guard,
        )
        return Plan._of(made, self._store)

    def verify(
        self,
        *,
        k: int = 10,
        queries: Any = 200,
        vector: str | None = None,
        seed: int = 0,
        progress: OnProgress | None = None,
    ) -> Verification:
        """Configured against seen, and recall@k against exact truth.

        Args:
            k: of how many results.
            queries: float ``(nq, d)``, the path of a ``.npy`` file, or how many of the
                collection's own vectors to use.
        """
        return run_verify(
            self._store,
            self.name,
            self._vector(vector)[0],
            k=k,
            queries=queries,
            seed=seed,
            progress=progress or silent,
        )

    # -- inside ------------------------------------------------------------------------------

    def _vector(self, name: str | None) -> tuple[str, Vector]:
        """The vector meant, asked of the store only once in a while."""
        if time.monotonic() - self._asked > FRESH:
            info = self._store.info(self.name)
            self._vectors = {key: each.vector for key, each in info.vectors.items()}
            self._asked = time.monotonic()
        found = which_vector(self.name, self._vectors, name)
        return found, self._vectors[found]

    def _with_our_codes(self) -> list[str]:
        settings = read_settings(self._store, self.name)
        return [name for name, each in settings.vectors.items() if each.client is not None]

    def _remember(self, rescores: Mapping[str, Rescore | None]) -> None:
        from qadapt.planning.requests import REMEMBER, run

        for name, rescore in rescores.items():
            if rescore is not None:
                request = {"op": REMEMBER, "vector": name, "rescore": str(rescore)}
                run(self._store, self.name, request, silent, 0)
