"""Elasticsearch and OpenSearch in containers of package images: codes are active, and stay after a
kill. The whole suite of ``test_faults.py`` runs on them with the mark ``extended``."""

from __future__ import annotations

import pytest
from live.containers import Container
from rigs import Rig, eventually
from starting import started_for

import qadapt as qa

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]


@pytest.mark.parametrize("engine", ["elasticsearch", "opensearch"])
def test_codes_and_rows_stay_after_a_kill(request: pytest.FixtureRequest, engine: str) -> None:
    container: Container = started_for(request.config, engine)
    try:
        use = Rig(container.url)
        use.collection.plan("binary").apply(yes=True, timeout=300)
        container.inner.kill()
        container.inner.start()
        container.wait()
        assert eventually(lambda: use.rows_are_whole(len(use.sample.rows))) == len(use.sample.rows)
        vector = use.collection.info().vectors[""]
        assert (vector.quantization.kind, vector.status.state) == (qa.Kind.BINARY, qa.State.ACTIVE)
        again = use.collection.search(use.sample.queries, k=10, rescore=qa.Rescore(source="off"))
        assert again.how.scores == "approximate"
        exact = [[use.key(row) for row in each] for each in use.sample.truth.tolist()]
        assert again.ids.tolist() != exact, "the codes are not in use"
        use.close()
    finally:
        container.stop()
