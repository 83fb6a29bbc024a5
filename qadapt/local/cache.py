"""The cache folder: what can be made again, and need not be each time."""

from __future__ import annotations

import os
from pathlib import Path

from qadapt.durable import private_folder
from qadapt.errors import StorageError


def cache_dir() -> Path:
    """``QADAPT_CACHE_DIR``, else the user's cache folder; made when missing, for its owner alone.

    Raises:
        StorageError: it cannot be made.
    """
    given = os.environ.get("QADAPT_CACHE_DIR")
    if given:
        folder = Path(given).expanduser()
    else:
        import platformdirs

        folder = Path(platformdirs.user_cache_dir("qadapt", appauthor=False))
    try:
        private_folder(folder)
    except OSError as error:
        raise StorageError.of(
            error,
            "the cache folder cannot be used",
            hint="set QADAPT_CACHE_DIR to a folder that can be written",
        ) from error
    return folder
