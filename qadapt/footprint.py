"""Bytes of one vector of a collection in RAM and on disk, part by part."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from qadapt.errors import UnsupportedError
from qadapt.model import Kind, Match, MatchLevel, Quantization, Serializable, Vector, VectorInfo

# Bytes per dimension of the original vectors.
WIDTH: Mapping[str, float] = {
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "uint8": 1,
    "int8": 1,
    "turbo4": 0.5,
    "turbo8": 1,
    "turbo16": 2,
    "bit": 0.125,
}


class Mapped(Protocol):
    """A quantization that a store mapped to its own configuration."""

    @property
    def match(self) -> Match: ...

    @property
    def target(self) -> Quantization: ...

    @property
    def native(self) -> Mapping[str, Any] | None: ...


M = TypeVar("M", bound=Mapped)


@dataclass(frozen=True)
class Component(Serializable):
    """One part of a footprint.

    Attributes:
        name: codes, originals, graph, lists, ids.
        ram, disk: bytes.
        formula: how they are computed; "as reported" for sizes that a program reports.
        source: the source of the formula.
    """

    name: str
    ram: int
    disk: int
    formula: str
    source: str


@dataclass(frozen=True)
class Footprint(Serializable):
    """Bytes of one vector of a collection.

    Payloads, payload indexes and temporary space of index builds are not counted.

    Attributes:
        store: its name.
        target: the quantization that the store applies for the requested one.
        ram, disk: bytes of all parts.
        components: the parts that are not empty.
        native: the store's own configuration.
        differences: differences between the target and the request.
        notes: caveats for the reader.
    """

    store: str
    target: Quantization
    ram: int
    disk: int
    components: tuple[Component, ...]
    native: Mapping[str, Any] = field(default_factory=dict)
    differences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        store: str,
        target: Quantization,
        components: tuple[Component, ...],
        *,
        native: Mapping[str, Any] | None = None,
        differences: tuple[str, ...] = (),
        notes: tuple[str, ...] = (),
    ) -> Footprint:
        """A footprint with the sums of its parts; empty parts are dropped."""
        kept = tuple(part for part in components if part.ram or part.disk)
        ram, disk = sum(part.ram for part in kept), sum(part.disk for part in kept)
        return cls(store, target, ram, disk, kept, native or {}, differences, notes)


def original_bytes(count: int, vector: Vector) -> int:
    """Bytes of ``count`` original vectors, without padding."""
    return round(count * vector.dim * WIDTH[vector.datatype])


def centroids(dim: int, quantization: Quantization, source: str) -> Component:
    """The 256 float32 centroids of product codes; an empty part for other kinds."""
    size = 1024 * dim if quantization.kind is Kind.PRODUCT else 0
    return Component("centroids", size, size, "256 centroids of float32", source)


def supported(mapped: M) -> M:
    """A mapped quantization that has a cost.

    Args:
        mapped: has the ``match``.

    Raises:
        UnsupportedError: the store does not support it.
    """
    if mapped.match.level is MatchLevel.UNSUPPORTED:
        raise UnsupportedError(
            "; ".join(mapped.match.differences),
            hint="; ".join(mapped.match.support) or "`qadapt matrix` lists the supported kinds",
        )
    return mapped


class CostModel(abc.ABC):
    """Computes the bytes of a vector of one store.

    Attributes:
        store: the store name in its footprints.
        note: a caveat for comparisons with other stores; empty for none.
    """

    store: str
    note: str = ""

    @abc.abstractmethod
    def footprint(
        self, count: int, vector: Vector, quantization: Quantization, index: Mapping[str, Any]
    ) -> Footprint:
        """The footprint of ``count`` rows of one vector, including its index.

        Args:
            vector: with a datatype that the store supports.
            index: the store's own index parameters; empty for its defaults.

        Raises:
            UnsupportedError: the store lacks this quantization.
        """

    def of_parts(
        self,
        mapped: Mapped,
        components: tuple[Component, ...],
        native: Mapping[str, Any] | None = None,
        notes: tuple[str, ...] | None = None,
    ) -> Footprint:
        """The footprint of a mapped quantization.

        Args:
            native: the configuration; None for that of ``mapped``.
            notes: None for ``note``.
        """
        if notes is None:
            notes = (self.note,) if self.note else ()
        return Footprint.of(
            self.store,
            mapped.target,
            components,
            native=mapped.native if native is None else native,
            differences=mapped.match.differences,
            notes=notes,
        )

    def as_configured(self, vector: VectorInfo) -> Footprint:
        """The footprint of a live vector with its current index."""
        return self.footprint(vector.count, vector.vector, vector.quantization, vector.index)

    def compared(self, setting: Quantization) -> Quantization:
        """The setting to use for a comparison with other stores."""
        return setting


class TableCost(CostModel):
    """A store with vectors and codes in tables on disk and no index: nothing stays in RAM.

    Args:
        store: the store name.
        mapping: as ``StoreProfile.mapping``.
    """

    def __init__(self, store: str, mapping: Callable[[Quantization, Vector], Mapped]) -> None:
        self.store = store
        self._mapping = mapping

    def footprint(
        self, count: int, vector: Vector, quantization: Quantization, index: Mapping[str, Any]
    ) -> Footprint:
        mapped = supported(self._mapping(quantization, vector))
        each = 0
        if mapped.target.kind is not Kind.NONE:
            each = mapped.target.code_bytes(vector.dim)
        size = original_bytes(count, vector)
        components = (
            Component("codes", 0, count * each, f"{each} B per row", "the column of codes"),
            Component("originals", 0, size, vector.datatype, "the column of vectors"),
        )
        return self.of_parts(mapped, components, native={})
