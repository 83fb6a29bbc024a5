"""No source or test file is longer than CONTRIBUTING.md allows."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOST_LINES = 400


def test_no_file_is_too_long() -> None:
    files = [path for part in ("qadapt", "tests") for path in (ROOT / part).rglob("*.py")]
    assert len(files) > 500
    lines = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in files}
    long = {name: count for name, count in lines.items() if count > MOST_LINES}
    assert not long, f"split these files by reason to change: {long}"
