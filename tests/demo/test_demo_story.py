"""The whole demo on small generated wheels, in the real engine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from demo_helpers import pinned

import qadapt.demo
from qadapt.demo import story
from qadapt.errors import InputError, QadaptError
from qadapt.model import Plan
from qadapt.stores.base import Progress

pytest.importorskip("tokenizers")
pytest.importorskip("qdrant_edge")


class Screen:
    """Records the output of the demo."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.tables: list[tuple[str, list[str], list[list[str]]]] = []
        self.plans: list[Plan] = []
        self.steps: list[Progress] = []

    def run(self, **how: Any) -> dict[str, Any]:
        return qadapt.demo.run(
            say=self.said.append,
            progress=self.steps.append,
            show=lambda *table: self.tables.append(table),
            plan=self.plans.append,
            **how,
        )


@pytest.fixture(autouse=True)
def small(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, texts_wheel: Path, model_wheel: Path
) -> None:
    monkeypatch.setenv("QADAPT_CACHE_DIR", str(texts_wheel.parent))
    monkeypatch.setattr(story, "TEXTS", pinned(story.TEXTS, texts_wheel))
    monkeypatch.setattr(story, "MODEL", pinned(story.MODEL, model_wheel))
    monkeypatch.setenv("QADAPT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(story, "QUERIES", 30)
    monkeypatch.setattr(story, "GUARD", 0.1)
    monkeypatch.setattr(story, "ASKED", ("w001 w002 w003",))


def test_the_report_contains_all_sections(tmp_path: Path) -> None:
    screen = Screen()
    report = screen.run(folder=None, rows=None)

    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert (report["rows"], report["dim"], report["queries"]) == (600, 64, 30)
    states = [report[when]["state"] for when in ("before", "after", "undone")]
    assert states == ["absent", "active", "absent"]
    assert report["undone"]["recall_exact"] == 1.0
    assert report["undone"]["recall"] > 0.9
    assert report["change"]["recall_after"] < report["change"]["recall_before"] == 1.0
    assert report["guard_missed"]["missed"]
    assert [str(plan.requested.kind) for plan in screen.plans] == ["binary"]
    (asked,) = report["searches"]
    assert len(asked["hits"]) == story.SHOWN
    assert asked["how"]["rescored_on"] == "originals"

    lines = {(line["quantization"], line["rescore"]): line for line in report["table"]}
    assert report["table"][0]["recall"] == 1.0, "no index yet: every row is compared"
    assert 64 * 4 <= lines["float32", ""]["bytes_per_vector"] < 64 * 5
    assert lines["binary", "off"]["bytes_per_vector"] < 64
    for name in ("binary", "rotational:bits=1", "rotational:bits=4"):
        off, on = lines[name, "off"], lines[name, "x4"]
        assert off["recall"] < on["recall"] <= 1
        assert off["p50_ms"] > 0
    assert len(screen.tables) == 2, "the results and the comparison"
    assert {step.stage for step in screen.steps} >= {"embedding", "writing"}

    memory = report["change"]["memory"]
    assert memory["ram_after"] < memory["ram_before"] / 2
    assert screen.said[-1] == f"memory: {report['memory_line']}"
    assert "RAM " in screen.said[-1]

    # A temporary folder is deleted together with its history.
    assert not (tmp_path / "state").exists()
    assert os.environ["QADAPT_STATE_DIR"] == str(tmp_path / "state")
    assert report["folder"] is None


def test_a_given_folder_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(story, "OTHERS", ())
    folder = tmp_path / "kept"
    report = Screen().run(folder=folder, rows=300)
    assert report["rows"] == 300
    assert report["folder"] == str(folder)
    with qadapt.open(f"edge:{folder}") as db:
        assert db["articles"].count() == 300
    screen = Screen()
    with pytest.raises(InputError, match="not an empty folder"):
        screen.run(folder=folder, rows=300)
    with pytest.raises(InputError, match="at least 200"):
        screen.run(folder=None, rows=5)
    assert not screen.said, "refused before any download"


def test_without_a_network_the_error_has_a_hint(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("QADAPT_CACHE_DIR", str(tmp_path / "empty"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(QadaptError, match="cannot download") as caught:
        Screen().run(folder=None, rows=None)
    assert "QADAPT_CACHE_DIR" in (caught.value.hint or "")
    assert not list((tmp_path / "empty").iterdir())
