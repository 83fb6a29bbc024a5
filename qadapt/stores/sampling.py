"""Uniform random samples of rows, in memory for the sample and one page of ids only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qadapt.errors import InputError
from qadapt.model import Batch, Id
from qadapt.stores.store_types import ALL_ROWS, ReadRequest

IDS = 10_000  # per page


def sample_ids(pages: Iterable[Sequence[Id]], n: int, seed: int) -> list[Id]:
    """A uniform random sample of ``n`` ids, in random order; all ids if there are fewer.

    Each id gets a random number, and the ids with the lowest are kept. Memory holds ``n`` ids and a
    page.
    """
    chance = np.random.default_rng(seed)
    numbers = np.empty(0)
    kept = np.empty(0, dtype=object)
    for page in pages:
        fresh = chance.random(len(page))
        worst = np.inf if len(kept) < n else numbers.max()
        low = np.flatnonzero(fresh < worst)
        if not len(low):
            continue
        ids = np.empty(len(low), dtype=object)
        ids[:] = [page[at] for at in low.tolist()]
        numbers, kept = np.concatenate([numbers, fresh[low]]), np.concatenate([kept, ids])
        if len(kept) > n:
            best = np.argpartition(numbers, n - 1)[:n]
            numbers, kept = numbers[best], kept[best]
    order = np.argsort(numbers)
    found: list[Id] = kept[order].tolist()
    return found


def check_size(n: int) -> None:
    """Check the number of rows of a sample.

    Raises:
        InputError
    """
    if n < 1:
        raise InputError(
            f"the sample size must be at least 1; got {n}",
            hint="pass a number of rows, for example 200",
        )


class Sampled:
    """The part of a store that draws random samples of rows."""

    if TYPE_CHECKING:

        def fetch(
            self,
            collection: str,
            ids: Sequence[Id],
            *,
            vectors: Sequence[str] | None = None,
            payload: bool = True,
        ) -> Batch: ...

        def read(self, collection: str, request: ReadRequest = ALL_ROWS) -> Iterator[Batch]: ...

    def sample(
        self, collection: str, n: int, *, seed: int = 0, vectors: Sequence[str] | None = None
    ) -> Batch:
        """A uniform random sample of ``n`` rows without replacement (all rows if there are
        fewer), in random order."""
        check_size(n)
        return self.fetch(collection, self.sample_ids(collection, n, seed=seed), vectors=vectors)

    def sample_ids(self, collection: str, n: int, *, seed: int = 0, filter: Any = None) -> list[Id]:
        """The ids of a uniform random sample of the rows that match, in random order.

        While the rows do not change, the same seed draws the same ids, and a smaller sample is the
        beginning of a larger one. By default all ids are read in pages. A store overrides this if
        its engine can draw a sample that a seed repeats.
        """
        request = ReadRequest(vectors=(), payload=False, page=IDS, filter=filter)
        return sample_ids((page.ids for page in self.read(collection, request)), n, seed)
