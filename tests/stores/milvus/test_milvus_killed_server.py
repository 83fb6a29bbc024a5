"""A killed server raises one qadapt error, and pymilvus prints nothing to the terminal."""

from __future__ import annotations

import numpy as np
import pytest
from live.milvus import MilvusServer

import qadapt as qa
from qadapt.errors import UnreachableError


@pytest.mark.timeout(300)
def test_a_killed_server_raises_one_error_without_a_logged_traceback(
    milvus_server: MilvusServer, capfd: pytest.CaptureFixture[str]
) -> None:
    with qa.open(f"{milvus_server.url}?timeout=5") as database:
        docs = database.create("docs", dim=8)
        docs.write(qa.Batch(range(50), {"": np.eye(50, 8) + 1}))
        capfd.readouterr()
        milvus_server.kill()
        for ask in (lambda: docs.search(np.ones(8), k=3), docs.count):
            with pytest.raises(UnreachableError) as gone:
                ask()
            assert "check that the server is running" in str(gone.value.hint)
        assert "Traceback" not in capfd.readouterr().err
