"""Schemas of collections in raw REST form: vectors and their indexes.

The raw form is used because the Python client loses fields (distance, skipDefaultQuantization,
rescoreLimit: docs/engines/weaviate.md#python-client).

A Weaviate schema contains neither dimensions nor settings of clients. qadapt stores the dimensions
of its own collections, and default search parameters, in the last line of the description::

    qadapt: {"dims": {"": 384}, "settings": {"vectors": {"": {"rescore": ...}}}}

The unnamed vector ``""`` is the collection-level index; other names are those of ``vectorConfig``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from qadapt.errors import InputError, NotFoundError, UnsupportedError
from qadapt.model import Metric, Vector
from qadapt.stores import checks
from qadapt.stores.weaviate.connection import Connection

METRICS = {Metric.COSINE: "cosine", Metric.DOT: "dot", Metric.EUCLIDEAN: "l2-squared"}
_METRICS = {word: metric for metric, word in METRICS.items()}
MAX_DIM = 65_535
NOTE = "qadapt: "

HNSW, FLAT, DYNAMIC, HFRESH = "hnsw", "flat", "dynamic", "hfresh"
INDEXES = (HNSW, FLAT, DYNAMIC, HFRESH)

_CLASS = re.compile(r"[A-Z][_0-9A-Za-z]{0,254}")
_VECTOR = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,229}")


@dataclass(frozen=True)
class Field:
    """One vector of a collection.

    Attributes:
        name: the name in the public API.
        target: the name in ``vectorConfig``; None for the collection-level vector.
        index: hnsw, flat, dynamic or hfresh.
        metric: the metric of the index.
        dim: None if unknown: no row has the vector, and qadapt did not create the collection.
        config: the raw ``vectorIndexConfig``.
        multi: whether it is a multivector (see ``multivectors``).
    """

    name: str
    target: str | None
    index: str
    metric: Metric
    dim: int | None
    config: Mapping[str, Any]
    multi: bool = False

    @property
    def native(self) -> dict[str, Any]:
        """The index in the form of ``mapping``."""
        return {"vectorIndexType": self.index, "vectorIndexConfig": dict(self.config)}

    @property
    def vector(self) -> Vector:
        """Dimensions and metric.

        Raises:
            UnsupportedError: the dimension is unknown.
        """
        if self.dim is None:
            raise UnsupportedError(
                f"the dimension of the vector {self.name!r} is unknown: a Weaviate schema does not "
                "contain it, and none of the rows read has this vector",
                hint="write a row with this vector; `qadapt inspect` shows how many rows were read",
            )
        return Vector(self.dim, self.metric)


@dataclass(frozen=True)
class Layout:
    """One collection.

    Attributes:
        name: the requested name, possibly an alias.
        real: the class name.
        alias: whether ``name`` is an alias.
        vectors: the vectors by name.
        others: vectors that qadapt does not change, including multivectors, and why.
        multis: multivectors, which are read and written only if requested by name.
        properties: data type by name, for example ``text[]``.
        multi_tenant: whether the rows belong to tenants.
        raw: the complete schema.
    """

    name: str
    real: str
    alias: bool
    vectors: Mapping[str, Field]
    others: Mapping[str, str]
    multis: Mapping[str, Field]
    properties: Mapping[str, str]
    multi_tenant: bool
    raw: Mapping[str, Any]

    def field(self, vector: str) -> Field:
        """One vector.

        Raises:
            NotFoundError: the vector does not exist.
            UnsupportedError: qadapt does not support the vector.
        """
        return checks.vector(vector, self.vectors, self.others)

    def fields(self, vectors: Sequence[str] | None) -> dict[str, Field]:
        """Vectors and multivectors by name; None for all vectors.

        Raises:
            NotFoundError, UnsupportedError: as ``field``.
        """
        if vectors is None:
            return dict(self.vectors)
        return {name: self.multis.get(name) or self.field(name) for name in vectors}

    @property
    def wanted(self) -> dict[str, Vector]:
        """The vectors of known dimension, for ``Batch.check``."""
        return {name: each.vector for name, each in self.vectors.items() if each.dim is not None}

    @property
    def values(self) -> list[str]:
        """Names of the properties that are not references to other collections."""
        return [name for name, kind in self.properties.items() if not kind[:1].isupper()]

    @property
    def unknown_dimensions(self) -> dict[str, Field]:
        """Vectors of unknown dimension."""
        known = {**self.vectors, **self.multis}
        return {name: field for name, field in known.items() if field.dim is None}

    @property
    def created(self) -> bool:
        """Whether qadapt created it."""
        return "dims" in note_of(self.raw)


# -- names and the note --------------------------------------------------------------------------


def check_name(name: str) -> str:
    """Check the name of a collection.

    Raises:
        InputError
    """
    if not isinstance(name, str) or not _CLASS.fullmatch(name):
        raise InputError(
            f"{name!r} is not a valid collection name in Weaviate",
            hint="use letters, digits and underscores, with a capital letter first: Weaviate "
            "capitalizes the first letter",
        )
    return name


def check_vector_name(name: str) -> None:
    """Check the name of a vector.

    Raises:
        InputError
    """
    if name != "" and not _VECTOR.fullmatch(name):
        raise InputError(
            f"{name!r} is not a valid vector name in Weaviate",
            hint="use letters, digits and underscores, and no digit first",
        )


def note(
    dims: Mapping[str, int],
    settings: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
) -> str:
    """The note: a line that stores what Weaviate does not.

    Args:
        limits: ``{"was": 20, "raised": 40}`` by vector, see ``native_rescore``.
    """
    found: dict[str, Any] = {"dims": dict(dims)} if dims or not settings else {}
    if settings:
        found["settings"] = settings
    if limits:
        found["limits"] = limits
    return NOTE + json.dumps(found, sort_keys=True)


def note_of(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The content of the note; empty without one."""
    _, _, last = str(raw.get("description") or "").rpartition("\n")
    if not last.startswith(NOTE):
        return {}
    try:
        found = json.loads(last.removeprefix(NOTE))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def described(text: str | None, noted: str) -> str:
    """A description whose last line is the note."""
    kept = [line for line in (text or "").splitlines() if not line.startswith(NOTE)]
    return "\n".join([*kept, noted])


