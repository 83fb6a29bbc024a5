"""The cache folder: what can be made again, and need not be each time."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """``QADAPT_CACHE_DIR``, else the user's cache folder; made when missing."""
    given = os.environ.get("QADAPT_CACHE_DIR")
    if given:
        folder = Path(given).expanduser()
    else:
        import platformdirs

        folder = Path(platformdirs.user_cache_dir("qadapt", appauthor=False))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
