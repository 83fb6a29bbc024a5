"""A store that is open, and its collections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, cast

from qadapt.api.change import Plan
from qadapt.api.collection import Collection
from qadapt.api.error_fields import error_fields
from qadapt.distribution import warn_of_namesake
from qadapt.errors import (
    AlreadyExistsError,
    InputError,
    NotFoundError,
    SpecError,
    refuse_pairs,
)
from qadapt.local.bulk_writes import alias_moved
from qadapt.local.state import forget
from qadapt.model import (
    Accept,
    Capabilities,
    Metric,
    Quantization,
    QuantizationLike,
    Server,
    Vector,
)
from qadapt.model.address import Address
from qadapt.model.data import Datatype
from qadapt.model.spec import Spec
from qadapt.planning import abandoned_records
from qadapt.stores.base import Store
from qadapt.stores.registry import open_store, wrap_client

FRESH = 10.0  # seconds that a collection's dimensions and metrics are believed


def open(
    address: str | Address, *, disabled: Sequence[str] = (), insecure: bool = False
) -> Database:
    """Open a store by its address.

    Args:
        address: such as ``"edge:./data"``; see "Addresses" in docs/reference.md.
        disabled: native features to switch off, such as ``("native-rescore",)``, which forces
            the fallback.
        insecure: allow the key to be sent over plain http to a host other than this one; a
            warning says so each time. ``QADAPT_INSECURE=1`` does the same.

    Raises:
        AddressError, SpecError, MissingExtraError, UnreachableError, AuthError
    """
    warn_of_namesake()
    return Database(open_store(address, disabled=disabled, insecure=insecure))


def wrap(client: object, *, disabled: Sequence[str] = ()) -> Database:
    """A database on a client that you already have, such as a ``QdrantClient``.

    The client keeps its settings (time-outs, key, transport) and is never closed by qadapt.

    Args:
        client: of a store's own client library.
        disabled: native features to switch off, as for ``open``.

    Raises:
        UnsupportedError: no store wraps such a client; the message names those that do.
    """
    warn_of_namesake()
    return Database(wrap_client(client, disabled=disabled))


@contextmanager
def plan_spec(
    spec: Spec, *, accept: Accept = "differs", allow_key_env: Iterable[str] = ()
) -> Iterator[list[Plan]]:
    """The plans of all vectors that a spec file names; the stores stay open in the block.

        with qa.plan_spec(qa.load_spec("quantization.yaml")) as plans:
            changes = list(qa.apply_plans(plans, yes=True))

    Args:
        spec: a spec that was read.
        accept: how far a plan may go from what was asked, as for ``Collection.plan``.
        allow_key_env: environment variables that the file's addresses may name as keys by
            ``key_env``, besides the stores' own.

    Raises:
        NotFoundError, UnsupportedError, ...: as for ``Collection.plan``.
    """
    allowed = tuple(allow_key_env)
    with ExitStack() as opened:
        plans = []
        for each in spec.stores:
            trusted = each.store.trusted
            place = each.store if trusted else Address.from_file(each.store, allowed)
            database = opened.enter_context(open(place))
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


@error_fields
class Database:
    """A store that is open: its collections. A context manager."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __repr__(self) -> str:
        return f"<Database {self._store.address}>"

    def collections(self) -> list[str]:
        """Names of all collections, sorted."""
        return self._store.collections()

    @contextmanager
    def survey(self) -> Iterator[None]:
        """A block in which many collections are inspected.

        What one answer of the server tells of all collections is asked once, at its beginning;
        configurations and counts are read as they are.
        """
        with self._store.survey():
            yield

    def __iter__(self) -> Iterator[str]:
        return iter(self.collections())

    def __contains__(self, collection: object) -> bool:
        return isinstance(collection, str) and self._store.has(_name(collection))

    def __getitem__(self, collection: str) -> Collection:
        """A collection, by its name or an alias; with ``name@part`` a partition or a tenant of it.

        Raises:
            NotFoundError: there is none of that name; the message names the nearest.
        """
        if not self._store.has(_name(collection)):
            names = [*self.collections(), *self.aliases()]
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
        metric: Metric | str | None = None,
        datatype: Datatype | None = None,
        quantization: QuantizationLike | Mapping[str, QuantizationLike] | None = None,
        vectors: Mapping[str, Vector] | None = None,
    ) -> Collection:
        """Create a collection with one unnamed vector (``dim=``) or several (``vectors=``).

        Args:
            dim, metric, datatype: of the one unnamed vector; cosine and float32 by default.
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
        refuse_pairs(
            *(
                (vectors is not None and given is not None, f"{word}=", "with vectors=",
                 f"it stands in each: qa.Vector(dim, {word}=...)")
                for word, given in (("metric", metric), ("datatype", datatype))
            )
        )  # fmt: skip
        _name(collection)
        unnamed = Metric.of(metric or Metric.COSINE), datatype or "float32"
        wanted = dict(vectors or {"": Vector(cast(int, dim), *unnamed)})
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
        abandoned_records.forget(self._store.address.identity, collection)

    def aliases(self) -> Mapping[str, str]:
        """The collection behind each alias; empty where the store has none."""
        return self._store.aliases()

    def switch_alias(self, alias: str, collection: str) -> None:
        """Make an alias, or move it in one action."""
        former = self._store.aliases().get(alias)
        self._store.switch_alias(alias, collection)
        if former != collection:
            alias_moved(self._store, alias, collection)

    def drop_alias(self, alias: str) -> None:
        """Delete an alias; the collection stays."""
        self._store.drop_alias(alias)

    def close(self) -> None:
        """Close the store; a client that the user brought stays open."""
        self._store.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _name(collection: Any) -> str:
    """The name of a collection.

    Raises:
        InputError: it is not text, is empty, or cannot be written as UTF-8.
    """
    if not isinstance(collection, str) or not collection or "\0" in collection:
        raise InputError(
            f"{collection!r:.60} is not the name of a collection",
            hint="a name is text, for example 'articles'",
        )
    try:
        collection.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"the name {collection!r:.60} is not valid Unicode",
            hint="it holds half of a surrogate pair; check how the name was decoded",
        ) from None
    return collection


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
