"""Advise with each value of ``accept``."""

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
    """A store without native quantization."""
    pytest.importorskip("qdrant_client")
    with qa.open("qdrant::memory:") as db:
        made = db.create("articles", dim=DIM)
        made.write(qa.Batch(range(ROWS), {"": sample.rows}))
        yield made


def _ask(col: Collection, sample: Sample, **options: Any) -> Any:
    return col.advise(qa.Target(0.9, price=2.0), queries=sample.queries, **options)


def test_client_side_codes_are_measured_and_add_to_the_original_vectors(
    local: Collection, sample: Sample, state_folder: Path
) -> None:
    found = _ask(local, sample, codes=["none", "binary"], accept="client")
    assert found.best.setting == "none"
    option = found.runner_up
    assert option.quantization.kind is qa.Kind.BINARY and option.source == "measured"
    assert option.recall.value >= 0.9 and option.latency_ms > 0
    # One bit per dimension in addition to the original vectors.
    assert option.ram - found.best.ram == pytest.approx(ROWS * DIM / 8, rel=0.5)
    assert option.monthly == pytest.approx(2.0 * option.ram / 2**30)
    assert any("accept=client" in reason for reason in option.reasons)
    measured = found.evaluation.result(option.setting)
    assert measured.how.searcher == "qadapt"
    assert measured.recall.value == option.recall.value
    for folder in ("copies", "indexes"):  # the copy and its codes are removed
        assert not list((state_folder / folder).glob("*"))


def test_the_spec_of_client_side_codes_can_be_planned(local: Collection, sample: Sample) -> None:
    found = _ask(local, sample, codes=["binary"], accept="client", copy_rows=ROWS)
    assert found.best.quantization.kind is qa.Kind.BINARY
    assert any("--accept client" in note for note in found.notes)
    spec = parse_spec(found.spec)
    wanted = spec.stores[0].collections["articles"].vectors[""].wanted
    plan = local.plan(wanted, accept="client")
    assert plan.changes and plan.target.kind is qa.Kind.BINARY


def test_client_side_codes_are_ruled_out_by_default(local: Collection, sample: Sample) -> None:
    found = _ask(local, sample, codes=["none", "binary"], confirm=False)
    assert (found.best.setting, found.runner_up) == ("none", None)
    assert [item.setting for item in found.ruled_out] == ["binary"]
    with pytest.raises(SpecError, match="accept"):
        _ask(local, sample, accept="anything")


def test_a_partial_copy_is_not_a_measurement_of_all_rows(local: Collection, sample: Sample) -> None:
    found = _ask(local, sample, codes=["none", "binary"], accept="client", copy_rows=300)
    assert found.runner_up is not None and found.runner_up.source == "predicted"
    assert any("300 of 600 rows" in reason for reason in found.runner_up.reasons)
    assert not any("measured on all rows" in reason for reason in found.runner_up.reasons)


def test_accept_exact_rules_out_nearest_equivalents(live: Any, sample: Sample) -> None:
    with qa.open(live("edge")) as db:
        col = db.create("articles", dim=DIM)
        col.write(qa.Batch(range(ROWS), {"": sample.rows}))
        options: dict[str, Any] = {"codes": ["none", "scalar:bits=8"], "confirm": False}
        near = _ask(col, sample, **options)
        assert near.best.quantization.kind is qa.Kind.SCALAR
        exact = _ask(col, sample, accept="exact", **options)
        assert exact.best.setting == "none"
        assert exact.ruled_out[0].reason.startswith("edge supports only the nearest equivalent")
