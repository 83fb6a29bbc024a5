"""Findings: what silently has no effect or hurts, with evidence and what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from qadapt.errors import SpecError
from qadapt.model.info import Evidence
from qadapt.model.serializable import Serializable


class Severity(str, Enum):
    """How bad it is; ``at_least`` compares."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    def __str__(self) -> str:
        return self.value

    def at_least(self, other: Severity) -> bool:
        """Whether this is as bad as ``other`` or worse."""
        order = list(Severity)
        return order.index(self) >= order.index(other)

    @classmethod
    def of(cls, word: str) -> Severity:
        """A severity from its word.

        Raises:
            SpecError
        """
        try:
            return cls(word)
        except ValueError:
            raise SpecError.unknown("severity", str(word), [each.value for each in cls]) from None


@dataclass(frozen=True)
class Finding(Serializable):
    """One thing that silently has no effect or hurts.

    Attributes:
        code: of the check; stable, for ``--skip`` and for scripts.
        severity: error: what is configured does not happen, or results are wrong; warning: it
            costs memory, time or recall; info: worth knowing.
        vector: whose; ``""`` for the unnamed one.
        message: what is the case, in one or two sentences.
        evidence: the signals read, with their values.
        command: what mends it; empty where nothing that can be typed does.
        source: where the rule comes from.
    """

    code: str
    severity: Severity
    vector: str
    message: str
    evidence: tuple[Evidence, ...] = ()
    command: str = ""
    source: str = ""
