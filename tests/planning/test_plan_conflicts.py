"""A change that a client with another state folder replaces during the change."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection
from qadapt.errors import BusyError, PlanStaleError, UnsupportedError
from qadapt.local.state import collection_key
from qadapt.model import State, Status
from qadapt.model.address import Address
from qadapt.planning import conflicts
from qadapt.stores.qdrant.edge.store import EdgeStore


def _replaced(*_: object, **__: object) -> None:
    raise PlanStaleError(
        "another client changed the index", hint="create a new plan with `qadapt plan`"
    )


def test_a_replaced_change_is_rolled_back(
    articles: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = articles.plan("binary:rescore=4")
    with monkeypatch.context() as patched:
        patched.setattr(EdgeStore, "run", _replaced)
        with pytest.raises(PlanStaleError, match="another client"):
            plan.apply(yes=True)
    assert [each.state for each in qa.history()] == ["undone"]
    assert articles.plan("scalar").notes == articles.plan("binary").notes  # no unfinished change
    assert articles.plan("scalar").apply(yes=True).state == "applied"


def test_a_change_replaced_before_verification_is_not_applied(
    articles: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine reports active for the quantization of the other client."""
    with monkeypatch.context() as patched:
        patched.setattr(EdgeStore, "run", lambda *_, **__: None)
        patched.setattr("qadapt.planning.apply.wait_for", lambda *_, **__: Status(State.ACTIVE))
        with pytest.raises(PlanStaleError, match="it now has none, not binary"):
            articles.plan("binary:rescore=4").apply(yes=True)
    assert [each.state for each in qa.history()] == ["undone"]
    assert articles.info().vectors[""].default_rescore is None


def test_an_undo_leaves_the_change_of_another_client(
    articles: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = articles.plan("binary").apply(yes=True)
    with monkeypatch.context() as patched:
        patched.setattr(EdgeStore, "run", _replaced)
        with pytest.raises(PlanStaleError, match="another client"):
            change.undo()
    assert [each.state for each in qa.history()] == ["undone"]
    assert articles.info().vectors[""].quantization.kind == "binary"


# -- planning while another process changes the collection ---------------------------------------


@pytest.fixture
def other() -> Iterator[int]:
    """The id of another process."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.communicate(b"\n")


def _hold(state_folder: Path, address: Address, collection: str, pid: int) -> None:
    holder = state_folder / "locks" / f"{collection_key(address, collection)}.lock.holder"
    holder.parent.mkdir(exist_ok=True)
    told = {"pid": pid, "host": socket.gethostname(), "since": "2026-01-02T03:04:05+00:00"}
    holder.write_text(json.dumps(told), encoding="utf-8")


def test_a_plan_of_a_half_changed_collection_names_the_process(
    tmp_path: Path, state_folder: Path, other: int
) -> None:
    pytest.importorskip("qdrant_client")
    with qa.open(f"qdrant:{tmp_path / 'd'}") as db:
        articles = db.create("articles", dim=4)
        articles.write(qa.Batch([1], {"": np.eye(1, 4, dtype=np.float32)}))
        with pytest.raises(UnsupportedError):
            articles.plan("binary")
        _hold(state_folder, db._store.address, "articles", other)
        with pytest.raises(BusyError) as caught:
            articles.plan("binary")
        assert f"'articles' is being changed by process {other}, since 2026-01-02" in str(
            caught.value
        )
        assert f"kill {other}" in str(caught.value)
        _hold(state_folder, db._store.address, "articles", os.getpid())
        with pytest.raises(UnsupportedError):
            articles.plan("binary")


def test_an_alias_and_its_collection_are_locked_together(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_client")
    with qa.open(f"qdrant:{tmp_path / 'd'}") as db:
        db.create("articles_v1", dim=4)
        db.switch_alias("articles", "articles_v1")
        store: Any = db._store
        with (
            conflicts.alone(store, "articles"),
            pytest.raises(BusyError, match="'articles_v1' is being changed by this process"),
            conflicts.alone(store, "articles_v1"),
        ):
            pass
        with (
            conflicts.alone(store, "articles_v1"),
            pytest.raises(BusyError, match="'articles_v1' is being changed by this process"),
            conflicts.alone(store, "articles"),
        ):
            pass
