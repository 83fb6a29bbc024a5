"""Database: an open connection and its collections."""

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
)
from qadapt.local.bulk_writes import alias_moved
from qadapt.local.client_operations import Remember, run
from qadapt.local.state import forget
from qadapt.model import (
    Accept,
    Capabilities,
    Metric,
    Quantization,
    QuantizationLike,
    Rescore,
    Server,
    Vector,
)
from qadapt.model.address import Address
from qadapt.model.option_checks import refuse_pairs
from qadapt.model.spec import Spec
from qadapt.model.vector import Datatype
from qadapt.planning import abandoned_records
from qadapt.stores.base import Store, silent
from qadapt.stores.registry import open_store, wrap_client

FRESH = 10.0  # seconds for which the definitions of vectors are cached


def open(
    address: str | Address, *, disabled: Sequence[str] = (), insecure: bool = False
) -> Database:
    """Connect to a database.

    Args:
        address: address such as ``"edge:./data"``; see "Addresses" in docs/reference.md.
        disabled: native features to disable, such as ``("native-rescore",)``, which forces the
            client-side fallback.
        insecure: allow sending the key over plain http to another host, with a warning each time;
            same as ``QADAPT_INSECURE=1``.

    Raises:
        AddressError, SpecError, MissingExtraError, UnreachableError, AuthError
    """
    warn_of_namesake()
    return Database(open_store(address, disabled=disabled, insecure=insecure))


def wrap(client: object, *, disabled: Sequence[str] = ()) -> Database:
    """Wrap an existing client, such as a ``QdrantClient``.

    The settings of the client (timeouts, key, transport) apply, and qadapt never closes it.

    Args:
        client: client of a supported client library.
        disabled: native features to disable; see ``open``.

    Raises:
        UnsupportedError: the client is not supported; the message lists supported clients.
    """
    warn_of_namesake()
    return Database(wrap_client(client, disabled=disabled))


