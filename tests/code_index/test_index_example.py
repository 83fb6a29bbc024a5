"""The example of the code index runs, and prints what docs/code-index.md describes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_example_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "code_index.py"), str(tmp_path / "index")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    recalls = [float(text) for text in re.findall(r"recall@10 ([\d.]+)", done.stdout)]
    assert len(recalls) == 3 and recalls == sorted(recalls) and recalls[-1] > 0.9
    assert re.search(
        r"first stage: (numpy|numba|faiss) [\d.]+:hamming rescored on: codes", done.stdout
    )
    assert "rows: 19998" in done.stdout


def test_the_page_of_the_code_index_shows_the_example() -> None:
    """Statements of the page that are in the example, so that they run."""
    page = (ROOT / "docs" / "code-index.md").read_text(encoding="utf-8")
    source = (ROOT / "examples" / "code_index.py").read_text(encoding="utf-8")
    calls = re.findall(r"`(index\.\w+\([^`]*\))`", page)
    calls += re.findall(
        r"^ +(?:with |hits = )?((?:index|qa)\.[\w.]+\([^#\n]*\))", page, re.MULTILINE
    )
    assert len(calls) >= 8
    assert [call for call in calls if call not in source] == []
