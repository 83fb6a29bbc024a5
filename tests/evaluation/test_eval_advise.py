"""Simulate and advise on real embeddings and live engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embeddings import ROWS
from reference import binary_recall

import qadapt as qa
from qadapt.api import Collection
from qadapt.errors import InputError, NonFiniteError, SpecError
from qadapt.evaluation import advise as module
from qadapt.evaluation.documents import Advice, Simulation
from qadapt.model.spec import parse_spec

QUERIES = 200
NEAR = 0.02


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QADAPT_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def articles(live: Callable[[str], str], embeddings: Any) -> Iterator[Collection]:
    with qa.open(live("edge")) as db:
        made = db.create("articles", dim=embeddings.dim)
        made.write(qa.Batch(range(len(embeddings.docs)), {"": embeddings.docs}))
        yield made


def values(found: Any) -> dict[str, float]:
    return {item.setting: item.recall.value for item in found.results if item.recall is not None}


# -- simulate ------------------------------------------------------------------------------------

SETTINGS = (
    "scalar:rescore=off", "binary:rescore=off", "binary:rescore=4",
    "binary:bits=2,query_bits=8,rescore=2", "rotational:bits=1,rescore=off",
    "rotational:bits=4,rescore=off",
)  # fmt: skip


@pytest.mark.long
def test_predictions_match_the_live_engine(articles: Collection, embeddings: Any) -> None:
    queries = embeddings.queries[:QUERIES]
    said = articles.simulate(*SETTINGS, queries=queries)
    seen = articles.evaluate(*SETTINGS, queries=queries, live=False, concurrency=())
    for setting, value in values(seen).items():
        predicted = said.result(setting)
        assert predicted.predicted is not None and predicted.predicted.validated
        assert predicted.recall is not None
        assert abs(predicted.recall.value - value) <= NEAR, setting
        assert predicted.recall.low <= value <= predicted.recall.high
    assert Simulation.from_json(said.to_json()) == said


def test_predictions_match_weaviate(live: Callable[[str], str], embeddings: Any) -> None:
    import uuid

    settings = ("rotational:bits=8", "binary", "rotational:bits=1")
    with qa.open(live("weaviate")) as db:
        made = db.create("Simulated", dim=embeddings.dim)
        try:
            ids = [str(uuid.UUID(int=at)) for at in range(len(embeddings.docs))]
            made.write(qa.Batch(ids, {"": embeddings.docs}))
            vector = next(iter(made.info().vectors))
            options: dict[str, Any] = {"queries": embeddings.queries[:QUERIES], "vector": vector}
            said = made.simulate(*settings, **options)
            seen = made.evaluate(*settings, **options, live=False, concurrency=())
        finally:
            db.drop("Simulated")
    for setting, value in values(seen).items():
        assert values(said)[setting] == pytest.approx(value, abs=NEAR), setting
    assert set(values(seen)) == set(settings)


def test_predictions_match_milvus(live: Callable[[str], str], embeddings: Any) -> None:
    settings = ("scalar:rescore=off", "scalar:rescore=2")
    with qa.open(live("milvus")) as db:
        made = db.create("simulated", dim=embeddings.dim)
        try:
            made.write(qa.Batch(range(len(embeddings.docs)), {"": embeddings.docs}))
            vector = next(iter(made.info().vectors))
            options: dict[str, Any] = {"queries": embeddings.queries[:100], "vector": vector}
            said = made.simulate(*settings, **options)
            seen = made.evaluate(*settings, **options, live=False, concurrency=())
        finally:
            db.drop("simulated")
    for setting, value in values(seen).items():
        assert values(said)[setting] == pytest.approx(value, abs=NEAR), setting
    assert set(values(seen)) == set(settings)


def test_simulation_writes_nothing(articles: Collection, embeddings: Any) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("the store was asked for more than reading")

    for name in ("create", "drop", "write", "run", "search", "delete", "steps"):
        setattr(articles._store, name, refused)
    assert len(values(articles.simulate("binary", "scalar", queries=50))) == 2


def test_a_sample_represents_all_rows(articles: Collection, embeddings: Any) -> None:
    queries = embeddings.queries[:QUERIES]
    settings = ("binary:rescore=4", "binary:rescore=10", "rotational:bits=2,rescore=2")
    whole = values(articles.simulate(*settings, queries=queries))
    part = articles.simulate(*settings, queries=queries, sample_rows=1_500)
    assert (part.sample_rows, part.count) == (1_500, ROWS)
    for setting, value in values(part).items():
        assert value == pytest.approx(whole[setting], abs=NEAR)
        result = part.result(setting)
        assert result.predicted is not None
        assert "represent 5,000" in " ".join(result.predicted.notes)


def test_own_vectors_can_be_the_queries(articles: Collection) -> None:
    found = articles.simulate("none", "binary:rescore=4", queries=80)
    assert values(found)["none"] == 1.0
    assert 0.85 < values(found)["binary:rescore=4"] < 1.0


def test_arrays_can_be_simulated_without_a_database(embeddings: Any) -> None:
    for store in ("qdrant", "weaviate", "milvus"):
        found = qa.simulate(embeddings.docs, ["none", "scalar"], queries=60, store=store)
        assert values(found)["none"] == 1.0
        assert 0.96 < values(found)["scalar"] <= 1.0
        assert (found.server.store, found.store) == (store, "")
    euclidean = qa.simulate(embeddings.docs, ["scalar"], queries=60, metric="euclidean")
    assert euclidean.results[0].recall is not None
    assert euclidean.results[0].recall.value > 0.96


def test_simulated_bits_match_numpy(embeddings: Any) -> None:
    settings = {f"binary:rescore={factor or 'off'}": factor for factor in (0, 2, 4, 10)}
    found = values(qa.simulate(embeddings.docs, list(settings), queries=embeddings.queries))
    for setting, factor in settings.items():
        expected = binary_recall(embeddings.docs, embeddings.queries, factor or 1)
        # Rows at the last distance tie: numpy takes the first, the simulation their probability.
        assert found[setting] == pytest.approx(expected, abs=0.01), setting


@pytest.mark.parametrize(
    ("rows", "options", "error"),
    [
        (np.zeros((0, 4)), {}, InputError),
        (np.full((5, 4), np.nan), {}, NonFiniteError),
        (np.ones((5, 4)), {"queries": np.ones((0, 4))}, InputError),
        (np.ones((5, 4)), {"store": "nowhere"}, SpecError),
        (np.ones((5, 4)), {"metric": "hamming"}, SpecError),
    ],
)
def test_invalid_arrays_are_rejected(
    rows: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        qa.simulate(rows, ["binary"], **options)
    with pytest.raises(InputError, match="live"):
        qa.simulate(np.ones((5, 4)), ["live"], queries=2)


# -- advise --------------------------------------------------------------------------------------

CODES = ("none", "scalar", "binary", "binary:query_bits=8", "rotational:bits=4", "scalar:bits=6")


def test_the_cheapest_setting_that_meets_the_target_is_confirmed(
    articles: Collection, embeddings: Any, tmp_path: Path
) -> None:
    before = articles.info()
    queries = embeddings.queries[:QUERIES]
    advice = articles.advise(qa.Target(0.97, price=3.8), queries=queries, codes=CODES)
    best, second = advice.best, advice.runner_up
    assert best is not None and second is not None
    assert advice.confirmed
    assert best.source == second.source == "measured"
    assert best.recall.value >= 0.97 and second.recall.value >= 0.97
    assert best.ram <= second.ram
    assert best.monthly == pytest.approx(3.8 * best.ram / 2**30)
    # One bit per dimension: the smallest codes in CODES, and enough rescoring meets the target.
    assert binary_recall(embeddings.docs, queries, 24) >= 0.97
    assert best.quantization.kind is qa.Kind.BINARY
    named = {item.setting for item in advice.ruled_out}
    assert any(text.startswith("scalar:bits=6") for text in named)
    assert any(text.startswith("none") for text in named)
    # The live collection does not change, and applying the advice gives the same recall.
    assert articles.info() == before
    assert articles._store.collections() == ["articles"]
    assert Advice.from_json(advice.to_json()) == advice
    spec = tmp_path / "spec.yaml"
    spec.write_text(advice.spec, encoding="utf-8")
    with qa.plan_spec(qa.load_spec(spec)) as plans:
        (plan,) = plans
        assert plan.target.kind is best.quantization.kind
        assert plan.guard is not None and plan.guard.recall == 0.97
        assert plan.guard.clients == "configured"
        change = plan.apply(yes=True)
        assert change.recall_after is not None and change.recall_after >= 0.97


@pytest.mark.long
def test_advice_holds_for_other_queries(articles: Collection, embeddings: Any) -> None:
    found = articles.advise(0.9, queries=embeddings.queries[:200], codes=("binary", "scalar"))
    assert found.best is not None and found.best.quantization.kind is qa.Kind.BINARY
    chosen = found.best.quantization.replace(rescore=found.best.rescore)
    assert articles.plan(chosen).apply(yes=True).state == "applied"
    others = articles.verify(queries=embeddings.queries[200:])
    assert others.matches_configuration
    assert others.recall.value > 0.9 - 0.03


def test_advise_works_without_measurements(articles: Collection, embeddings: Any) -> None:
    advice = articles.advise(0.9, queries=embeddings.queries[:50], confirm=False, codes=CODES)
    assert not advice.confirmed
    assert advice.evaluation is None
    assert advice.best is not None and advice.best.source == "predicted"
    parse_spec(advice.spec)


def test_a_ram_limit_rules_out_larger_settings(articles: Collection, embeddings: Any) -> None:
    advice = articles.advise(
        qa.Target(0.9, max_ram=1_000_000),
        queries=embeddings.queries[:50],
        confirm=False,
        codes=CODES,
    )
    assert advice.best is not None and advice.best.ram <= 1_000_000
    out = {item.setting: item for item in advice.ruled_out if "bytes of RAM, " in item.reason}
    assert any(text.startswith("none") for text in out)
    assert all(item.ram is not None and item.ram > 1_000_000 for item in out.values())


def test_an_unmet_target_is_reported_with_reasons(articles: Collection, embeddings: Any) -> None:
    queries = embeddings.queries[:50]
    tight = articles.advise(qa.Target(0.9, max_ram=1_000), queries=queries, codes=CODES)
    assert tight.best is tight.runner_up is None
    assert tight.spec == ""
    assert len(tight.ruled_out) >= len(CODES)
    quick = articles.advise(
        qa.Target(0.5, max_latency_ms=1e-6), queries=queries, codes=("binary", "scalar")
    )
    assert quick.best is None
    assert all("95th percentile" in item.reason for item in quick.ruled_out)


@pytest.mark.long
def test_a_measured_recall_below_the_prediction_rules_a_setting_out(
    articles: Collection, embeddings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = module.simulate

    def hopeful(*args: Any, **options: Any) -> Any:
        found = whole(*args, **options)
        raised = [
            item.replace(recall=item.recall.replace(value=1.0)) if item.recall else item
            for item in found.results
        ]
        return found.replace(results=tuple(raised))

    monkeypatch.setattr(module, "simulate", hopeful)
    advice = articles.advise(
        0.99, queries=embeddings.queries[:100], codes=("binary", "rotational:bits=1", "scalar")
    )
    short = [item for item in advice.ruled_out if "measured recall" in item.reason]
    assert {item.setting.split(":")[0] for item in short} >= {"binary", "rotational"}
    assert advice.best is None or advice.best.recall.value >= 0.99


@pytest.mark.parametrize(
    "target",
    [0, 1.1, True, qa.Target(0.9, max_ram=0), qa.Target(0.9, price=-1),
     qa.Target(0.9, max_latency_ms=0)],
)  # fmt: skip
def test_an_invalid_target_is_rejected(articles: Collection, target: Any) -> None:
    with pytest.raises(SpecError):
        articles.advise(target)
