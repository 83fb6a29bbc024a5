"""The part of a store that plans are made and carried out with."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

from qadapt.model import CollectionInfo
from qadapt.stores import operations
from qadapt.stores.change import ChangePlan, ChangeRequest, Inspection
from qadapt.stores.operations import Execution, Operation, Operations
from qadapt.stores.polling import Deadline
from qadapt.stores.snapshots import SnapshotCache
from qadapt.stores.store_types import OnProgress


class Changeable(abc.ABC):
    """A store whose vectors can be changed.

    Attributes:
        operations: those that its plans consist of, by name.
        snapshots: what was last read of each collection.
    """

    operations: ClassVar[Operations] = {}
    snapshots: SnapshotCache[Any]

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The store's name in addresses and tables."""

    @abc.abstractmethod
    def info(self, collection: str) -> CollectionInfo:
        """What the collection is, as configured and as seen.

        Raises:
            NotFoundError
        """

    def inspect(self, collection: str) -> Inspection:
        """``info`` with the snapshot that it was derived from, for ``plan_change``.

        Raises:
            NotFoundError
        """
        return Inspection(self.info(collection))

    @abc.abstractmethod
    def plan_change(self, request: ChangeRequest) -> ChangePlan:
        """How the store makes a change, from what ``request.inspection`` shows.

        Raises:
            UnsupportedError: the store or this collection has no way to it, or not by this
                strategy.
            TooFewRowsError: the engine builds no codes of so few rows; see
                ``ChangeRequest.without_codes``.
        """

    def operation(self, request: Mapping[str, Any]) -> Operation:
        """The operation of a step's request.

        Raises:
            SpecError: unknown to this store, or malformed.
        """
        return operations.read(request, self.operations, self.name)

    def run(
        self, collection: str, request: Mapping[str, Any], progress: OnProgress, timeout: float
    ) -> None:
        """Carry out one request of a step, to its end; doing it twice does the same as once.

        Raises:
            SpecError: as ``operation``; nothing was touched.
            StoreTimeoutError: not done after ``timeout`` seconds.
            StoreError: the engine refused.
        """
        operation = self.operation(request)
        self.forget(collection)
        try:
            operation.run(Execution(self, collection, progress, Deadline(timeout)))
        finally:
            self.forget(collection)

    def forget(self, collection: str) -> None:
        """Drop what was read of a collection, which is about to change or was changed."""
        self.snapshots.forget(collection)
