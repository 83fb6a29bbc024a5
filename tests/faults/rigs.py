"""A collection for fault tests, operations during a fault, and checks afterwards."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

import qadapt as qa
from qadapt.errors import QadaptError
from qadapt.model import Hits
from qadapt.testing import Sample, clustered

Result = TypeVar("Result")
ROWS, DIM = 3000, 64
PATIENCE = 90.0  # in which a restarted engine must recover


class Rig:
    """A collection of ROWS rows on an engine, and three operations on it.

    Attributes:
        database, collection: on a connection that survives the fault.
        sample: its rows, queries and truth.
    """

    def __init__(self, url: str, timeout: float = 60) -> None:
        mark = "&" if "?" in url else "?"
        self.url = f"{url}{mark}timeout={timeout:g}"
        self.database = qa.open(self.url)
        self.sample: Sample = clustered(ROWS, DIM, queries=20)
        # Weaviate starts names with a capital letter, Elasticsearch has no capital letters.
        word = "Faults" if url.startswith("weaviate") else "faults"
        self.name = f"{word}{uuid.uuid4().hex[:8]}"
        self.collection = self.database.create(self.name, dim=DIM, metric="cosine")
        self.collection.write(self.batch(0, ROWS))

    def batch(self, begin: int, end: int) -> qa.Batch:
        """These rows; the ones behind ROWS are the first again."""
        rows = self.sample.rows[np.arange(begin, end) % ROWS]
        return qa.Batch([self.key(row) for row in range(begin, end)], {"": rows})

    def key(self, row: int) -> str:
        """The id of a row, one that every store takes."""
        return f"00000000-0000-4000-8000-{row + 1:012x}"

    # -- operations -------------------------------------------------------------------------

    def search(self) -> Hits:
        """An exact search; all of its results are asserted."""
        hits = self.collection.search(self.sample.queries, k=10, exact=True)
        expected = [[self.key(row) for row in found] for found in self.sample.truth.tolist()]
        assert hits.ids.tolist() == expected
        return hits

    def write(self) -> None:
        """Write ROWS more rows."""
        self.collection.write(self.batch(ROWS, 2 * ROWS))

    def apply(self, progress: Any = None) -> None:
        """Scalar codes."""
        self.collection.plan("scalar").apply(yes=True, timeout=300, progress=progress)

    # -- checks afterwards ------------------------------------------------------------

    def rows_are_whole(self, end: int) -> int:
        """Check the existing rows before ``end``; returns their number."""
        there = self.collection.fetch([self.key(row) for row in range(end)])
        numbers = [int(key.rpartition("-")[2], 16) - 1 for key in map(str, there.ids)]
        expected = self.sample.rows[np.array(numbers) % ROWS]
        np.testing.assert_allclose(there.vectors[""], expected, atol=1e-6)
        return len(numbers)

    def scalar_is_active(self) -> None:
        """Check that the codes are active and searches work."""
        vector = self.collection.info().vectors[""]
        assert vector.status.state is qa.State.ACTIVE, vector.status
        assert vector.quantization.kind is not qa.Kind.NONE
        self.search()

    def close(self) -> None:
        """Drop the collections."""
        for name in self.database.collections():
            # The copy of a change is dropped with the alias of it.
            if name.startswith(self.name) and name in self.database:
                self.database.drop(name)
        self.database.close()


def attempt(action: Callable[[], object]) -> QadaptError | None:
    """Return the qadapt error that it ended with; any other error fails the test."""
    try:
        action()
    except QadaptError as error:
        assert error.message.strip()
        return error
    return None


def eventually(action: Callable[[], Result]) -> Result:
    """Return its result within PATIENCE; qadapt errors are retried until then."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return action()
        except QadaptError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def during(action: Callable[[], object], fault: Callable[[], object], after: float) -> Any:
    """``attempt(action)`` while the fault happens ``after`` seconds from now."""
    timer = threading.Timer(after, fault)
    timer.start()
    try:
        return attempt(action)
    finally:
        timer.join()
