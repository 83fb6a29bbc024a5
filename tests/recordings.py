"""What servers answered, recorded in the folder of shared data."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[1]
FOLDER = Path(os.environ.get("QADAPT_SHARED", REPO.parent / "shared")) / "recordings"


def recorded(server: str, name: str) -> dict[str, Any]:
    """One exchange: ``request`` and ``response`` with ``status`` and ``body``.

    Args:
        server: such as ``qdrant-1.16.3``.
    """
    path = FOLDER / server / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"no recording {path}: set QADAPT_SHARED to the folder of shared data")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
