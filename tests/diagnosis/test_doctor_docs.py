"""docs/doctor.md lists all checks. ``python tests/diagnosis/test_doctor_docs.py --write`` writes
the list."""

from __future__ import annotations

import sys
from pathlib import Path

from qadapt.diagnosis import checks

PAGE = Path(__file__).resolve().parents[2] / "docs" / "doctor.md"
BEGIN, END = "<!-- made by tests/diagnosis/test_doctor_docs.py --write -->\n", "<!-- end -->"


def listed() -> str:
    """The table of all checks."""
    rows = [
        f"| `{check.code}` | {check.title} | {', '.join(check.stores) or 'all'} |"
        for check in checks()
    ]
    return "\n".join(["| check | what it finds | stores |", "|---|---|---|", *rows]) + "\n"


def test_the_page_lists_all_checks() -> None:
    text = PAGE.read_text(encoding="utf-8")
    between = text[text.index(BEGIN) + len(BEGIN) : text.index(END)]
    assert between == listed(), "python tests/diagnosis/test_doctor_docs.py --write"


def test_every_check_has_a_test() -> None:
    folder = Path(__file__).resolve().parents[1]
    files = (*folder.glob("diagnosis/*.py"), *folder.glob("stores/*/*.py"))
    tests = "".join(path.read_text(encoding="utf-8") for path in files)
    missing = [check.code for check in checks() if f'"{check.code}"' not in tests]
    assert missing == []


if __name__ == "__main__" and "--write" in sys.argv:
    page = PAGE.read_text(encoding="utf-8")
    start, stop = page.index(BEGIN) + len(BEGIN), page.index(END)
    PAGE.write_text(page[:start] + listed() + page[stop:], encoding="utf-8")
