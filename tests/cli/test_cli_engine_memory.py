"""``verify`` and ``cost`` print the measured memory of the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qadapt as qa
from qadapt.testing import clustered

WHAT = "resident memory of this process, everything included"


def test_the_measured_memory_is_printed_before_the_memory_line(
    cli: Any, live: Callable[[str], str]
) -> None:
    url = live("edge")
    with qa.open(url) as db:
        db.create("articles", dim=16).write(qa.Batch(range(300), {"": clustered(300, 16).rows}))
    verified = cli("verify", url, "articles").out
    measured, memory = verified.index("measured: "), verified.index("memory: ")
    assert measured < memory
    assert WHAT in " ".join(verified[measured:memory].split())
    assert verified.rstrip().splitlines()[-1].startswith("memory: ")
    assert WHAT in " ".join(cli("cost", url, "articles").out.split())
    assert '"engine_memory"' in cli("cost", url, "articles", "--json").out
