"""What the tests of the Qdrant store share: nobody waits."""

from __future__ import annotations

import pytest

from qadapt.stores import polling


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other at once."""
    pytest.importorskip("qdrant_client")
    monkeypatch.setattr(polling, "PAUSE", 0.0)
