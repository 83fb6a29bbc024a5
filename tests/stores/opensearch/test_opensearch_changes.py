"""Copies that are interrupted, continued and undone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stores.opensearch.conftest import DIM, ROWS

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import ApplyError, PlanStaleError, StoreError, UnsupportedError
from qadapt.evaluation.shortlist import default_codes
from qadapt.stores.elastic.connection import Connection
from qadapt.stores.elastic.opensearch.copy_switch import Copy


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a request fail once, as if the program had ended there."""

    def cut(word: str) -> None:
        whole, left = Connection.ask, [1]

        def ask(self: Connection, method: str, path: str, *args: Any, **options: Any) -> Any:
            if method != "GET" and word in path and left:
                left.pop()
                raise StoreError(f"cut off at {path}", hint="")
            return whole(self, method, path, *args, **options)

        monkeypatch.setattr(Connection, "ask", ask)

    return cut


@pytest.mark.parametrize("word", ["_clone", "_aliases"])
def test_an_interrupted_copy_is_continued(
    database: Database, articles: Collection, cut_off: Any, word: str, name: str
) -> None:
    """Searches find all rows before and after; writes are refused only during the copy."""
    before = articles.fetch(list(range(ROWS))).vectors[""].tobytes()
    cut_off(word)
    plan = articles.plan("binary")
    with pytest.raises(ApplyError, match="cut off"):
        plan.apply(yes=True, timeout=120)
    assert name not in database.aliases()
    assert articles.info().vectors[""].status.state is qa.State.ABSENT
    assert articles.count() == ROWS
    articles.write(qa.Batch([ROWS], {"": np.ones((1, DIM))}))

    change = articles.plan("binary").apply(yes=True, timeout=120)
    assert articles.info().vectors[""].status.state is qa.State.ACTIVE
    assert articles.count() == ROWS + 1
    assert articles.fetch(list(range(ROWS))).vectors[""].tobytes() == before
    change.undo(timeout=120)
    assert articles.info().vectors[""].status.state is qa.State.ABSENT
    assert articles.count() == ROWS + 1
    articles.write(qa.Batch([ROWS + 1], {"": np.ones((1, DIM))}))


def test_an_index_with_the_name_of_the_copy_is_not_overwritten(
    client: Any, articles: Collection, name: str
) -> None:
    plan = articles.plan("binary")
    client.indices.create(index=f"{name}_v2")
    client.index(index=f"{name}_v2", body={"theirs": 1}, refresh=True)
    with pytest.raises(PlanStaleError, match="not a copy of this change"):
        plan.apply(yes=True, timeout=120)
    assert client.count(index=f"{name}_v2")["count"] == 1


@pytest.mark.parametrize("planned_later", [False, True])
def test_a_second_client_does_not_end_the_copy_of_the_first(
    articles: Collection, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    planned_later: bool,
) -> None:  # fmt: skip
    """With another state folder they share no lock: the second allowed writes, so both failed."""
    late = None if planned_later else articles.plan("scalar:bits=7")
    load, told = Copy.load, []

    def meanwhile(self: Copy, at: Any) -> None:
        with monkeypatch.context() as other:
            other.setattr(Copy, "load", load)
            other.setenv("QADAPT_STATE_DIR", str(tmp_path / "other"))
            with pytest.raises(PlanStaleError) as caught:
                (late or articles.plan("scalar:bits=7")).apply(yes=True, timeout=120)
        told.append(str(caught.value))
        load(self, at)

    monkeypatch.setattr(Copy, "load", meanwhile)
    articles.plan("binary").apply(yes=True, timeout=120)
    assert "another client" in told[0] and "wait until it has finished" in told[0]
    vector = articles.info().vectors[""]
    assert (str(vector.quantization.kind), str(vector.status.state)) == ("binary", "active")
    articles.write(qa.Batch([ROWS], {"": np.ones((1, DIM))}))


def test_other_aliases_and_settings_are_copied(
    client: Any, articles: Collection, name: str
) -> None:
    client.indices.put_alias(index=name, name=f"{name}-reader", body={"filter": {"match_all": {}}})
    client.indices.put_settings(index=name, body={"index.refresh_interval": "5s"})
    articles.plan("scalar:bits=7").apply(yes=True, timeout=120)
    (real,) = client.indices.get_alias(name=name)
    assert set(client.indices.get_alias(index=real)[real]["aliases"]) == {name, f"{name}-reader"}
    settings = client.indices.get_settings(index=real)[real]["settings"]["index"]
    assert settings["refresh_interval"] == "5s"
    assert settings["knn"] == "true"


def test_what_the_engine_lacks_needs_the_client(articles: Collection) -> None:
    with pytest.raises(UnsupportedError, match="8 bits") as refused:
        articles.plan("scalar")
    assert "scalar:bits=7" in (refused.value.hint or "")
    with pytest.raises(UnsupportedError, match="in place"):
        articles.plan("binary", strategy="in-place")
    with pytest.raises(UnsupportedError, match="does not add a vector"):
        articles.plan("binary", strategy="vector")


def test_advice_and_fixes_offer_the_width_of_scalar_codes_that_the_engine_has(
    database: Database, articles: Collection
) -> None:
    offered = default_codes(database._store)
    assert "scalar:bits=7" in offered
    assert "scalar" not in offered
    articles.plan("binary").apply(yes=True, timeout=120)
    commands = [each.command for each in articles.doctor().findings if "apply" in each.command]
    assert any(command.endswith("scalar:bits=7") for command in commands)
    assert not any(command.endswith(" scalar") for command in commands)
