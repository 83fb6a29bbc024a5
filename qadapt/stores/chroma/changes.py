"""Plans: Chroma has no quantization, and fixes metric and dimensions with the collection."""

from __future__ import annotations

from qadapt.stores.base import require_supported
from qadapt.stores.change import ChangePlan, ChangeRequest, check_strategy, no_recreation
from qadapt.stores.chroma import mapping


def plan_change(request: ChangeRequest) -> ChangePlan:
    """Plan a change of one vector; only ``none`` is possible, which needs no step.

    Raises:
        UnsupportedError: a quantization, metric or datatype that Chroma does not have.
    """
    check_strategy("Chroma", request)
    if request.target_vector is not None:
        raise no_recreation("Chroma")
    if request.codes is not None:
        vector = request.inspection.info.vectors[request.vector].vector
        require_supported(mapping.to_native(request.codes, vector), request.codes, mapping.NAME)
    return ChangePlan()
