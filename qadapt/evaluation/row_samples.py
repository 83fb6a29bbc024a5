"""Samples of rows that the parts of one measurement share.

Queries, the rows of a simulation and the rows of the reachability check are uniform samples. They
are drawn from one list of ids, and their vectors are kept while the ground truth reads all rows, so
that none of them is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import compress

from qadapt.evaluation.subsets import Subset
from qadapt.model import Batch, Id
from qadapt.stores.base import Store
from qadapt.stores.sampling import check_size

FETCHED = 1_000  # rows per fetch request
MOST_KEPT = 2  # kept rows for each row that is among the best


class SubsetSample:
    """Uniform samples of the rows of a subset, of up to ``most`` rows each.

    A smaller sample is the beginning of a larger one.

    Args:
        name: name of the vector.
        most: rows of the largest sample that will be needed.
        seed: random seed.
    """

    def __init__(self, store: Store, subset: Subset, name: str, most: int, seed: int) -> None:
        self._store, self._subset, self._name = store, subset, name
        self._most, self._seed = most, seed
        self._listed: list[Id] | None = None
        self._wanted: frozenset[Id] = frozenset()
        self._pages: list[Batch] = []  # kept rows, in the order of reading
        self._read = 0
        self._near: list[Batch] = []  # kept rows that were among the best of a query

    def ids(self, n: int) -> list[Id]:
        """The ids of ``n`` rows; all of them if there are fewer.

        Raises:
            InputError: ``n`` is below 1.
        """
        check_size(n)
        if self._listed is None or n > self._most:
            self._most = max(n, self._most)
            self._listed = self._store.sample_ids(
                self._subset.collection, self._most, seed=self._seed, filter=self._subset.filter
            )
            self._wanted = frozenset(self._listed)
        return self._listed[:n]

    def keep(self, page: Batch, best: Collection[Id] = ()) -> None:
        """Keep the sampled rows of a page of a read that has the vector.

        Args:
            best: ids of the best rows of all queries so far, which are kept too.
        """
        self.ids(self._most)
        self._read += len(page)
        sampled = compress(range(len(page)), map(self._wanted.__contains__, page.ids))
        if places := list(sampled):
            self._pages.append(page.take(places))
        if places := [at for at, key in enumerate(page.ids) if key in best]:
            self._near.append(page.take(places))
        if sum(map(len, self._near)) > MOST_KEPT * len(best):
            self._near = [_of_ids(Batch.concat(self._near), best)]

    def near(self, ids: Sequence[Id], read: Callable[[int], None]) -> Batch:
        """Rows by id, in this order; those that were kept are not read again.

        Args:
            read: called with the number of rows after each request.
        """
        kept = [each for each in (*self._near, self._kept()) if len(each)]
        known = {key for each in kept for key in each.ids}
        rest = [key for key in ids if key not in known]
        for start in range(0, len(rest), FETCHED):
            kept.append(self._fetch(rest[start : start + FETCHED]))
            read(len(ids) - len(rest) + min(start + FETCHED, len(rest)))
        return _of_ids(Batch.concat(kept), ids)

    def rows(self, n: int) -> Batch:
        """A sample of ``n`` rows with the vector, in random order; rows deleted since are omitted.

        Rows that were kept are not read again.
        """
        wanted = self.ids(n)
        kept = self._kept()
        places = {key: at for at, key in enumerate(kept.ids)}
        rest = [key for key in wanted if key not in places]
        if rest or not wanted:
            more = self._fetch(rest)
            kept = Batch.concat([kept, more]) if len(kept) else more
            places = {key: at for at, key in enumerate(kept.ids)}
        return kept.take([places[key] for key in wanted if key in places])

    def every_row(self) -> Batch | None:
        """All rows, in the order of reading; None if they were not all read, or are too many."""
        if self._listed is None or len(self._listed) >= self._most:
            return None  # there may be more rows than the sample has
        kept = self._kept()
        return kept if len(kept) == self._read == len(self._listed) else None

    def _kept(self) -> Batch:
        if len(self._pages) > 1:
            self._pages = [Batch.concat(self._pages)]
        return self._pages[0] if self._pages else Batch([], {})

    def _fetch(self, ids: Sequence[Id]) -> Batch:
        return self._store.fetch(self._subset.collection, ids, vectors=[self._name], payload=False)


def _of_ids(rows: Batch, ids: Collection[Id]) -> Batch:
    """The rows with these ids, in this order."""
    places = {key: at for at, key in enumerate(rows.ids)}
    return rows.take([places[key] for key in ids if key in places])


class RowSamples:
    """The samples of each subset of a measurement; see ``SubsetSample``."""

    def __init__(self, store: Store, name: str, most: int, seed: int) -> None:
        self._store, self._name, self._most, self._seed = store, name, most, seed
        self._known: dict[tuple[str, str], SubsetSample] = {}

    def of(self, subset: Subset) -> SubsetSample:
        """The samples of a subset."""
        key = (subset.collection, subset.label if subset.filter is not None else "")
        if key not in self._known:
            self._known[key] = SubsetSample(self._store, subset, self._name, self._most, self._seed)
        return self._known[key]
