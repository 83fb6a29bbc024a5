"""The conformance suite on the embedded Qdrant engine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import qadapt as qa
from qadapt.api import Database
from qadapt.stores.qdrant.edge.connection import version
from qadapt.stores.qdrant.edge.store import EdgeStore
from qadapt.testing import StoreConformance

WIDTHS = ("1", "1.5", "2", "4", "8")


def rotational() -> Iterator[str]:
    """The settings of the installed version: rotational from 0.7, with 8 bits from 0.9."""
    can = EdgeStore.profile.declared_capabilities(version())
    for bits in WIDTHS:
        if can.native(f"native-rotational:{bits}"):
            yield f"rotational:bits={bits}"


class TestEdge(StoreConformance):
    """qdrant-edge-py 0.6 and newer."""

    rows = 1000
    must_support = (
        "scalar",
        "product:ratio=4",
        "product:ratio=16",
        "product:ratio=64",
        *rotational(),
        "binary",
        "binary:bits=1.5",
        "binary:bits=2",
        "binary:query_bits=4",
        "binary:query_bits=8",
    )

    @pytest.fixture
    def database(self, live: Callable[[str], str]) -> Iterator[Database]:
        """An empty folder."""
        with qa.open(live("edge")) as database:
            yield database


# -- the suite can fail --------------------------------------------------------------------------

# The same engine in stores that each violate one requirement.
BROKEN = """
import dataclasses
import pytest
import qadapt as qa
from qadapt.stores.qdrant.edge.store import EdgeStore
from qadapt.testing import StoreConformance

class Broken(StoreConformance):
    rows = 600
    dim = 48
    must_support = ("scalar", "binary")

    @pytest.fixture
    def database(self, tmp_path, monkeypatch):
        self.sabotage(monkeypatch)
        with qa.open(f"edge:{tmp_path / 'edge'}") as database:
            yield database

def wrapped(name, change):
    def sabotage(self, monkeypatch):
        whole = getattr(EdgeStore, name)
        monkeypatch.setattr(EdgeStore, name, lambda *a, **k: change(whole, *a, **k))
    return sabotage

def floats_called_codes(whole, store, name, queries, search):
    told = whole(store, name, queries, search).how
    found = whole(store, name, queries, dataclasses.replace(search, exact=True))
    return qa.Hits(found.ids, found.scores, told, found.payloads)

def codes_called_exact(whole, store, name, queries, search):
    off = dataclasses.replace(search, rescore=qa.Rescore(source="off"))
    told = whole(store, name, queries, search).how
    found = whole(store, name, queries, search if search.exact else off)
    return qa.Hits(found.ids, found.scores, told, found.payloads)

def deaf_to_filters(whole, store, name, queries, search):
    return whole(store, name, queries, dataclasses.replace(search, filter=None))

def one_row_short(whole, *args, **how):
    for page in whole(*args, **how):
        yield page.rows(1, len(page))

def unsupported(whole, store, quantization, vector):
    if quantization.kind is qa.Kind.SCALAR:
        none = qa.model.Match.unsupported("no scalar", "binary")
        return qa.stores.base.MappedQuantization(None, quantization, none)
    return whole(store, quantization, vector)

def forgets_payloads(whole, store, name, batch):
    whole(store, name, qa.Batch(batch.ids, batch.vectors))

class TestFloatsCalledCodes(Broken):
    sabotage = wrapped("search", floats_called_codes)

class TestCodesCalledExact(Broken):
    sabotage = wrapped("search", codes_called_exact)

class TestDeafToFilters(Broken):
    sabotage = wrapped("search", deaf_to_filters)

class TestOneRowShort(Broken):
    sabotage = wrapped("read", one_row_short)

class TestUnsupported(Broken):
    sabotage = wrapped("map", unsupported)

class TestForgetsPayloads(Broken):
    sabotage = wrapped("write", forgets_payloads)

class TestDeletesNothing(Broken):
    sabotage = wrapped("delete", lambda *_: None)
"""
CAUGHT = {
    "TestFloatsCalledCodes": "test_every_setting_is_verified_active_or_refused[binary]",
    "TestCodesCalledExact": "test_every_setting_is_verified_active_or_refused[scalar]",
    "TestDeafToFilters": "test_filters[{'group': 3}-]",
    "TestOneRowShort": "test_many_rows_in_pages",
    "TestUnsupported": "test_every_setting_is_verified_active_or_refused[scalar]",
    "TestForgetsPayloads": "test_payloads_are_returned",
    "TestDeletesNothing": "test_deleting_removes_rows_and_ignores_unknown_ids",
}


def test_the_suite_detects_a_store_that_breaks_the_contract(
    live: Callable[[str], str], tmp_path: Path
) -> None:
    live("edge")
    (tmp_path / "test_broken.py").write_text(BROKEN, encoding="utf-8")
    chosen = [f"test_broken.py::{name}::{test}" for name, test in CAUGHT.items()]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=no", "-rA", "-p", "no:cacheprovider", *chosen],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"{len(CAUGHT)} failed" in done.stdout, done.stdout + done.stderr
    assert "passed" not in done.stdout, done.stdout
