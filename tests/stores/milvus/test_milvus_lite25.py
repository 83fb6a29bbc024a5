"""Milvus Lite 2.5, a different implementation than Lite 3, with sign bits in a second field.

Needs a separate environment: ``make test-milvus-lite25``.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import pytest
from milvus_helpers import NAME, K, recall

from qadapt.errors import UnsupportedError
from qadapt.local.state import VectorSettings
from qadapt.model import Batch, Kind, Quantization, Rescore, State, Vector
from qadapt.model.address import Address
from qadapt.planning.planner import make_plan
from qadapt.search import search as rescored
from qadapt.stores.base import SearchRequest
from qadapt.stores.change import ChangeRequest
from qadapt.stores.milvus.store import MilvusStore
from qadapt.testing.data import Sample

BITS = Quantization.parse('binary:native={"index_type":"BIN_FLAT"}')


@pytest.fixture
def lite25(tmp_path: Path) -> Iterator[MilvusStore]:
    """An empty file."""
    try:
        version = importlib.metadata.version("milvus-lite")
    except importlib.metadata.PackageNotFoundError:
        version = "none"
    if not version.startswith("2.5"):
        pytest.skip(f"needs the environment of `make test-milvus-lite25`; here is {version}")
    opened = MilvusStore.open(Address("milvus", None, str(tmp_path / "test.db")))
    yield opened
    opened.close()


def test_lite25_supports_sign_bits_in_a_second_field(lite25: MilvusStore, sample: Sample) -> None:
    """Pattern a, live: the fields that a server has from 2.4."""
    assert lite25.server().version == importlib.metadata.version("milvus-lite")
    lite25.create(NAME, {"": Vector(64)}, {"": BITS})
    payloads = [{"group": row % 7} for row in range(2000)]
    lite25.write(NAME, Batch(range(2000), {"": sample.rows}, payloads))
    vector = lite25.info(NAME).vectors[""]
    assert (vector.quantization.kind, vector.status.state) == (Kind.BINARY, State.ACTIVE)
    bits = recall(lite25, sample.queries, sample.rows)
    assert 0.1 < bits < 0.6
    found = {}
    for factor in (4, 30):
        wanted = SearchRequest(k=K, rescore=Rescore(factor))
        hits = rescored(lite25, NAME, sample.queries, wanted, vector.vector, VectorSettings())
        right = zip(hits.ids.tolist(), sample.truth.tolist(), strict=True)
        found[factor] = sum(len(set(a) & set(b)) for a, b in right) / sample.truth.size
    assert bits < found[4] < found[30]
    assert found[30] > 0.85
    hits = lite25.search(NAME, sample.queries[:3], SearchRequest(k=5, filter={"group": 3}))
    assert all(key % 7 == 3 for key in hits.ids.ravel())
    assert hits.how.scores == "approximate"


def test_lite25_refuses_unsupported_changes(lite25: MilvusStore, sample: Sample) -> None:
    lite25.create(NAME, {"": Vector(64)}, {})
    lite25.write(NAME, Batch(range(50), {"": sample.rows[:50]}))
    inspected = lite25.inspect(NAME)
    with pytest.raises(UnsupportedError, match="existing collection"):
        lite25.plan_change(ChangeRequest(inspected, "", BITS))
    for text in ("scalar", "product", "binary", "float16"):
        with pytest.raises(UnsupportedError):
            lite25.plan_change(ChangeRequest(inspected, "", Quantization.parse(text)))
    with pytest.raises(UnsupportedError, match="not an alias"):
        lite25.plan_change(ChangeRequest(inspected, "", BITS, strategy="alias"))
    with pytest.raises(UnsupportedError):
        lite25.switch_alias("other", NAME)


def test_lite25_has_no_aliases(lite25: MilvusStore) -> None:
    """``create_alias`` is not implemented, so nothing offers a copy and a switch."""
    lite25.create(NAME, {"": Vector(64)}, {})
    assert (lite25.traits.aliases, lite25.traits.recreates) == (False, False)
    assert MilvusStore.profile.traits.aliases
    with pytest.raises(UnsupportedError, match="alias"):
        lite25.switch_alias("live", NAME)
    with pytest.raises(UnsupportedError, match="no aliases") as refused:
        make_plan(lite25, NAME, "none:dims=32")
    assert "qadapt migrate" in str(refused.value.hint)
