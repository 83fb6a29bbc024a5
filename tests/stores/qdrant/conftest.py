"""What the tests of the Qdrant store share: nobody waits."""

from __future__ import annotations

import pytest

from qadapt.planning import wait
from qadapt.stores.qdrant import waiting


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other at once."""
    pytest.importorskip("qdrant_client")
    monkeypatch.setattr(waiting, "PAUSE", 0.0)
    monkeypatch.setattr(wait, "PAUSE", 0.0)
