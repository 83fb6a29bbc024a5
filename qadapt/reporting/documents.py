"""Read and classify the documents of a report."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qadapt.costing import Cost
from qadapt.diagnosis import Diagnosis
from qadapt.errors import InputError, SpecError
from qadapt.evaluation.documents import Advice, Evaluation, Simulation, Verification

Document = Evaluation | Simulation | Advice | Cost | Diagnosis | Verification

_FORMATS: Mapping[str, type[Any]] = {
    "qadapt.verification/1": Verification,
    "qadapt.evaluation/1": Evaluation,
    "qadapt.simulation/1": Simulation,
    "qadapt.advice/1": Advice,
    "qadapt.cost/1": Cost,
    "qadapt.diagnosis/1": Diagnosis,
}
# Fields that commands add to a document.
_OTHER_FIELDS = ("gate",)


@dataclass(frozen=True)
class Material:
    """Documents, sorted.

    Attributes:
        evaluations: in the order given; of two of one collection the last is "after".
        simulation, advice, cost, verification: the last one given.
        diagnoses: all of them.
    """

    evaluations: tuple[Evaluation, ...] = ()
    simulation: Simulation | None = None
    advice: Advice | None = None
    cost: Cost | None = None
    diagnoses: tuple[Diagnosis, ...] = ()
    verification: Verification | None = None


def gather(documents: Iterable[Any]) -> Material:
    """Classify documents, given as objects, dicts or paths of JSON files.

    Raises:
        InputError: an item is not a qadapt document.
    """
    found: list[Document] = []
    for given in documents:
        found += read(given) if isinstance(given, (str, os.PathLike)) else _parsed(given, "it")
    evaluations = [each for each in found if isinstance(each, Evaluation)]
    simulation = _last(found, Simulation)
    advice = _last(found, Advice)
    if advice is not None:
        simulation = simulation or advice.simulation
        evaluations += [advice.evaluation] if advice.evaluation is not None else []
    return Material(
        tuple(evaluations),
        simulation,
        advice,
        _last(found, Cost),
        tuple(each for each in found if isinstance(each, Diagnosis)),
        _last(found, Verification),
    )


def read(path: str | os.PathLike[str]) -> list[Document]:
    """The documents in a file that a command wrote with ``--json`` or ``-o``.

    Raises:
        InputError: the file cannot be read or is not a qadapt document.
    """
    place = Path(path)
    try:
        data = json.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"file {str(place)!r} does not exist",
            hint="create one with `qadapt eval URL COLLECTION -o eval.json`",
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"cannot read {str(place)!r}: {error}",
            hint="pass a JSON file that qadapt wrote with -o",
        ) from None
    return _parsed(data, str(place))


def _parsed(data: Any, where: str) -> list[Document]:
    if isinstance(data, (Evaluation, Simulation, Advice, Cost, Diagnosis, Verification)):
        return [data]
    if not isinstance(data, Mapping):
        raise InputError(f"{where} is not a qadapt document", hint=_KNOWN)
    if "collections" in data and "missed" in data:  # what `qadapt doctor` prints
        return [Diagnosis.from_dict(each) for each in data["collections"]]
    rest = {key: value for key, value in data.items() if key not in _OTHER_FIELDS}
    kind = _FORMATS.get(str(rest.get("format")))
    if kind is None:
        raise InputError(f"{where} is a document that reports do not support", hint=_KNOWN)
    try:
        document: Document = kind.from_dict(rest)
    except SpecError as error:
        raise InputError(f"{where}: {error.message}", hint=error.hint) from error
    return [document]


_KNOWN = "use the JSON output of eval, simulate, advise, cost, doctor or verify"


def _last(found: Iterable[Any], kind: type[Any]) -> Any:
    return next((each for each in reversed(list(found)) if isinstance(each, kind)), None)