@contextmanager
def plan_spec(
    spec: Spec, *, accept: Accept = "differs", allow_key_env: Iterable[str] = ()
) -> Iterator[list[Plan]]:
    """Plan all vectors of a spec file; connections are open within the block.

        with qa.plan_spec(qa.load_spec("quantization.yaml")) as plans:
            changes = list(qa.apply_plans(plans, yes=True))

    Args:
        spec: parsed spec file.
        accept: permitted match level; see ``Collection.plan``.
        allow_key_env: environment variables that addresses in the file may name in ``key_env``, in
            addition to those of the database.

    Raises:
        NotFoundError, UnsupportedError, ...: see ``Collection.plan``.
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
                            prices=each.prices,
                        )
                    )
        yield plans


@error_fields
class Database:
    """Open database with its collections; a context manager."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __repr__(self) -> str:
        return f"<Database {self._store.address}>"

    def collections(self) -> list[str]:
        """Names of all collections, sorted."""
        return self._store.collections()

    @contextmanager
    def survey(self) -> Iterator[None]:
        """Context manager for inspecting many collections.

        Responses of the server that cover all collections are requested once; configurations
        and row counts are always current.
        """
        with self._store.survey():
            yield

    def __iter__(self) -> Iterator[str]:
        return iter(self.collections())

    def __contains__(self, collection: object) -> bool:
        return isinstance(collection, str) and self._store.has(_name(collection))

    def __getitem__(self, collection: str) -> Collection:
        """Get a collection by name or alias; ``name@partition`` is a partition or tenant.

        Raises:
            NotFoundError: the collection does not exist; the message suggests a similar name.
        """
        if not self._store.has(_name(collection)):
            names = [*self.collections(), *self.aliases()]
            raise NotFoundError.missing("collection", collection, names)
        return Collection(self._store, collection)

    @property
    def searches(self) -> str:
        """How an ``AsyncDatabase`` searches: ``native`` or ``thread``; see docs/async.md."""
        return "native" if self._store.awaits_searches else "thread"

    def server(self) -> Server:
        """Type, version and deployment of the server."""
        return self._store.server()

    def capabilities(self) -> Capabilities:
        """Capabilities of this server, without disabled features."""
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
        """Create a collection with one unnamed vector (``dim=``) or named vectors (``vectors=``).

        Args:
            dim, metric, datatype: definition of the unnamed vector; cosine and float32 by default.
            quantization: quantization of the vector, or ``{vector name: quantization}``. If the
                database quantizes later, ``info()`` reports it; rescoring becomes the default
                of searches.
            vectors: ``{name: qa.Vector(dim, metric)}``.

        Raises:
            AlreadyExistsError, SpecError, UnsupportedError
        """
        if (dim is None) == (vectors is None):
            raise SpecError(
                "pass dim= for one unnamed vector, or vectors= for named vectors",
                hint="for example db.create('articles', dim=384, metric='cosine')",
            )
        if vectors is not None and not vectors:
            raise SpecError(
                "vectors= names no vector",
                hint="for example vectors={'title': qa.Vector(384, 'cosine')}",
            )
        refuse_pairs(
            *(
                (vectors is not None and given is not None, f"{word}=", "with vectors=",
                 f"pass it in each vector: qa.Vector(dim, {word}=...)")
                for word, given in (("metric", metric), ("datatype", datatype))
            )
        )  # fmt: skip
        _name(collection)
        unnamed = Metric.of(metric or Metric.COSINE), datatype or "float32"
        wanted = dict(vectors or {"": Vector(cast(int, dim), *unnamed)})
        quantizations = _by_vector(quantization, wanted)
        if collection in self:
            raise AlreadyExistsError(
                f"the collection {collection!r} already exists",
                hint="open it with db[name], or drop it first",
            )
        bare = {name: each.replace(rescore=None) for name, each in quantizations.items()}
        # Settings of an earlier collection with this name must not apply to the new one.
        self._forget(collection)
        self._store.create(collection, wanted, bare)
        for name, each in quantizations.items():
            if each.rescore is not None:
                self._remember(collection, name, each.rescore)
        return Collection(self._store, collection)

    def drop(self, collection: str) -> None:
        """Delete a collection, its rows, settings and client-side codes.

        Raises:
            NotFoundError: the collection does not exist.
        """
        self[collection]
        self._store.drop(collection)
        self._forget(collection)

    def _remember(self, collection: str, vector: str, rescore: Rescore) -> None:
        """Save the rescoring of a new collection as its default."""
        request = Remember(vector, str(rescore)).to_request()
        run(self._store, collection, request, silent, 0)

    def _forget(self, collection: str) -> None:
        """Delete the local state of a dropped collection."""
        forget(self._store.address, collection)
        abandoned_records.forget(self._store.address.identity, collection)

    def aliases(self) -> Mapping[str, str]:
        """Mapping from alias to collection; empty if the database has no aliases."""
        return self._store.aliases()

    def switch_alias(self, alias: str, collection: str) -> None:
        """Create an alias, or switch it atomically.

        Raises:
            InputError: the alias is not a valid name.
            UnsupportedError: the database has no aliases.
            NotFoundError: the collection does not exist.
        """
        _name(alias, "alias")
        former = self._store.aliases().get(alias)
        self._store.switch_alias(alias, collection)
        if former != collection:
            alias_moved(self._store, alias, collection)

    def drop_alias(self, alias: str) -> None:
        """Delete an alias; the collection is kept."""
        _name(alias, "alias")
        self._store.drop_alias(alias)

    def close(self) -> None:
        """Close the connection; a wrapped client stays open.

        Later calls raise an InputError; closing twice has no effect.
        """
        if not self._store.closed:
            self._store.closed = True
            self._store.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _name(collection: Any, what: str = "collection") -> str:
    """Check the name of a collection or alias.

    Raises:
        InputError: the name is not a string, is empty, or cannot be encoded as UTF-8.
    """
    if not isinstance(collection, str) or not collection or "\0" in collection:
        raise InputError(
            f"{collection!r:.60} is not a valid {what} name",
            hint="give a nonempty string, for example 'articles'",
        )
    try:
        collection.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"the name {collection!r:.60} is not valid Unicode",
            hint="it contains an unpaired surrogate; check how the name was decoded",
        ) from None
    return collection


def _by_vector(given: Any, vectors: Mapping[str, Vector]) -> dict[str, Quantization]:
    if given is None:
        return {}
    if isinstance(given, Mapping) and "kind" not in given:
        for name in given:
            if name not in vectors:
                raise SpecError.unknown("vector", str(name), vectors)
        return {name: Quantization.of(each).with_default_places for name, each in given.items()}
    if len(vectors) != 1:
        raise SpecError(
            "with several vectors, name those to quantize",
            hint="quantization={'title': 'binary'}",
        )
    return {next(iter(vectors)): Quantization.of(given).with_default_places}
