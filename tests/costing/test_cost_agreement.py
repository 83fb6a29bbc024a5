"""cost, plan, eval and the report show the same RAM and disk for the same setting."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection
from qadapt.costing import memory
from qadapt.costing.compare import SETTINGS
from qadapt.errors import UnsupportedError
from qadapt.model import MemoryChange
from qadapt.testing import clustered

PRICES = qa.Prices(ram=3.8, disk=0.1)
PLACED = ("scalar:originals=disk", "binary:codes=ram,originals=disk", "binary:originals=disk")
ALL = (*SETTINGS, *PLACED)
ROWS, DIM = 400, 32


@contextmanager
def _collection(live: Callable[[str], str], engine: str) -> Iterator[Collection]:
    url = "qdrant::memory:" if engine == "qdrant-local" else live(engine)
    with qa.open(url) as db:
        made = db.create("agreement", dim=DIM)
        made.write(qa.Batch(range(ROWS), {"": clustered(ROWS, DIM, queries=1).rows}))
        yield made


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    "engine",
    [
        "edge",
        pytest.param("qdrant-local", marks=pytest.mark.long),
        pytest.param("milvus-lite", marks=pytest.mark.long),
    ],
)
def test_cost_plan_eval_and_report_agree(live: Callable[[str], str], engine: str) -> None:
    with _collection(live, engine) as found:
        evaluation = found.evaluate(
            *ALL, queries=20, concurrency=(), accept="client", prices=PRICES
        )
        compared = 0
        for setting in ALL:
            cost = found.cost(setting, accept="client", prices=PRICES)
            assert cost.before is not None and cost.before.footprint is not None
            assert cost.after is not None
            try:
                planned = found.plan(setting, accept="client", prices=PRICES).memory
            except UnsupportedError:
                assert cost.after.footprint is None
                assert evaluation.result(setting).memory is None
                continue
            assert planned is not None and cost.after.footprint is not None
            before, after = cost.before.footprint, cost.after.footprint
            expected = (before.ram, after.ram, before.disk, after.disk)
            assert _sizes(planned) == expected, setting
            assert planned.monthly_before == pytest.approx(PRICES.monthly(before.ram, before.disk))
            assert planned.monthly_after == pytest.approx(cost.after.scales[0].monthly)
            measured = evaluation.result(setting)
            if measured.state == "measured":
                assert measured.memory is not None
                assert measured.memory == planned.replace(note=""), setting
                reported = qa.report(evaluation, after=setting).memory
                assert reported == measured.memory
            compared += 1
        assert compared >= 2


def _sizes(change: MemoryChange) -> tuple[int, int, int, int]:
    return change.ram_before, change.ram_after, change.disk_before, change.disk_after


def test_applied_change_has_the_planned_sizes(live: Callable[[str], str]) -> None:
    with _collection(live, "edge") as found:
        found.plan("scalar").apply(yes=True)  # small segments are indexed like large ones
        for setting in ("binary:originals=disk", "rotational:bits=4,originals=disk"):
            plan = found.plan(setting, prices=PRICES)
            change = plan.apply(yes=True)
            assert plan.memory is not None and change.memory is not None
            # The engine builds the graph with the codes, so other codes change the number of links;
            # without original vectors, the graph is most of the RAM of this collection.
            assert change.memory.ram_after == pytest.approx(plan.memory.ram_after, rel=0.15)
            assert change.memory.disk_after == pytest.approx(plan.memory.disk_after, rel=0.05)
            assert change.memory.prices == PRICES
            verified = found.verify(queries=20)
            assert verified.memory is not None
            assert verified.memory.ram_after == change.memory.ram_after


@pytest.mark.parametrize("setting", ["binary:rescore=4", "scalar:rescore=2"])
def test_applied_change_of_sqlite_vec_has_the_planned_sizes(tmp_path: Path, setting: str) -> None:
    """Codes are in chunks of 1,024 rows, of which the last one is padded."""
    with qa.open(f"sqlite-vec:{tmp_path / 'rows.db'}") as database:
        found = database.create("agreement", dim=DIM)
        found.write(qa.Batch(range(ROWS), {"": clustered(ROWS, DIM, queries=1).rows}))
        plan = found.plan(setting)
        change = plan.apply(yes=True)
        cost = found.cost(setting).before
        verified = found.verify(queries=20).memory
        assert plan.memory is not None and change.memory is not None
        assert verified is not None and cost is not None and cost.footprint is not None
        codes = 1_024 * DIM // (8 if setting.startswith("binary") else 1)
        for ram in (
            change.memory.ram_after,
            verified.ram_after,
            cost.footprint.ram,
            found.info().vectors[""].code_bytes,
        ):
            assert ram == plan.memory.ram_after == codes
        assert change.memory.disk_after == plan.memory.disk_after == verified.disk_after


def test_originals_on_disk_alone_keep_codes_in_ram(live: Callable[[str], str]) -> None:
    with _collection(live, "edge") as found:
        alone = found.plan("binary:originals=disk").memory
        assert alone == found.plan("binary:originals=disk,codes=ram").memory
        assert alone != found.plan("binary:originals=disk,codes=disk").memory


def test_recorded_memory_of_a_server_matches_the_formulas() -> None:
    """20,000 x 256 without codes, as Qdrant 1.19.0 reports them."""
    folder = Path(__file__).parents[1] / "recordings/qdrant-1.19.0/placement"
    reported = json.loads((folder / "07_memory.json").read_text())["response"]["body"]["result"]
    found = memory(20_000, qa.Vector(256), "none", "qdrant")
    parts = {part.name: part.disk for part in found.components}
    (vector,) = reported["vectors"]
    assert parts["originals"] == pytest.approx(vector["storage"]["disk_bytes"], rel=0.05)
    ids = reported["other"]["id_tracker"]["disk_bytes"]
    assert parts["ids"] == pytest.approx(ids, rel=0.05)
    assert parts["graph"] == pytest.approx(vector["index"]["disk_bytes"], rel=0.2)


RSS = """
import os, sys
import qadapt as qa

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