# -- reading -------------------------------------------------------------------------------------


def describe(connection: Connection, name: str) -> Layout:
    """Read the schema of a name or alias, with the dimensions of the note.

    Raises:
        NotFoundError
    """
    if not _CLASS.fullmatch(name):
        # The server treats `articles` as `Articles`, which would give one collection two journals.
        right = name[:1].upper() + name[1:]
        raise NotFoundError(
            f"the collection {name!r} does not exist",
            hint=f"names start with a capital letter in Weaviate: {right!r}",
        )
    raw = connection.rest("GET", f"/v1/schema/{quote(name)}", doing=f"read {name!r}")
    return layout(raw, name)


def layout(raw: Mapping[str, Any], name: str, dims: Mapping[str, int] | None = None) -> Layout:
    """Parse a raw schema.

    Args:
        dims: dimensions found in rows (``dimensions``); the note takes precedence.
    """
    known = {**(dims or {}), **{k: int(v) for k, v in (note_of(raw).get("dims") or {}).items()}}
    vectors: dict[str, Field] = {}
    others: dict[str, str] = {}
    multis: dict[str, Field] = {}
    for label, target, each in _each_vector(raw):
        index, config = str(each["vectorIndexType"]), dict(each.get("vectorIndexConfig") or {})
        problem = _problem(index, config)
        if problem is not None:
            others[label] = problem
            if problem == _MULTI and not config.get("skip"):
                metric = _METRICS[_distance(config)]
                dim = known.get(label)
                multis[label] = Field(label, target, index, metric, dim, config, multi=True)
            continue
        metric = _METRICS[_distance(config)]
        vectors[label] = Field(label, target, index, metric, known.get(label), config)
    real = str(raw["class"])
    return Layout(
        name=name,
        real=real,
        alias=name != real,
        vectors=vectors,
        others=others,
        multis=multis,
        properties={each["name"]: str(each["dataType"][0]) for each in raw.get("properties") or ()},
        multi_tenant=bool((raw.get("multiTenancyConfig") or {}).get("enabled")),
        raw=raw,
    )


def _each_vector(raw: Mapping[str, Any]) -> list[tuple[str, str | None, Mapping[str, Any]]]:
    named = raw.get("vectorConfig") or {}
    found: list[tuple[str, str | None, Mapping[str, Any]]] = [
        (name, name, each) for name, each in sorted(named.items())
    ]
    if raw.get("vectorIndexType"):
        found.insert(0, ("", None, raw))
    return found


def _distance(config: Mapping[str, Any]) -> str:
    return str(config.get("distance") or "cosine")


_MULTI = "is a multivector"


def _problem(index: str, config: Mapping[str, Any]) -> str | None:
    if index == "none":
        return "no longer has an index"
    if index not in INDEXES:
        return f"has the index {index}; supported are {', '.join(INDEXES)}"
    if _distance(config) not in _METRICS:
        return f"has the metric {_distance(config)}; supported are {', '.join(_METRICS)}"
    if (config.get("multivector") or {}).get("enabled"):
        return _MULTI
    if config.get("skip"):
        return "is not indexed (skip)"
    return None


# -- writing -------------------------------------------------------------------------------------


def with_vector(
    raw: Mapping[str, Any], name: str, index: Mapping[str, Any], dim: int | None
) -> dict[str, Any]:
    """A schema with one more named vector, also added to the note, and no other change.

    Args:
        index: ``vectorIndexType`` and ``vectorIndexConfig``.
    """
    changed: dict[str, Any] = json.loads(json.dumps(raw))
    named = changed.setdefault("vectorConfig", {})
    named[name] = {**json.loads(json.dumps(dict(index))), "vectorizer": {"none": {}}}
    noted = note_of(raw).get("dims")
    if noted and dim is not None:
        line = note({**noted, name: dim}, note_of(raw).get("settings"), note_of(raw).get("limits"))
        changed["description"] = described(raw.get("description"), line)
    return changed


def with_settings(
    raw: Mapping[str, Any],
    settings: Mapping[str, Any],
    limits: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A schema with other settings and limits in the note, and no other change."""
    noted, limits = note_of(raw), limits or {}
    if (noted.get("settings") or {}, noted.get("limits") or {}) == (dict(settings), dict(limits)):
        return dict(raw)
    dims, text = noted.get("dims") or {}, raw.get("description")
    changed = dict(raw)
    changed["description"] = described(text, note(dims, settings, limits))
    if not dims and not settings and not limits:  # the collection is not of qadapt
        changed["description"] = described(text, "").rstrip("\n")
    return changed


def with_config(
    raw: Mapping[str, Any], target: str | None, config: Mapping[str, Any]
) -> dict[str, Any]:
    """A schema with another configuration of one vector, and no other change."""
    changed: dict[str, Any] = json.loads(json.dumps(raw))
    place = changed if target is None else changed["vectorConfig"][target]
    place["vectorIndexConfig"] = json.loads(json.dumps(dict(config)))
    return changed
