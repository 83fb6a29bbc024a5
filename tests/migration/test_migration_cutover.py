"""What a plan says about aliases and the cut-over."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

import qadapt as qa
from qadapt.cli import main
from qadapt.migration.text import plan_lines

pytest.importorskip("qdrant_client")


@pytest.fixture
def aliased(tmp_path: Path) -> str:
    """A collection of the local mode with two aliases."""
    address = f"qdrant:{tmp_path / 'source'}"
    with qa.open(address) as database:
        database.create("docs", dim=4).write(qa.Batch([1, 2], {"": [[1.0, 0, 0, 0]] * 2}))
        database.switch_alias("live", "docs")
        database.switch_alias("beta", "docs")
        database.create("other", dim=4)
        database.switch_alias("elsewhere", "other")
    return address


def planned(source: Any, target: Any) -> dict[str, str]:
    return dict(plan_lines(qa.plan_migration(source, target, trial_copy=False)))


def test_the_aliases_of_the_source_are_listed(aliased: str, tmp_path: Path) -> None:
    for name in ("docs", "live"):
        found = planned(f"{aliased}#{name}", f"qdrant:{tmp_path / 'target'}#docs")
        assert found["aliases"] == "of the source: beta, live"


def test_the_command_of_the_cutover_switches_the_alias(aliased: str, tmp_path: Path) -> None:
    target = f"qdrant:{tmp_path / 'target'}"
    line = planned(f"{aliased}#docs", f"{target}#docs2")["cut-over"]
    assert line.startswith(f"clients change their address to {target}; --cutover beta creates ")
    qa.migrate(f"{aliased}#docs", f"{target}#docs2", cutover="beta")
    command = line[line.index("qadapt alias") :].partition(",")[0].removesuffix(" does")
    assert main(shlex.split(command)[1:]) == 0
    with qa.open(target) as database:
        assert database.aliases()["beta"] == "docs2"


def test_within_a_database_clients_follow_the_alias(aliased: str) -> None:
    with qa.open(aliased) as database:
        line = planned(database["docs"], (database, "docs2"))["cut-over"]
        database.create("plain", dim=4).write(qa.Batch([1], {"": [[1.0, 0, 0, 0]]}))
        plain = planned(database["plain"], (database, "docs2"))
    assert line.startswith("clients that use an alias follow it after --cutover beta, or qadapt ")
    assert plain["cut-over"].startswith(
        "the source has no alias: clients that use its name change to the new name, or to an alias"
    )
    assert "aliases" not in plain


def test_a_target_without_aliases_says_what_clients_open(aliased: str, tmp_path: Path) -> None:
    target = f"edge:{tmp_path / 'target'}"
    line = planned(f"{aliased}#docs", f"{target}#docs2")["cut-over"]
    assert line == (
        f"edge has no aliases: clients open 'docs2' at {target}; the source remains until you drop "
        "it"
    )
