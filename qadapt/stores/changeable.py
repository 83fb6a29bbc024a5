"""The part of a store that creates and executes plans."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

from qadapt.model import CollectionInfo, Quantization, Vector
from qadapt.stores import operations
from qadapt.stores.change import ChangePlan, ChangeRequest, Inspection
from qadapt.stores.operations import Execution, Operation, Operations
from qadapt.stores.polling import Deadline
from qadapt.stores.snapshots import SnapshotCache
from qadapt.stores.store_types import MappedQuantization, OnProgress, require_supported


class Changeable(abc.ABC):
    """A store whose vectors can be changed.

    Attributes:
        operations: the operations of its plans, by name.
        snapshots: the last snapshot of each collection.
    """

    operations: ClassVar[Operations] = {}
    snapshots: SnapshotCache[Any]

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The store's name in addresses and tables."""

    @abc.abstractmethod
    def info(self, collection: str) -> CollectionInfo:
        """The collection, as configured and as verified.

        Raises:
            NotFoundError
        """

    def inspect(self, collection: str) -> Inspection:
        """``info`` with the snapshot from which it was derived, for ``plan_change``.

        Raises:
            NotFoundError
        """
        return Inspection(self.info(collection))

    @abc.abstractmethod
    def plan_change(self, request: ChangeRequest) -> ChangePlan:
        """Plan a change of the vector in ``request.inspection``.

        Raises:
            UnsupportedError: the store or this collection does not support the change or the
                strategy.
            TooFewRowsError: the engine builds no codes for so few rows; see
                ``ChangeRequest.without_codes``.
        """

    @abc.abstractmethod
    def map(self, quantization: Quantization, vector: Vector) -> MappedQuantization:
        """Map a quantization to the store's native configuration; no I/O except for the version."""

    def mapped_change(
        self, request: ChangeRequest, vector: Vector, *, dims: int | None = None
    ) -> MappedQuantization | None:
        """The native configuration of a requested quantization; None keeps the existing one.

        Args:
            vector: the vector after the change.
            dims: first dimensions that codes keep; None for all.

        Raises:
            UnsupportedError
        """
        if request.codes is None:
            return None
        asked = request.codes.replace(dims=dims)
        return require_supported(self.map(asked, vector), asked, self.name)

    def operation(self, request: Mapping[str, Any]) -> Operation:
        """The operation of a step's request.

        Raises:
            SpecError: the operation is unknown to this store, or malformed.
        """
        return operations.read(request, self.operations, self.name)

    def run(
        self, collection: str, request: Mapping[str, Any], progress: OnProgress, timeout: float
    ) -> None:
        """Execute one request of a step to its end; idempotent.

        Raises:
            SpecError: as in ``operation``; nothing was changed.
            StoreTimeoutError: not finished after ``timeout`` seconds.
            StoreError: the engine rejected the operation.
        """
        operation = self.operation(request)
        self.forget(collection)
        try:
            operation.run(Execution(self, collection, progress, Deadline(timeout)))
        finally:
            self.forget(collection)

    def forget(self, collection: str) -> None:
        """Discard the snapshot of a collection before or after a change."""
        self.snapshots.forget(collection)
