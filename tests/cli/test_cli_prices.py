"""--price and --disk-price: the memory line also has the monthly cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
GIB = 1024**3


def _monthly(memory: dict[str, float], when: str) -> float:
    return (3.8 * memory[f"ram_{when}"] + 0.1 * memory[f"disk_{when}"]) / GIB


@pytest.mark.parametrize("source", ["arguments", "spec", "saved plan"])
def test_plan_and_apply_end_in_ram_disk_and_cost(
    cli: Cli, articles: str, tmp_path: Path, source: str
) -> None:
    prices = ["--price", "3.8", "--disk-price", "0.1"]
    words = [articles, "articles", "scalar:originals=disk", *prices]
    if source == "spec":
        spec = {
            "store": articles,
            "prices": {"ram": 3.8, "disk": 0.1},
            "collections": {"articles": {"quantization": "scalar:originals=disk"}},
        }
        path = tmp_path / "spec.json"
        path.write_text(json.dumps(spec))
        words = ["-f", str(path)]
    planned = cli("plan", *words, "-o", str(tmp_path / "plan.json"))
    assert planned.code == 0, planned.err
    last = planned.out.splitlines()[-1]
    assert last.startswith("RAM ") and ", disk " in last and ", per month " in last
    if source == "saved plan":
        words = [str(tmp_path / "plan.json")]
    applied = cli("apply", *words, "--yes", "--json").json
    memory = applied["changes"][0]["memory"] if source == "spec" else applied["memory"]
    assert memory["prices"] == {"ram": 3.8, "disk": 0.1}
    for when in ("before", "after"):
        assert memory[f"monthly_{when}"] == pytest.approx(_monthly(memory, when))
    assert memory["monthly_after"] < memory["monthly_before"]


def test_invalid_prices_are_refused(cli: Cli, articles: str, tmp_path: Path) -> None:
    refused = cli("plan", articles, "articles", "scalar", "--price", "-1")
    assert refused.code == 2
    assert "non-negative" in refused.err
    path = tmp_path / "spec.json"
    wanted = {"articles": {"quantization": "scalar"}}
    spec = {"store": articles, "prices": {"ram": "much"}, "collections": wanted}
    path.write_text(json.dumps(spec))
    assert "prices.ram: expected a number such as 3.8" in cli("plan", "-f", str(path)).err


@pytest.mark.parametrize("command", ["verify", "eval"])
def test_measurements_end_in_the_memory_line(cli: Cli, articles: str, command: str) -> None:
    more = ["--concurrency", "0", "--price", "3.8"] if command == "eval" else []
    ran = cli(command, articles, "articles", "--queries", "20", *more)
    last = ran.out.splitlines()[-1]
    assert last.startswith("memory: RAM ")
    assert (", per month " in last) == (command == "eval")
