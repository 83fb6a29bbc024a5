"""Findings of the doctor: problems with evidence and a command that fixes them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from qadapt.errors import SpecError
from qadapt.model.info import Evidence
from qadapt.model.serializable import Serializable


class Severity(str, Enum):
    """Severity of a finding; ``at_least`` compares."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    def __str__(self) -> str:
        return self.value

    def at_least(self, other: Severity) -> bool:
        """Whether this is at least as severe as ``other``."""
        order = list(Severity)
        return order.index(self) >= order.index(other)

    @classmethod
    def of(cls, word: str) -> Severity:
        """Parse the name of a severity.

        Raises:
            SpecError: the name is unknown.
        """
        try:
            return cls(word)
        except ValueError:
            raise SpecError.unknown("severity", str(word), [each.value for each in cls]) from None


@dataclass(frozen=True)
class Finding(Serializable):
    """A setting that silently has no effect, or a problem of the collection.

    Attributes:
        code: stable code of the check, for ``--skip`` and scripts.
        severity: error: a setting is not in effect or results are wrong; warning: it costs
            memory, time or recall; info: for information.
        vector: name of the vector; ``""`` for the unnamed vector.
        message: description in one or two sentences.
        evidence: observed signals with their values.
        command: command that fixes it; empty if no command does.
        source: documentation of the rule.
    """

    code: str
    severity: Severity
    vector: str
    message: str
    evidence: tuple[Evidence, ...] = ()
    command: str = ""
    source: str = ""
