"""Ground truth of a guard from before the change, for changes that store the vectors anew.

A copy with another datatype holds rounded vectors. Recall against these rounded vectors does not
include the loss of the datatype, so the exact neighbors are computed from the vectors before the
change and saved in the folder of the change.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qadapt.errors import IntegrityError
from qadapt.evaluation.exact_neighbors import Fetch, GroundTruth, stored_vectors
from qadapt.evaluation.ground_truth import Queries
from qadapt.evaluation.results import Truth
from qadapt.evaluation.subsets import Subset
from qadapt.evaluation.verify import MeasuredSubset
from qadapt.local.state import write_state_file
from qadapt.model import Id, Plan, Symbol, Vector
from qadapt.model.filter_documents import saved_filter
from qadapt.planning.change_record import ChangeRecord, abandon_hint
from qadapt.stores.base import Store

FILE = "guard_truth.json"


@dataclass(frozen=True)
class FormerTruth:
    """Queries of a guard, and their exact neighbors before the change.

    Attributes:
        subset: the rows that are searched.
        source: the collection that was read, without alias.
    """

    queries: Queries
    truth: GroundTruth
    source: str
    subset: Subset

    @property
    def vector(self) -> Vector:
        """The vector before the change, with the metric after it."""
        return self.truth.vector


def is_needed(plan: Plan) -> bool:
    """Whether the plan stores the vectors anew."""
    copies = any(step.symbol is Symbol.RECREATE for step in plan.steps)
    return copies or plan.target_vector is not None


def save(record: ChangeRecord, parts: Sequence[MeasuredSubset], source: str, name: str) -> None:
    """Save the ground truth of each filter in the folder of the change.

    Args:
        source: the collection that was read, without alias.
        name: the vector that was read.
    """
    document = {"parts": [_document(part, source, name) for part in parts]}
    write_state_file(record.folder / FILE, json.dumps(document))


def _document(part: MeasuredSubset, source: str, name: str) -> dict[str, Any]:
    truth, subset, filter = part.truth, part.subset, part.subset.filter
    return {
        "source": source,
        "name": name,
        "vector": truth.vector.to_dict(),
        "about": truth.about.to_dict(),
        "queries": part.queries.vectors.tolist(),
        "own": list(part.queries.own),
        "ids": truth.ids,
        "scores": truth.scores,
        "beyond": [score if np.isfinite(score) else None for score in truth.beyond.tolist()],
        "collection": subset.collection,
        "filter": None if filter is None else saved_filter(filter),
    }


def load(store: Store, record: ChangeRecord) -> list[FormerTruth]:
    """Load the ground truth of each filter from the folder of the change.

    Raises:
        IntegrityError: the file is missing or damaged.
    """
    path = record.folder / FILE
    try:
        document = json.loads(path.read_bytes())
        # A record of an older version holds the ground truth of all rows.
        parts = document.get("parts", [document])
        return [_parse(store, record.plan, each) for each in parts]
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise _unusable(record, path, error) from error


def _parse(store: Store, plan: Plan, document: Any) -> FormerTruth:
    vector = Vector.from_dict(document["vector"])
    about = Truth.from_dict(document["about"])
    vectors = np.asarray(document["queries"], dtype=np.float32).reshape(-1, vector.dim)
    queries = Queries(vectors, tuple(document["own"]), about.source)
    beyond = np.asarray([-np.inf if each is None else each for each in document["beyond"]])
    source = str(document["source"])
    name = str(document.get("name", plan.vector))  # an older record has none
    fetch = _former_vectors(store, plan, source, name, vector)
    truth = GroundTruth(
        document["ids"], document["scores"], beyond, about, vectors, vector, fetch
    )  # fmt: skip
    subset = Subset(
        document.get("collection", plan.collection), document.get("filter"), about.filter
    )
    return FormerTruth(queries, truth, source, subset)


def _former_vectors(store: Store, plan: Plan, source: str, name: str, vector: Vector) -> Fetch:
    """A function that fetches the vectors before the change.

    They are only needed for hits that tie with the last neighbor. If the source was replaced, it
    returns none, so these hits do not count.
    """
    now = store.aliases().get(plan.collection, plan.collection)
    if now != source:
        return stored_vectors(store, source, name)

    def nothing(ids: Sequence[Id]) -> tuple[Sequence[Id], np.ndarray]:
        return [], np.empty((0, vector.dim), dtype=np.float32)

    return nothing


def _unusable(record: ChangeRecord, path: Path, error: Exception) -> IntegrityError:
    return IntegrityError(
        f"the ground truth of the guard of the change {record.id} cannot be read: {error} ({path})",
        hint=f"qadapt undo {record.id}; or {abandon_hint(record.id)}",
    )
