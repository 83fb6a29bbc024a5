"""Notes of plans about memory agree with the memory line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import qadapt as qa
from qadapt.testing import clustered


@pytest.mark.parametrize(
    ("setting", "note"),
    [
        ("binary:originals=disk", "original vectors are kept on disk: codes need additional disk"),
        ("binary", "original vectors are kept: codes need additional disk and RAM"),
    ],
)
def test_a_setting_that_saves_ram_is_not_said_to_need_more(
    live: Callable[[str], str], setting: str, note: str
) -> None:
    with qa.open(live("edge")) as db:
        articles = db.create("articles", dim=16)
        articles.write(qa.Batch(range(300), {"": clustered(300, 16).rows}))
        plan = articles.plan(setting)
    assert note in plan.notes
    assert plan.memory is not None
    saves = plan.memory.ram_after < plan.memory.ram_before
    assert saves is ("RAM" not in note)
