"""Damaged settings, code indexes and plan files: a qadapt error for that collection only."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import corruptions
import numpy as np
import pytest
from slow import some

import qadapt as qa
from qadapt.api import Collection, Plan, load_plan
from qadapt.cli import main
from qadapt.errors import IntegrityError, QadaptError, SpecError
from qadapt.local import client_codes, code_freshness, state
from qadapt.model import Kind, Vector
from qadapt.stores.base import silent


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setattr("qadapt.stores.polling.PAUSE", 0)


def each_damaged(
    every: Iterable[corruptions.Damage], folder: Path, spare: Path, work: Callable[[], Any]
) -> tuple[int, int]:
    """Damage the folder, work, restore; how many corruptions, and how many were noticed."""
    shutil.copytree(folder, spare)
    tried = noticed = 0
    for told, damage in list(every):
        shutil.rmtree(folder)
        shutil.copytree(spare, folder)
        damage()
        tried += 1
        try:
            work()
        except QadaptError as error:
            noticed += 1
            assert error.hint or error.message, told
        except Exception as error:
            raise AssertionError(f"{told}: {type(error).__name__}: {error}") from error
    return tried, noticed


def test_settings(fake: Any, state_folder: Path, tmp_path: Path) -> None:
    articles = Collection(fake, "articles")
    articles.plan("binary:rescore=4").apply(yes=True)
    other = fake.address.parse("qdrant+http://other:1")
    state.write_settings(other, "articles", state.Settings())
    (path,) = (state_folder / "settings").iterdir()

    def work() -> None:
        try:
            articles.info()
            articles.search(np.ones((1, 4)), k=1)
            articles.plan("scalar")
        except IntegrityError as error:
            assert str(path) in str(error)
            raise
        finally:
            assert state.read_settings(other, "articles") == state.Settings()

    every = [*corruptions.of_file(path), *corruptions.of_json(path)]
    tried, noticed = each_damaged(every, state_folder, tmp_path / "spare", work)
    assert tried > 80
    assert noticed > tried / 2
    state.forget(fake.address, "articles")
    articles.plan("scalar")


def test_settings_of_a_newer_qadapt(fake: Any, state_folder: Path) -> None:
    articles = Collection(fake, "articles")
    articles.plan("binary:rescore=4").apply(yes=True)
    (path,) = (state_folder / "settings").iterdir()
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["format"] == 1
    path.write_text(json.dumps({**document, "format": 2, "qadapt": "9.1.0"}), encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"written by qadapt 9\.1\.0 in format 2") as caught:
        articles.info()
    assert "upgrade" in str(caught.value.hint)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:ranges are taken from 3 vectors")
@pytest.mark.parametrize("kind", ["binary", "scalar"])
def test_a_code_index(kind: str, fake: Any, state_folder: Path, tmp_path: Path) -> None:
    wanted = qa.Quantization(Kind(kind))
    vector: Vector = fake.info("articles").vectors[""].vector
    client_codes.build_and_register(fake, "articles", "", wanted, silent)
    place = state.index_dir(fake.address, "articles", "")
    files = [path for path in sorted(place.iterdir()) if path.stat().st_size]
    every = [damage for path in files for damage in corruptions.of_file(path, len(path.name))]
    every += corruptions.of_json(place / "index.json")
    assert len(every) > 150
    every = some(every, 40)

    def work() -> None:
        status, _ = code_freshness.status(fake, "articles", vector, "", wanted, 3)
        assert status.state in (qa.State.ACTIVE, qa.State.IGNORED)
        client_codes.open_index(fake, "articles", "").close()

    tried, noticed = each_damaged(every, state_folder, tmp_path / "spare", work)
    assert tried == len(every)
    assert noticed > tried / 3


@pytest.mark.slow
def test_a_plan_file(
    fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "plans"
    folder.mkdir()
    path = folder / "plan.json"
    path.write_text(
        Collection(fake, "articles")
        .plan("binary:rescore=4", guard=qa.Guard(0.01, k=1, queries=2))
        .to_json(),
        encoding="utf-8",
    )
    monkeypatch.setattr("qadapt.api.change.open_store", lambda *_, **__: fake)

    def work() -> None:
        fake.quantization = qa.none()
        plan = load_plan(path)
        str(plan)
        assert plan.to_json()
        plan.apply(yes=True, timeout=0.01)

    every = some([*corruptions.of_file(path), *corruptions.of_json(path)], 30)
    tried, noticed = each_damaged(every, folder, tmp_path / "spare", work)
    assert tried == len(every)
    assert noticed > tried / 2

    for told, damage in some([*corruptions.of_file(path)][:40], 5):
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "spare", folder)
        damage()
        capsys.readouterr()
        code = main(["apply", str(path), "--yes"])
        assert "bug in qadapt" not in capsys.readouterr().err, told
        assert code in (0, 1, 2, 3, 4)


def test_a_plan_of_a_newer_qadapt(fake: Any) -> None:
    document = Collection(fake, "articles").plan("binary").to_dict()
    for newer in ({"format": 2}, {"sharding": {}}):
        with pytest.raises(qa.errors.SpecError, match=r"written by qadapt 9\.0") as caught:
            Plan.from_dict({**document, "qadapt": "9.0", **newer})
        assert "upgrade" in str(caught.value.hint)


def test_a_plan_for_another_address_is_refused(fake: Any) -> None:
    plan = Collection(fake, "articles").plan("binary")
    elsewhere = plan.replace(address="qdrant+http://elsewhere:1")
    object.__setattr__(elsewhere, "_store", fake)
    with pytest.raises(qa.errors.PlanError, match="elsewhere"):
        elsewhere.apply(yes=True)
    again = plan.replace(address="qdrant+http://FAKE:1/")
    object.__setattr__(again, "_store", fake)
    assert again.apply(yes=True).state == "applied"


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"op": "fake.sett", "to": "binary"}, "unknown operation"),
        ({"op": "fake.set"}, "no field 'to'"),
        ({"op": "fake.set", "to": 8}, "'to' of fake"),
        ({"op": "fake.set", "to": "binary", "of": 1}, "unknown key"),
        ({"to": "binary"}, "does not name an operation"),
        ({"op": "qadapt.remember", "vector": 1, "rescore": None}, "'vector' of qadapt"),
    ],
)
@pytest.mark.parametrize("place", ["request", "reverse"])
def test_a_malformed_request_is_refused_before_anything_is_begun(
    fake: Any, place: str, request_: dict[str, Any], why: str
) -> None:
    document = Collection(fake, "articles").plan("binary").to_dict()
    document["steps"][0][place] = request_
    plan = Plan.from_dict(document)
    object.__setattr__(plan, "_store", fake)
    with pytest.raises(SpecError, match=why):
        plan.apply(yes=True)
    assert fake.requests == []
    assert qa.history() == []
