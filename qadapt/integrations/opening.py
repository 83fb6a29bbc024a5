"""Collections by address, created if they do not exist."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qadapt.api import Collection, Database, open
from qadapt.errors import AddressError, AlreadyExistsError
from qadapt.model import Metric, QuantizationLike
from qadapt.model.address import Address


@dataclass(frozen=True)
class NewCollection:
    """Definition of a collection that may have to be created.

    Attributes:
        dim: returns the number of dimensions; called only if the collection does not exist.
        metric: metric; cosine by default.
        quantization: quantization of a new collection; None for none.
    """

    dim: Callable[[], int]
    metric: Metric | str | None = None
    quantization: QuantizationLike | None = None


def open_collection(address: str, new: NewCollection | None = None) -> tuple[Database, Collection]:
    """Open ``URL#COLLECTION``; the caller closes the database.

    Args:
        new: create the collection if it does not exist; None raises an error.

    Raises:
        AddressError: the address has no collection.
        AlreadyExistsError: the collection exists, and ``new`` contains a quantization or a metric,
            which would have no effect.
        NotFoundError, UnreachableError, AuthError, MissingExtraError, UnsupportedError
    """
    place = Address.parse(address)
    if place.collection is None:
        raise AddressError(f"the address {place} names no collection", hint="write URL#COLLECTION")
    database = open(place)
    try:
        return database, _found(database, place.collection, new)
    except BaseException:
        database.close()
        raise


def _found(database: Database, name: str, new: NewCollection | None) -> Collection:
    if new is None:
        return database[name]
    if name not in database:
        return database.create(
            name, dim=new.dim(), metric=new.metric, quantization=new.quantization
        )
    for word, given in (("quantization", new.quantization), ("metric", new.metric)):
        if given is not None:
            raise AlreadyExistsError(
                f"the collection {name!r} already exists, so {word}= has no effect",
                hint=f"omit {word}=; collection.plan({word}=...) changes an existing collection",
            )
    return database[name]
