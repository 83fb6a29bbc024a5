"""Output and exit codes of the commands migrate and check."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from migration_help import DIM, rows
from typer.testing import CliRunner

import qadapt as qa
from qadapt.cli.app import app

run = CliRunner()


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A folder with 3,000 rows in ``docs``."""
    pytest.importorskip("qdrant_edge")
    address = f"edge:{tmp_path / 'cli'}"
    with qa.open(address) as database:
        made = database.create("docs", dim=DIM, metric="cosine")
        made.write(qa.Batch(range(3000), {"": rows(3000)}, [{"n": at} for at in range(3000)]))
    yield address


def test_a_dry_run_shows_the_plan_and_copies_nothing(url: str) -> None:
    out = run.invoke(app, ["migrate", f"{url}#docs", f"{url}#copy", "--dry-run"])
    assert out.exit_code == 0, out.output
    for words in ("3,000", "normalizes", "trial copy", "ids", "payload", "n (int)", "time"):
        assert words in out.output
    with qa.open(url) as database:
        assert database.collections() == ["docs"]
    out = run.invoke(app, ["migrate", f"{url}#docs", f"{url}#copy", "--dry-run", "--json"])
    assert json.loads(out.stdout)["count"] == 3000


def test_check_exits_with_3_when_collections_differ(url: str, tmp_path: Path) -> None:
    target = f"edge:{tmp_path / 'other'}"
    out = run.invoke(app, ["migrate", f"{url}#docs", target, "--quantize", "scalar",
                           "--gate", "recall@10>=0.9"])  # fmt: skip
    assert out.exit_code == 0, out.output
    for words in ("migrated", "3,000 rows in", "rows/s", "active", "recall@10"):
        assert words in out.output
    good = ["check", f"{url}#docs", target, "--gate", "recall@10>=0.9"]
    assert run.invoke(app, good).exit_code == 0
    out = run.invoke(app, ["check", f"{url}#docs", target, "--gate", "recall@10>=1"])
    assert out.exit_code == 3
    assert "MISSED" in out.output
    with qa.open(target) as database:
        database["docs"].delete([7, 8])
        database["docs"].write(qa.Batch([9], {"": np.ones((1, DIM))}, [{"n": 1000}]))
    out = run.invoke(app, ["check", f"{url}#docs", target, "--json"])
    assert out.exit_code == 3
    found = json.loads(out.stdout)
    assert (found["missing"], found["unexpected"], found["different"]) == (2, 0, 1)
    assert {(each["id"], each["kind"]) for each in found["differences"]} == {
        (7, "missing"), (8, "missing"), (9, "vector"), (9, "payload")
    }  # fmt: skip
    out = run.invoke(app, ["check", f"{url}#docs", target, "--rows", "sample"])
    assert out.exit_code == 3


def test_json_events_include_rate_eta_and_lag(url: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "qadapt.cli", "migrate", f"{url}#docs",
             f"edge:{tmp_path / 'o'}", "--json", "--batch", "0.01"]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=True)
    events = [json.loads(line) for line in done.stderr.splitlines()]
    copying = [each for each in events if each["stage"] == "copying"]
    assert copying
    assert {"done", "total", "rate", "eta", "lag"} <= set(copying[-1])
    assert (copying[-1]["done"], copying[-1]["lag"]) == (3000, 0)
    metrics = json.loads(done.stdout)["metrics"]
    assert metrics["rows"] == 3000
    assert metrics["rows_per_second"] > 0


def test_errors_suggest_the_next_command(url: str, tmp_path: Path) -> None:
    out = run.invoke(app, ["migrate", url, f"edge:{tmp_path / 'o'}"])
    assert out.exit_code == 2
    assert "#articles" in out.output
    out = run.invoke(app, ["migrate", f"{url}#docs", f"{url}#docs"])
    assert out.exit_code == 2
    out = run.invoke(app, ["migrate", f"{url}#docs", f"{url}#x", "--resume"])
    assert (out.exit_code, "--resume" in out.output) == (1, True)
    out = run.invoke(app, ["migrate", f"{url}#docs", f"{url}#x", "--check", "some"])
    assert (out.exit_code, "sample" in out.output) == (2, True)
    out = run.invoke(app, ["migrate", f"{url}#docs", f"{url}#x", "--on", "spark"])
    assert (out.exit_code, "ray" in out.output) == (2, True)


def test_the_rollback_of_a_cutover_is_a_command(url: str, tmp_path: Path) -> None:
    pytest.importorskip("qdrant_client")
    address, name = f"qdrant:{tmp_path / 'local'}", "Mig"
    with qa.open(address) as there:
        for each in (f"{name}_old", f"{name}_new"):
            there.create(each, dim=DIM, metric="cosine")
    words = ["alias", address, f"{name}_live"]
    assert run.invoke(app, [*words, f"{name}_old"]).exit_code == 0
    out = run.invoke(app, ["migrate", f"{url}#docs", f"{address}#{name}", "--cutover",
                           f"{name}_live", "--json"])  # fmt: skip
    assert out.exit_code == 0, out.output
    rollback = json.loads(out.stdout)["cutover"]["rollback"]
    assert rollback == f"qadapt alias {address} {name}_live {name}_old"
    assert run.invoke(app, rollback.split()[1:]).exit_code == 0
    assert json.loads(run.invoke(app, ["alias", address, "--json"]).stdout)["aliases"] == {
        f"{name}_live": f"{name}_old"
    }
    assert run.invoke(app, [*words, "--drop"]).exit_code == 0
    with qa.open(address) as again:
        assert again.aliases() == {}
