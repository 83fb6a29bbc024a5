"""Base class for stores whose engine stores rows by id; reads and searches are implemented here.

An engine needs to list ids in order, return rows by id, and decode its codes. A subclass may
override any method that its engine implements natively.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from qadapt.errors import InputError, NotFoundError, UnsupportedError
from qadapt.model import (
    Batch,
    Capabilities,
    CollectionInfo,
    CollectionSchema,
    Hits,
    Id,
    Kind,
    Match,
    MatchLevel,
    Quantization,
    SearchProvenance,
    State,
    Step,
    Support,
    Symbol,
    Vector,
    filters,
)
from qadapt.model.address import Address
from qadapt.model.arrays import Floats
from qadapt.stores import brute_force, checks, codes_only, rescore_tiers
from qadapt.stores.base import (
    ALL_ROWS,
    MappedQuantization,
    OnProgress,
    ReadRequest,
    ScanRange,
    SearchRequest,
    Store,
    require_supported,
)
from qadapt.stores.change import ChangePlan, ChangeRequest, check_strategy, no_recreation
from qadapt.stores.leading_dims import by_leading_dims
from qadapt.stores.operations import Operations, table
from qadapt.stores.row_batches import in_order, with_payloads
from qadapt.stores.row_codes import SetCodes

# Ids per request when the bounds of scan ranges are computed.
LISTED = 10_000
_NAME = re.compile(r"[A-Za-z0-9_-]{1,200}")


class RowStore(Store):
    """A store that searches by scanning all rows.

    Required of a subclass: ``server``, ``collections``, ``make``, ``remove``, ``describe``,
    ``write_rows``, ``delete_rows``, ``ids``, ``rows``, and ``set_codes`` if it has native codes.
    The base class calls them only for existing collections.
    """

    operations: ClassVar[Operations] = table(SetCodes)

    # -- what the engine gives -----------------------------------------------------------------

    @abc.abstractmethod
    def make(
        self, collection: str, vectors: Mapping[str, Vector], codes: Mapping[str, Quantization]
    ) -> None:
        """Create a new collection; datatypes and quantizations are already validated.

        Args:
            codes: the target of each vector, as returned by ``map``; ``none`` for none.
        """

    @abc.abstractmethod
    def remove(self, collection: str) -> None:
        """Delete a collection and all its rows."""

    @abc.abstractmethod
    def describe(self, collection: str) -> CollectionInfo:
        """Inspect the collection; ``vector_info`` builds its vectors from row counts."""

    def set_codes(
        self, collection: str, vector: str, target: Quantization, progress: OnProgress
    ) -> None:
        """Build the codes of a vector, or delete them if the target is ``none``; idempotent. Rows
        written later are encoded as well.
        """
        raise UnsupportedError(
            f"{self.name} has no native quantization",
            hint="accept='client' (--accept client) builds client-side codes",
        )

    @abc.abstractmethod
    def write_rows(self, collection: str, batch: Batch) -> None:
        """Upsert rows, all or none. Ids and vectors are validated and normalized as the store
        requires.
        """

    @abc.abstractmethod
    def delete_rows(self, collection: str, ids: Sequence[Id]) -> None:
        """Delete rows; unknown ids are ignored."""

    @abc.abstractmethod
    def ids(
        self, collection: str, after: Id | None, limit: int, through: Id | None = None
    ) -> list[Id]:
        """The next ids in the store's order.

        Args:
            after: return ids after this one, which need not exist; None from the first.
            limit: maximum number of ids.
            through: return no ids after this one; None for no end.
        """

    @abc.abstractmethod
    def rows(
        self,
        collection: str,
        ids: Sequence[Id],
        vectors: Sequence[str],
        *,
        payload: bool,
        codes: bool = False,
    ) -> Batch:
        """Return rows by id, in any order; missing ids are omitted.

        Args:
            vectors: names of the vectors to return.
            codes: return float32 vectors decoded from the store's codes instead of the original
                vectors; used for vectors whose quantization is active.
        """

    # -- what follows from it --------------------------------------------------------------------

    @classmethod
    def open(cls, address: Address, *, disabled: Sequence[str] = ()) -> RowStore:
        return cls(address, disabled=disabled)

    def close(self) -> None:
        """Close what was opened; nothing by default."""

    def capabilities(self) -> Capabilities:
        server = self.server()
        found = self.profile.declared_capabilities(server.version, server.deployment)
        return found.disable(self.disabled)

    def map(self, quantization: Quantization, vector: Vector) -> MappedQuantization:
        """Map with the profile; unsupported according to the rules for this version."""
        refused = rescore_tiers.refuse(quantization, self.name) or codes_only.refuse(
            quantization, self.name, "omit originals"
        )
        if refused is not None:
            return refused
        if self.profile.mapping is None:
            why = Match.unsupported(f"{self.name} has no quantization", "accept='client'")
            return MappedQuantization(None, quantization, why)
        mapped = by_leading_dims(self.profile.mapping)(quantization, vector)
        if mapped.match.level is MatchLevel.UNSUPPORTED:
            return mapped
        kind, target = f"native-{mapped.target.kind.value}", mapped.target
        width = target.bits if target.bits is not None else target.ratio
        features = self.capabilities().features
        for feature in (kind, kind if width is None else f"{kind}:{width:g}"):
            can = features.get(feature)
            if can is not None and can.support is not Support.NATIVE:
                why = Match.unsupported(can.reason, "accept='client' (--accept client)")
                return MappedQuantization(None, quantization, why)
        return mapped

    def must_be_there(self, collection: str) -> None:
        """Reject a collection that does not exist.

        Raises:
            NotFoundError
        """
        known = self.collections()
        if collection not in known:
            raise NotFoundError.missing("collection", collection, known)

    def create(
        self,
        collection: str,
        vectors: Mapping[str, Vector],
        quantization: Mapping[str, Quantization],
        collection_schema: CollectionSchema | None = None,
    ) -> None:
        checks.new_name(collection, self.collections())
        self.check_name(collection)
        refused = self.unsupported_vectors(vectors)
        if refused is not None:
            raise UnsupportedError(
                refused, hint="use another metric or datatype, or another database"
            )
        wanted = checks.quantizations(quantization, vectors)
        codes = {name: self._target(each, vectors[name]) for name, each in wanted.items()}
        self.make(collection, vectors, codes)

    def check_name(self, collection: str) -> None:
        """Reject an invalid collection name.

        Raises:
            InputError
        """
        if not _NAME.fullmatch(collection):
            raise InputError(
                f"a collection name in {self.name} must have 1 to 200 characters (letters, digits, "
                f"'_', '-'); got {collection!r:.80}",
                hint="for example 'articles'",
            )

    def drop(self, collection: str) -> None:
        self.must_be_there(collection)
        self.remove(collection)

    def info(self, collection: str) -> CollectionInfo:
        self.must_be_there(collection)
        return self.describe(collection)

    def _target(self, quantization: Quantization, vector: Vector) -> Quantization:
        return require_supported(self.map(quantization, vector), quantization, self.name).target

    def plan_change(self, request: ChangeRequest) -> ChangePlan:
        check_strategy(self.name, request)
        if request.target_vector is not None:
            raise no_recreation(self.name)
        now = request.inspection.info.vectors[request.vector]
        if request.codes is None:
            return ChangePlan()
        target = self._target(request.codes, now.vector)
        if target == now.quantization and now.status.state in (State.ACTIVE, State.ABSENT):
            return ChangePlan()
        wanted = SetCodes(request.vector, str(target))
        reverse = wanted.reverse(request.inspection.info)
        action = f"build {target} codes" if target.kind is not Kind.NONE else "delete the codes"
        step = Step(Symbol.BLOCKING, action, "requested", wanted.to_request(), reverse.to_request())
        return ChangePlan((step,))

    def write(self, collection: str, batch: Batch) -> None:
        wanted = {name: each.vector for name, each in self.info(collection).vectors.items()}
        self.check_ids(batch.ids)
        self.write_rows(
            collection, batch.ready(wanted, normalizes_cosine=self.traits.normalizes_cosine)
        )

    def delete(self, collection: str, ids: Sequence[Id]) -> None:
        self.must_be_there(collection)
        self.delete_rows(collection, self.possible(ids))

    def check_ids(self, ids: Sequence[Id]) -> None:
        """Reject ids that the store cannot store.

        Raises:
            InputError
        """
        bad = [key for key in ids if not self.accepts_id(key)]
        if bad:
            some = ", ".join(map(repr, bad[:3]))
            raise InputError(
                f"{len(bad)} of {len(ids)} ids are not valid in {self.name}: {some}",
                hint="store the original id in the payload, and write rows with valid ids",
            )

    def possible(self, ids: Sequence[Id]) -> list[Id]:
        """The valid ids without duplicates, in order."""
        return [key for key in dict.fromkeys(ids) if self.accepts_id(key)]

    def count(self, collection: str, filter: Any = None) -> int:
        pages = self.read(collection, ReadRequest((), payload=False, filter=filter))
        return sum(len(page) for page in pages)

    def fetch(
        self,
        collection: str,
        ids: Sequence[Id],
        *,
        vectors: Sequence[str] | None = None,
        payload: bool = True,
    ) -> Batch:
        names = self._names(collection, vectors)
        found = self.rows(collection, self.possible(ids), names, payload=payload)
        return in_order(found, ids)

    def read(
        self,
        collection: str,
        request: ReadRequest = ALL_ROWS,
    ) -> Iterator[Batch]:
        checks.page(request.page)
        names = self._names(collection, request.vectors)
        return self._pages(collection, replace(request, vectors=names))

    def _pages(
        self, collection: str, request: ReadRequest, *, codes: bool = False
    ) -> Iterator[Batch]:
        """Pages by ranges of ids, each with the rows that match a filter.

        Args:
            request: with the names of its vectors.
        """
        wanted = None if request.filter is None else filters.parse_filter(request.filter)
        bounds = request.scan_range or {}
        after = request.after if request.after is not None else bounds.get("after")
        names, payload = list(request.vectors or ()), request.payload
        while ids := self.ids(collection, after, int(request.page), bounds.get("through")):
            after = ids[-1]
            if wanted is not None:
                reported = in_order(self.rows(collection, ids, (), payload=True), ids)
                payloads = reported.payloads or ({},) * len(reported)
                pairs = zip(reported.ids, payloads, strict=True)
                ids = [key for key, each in pairs if filters.matches(wanted, each)]
            if ids:
                found = self.rows(collection, ids, names, payload=payload, codes=codes)
                yield in_order(found, ids)

    def vector_pages(
        self, collection: str, vector: str, size: int = 5_000
    ) -> Iterator[tuple[list[Id], Floats]]:
        """Read the rows that have a vector in pages, to build codes from them.

        Yields:
            Ids, and float32 ``(n, d)``.
        """
        after = None
        while ids := self.ids(collection, after, size):
            after = ids[-1]
            batch = self.rows(collection, ids, [vector], payload=False)
            there = ~batch.missing.get(vector, np.zeros(len(batch), dtype=np.bool_))
            if there.any():
                kept = [key for key, has in zip(batch.ids, there.tolist(), strict=True) if has]
                yield kept, batch.vectors[vector][there]

    def scan_ranges(self, collection: str, n: int) -> list[ScanRange]:
        """Ranges of ids with about the same number of rows."""
        bounds: list[Id] = []
        total = self.count(collection)
        step = max(1, -(-total // max(1, n)))
        seen, after = 0, None
        while ids := self.ids(collection, after, LISTED):
            first = -(-(seen + 1) // step) * step - seen - 1  # the next multiple of step
            bounds += ids[first::step]
            seen, after = seen + len(ids), ids[-1]
        cuts = [None, *bounds[: max(0, n - 1)], None]
        return [{"after": low, "through": high} for low, high in pairwise(cuts)]

    def search(self, collection: str, queries: Any, search: SearchRequest) -> Hits:
        """Search all rows, by the store's codes if they are active, otherwise by the original
        vectors."""
        checks.scan_request(search, self.name, self.traits.max_k)
        info = self.info(collection)
        about = checks.vector(search.vector, info.vectors, {})
        ignored = search.exact or search.ignore_quantization
        codes = about.status.state is State.ACTIVE and not ignored
        request = ReadRequest([search.vector], payload=False, filter=search.filter)
        pages = self._pages(collection, request, codes=codes)
        how = SearchProvenance(
            "store exact" if search.exact else "store", "none", 1.0, 0, "none",
            "approximate" if codes else "exact",
        )  # fmt: skip
        hits = brute_force.best(pages, search.vector, about.vector, queries, search.k, how)
        if not search.with_payload:
            return hits
        return with_payloads(hits, lambda ids: self.rows(collection, ids, (), payload=True))

    def _names(self, collection: str, vectors: Sequence[str] | None) -> list[str]:
        """The names of the vectors to return.

        Raises:
            NotFoundError: the collection or vector does not exist.
        """
        known = self.info(collection).vectors
        if vectors is None:
            return list(known)
        return [checks.vector(name, known, {}).name for name in vectors]
