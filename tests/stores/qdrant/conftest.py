"""Fixtures of the tests of the Qdrant store: no waiting."""

from __future__ import annotations

import pytest

from qadapt.stores import polling


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll without pauses."""
    pytest.importorskip("qdrant_client")
    monkeypatch.setattr(polling, "PAUSE", 0.0)
