"""Helpers of the tests of plans."""

from __future__ import annotations

import subprocess
import sys

from qadapt.api import Collection


def python(program: str, *arguments: str) -> str:
    """Output of a new process."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def state_of(collection: Collection, vector: str = "") -> str:
    return str(collection.info().vectors[vector].status.state)
