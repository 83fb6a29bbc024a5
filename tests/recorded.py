"""Requests and answers of real servers, kept in ``tests/recordings/<engine>-<version>/``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "recordings"


def recorded(server: str, name: str) -> dict[str, Any]:
    """Read one exchange: ``request`` and ``response`` with ``status`` and ``body``.

    Args:
        server: the engine and its version, for example ``qdrant-1.16.3``.
        name: the path of the recording below that folder, without ``.json``.

    Raises:
        FileNotFoundError: the recording does not exist. It is part of the repository, so a test
        must not skip.
    """
    found: dict[str, Any] = json.loads((FOLDER / server / f"{name}.json").read_text("utf-8"))
    return found
