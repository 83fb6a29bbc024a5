"""kill -9 during a copy, and the guard of an apply, on the server."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slow import SLOW

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import GuardMissedError

# Applies a change by a copy, and kills itself before or after a call.
CHILD = """
import os, signal, sys
import qadapt as qa
from qadapt.stores.elastic import copy_switch

address, name, when, call = sys.argv[1:]
owner = {"_block": copy_switch, "write_documents": copy_switch.rows}.get(call, copy_switch.Rebuild)
original = getattr(owner, call)

def dying(*args, **more):
    if when == "after":
        original(*args, **more)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(owner, call, dying)
with qa.open(address) as database:
    database[name].plan("scalar", strategy="alias").apply(yes=True)
"""
MOMENTS = [
    ("before", "_block"),
    ("after", "_block"),
    ("after", "create"),
    ("after", "write_documents"),
    ("after", "compare"),
    ("after", "switch"),
]


@pytest.fixture
def aliased(
    database: Database,
    name: str,
    articles: Collection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Collection:
    monkeypatch.setenv("QADAPT_STATE_DIR", str(tmp_path / "state"))
    database.switch_alias(f"{name}_alias", name)
    return database[f"{name}_alias"]


def blocked(raw: Any, name: str) -> set[str]:
    """The indexes whose writes are blocked, or are marked so."""
    found = raw("GET", f"/{name}*")
    return {
        index
        for index, each in found.items()
        if "blocks" in each["settings"]["index"] or "blocked" in each["mappings"]["_meta"]["qadapt"]
    }


@pytest.mark.parametrize("then", ["apply", "undo"])
@pytest.mark.parametrize(("when", "call"), MOMENTS if SLOW else [MOMENTS[1], MOMENTS[-1]])
def test_no_index_stays_blocked_after_a_kill(
    url: str, raw: Any, name: str, sample: Any, aliased: Collection, when: str, call: str, then: str
) -> None:
    """The next apply completes the change, an undo takes it back; either allows writes again."""
    command = [sys.executable, "-c", CHILD, url, f"{name}_alias", when, call]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert blocked(raw, name) == {name}
    if then == "apply":
        aliased.plan("scalar", strategy="alias").apply(yes=True)
        assert aliased.info().vectors[""].status.state is qa.State.ACTIVE
    else:
        qa.undo()
        assert aliased.info().vectors[""].quantization == qa.none()
    assert blocked(raw, name) == set()
    aliased.write(qa.Batch([len(sample.rows)], {"": sample.rows[:1]}))
    assert aliased.count() == len(sample.rows) + 1


@pytest.mark.parametrize(("least", "holds"), [(0.99, False), (0.3, True)])
def test_a_guard_undoes_a_change_whose_recall_is_too_low(
    articles: Collection, sample: Any, least: float, holds: bool
) -> None:
    """Of codes of 1 bit without rescoring, which the server searches."""
    before = articles.info()
    guard = qa.Guard(least, k=10, queries=sample.queries)
    plan = articles.plan("binary:rescore=off", guard=guard)
    if holds:
        change = plan.apply(yes=True)
        vector = articles.info().vectors[""]
        assert change.recall_after is not None
        assert least <= change.recall_after < 0.99
        assert (vector.quantization.kind, vector.status.state) == (
            qa.Kind.BINARY, qa.State.ACTIVE,
        )  # fmt: skip
        return
    with pytest.raises(GuardMissedError, match="rolled back"):
        plan.apply(yes=True)
    after = articles.info().vectors[""]
    assert after.quantization == before.vectors[""].quantization
    assert after.status.state is qa.State.ABSENT
    exact = articles.search(sample.queries, k=10, exact=True)
    found = articles.search(sample.queries, k=10)
    pairs = zip(found.ids.tolist(), exact.ids.tolist(), strict=True)
    assert np.mean([len(set(one) & set(other)) / 10 for one, other in pairs]) > 0.97
