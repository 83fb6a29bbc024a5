"""Helpers of the tests of doctor."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

from qadapt.api import Collection
from qadapt.cli import main

Make = Callable[..., Collection]

ROWS, DIM = 1200, 512
# The configuration of a healthy collection.
HEALTHY = "binary:rescore=4,codes=ram,originals=disk"


def codes(collection: Collection, **options: Any) -> list[str]:
    """The codes of all findings."""
    return [each.code for each in collection.doctor(**options).findings]


def one(collection: Collection, code: str, **options: Any) -> Any:
    """The only finding of a code, with message, command, evidence and source."""
    (found,) = [each for each in collection.doctor(**options).findings if each.code == code]
    assert found.message and found.command and found.evidence and found.source
    return found


def mend(finding: Any) -> None:
    """Run the command of a finding."""
    command = finding.command.partition(", or: ")[2] or finding.command
    words = shlex.split(command)
    assert words[0] == "qadapt"
    assert main([*words[1:], "--yes"]) == 0