with qa.open(sys.argv[1] + "-empty") as db:  # load the engine and its buffers
    db.create("agreement", dim=256)
    db["agreement"].cost()
before = resident()
with qa.open(sys.argv[1]) as db:
    collection = db["agreement"]
    planned = collection.cost().before.footprint.ram
    for batch in collection.read(payload=False):
        pass
    print(planned, resident() - before)
"""


@pytest.mark.long
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="there is no /proc")
def test_resident_memory_is_reported_with_the_estimate(tmp_path: object) -> None:
    """The process grows by the vectors, and also by buffers of the engine and of the read pages."""
    pytest.importorskip("qdrant_edge")
    with qa.open(f"edge:{tmp_path}/data") as db:
        made = db.create("agreement", dim=256)
        rows = np.random.default_rng(0).normal(size=(20_000, 256)).astype(np.float32)
        made.write(qa.Batch(range(20_000), {"": rows}))
    done = subprocess.run(
        [sys.executable, "-c", RSS, f"edge:{tmp_path}/data"],
        capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    estimate, grown = map(int, done.stdout.split())
    print(f"estimate {estimate / 2**20:.1f} MiB, resident memory grew by {grown / 2**20:.1f} MiB")
    assert estimate == pytest.approx(20_000 * (256 * 4 + 21 + 50), rel=0.1)
    assert grown > 0.9 * 20_000 * 256 * 4


@pytest.mark.parametrize("setting", ["rotational:bits=2", "scalar:originals=disk", "product"])
def test_live_sizes_are_those_of_the_same_setting(live: Callable[[str], str], setting: str) -> None:
    """A live setting and the same one requested have one size, with any number of rows."""
    with _collection(live, "edge") as found:
        plain = found.info().vectors[""]
        assert plain.graph_bytes == 0
        before = found.cost(setting).before
        assert before is not None and before.footprint is not None
        assert [part.name for part in before.footprint.components] == ["originals", "ids"]
        assert any("estimate of the graph" in note for note in found.plan(setting).notes)
        found.plan(setting).apply(yes=True)
        cost = found.cost(setting)
        assert cost.before is not None and cost.after is not None
        assert cost.before.footprint is not None and cost.after.footprint is not None
        assert cost.before.footprint.ram == cost.after.footprint.ram
        for one, other in zip(cost.before.scales, cost.after.scales, strict=True):
            assert (one.ram, one.disk) == pytest.approx((other.ram, other.disk), abs=200)
        planned = found.plan(setting).memory
        assert planned is not None and planned.ram_before == planned.ram_after
        (codes,) = (each for each in cost.after.footprint.components if each.name == "codes")
        assert codes.disk == found.info().vectors[""].code_bytes


def test_a_vector_that_a_plan_adds_is_counted_with_the_existing_one(
    live: Callable[[str], str],
) -> None:
    setting = f"scalar:dims={DIM // 2},originals=disk"
    with _collection(live, "edge") as found:
        plan, cost = found.plan(setting), found.cost(setting)
        assert plan.new_vector is not None and plan.memory is not None
        assert cost.before is not None and cost.before.footprint is not None
        assert cost.after is not None and cost.after.footprint is not None
        assert plan.memory.ram_after == cost.after.footprint.ram > cost.before.footprint.ram
        measured = found.evaluate(setting, queries=20, concurrency=(), live=False).result(setting)
        assert measured.memory is not None
        assert measured.memory.ram_after == plan.memory.ram_after
