"""Every command of qadapt supports the store, without code outside of this package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sql_server import KEY, serving
from typer.testing import CliRunner

import qadapt as qa
from qadapt.cli.app import app
from qadapt.errors import (
    AddressError,
    AuthError,
    InputError,
    StorageError,
    UnreachableError,
    UnsupportedError,
)
from qadapt.model.address import Address
from qadapt.testing import clustered

SAMPLE = clustered(600, 32)
IDS = list(range(600))


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QADAPT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("FIFTH_API_KEY", raising=False)


@pytest.fixture
def address(tmp_path: Path) -> str:
    """A folder with a collection ``articles``."""
    address = f"fifth:{tmp_path}/data"
    fill(address)
    return address


def fill(address: str) -> None:
    payloads = [{"group": at % 7} for at in IDS]
    with qa.open(address) as db:
        made = db.create("articles", dim=32)
        made.write(qa.Batch(IDS, {"": SAMPLE.rows}, payloads))


def qadapt(*arguments: str) -> Any:
    """A command's JSON."""
    ran = CliRunner().invoke(app, [*arguments, "--json"])
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)


def test_stores_and_matrix() -> None:
    assert "fifth" in [each["name"] for each in qadapt("stores")["stores"]]
    told = qadapt("matrix", "fifth")
    features = told["stores"]["fifth"]["features"]
    assert features["native-scalar"]["support"] == "native"
    assert features["native-binary"]["support"] == "client"
    assert features["native-rotational"]["support"] == "unsupported"
    cells = {(each["deployment"], each["kind"]): each["support"] for each in told["cells"]}
    assert cells["embedded", "scalar"] == cells["server", "scalar"] == "native"


def test_plan_apply_search_undo(address: str) -> None:
    qadapt("apply", address, "articles", "scalar", "--yes")
    with qa.open(address) as db:
        hits = db["articles"].search(SAMPLE.queries, k=10)
        assert hits.how.scores == "approximate"
        again = db["articles"].search(SAMPLE.queries, k=10, rescore=4)
        assert (again.how.scores, again.how.rescorer) == ("exact", "qadapt")
        assert db["articles"].verify(queries=50).matches_configuration
    inspected = json.dumps(qadapt("inspect", address, "articles"))
    assert '"state": "active"' in inspected


def test_cost(address: str) -> None:
    lines = qadapt("cost", "--rows", "1000", "--dim", "64")["lines"]
    scalar = next(x for x in lines if (x["store"], x["setting"]) == ("fifth", "scalar"))
    assert scalar["footprint"]["disk"] == 1000 * 64 * (1 + 4)
    binary = next(x for x in lines if (x["store"], x["setting"]) == ("fifth", "binary"))
    assert "int8 codes only" in binary["unsupported_reason"]
    live = qadapt("cost", address, "articles", "scalar")
    assert live["after"]["footprint"]["disk"] == 600 * 32 * (1 + 4)


def test_simulate_and_advise(address: str) -> None:
    simulated = qadapt("simulate", address, "articles", "scalar")["results"]
    assert 0.8 < simulated[0]["recall"]["value"] <= 1
    there = qa.simulate(SAMPLE.rows, ["scalar"], store="fifth")
    assert there.results[0].state == "predicted"
    advice = qadapt("advise", address, "articles", "--recall", "0.9")
    # Everything is on disk, so codes save no RAM and plain vectors are cheapest.
    assert advice["best"]["quantization"]["kind"] == "none"
    assert advice["confirmed"]
    assert "scalar:rescore=off" in [each["setting"] for each in advice["results"]]
    with pytest.raises(UnsupportedError, match="int8 codes only"):
        qa.open(address)["articles"].plan("rotational")


