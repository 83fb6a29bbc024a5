"""Spec files: desired quantization of many collections, as YAML or JSON.

    store: qdrant+http://localhost:6333
    collections:
      articles:
        vectors:
          "": {quantization: binary, rescore: 4, codes: ram, originals: disk}
        guard: {recall@10: 0.95, queries: queries.npy}

``stores:`` is a list of documents like this. For a collection with one unnamed vector, ``vectors``
can be omitted, and ``quantization: binary`` (and ``rescore`` etc.) written directly below its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from qadapt.errors import QadaptError, SpecError
from qadapt.model.address import Address
from qadapt.model.address_form import server_example
from qadapt.model.document_io import read_document
from qadapt.model.plan import Guard
from qadapt.model.quantization import Place, Quantization
from qadapt.model.rescore import Rescore
from qadapt.model.serializable import Serializable

T = TypeVar("T")

_EXAMPLE = 'collections: {articles: {vectors: {"": {quantization: binary, rescore: 4}}}}'


_VECTOR_KEYS = ("quantization", "rescore", "codes", "originals", "native")
_COLLECTION_KEYS = ("vectors", "guard")
_GUARD_KEYS = ("recall@10", "queries", "seed", "recall", "k", "clients")
_RECALL = re.compile(r"recall@([0-9]{1,9})")


@dataclass(frozen=True)
class VectorSpec(Serializable):
    """Desired quantization of a vector.

    Attributes:
        quantization: kind and its options.
        rescore, codes, originals, native: options that ``quantization`` does not contain.

    Raises:
        SpecError: an option is given twice with different values.
    """

    quantization: Quantization
    rescore: Rescore | None = None
    codes: Place | None = None
    originals: Place | None = None
    native: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "quantization", Quantization.of(self.quantization))
        object.__setattr__(self, "rescore", Rescore.of(self.rescore))
        _ = self.wanted

    @property
    def wanted(self) -> Quantization:
        """Merge all options into one quantization."""
        merged: dict[str, Any] = {}
        for name in ("rescore", "codes", "originals"):
            inner, outer = getattr(self.quantization, name), getattr(self, name)
            if inner is not None and outer is not None and inner != outer:
                raise SpecError(
                    f"{name} is given twice: {inner} in the quantization and {outer} separately",
                    hint="remove one of them",
                )
            merged[name] = inner if outer is None else outer
        for name, value in self.native.items():
            if self.quantization.native.get(name, value) != value:
                raise SpecError(f"native.{name} is given twice", hint="remove one of them")
        return self.quantization.replace(
            native={**self.quantization.native, **self.native}, **merged
        )


@dataclass(frozen=True)
class CollectionSpec(Serializable):
    """Desired state of a collection: quantization of its vectors, and minimum recall."""

    vectors: Mapping[str, VectorSpec] = field(hash=False)
    guard: Guard | None = None


@dataclass(frozen=True)
class StoreSpec(Serializable):
    """Desired state of a database.

    Attributes:
        store: address; serialized as text with a masked key.
        collections: desired state by name.
    """

    store: Address
    collections: Mapping[str, CollectionSpec] = field(hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "store", Address.parse(self.store))


@dataclass(frozen=True)
class Spec(Serializable):
    """Parsed spec file."""

    stores: tuple[StoreSpec, ...]


def load_spec(path: str | Path) -> Spec:
    """Read a YAML or JSON file; relative paths of queries are resolved from its folder.

    Raises:
        SpecError: the file cannot be read or is invalid; the message contains the place.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise SpecError(
            f"the spec file {str(path)!r} cannot be read: {error}", hint="check the path"
        ) from error
    return parse_spec(text, where=str(path), folder=Path(path).parent)


def parse_spec(text: str, *, where: str = "the spec", folder: Path | None = None) -> Spec:
    """Parse a YAML or JSON document.

    Args:
        text: the document.
        where: name of the document in error messages.
        folder: folder that relative paths of queries are resolved from; None leaves them
            unchanged.

    Raises:
        SpecError: the document is invalid; the message contains the place.
    """
    at = _Location(where)
    document = at.mapping(read_document(text, where), "a mapping with store and collections")
    if "stores" in document:
        at.known(document, ("stores",))
        items = document["stores"]
        if not isinstance(items, list) or not items:
            at.down("stores").fail(
                "expected a list of documents with store and collections",
                "for one database, write its keys store and collections at the top",
            )
        places = [at.down("stores").down(str(number)) for number in range(len(items))]
    else:
        items, places = [document], [at]
    stores = tuple(_store(item, place, folder) for item, place in zip(items, places, strict=True))
    _refuse_twice(stores, places)
    return Spec(stores)


class _Location:
    """Place in the document, for error messages."""

    def __init__(self, where: str, path: tuple[str, ...] = ()) -> None:
        self.where, self.path = where, path

    def down(self, key: str) -> _Location:
        return _Location(self.where, (*self.path, key))

    def __str__(self) -> str:
        path = ".".join(part or "''" for part in self.path)
        return f"{self.where}: {path}" if path else self.where

    def fail(self, message: str, hint: str | None = None) -> NoReturn:
        raise SpecError(f"{self}: {message}", hint=hint)

    def mapping(self, value: Any, expected: str) -> dict[str, Any]:
        if not isinstance(value, dict) or not value:
            self.fail(f"expected {expected}; got {_kind(value)}", "for example " + _EXAMPLE)
        return value

    def known(self, value: Iterable[str], known: Iterable[str]) -> None:
        for key in value:
            if key not in known:
                error = SpecError.unknown("key", key, known)
                self.down(key).fail("unknown key", error.hint)

    def call(self, make: Callable[..., T], *args: Any, **named: Any) -> T:
        """Call ``make``, and add the place to its errors."""
        try:
            return make(*args, **named)
        except QadaptError as error:
            raise SpecError(f"{self}: {error.message}", hint=error.hint) from error


