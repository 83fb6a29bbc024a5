"""Conformance of scan ranges and of aliases."""

from __future__ import annotations

import json

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import AlreadyExistsError, NotFoundError, UnsupportedError
from qadapt.testing.suite import Suite


class ScanRangeTests(Suite):
    """Parallel and resumed reads."""

    count = 1200

    def _numbered(self, database: Database) -> Collection:
        rows = np.random.default_rng(5).standard_normal((self.count, 8)).astype(np.float32)
        collection = database.create(self.name, dim=8, metric=self.metric)
        collection.write(qa.Batch(self.keys(self.count), {"": rows}))
        return collection

    @pytest.mark.parametrize("n", [1, 4])
    def test_scan_ranges_cover_all_rows_once(self, database: Database, n: int) -> None:
        collection = self._numbered(database)
        scan_ranges = json.loads(
            json.dumps([dict(scan_range) for scan_range in collection.scan_ranges(n)])
        )
        assert scan_ranges
        found = [
            key
            for scan_range in scan_ranges
            for page in collection.read(scan_range=scan_range, vectors=(), payload=False)
            for key in page.ids
        ]
        assert len(found) == self.count
        assert sorted(map(self.number, found)) == list(range(self.count))

    def test_an_interrupted_read_continues(self, database: Database) -> None:
        collection = self._numbered(database)
        whole = [key for page in collection.read(page=100, vectors=()) for key in page.ids]
        first = next(iter(collection.read(page=100)))
        assert first.ids == whole[:100]
        for after in (whole[99], whole[0], whole[-2]):
            rest = [key for page in collection.read(page=100, after=after) for key in page.ids]
            assert rest == whole[whole.index(after) + 1 :]
        assert list(collection.read(after=whole[-1])) == []

    def test_a_read_continues_after_a_deleted_row(self, database: Database) -> None:
        collection = self._numbered(database)
        whole = [key for page in collection.read(vectors=()) for key in page.ids]
        collection.delete([whole[50]])
        rest = [key for page in collection.read(after=whole[50], vectors=()) for key in page.ids]
        assert rest == whole[51:]

    def test_an_interrupted_scan_range_continues(self, database: Database) -> None:
        collection = self._numbered(database)
        for scan_range in collection.scan_ranges(3):
            pages = collection.read(scan_range=scan_range, vectors=())
            whole = [key for page in pages for key in page.ids]
            if len(whole) < 2:
                continue
            middle = len(whole) // 2
            pages = collection.read(scan_range=scan_range, after=whole[middle], vectors=())
            assert [key for page in pages for key in page.ids] == whole[middle + 1 :]


class AliasTests(Suite):
    """Aliases, or their rejection by a store without them."""

    def test_an_alias_is_created_moved_and_dropped(self, database: Database) -> None:
        alias = f"{self.name}_alias"
        one = database.create(self.name, dim=4, metric=self.metric)
        one.write(qa.Batch(self.keys(1), {"": np.ones((1, 4))}))
        two = database.create(self.other, dim=4, metric=self.metric)
        two.write(qa.Batch(self.keys(2), {"": np.ones((2, 4))}))
        try:
            database.switch_alias(alias, self.name)
        except UnsupportedError:
            assert not database.aliases()
            return
        try:
            assert database.aliases()[alias] == self.name
            assert database[alias].count() == 1
            database.switch_alias(alias, self.other)
            assert database.aliases()[alias] == self.other
            assert database[alias].count() == 2
            with pytest.raises(NotFoundError):
                database.switch_alias(alias, f"{self.name}_none")
            with pytest.raises(AlreadyExistsError):
                database.switch_alias(self.name, self.other)
            assert database.aliases()[alias] == self.other
        finally:
            database.drop_alias(alias)
        assert alias not in database.aliases()
        assert one.count() == 1
        assert two.count() == 2
        with pytest.raises(NotFoundError):
            database.drop_alias(alias)
