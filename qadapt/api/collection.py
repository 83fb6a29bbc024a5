"""One collection: its rows, searches, plans and measurements."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qadapt.api.change import Plan
from qadapt.api.error_fields import error_fields
from qadapt.api.evaluation_methods import EvaluationMethods
from qadapt.costing import Cost, Prices, compare
from qadapt.diagnosis import Diagnosis, diagnose
from qadapt.errors import refuse_pairs
from qadapt.local import collection_info
from qadapt.local.row_writes import delete_rows, write_rows
from qadapt.local.settings import read_settings
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
    as_vectors,
    check_queries,
)
from qadapt.model.data import Datatype, listed_ids
from qadapt.planning.conflicts import named_if_changing
from qadapt.planning.planner import make_plan, which_vector
from qadapt.search import search
from qadapt.stores.base import OnProgress, ScanRange, Search, Store, check_k, silent

FRESH = 10.0  # seconds that a collection's dimensions and metrics are believed


@error_fields
class Collection(EvaluationMethods):
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
        return collection_info.info(self._store, self.name)

    def count(self, filter: Any = None) -> int:
        """Rows, exactly; with a filter those that match."""
        return self._store.count(self.name, filter)

    # -- rows --------------------------------------------------------------------------------

    def write(self, batch: Batch) -> None:
        """Upsert rows; our own codes, where there are any, are kept in step.

        Raises:
            DimensionError, NonFiniteError, ZeroVectorError, SpecError: nothing was written.
            UnsupportedError: a row without a vector that has codes of ours; nothing was written.
            BusyError: another process writes to our codes; nothing was written.
            IntegrityError: the rows were written, and our codes could not be changed; searches
                use the store alone until they are built again.
        """
        write_rows(self._store, self.name, batch)

    def delete(self, ids: Sequence[Id]) -> None:
        """Delete rows; unknown ids are left alone.

        Raises:
            InputError: not a list of ids; nothing was deleted.
            BusyError: another process writes to our codes; nothing was deleted.
            IntegrityError: as for ``write``.
        """
        delete_rows(self._store, self.name, listed_ids(ids))

    def fetch(
        self, ids: Sequence[Id], *, vectors: Sequence[str] | None = None, payload: bool = True
    ) -> Batch:
        """Rows by id, in that order; ids that are not there are left out."""
        return self._store.fetch(self.name, listed_ids(ids), vectors=vectors, payload=payload)

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
        """All rows, in pages, in the order of their ids.

        Args:
            vectors: names to bring; None for all, ``()`` for none.
            page: rows at a time.
            scan_range: one of ``scan_ranges()`` alone.
            after: rows behind this id alone: a read that was cut off goes on.
        """
        yield from self._store.read(
            self.name,
            vectors=vectors,
            payload=payload,
            filter=filter,
            page=page,
            scan_range=scan_range,
            after=after,
        )

    def scan_ranges(self, n: int) -> list[ScanRange]:
        """Parts that can be read side by side, ``n`` or so: together all rows, none twice."""
        return self._store.scan_ranges(self.name, n)

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
        """The ``k`` best rows for each query; ``hits.options`` says who searched and rescored.

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
        check_queries(array, about)
        wanted = Search(
            k=check_k(k, self._store.traits.max_k),
            vector=name,
            rescore=Rescore.of(rescore),
            exact=exact,
            filter=filter,
            with_payload=with_payload,
            options=options or {},
        )
        refuse_pairs(
            (exact and wanted.rescore is not None and wanted.rescore.on, "rescore=",
             "with exact=True", "that compares all floats, and nothing is left to rescore"),
        )  # fmt: skip
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
        strategy: Strategy | None = None,
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
            strategy: ``in-place``, or ``alias`` for a copy and a switched alias, without a gap
                in searches; ``vector`` for a new vector beside it, which searches name from then
                on (Weaviate); None leaves it to the store.

        Raises:
            UnsupportedError, NotFoundError, SpecError
            BusyError: another process changes the collection, and what it has done so far
                allows no plan.
        """
        with named_if_changing(self._store, self.name):
            made = make_plan(
                self._store,
                self.name,
                quantization,
                vector=vector,
                metric=metric,
                datatype=datatype,
                accept=accept,
                guard=Guard.parse(guard) if isinstance(guard, str) else guard,
                strategy=strategy,
            )
        return Plan._of(made, self._store)

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
        """What silently has no effect or hurts, with evidence and what mends it.

        Args:
            vector: one vector alone; all by default.
            options: search parameters as your program sends them, in the store's own words, such
                as ``{"quantization": {"oversampling": 3}}``.
            model_metric: the metric that your embedding model was made for.
            sample: rows drawn for the checks that look at vectors.
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
    ) -> Cost:
        """Bytes in RAM and on disk, and money a month: as it is, as asked, and the stores side by
        side.

        Args:
            quantization: what to compare the collection with; None to compare the stores alone.
            prices: ``qa.Prices(ram=..., disk=...)`` for a GiB and month, as you pay them.
            replicas: copies of each row.
            scales: how many times the collection.
            settings: what stands side by side; one of each kind if left out.
        """
        info = self.info()
        name = which_vector(self.name, info.vectors, vector)
        about = info.vectors[name]
        return compare(
            about.count,
            about.vector,
            store=info.server.store,
            quantization=quantization,
            info=info,
            name=name,
            address=str(self._store.address),
            prices=prices or Prices(),
            replicas=replicas,
            scales=scales,
            settings=settings,
        )

    # -- inside ------------------------------------------------------------------------------

    def _vector(self, name: str | None) -> tuple[str, Vector]:
        """The vector meant, asked of the store only once in a while, or for a name not seen yet."""
        unseen = name is not None and name not in self._vectors
        if unseen or time.monotonic() - self._asked > FRESH:
            info = self._store.info(self.name)
            self._vectors = {key: each.vector for key, each in info.vectors.items()}
            self._asked = time.monotonic()
        found = which_vector(self.name, self._vectors, name)
        return found, self._vectors[found]

    def _remember(self, rescores: Mapping[str, Rescore | None]) -> None:
        from qadapt.planning.client_operations import SET_SEARCH_DEFAULTS, run

        for name, rescore in rescores.items():
            if rescore is not None:
                request = {"op": SET_SEARCH_DEFAULTS, "vector": name, "rescore": str(rescore)}
                run(self._store, self.name, request, silent, 0)