def test_doctor(address: str) -> None:
    with qa.open(address) as db:
        made = db.create("lengths", dim=32, metric="dot")
        made.write(qa.Batch(IDS, {"": SAMPLE.rows}))
        made.plan("scalar").apply(yes=True)
        made.write(qa.Batch([0], {"": 9 * SAMPLE.rows[:1]}))
    found = qadapt("doctor", address, "lengths")
    assert "clipped-codes" in json.dumps(found)


def test_migrate_to_and_from_another_store(address: str, tmp_path: Path) -> None:
    pytest.importorskip("qdrant_edge")
    qadapt("apply", address, "articles", "scalar", "--yes")
    other, back = f"edge:{tmp_path}/edge", f"fifth:{tmp_path}/back"
    qadapt("migrate", f"{address}#articles", other)
    qadapt("check", f"{address}#articles", other)
    qadapt("migrate", f"{other}#articles", back)
    with qa.open(address) as db, qa.open(back) as copy:
        before, after = db["articles"].fetch(IDS), copy["articles"].fetch(IDS)
        assert before.payloads == after.payloads
        np.testing.assert_allclose(after.vectors[""], before.vectors[""], atol=1e-6)


def test_rows_without_a_vector(tmp_path: Path) -> None:
    gone = np.zeros(600, dtype=bool)
    gone[::2] = True
    with qa.open(f"fifth:{tmp_path}/data") as db:
        made = db.create("articles", dim=32)
        made.write(qa.Batch(IDS, {"": SAMPLE.rows}, missing={"": gone}))
        made.plan("scalar").apply(yes=True)
        vector = made.info().vectors[""]
        assert (vector.count, vector.status.state) == (300, qa.State.ACTIVE)
        assert made.fetch([0, 1]).missing[""].tolist() == [True, False]
        hits = made.search(SAMPLE.queries, k=10)
        assert all(key % 2 for row in hits.ids.tolist() for key in row)


@pytest.mark.parametrize("key", [-1, 2**63, "", "a\nb", "\ud800"])
def test_ids_that_cannot_be_kept_are_refused(tmp_path: Path, key: int | str) -> None:
    with qa.open(f"fifth:{tmp_path}/data") as db:
        made = db.create("articles", dim=32)
        with pytest.raises(InputError, match="not valid in fifth"):
            made.write(qa.Batch([0, key], {"": SAMPLE.rows[:2]}))
        made.delete([key])
        assert (made.count(), len(made.fetch([key]))) == (0, 0)


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with qa.open(f"fifth:{tmp_path}/file") as db, pytest.raises(StorageError, match="file"):
        db.create("articles", dim=32)


def test_addresses_and_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = Address.parse("fifth+http://LocalHost#articles")
    assert (parsed.port, parsed.collection) == (5555, "articles")
    assert parsed.identity == "fifth+http://localhost:5555"
    assert parsed.secret({"FIFTH_API_KEY": "mine", "QDRANT_API_KEY": "theirs"}) == "mine"
    with pytest.raises(AddressError, match=r"did you mean fifth\+http://localhost:5555"):
        Address.parse("localhost:5555")
    with pytest.raises(AddressError, match="does not accept this address") as refused:
        qa.open("fifth+grpc://localhost:5555")
    assert "fifth+http://HOST:5555" in (refused.value.hint or "")
    with serving(tmp_path / "served") as port:
        server = f"fifth+http://127.0.0.1:{port}"
        with pytest.raises(AuthError, match="FIFTH_API_KEY"):
            qa.open(server).collections()
        monkeypatch.setenv("FIFTH_API_KEY", KEY)
        fill(server)
        qadapt("apply", server, "articles", "scalar", "--yes")
        with qa.open(server) as db:
            assert db.server().deployment == "server"
            assert db["articles"].count(filter={"group": 3}) == len(IDS[3::7])
            hits = db["articles"].search(SAMPLE.queries[:5], k=3, with_payload=True)
            assert hits.payloads is not None
    with pytest.raises(UnreachableError, match="start the server"):
        qa.open(server).collections()
