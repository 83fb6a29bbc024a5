"""Helpers of the tests of the demo."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from qadapt.demo.wheels import Package


def pinned(package: Package, wheel: Path) -> Package:
    """A package pinned to a generated wheel."""
    return replace(package, sha256=hashlib.sha256(wheel.read_bytes()).hexdigest())
