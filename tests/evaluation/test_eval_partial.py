"""Ctrl-C keeps what was measured, and a later call with ``resume`` measures the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slow import some

import qadapt as qa
from qadapt.api import Collection
from qadapt.evaluation import evaluate as evaluating
from qadapt.evaluation import latency, measurement, predictions, reachability
from qadapt.evaluation.partial import Interrupted
from qadapt.stores.base import Progress
from qadapt.testing import clustered

ROWS, DIM = 600, 32
CODES = ("scalar", "binary", "none")
SETTINGS = ("scalar", "binary:rescore=off", "binary:rescore=4")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(latency, "MOST", 10)
    monkeypatch.setattr(latency, "CLIENT_SECONDS", 0.0)
    monkeypatch.setenv("QADAPT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def articles(live: Callable[[str], str]) -> Iterator[Collection]:
    with qa.open(live("edge")) as db:
        made = db.create("articles", dim=DIM)
        made.write(qa.Batch(range(ROWS), {"": clustered(ROWS, DIM).rows}))
        yield made


class Counted:
    """Counts calls of a function of a module or class, and presses Ctrl-C in one of them."""

    def __init__(self, patch: pytest.MonkeyPatch, module: Any, name: str, cut: int = -1) -> None:
        self.calls, self.cut = 0, cut
        function = getattr(module, name)

        def call(*args: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == self.cut:
                raise KeyboardInterrupt
            return function(*args, **options)

        patch.setattr(module, name, call)


def measured(found: Any) -> list[str]:
    return [item.setting for item in found.results if item.recall is not None]


def run(articles: Collection, *settings: str, **options: Any) -> Any:
    return articles.evaluate(*settings, queries=60, concurrency=(), **options)


def test_an_interrupted_evaluation_returns_what_was_measured_and_is_resumed(
    articles: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(articles, *SETTINGS)
    assert not whole.partial
    counted = Counted(monkeypatch, measurement, "measure", cut=3)
    with pytest.raises(KeyboardInterrupt) as caught:
        run(articles, *SETTINGS)
    found = caught.value.document  # type: ignore[attr-defined]
    assert found.partial
    assert measured(found) == ["live", "scalar"]
    assert "2 of 4 settings" in str(found.table())
    assert articles._store.collections() == ["articles"]
    counted.cut = -1
    counted.calls = 0
    resumed = run(articles, *SETTINGS, resume=True)
    assert counted.calls == 2
    assert not resumed.partial
    assert measured(resumed) == measured(whole)
    assert [item.recall for item in resumed.results] == [item.recall for item in whole.results]
    counted.calls = 0
    run(articles, *SETTINGS)  # without resume, everything is measured again
    assert counted.calls == 4


@pytest.mark.slow
@pytest.mark.parametrize("change", some(["a row", "the quantization", "the queries"], 1))
def test_results_of_something_else_are_not_reused(
    articles: Collection, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    run(articles, "scalar")
    if change == "a row":
        articles.write(qa.Batch([500], {"": np.ones((1, DIM), dtype=np.float32)}))
    elif change == "the quantization":
        articles.plan("scalar").apply(yes=True)
    counted = Counted(monkeypatch, measurement, "measure")
    run(articles, "scalar", resume=True, seed=1 if change == "the queries" else 0)
    assert counted.calls == 2


def test_a_damaged_line_is_measured_again(
    articles: Collection, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(articles, "scalar")
    (path,) = cache.glob("results/*.jsonl")
    assert path.stat().st_mode & 0o077 == 0
    path.write_text(path.read_text()[:-40])
    counted = Counted(monkeypatch, measurement, "measure")
    run(articles, "scalar", resume=True)
    assert counted.calls == 1


def test_an_interruption_before_the_first_result_has_no_document(
    articles: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    Counted(monkeypatch, measurement, "measure", cut=1)
    with pytest.raises(KeyboardInterrupt) as caught:
        run(articles, "scalar")
    assert not isinstance(caught.value, Interrupted)


def test_an_interrupted_simulation_is_resumed(
    articles: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(monkeypatch, predictions._Modelled, "_ranked", cut=2)
    with pytest.raises(Interrupted) as caught:
        articles.simulate(*SETTINGS, queries=60)
    assert measured(caught.value.document) == ["scalar"]
    counted.cut = -1
    counted.calls = 0
    found = articles.simulate(*SETTINGS, queries=60, resume=True)
    assert measured(found) == list(SETTINGS)
    assert counted.calls == 1  # both settings have the same codes


@pytest.mark.slow
@pytest.mark.parametrize("moment", some(["simulating", "copying", "measuring"], 1))
def test_interrupted_advice_answers_with_what_it_knows(
    articles: Collection, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    module, name, cut = {
        "simulating": (predictions._Modelled, "_ranked", 2),
        "copying": (evaluating, "copied_rows", 1),
        "measuring": (measurement, "measure", 3),
    }[moment]
    counted = Counted(monkeypatch, module, name, cut=cut)
    with pytest.raises(Interrupted) as caught:
        articles.advise(0.9, codes=CODES, queries=60)
    found = caught.value.document
    assert found.partial and found.best is not None
    assert found.best.source == ("measured" if moment == "measuring" else "predicted")
    assert found.confirmed == (moment == "measuring")
    assert any("--resume" in note for note in found.notes)
    counted.cut = -1
    other = moment != "simulating"
    simulated = Counted(monkeypatch, predictions._Modelled, "_ranked") if other else counted
    simulated.calls = 0
    whole = articles.advise(0.9, codes=CODES, queries=60, resume=True)
    assert not whole.partial and whole.confirmed
    assert bool(simulated.calls) != other


def test_the_prediction_is_the_first_answer_of_advise(articles: Collection) -> None:
    stages: list[str] = []
    found = articles.advise(
        0.9, codes=CODES, queries=60, progress=lambda event: stages.append(event.stage)
    )
    (first,) = [at for at, stage in enumerate(stages) if stage.startswith("predicted: ")]
    assert found.best is not None and found.best.setting in stages[first]
    assert not any(stage.startswith(("copying", "timing")) for stage in stages[:first])


def test_the_first_answer_of_advise_does_not_wait_for_product_codes(articles: Collection) -> None:
    stages: list[str] = []

    def on(event: Progress) -> None:
        done = event.done if event.stage == "simulating" else ""
        stages.append(f"{event.stage} {done}")

    codes = ("rotational:bits=4", "binary", "product:ratio=4")
    found = articles.advise(0.9, codes=codes, queries=60, progress=on)
    answers = [at for at, stage in enumerate(stages) if stage.startswith("predicted: ")]
    simulated = [at for at, stage in enumerate(stages) if stage.startswith("simulating ")]
    assert found.best is not None and answers
    assert answers[0] < simulated[-2]
    assert len({stages[at] for at in answers}) == len(answers)


def test_an_interrupted_verification_has_the_current_recall(
    articles: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    Counted(monkeypatch, reachability, "unreachable_among", cut=1)
    with pytest.raises(Interrupted) as caught:
        articles.verify(queries=60)
    found = caught.value.document
    assert found.partial
    assert found.recall.value == 1.0
    assert "unreachable rows were not counted" in found.notes[0]
