"""Latency is measured at the client: nothing is subtracted."""

from __future__ import annotations

import time

from qadapt.evaluation import latency


def slow(_: int) -> None:
    time.sleep(0.0005)


def test_latency_includes_the_client() -> None:
    """A client slower than the engine once gave a p50 of 0.00 ms."""
    found = latency.warm(slow, 4, 1, client_ms=1000.0, seconds=0.05)
    assert found.p50 >= 0.5
    assert found.p50 <= found.p95 <= found.p99
    assert found.mean >= 0.5
    assert found.client_ms == 1000.0


def test_latency_does_not_depend_on_client_ms() -> None:
    cold = latency.cold(slow, 10)
    assert cold.client_ms is None
    assert cold.p50 >= 0.5
    assert cold.queries == 10
