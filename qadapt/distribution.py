"""Another project of the same import name, installed beside this one."""

from __future__ import annotations

import importlib.metadata
import warnings

from qadapt.errors import QadaptWarning
from qadapt.version import DISTRIBUTION

# Another project on the package index, with the same import name.
_NAMESAKE = "qadapt"

_checked = False


def warn_of_namesake() -> None:
    """Warn, once a process, when another project with the import name ``qadapt`` is installed.

    Both write into the folder ``qadapt``, so files of one may be those of the other.
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
        f"the distribution {_NAMESAKE!r} {found} of another project is installed, which has the "
        f"same import name; run: {again}",
        QadaptWarning,
        stacklevel=3,
    )
