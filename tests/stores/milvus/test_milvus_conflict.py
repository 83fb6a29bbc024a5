"""An index that another client built during a change is not replaced."""

from __future__ import annotations

from typing import Any

import pytest
from milvus_helpers import NAME, fill, kind, plan

from qadapt.errors import PlanStaleError
from qadapt.stores.base import silent
from qadapt.stores.milvus import index_params, vector_index
from qadapt.stores.milvus.store import MilvusStore
from qadapt.testing import Sample


def _request(store: MilvusStore, **changed: Any) -> dict[str, Any]:
    (step,) = plan(store, "scalar")
    return {**step.request, **changed}


OTHERS = {"index_name": "x", "index_type": "IVF_FLAT", "metric_type": "COSINE", "params": {}}


def test_an_unplanned_index_is_not_dropped(lite: MilvusStore, sample: Sample) -> None:
    fill(lite, sample.rows[:300])
    before = kind(lite)
    with pytest.raises(
        PlanStaleError, match=f"another client changed the index .* {before}"
    ) as caught:
        lite.run(NAME, _request(lite, former=OTHERS), silent, 20)
    assert "qadapt plan" in str(caught.value.hint)
    assert kind(lite) == before


def test_a_concurrent_index_build_is_not_dropped(
    lite: MilvusStore, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Milvus refuses a second index of a field; rebuilding the former one would drop the first."""
    fill(lite, sample.rows[:300])
    request = _request(lite)
    create = index_params.create_index

    def faster(connection: Any, name: str, field: str, index: Any, *, limit: float) -> None:
        monkeypatch.setattr(index_params, "create_index", create)
        there = index_params.indexes(connection, name).get(field)
        assert there is None
        create(connection, name, field, {**OTHERS, "params": {"nlist": "16"}}, limit=limit)
        raise vector_index.StoreError("at most one distinct index is allowed per field")

    monkeypatch.setattr(index_params, "create_index", faster)
    with pytest.raises(PlanStaleError, match="IVF_FLAT"):
        lite.run(NAME, request, silent, 20)
    assert kind(lite) == "IVF_FLAT"
    assert lite.info(NAME).count == 300


def test_parameters_added_by_the_server_do_not_change_the_index(
    lite: MilvusStore, sample: Sample
) -> None:
    fill(lite, sample.rows[:300])
    request = _request(lite)
    fewer = {**request["former"], "params": dict(list(request["former"]["params"].items())[:1])}
    lite.run(NAME, {**request, "former": fewer}, silent, 60)
    assert kind(lite) == request["index"]["index_type"]
