"""What a store is: the one interface that every database is put behind.

A store does what its engine can do and nothing else: no fallback, no rescoring of ours, no
plan files. Those live one floor up and are the same for all stores.
"""

from __future__ import annotations

import abc
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from qadapt.errors import InputError, UnsupportedError
from qadapt.model import (
    Batch,
    Beside,
    Capabilities,
    CollectionInfo,
    Finding,
    Hits,
    Id,
    Level,
    Match,
    Quantization,
    Rescore,
    Server,
    Step,
    Vector,
)
from qadapt.model.address import Address

MAX_K = 10_000
# What an index on an entry of the payload takes it for.
PAYLOAD_KINDS = ("keyword", "integer", "float", "bool", "datetime", "text", "geo", "uuid")
PAGE = 2_000


@dataclass(frozen=True)
class Progress:
    """How far a long piece of work is.

    Attributes:
        stage: what is being done, in a few words.
        done, total: in ``unit``; total is None where it can't be told.
        unit: rows, segments, queries, ...
        rate: in units a second; None where it was not measured.
        lag: rows of a source that a copy does not have yet.
    """

    stage: str
    done: float = 0
    total: float | None = None
    unit: str = "rows"
    rate: float | None = None
    lag: int | None = None


Part = Mapping[str, Any]
Kept = Literal["as it is", "nearly", "not"]
OnProgress = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """The progress callback of somebody who does not want to know."""


@dataclass(frozen=True)
class Search:
    """One native search of a batch of queries.

    Attributes:
        k: results for each query.
        vector: ``""`` for the unnamed one.
        rescore: None for the store's own default; ``Rescore(source="off")`` for none.
        exact: no index and no codes: every row by its originals.
        filter: the common form (see ``qadapt.model.filters``) or the store's own object.
        with_payload: return payloads.
        options: the store's own search parameters, such as ``{"hnsw_ef": 128}``.
    """

    k: int
    vector: str = ""
    rescore: Rescore | None = None
    exact: bool = False
    filter: Any = None
    with_payload: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Room:
    """What a collection keeps as it is.

    Attributes:
        takes_id: whether it has room for an id, and gives it back.
        keeps: how one entry of a payload comes back; None where all do as they are.
    """

    takes_id: Callable[[Id], bool]
    keeps: Callable[[str, Any], Kept] | None


@dataclass(frozen=True)
class Mapped:
    """A quantization in a store's own words.

    Attributes:
        native: the store's configuration; None where there is none.
        target: what that configuration really is, in common words.
        match: how near it comes to what was asked for.
    """

    native: Mapping[str, Any] | None
    target: Quantization
    match: Match


