"""A key with insufficient permissions changes nothing, and the journal records it."""

from __future__ import annotations

from typing import Any

import pytest
from fake_optimizer import FakeOptimizer
from qdrant_helpers import BINARY, NEW, PATH, info_of, ok, recording, refused

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import AuthError
from qadapt.model import State

VECTOR = {"size": 96, "distance": "Cosine"}
FORBIDDEN = recording("errors/readonly_patch")["response"]["body"]["status"]["error"]


class Locked(FakeOptimizer):
    """A server that accepts PATCHes of some keys only.

    Attributes:
        key: permitted keys of a PATCH; None for all.
    """

    key: str | None = "nothing"

    def reply(self, request: Any, path: str) -> Any:
        body = self.sent[-1][2] or {}
        refusing = self.key is not None and set(body) != {self.key}
        if (request.method, path) == ("PATCH", PATH) and refusing:
            return refused(403, FORBIDDEN)
        return super().reply(request, path)


def locked(codes: Any = None) -> Locked:
    return Locked(info_of(VECTOR, codes, points=20_000), version=NEW)


def test_a_forbidden_change_reports_the_required_key() -> None:
    server = locked()
    articles = Database(server.store())["articles"]
    plan = articles.plan("binary")
    with pytest.raises(AuthError) as caught:
        plan.apply(yes=True)
    hint = str(caught.value.hint)
    assert hint.startswith("nothing was changed; ")
    assert "api-key" in hint
    assert "undo" not in hint and "finish" not in hint
    assert articles.info().vectors[""].status.state is State.ABSENT


def test_a_forbidden_change_leaves_nothing_to_roll_back() -> None:
    server = locked()
    database = Database(server.store())
    with pytest.raises(AuthError):
        database["articles"].plan("binary").apply(yes=True)
    assert [change.state for change in qa.history()] == ["undone"]
    server.key = None
    plan = database["articles"].plan("scalar:bits=7")
    assert not any("unfinished" in note for note in plan.notes)
    assert plan.apply(yes=True, timeout=5).state == "applied"


def test_a_forbidden_second_step_can_be_rolled_back() -> None:
    server = locked()
    server.key = "quantization_config"
    articles = Database(server.store())["articles"]
    with pytest.raises(qa.errors.ApplyError) as caught:
        articles.plan("binary:rescore=4").apply(yes=True, timeout=5)
    assert "qadapt undo" in str(caught.value.hint)
    assert "nothing was changed" not in str(caught.value.hint)


def test_a_forbidden_undo_leaves_the_change_applied() -> None:
    server = locked()
    server.key = None
    database = Database(server.store())
    change = database["articles"].plan("binary").apply(yes=True, timeout=5)
    server.key = "nothing"
    with pytest.raises(AuthError, match="Global manage access") as caught:
        change.undo()
    assert str(caught.value.hint).startswith("nothing was changed")
    assert [each.state for each in qa.history()] == ["applied"]
    server.key = None
    change.undo(timeout=5)
    assert [each.state for each in qa.history()] == ["undone"]


def test_reading_operations_need_no_write_permission() -> None:
    server = locked(BINARY)
    server.on("POST", PATH + "/points/query/batch", ok([{"points": []}]))
    articles = Database(server.store())["articles"]
    assert articles.info().vectors[""].status.state is State.ACTIVE
    assert articles.plan("scalar:bits=7").changes
    assert server.writes() == []
