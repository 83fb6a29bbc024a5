"""Detection of another installed project with the same import name."""

from __future__ import annotations

import importlib.metadata
import warnings

from qadapt.errors import QadaptWarning
from qadapt.version import DISTRIBUTION

# Another project on the package index with the same import name.
_NAMESAKE = "qadapt"

_checked = False


def warn_of_namesake() -> None:
    """Warn once per process if another project with the import name ``qadapt`` is installed.

    Both install files to the folder ``qadapt``, so that one may overwrite the other.
    """
    global _checked
    if _checked:
        return
    _checked = True
    try:
        found = importlib.metadata.version(_NAMESAKE)
    except importlib.metadata.PackageNotFoundError:
        return
    again = f"pip uninstall {_NAMESAKE} {DISTRIBUTION} && pip install {DISTRIBUTION}"
    warnings.warn(
        f"the distribution {_NAMESAKE!r} {found} of another project is installed and has the "
        f"same import name; run: {again}",
        QadaptWarning,
        stacklevel=3,
    )
