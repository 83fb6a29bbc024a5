"""Changing what is fixed at creation: a copy of the collection and an alias switch.

The steps are the same in each store: create the copy, load its rows, compare it with the source,
wait for its index, move the alias. An interrupted change is continued. The source is kept, so that
moving the alias back undoes the change.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from qadapt.errors import StoreError, StoreTimeoutError
from qadapt.stores.operations import Execution, Operation
from qadapt.stores.polling import Wait
from qadapt.stores.store_types import Progress

P = TypeVar("P")

STOP_WRITING = "stop writes to the source, then run `qadapt apply` again"


@dataclass(frozen=True)
class CopyAndSwitch(Operation):
    """Copies a collection with changed settings and moves an alias to the copy.

    Attributes:
        alias: the name that readers and writers use.
        source: the collection that the alias points to before.
        target: the copy.
    """

    keys: ClassVar[Mapping[str, str]] = {"source": "from", "target": "to"}

    alias: str
    source: str
    target: str

    def run(self, at: Execution[Any]) -> None:
        if self.current(at) != self.target:
            self.create(at)
            self.load(at)
            self.compare(at)
            self.build(at)
        self.switch(at)

    @abc.abstractmethod
    def current(self, at: Execution[Any]) -> str | None:
        """The collection that the alias points to."""

    @abc.abstractmethod
    def create(self, at: Execution[Any]) -> None:
        """Create the copy unless it exists.

        Raises:
            StoreError: another collection has its name.
        """

    @abc.abstractmethod
    def load(self, at: Execution[Any]) -> None:
        """Copy the rows that the copy does not have yet."""

    @abc.abstractmethod
    def compare(self, at: Execution[Any]) -> None:
        """Compare the copy with the source.

        Raises:
            StoreError: they differ.
        """

    def build(self, at: Execution[Any]) -> None:
        """Wait for the engine's builds of the copy."""
        return

    @abc.abstractmethod
    def switch(self, at: Execution[Any]) -> None:
        """Move the alias unless it already points to the copy."""


def copy_pages(
    pages: Iterable[P], send: Callable[[P], int], total: int, target: str, wait: Wait
) -> None:
    """Send pages of rows until the deadline.

    Args:
        send: writes a page and returns the number of source rows in it.
        total: number of rows of the source.

    Raises:
        StoreTimeoutError: the rows sent so far are kept.
    """
    done = 0
    for page in pages:
        if wait.deadline.passed:
            raise StoreTimeoutError(
                f"{done:,} of {total:,} rows copied to {target!r}",
                hint=("run `qadapt apply` again to continue"),
            )
        done += send(page)
        wait.progress(Progress(f"copying to {target!r}", done, total))


def compare_counts(ours: int, theirs: int, target: str, source: str, where: str = "") -> None:
    """Compare the row counts of a copy and its source.

    Args:
        where: such as ``" of the tenant 'red'"``.

    Raises:
        StoreError
    """
    if ours != theirs:
        raise StoreError(
            f"the copy {target!r} has {ours:,} rows{where}, but {source!r} has {theirs:,}: the "
            "alias was not switched",
            hint=STOP_WRITING,
        )
