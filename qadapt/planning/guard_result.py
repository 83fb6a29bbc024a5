"""Recall that a guard measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qadapt.evaluation.proof import Proof
from qadapt.model import Guard


@dataclass(frozen=True)
class GuardResult:
    """Recall measured by a guard before or after a change.

    Attributes:
        recall: recall@k with the parameters of the setting.
        ground_truth: the vectors that the exact scores were computed from.
        proof: how much the recall proves.
        no_params: recall@k of a client that sends no parameters; None in older records.
        filter: the filter with the lowest recall, as text; empty for all rows.
    """

    recall: float
    ground_truth: str
    proof: Proof
    no_params: float | None = None
    filter: str = ""

    def judged(self, guard: Guard) -> float:
        """The recall that a guard judges.

        With ``clients="any"``, the lower one: if only qadapt can search the codes, clients
        without parameters search the original vectors and have the higher recall.
        """
        if guard.clients == "configured" or self.no_params is None:
            return self.recall
        return min(self.recall, self.no_params)

    @classmethod
    def of(cls, reported: Mapping[str, Any] | None) -> GuardResult | None:
        """Parse a journal entry; None if there is none."""
        if reported is None:
            return None
        proof = Proof(reported.get("proof", "sufficient"), reported.get("reason", ""))
        no_params = reported.get("no_params")
        return cls(
            float(reported["recall"]),
            reported.get("ground_truth", ""),
            proof,
            None if no_params is None else float(no_params),
            reported.get("filter", ""),
        )


def ground_truths(before: GuardResult | None, after: GuardResult | None) -> str:
    """The ground truth of both measurements."""
    found = {each.ground_truth: None for each in (before, after) if each is not None}
    if len(found) < 2:
        return next(iter(found), "")
    first, second = found
    return f"{first} before, {second} after"
