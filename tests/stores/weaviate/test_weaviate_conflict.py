"""Two clients update the schema of one collection: only one quantizer is enabled."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np
import pytest

from qadapt.errors import PlanStaleError
from qadapt.model import Batch, Metric, Quantization, Vector
from qadapt.stores.base import Progress, silent
from qadapt.stores.change import ChangeRequest
from qadapt.stores.weaviate import aliases
from qadapt.stores.weaviate.store import WeaviateStore


def _filled(store: WeaviateStore, name: str) -> None:
    rows = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    store.create(name, {"": Vector(8, Metric.COSINE)}, {})
    store.write(name, Batch([str(uuid.UUID(int=row)) for row in range(200)], {"": rows}))


def _request(store: WeaviateStore, name: str, text: str) -> Any:
    (step,) = store.plan_change(ChangeRequest(store.inspect(name), "", Quantization.of(text))).steps
    return step.request


def test_a_quantizer_does_not_replace_another(store: WeaviateStore, name: str) -> None:
    """Weaviate would answer 200, keep the first codes, and lose the shard at a restart."""
    _filled(store, name)
    late = _request(store, name, "rotational:bits=8")
    store.run(name, _request(store, name, "binary"), silent, 30)
    with pytest.raises(PlanStaleError, match="it now has BQ"):
        store.run(name, late, silent, 30)
    assert store.info(name).vectors[""].quantization.kind == "binary"


def test_one_of_two_concurrent_changes_wins(store: WeaviateStore, name: str) -> None:
    _filled(store, name)
    requests = [_request(store, name, text) for text in ("binary", "rotational:bits=8")]
    barrier = Barrier(2)

    def change(request: Any) -> str:
        barrier.wait()
        try:
            store.run(name, request, silent, 30)
        except PlanStaleError:
            return "stale"
        return "done"

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(change, requests))
    assert sorted(found) == ["done", "stale"]
    kind = ("binary", "rotational")[found.index("done")]
    vector = store.info(name).vectors[""]
    assert (vector.quantization.kind, vector.status.state) == (kind, "active")
    assert aliases.alias_of(name) not in store.aliases()


def test_the_claim_of_a_killed_process_is_removed(
    store: WeaviateStore, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _filled(store, name)
    store.switch_alias(aliases.alias_of(name), name)
    monkeypatch.setattr(aliases, "ABANDONED", 0.2)
    reported: list[Progress] = []
    store.run(name, _request(store, name, "binary"), reported.append, 30)
    assert any("claim of a killed process" in each.stage for each in reported)
    assert aliases.alias_of(name) not in store.aliases()
    assert store.info(name).vectors[""].status.state == "active"
