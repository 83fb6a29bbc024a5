"""The evaluations of one advice as one document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qadapt.evaluation.documents import Evaluation
from qadapt.evaluation.results import Prediction
from qadapt.evaluation.shortlist import Candidate


def joined(first: Evaluation | None, second: Evaluation) -> Evaluation:
    """The results and notes of both."""
    if first is None:
        return second
    return first.replace(
        results=(*first.results, *second.results),
        seconds=first.seconds + second.seconds,
        copy_truth=first.copy_truth or second.copy_truth,
        copy_truths=first.copy_truths or second.copy_truths,
        notes=tuple(dict.fromkeys((*first.notes, *second.notes))),
    )


def with_predictions(evaluation: Evaluation, tries: Sequence[Candidate]) -> Evaluation:
    """The measured results with the predictions of the same settings."""
    predictions: Mapping[str, Prediction | None] = {
        item.setting.text: item.prediction for item in tries
    }
    return evaluation.replace(
        results=tuple(
            result.replace(predicted=predictions.get(result.setting))
            for result in evaluation.results
        )
    )
