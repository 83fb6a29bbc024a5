"""Expected failures are strict and have a reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from expected import notimpl, notyet

HERE = Path(__file__).parent
OWN = {"expected.py", "test_expected.py", "test_skips.py"}


@pytest.mark.parametrize("mark", [notimpl, notyet])
def test_a_mark_is_a_strict_xfail_with_its_reason(mark: object) -> None:
    made = mark("no filters", raises=KeyError).mark  # type: ignore[operator]
    assert made.name == "xfail"
    name = mark.__name__  # type: ignore[attr-defined]
    assert made.kwargs == {"reason": f"{name}: no filters", "raises": KeyError, "strict": True}


def test_a_mark_without_a_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        notyet(" ", raises=KeyError)


def test_no_test_is_expected_to_fail_in_another_way() -> None:
    bare = [
        str(path.relative_to(HERE))
        for path in HERE.rglob("*.py")
        if path.name not in OWN and re.search(r"\bxfail\b", path.read_text(encoding="utf-8"))
    ]
    assert bare == ["skips.py"], "use expected.notimpl or expected.notyet"
