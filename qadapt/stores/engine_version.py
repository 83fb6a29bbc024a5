"""Engine versions and the features that they support."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qadapt.model.capabilities import older


@dataclass(frozen=True)
class EngineVersion:
    """The version of an engine; ``product`` is the engine's name in messages.

    Attributes:
        version: None for the newest.
    """

    product: ClassVar[str] = ""

    version: str | None = None

    def has(self, since: str | None) -> bool:
        """Whether the version is at least ``since``; None means every version."""
        return self.version is None or since is None or not older(self.version, since)

    @property
    def words(self) -> str:
        """The engine and its version, for messages."""
        return f"{self.product} {self.version}" if self.version else self.product

    def lacks(self, what: str, since: str | None) -> str | None:
        """Why a feature is not available; None if it is.

        Args:
            what: the feature with its verb, such as ``"the datatype float16 needs"``.
        """
        if self.has(since):
            return None
        return f"{what} {self.product} {since}; this is {self.words}"
