"""Plugin of pytest: the recall of a collection as a test.

    def test_recall(qadapt_recall):
        qadapt_recall("qdrant+http://localhost:6333#articles", queries="queries.npy")

pytest loads this module in every run of an environment with qadapt, so it imports little.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from qadapt.api import Collection
    from qadapt.evaluation.documents import Verification
    from qadapt.model import Guard

GATE = "recall@10>=0.95"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--qadapt-gate``."""
    parser.getgroup("qadapt").addoption(
        "--qadapt-gate",
        default=None,
        metavar="GATE",
        help="Gate of the fixture qadapt_recall, such as 'recall@10>=0.95' (the default); replaces "
        "the gates of tests.",
    )


@pytest.fixture
def qadapt_recall(request: pytest.FixtureRequest) -> Callable[..., Verification]:
    """Measure recall on a live collection, and fail the test below the gate.

    ``qadapt_recall(collection, gate="recall@10>=0.95", active=True, **options)``: the collection is
    an address ``URL#COLLECTION`` or a ``qa.Collection``; ``options`` are those of
    ``Collection.verify``, such as ``queries``. With ``active=True``, the configured quantization
    must also be verified active on the engine. Returns the ``Verification``.
    """
    asked = request.config.getoption("--qadapt-gate")

    def measure(
        collection: Collection | str,
        gate: str | None = None,
        *,
        active: bool = True,
        **options: Any,
    ) -> Verification:
        from qadapt.model import Guard

        bar = Guard.parse(asked or gate or GATE)
        found = _verified(collection, {"k": bar.k, **options})
        problems = _problems(found, bar, active=active)
        if problems:
            pytest.fail(f"{found.collection}: {'; '.join(problems)}", pytrace=False)
        return found

    return measure


def _verified(collection: Collection | str, options: dict[str, Any]) -> Verification:
    if not isinstance(collection, str):
        return collection.verify(**options)
    from qadapt.integrations.opening import open_collection

    database, found = open_collection(collection)
    with database:
        return found.verify(**options)


def _problems(found: Verification, bar: Guard, *, active: bool) -> list[str]:
    """Why the test fails; empty if it does not."""
    problems = []
    recall = found.recall.value
    if found.proof.level == "none":
        problems.append(f"recall {recall:.4f} proves nothing: {found.proof.reason}")
    elif recall < bar.recall:
        problems.append(
            f"recall@{bar.k} is {recall:.4f}, below the gate {bar} "
            f"(ground truth: {found.truth.ground_truth})"
        )
    if active and not found.matches_configuration:
        reason = f": {found.status.reason}" if found.status.reason else ""
        problems.append(f"{found.configured} is {found.status.state} on the engine{reason}")
    return problems