class Store(abc.ABC):
    """A database of collections.

    Subclasses open with ``Store.open(address)``; those whose client a user may already have
    also give ``Store.wrap(client)``. Every method raises only errors of ``qadapt.errors``.

    Attributes:
        name: the store's name in addresses and tables.
        extra: the extra of qadapt that installs its client.
        family: stores of one family share the words of a schema and of an extra vector.
        package: the client's import name.
        distribution: the client's name in the package index.
        deployments: how it may be deployed, in the words of ``Server.deployment``.
        max_k: most results of one search.
        recreates_alone: another metric or datatype is a plan of its own, without a quantization.
        address: where it is; shown only through ``str()``, which masks keys.
        normalises: whether float vectors under cosine come back at length 1.
        keeps_zeros: whether entries of 0 of a sparse vector come back.
        gaps: whether a row may lack one of the vectors.
        new_vectors: whether ``vector_steps`` is a way that it has.
        parts_are: what parts that rows are in are called here, such as ``tenants``; empty where
            there are none. ``NAME@PART`` is one of them as a collection of its own.
        indexes_last: indexes on the payload are made after codes, because codes could not be told
            to be in force beside them.
    """

    name: ClassVar[str]
    family: ClassVar[str] = ""
    extra: ClassVar[str]
    package: ClassVar[str]
    distribution: ClassVar[str]
    deployments: ClassVar[tuple[str, ...]] = ("server",)
    max_k: ClassVar[int] = MAX_K
    recreates_alone: ClassVar[bool] = False
    normalises: ClassVar[bool] = False
    keeps_zeros: ClassVar[bool] = True
    gaps: ClassVar[bool] = True
    new_vectors: ClassVar[bool] = False
    parts_are: ClassVar[str] = ""
    indexes_last: ClassVar[bool] = False

    def __init__(self, address: Address, *, disabled: Sequence[str] = ()) -> None:
        self.address = address
        self.disabled = tuple(disabled)

    # -- opening and closing -----------------------------------------------------------------

    @classmethod
    @abc.abstractmethod
    def open(cls, address: Address, *, disabled: Sequence[str] = ()) -> Store:
        """Open the store at an address.

        Raises:
            MissingExtraError, UnreachableError, AuthError, NotFoundError
        """

    @classmethod
    def wraps(cls, client: object) -> bool:
        """Whether ``client`` is one of this store's client library; imports nothing."""
        return False

    @classmethod
    def wrap(cls, client: object, *, disabled: Sequence[str] = ()) -> Store:
        """The store on a client that the user brought, which is never closed.

        Raises:
            UnsupportedError: this store has no client to wrap, or not of this kind.
        """
        raise UnsupportedError(
            f"the store {cls.name!r} wraps no client", hint="open it by its address"
        )

    @abc.abstractmethod
    def close(self) -> None:
        """Give back what was opened; a client that the user brought is never closed."""

    @abc.abstractmethod
    def server(self) -> Server:
        """Which engine answers, at which version, deployed how."""

    @abc.abstractmethod
    def capabilities(self) -> Capabilities:
        """What this server can do, with what the user switched off."""

    @classmethod
    @abc.abstractmethod
    def declared(cls, version: str | None = None, deployment: str | None = None) -> Capabilities:
        """What a server can do, as declared, for the matrix; no connection needed.

        Args:
            version: None for the newest known.
            deployment: one of ``deployments``; None for the first.
        """

    # -- collections -------------------------------------------------------------------------

    @abc.abstractmethod
    def collections(self) -> list[str]:
        """Names, sorted."""

    def has(self, collection: str) -> bool:
        """Whether there is a collection, or an alias, of this name.

        Of ``NAME@PART``, a partition or a tenant, ``NAME`` is looked for; the part itself when it
        is first used.
        """
        known = {*self.collections(), *self.aliases()}
        return collection in known or self.whole(collection) in known

    def whole(self, collection: str) -> str:
        """The collection that a name means, which may be ``NAME@PART``: one partition or tenant."""
        return collection

    @abc.abstractmethod
    def create(
        self,
        collection: str,
        vectors: Mapping[str, Vector],
        quantization: Mapping[str, Quantization],
        beside: Beside | None = None,
    ) -> None:
        """Create a collection; vectors that ``quantization`` does not name have none.

        Args:
            beside: what else to make; given only where ``refuses_beside`` refuses nothing of it.

        Raises:
            AlreadyExistsError, UnsupportedError
        """

    @abc.abstractmethod
    def drop(self, collection: str) -> None:
        """Delete a collection and all it holds.

        Raises:
            NotFoundError
        """

    @abc.abstractmethod
    def info(self, collection: str) -> CollectionInfo:
        """What the collection is, as configured and as seen.

        Raises:
            NotFoundError
        """

    # -- rows --------------------------------------------------------------------------------

    @abc.abstractmethod
    def write(self, collection: str, batch: Batch) -> None:
        """Upsert rows. Everything is checked before anything is sent.

        Raises:
            DimensionError, NonFiniteError, ZeroVectorError, SpecError, NotFoundError
        """

    @abc.abstractmethod
    def delete(self, collection: str, ids: Sequence[Id]) -> None:
        """Delete rows; unknown ids are left alone."""

    @abc.abstractmethod
    def count(self, collection: str, filter: Any = None) -> int:
        """Rows, exactly; with a filter those that match."""

    @abc.abstractmethod
    def fetch(
        self,
        collection: str,
        ids: Sequence[Id],
        *,
        vectors: Sequence[str] | None = None,
        payload: bool = True,
    ) -> Batch:
        """Rows by id, in the order asked for; ids that are not there are left out.

        Args:
            vectors: names to bring, sparse vectors and multivectors too; None for all that
                are dense, ``()`` for none.
        """

    @abc.abstractmethod
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
        """All rows, in pages, in the order of their ids in this store.

        Args:
            vectors: as in ``fetch``.
            part: one of ``parts()`` alone; None for the whole collection.
            after: rows behind this id alone, which itself need not be there any more: so a read
                that was cut off goes on.
        """

    def parts(self, collection: str, n: int) -> list[Part]:
        """Parts that can be read side by side: together all rows, none twice; ``n`` or so.

        A part is plain data for a journal; it means the same in another process, and while rows
        are written.
        """
        return [{}]

    def sample(
        self, collection: str, n: int, *, seed: int = 0, vectors: Sequence[str] | None = None
    ) -> Batch:
        """``n`` rows drawn evenly without replacement (all, when there are fewer)."""
        if n < 1:
            raise InputError(f"a sample has at least 1 row; got {n}")
        ids = [
            key
            for batch in self.read(collection, vectors=(), payload=False, page=10_000)
            for key in batch.ids
        ]
        drawn = random.Random(seed).sample(ids, min(n, len(ids)))
        return self.fetch(collection, drawn, vectors=vectors)

    # -- what is kept as it is: for those who copy -------------------------------------------

    def takes_id(self, key: Id) -> bool:
        """Whether a collection that ``create`` makes has room for this id, and gives it back."""
        return True

    def keeps(self, key: str, value: Any) -> Kept:
        """How one entry of a payload comes back from a collection made by ``create``: as it is,
        nearly (so that filters still find it), or not at all."""
        return "as it is"

    def room(self, vectors: Collection[str], beside: Beside) -> Room:
        """The same of a collection that ``create`` makes with ``beside``.

        Args:
            vectors: names of its vectors.
        """
        keeps = self.keeps if type(self).keeps is not Store.keeps else None
        return Room(self.takes_id, keeps)

    def beside(self, collection: str) -> Beside:
        """What the collection has beside its vectors, for ``create`` of this or another store."""
        return Beside()

    def refuses_beside(self, beside: Beside) -> Mapping[str, str]:
        """What ``create`` would not make of it, and why: ``{"extras.title": "..."}``,
        ``"schema"``, ``"parts"``; the schema is in words of this store's family."""
        why = f"{self.name} has none"
        found = {f"extras.{name}": why for name in beside.extras}
        if beside.schema:
            found["schema"] = why
        if beside.parted:
            found["parts"] = why
        return found

    @property
    def ids_by_part(self) -> bool:
        """Whether two parts of a collection may have rows of the same id, and both stay."""
        return True

    def add_parts(self, collection: str, names: Sequence[str]) -> None:
        """Make parts (tenants, partitions) of a collection; those that are there stay.

        Raises:
            UnsupportedError: the store or this collection has none.
        """
        raise UnsupportedError(f"{self.name} has no parts that rows are in")

    def refuses(self, vectors: Mapping[str, Vector]) -> str | None:
        """Why ``create`` would refuse these vectors; None when it would not."""
        return None

    def wake(self, collection: str) -> None:
        """Make rows readable that are not yet, where that changes nothing for anybody else."""
        return

    def beyond_rows(self, collection: str) -> Mapping[str, str]:
        """What a collection holds that ``read`` does not give, or ``create`` does not make:
        ``{"sparse-vectors": "title_sparse"}``. A copy leaves it behind, and has to say so.
        """
        return {}

    # -- indexes on the payload --------------------------------------------------------------

    def payload_indexes(self, collection: str) -> Mapping[str, str]:
        """Entries of the payload that somebody indexed for filters, and as what:
        ``{"city": "keyword"}``, each one of ``PAYLOAD_KINDS``."""
        return {}

    def payload_index_settings(self, collection: str) -> Mapping[str, Mapping[str, Any]]:
        """What else than its kind such an index was told, by key, in the words of the store's
        family: ``{"body": {"tokenizer": "word"}}``."""
        return {}

    def indexes_itself(self, key: str, kind: str) -> bool:
        """Whether this entry of a payload gets an index that serves filters like one of ``kind``
        as it is written, without being asked."""
        return False

    def refuses_payload_index(self, kind: str) -> str | None:
        """Why ``index_payload`` would refuse; None when it would not."""
        return f"qadapt makes no indexes on payloads in {self.name}"

    def fit_payload_index(
        self, key: str, kind: str, settings: Mapping[str, Any], beside: Beside
    ) -> tuple[Mapping[str, Any], str | None]:
        """The settings that an index would have in a collection made with ``beside``, and why
        there would be none.

        Args:
            settings: asked for; empty where they are of another family.
        """
        return settings, self.refuses_payload_index(kind)

    def index_payload(
        self, collection: str, key: str, kind: str, settings: Mapping[str, Any] | None = None
    ) -> None:
        """Index an entry of the payload, rows that are there included; twice is the same as once.

        Args:
            key: a path in the store's own words, such as ``city`` or ``address.city``.
            kind: one of ``PAYLOAD_KINDS``.
            settings: as ``fit_payload_index`` gave them.

        Raises:
            UnsupportedError: the store makes none, or not of this kind.
        """
        raise UnsupportedError(f"cannot index {key!r}: {self.refuses_payload_index(kind)}")

    # -- many rows at once -------------------------------------------------------------------

    def puts_off(self, collection: str) -> Mapping[str, Any]:
        """What ``begin_load`` would switch off, as it is now, in JSON: for ``end_load``.

        Empty where the engine builds no index while rows come in, has no switch for it, or where
        switching it was measured to be of no use.
        """
        return {}

    def begin_load(self, collection: str) -> None:
        """Build no index until ``end_load``; twice is the same as once."""
        return

    def end_load(self, collection: str, former: Mapping[str, Any]) -> None:
        """Give back what ``puts_off`` said, and begin to build; twice is the same as once."""
        return

    def settle(self, collection: str, progress: OnProgress, timeout: float) -> None:
        """Wait until the engine has built what it builds by itself after a load.

        Raises:
            StoreTimeoutError: not done after ``timeout`` seconds.
        """
        return

    # -- searching ---------------------------------------------------------------------------

    @abc.abstractmethod
    def search(self, collection: str, queries: Any, search: Search) -> Hits:
        """The store's own search of float32 queries ``(nq, d)``, already checked.

        Raises:
            UnsupportedError: something in ``search`` that the store does not have.
        """

    def default_rescore(self, collection: str, vector: str) -> Rescore | None:
        """What a search gets that says nothing of rescoring; as in ``info``, perhaps cheaper."""
        return self.info(collection).vectors[vector].default_rescore

    def rescores_itself(self, collection: str, vector: str) -> bool:
        """Whether the store scores candidates of this vector again by the originals; where it
        does not, we do."""
        return self.capabilities().native("native-rescore")

    # -- quantization ------------------------------------------------------------------------

    @abc.abstractmethod
    def map(self, quantization: Quantization, vector: Vector) -> Mapped:
        """A quantization in this store's words; no I/O but the server's version."""

    @abc.abstractmethod
    def steps(self, info: CollectionInfo, vector: str, quantization: Quantization) -> list[Step]:
        """Steps from what is to ``quantization``; empty when nothing differs and it is active.

        Each request is carried out by ``run`` and may be repeated.
        """

    def recreate_steps(self, info: CollectionInfo, vector: str, wanted: Vector) -> list[Step]:
        """The step to another metric or datatype, which are fixed at creation: a copy, and an
        alias that is switched to it.

        Raises:
            UnsupportedError: the store has no alias to switch, or this collection has none.
        """
        raise UnsupportedError(
            f"{self.name} fixes metric and datatype at creation, and has no alias to switch to a "
            "copy",
            hint="create another collection with them, and write the rows of "
            "`collection.read()` to it",
        )

    def alias_steps(
        self, info: CollectionInfo, vector: str, quantization: Quantization
    ) -> list[Step]:
        """The steps to ``quantization`` without a gap in searches: a copy, and an alias that is
        switched to it.

        Raises:
            UnsupportedError: the store or this collection has no such way.
        """
        raise UnsupportedError(
            f"{self.name} changes quantization in place alone, not by a copy and an alias",
            hint="leave out strategy='alias' (--strategy)",
        )

    def vector_steps(
        self, info: CollectionInfo, vector: str, quantization: Quantization
    ) -> tuple[str, list[Step]]:
        """The name of a new vector of the same floats with ``quantization``, and the steps to it;
        the one that is there stays. No steps when that one is as asked for already.

        Raises:
            UnsupportedError: the store or this collection has no such way.
        """
        raise UnsupportedError(
            f"{self.name} changes the quantization of a vector itself, not by a new one beside it",
            hint="leave out strategy='vector' (--strategy)",
        )

    def notes(self, info: CollectionInfo, vector: str, quantization: Quantization) -> Sequence[str]:
        """What a plan should tell besides its steps, such as a setting that would serve the
        rescoring asked for."""
        return ()

    @abc.abstractmethod
    def run(
        self, collection: str, request: Mapping[str, Any], progress: OnProgress, timeout: float
    ) -> None:
        """Carry out one request of a step, to its end; doing it twice does the same as once.

        Raises:
            StoreTimeoutError: not done after ``timeout`` seconds.
            StoreError: the engine refused.
        """

    # -- aliases -----------------------------------------------------------------------------

    def aliases(self) -> Mapping[str, str]:
        """The collection behind each alias; empty where the store has none."""
        return {}

    def switch_alias(self, alias: str, collection: str) -> None:
        """Make an alias, or move it in one action, so that no search finds nothing meanwhile.

        Raises:
            UnsupportedError: the store has no aliases.
            NotFoundError: no such collection.
            AlreadyExistsError: a collection has that name.
        """
        raise UnsupportedError(f"{self.name} has no aliases")

    def drop_alias(self, alias: str) -> None:
        """Delete an alias; the collection stays.

        Raises:
            UnsupportedError: the store has no aliases.
            NotFoundError: no such alias.
        """
        raise UnsupportedError(f"{self.name} has no aliases")

    # -- doctor ------------------------------------------------------------------------------

    def findings(
        self, info: CollectionInfo, options: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        """What only this store knows to have no effect or to hurt; ``qadapt doctor`` adds the
        checks that all stores share.

        Args:
            info: the collection as it was just seen.
            options: search parameters in the store's own words, as the user's program sends them.
        """
        return []

    # -- settings ----------------------------------------------------------------------------

    def load_settings(self, collection: str) -> Mapping[str, Any] | None:
        """What ``save_settings`` kept with the collection; None where a store has no place."""
        return None

    def save_settings(self, collection: str, settings: Mapping[str, Any]) -> bool:
        """Keep settings of qadapt with the collection; False where a store has no place."""
        return False


def refuse_part(store: str, part: Part | None, after: Id | None) -> None:
    """Refuse what a store does not read yet.

    Raises:
        UnsupportedError
    """
    if part or after is not None:
        raise UnsupportedError(f"{store} reads whole collections alone")


def unknown_kind(kind: str) -> str | None:
    """Why there is no index of this kind in any store; None where there may be."""
    if kind in PAYLOAD_KINDS:
        return None
    return f"there is no index of the kind {kind!r}, only {', '.join(PAYLOAD_KINDS)}"


def check_k(k: int, limit: int = MAX_K) -> int:
    """``k`` as an int from 1 to ``limit``.

    Raises:
        InputError
    """
    if isinstance(k, bool) or int(k) != k or not 1 <= k <= limit:
        raise InputError(f"k must be a whole number from 1 to {limit}; got {k!r}")
    return int(k)


def refuse(match: Match, asked: Quantization, store: str) -> UnsupportedError:
    """The error for a quantization that a store does not have."""
    return UnsupportedError(
        f"{store} has no {asked}: {'; '.join(match.differences)}",
        hint="; ".join(match.support) or "choose another kind: `qadapt matrix` lists them",
    )


def accepted(mapped: Mapped, asked: Quantization, store: str) -> Mapped:
    """What a quantization was mapped to.

    Raises:
        UnsupportedError: the store has no such thing.
    """
    if mapped.match.level is Level.UNSUPPORTED:
        raise refuse(mapped.match, asked, store)
    return mapped
