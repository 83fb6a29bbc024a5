"""Features by version of sqlite-vec (docs/engines/sqlite-vec.md#versions)."""

from __future__ import annotations

from dataclasses import dataclass

from qadapt.errors import UnsupportedError
from qadapt.model.capabilities import older

OLDEST = "0.1.6"  # metadata columns, auxiliary columns, partition keys


@dataclass(frozen=True)
class ExtensionVersion:
    """The features of a version; None for the newest."""

    number: str | None = None

    def require_oldest(self) -> None:
        """Check that qadapt supports the version.

        Raises:
            UnsupportedError
        """
        if self.number is not None and older(self.number, OLDEST):
            raise UnsupportedError(
                f"sqlite-vec {self.number} is loaded; qadapt requires {OLDEST} or newer",
                hint="pip install --upgrade sqlite-vec",
            )
