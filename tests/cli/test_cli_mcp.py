"""mcp, without the extra. `tests/integrations/test_mcp.py` tests the server."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

Cli = Callable[..., Any]


def test_without_the_extra_the_error_names_the_command_that_installs_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    monkeypatch.delitem(sys.modules, "qadapt.integrations.mcp", raising=False)
    ran = cli("mcp", "edge:./data")
    assert ran.code == 1
    assert "qadapt-vectors[mcp]" in ran.err and ran.out == ""


def test_json_is_refused_because_the_protocol_is_json(cli: Cli) -> None:
    ran = cli("mcp", "edge:./data", "--json")
    assert ran.code != 0 and "omit --json" in ran.out + ran.err
