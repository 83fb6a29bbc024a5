"""Commands scan with all cores, and report the compilation of a kernel."""

from __future__ import annotations

from typing import Any

import pytest

from qadapt import jit, threads
from qadapt.cli.output import Output
from qadapt.cli.scans import scan_settings


def settings_of(out: Any, monkeypatch: pytest.MonkeyPatch, given: str) -> tuple[int, int]:
    """Threads inside of a command and after it."""
    monkeypatch.setenv(threads.VARIABLE, given)
    monkeypatch.setattr(threads, "cores", lambda: 7)
    with scan_settings(out):
        inside = threads.scan_threads()
    return inside, threads.scan_threads()


def test_a_command_uses_all_cores_unless_the_variable_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = Output()
    assert settings_of(out, monkeypatch, "") == (7, 1)
    assert settings_of(out, monkeypatch, "2") == (2, 2)


def test_a_compilation_is_reported_with_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    with scan_settings(Output()):
        assert jit._announce is not None
        jit._announce("scan of bits", False)
        jit._announce("scan of bits", True)
    assert jit._announce is None
    first, second = capsys.readouterr().err.splitlines()
    assert first == "compiling the scan of bits for this processor, once"
    assert second.startswith("compiled in ") and second.endswith(" s")
