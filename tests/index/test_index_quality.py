"""Retrieval quality on real embeddings; the figures are those of benchmarks/article_table.py."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from qadapt.index import CodeIndex

K = 100


def _benchmark() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "article_table.py"
    spec = importlib.util.spec_from_file_location("article_table", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["article_table"] = module
    spec.loader.exec_module(module)
    return module


bench = _benchmark()

pytestmark = pytest.mark.skipif(
    not (bench.data_folder() / "scifact-minilm.npz").is_file(),
    reason=f"no SciFact embeddings in {bench.data_folder()} (set QADAPT_SHARED)",
)


@pytest.fixture(scope="module")
def task() -> Any:
    return bench.load("scifact-minilm")


@pytest.fixture(scope="module")
def of_float(task: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., float]:
    """nDCG@10 as a share of float32, for a search with these options."""
    base = bench.ndcg(task, bench.exact(task, K))
    assert base == pytest.approx(0.6451, abs=0.001)
    indexes = {}
    for codes in ("binary", "int8"):
        folder = tmp_path_factory.mktemp("scifact") / codes
        with CodeIndex.create(folder, task.docs.shape[1], codes=codes) as index:  # type: ignore[arg-type]
            index.add(task.doc_ids, task.docs)
        indexes[codes] = CodeIndex.open(folder, read_only=True)  # what a user would search

    def share(codes: str = "binary", **options: Any) -> float:
        hits = indexes[codes].search(task.queries, K, **options)
        return float(bench.ndcg(task, hits.ids) / base)

    return share


def test_binary_with_int8_rescoring_keeps_what_float_finds(of_float: Callable[..., float]) -> None:
    assert of_float(rescore=4, source="codes") >= 0.995


def test_int8_alone_keeps_what_float_finds(of_float: Callable[..., float]) -> None:
    assert of_float("int8") >= 0.998


def test_rescoring_on_bits_has_a_ceiling_that_oversampling_does_not_lift(
    of_float: Callable[..., float],
) -> None:
    shares = [of_float(rescore=factor, source="bits") for factor in (1, 4, 10)]
    assert all(0.95 <= share <= 0.98 for share in shares)
    assert max(shares) - min(shares) < 0.005


def test_hamming_alone_keeps_about_91_percent(of_float: Callable[..., float]) -> None:
    assert of_float(source="off") == pytest.approx(0.911, abs=0.01)


def test_rescoring_on_originals_with_x10_is_float(
    of_float: Callable[..., float], task: Any
) -> None:
    place = {one: row for row, one in enumerate(task.doc_ids.tolist())}
    share = of_float(rescore=10, fetch=lambda ids: task.docs[[place[one] for one in ids]])
    assert share == pytest.approx(1, abs=0.001)