def _kind(value: Any) -> str:
    if value is None or value in ({}, [], ""):
        return "nothing"
    words = {dict: "a mapping", list: "a list", bool: "true or false (quote it for a string)"}
    return words.get(type(value)) or f"{value!r:.60}"


def _store(value: Any, at: _Location, folder: Path | None) -> StoreSpec:
    document = at.mapping(value, "a mapping with store and collections")
    at.known(document, ("store", "collections"))
    for key in ("store", "collections"):
        if key not in document:
            at.fail(f"{key!r} is missing", "a spec has the keys store and collections")
    place = at.down("store")
    if not isinstance(document["store"], str):
        place.fail(
            f"expected an address as a string; got {_kind(document['store'])}",
            f"for example store: {server_example()}",
        )
    address = place.call(Address.from_file, document["store"])
    if address.collection is not None:
        place.fail(
            "the address must not contain '#collection'", "add the collection below collections"
        )
    place = at.down("collections")
    named = place.mapping(document["collections"], "a mapping of collections by name")
    collections = {
        name: _collection(item, place.down(name), folder) for name, item in named.items()
    }
    return StoreSpec(address, collections)


def _collection(value: Any, at: _Location, folder: Path | None) -> CollectionSpec:
    document = at.mapping(value, "a mapping with vectors or quantization")
    at.known(document, (*_COLLECTION_KEYS, *_VECTOR_KEYS))
    own = {key: item for key, item in document.items() if key in _VECTOR_KEYS}
    if "vectors" in document:
        if own:
            at.down(next(iter(own))).fail("conflicts with vectors", "move it below a vector")
        place = at.down("vectors")
        named = place.mapping(document["vectors"], "a mapping of vectors by name")
        vectors = {name: _vector(item, place.down(name)) for name, item in named.items()}
    else:
        vectors = {"": _vector(own, at)}
    guard = document.get("guard")
    return CollectionSpec(
        vectors, None if guard is None else _guard(guard, at.down("guard"), folder)
    )


def _vector(value: Any, at: _Location) -> VectorSpec:
    document = at.mapping(value, "a mapping with quantization")
    at.known(document, _VECTOR_KEYS)
    if document.get("quantization") is None:
        at.fail("'quantization' is missing", "for example quantization: binary")
    place = at.down("quantization")
    if not isinstance(document["quantization"], (str, dict)):
        place.fail(
            f"expected a string such as 'binary:query_bits=8', or a mapping with kind; "
            f"got {_kind(document['quantization'])}",
            "for example quantization: binary",
        )
    quantization = place.call(Quantization.of, document["quantization"])
    rescore = at.down("rescore").call(Rescore.of, document.get("rescore"))
    for key in ("codes", "originals"):
        if document.get(key) not in (None, "ram", "disk"):
            at.down(key).fail(
                f"expected ram or disk; got {_kind(document[key])}", f"for example {key}: ram"
            )
    native = document.get("native")
    if native is not None and not isinstance(native, dict):
        at.down("native").fail(
            f"expected a mapping of native settings; got {_kind(native)}",
            "for example native: {rescoreLimit: 100}",
        )
    places = {key: document.get(key) for key in ("codes", "originals")}
    return at.call(VectorSpec, quantization, rescore, native=native or {}, **places)


def _guard(value: Any, at: _Location, folder: Path | None) -> Guard:
    if isinstance(value, str):
        return at.call(Guard.parse, value)
    document = at.mapping(value, "a string such as 'recall@10>=0.95', or a mapping with recall@10")
    short = [key for key in document if _RECALL.fullmatch(key)]
    at.known([key for key in document if key not in short], _GUARD_KEYS)
    if len(short) + ("recall" in document) != 1:
        at.fail(
            "a guard must have exactly one recall",
            "for example {recall@10: 0.95, queries: queries.npy}",
        )
    name = short[0] if short else "recall"
    recall, k = document[name], document.get("k", 10)
    if short:
        if "k" in document:
            at.down("k").fail(f"k is given twice: here and in {name}", "remove one of them")
        k = int(name.partition("@")[2])
    if isinstance(recall, bool) or not isinstance(recall, (int, float)):
        at.down(name).fail(
            f"expected a number such as 0.95; got {_kind(recall)}", "for example recall@10: 0.95"
        )
    queries = document.get("queries", 200)
    if isinstance(queries, bool) or not isinstance(queries, (int, str)) or queries == "":
        at.down("queries").fail(
            f"expected a .npy file or a number of vectors to sample; got {_kind(queries)}",
            "for example queries: queries.npy, or queries: 200",
        )
    if isinstance(queries, str) and folder is not None:
        queries = str(folder / queries)
    seed = document.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int):
        at.down("seed").fail(f"expected a whole number; got {_kind(seed)}", "for example seed: 0")
    clients = document.get("clients", "any")
    return at.call(Guard, recall, k, queries, seed, clients)


def _refuse_twice(stores: Iterable[StoreSpec], places: Iterable[_Location]) -> None:
    seen: set[tuple[str, str]] = set()
    for store, place in zip(stores, places, strict=True):
        for name in store.collections:
            if (store.store.identity, name) in seen:
                place.down("collections").down(name).fail(
                    f"the collection is given twice for {store.store}", "remove one of them"
                )
            seen.add((store.store.identity, name))
