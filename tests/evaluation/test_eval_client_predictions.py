"""Predicted recall of client-side codes, compared with codes that are built and searched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection
from qadapt.cli import main
from qadapt.errors import SpecError
from qadapt.testing import Sample, clustered

ROWS, DIM = 1_200, 64
NEAR = 0.02


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QADAPT_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def sample() -> Sample:
    return clustered(ROWS, DIM, queries=60)


@pytest.fixture(params=["cosine", pytest.param("euclidean", marks=pytest.mark.slow)])
def local(sample: Sample, request: pytest.FixtureRequest) -> Iterator[Collection]:
    """A store without native quantization."""
    pytest.importorskip("qdrant_client")
    lengths = np.random.default_rng(1).uniform(0.5, 2, (ROWS, 1)).astype(np.float32)
    with qa.open("qdrant::memory:") as db:
        made = db.create("articles", dim=DIM, metric=request.param)
        made.write(qa.Batch(range(ROWS), {"": sample.rows * lengths}))
        yield made


SETTINGS = (
    "binary:rescore=off", "binary", "binary:rescore=2", "binary:query_bits=4,rescore=off",
    "binary:rescore=4@codes", "scalar", "scalar:rescore=off", "scalar:bits=4,rescore=off",
)  # fmt: skip


def test_predictions_are_those_of_the_codes(local: Collection, sample: Sample) -> None:
    asked = {"queries": sample.queries, "accept": "client"}
    predicted = local.simulate(*SETTINGS, **asked)
    measured = local.evaluate(*SETTINGS, live=False, concurrency=(), **asked)
    by_sample = local.simulate(*SETTINGS, sample_rows=800, **asked)
    for one, other, some in zip(
        predicted.results, measured.results, by_sample.results, strict=True
    ):
        assert one.state == "predicted" and other.how is not None
        assert other.how.searcher == "qadapt"
        assert one.recall is not None and other.recall is not None and some.recall is not None
        # Rows with equal scores count by their probability.
        assert one.recall.value == pytest.approx(other.recall.value, abs=0.01), one.setting
        # The levels of a sample are others: four samples have 0.875 to 0.915 with 4 bits (l2).
        off = NEAR + 0.01
        assert some.recall.value == pytest.approx(other.recall.value, abs=off), one.setting


def test_client_side_codes_are_predicted_only_if_they_are_accepted(
    local: Collection, sample: Sample
) -> None:
    found = local.simulate("scalar:bits=4", queries=sample.queries).results[0]
    assert found.predicted is None or "client" not in found.predicted.model
    refused = local.simulate("product", queries=sample.queries, accept="client").results[0]
    assert refused.state == "unsupported"


def test_advice_without_a_copy_predicts_client_side_codes(
    local: Collection, sample: Sample
) -> None:
    found = local.advise(
        qa.Target(0.8), queries=sample.queries, codes=["none", "binary"], accept="client",
        confirm=False,
    )  # fmt: skip
    assert found.runner_up is not None and found.runner_up.source == "predicted"
    assert found.runner_up.quantization.kind is qa.Kind.BINARY
    assert any("accept=client" in reason for reason in found.runner_up.reasons)


def test_advice_with_a_copy_of_some_rows_predicts_all(local: Collection, sample: Sample) -> None:
    found = local.advise(
        qa.Target(0.8), queries=sample.queries, codes=["binary"], accept="client", copy_rows=800
    )
    assert found.best is not None and found.best.source == "predicted"
    assert f"800 of {ROWS:,} rows" in " ".join(found.best.reasons)


def test_the_command_takes_the_words_that_have_an_effect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", f"edge:{tmp_path}", "a", "binary", "--accept", "exact"]) == 2
    assert "client" in capsys.readouterr().err
    with pytest.raises(SpecError):
        qa.evaluation.options.EvaluationOptions(accept="all")  # type: ignore[arg-type]
