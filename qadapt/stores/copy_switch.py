"""Changing what is fixed at creation: a copy of the collection, and an alias that is moved to it.

The steps are the same in each store: create the copy, load its rows, compare it with the source,
wait for its index, move the alias. What an interrupted change did is found and finished. The source
stays, so that the way back is to move the alias again.
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

STOP_WRITING = "stop writing to it, then apply again"


@dataclass(frozen=True)
class CopyAndSwitch(Operation):
    """Makes a copy of a collection in which something differs, and moves an alias to it.

    Attributes:
        alias: the name that readers and writers use.
        source: the collection that it points to before.
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
        """Create the copy, unless it is there.

        Raises:
            StoreError: another collection has its name.
        """

    @abc.abstractmethod
    def load(self, at: Execution[Any]) -> None:
        """Copy the rows that the copy does not have."""

    @abc.abstractmethod
    def compare(self, at: Execution[Any]) -> None:
        """Compare the copy with the source.

        Raises:
            StoreError: they differ.
        """

    def build(self, at: Execution[Any]) -> None:
        """Wait for what the engine builds of the copy."""
        return

    @abc.abstractmethod
    def switch(self, at: Execution[Any]) -> None:
        """Move the alias, unless it is there."""


def copy_pages(
    pages: Iterable[P], send: Callable[[P], int], total: int, target: str, wait: Wait
) -> None:
    """Send pages of rows until the deadline.

    Args:
        send: writes a page, and returns how many rows of the source it was.
        total: rows of the source.

    Raises:
        StoreTimeoutError: what was sent stays.
    """
    done = 0
    for page in pages:
        if wait.deadline.passed:
            raise StoreTimeoutError(
                f"{done:,} of {total:,} rows are copied to {target!r}", hint="apply again goes on"
            )
        done += send(page)
        wait.progress(Progress(f"copying to {target!r}", done, total))


def compare_counts(ours: int, theirs: int, target: str, source: str, where: str = "") -> None:
    """Compare how many rows a copy and its source have.

    Args:
        where: such as ``" of the tenant 'red'"``.

    Raises:
        StoreError
    """
    if ours != theirs:
        raise StoreError(
            f"the copy {target!r} has {ours:,} rows{where} and {source!r} {theirs:,}: the alias "
            "was not switched",
            hint=STOP_WRITING,
        )
