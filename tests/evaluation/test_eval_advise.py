"""Simulate and advise on real embeddings and live engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection
from qadapt.errors import InputError, NonFiniteError, SpecError
from qadapt.evaluation import advise as module
from qadapt.evaluation.results import Advice, Simulation
from qadapt.model.spec import parse_spec

QUERIES = 200
NEAR = 0.02


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QADAPT_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def scifacts(live: Callable[[str], str], scifact: Any) -> Iterator[Collection]:
    with qa.open(live("edge")) as db:
        made = db.create("scifact", dim=384)
        made.write(qa.Batch(range(len(scifact.docs)), {"": scifact.docs}))
        yield made


def values(found: Any) -> dict[str, float]:
    return {item.setting: item.recall.value for item in found.results if item.recall is not None}


# -- simulate ------------------------------------------------------------------------------------

SETTINGS = (
    "scalar:rescore=off", "binary:rescore=off", "binary:rescore=4",
    "binary:bits=2,query_bits=8,rescore=2", "rotational:bits=1,rescore=off",
    "rotational:bits=4,rescore=off",
)  # fmt: skip


def test_predictions_are_near_what_the_live_engine_does(scifacts: Collection, scifact: Any) -> None:
    queries = scifact.queries[:QUERIES]
    said = scifacts.simulate(*SETTINGS, queries=queries)
    seen = scifacts.evaluate(*SETTINGS, queries=queries, live=False, concurrency=())
    for setting, value in values(seen).items():
        predicted = said.result(setting)
        assert predicted.predicted is not None and predicted.predicted.near
        assert predicted.recall is not None
        assert abs(predicted.recall.value - value) <= NEAR, setting
        assert predicted.recall.low <= value <= predicted.recall.high
    assert Simulation.from_json(said.to_json()) == said


def test_predictions_are_near_what_weaviate_does(live: Callable[[str], str], scifact: Any) -> None:
    import uuid

    settings = ("rotational:bits=8", "binary", "rotational:bits=1")
    with qa.open(live("weaviate")) as db:
        made = db.create("Simulated", dim=384)
        try:
            ids = [str(uuid.UUID(int=at)) for at in range(len(scifact.docs))]
            made.write(qa.Batch(ids, {"": scifact.docs}))
            vector = next(iter(made.info().vectors))
            how: dict[str, Any] = {"queries": scifact.queries[:QUERIES], "vector": vector}
            said = made.simulate(*settings, **how)
            seen = made.evaluate(*settings, **how, live=False, concurrency=())
        finally:
            db.drop("Simulated")
    for setting, value in values(seen).items():
        assert values(said)[setting] == pytest.approx(value, abs=NEAR), setting
    assert set(values(seen)) == set(settings)


def test_predictions_are_near_what_milvus_does(live: Callable[[str], str], scifact: Any) -> None:
    settings = ("scalar:rescore=off", "scalar:rescore=2")
    with qa.open(live("milvus")) as db:
        made = db.create("simulated", dim=384)
        try:
            made.write(qa.Batch(range(len(scifact.docs)), {"": scifact.docs}))
            vector = next(iter(made.info().vectors))
            how: dict[str, Any] = {"queries": scifact.queries[:100], "vector": vector}
            said = made.simulate(*settings, **how)
            seen = made.evaluate(*settings, **how, live=False, concurrency=())
        finally:
            db.drop("simulated")
    for setting, value in values(seen).items():
        assert values(said)[setting] == pytest.approx(value, abs=NEAR), setting
    assert set(values(seen)) == set(settings)


def test_simulation_writes_nothing(scifacts: Collection, scifact: Any) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("the store was asked for more than reading")

    for name in ("create", "drop", "write", "run", "search", "delete", "steps"):
        setattr(scifacts._store, name, refused)
    assert len(values(scifacts.simulate("binary", "scalar", queries=50))) == 2


def test_a_sample_stands_for_all(scifacts: Collection, scifact: Any) -> None:
    queries = scifact.queries[:QUERIES]
    settings = ("binary:rescore=4", "binary:rescore=10", "rotational:bits=2,rescore=2")
    whole = values(scifacts.simulate(*settings, queries=queries))
    part = scifacts.simulate(*settings, queries=queries, sample_rows=1_500)
    assert (part.sample_rows, part.count) == (1_500, 5183)
    for setting, value in values(part).items():
        assert value == pytest.approx(whole[setting], abs=NEAR)
        result = part.result(setting)
        assert result.predicted is not None
        assert "stood for 5,183" in " ".join(result.predicted.notes)


def test_own_vectors_may_be_the_queries(scifacts: Collection) -> None:
    found = scifacts.simulate("none", "binary:rescore=4", queries=80)
    assert values(found)["none"] == 1.0
    assert 0.85 < values(found)["binary:rescore=4"] < 1.0


def test_arrays_can_be_simulated_without_a_database(scifact: Any) -> None:
    for store in ("qdrant", "weaviate", "milvus"):
        found = qa.simulate(scifact.docs, ["none", "scalar"], queries=60, store=store)
        assert values(found)["none"] == 1.0
        assert 0.96 < values(found)["scalar"] <= 1.0
        assert (found.engine, found.store) == (store, "")
    euclidean = qa.simulate(scifact.docs, ["scalar"], queries=60, metric="euclidean")
    assert euclidean.results[0].recall is not None
    assert euclidean.results[0].recall.value > 0.96


def test_mpnet_of_768_dimensions_is_as_it_was_measured(shared_data: Path) -> None:
    with np.load(shared_data / "scifact-mpnet.npz") as arrays:
        rows, queries = arrays["docs"].astype(np.float32), arrays["queries"].astype(np.float32)
    settings = [f"binary:rescore={rescore}" for rescore in ("off", "2", "4", "10")]
    found = values(qa.simulate(rows, settings, queries=queries))
    # ../shared/facts/data.md A3: overlap@10 with float32 of Hamming distance, and rescored.
    for setting, overlap in zip(settings, (0.692, 0.873, 0.956, 0.990), strict=True):
        assert found[setting] == pytest.approx(overlap, abs=0.005)


@pytest.mark.parametrize(
    ("rows", "how", "error"),
    [
        (np.zeros((0, 4)), {}, InputError),
        (np.full((5, 4), np.nan), {}, NonFiniteError),
        (np.ones((5, 4)), {"queries": np.ones((0, 4))}, InputError),
        (np.ones((5, 4)), {"store": "nowhere"}, SpecError),
        (np.ones((5, 4)), {"metric": "hamming"}, SpecError),
    ],
)
def test_bad_arrays_are_refused(rows: Any, how: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        qa.simulate(rows, ["binary"], **how)
    with pytest.raises(InputError, match="live"):
        qa.simulate(np.ones((5, 4)), ["live"], queries=2)


# -- advise --------------------------------------------------------------------------------------

CODES = ("none", "scalar", "binary", "binary:query_bits=8", "rotational:bits=4", "scalar:bits=6")


def test_the_cheapest_setting_that_meets_the_target_is_confirmed(
    scifacts: Collection, scifact: Any, tmp_path: Path
) -> None:
    before = scifacts.info()
    queries = scifact.queries[:QUERIES]
    advice = scifacts.advise(qa.Target(0.97, price=3.8), queries=queries, codes=CODES)
    best, second = advice.best, advice.runner_up
    assert best is not None and second is not None
    assert advice.confirmed
    assert best.source == second.source == "measured"
    assert best.recall.value >= 0.97 and second.recall.value >= 0.97
    assert best.ram <= second.ram
    assert best.monthly == pytest.approx(3.8 * best.ram / 2**30)
    # 48 bytes a vector: nothing in CODES is smaller, and x8 to x24 was enough in the facts.
    assert best.quantization.kind is qa.Kind.BINARY
    named = {item.setting for item in advice.ruled_out}
    assert any(text.startswith("scalar:bits=6") for text in named)
    assert any(text.startswith("none") for text in named)
    # The live collection stays, and what is advised is what happens.
    assert scifacts.info() == before
    assert scifacts._store.collections() == ["scifact"]
    assert Advice.from_json(advice.to_json()) == advice
    spec = tmp_path / "spec.yaml"
    spec.write_text(advice.spec, encoding="utf-8")
    with qa.plan_spec(qa.load_spec(spec)) as plans:
        (plan,) = plans
        assert plan.target.kind is best.quantization.kind
        assert plan.guard is not None and plan.guard.recall == 0.97
        change = plan.apply(yes=True)
        assert change.recall_after is not None and change.recall_after >= 0.97


def test_predictions_alone_can_advise(scifacts: Collection, scifact: Any) -> None:
    advice = scifacts.advise(0.9, queries=scifact.queries[:50], confirm=False, codes=CODES)
    assert not advice.confirmed
    assert advice.evaluation is None
    assert advice.best is not None and advice.best.source == "predicted"
    parse_spec(advice.spec)


def test_a_limit_of_ram_rules_out_what_is_larger(scifacts: Collection, scifact: Any) -> None:
    advice = scifacts.advise(
        qa.Target(0.9, max_ram=1_000_000), queries=scifact.queries[:50], confirm=False, codes=CODES
    )
    assert advice.best is not None and advice.best.ram <= 1_000_000
    out = {item.setting: item for item in advice.ruled_out if "bytes of RAM, " in item.why}
    assert any(text.startswith("none") for text in out)
    assert all(item.ram is not None and item.ram > 1_000_000 for item in out.values())


def test_what_nothing_meets_is_told_with_the_reasons(scifacts: Collection, scifact: Any) -> None:
    queries = scifact.queries[:50]
    tight = scifacts.advise(qa.Target(0.9, max_ram=1_000), queries=queries, codes=CODES)
    assert tight.best is tight.runner_up is None
    assert tight.spec == ""
    assert len(tight.ruled_out) >= len(CODES)
    quick = scifacts.advise(
        qa.Target(0.5, max_latency_ms=1e-6), queries=queries, codes=("binary", "scalar")
    )
    assert quick.best is None
    assert all("95th percentile" in item.why for item in quick.ruled_out)


def test_an_engine_that_falls_short_of_its_prediction_rules_a_setting_out(
    scifacts: Collection, scifact: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = module.simulate

    def hopeful(*args: Any, **how: Any) -> Any:
        found = whole(*args, **how)
        raised = [
            item.replace(recall=item.recall.replace(value=1.0)) if item.recall else item
            for item in found.results
        ]
        return found.replace(results=tuple(raised))

    monkeypatch.setattr(module, "simulate", hopeful)
    advice = scifacts.advise(
        0.99, queries=scifact.queries[:100], codes=("binary", "rotational:bits=1", "scalar")
    )
    short = [item for item in advice.ruled_out if "measured recall" in item.why]
    assert {item.setting.split(":")[0] for item in short} >= {"binary", "rotational"}
    assert advice.best is None or advice.best.recall.value >= 0.99


@pytest.mark.parametrize(
    "target",
    [0, 1.1, True, qa.Target(0.9, max_ram=0), qa.Target(0.9, price=-1),
     qa.Target(0.9, max_latency_ms=0)],
)  # fmt: skip
def test_a_target_that_is_none_is_refused(scifacts: Collection, target: Any) -> None:
    with pytest.raises(SpecError):
        scifacts.advise(target)
