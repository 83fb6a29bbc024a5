"""What one vector of a collection holds in RAM and on disk, part by part."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qadapt.errors import UnsupportedError
from qadapt.model import Kind, MatchLevel, Quantization, Serializable, Vector, VectorInfo

# Bytes of one dimension of the originals.
WIDTH: Mapping[str, float] = {
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "uint8": 1,
    "int8": 1,
    "turbo4": 0.5,
    "turbo8": 1,
    "turbo16": 2,
}


@dataclass(frozen=True)
class Component(Serializable):
    """One part of what a vector holds.

    Attributes:
        name: codes, originals, graph, lists, ids.
        ram, disk: bytes.
        formula: how they were worked out, in words; "as seen" where the store told them.
        source: where the formula is from.
    """

    name: str
    ram: int
    disk: int
    formula: str
    source: str


@dataclass(frozen=True)
class Footprint(Serializable):
    """What one vector of a collection holds.

    Payloads, their indexes, and what an engine needs while it builds are not counted.

    Attributes:
        store: its name.
        target: the quantization that the store makes of what was asked.
        ram, disk: bytes of all parts.
        components: one by one.
        native: the store's own setting.
        differences: how it differs from what was asked, in words.
        notes: what a reader must know.
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
        """With the sums of its parts; parts that hold nothing are left out."""
        kept = tuple(part for part in components if part.ram or part.disk)
        ram, disk = sum(part.ram for part in kept), sum(part.disk for part in kept)
        return cls(store, target, ram, disk, kept, native or {}, differences, notes)


def original_bytes(count: int, vector: Vector) -> int:
    """Bytes of ``count`` originals, without padding."""
    return round(count * vector.dim * WIDTH[vector.datatype])


def centroids(dim: int, quantization: Quantization, source: str) -> Component:
    """The 256 centroids of product codes, float32 for each dimension; nothing for other kinds."""
    size = 1024 * dim if quantization.kind is Kind.PRODUCT else 0
    return Component("centroids", size, size, "256 centroids of float32", source)


class CostModel(abc.ABC):
    """What a vector of one store holds in RAM and on disk.

    Attributes:
        store: the name that its footprints carry.
        note: what a reader of a comparison with other stores must know; empty for nothing.
    """

    store: str
    note: str = ""

    @abc.abstractmethod
    def footprint(
        self, count: int, vector: Vector, quantization: Quantization, index: Mapping[str, Any]
    ) -> Footprint:
        """Of ``count`` rows of one vector, the index included.

        Args:
            vector: of a datatype that the store has.
            index: the store's own index parameters; empty for its defaults.

        Raises:
            UnsupportedError: the store does not have that kind.
        """

    def as_configured(self, vector: VectorInfo) -> Footprint:
        """Of a live vector, by the index that it has."""
        return self.footprint(vector.count, vector.vector, vector.quantization, vector.index)

    def compared(self, setting: Quantization) -> Quantization:
        """A setting as it is shown in a comparison with other stores."""
        return setting


class TableCost(CostModel):
    """A store that keeps vectors and codes in tables on disk, without an index, and reads them in
    pages: nothing stays in RAM.

    Args:
        store: its name.
        mapping: a quantization in the store's terms: ``target`` and ``match`` of the result.
    """

    def __init__(self, store: str, mapping: Callable[[Quantization, Vector], Any]) -> None:
        self.store = store
        self._mapping = mapping

    def footprint(
        self, count: int, vector: Vector, quantization: Quantization, index: Mapping[str, Any]
    ) -> Footprint:
        mapped = self._mapping(quantization, vector)
        if mapped.match.level is MatchLevel.UNSUPPORTED:
            raise UnsupportedError("; ".join(mapped.match.differences))
        each = 0
        if mapped.target.kind is not Kind.NONE:
            each = mapped.target.code_bytes(vector.dim)
        size = original_bytes(count, vector)
        components = (
            Component("codes", 0, count * each, f"{each} B a row", "the column of codes"),
            Component("originals", 0, size, vector.datatype, "the column of vectors"),
        )
        return Footprint.of(
            self.store, mapped.target, components, differences=mapped.match.differences
        )
