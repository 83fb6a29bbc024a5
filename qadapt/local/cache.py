"""Cache folder for reproducible data."""

from __future__ import annotations

import os
from pathlib import Path

from qadapt.durable import private_folder
from qadapt.errors import StorageError


def cache_dir() -> Path:
    """Return ``QADAPT_CACHE_DIR``, else the user's cache folder; created with owner-only access.

    Raises:
        StorageError: the folder cannot be created.
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
            f"the cache folder {folder} cannot be used",
            hint="set QADAPT_CACHE_DIR to a writable folder",
        ) from error
    return folder
