"""Collection: rows, searches, plans and measurements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qadapt.api.change import Plan
from qadapt.api.collection_search import CollectionSearch
from qadapt.api.error_fields import check_open, error_fields, fill_error, fills_own_errors
from qadapt.api.evaluation_methods import EvaluationMethods
from qadapt.costing import Cost, LiveVector, Prices, compare
from qadapt.diagnosis import Diagnosis, diagnose
from qadapt.errors import InputError, QadaptError
from qadapt.local import collection_info
from qadapt.local.client_params import client_params
from qadapt.local.row_writes import delete_rows, write_rows
from qadapt.model import (
    Accept,
    Batch,
    CollectionInfo,
    Guard,
    Hits,
    Id,
    Metric,
    QuantizationLike,
    Rescore,
    RescoreLike,
    Strategy,
    Vector,
)
from qadapt.model.client_params import ClientParams
from qadapt.model.ids import listed_ids
from qadapt.model.vector import Datatype
from qadapt.planning.conflicts import named_if_changing
from qadapt.planning.plan_options import PlanOptions
from qadapt.planning.planner import codes_of, make_plan, which_vector
from qadapt.stores.base import (
    OnProgress,
    ReadRequest,
    ScanRange,
    Store,
    check_k,
    silent,
)
from qadapt.stores.checks import vector_names

# Types of ``rescore`` with equal values that mean the same.
_HASHED = (type(None), int, float, str, Rescore)


@error_fields
class Collection(EvaluationMethods):
    """Collection of a database."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self.name = name
        self._search = CollectionSearch(store, name)

    def __repr__(self) -> str:
        return f"<Collection {self.name!r} of {self._store.address}>"

    def info(self) -> CollectionInfo:
        """Rows, vectors, configuration and observed status.

        Raises:
            NotFoundError: the collection does not exist.
        """
        return collection_info.info(self._store, self.name)

    def count(self, filter: Any = None) -> int:
        """Exact number of rows, or of rows that match a filter."""
        return self._store.count(self.name, filter)

    # -- rows --------------------------------------------------------------------------------

    def write(self, batch: Batch) -> None:
        """Upsert rows, and update client-side codes if there are any.

        Raises:
            InputError: not a batch, or rows without any vectors; nothing was written.
            DimensionError, NonFiniteError, ZeroVectorError, SpecError: nothing was written.
            UnsupportedError: a row lacks a vector with client-side codes; nothing was written.
            BusyError: another process writes to the client-side codes; nothing was written.
            IntegrityError: the rows were written, but not the client-side codes; searches do not
                use the codes until they are rebuilt.
        """
        if not isinstance(batch, Batch):
            raise InputError(
                f"write takes a qa.Batch; got a {type(batch).__name__}",
                hint='collection.write(qa.Batch(ids, {"": array}))',
            )
        if not len(batch) and not any(each.shape[1] for each in batch.vectors.values()):
            return
        if not batch.vectors and not batch.extras:
            raise InputError(
                f"the batch has {len(batch)} rows, but no vectors; nothing was written",
                hint='pass them by name, qa.Batch(ids, {"": array}); missing= marks rows without '
                "a vector",
            )
        write_rows(self._store, self.name, batch)

    def delete(self, ids: Sequence[Id]) -> None:
        """Delete rows; unknown ids are ignored.

        Raises:
            InputError: not a list of ids; nothing was deleted.
            BusyError: another process writes to the client-side codes; nothing was deleted.
            IntegrityError: see ``write``.
        """
        delete_rows(self._store, self.name, listed_ids(ids))

    def fetch(
        self, ids: Sequence[Id], *, vectors: Sequence[str] | None = None, payload: bool = True
    ) -> Batch:
        """Fetch rows by id, in the given order; unknown ids are omitted.

        Args:
            vectors: names of vectors to fetch; None for all, ``()`` for none.
        """
        names = vector_names(vectors)
        return self._store.fetch(self.name, listed_ids(ids), vectors=names, payload=payload)

    def read(
        self,
        *,
        vectors: Sequence[str] | None = None,
        payload: bool = True,
        filter: Any = None,
        page: int = 2_000,
        scan_range: ScanRange | None = None,
        after: Id | None = None,
    ) -> Iterator[Batch]:
        """Iterate over all rows in pages, ordered by id.

        Args:
            vectors: names of vectors to read; None for all, ``()`` for none.
            page: rows per page.
            scan_range: read only this range of ``scan_ranges()``.
            after: continue after this id.
        """
        yield from self._store.read(
            self.name,
            ReadRequest(
                vectors=vector_names(vectors),
                payload=payload,
                filter=filter,
                page=page,
                scan_range=scan_range,
                after=after,
            ),
        )

    def scan_ranges(self, n: int) -> list[ScanRange]:
        """Split the collection into about ``n`` disjoint ranges that can be read in parallel."""
        return self._store.scan_ranges(self.name, n)

    def sample(self, n: int, *, seed: int = 0) -> Batch:
        """Uniform random sample of ``n`` rows without replacement."""
        return self._store.sample(self.name, n, seed=seed)

    # -- searching ---------------------------------------------------------------------------

    @fills_own_errors  # the general wrapper would add a tenth to a repeated search
    def search(
        self,
        queries: Any,
        k: int = 10,
        *,
        rescore: RescoreLike = None,
        filter: Any = None,
        vector: str | None = None,
        exact: bool = False,
        ignore_quantization: bool = False,
        with_payload: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> Hits:
        """Search the ``k`` best rows of each query; ``hits.how`` reports how it was executed.

        Args:
            queries: float ``(d,)`` or ``(nq, d)``, any array-like. If the collection holds the
                first dimensions of a model (``dims``), queries of the full width are cut.
            k: 1 to 10,000, or the limit of the database.
            rescore: factor, ``"candidates=200"``, ``qa.Rescore``, ``"off"``; None for the
                default of the collection, else of the database.
            filter: common syntax, such as ``{"topic": "art"}``, or a native filter.
            vector: name of the vector; optional if there is only one.
            exact: search without index and codes.
            ignore_quantization: search the index, and score with the original vectors.
            with_payload: return payloads too.
            options: native search parameters.

        Raises:
            DimensionError, NonFiniteError, ZeroVectorError, InputError, UnsupportedError
        """
        try:
            key = None
            if filter is None and not options and type(k) is int and type(rescore) in _HASHED:
                key = (k, vector, type(rescore), rescore, exact, ignore_quantization, with_payload)
                found = self._search.prepared.search(key, queries)
                if found is not None:
                    return found
            check_open(self)
            return self._search.run(
                key,
                queries,
                k,
                rescore=rescore,
                filter=filter,
                vector=vector,
                exact=exact,
                ignore_quantization=ignore_quantization,
                with_payload=with_payload,
                options=options,
            )
        except QadaptError as error:
            fill_error(error, self, "search")
            raise

    async def _search_awaited(
        self,
        queries: Any,
        k: int,
        *,
        rescore: RescoreLike,
        filter: Any,
        vector: str | None,
        exact: bool,
        ignore_quantization: bool,
        with_payload: bool,
        options: Mapping[str, Any] | None,
    ) -> Hits | None:
        """``search`` awaited by the client; None if it must be run in a thread."""
        if filter is not None or options or type(k) is not int or type(rescore) not in _HASHED:
            return None
        key = (k, vector, type(rescore), rescore, exact, ignore_quantization, with_payload)
        return await self._search.prepared.awaited(key, queries)

    @property
    def searches(self) -> str:
        """How an ``AsyncCollection`` searches: ``native`` or ``thread``; see docs/async.md."""
        return "native" if self._store.awaits_searches else "thread"

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
        strategy: Strategy | None = None,
        prices: Prices | None = None,
    ) -> Plan:
        """Plan a change; nothing is modified until the plan is applied.

        Args:
            quantization: ``qa.binary(rescore=4)``, or its string ``"binary:rescore=4"``; None
                keeps the current quantization.
            vector: name of the vector; optional if there is only one.
            metric, datatype: new metric and datatype; None keeps them. Both are fixed at creation,
                so a new value needs a copy of the collection and an alias switch.
            accept: permitted match level: ``exact``, ``differs`` (the nearest equivalent), or
                ``client`` (client-side codes too).
            guard: minimum recall; the change is rolled back if it is not reached.
            strategy: ``in-place``; ``alias`` for a copy and an alias switch, without interrupting
                searches; ``vector`` for an additional vector that searches must name (Weaviate);
                None lets the database decide.
            prices: ``qa.Prices(ram=..., disk=...)``, price per GiB and month: ``plan.memory`` then
                has the monthly cost before and after.

        Raises:
            UnsupportedError, NotFoundError, SpecError
            BusyError: another process is changing the collection.
        """
        options = PlanOptions(
            vector=vector,
            metric=metric,
            datatype=datatype,
            accept=accept,
            guard=Guard.parse(guard) if isinstance(guard, str) else guard,
            strategy=strategy,
        )
        with named_if_changing(self._store, self.name):
            made = make_plan(self._store, self.name, quantization, options)
        return Plan._of(made.priced(prices or Prices()), self._store)

    def client_params(self, *, vector: str | None = None, k: int = 10) -> ClientParams:
        """What clients without qadapt must send to get the results of ``search``, with code.

        Args:
            vector: name of the vector; optional if there is only one.
            k: number of results, 1 to 10,000.

        Returns:
            ClientParams: ``needed``, ``params``, ``limit``, ``rescores``, and ``code`` by form,
            such as ``code["qdrant-client"]``.

        Raises:
            NotFoundError: the collection or vector does not exist.
            SpecError: there are several vectors and no name.
        """
        info = self.info()
        about = info.vectors[which_vector(self.name, info.vectors, vector)]
        most = check_k(k, self._store.traits.max_k)
        return client_params(self._store, self.name, about, most, code=True)

    def doctor(
        self,
        *,
        vector: str | None = None,
        options: Mapping[str, Any] | None = None,
        model_metric: Metric | str | None = None,
        sample: int = 1000,
        only: Sequence[str] = (),
        skip: Sequence[str] = (),
        seed: int = 0,
        progress: OnProgress | None = None,
    ) -> Diagnosis:
        """Find settings without effect and other problems, with evidence and fixes.

        Args:
            vector: vector to check; all by default.
            options: native search parameters of your application, such as
                ``{"quantization": {"oversampling": 3}}``.
            model_metric: metric that your embedding model was trained for.
            sample: number of rows for checks of vectors.
            only, skip: codes of checks (docs/doctor.md).
        """
        return diagnose(
            self._store,
            self.name,
            vector=vector,
            options=options,
            model_metric=model_metric,
            sample=sample,
            only=only,
            skip=skip,
            seed=seed,
            progress=progress or silent,
        )

    def cost(
        self,
        quantization: QuantizationLike | None = None,
        *,
        vector: str | None = None,
        prices: Prices | None = None,
        replicas: int = 1,
        scales: Sequence[float] = (1, 10, 100),
        settings: Sequence[QuantizationLike] | None = None,
        accept: Accept = "differs",
    ) -> Cost:
        """Estimate RAM, disk and monthly cost: current, with another quantization, and across
        databases.

        The figures of ``quantization`` are those of ``plan`` with the same arguments.

        Args:
            quantization: quantization to compare with; None to compare only databases.
            prices: ``qa.Prices(ram=..., disk=...)``, price per GiB and month.
            replicas: number of replicas.
            scales: multiples of the number of rows.
            settings: settings to compare; one of each kind by default.
            accept: permitted match level of ``quantization``; see ``plan``.
        """
        info = self.info()
        name = which_vector(self.name, info.vectors, vector)
        about = info.vectors[name]
        by_us, refused = codes_of(self._store, about, quantization, accept)
        return compare(
            about.count,
            about.vector,
            store=info.server.store,
            quantization=quantization,
            live=LiveVector(info, name, str(self._store.address), by_us, refused),
            prices=prices or Prices(),
            replicas=replicas,
            scales=scales,
            settings=settings,
        ).replace(engine_memory=self._store.engine_memory())

    # -- private -----------------------------------------------------------------------------

    def _vector(self, name: str | None) -> tuple[str, Vector]:
        """Resolve a vector; definitions are cached for a while."""
        return self._search.vector(name)
