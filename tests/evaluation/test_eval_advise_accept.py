"""Advise: how far from what is named the advice may go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import qadapt as qa
from qadapt.api import Collection
from qadapt.errors import SpecError
from qadapt.model.spec import parse_spec
from qadapt.testing import Sample, clustered

ROWS, DIM = 600, 64


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QADAPT_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def sample() -> Sample:
    return clustered(ROWS, DIM, queries=30)


@pytest.fixture
def local(sample: Sample) -> Iterator[Collection]:
    """A store without quantization of its own."""
    pytest.importorskip("qdrant_client")
    with qa.open("qdrant::memory:") as db:
        made = db.create("articles", dim=DIM)
        made.write(qa.Batch(range(ROWS), {"": sample.rows}))
        yield made


def _ask(col: Collection, sample: Sample, **options: Any) -> Any:
    return col.advise(qa.Target(0.9, price=2.0), queries=sample.queries, **options)


def test_own_codes_are_measured_and_stand_on_top_of_the_floats(
    local: Collection, sample: Sample, state_folder: Path
) -> None:
    found = _ask(local, sample, codes=["none", "binary"], accept="client")
    assert found.best.setting == "none"
    option = found.runner_up
    assert option.quantization.kind is qa.Kind.BINARY and option.source == "measured"
    assert option.recall.value >= 0.9 and option.latency_ms > 0
    # One bit a dimension, on top of what the store keeps anyway.
    assert option.ram - found.best.ram == pytest.approx(ROWS * DIM / 8, rel=0.5)
    assert option.monthly == pytest.approx(2.0 * option.ram / 2**30)
    assert any("accept=client" in reason for reason in option.reasons)
    measured = found.evaluation.result(option.setting)
    assert measured.how.searcher == "qadapt"
    assert measured.recall.value == option.recall.value
    for folder in ("copies", "indexes"):  # the copy and our codes beside it are gone
        assert not list((state_folder / folder).glob("*"))


def test_the_spec_of_own_codes_can_be_planned(local: Collection, sample: Sample) -> None:
    found = _ask(local, sample, codes=["binary"], accept="client", copy_rows=ROWS)
    assert found.best.quantization.kind is qa.Kind.BINARY
    assert any("--accept client" in note for note in found.notes)
    spec = parse_spec(found.spec)
    wanted = spec.stores[0].collections["articles"].vectors[""].wanted
    plan = local.plan(wanted, accept="client")
    assert plan.changes and plan.target.kind is qa.Kind.BINARY


def test_without_a_word_they_are_ruled_out(local: Collection, sample: Sample) -> None:
    found = _ask(local, sample, codes=["none", "binary"], confirm=False)
    assert (found.best.setting, found.runner_up) == ("none", None)
    assert [item.setting for item in found.ruled_out] == ["binary"]
    with pytest.raises(SpecError, match="accept"):
        _ask(local, sample, accept="anything")


def test_a_copy_of_a_part_is_no_measurement_of_all(local: Collection, sample: Sample) -> None:
    found = _ask(local, sample, codes=["none", "binary"], accept="client", copy_rows=300)
    assert found.runner_up is None
    (item,) = found.ruled_out
    assert "300 of 600 rows" in item.reason and "--copy-rows 600" in item.reason


def test_exact_rules_cousins_out(live: Any, sample: Sample) -> None:
    with qa.open(live("edge")) as db:
        col = db.create("articles", dim=DIM)
        col.write(qa.Batch(range(ROWS), {"": sample.rows}))
        options: dict[str, Any] = {"codes": ["none", "scalar:bits=8"], "confirm": False}
        near = _ask(col, sample, **options)
        assert near.best.quantization.kind is qa.Kind.SCALAR
        exact = _ask(col, sample, accept="exact", **options)
        assert exact.best.setting == "none"
        assert exact.ruled_out[0].reason.startswith("edge supports only the nearest equivalent")
