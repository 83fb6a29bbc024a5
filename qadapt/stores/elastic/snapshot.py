"""What the server reports about one index, read once."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from qadapt.model import CollectionInfo, Server, VectorInfo
from qadapt.stores.elastic.schema import Index

Seen = TypeVar("Seen")


@dataclass(frozen=True)
class Snapshot(abc.ABC, Generic[Seen]):
    """An index, its row count, and the observations of its vectors by name."""

    index: Index
    count: int
    observations: Mapping[str, Seen]

    @property
    @abc.abstractmethod
    def config(self) -> dict[str, Any]:
        """Fields and settings of the index in the server's terms."""

    @abc.abstractmethod
    def vector_info(self, name: str) -> VectorInfo:
        """A vector in common terms."""

    def info(self, server: Server) -> CollectionInfo:
        """The collection in common terms."""
        index = self.index
        vectors = {name: self.vector_info(name) for name in index.vectors}
        notes = tuple(f"the field {path!r} {why}" for path, why in index.others.items())
        return CollectionInfo(index.name, self.count, vectors, server, self.config, notes=notes)
